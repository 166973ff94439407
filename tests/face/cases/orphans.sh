# Files of ours that nobody refers to: listed, and freed by rm of a name.
. "$FACE/lib.sh"
host_file two.yaml <<'Y'
images:
  - {path: images/web01-vda.k123456789.qcow2, backing: images/web01-vda.qcow2, capacity: 67108864}
  - {path: images/web01-vda.m123456789.qcow2, backing: images/web01-vda.qcow2, capacity: 67108864}
  - {path: images/web01-vdb.n123456789.qcow2, backing: images/web01-vdb.qcow2, capacity: 67108864}
  - {path: images/web01-vda.upper00001.qcow2, backing: images/web01-vda.k123456789.qcow2, capacity: 67108864}
  - {path: images/golden.qcow2, capacity: 67108864}
Y
mount_tree
O=$MNT/.vmsnapfs/orphans

shows() { [[ $(names "$O") == "$1" ]]; }
rescan() { quick bash -c 'echo rescan > "$1"' - "$MNT/web01/drift" || fail "rescan"; }
said_host() { quick grep -qF -- "$1" "$MNT/.vmsnapfs/errors" || fail "errors do not say <$1>: $(quick tail -n 1 "$MNT/.vmsnapfs/errors")"; }

without_a_catalog_nothing_is_known_to_be_ours() {
    wait_until "it was looked" quick grep -qx 'orphans_problem' "$MNT/.vmsnapfs/status"
    same listed "" "$(names "$O")"
    same count "orphans 0" "$(quick grep '^orphans ' "$MNT/.vmsnapfs/status")"
}
orphans_are_listed_and_read_as_their_path() {
    works mkdir "$MNT/web01/snapshots/a" && rescan
    wait_until "they are listed" shows "web01-vda.m123456789.qcow2 web01-vda.upper00001.qcow2 web01-vdb.n123456789.qcow2 " || return
    same path "$WORK/images/web01-vda.m123456789.qcow2" "$(quick cat "$O/web01-vda.m123456789.qcow2")"
    same "length" "$(quick cat "$O/web01-vda.m123456789.qcow2" | wc -c)" "$(quick stat -c %s "$O/web01-vda.m123456789.qcow2")"
    same count "orphans 3" "$(quick grep '^orphans ' "$MNT/.vmsnapfs/status")"
    works find "$MNT/.vmsnapfs" -ls && works tar cf /dev/null -C "$MNT" .vmsnapfs
}
who_walks_through_frees_nothing() {
    local before
    before=$(names "$O")
    refuses "Operation not permitted" rm -rf "$O"
    refuses "Operation not permitted" rm -rf "$MNT/.vmsnapfs"
    refuses "Operation not permitted" find "$O" -type f -delete
    (cd "$MNT" && quick rm -rf -- * .vmsnapfs 2> /dev/null)
    refuses "Operation not permitted" rmdir "$O"
    refuses "Operation not permitted" mv "$O/web01-vda.m123456789.qcow2" "$O/x"
    refuses "Operation not permitted" touch "$O/new"
    same "listed" "$before" "$(names "$O")"
}
rm_by_name_frees_one_and_shows_what_was_below() {
    works rm -f "$O/web01-vda.m123456789.qcow2" "$O/web01-vda.upper00001.qcow2" || return
    wait_until "what was below it is listed" shows "web01-vda.k123456789.qcow2 web01-vdb.n123456789.qcow2 "
    (cd "$O" && quick rm -f -- *) || fail "rm -f *"
    same "listed" "" "$(names "$O")"
    refuses "No such file" rm "$O/web01-vda.m123456789.qcow2"
}

for name in without_a_catalog_nothing_is_known_to_be_ours orphans_are_listed_and_read_as_their_path who_walks_through_frees_nothing \
    rm_by_name_frees_one_and_shows_what_was_below; do
    test_case "$name"
done
