# mkdir, mv, rmdir, chmod, description: the life of a snapshot as the tools see it.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree
S=$MNT/web01/snapshots

mkdir_takes_a_snapshot_dated_and_owned() {
    local now
    now=$(date +%s)
    works mkdir "$S/a" || return
    same owner "0:0 drwxr-xr-x" "$(quick stat -c '%u:%g %A' "$S/a")"
    [[ $(($(quick stat -c %Y "$S/a") - now)) -le 60 ]] || fail "mtime is not its creation"
    same "created and mtime" "$(quick cat "$S/a/created")" "$(date -u -d "@$(quick stat -c %Y "$S/a")" +%Y-%m-%dT%H:%M:%SZ)"
    same state ready "$(quick cat "$S/a/state")"
    same consistency off "$(quick cat "$S/a/consistency")"
    clean web01
}

ls_lt_lists_the_newest_first() {
    works mkdir "$S/z" && works mkdir "$S/m" && works mkdir "$S/a" || return
    same order "a m z " "$(quick ls -t "$S" | tr '\n' ' ')"
    same "find -newer" "a" "$(cd "$S" && quick find . -mindepth 1 -maxdepth 1 -newer m | sed 's,^./,,')"
    clean web01
}

mkdir_of_an_existing_one_says_so_and_mkdir_p_is_content() {
    works mkdir "$S/a" || return
    refuses "File exists" mkdir "$S/a"
    works mkdir -p "$S/a"
    clean web01
}

mkdir_anywhere_else_is_never_possible() {
    local dir
    works mkdir "$S/a" || return
    for dir in "$MNT/x" "$MNT/web01/x" "$MNT/.vmsnapfs/x" "$S/a/x" "$MNT/web01/jobs/x" "$MNT/web01/policy/x" "$MNT/web01/disks/x"; do
        refuses "Operation not permitted" mkdir "$dir"
    done
    said web01 'mkdir web01/x EPERM: "web01/x" cannot be made'
    clean web01
}

no_file_can_be_created() {
    works mkdir "$S/a" || return
    refuses "Operation not permitted" touch "$MNT/web01/x"
    refuses "Operation not permitted" touch "$S/a/x"
    refuses "Operation not permitted" cp /etc/hostname "$S/x"
    refuses "Operation not permitted" ln "$MNT/web01/uuid" "$MNT/web01/x"
    refuses "Operation not permitted" ln -s x "$S/y"
    clean web01
}

a_umask_shapes_the_mode() {
    (umask 077 && quick mkdir "$S/private")
    same mode drwx------ "$(quick stat -c %A "$S/private")"
    works mkdir -m 0700 "$S/too"
    same mode drwx------ "$(quick stat -c %A "$S/too")"
    clean web01
}

rename_is_a_label() {
    local id
    works mkdir "$S/a" || return
    id=$(quick cat "$S/a/id")
    works mv "$S/a" "$S/b"
    absent "$S/a"
    same id "$id" "$(quick cat "$S/b/id")"
    same current snapshots/b "$(quick readlink "$MNT/web01/current")"
    works mv "$S/b" "$S/a" && exists "$S/a/id"
    clean web01
}

rename_goes_nowhere_else_and_never_says_exdev_or_einval() {
    works mkdir "$S/a" && works mkdir "$S/b" || return
    same "to another VM" EPERM "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/db01/snapshots/a")')"
    same "out of snapshots" EPERM "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/a")')"
    same "into another one" EPERM "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/b/a")')"
    same "onto another one" EEXIST "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/b")')"
    same "to an illegal name" EPERM "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/.a")')"
    same "to a long name" ENAMETOOLONG "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/" + "n" * 201)')"
    same "a VM, into another" EPERM "$(errno_of 'os.rename(mnt + "/web01", mnt + "/db01/web01")')"
    same "a file" EPERM "$(errno_of 'os.rename(mnt + "/web01/uuid", mnt + "/web01/uuid2")')"
    same "onto itself" ok "$(errno_of 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/a")')"
    refuses "Operation not permitted" mv "$S/a" "$S/b"
    refuses "File exists" mv -T "$S/a" "$S/b"
    same "still there" "a b " "$(names "$S")"
    same "no snapshot was taken elsewhere" "" "$(names "$MNT/db01/snapshots")"
    clean web01
}

rename_in_every_direction_is_never_exdev_or_einval() {
    local hidden
    works mkdir "$S/a" "$S/b" && works ln -sfn snapshots/a "$MNT/web01/current" && works mkdir "$S/c" && works rmdir "$S/a" || return
    hidden=$(names "$MNT/web01/hidden")
    quick python3 - "$MNT" "web01/hidden/${hidden% }" > "$WORK/said" 2>&1 <<'P' || fail "$(cat "$WORK/said")"
import errno, os, sys
mnt, hidden = sys.argv[1:]
things = ["web01", "db01", "README", ".vmsnapfs", ".vmsnapfs/version", ".vmsnapfs/by-uuid", "web01/uuid", "web01/state",
          "web01/wait", "web01/current", "web01/snapshots", "web01/snapshots/b", "web01/snapshots/c", "web01/snapshots/c/id",
          "web01/snapshots/b/description", "web01/snapshots/c/parent", "web01/hidden", hidden, hidden + "/id", "web01/jobs",
          "web01/policy", "web01/policy/max_depth", "web01/disks/vda", "web01/disks/vda/chain", "db01/snapshots"]
news = ["new", ".vmsnapfs/new", ".vmsnapfs/jobs/new", "web01/new", "web01/snapshots/b/new", "web01/snapshots/.new", hidden + "/new",
        "web01/hidden/new", "web01/jobs/7", "web01/policy/new", "web01/disks/new", "db01/new", "db01/snapshots/new"]
for old in things:
    for new in things + news:
        if old == new or new.startswith(old + "/") or old.startswith(new + "/"):
            continue  # the kernel's own answers: nothing to do, its own child, not empty
        if (old, new) == ("web01", "new"):
            continue  # the one that is possible: tests/face/cases/vms.sh
        try:
            os.rename(mnt + "/" + old, mnt + "/" + new)
            sys.exit("%s was moved to %s" % (old, new))
        except OSError as e:
            if e.errno in (errno.EXDEV, errno.EINVAL):
                sys.exit("%s to %s: %s" % (old, new, e))
P
    same "still there" "b c " "$(names "$S")"
    clean web01
}

renameat2() { # FLAGS: prints the errno's name
    quick python3 -c '
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
a, b = (os.fsencode(p) for p in sys.argv[1:3])
print("ok" if libc.renameat2(-100, a, -100, b, int(sys.argv[3])) == 0 else errno.errorcode[ctypes.get_errno()])' "$S/a" "$S/$2" "$1"
}

rename_takes_noreplace_and_no_other_flag() {
    works mkdir "$S/a" && works mkdir "$S/b" || return
    same noreplace EEXIST "$(renameat2 1 b)"
    same exchange EINVAL "$(renameat2 2 b)"
    same whiteout EINVAL "$(renameat2 4 c)"
    same "noreplace to a new name" ok "$(renameat2 1 c)"
    same names "b c " "$(names "$S")"
    clean web01
}

a_held_snapshot_stays() {
    works mkdir "$S/a" && works chmod a-w "$S/a" || return
    same mode dr-xr-xr-x "$(quick stat -c %A "$S/a")"
    refuses "Device or resource busy" rmdir "$S/a"
    refuses "Device or resource busy" rm "$S/a/id"
    refuses "Device or resource busy" rm -rf "$S/a"
    said web01 "held"
    quick grep -q held "$MNT/web01/tree" || fail "the tree does not say held"
    works chmod u+w "$S/a" && works rmdir "$S/a"
    absent "$S/a"
    clean web01
}

rm_of_one_file_says_success_and_changes_nothing() {
    works mkdir "$S/a" || return
    works rm "$S/a/id"
    exists "$S/a/id"
    works cat "$S/a/id"
    clean web01
}

rmdir_and_rm_r_remove() {
    works mkdir "$S/a" "$S/b" "$S/c" "$S/d" || return
    # Without -f, rm -r complains when b's link to its parent goes away under it, with the end of a's merge.
    works rmdir "$S/a" && works cat "$MNT/web01/wait" && works rm -r "$S/b" && works rm -rf "$S/c" && works cat "$MNT/web01/wait"
    same left "d " "$(names "$S")"
    (cd "$S" && quick rm -rf -- *) || fail "rm -rf snapshots/* failed"
    works cat "$MNT/web01/wait"
    same left "" "$(names "$S")"
    clean web01
}

a_name_can_be_used_again() {
    local first second
    works mkdir "$S/a" || return
    first=$(quick stat -c %i "$S/a")
    works rmdir "$S/a" && works cat "$MNT/web01/wait" && works mkdir "$S/a" || return
    second=$(quick stat -c %i "$S/a")
    [[ $first != "$second" ]] || fail "another snapshot has the same inode number"
    works cat "$S/a/id" && works mv "$S/a" "$S/b" && works ls "$S/b"
    clean web01
}

descriptions_are_written_by_everything() {
    works mkdir "$S/a" || return
    quick bash -c 'echo "first line" > "$1"' - "$S/a/description" || fail echo
    same echo "first line" "$(quick cat "$S/a/description")"
    quick bash -c 'printf "one\ntwo\nthree\n" > "$1"' - "$S/a/description" || fail "bash printf"
    same "bash printf" "one two three " "$(quick cat "$S/a/description" | tr '\n' ' ')"
    quick dash -c 'printf "uno\ndos\n" > "$1"' - "$S/a/description" || fail "dash printf"
    same "dash printf" "uno dos " "$(quick cat "$S/a/description" | tr '\n' ' ')"
    quick bash -c 'echo tres >> "$1"' - "$S/a/description" || fail append
    same append "uno dos tres " "$(quick cat "$S/a/description" | tr '\n' ' ')"
    quick bash -c 'printf "no newline" > "$1"' - "$S/a/description" || fail "no newline"
    same "no newline" "no newline" "$(quick cat "$S/a/description")"
    quick tee "$S/a/description" <<< "by tee" > /dev/null || fail tee
    same tee "by tee" "$(quick cat "$S/a/description")"
    quick bash -c 'echo > "$1"' - "$S/a/description" || fail "echo of nothing"
    same "length when emptied" 0 "$(quick stat -c %s "$S/a/description")"
    printf 'copied\n' > "$WORK/text" && works cp "$WORK/text" "$S/a/description"
    same cp copied "$(quick cat "$S/a/description")"
    printf 'kept\n' > "$WORK/text" && chmod 640 "$WORK/text" && works cp -p "$WORK/text" "$S/a/description"
    same "cp -p" kept "$(quick cat "$S/a/description")"
    works dd if="$WORK/text" of="$S/a/description" conv=notrunc
    quick grep -q 'kept' "$MNT/web01/tree" || fail "the tree does not show it"
    clean web01
}

descriptions_have_a_limit_and_are_utf8() {
    works mkdir "$S/a" || return
    python3 -c 'print("ä" * 2047)' > "$WORK/text"
    works cp "$WORK/text" "$S/a/description"
    same length 4095 "$(quick cat "$S/a/description" | wc -c)"
    python3 -c 'print("x" * 4096)' > "$WORK/text"
    refuses "Invalid argument" cp "$WORK/text" "$S/a/description"
    printf 'bad \377\n' > "$WORK/text"
    refuses "Invalid argument" cp "$WORK/text" "$S/a/description"
    same "unchanged" 4095 "$(quick cat "$S/a/description" | wc -c)"
    clean web01
}

vim_edits_a_description() {
    need vim || return
    works mkdir "$S/a" || return
    quick bash -c 'echo before > "$1"' - "$S/a/description"
    HOME=$WORK quick vim -es -u NONE -c '%s/before/after/' -c 'wq' "$S/a/description" < /dev/null > /dev/null 2>&1 || fail "vim ended with $?"
    same text after "$(quick cat "$S/a/description")"
    clean web01
}

attributes_set_to_what_they_are_do_nothing() {
    works mkdir "$S/a" || return
    works touch "$S/a" && works touch "$S/a/description" && works touch -d 2001-01-01 "$S/a/id"
    [[ $(quick stat -c %Y "$S/a") -gt 1000000000 && $(quick stat -c %Y "$S/a/id") -gt 1500000000 ]] || fail "times changed"
    works chmod 0755 "$S/a" && works chmod 0440 "$S/a/id" && works chown 0:0 "$S/a/id" && works chown 0 "$S/a"
    refuses "Operation not permitted" chown 12345 "$S/a"
    refuses "Operation not permitted" chgrp 12345 "$MNT/web01/state"
    refuses "Operation not permitted" chmod 0777 "$MNT/web01/state"
    refuses "Operation not permitted" chmod 0777 "$S"
    works install -m 0440 -d "$WORK/x"
    clean web01
}

every_refusal_has_one_line() {
    local last
    last=$(quick tail -n 1 "$MNT/web01/errors" | cut -d ' ' -f 1)
    refuses "Invalid argument" mkdir "$S/.x"
    same lines 1 "$(quick awk -v last="${last:-0}" '$1 > last' "$MNT/web01/errors" | wc -l)"
    quick tail -n 1 "$MNT/web01/errors" | grep -qE '^[0-9]+ 20[^ ]+Z uid=0 pid=[0-9]+ mkdir web01/snapshots/.x EINVAL: .' ||
        fail "its form: $(quick tail -n 1 "$MNT/web01/errors")"
    same "in the host's too" "$(quick tail -n 1 "$MNT/web01/errors")" "$(quick tail -n 1 "$MNT/.vmsnapfs/errors")"
}

shown_after_refusal() {
    quick mkdir "$MNT/db01/snapshots/.$1" 2> /dev/null
    grep -q "$1" "$WORK/tail"
}
errors_are_read_live() {
    local reader
    timeout 120 tail -n 0 -s 0.1 -f "$MNT/db01/errors" > "$WORK/tail" 2>&1 &
    reader=$!
    wait_until "tail -f shows a line" shown_after_refusal first
    quick mkdir "$MNT/db01/snapshots/.second" 2> /dev/null
    wait_until "tail -f shows the next line" grep -q second "$WORK/tail"
    kill "$reader"
    wait "$reader" 2> /dev/null
    same "lines" 1 "$(grep -c second "$WORK/tail")"
}

errors_are_followed_past_the_lines_that_are_kept() {
    local reader turn
    timeout 120 tail -n 0 -s 0.1 -f "$MNT/db01/errors" > "$WORK/tail" 2>&1 &
    reader=$!
    wait_until "tail -f shows a line" shown_after_refusal follow
    for turn in 1 2 3; do
        errno_of "[exec('try: os.mkdir(mnt + \"/db01/snapshots/.t${turn}n%d\" % i)\nexcept OSError: pass') for i in range(120)]" > /dev/null
        wait_until "tail -f shows the last line of turn $turn" grep -q "t${turn}n119 " "$WORK/tail"
    done
    kill "$reader"
    wait "$reader" 2> /dev/null
    same "lines" 360 "$(grep -c 'snapshots/\.t' "$WORK/tail")"
    same "lines that came twice" "" "$(sort "$WORK/tail" | uniq -d)"
    same "lines that are kept" 256 "$(quick wc -l < "$MNT/db01/errors")"
    same "true length" "$(quick stat -c %s "$MNT/db01/errors")" "$(quick cat "$MNT/db01/errors" | wc -c)"
}

df_shows_the_image_store_and_du_what_layers_take() {
    local bytes
    mkdir -p "$WORK/images"
    works mkdir "$S/a" || return
    quick bash -c 'echo running > "$1" && echo off > "$1"' - "$MNT/web01/state" || fail "power"
    works mkdir "$S/b" || return
    same size "$(stat -f -c %b "$WORK/images")" "$(quick stat -f -c %b "$MNT")"
    same "longest name" 200 "$(quick stat -f -c %l "$MNT")"
    bytes=$(quick sed "s/.*allocation=//" "$S/b/disks" | awk "{ sum += \$1 } END { print sum }")
    [[ $bytes -gt 0 ]] || fail "nothing was written"
    same "du of b" "$bytes" "$(quick du -s -B1 "$S/b" | cut -f1)"
    clean web01
}

for name in mkdir_takes_a_snapshot_dated_and_owned ls_lt_lists_the_newest_first \
    mkdir_of_an_existing_one_says_so_and_mkdir_p_is_content mkdir_anywhere_else_is_never_possible no_file_can_be_created \
    a_umask_shapes_the_mode rename_is_a_label rename_goes_nowhere_else_and_never_says_exdev_or_einval \
    rename_in_every_direction_is_never_exdev_or_einval rename_takes_noreplace_and_no_other_flag a_held_snapshot_stays rm_of_one_file_says_success_and_changes_nothing \
    rmdir_and_rm_r_remove a_name_can_be_used_again descriptions_are_written_by_everything \
    descriptions_have_a_limit_and_are_utf8 vim_edits_a_description attributes_set_to_what_they_are_do_nothing \
    every_refusal_has_one_line errors_are_read_live errors_are_followed_past_the_lines_that_are_kept \
    df_shows_the_image_store_and_du_what_layers_take; do
    test_case "$name"
done
