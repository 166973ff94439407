# What the scripts share that look at variable stores, vTPM states and their sidecars on the host; sourced after lib.sh.

# The definition says where the store is, or libvirt's embedded driver puts it there.
store() {
    local path
    path=$(sed -n 's#.*<nvram[^>]*>\(.*\)</nvram>.*#\1#p' "$EMBED/etc/qemu/$1.xml")
    echo "${path:-$EMBED/lib/qemu/nvram/$1_VARS.fd}"
}
tpm_state() { echo "$EMBED/lib/swtpm/$(uuid_of "$1")/tpm2"; }
kept() { echo "$IMAGES/.vmsnapfs/$(uuid_of "$1")/$2/$(cat "$MNT/$1/snapshots/$3/id")"; } # VM vars|tpm SNAPSHOT
vars_of() { echo "$(kept "$1" vars "$2").fd"; }
tpm_of() { kept "$1" tpm "$2"; }
count_kept() { # VM vars|tpm HOW-MANY
    local n
    n=$(ls "$IMAGES/.vmsnapfs/$(uuid_of "$1")/$2" 2> /dev/null | wc -l)
    [[ $n == "$3" ]] || fail "$n sidecars ($2), not $3: $(ls "$IMAGES/.vmsnapfs/$(uuid_of "$1")/$2")"
}

bytes() { cmp "$1" "$2" > "$WORK/cmp" 2>&1 || fail "$(cat "$WORK/cmp")"; }
same_state() { diff -r -x .lock "$1" "$2" > "$WORK/cmp" 2>&1 || fail "$(cat "$WORK/cmp")"; }

# Somebody changes the store of a VM that is off: where the firmware keeps room for its work, so that what it has stays good.
poke() { printf %s "$2" | dd of="$(store "$1")" bs=1 seek=300000 conv=notrunc status=none || fail "cannot change $(store "$1")"; }

consistency() { [[ $(cat "$MNT/$1/snapshots/$2/consistency") == "$3" ]] || fail "$2 is $(cat "$MNT/$1/snapshots/$2/consistency"), not $3"; }
