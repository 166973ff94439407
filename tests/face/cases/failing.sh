# A merge that fails: who waits is told, and the snapshot comes back.
. "$FACE/lib.sh"
# Two merges of 16 blocks each, and room for 29: each could be done, both together cannot. Both begin, since the first one takes the room little by
# little, 13 blocks of it in more than three seconds.
cat > "$WORK/host.yaml" <<'Y'
vms:
  - name: one
    uuid: 11111111-1111-4111-8111-111111111111
    state: running
    disks: [{target: vda, path: images/one.qcow2, capacity: 67108864}]
  - name: two
    uuid: 22222222-2222-4222-8222-222222222222
    state: running
    disks: [{target: vda, path: images/two.qcow2, capacity: 67108864}]
guest_writes: true
slow_ms: {commit: 250}
free_bytes: 1900544
Y
mount_tree

prepare() { # VM: off, with a snapshot whose overlay holds what its guest wrote twice
    works mkdir "$MNT/$1/snapshots/a" || return
    quick bash -c 'echo off > "$1" && echo running > "$1" && echo off > "$1"' - "$MNT/$1/state" || fail "power cycle of $1"
}
a_failed_job_makes_wait_fail() {
    local vm failed=
    prepare one && prepare two || return
    works rmdir "$MNT/one/snapshots/a" && works rmdir "$MNT/two/snapshots/a" || return
    for vm in one two; do
        quick cat "$MNT/$vm/wait" > "$WORK/$vm" 2>&1 || failed=$vm
    done
    [[ -n $failed ]] || { fail "both merges found room"; return; }
    grep -q '^merge a: failed: .' "$WORK/$failed" || fail "it said $(cat "$WORK/$failed")"
    grep -q 'make room there' "$WORK/$failed" || fail "it said $(cat "$WORK/$failed")"
    said "$failed" "ENOSPC: "
    vm=$MNT/$failed
    ! quick cat "$vm/wait" > /dev/null 2>&1 || fail "a failed job that nobody dismissed does not count"
    same "it is back" failed "$(quick cat "$vm/snapshots/a/state")"
    works ls -l "$vm/snapshots/a"
    quick grep -q failed "$vm/tree" || fail "the tree does not say failed"
    [[ -n $(quick cat "$vm/snapshots/a/error") ]] || fail "error is empty"
    works rmdir "$vm/jobs/$(quick ls "$vm/jobs" | tail -n 1)" && works cat "$vm/wait"
}

test_case a_failed_job_makes_wait_fail
