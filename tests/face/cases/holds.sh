# Holding: chmod a-w keeps a snapshot from being removed, by anybody, until chmod u+w. That it outlives the daemon is in tests/unit/test-engine.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree -o allow_other
V=$MNT/web01
S=$V/snapshots

as_owner() { quick setpriv --reuid 65533 --regid 0 --clear-groups "$@"; }
mode_is() { same "mode of $1" "$2" "$(quick stat -c %A "$S/$1")"; }

a_held_one_is_removed_by_nobody() {
    works mkdir "$S/a" "$S/b" && works chmod a-w "$S/a" && mode_is a dr-xr-xr-x || return
    quick ls -l "$S" | grep -q '^dr-xr-xr-x .* a$' || fail "ls -l does not show it"
    refuses "Device or resource busy" rmdir "$S/a"
    refuses "Device or resource busy" rm "$S/a/id"
    refuses "Device or resource busy" rm -f "$S/a/description"
    refuses "Device or resource busy" rm -rf "$S/a"
    refuses "resource busy" busybox rm -rf "$S/a"
    said web01 "held"
    (cd "$S" && refuses "Device or resource busy" rm -rf a b) # the others go
    works cat "$V/wait"
    same left "a " "$(names "$S")"
    same files 10 "$(quick ls "$S/a" | wc -l)"
    works chmod u+w "$S/a" && works rm -rf "$S/a" && absent "$S/a"
    clean web01
}
rm_rf_of_all_leaves_the_held_ones() {
    works mkdir "$S/a" "$S/b" "$S/c" && works chmod a-w "$S/b" || return
    (cd "$S" && quick rm -rf -- * 2> /dev/null)
    works cat "$V/wait"
    same left "b " "$(names "$S")"
    clean web01
}
only_the_owner_s_bit_counts() {
    works mkdir "$S/a" && works chmod go-w "$S/a" && works chmod 0200 "$S/a" && works rmdir "$S/a" && works cat "$V/wait" || return
    works mkdir "$S/a" && works chmod 0577 "$S/a" && refuses "Device or resource busy" rmdir "$S/a"
    clean web01
}
made_without_the_bit_it_is_held_from_the_start() {
    works mkdir -m a-w "$S/a" && refuses "Device or resource busy" rmdir "$S/a"
    (umask 0222 && quick mkdir "$S/b") && mode_is b dr-xr-xr-x && refuses "Device or resource busy" rmdir "$S/b"
    clean web01
}
its_label_and_what_is_beside_it_change() {
    works mkdir "$S/a" "$S/b" "$S/c" && works chmod a-w "$S/b" || return
    works mv "$S/b" "$S/d" && mode_is d dr-xr-xr-x
    quick bash -c 'echo why > "$1"' - "$S/d/description" && same text why "$(quick cat "$S/d/description")"
    quick grep -qE '○ d .* held +why$' "$V/tree" || fail "the tree: $(quick cat "$V/tree")"
    quick grep -q 'held: true' "$S/d/info.yaml" || fail "info.yaml: $(quick grep held "$S/d/info.yaml")"
    works rmdir "$S/a" && works rmdir "$S/c" && works cat "$V/wait" # what is merged into its layers or takes over its child's
    same left "d " "$(names "$S")"
    same state ready "$(quick cat "$S/d/state")"
    refuses "Device or resource busy" rmdir "$S/d"
    clean web01
}
the_vm_goes_back_to_it() {
    works mkdir "$S/a" && works mkdir "$S/b" && works chmod a-w "$S/a" || return
    works ln -sfn snapshots/a "$V/current" && same current snapshots/a "$(quick readlink "$V/current")"
    works rmdir "$S/b" && works cat "$V/wait" && works mkdir "$S/c" && works ln -sfn snapshots/a "$V/current" && refuses "Device or resource busy" rmdir "$S/a"
    clean web01
}
hidden_ones_are_neither_held_nor_removed() {
    local hidden
    works mkdir "$S/a" "$S/b" && works ln -sfn snapshots/a "$V/current" && works mkdir "$S/c" && works rmdir "$S/a" || return
    hidden=$V/hidden/$(quick ls "$V/hidden")
    refuses "Operation not permitted" chmod u+w "$hidden"
    refuses "Operation not permitted" chmod 0700 "$hidden"
    works chmod a-w "$hidden" # as it is
    refuses "Operation not permitted" rmdir "$hidden"
    refuses "Operation not permitted" rm "$hidden/id"
    refuses "Operation not permitted" rm -rf "$hidden"
    refuses "Operation not permitted" mv "$hidden" "$S/again"
    refuses "Operation not permitted" bash -c 'echo x > "$1" || exit 1' - "$hidden/description"
    same "there still" 1 "$(quick ls "$V/hidden" | wc -l)"
    clean web01
}
chmod_of_all_that_is_in_it_holds_and_says_what_is_fixed() {
    works mkdir "$S/a" || return
    refuses "changing permissions of '$S/a/description': Operation not permitted" chmod -R a-w "$S/a"
    mode_is a dr-xr-xr-x
    refuses "Device or resource busy" rm -rf "$S/a"
    clean web01
}
its_owner_holds_and_root_may_release() {
    setpriv --reuid 65533 --clear-groups true 2> /dev/null || { fail "skip: other users cannot be taken on here"; return; }
    as_owner mkdir "$S/his" && as_owner chmod a-w "$S/his" || fail "he cannot hold it"
    ! as_owner rmdir "$S/his" 2> "$WORK/said" && grep -q busy "$WORK/said" || fail "rmdir by him: $(cat "$WORK/said")"
    refuses "Device or resource busy" rmdir "$S/his"
    works chmod u+w "$S/his" && as_owner rmdir "$S/his" || fail "rmdir after root released it"
    works cat "$V/wait" && works mkdir "$S/roots" && works chmod a-w "$S/roots"
    ! as_owner chmod u+w "$S/roots" 2> "$WORK/said" && grep -q "not permitted" "$WORK/said" || fail "he released root's: $(cat "$WORK/said")"
    clean web01
}

for name in a_held_one_is_removed_by_nobody rm_rf_of_all_leaves_the_held_ones only_the_owner_s_bit_counts \
    made_without_the_bit_it_is_held_from_the_start its_label_and_what_is_beside_it_change the_vm_goes_back_to_it \
    hidden_ones_are_neither_held_nor_removed chmod_of_all_that_is_in_it_holds_and_says_what_is_fixed its_owner_holds_and_root_may_release; do
    test_case "$name"
done
