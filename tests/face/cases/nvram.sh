# The VM's own UEFI variables as a file: read, replaced whole, reset; and what its TPM says.
. "$FACE/lib.sh"
host_file uefi.yaml < /dev/null
mount_tree
V=$MNT/efi01/nvram

# Three variable stores, and what is none. The third is mostly holes.
python3 - "$WORK" <<'P'
import random, sys
noise = random.Random(4).randbytes(540672)
for name, head in (("a.fd", b"a"), ("b.fd", b"b"), ("unsigned.fd", None)):
    content = bytearray(noise)
    if head:
        content[0:1] = head
        content[40:44] = b"_FVH"
    open(f"{sys.argv[1]}/{name}", "wb").write(content)
with open(f"{sys.argv[1]}/holes.fd", "wb") as holes:
    holes.write(b"\0" * 40 + b"_FVH")
    holes.truncate(540672)
P

field() { quick cat "$MNT/$1/nvram/$2"; }
shows() { same "$1/nvram/$2" "$3" "$(field "$1" "$2")"; }
holds() { quick cmp -s "$WORK/$1" "$V/vars.fd" || fail "vars.fd is not $1"; }
put() { works cp "$WORK/$1" "$V/vars.fd" && holds "$1"; }

# NV-03, NV-18, NV-20, NV-22: all four cells say what they need, and why.
nvram_says_what_is_needed_and_what_is_there() {
    shows efi01 needed secure-boot && shows efi01 state ready && shows efi01 format raw && shows efi01 size 540672
    shows efi01 path /var/lib/libvirt/qemu/nvram/efi01_VARS.fd
    shows efi01 template /usr/share/OVMF/OVMF_VARS_4M.ms.fd
    shows new01 needed uefi && shows new01 state missing && shows new01 size "" && shows new01 sha256 ""
    shows bad01 state badsize && shows bad01 size 270336
    quick grep -qx '● <- you are here  shutoff  NVRAM badsize' "$MNT/bad01/tree" || fail "tree: $(quick cat "$MNT/bad01/tree")"
    shows bios01 needed no && shows bios01 state none && shows bios01 path "" && shows bios01 sha256 ""
    absent "$MNT/new01/nvram/vars.fd" && absent "$MNT/bios01/nvram/vars.fd"
    quick grep -qx 'nvram ready' "$MNT/efi01/status" || fail "status lacks nvram"
    quick grep -A2 '^nvram:' "$MNT/new01/info.yaml" | grep -q missing || fail "info.yaml lacks nvram"
}
# NV-19
a_variable_store_is_no_disk() {
    same disks "vda " "$(names "$MNT/efi01/disks")"
    quick grep -qx 'disks 1' "$MNT/efi01/status" || fail "it is counted"
}
tpm_says_what_there_is() {
    same "with one" "2.0 ready" "$(quick cat "$MNT/efi01/tpm/version" "$MNT/efi01/tpm/state" | tr '\n' ' ' | sed 's/ $//')"
    same path /var/lib/libvirt/swtpm/11111111-1111-4111-8111-111111111111/tpm2 "$(quick cat "$MNT/efi01/tpm/path")"
    same "without" "none" "$(quick cat "$MNT/bios01/tpm/version" "$MNT/bios01/tpm/state" "$MNT/bios01/tpm/path")"
}
# find, grep, tar, cp and du walk through; the length is the true one, and nothing is asked of libvirt.
walk_through() {
    rm -rf "$WORK/copy"
    works find "$MNT" -ls && works tar cf "$WORK/all.tar" -C "$MNT" efi01 new01 bios01 run01 bad01 && works cp -r "$MNT/efi01/nvram" "$WORK/copy" || return
    works du -s "$MNT" && ! quick grep -r nothing-has-this-text "$MNT/efi01" "$MNT/bios01" "$MNT/new01" > /dev/null
}
walking_through_is_free() {
    asks_nothing walk_through
    works cmp "$WORK/copy/vars.fd" "$V/vars.fd"
    same length 540672 "$(quick stat -c %s "$V/vars.fd")"
    same checksum "$(sha256sum < "$WORK/copy/vars.fd" | cut -d' ' -f1)" "$(cat "$WORK/copy/sha256")"
    same "errors" "" "$(quick cat "$MNT/.vmsnapfs/errors")"
}
variables_are_replaced_by_the_tools_that_people_use() {
    put a.fd && shows efi01 sha256 "$(sha256sum < "$WORK/a.fd" | cut -d' ' -f1)"
    works dd if="$WORK/b.fd" of="$V/vars.fd" bs=64k status=none && holds b.fd
    works dd if="$WORK/a.fd" of="$V/vars.fd" bs=1000 conv=notrunc status=none && holds a.fd
    works bash -c 'cat "$1" > "$2"' - "$WORK/b.fd" "$V/vars.fd" && holds b.fd
    works cp --sparse=always "$WORK/holes.fd" "$V/vars.fd" && holds holes.fd
    need rsync || return
    works rsync -I --inplace "$WORK/a.fd" "$V/vars.fd" && holds a.fd
    works rsync -I --inplace --no-whole-file "$WORK/b.fd" "$V/vars.fd" && holds b.fd
    works truncate -s 540672 "$V/vars.fd" && holds b.fd
    shows efi01 state ready
}
what_is_no_whole_store_changes_nothing() {
    put a.fd
    refuses "Invalid argument" cp "$WORK/unsigned.fd" "$V/vars.fd"
    said efi01 "no _FVH signature" && holds a.fd
    refuses "Invalid argument" dd if="$WORK/b.fd" of="$V/vars.fd" bs=1000 count=7 status=none
    said efi01 "7000 are there" && holds a.fd
    refuses "Invalid argument" dd if="$WORK/b.fd" of="$V/vars.fd" bs=1000 count=1 conv=notrunc status=none
    holds a.fd
    cat "$WORK/b.fd" "$WORK/b.fd" > "$WORK/long.fd"
    refuses "Invalid argument" cp "$WORK/long.fd" "$V/vars.fd"
    said efi01 "those of another firmware" && holds a.fd
    refuses "Invalid argument" bash -c 'cat "$1" >> "$2"' - "$WORK/b.fd" "$V/vars.fd"
    refuses "Invalid argument" truncate -s 700000 "$V/vars.fd"
    same "truncate(2)" EINVAL "$(errno_of 'os.truncate(mnt + "/efi01/nvram/vars.fd", 5)')"
    works bash -c ': > "$1"' - "$V/vars.fd" && works truncate -s 0 "$V/vars.fd" && holds a.fd
    # An error is said once, by the write.
    same "write, then close" EINVAL "$(quick python3 - "$V/vars.fd" <<'P'
import errno, os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_TRUNC)
os.write(fd, b"x" * 540671)
try:
    os.write(fd, b"x")
except OSError as e:
    print(errno.errorcode[e.errno])
os.close(fd)
P
)" && holds a.fd
}
# NV-05: one of the wrong size does not count, and is mended by a copy of the right one.
a_store_of_the_wrong_size_is_mended() {
    refuses "Invalid argument" bash -c 'head -c 270336 "$1" > "$2"' - "$WORK/a.fd" "$MNT/bad01/nvram/vars.fd"
    works cp "$WORK/a.fd" "$MNT/bad01/nvram/vars.fd"
    shows bad01 state ready
}
a_running_vm_keeps_its_variables() {
    local file=$MNT/run01/nvram/vars.fd before
    before=$(field run01 sha256)
    refuses "Device or resource busy" cp "$WORK/a.fd" "$file"
    said run01 "is running, so its UEFI variables are in use"
    refuses "Device or resource busy" bash -c ': >> "$1"' - "$file"
    refuses "Device or resource busy" truncate -s 540672 "$file"
    refuses "Device or resource busy" rm -f "$file"
    same checksum "$before" "$(field run01 sha256)"
    same "a reader" 540672 "$(quick cat "$file" | wc -c)"
}
only_where_they_are_needed_can_they_be_made() {
    refuses "Operation not supported" cp "$WORK/a.fd" "$MNT/bios01/nvram/vars.fd"
    said bios01 "no firmware that keeps UEFI variables"
    refuses "Operation not permitted" cp "$WORK/a.fd" "$MNT/efi01/nvram/other.fd"
    refuses "Operation not permitted" touch "$MNT/efi01/tpm/state2"
    # Where libvirt chooses the firmware, all that it has agree.
    works cp "$WORK/a.fd" "$MNT/new01/nvram/vars.fd" && shows new01 state ready && works rm "$MNT/new01/nvram/vars.fd"
    refuses "Operation not permitted" bash -c 'echo no > "$1"' - "$V/needed"
}
rm_by_name_resets_and_a_copy_brings_back() {
    put a.fd
    works rm "$V/vars.fd" || return
    absent "$V/vars.fd" && shows efi01 state missing && shows efi01 sha256 "" && shows efi01 size ""
    refuses "No such file" rm "$V/vars.fd"
    refuses "No such file" cat "$V/vars.fd"
    works cp "$WORK/b.fd" "$V/vars.fd" && holds b.fd && shows efi01 state ready
    works rm -f "$V/vars.fd" || return
    # Half a new one is none.
    refuses "Invalid argument" bash -c 'head -c 5000 "$1" > "$2"' - "$WORK/a.fd" "$V/vars.fd"
    absent "$V/vars.fd" && shows efi01 state missing
    works bash -c 'cat "$1" > "$2"' - "$WORK/a.fd" "$V/vars.fd" && holds a.fd
}
who_walks_through_resets_nothing() {
    put a.fd
    refuses "Operation not permitted" rm -rf "$MNT/efi01"
    refuses "Operation not permitted" rm -rf "$V"
    (cd "$MNT/efi01" && quick rm -rf -- * 2> /dev/null)
    (cd "$V" && quick rm -rf -- * 2> /dev/null)
    (cd "$MNT" && quick rm -rf -- * 2> /dev/null)
    refuses "Operation not permitted" find "$MNT/efi01" -delete
    refuses "Operation not permitted" find "$V" -name vars.fd -delete
    refuses "Operation not permitted" mv "$V/vars.fd" "$WORK/moved.fd"
    [[ $(errno_of 'shutil.rmtree(mnt + "/efi01/nvram")') != ok ]] || fail "rmtree succeeded"
    mkdir -p "$WORK/void"
    quick rsync -r --delete "$WORK/void/" "$MNT/efi01/" > /dev/null 2>&1
    quick rsync -r --delete "$WORK/void/" "$V/" > /dev/null 2>&1
    holds a.fd && shows efi01 state ready
}
others_read_no_variables() {
    same mode "660 0" "$(quick stat -c '%a %u' "$V/vars.fd")"
    same "the directory's" 770 "$(quick stat -c %a "$V")"
}
a_read_only_mount_shows_variables_and_keeps_them() {
    same length 540672 "$(quick cat "$V/vars.fd" | wc -c)"
    same checksum "$(quick sha256sum < "$V/vars.fd" | cut -d' ' -f1)" "$(field efi01 sha256)"
    refuses "Read-only file system" cp "$WORK/a.fd" "$V/vars.fd"
    refuses "Read-only file system" rm "$V/vars.fd"
}

for name in nvram_says_what_is_needed_and_what_is_there a_variable_store_is_no_disk tpm_says_what_there_is walking_through_is_free \
    variables_are_replaced_by_the_tools_that_people_use what_is_no_whole_store_changes_nothing a_store_of_the_wrong_size_is_mended \
    a_running_vm_keeps_its_variables only_where_they_are_needed_can_they_be_made rm_by_name_resets_and_a_copy_brings_back \
    who_walks_through_resets_nothing others_read_no_variables; do
    test_case "$name"
done
unmount_tree && mount_tree -o ro
test_case a_read_only_mount_shows_variables_and_keeps_them
