# How mount(8) starts it and SIGTERM ends it, with real VMs; and a root whose name holds a space.
. "$(dirname "$0")/lib.sh"
mv "$EMBED" "$WORK/em bed"
EMBED="$WORK/em bed"
URI="qemu:///embed?root=$WORK/em%20bed"

daemon_pid() { pgrep -f -- "mount.fuse.vmsnapfs qemu:///embed.root=$WORK/em" | head -n 1; }

# mount(8) gives its helpers no PATH, and libvirt and we look for programs of QEMU.
mounted_without_a_path() {
    local vm=web
    ln -s "$PROGRAM" "$WORK/mount.fuse.vmsnapfs"
    timeout $PATIENCE env -i "$WORK/mount.fuse.vmsnapfs" "$URI" "$MNT" -o rw,nofail,config=/dev/null -t fuse.vmsnapfs || { fail "it ended with $?"; return 1; }
    DAEMON=$(daemon_pid)
    listed_vm $vm || { fail "VM $vm is not listed: $(cat "$MNT/.vmsnapfs/status")"; return 1; }
    scribble $vm 1 && snap $vm off && scribble $vm 2 && start $vm && snap $vm on && scribble $vm 3 && check $vm && stop $vm &&
        drop $vm off && check $vm && drop $vm on && check $vm || return
    umount "$MNT" && wait_for is_over "$DAEMON" && DAEMON=
}
is_over() { gone "$1" 2> /dev/null || grep -q '^State:.Z' "/proc/$1/status"; }

# The merge goes on in QEMU, and the next daemon takes it up.
ended_in_a_merge() {
    local vm=web status
    mount_tree && start $vm && write $vm 7 1M 8M && snap $vm old && write $vm 8 2M 8M && check $vm || return
    echo 1M > "$MNT/$vm/policy/bandwidth"
    write $vm 9 0 14M && rmdir "$MNT/$vm/snapshots/old" && expect_drop $vm old && wait_for test -e "$MNT/.vmsnapfs/jobs/1" || return
    kill -TERM "$DAEMON"
    wait_for is_over "$DAEMON" || return
    wait "$DAEMON"
    status=$?
    DAEMON=
    [[ $status == 0 ]] || { fail "it ended with $status"; return 1; }
    ! mountpoint -q "$MNT" || { fail "it is still mounted"; return 1; }
    [[ -n $(qemu_pids) ]] || { fail "the VM is gone"; return 1; }
    mount_tree && echo 0 > "$(echo "$MNT/$vm"/jobs/*)/bandwidth" && [[ $(state $vm) == running ]] || { fail "the VM does not run"; return 1; }
    idle $vm && listed $vm "" && check $vm && stop $vm && umount_tree
}

vm_make web 2
case_run "mount(8) gives no PATH; a root with a space" mounted_without_a_path
case_run "SIGTERM in a live merge: parked and taken up" ended_in_a_merge
