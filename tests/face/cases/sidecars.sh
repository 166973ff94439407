# What snapshots keep of a VM's UEFI variables and vTPM: read as files, put back by cp, removed with their snapshot.
. "$FACE/lib.sh"
host_file uefi.yaml < /dev/null
group=$(getent group nogroup > /dev/null && echo nogroup || echo nobody)
mount_tree -o "allow_other,group=$group"
gid=$(getent group "$group" | cut -d: -f3)
V=$MNT/efi01
S=$V/snapshots

python3 - "$WORK" <<'P'
import random, sys
content = bytearray(random.Random(7).randbytes(540672))
content[40:44] = b"_FVH"
for name in ("a.fd", "b.fd"):
    content[0:1] = name[:1].encode()
    open(f"{sys.argv[1]}/{name}", "wb").write(content)
P

put() { works cp "$WORK/$1" "$V/nvram/vars.fd"; }
holds() { quick cmp -s "$WORK/$1" "$2" || fail "$2 is not $1"; }

# NV-25 (a snapshot keeps them)
a_snapshot_shows_what_it_keeps() {
    put a.fd && works mkdir "$S/one" || return
    put b.fd
    holds a.fd "$S/one/vars.fd" && holds b.fd "$V/nvram/vars.fd"
    same "length and blocks" "540672 1056" "$(quick stat -c '%s %b' "$S/one/vars.fd")"
    same mode 440 "$(quick stat -c %a "$S/one/vars.fd")"
    same "state of the vTPM" "secrets of the guest" "$(quick cat "$S/one/tpm/tpm2-00.permall")"
    same "its length" 21 "$(quick stat -c %s "$S/one/tpm/tpm2-00.permall")"
    quick grep -q '^○ one .*  NVRAM, vTPM$' "$V/tree" || fail "tree: $(quick cat "$V/tree")"
    quick grep -q "sha256: \"\?$(sha256sum < "$WORK/a.fd" | cut -d' ' -f1)" "$S/one/info.yaml" || fail "$(quick cat "$S/one/info.yaml")"
    refuses "Operation not permitted" bash -c 'echo x > "$1"' - "$S/one/vars.fd"
    refuses "Operation not permitted" bash -c 'echo x > "$1"' - "$S/one/tpm/tpm2-00.permall"
    refuses "Operation not permitted" cp "$WORK/a.fd" "$S/one/tpm/new"
    refuses "Operation not permitted" chmod 700 "$S/one/tpm"
    works find "$S/one" -ls && works tar cf "$WORK/one.tar" -C "$S" one && works du -s "$S/one"
    clean efi01
}
a_bios_vm_keeps_none() {
    works mkdir "$MNT/bios01/snapshots/x" || return
    absent "$MNT/bios01/snapshots/x/vars.fd" && absent "$MNT/bios01/snapshots/x/tpm"
    works mkdir "$MNT/run01/snapshots/x" || return
    exists "$MNT/run01/snapshots/x/vars.fd" && absent "$MNT/run01/snapshots/x/tpm"
    clean bios01 && clean run01
}
# docs/uefi.md: restoring by hand.
cp_puts_variables_back() {
    put a.fd && works mkdir "$S/one" || return
    put b.fd
    works cp "$S/one/vars.fd" "$V/nvram/vars.fd" && holds a.fd "$V/nvram/vars.fd"
    works rm "$V/nvram/vars.fd" && works cp "$S/one/vars.fd" "$V/nvram/vars.fd" && holds a.fd "$V/nvram/vars.fd"
    put b.fd && works dd "if=$S/one/vars.fd" "of=$V/nvram/vars.fd" bs=4k status=none && holds a.fd "$V/nvram/vars.fd"
    clean efi01
}
# S-29: before any boot they are byte for byte what the snapshot keeps.
a_revert_brings_them_back_with_the_disks() {
    put a.fd && works mkdir "$S/one" || return
    put b.fd
    works ln -sfn snapshots/one "$V/current" || return
    holds a.fd "$V/nvram/vars.fd"
    same state ready "$(quick cat "$V/nvram/state")"
    same checksum "$(sha256sum < "$S/one/vars.fd" | cut -d' ' -f1)" "$(quick cat "$V/nvram/sha256")"
    same "state of the vTPM" ready "$(quick cat "$V/tpm/state")"
    put b.fd && holds a.fd "$S/one/vars.fd"
    clean efi01
}
rename_and_hold_keep_them() {
    put a.fd && works mkdir "$S/one" && works mv "$S/one" "$S/two" || return
    holds a.fd "$S/two/vars.fd" && exists "$S/two/tpm/tpm2-00.permall"
    works chmod a-w "$S/two"
    refuses "Device or resource busy" rm "$S/two/tpm/tpm2-00.permall"
    refuses "Device or resource busy" rm -rf "$S/two"
    same "the directory goes with it" 555 "$(quick stat -c %a "$S/two/tpm")"
    works chmod u+w "$S/two"
    clean efi01
}
hidden_ones_are_read_only_and_whole() {
    local hidden
    put a.fd
    works mkdir "$S/base" && works mkdir "$S/left" && works ln -sfn snapshots/base "$V/current" && works mkdir "$S/right" || return
    works rmdir "$S/base" || return
    hidden=$V/hidden/$(quick ls "$V/hidden")
    holds a.fd "$hidden/vars.fd"
    same "state of the vTPM" "secrets of the guest" "$(quick cat "$hidden/tpm/tpm2-00.permall")"
    works tar cf "$WORK/hidden.tar" -C "$V" hidden
    refuses "Operation not permitted" rm "$hidden/vars.fd"
    refuses "Operation not permitted" rm -rf "$hidden/tpm"
    refuses "Operation not permitted" touch "$hidden/tpm/new"
    clean efi01
}
rm_r_of_one_removes_it_with_what_it_keeps() {
    put a.fd && works mkdir "$S/one" "$S/two" "$S/three" || return
    works rm "$S/one/vars.fd" "$S/one/tpm/tpm2-00.permall" && works rmdir "$S/one/tpm"
    holds a.fd "$S/one/vars.fd" && exists "$S/one/tpm/tpm2-00.permall"
    works rm -r "$S/one" && absent "$S/one"
    same rmtree ok "$(errno_of 'shutil.rmtree(mnt + "/efi01/snapshots/two")')"
    (cd "$S" && quick rm -rf -- *) || fail "rm -rf *"
    same left "" "$(names "$S")"
    clean efi01
}
sweeps_remove_nothing() {
    put a.fd && works mkdir "$S/one" || return
    refuses "Operation not permitted" rm -rf "$V"
    refuses "Operation not permitted" rm -rf "$S"
    refuses "Operation not permitted" find "$V" -delete
    refuses "Operation not permitted" mv "$S/one" "$WORK/moved"
    holds a.fd "$S/one/vars.fd" && holds a.fd "$V/nvram/vars.fd" && holds a.fd "$WORK/moved/vars.fd"
    same "a list, a read and an unlink" EPERM "$(errno_of '[open(mnt + "/efi01/snapshots/one/tpm/tpm2-00.permall").read(), os.unlink(mnt + "/efi01/snapshots/one/tpm/tpm2-00.permall")]')"
    clean efi01
}
as_member() { quick setpriv --reuid 65533 --regid "$gid" --clear-groups "$@"; }
secrets_of_the_vtpm_are_for_root_alone() {
    as_member mkdir "$S/theirs" || { fail mkdir; return; }
    same owners "65533 0" "$(quick stat -c %u "$S/theirs/vars.fd" "$S/theirs/tpm/tpm2-00.permall" | tr '\n' ' ' | sed 's/ $//')"
    same mode 400 "$(quick stat -c %a "$S/theirs/tpm/tpm2-00.permall")"
    as_member cat "$S/theirs/vars.fd" > /dev/null || fail "vars.fd"
    as_member ls -l "$S/theirs/tpm" > /dev/null || fail "ls"
    as_member cat "$S/theirs/tpm/tpm2-00.permall" 2> "$WORK/said" && fail "a member read the vTPM"
    grep -q "Permission denied" "$WORK/said" || fail "$(cat "$WORK/said")"
    as_member find "$S/theirs" -ls > /dev/null || fail "find"
    as_member cp "$S/theirs/vars.fd" "$V/nvram/vars.fd" || fail "cp"
    as_member rm -rf "$S/theirs" || fail "rm -rf"
    absent "$S/theirs"
    clean efi01
}

for name in a_snapshot_shows_what_it_keeps a_bios_vm_keeps_none cp_puts_variables_back a_revert_brings_them_back_with_the_disks \
    rename_and_hold_keep_them \
    hidden_ones_are_read_only_and_whole rm_r_of_one_removes_it_with_what_it_keeps sweeps_remove_nothing; do
    test_case "$name"
done
if setpriv --reuid 65533 --regid 65533 --clear-groups true 2> /dev/null; then
    test_case secrets_of_the_vtpm_are_for_root_alone
else
    echo "skip secrets_of_the_vtpm_are_for_root_alone - other users cannot be taken on here"
fi
