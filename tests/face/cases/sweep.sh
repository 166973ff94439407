# The sweep guard: who deletes his way through the tree removes no snapshot; who is given one by name is taken at his word.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree
S=$MNT/web01/snapshots

fill() { works mkdir "$S/a" "$S/b"; }
untouched() {
    same "snapshots" "a b " "$(names "$S")"
    same "its files" 10 "$(quick ls "$S/a" | wc -l)"
}

rm_rf_of_a_vm_removes_nothing() {
    fill
    refuses "Operation not permitted" rm -rf "$MNT/web01"
    untouched
    clean web01
}
rm_rf_of_all_removes_nothing() {
    fill
    (cd "$MNT" && quick rm -rf -- * 2> /dev/null)
    untouched
    (cd "$MNT" && quick rm -rf -- web01 README db01 2> /dev/null)
    untouched
    clean web01
}
rm_rf_of_snapshots_removes_nothing() {
    fill
    refuses "Operation not permitted" rm -rf "$S"
    untouched
    clean web01
}
sweeps_in_both_orders_remove_nothing() {
    local order top
    fill
    for order in sorted reversed; do
        for top in "$MNT" "$MNT/web01" "$S"; do
            sweep_with "$order" "$top"
            untouched || { fail "$order $top"; return; }
        done
    done
    clean web01
}
python_rmtree_of_a_vm_removes_nothing() {
    fill
    [[ $(errno_of 'shutil.rmtree(mnt + "/web01")') != ok ]] || fail "rmtree succeeded"
    untouched
    quick python3 -c 'import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)' "$MNT/web01"
    untouched
    clean web01
}
python_rmtree_of_one_snapshot_removes_it() {
    fill
    same rmtree ok "$(errno_of 'shutil.rmtree(mnt + "/web01/snapshots/a")')"
    same left "b " "$(names "$S")"
    clean web01
}
find_delete_removes_nothing() {
    fill
    quick find "$MNT/web01" -delete 2> /dev/null && fail "it succeeded"
    untouched
    quick find "$S" -mindepth 1 -delete 2> /dev/null && fail "it succeeded"
    untouched
    clean web01
}
rsync_delete_removes_nothing() {
    need rsync || return
    fill
    mkdir -p "$WORK/empty"
    quick rsync -r --delete "$WORK/empty/" "$MNT/web01/" > /dev/null 2>&1
    untouched
    quick rsync -r --delete "$WORK/empty/" "$S/" > /dev/null 2>&1
    untouched
    clean web01
}
git_clean_removes_nothing() {
    need git || return
    fill
    # `git clean` walks a work tree: ours, with the repository elsewhere.
    quick git init -q --bare "$WORK/git" 2> /dev/null
    quick git --git-dir="$WORK/git" --work-tree="$MNT" -c core.bare=false clean -ffdxq > /dev/null 2>&1
    untouched
    clean web01
}
mv_to_another_file_system_becomes_a_copy() {
    fill
    refuses "Operation not permitted" mv "$S/a" "$WORK/copy"
    untouched
    exists "$WORK/copy/id"
    same "the copy" "$(quick cat "$S/a/id")" "$(cat "$WORK/copy/id")"
    clean web01
}
reading_and_then_rmdir_is_no_sweep() {
    fill
    same "list, read, rmdir" ok "$(errno_of '[os.listdir(mnt + "/web01/snapshots"), open(mnt + "/web01/snapshots/a/created").read(), os.rmdir(mnt + "/web01/snapshots/a")]')"
    same left "b " "$(names "$S")"
    clean web01
}
reading_and_then_unlinking_is_a_move() {
    fill
    same "read, unlink" EPERM "$(errno_of '[open(mnt + "/web01/snapshots/a/id").read(), os.unlink(mnt + "/web01/snapshots/a/id")]')"
    same "read, unlink, rmdir" EPERM "$(errno_of '[open(mnt + "/web01/snapshots/a/id").read(), [os.unlink(mnt + "/web01/snapshots/a/" + n) for n in ()], exec("try: os.unlink(mnt + \"/web01/snapshots/a/id\")\nexcept OSError: pass"), os.rmdir(mnt + "/web01/snapshots/a")]')"
    untouched
    clean web01
}
a_refusal_counts_for_that_vm_only_and_for_that_process_only() {
    works mkdir "$S/a" "$S/b" "$MNT/db01/snapshots/x" "$MNT/db01/snapshots/y" || return
    same "same VM" EPERM "$(errno_of '[exec("try: os.unlink(mnt + \"/web01/uuid\")\nexcept OSError: pass"), os.rmdir(mnt + "/web01/snapshots/a")]')"
    same "other VM" ok "$(errno_of '[exec("try: os.unlink(mnt + \"/web01/uuid\")\nexcept OSError: pass"), os.rmdir(mnt + "/db01/snapshots/x")]')"
    same "root level, any VM" EPERM "$(errno_of '[exec("try: os.unlink(mnt + \"/README\")\nexcept OSError: pass"), os.rmdir(mnt + "/db01/snapshots/y")]')"
    works rmdir "$S/a"
    clean web01
    clean db01
}
threads_of_one_process_are_one_process() {
    fill
    same "unlink in a thread" EPERM "$(errno_of '[(t := __import__("threading").Thread(target=lambda: exec("try: os.unlink(mnt + \"/web01/uuid\")\nexcept OSError: pass"))), t.start(), t.join(), os.rmdir(mnt + "/web01/snapshots/a")]')"
    untouched
    clean web01
}
a_guarded_process_is_taken_at_its_word_again_after_ten_quiet_seconds() {
    fill
    same "after 11 s" ok "$(errno_of '[exec("try: os.unlink(mnt + \"/web01/uuid\")\nexcept OSError: pass"), __import__("time").sleep(11), os.rmdir(mnt + "/web01/snapshots/a")]')"
    same left "b " "$(names "$S")"
    clean web01
}
each_refusal_renews_the_ten_seconds() {
    fill
    same "6 s after a refusal, 12 s after the first" "EPERM EPERM" "$(quick python3 - "$MNT" <<'P'
import errno, os, sys, time
mnt = sys.argv[1]
def tries(call, path):
    try:
        call(mnt + path)
        return "ok"
    except OSError as e:
        return errno.errorcode[e.errno]
tries(os.unlink, "/web01/uuid")
time.sleep(6)
first = tries(os.rmdir, "/web01/snapshots/a")
time.sleep(6)
print(first, tries(os.rmdir, "/web01/snapshots/a"))
P
)"
    untouched
    clean web01
}
callers_of_another_pid_namespace_are_judged_by_their_uid() {
    unshare --pid --fork true 2> /dev/null || { fail "skip: no pid namespaces here"; return; }
    unmount_tree || return
    unshare --pid --fork "$PROGRAM" -f "fake://$WORK/host.yaml" "$MNT" > "$WORK/log" 2>&1 &
    DAEMON=$!
    wait_until "the tree is served" is_served || return
    works mkdir "$S/a" "$S/b" "$S/c" && works rmdir "$S/c" || return
    refuses "Operation not permitted" rm -rf "$MNT/web01"
    refuses "Operation not permitted" rmdir "$S/a" # another process of the same user
    untouched
    quick tail -n 1 "$MNT/web01/errors" | grep -q 'uid=0 pid=0 ' || fail "the caller's pid is known here: $(quick tail -n 1 "$MNT/web01/errors")"
    works umount "$MNT"
    wait_until "the daemon ends" is_over "$DAEMON"
    mount_tree
}
temporary_links_never_count() {
    fill
    same "link, unlink, rmdir" ok "$(errno_of '[os.symlink("snapshots/a", mnt + "/web01/x"), os.unlink(mnt + "/web01/x"), os.rmdir(mnt + "/web01/snapshots/a")]')"
    clean web01
}
walkers_have_no_side_effects() {
    local before
    fill
    before=$(quick tail -n 1 "$MNT/.vmsnapfs/errors")
    works find "$MNT"
    quick grep -rs . "$MNT/web01" > "$WORK/grep" || fail "grep -r"
    works tar cf "$WORK/tree.tar" -C "$MNT" web01
    same "tar's complaints" "" "$(quick tar cf /dev/null -C "$MNT" web01 2>&1)"
    works cp -r "$MNT/web01" "$WORK/copied" && works diff -r "$MNT/web01/snapshots" "$WORK/copied/snapshots"
    works cp -a "$S/a" "$WORK/archived"
    need rsync && works rsync -a "$MNT/web01/" "$WORK/synced/"
    need tree && works tree "$MNT"
    works bash -c 'shopt -s globstar; cd "$1"; set -- **; [[ $# -gt 30 ]]' - "$MNT"
    untouched
    same "no refusals" "$before" "$(quick tail -n 1 "$MNT/.vmsnapfs/errors")"
    clean web01
}
cp_r_into_snapshots_takes_a_snapshot_as_the_readme_says() {
    mkdir -p "$WORK/dir"
    works cp -r "$WORK/dir" "$S/"
    exists "$S/dir/id"
    quick grep -q 'also one made by cp -r' "$MNT/README" || fail "README does not say it"
    clean web01
}

for name in rm_rf_of_a_vm_removes_nothing rm_rf_of_all_removes_nothing rm_rf_of_snapshots_removes_nothing \
    sweeps_in_both_orders_remove_nothing python_rmtree_of_a_vm_removes_nothing python_rmtree_of_one_snapshot_removes_it \
    find_delete_removes_nothing rsync_delete_removes_nothing git_clean_removes_nothing mv_to_another_file_system_becomes_a_copy \
    reading_and_then_rmdir_is_no_sweep reading_and_then_unlinking_is_a_move \
    a_refusal_counts_for_that_vm_only_and_for_that_process_only threads_of_one_process_are_one_process \
    a_guarded_process_is_taken_at_its_word_again_after_ten_quiet_seconds each_refusal_renews_the_ten_seconds \
    callers_of_another_pid_namespace_are_judged_by_their_uid temporary_links_never_count walkers_have_no_side_effects \
    cp_r_into_snapshots_takes_a_snapshot_as_the_readme_says; do
    test_case "$name"
done
