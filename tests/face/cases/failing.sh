# A merge that fails: who waits is told, and the snapshot comes back.
. "$FACE/lib.sh"
host_file two.yaml <<'Y'
free_bytes: 300000
Y
mount_tree
V=$MNT/db01
S=$V/snapshots

a_failed_job_makes_wait_fail() {
    local id ino
    works mkdir "$S/a" || return
    ino=$(quick stat -c %i "$S/a")
    works rmdir "$S/a"
    quick cat "$V/wait" > "$WORK/waited" 2>&1 && fail "wait succeeded: $(cat "$WORK/waited")"
    grep -q '^merge a: failed: ' "$WORK/waited" || fail "it said $(cat "$WORK/waited")"
    grep -q 'Input/output error' "$WORK/waited" || fail "it said $(cat "$WORK/waited")"
    quick cat "$V/wait" > /dev/null 2>&1 && fail "a failed job that nobody dismissed does not count"
    same "it is back" failed "$(quick cat "$S/a/state")"
    same "its inode number" "$ino" "$(quick stat -c %i "$S/a")"
    works ls "$S/a"
    quick grep -q failed "$V/tree" || fail "the tree does not say failed"
    [[ -s $S/a/error ]] || fail "error is empty"
    works rmdir "$V/jobs/$(quick ls "$V/jobs" | head -n 1)"
    works cat "$V/wait"
}

test_case a_failed_job_makes_wait_fail
