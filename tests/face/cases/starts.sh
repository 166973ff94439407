# `state` looks before a start what the firmware needs.
. "$FACE/lib.sh"
host_file uefi.yaml < /dev/null
mount_tree

shows() { same "$1/nvram/$2" "$3" "$(quick cat "$MNT/$1/nvram/$2")"; }
is() { same "state of $1" "$2" "$(quick cat "$MNT/$1/state")"; }

# NV-01, NV-10, NV-12
what_was_never_there_is_made_beside_the_disk() {
    local disk
    disk=$(quick cat "$MNT/new01/disks/vda/source")
    shows new01 state missing && works bash -c "echo running > $MNT/new01/state" && is new01 running || return
    shows new01 state ready && shows new01 format raw && shows new01 path "$(dirname "$disk")/new01_VARS.22222222.fd"
    works bash -c "echo off > $MNT/new01/state" && shows new01 state ready
}
# NV-05
what_is_not_ready_refuses_the_start_and_says_what_to_do() {
    refuses "Input/output error" bash -c "echo running > $MNT/bad01/state"
    said bad01 "has the size of another firmware's" && said bad01 "rm nvram/vars.fd" && is bad01 shutoff || return
    works rm "$MNT/bad01/nvram/vars.fd" && works bash -c "echo running > $MNT/bad01/state" && shows bad01 state ready
    works bash -c "echo off > $MNT/bad01/state"
}
# NV-02, NV-06
stops_and_reboots_keep_variables() {
    local path i
    path=$(quick cat "$MNT/efi01/nvram/path")
    for i in 1 2; do
        works bash -c "echo running > $MNT/efi01/state" && shows efi01 path "$path" && works bash -c "echo shutoff > $MNT/efi01/state" && shows efi01 state ready || return
    done
}
a_reset_is_made_anew_at_the_next_start() {
    works rm "$MNT/new01/nvram/vars.fd" && shows new01 state missing && works bash -c "echo running > $MNT/new01/state" && shows new01 state ready
    works bash -c "echo off > $MNT/new01/state"
}
# NV-03
bios_asks_for_nothing() { works bash -c "echo running > $MNT/bios01/state" && shows bios01 state none && works bash -c "echo off > $MNT/bios01/state"; }

for name in what_was_never_there_is_made_beside_the_disk what_is_not_ready_refuses_the_start_and_says_what_to_do stops_and_reboots_keep_variables \
    a_reset_is_made_anew_at_the_next_start bios_asks_for_nothing; do
    test_case "$name"
done
