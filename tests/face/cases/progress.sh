# progress: a bar, bytes, the rate and the time left of every disk, for block jobs and for qemu-img's work alike.
. "$FACE/lib.sh"
cat > "$WORK/host.yaml" <<'Y'
vms:
  - name: live
    uuid: 11111111-1111-4111-8111-111111111111
    state: running
    disks: [{target: vda, path: images/live-vda.qcow2, capacity: 67108864}, {target: vdb, path: images/live-vdb.qcow2, capacity: 67108864}]
  - name: offline
    uuid: 22222222-2222-4222-8222-222222222222
    disks: [{target: vda, path: images/off-vda.qcow2, capacity: 67108864}, {target: vdb, path: images/off-vdb.qcow2, capacity: 67108864}]
guest_writes: true
job_blocks_per_look: 1
slow_ms: {commit: 300}
Y
mount_tree

# A guest writes a little at each start.
writes() { # VM TIMES
    quick bash -c 'for i in $(seq "$2"); do echo off > "$1" && echo running > "$1" || exit; done' - "$MNT/$1/state" "$2" || fail "power cycles of $1"
}
power() { quick bash -c 'echo "$1" > "$2"' - "$2" "$MNT/$1/state" || fail "$1 does not become $2"; }
shows() { # VM: each disk's line is whole
    local disk
    for disk in vda vdb; do
        quick grep -qE "^merge $disk  \[#*-*\]  [ 0-9]+ %  [0-9.]+ [KM]?i?B of [0-9.]+ [KM]iB  [0-9.]+ [KMG]?i?B/s  [0-9]+ s\$" "$MNT/$1/progress" || return
    done
}
ends_well() { # VM
    same outcome "merge a: ok" "$(quick cat "$MNT/$1/wait")"
    same idle idle "$(quick cat "$MNT/$1/progress")"
    same "lines of the finished job" 2 "$(quick grep -cE '^merge vd[ab]  \[##########\]  100 %  .*  done$' "$MNT/$1"/jobs/*/progress)"
}
a_block_job_shows_bar_bytes_rate_and_time() {
    works mkdir "$MNT/live/snapshots/a" && writes live 40 && works rmdir "$MNT/live/snapshots/a" || return
    wait_until "rate and time of both disks" shows live || { fail "$(quick cat "$MNT/live/progress")"; return; }
    ends_well live
}
the_work_of_qemu_img_shows_the_same() {
    works mkdir "$MNT/offline/snapshots/a" && power offline running || return
    writes offline 2 && power offline off && works rmdir "$MNT/offline/snapshots/a" || return
    wait_until "rate and time of both disks" shows offline || { fail "$(quick cat "$MNT/offline/progress")"; return; }
    quick grep -q '^jobs 1$' "$MNT/.vmsnapfs/status" || fail "the host's status lacks the job"
    ends_well offline
}

test_case a_block_job_shows_bar_bytes_rate_and_time
test_case the_work_of_qemu_img_shows_the_same
