# Names that are none, and names that are nasty but legal.
. "$FACE/lib.sh"
cat > "$WORK/host.yaml" <<'Y'
vms:
  - name: "a b & <c> \"d\" 'e':f"
    uuid: 33333333-3333-4333-8333-333333333333
    disks: [{target: vda, path: "images/-x y:z&<q>'\".qcow2", capacity: 65536}]
  - name: README
    uuid: 44444444-4444-4444-8444-444444444444
  - name: ".vmsnapfs"
    uuid: 55555555-5555-4555-8555-555555555555
  - name: "-rf"
    uuid: 66666666-6666-4666-8666-666666666666
Y
cat >> "$WORK/host.yaml" <<Y
  - name: "$(printf 'l%.0s' {1..300})"
    uuid: 77777777-7777-4777-8777-777777777777
Y
mount_tree
V="$MNT/a b & <c> \"d\" 'e':f"
S=$V/snapshots

vms_with_names_that_are_none_are_shown_by_uuid() {
    exists "$MNT/44444444-4444-4444-8444-444444444444/state"
    exists "$MNT/55555555-5555-4555-8555-555555555555/state"
    exists "$MNT/-rf/state"
    exists "$MNT/77777777-7777-4777-8777-777777777777/state"
    works ls -l "$MNT"
    same README "regular file" "$(quick stat -c %F "$MNT/README")"
    exists "$MNT/.vmsnapfs/version"
    same by-uuid ../../44444444-4444-4444-8444-444444444444 "$(quick readlink "$MNT/.vmsnapfs/by-uuid/44444444-4444-4444-8444-444444444444")"
    same name README "$(quick sed -n 's/^name //p' "$MNT/44444444-4444-4444-8444-444444444444/status")"
}
names_that_are_none_are_refused() {
    local name
    for name in -rf .hidden ... $'new\nline' $'tab\tbed' $'del\177' $'bell\a' $'bad\377utf8' $'c1\302\205'; do
        refuses "Invalid argument" mkdir -- "$S/$name"
    done
    refuses "File exists" mkdir "$S/.."
    refuses "File exists" mkdir "$S/."
    refuses "File name too long" mkdir "$S/$(printf 'n%.0s' {1..201})"
    refuses "File name too long" mkdir "$S/$(printf 'n%.0s' {1..255})"
    refuses "File name too long" mkdir "$S/$(printf 'n%.0s' {1..256})"
    same "nothing was made" "" "$(names "$S")"
    ! quick grep -qv '^[0-9]' "$V/errors" || fail "a line of errors was broken"
}
names_that_are_nasty_work() {
    local name long
    long=$(printf 'ä%.0s' {1..100})
    for name in 'json:{}' 'a b' "q'uote" 'd"ouble' '$(id)' '`id`' 'a;b' 'x&y<z>' 'file:x' 'back\slash' '%s%n' 'ünïcode' '~tilde' "$long" '*'; do
        works mkdir -- "$S/$name" && exists "$S/$name/id" || return
        works mv -T -- "$S/$name" "$S/other" && works mv -T -- "$S/other" "$S/$name" || return
        quick grep -qF -- "$name" "$V/tree" || fail "the tree lacks $name"
        works ln -sfn "snapshots/$name" "$V/current" || return
        works rmdir -- "$S/$name" && works cat "$V/wait" || return
    done
    same "nothing is left" "" "$(names "$S")"
}
paths_are_escaped_where_they_share_a_line() {
    works mkdir "$S/x" || return
    same fields 5 "$(quick awk '{print NF}' "$S/x/disks")"
    quick grep -qF '\040' "$S/x/disks" || fail "$(quick cat "$S/x/disks")"
    works rmdir "$S/x"
}
an_entry_that_is_not_there_is_enoent() {
    refuses "No such file" cat "$MNT/none"
    refuses "No such file" ls "$S/none"
    refuses "No such file" rmdir "$S/none"
    refuses "No such file" mv "$S/none" "$S/any"
    refuses "No such file" cat "$V/jobs/99/kind"
    refuses "No such file" cat "$V/hidden/none/id"
}

for name in vms_with_names_that_are_none_are_shown_by_uuid names_that_are_none_are_refused names_that_are_nasty_work \
    paths_are_escaped_where_they_share_a_line an_entry_that_is_not_there_is_enoent; do
    test_case "$name"
done
