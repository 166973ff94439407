# What hangs does not keep vmsnapfs from ending: a libvirtd, a QEMU, a storage. Whoever waits is answered, the tree is unmounted, and the
# next daemon brings to its end what was left.
. "$(dirname "$0")/lib.sh"
STORE=$WORK/store
HUNG= # the process id of what is stopped

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
hang() { HUNG=$1 && kill -STOP "$1"; }
# Also after a failed case.
revive() {
    [[ -z $HUNG ]] || kill -CONT "$HUNG"
    HUNG=
    fsfreeze -u "$STORE" 2> /dev/null
    [[ -n $DAEMON ]] || { mount_tree && wait_for listed_vm one; }
}
trap '[[ -z $HUNG ]] || kill -CONT "$HUNG"; fsfreeze -u "$STORE" 2> /dev/null; end' EXIT

pending() { # VM: somebody waits for a snapshot that does not come; PENDING
    mkdir "$MNT/$1/snapshots/hung" 2> "$WORK/said-$1" &
    PENDING=$!
    wait_for grep -qx mkdir "/proc/$PENDING/comm" && wait_for waits "$PENDING"
}
waits() { grep -q '^83 ' "/proc/$1/syscall"; } # mkdir(2)
told() { # VM PID WHAT: it was answered, and how
    wait_for gone "$2" && ! wait "$2" && grep -q "$3" "$WORK/said-$1" || fail "mkdir of $1 said '$(cat "$WORK/said-$1")'"
}
not_mounted() { ! mountpoint -q "$MNT"; }
ended_with() {
    local status
    wait_for gone "$DAEMON" || return
    wait "$DAEMON"
    status=$?
    DAEMON=
    [[ $status == "$1" ]] || fail "it ended with $status: $(tail -n 2 "$WORK/daemon.log")"
}

# It has begun nothing: who waits is told so at once, and all ends in order when libvirt is known to be lost.
libvirtd_hangs() {
    hang "$LIBVIRTD" && pending one && kill -TERM "$DAEMON" && PATIENCE=10 told one "$PENDING" 'Interrupted system call' && ended_with 0 && not_mounted || return
    revive && listed one "" && snap one s1 && check one && drop one s1 && check one
}

# The one waits for QEMU, in libvirt, the other in the kernel. Neither ends, but vmsnapfs does. Who had begun nothing when it came hears EINTR, else EIO.
qemu_and_storage_hang() {
    local one cold since=$SECONDS
    start one && hang "$(qemu_pids)" && fsfreeze -f "$STORE" && pending one && one=$PENDING && pending cold && cold=$PENDING || return
    exec 9< "$MNT/one"
    kill -TERM "$DAEMON"
    told one "$one" 'Input/output error\|Interrupted' && told cold "$cold" 'Input/output error\|Interrupted' && wait_for not_mounted && ((SECONDS - since < 70)) || fail "after $((SECONDS - since)) s"
    timeout 10 ls /proc/self/fd/9/ > /dev/null 2>&1
    [[ $? != 124 ]] || fail "who stands in the tree hangs"
    exec 9<&-
    grep -q 'vmsnapfs ends without them.*VMs: .*one' "$WORK/daemon.log" || fail "the log says: $(tail -n 3 "$WORK/daemon.log")"
    kill -CONT "$HUNG" && HUNG= && fsfreeze -u "$STORE" && ended_with 1 && [[ -z $FAILED ]] && mount_tree && wait_for listed_vm cold && found one "$IMAGES" && found cold "$STORE"
}
# Whether it came to be after all is not known. Removing it, and another one, works.
found() { # VM DIR
    stop "$1" && idle "$1" || return
    [[ ! -d $MNT/$1/snapshots/hung ]] || expect_snap "$1" hung
    check "$1" "$2" && start "$1" && scribble "$1" 3 && snap "$1" s1 && check "$1" "$2" && drop "$1" s1 && check "$1" "$2" || return
    [[ ! -d $MNT/$1/snapshots/hung ]] || drop "$1" hung
    check "$1" "$2" && listed "$1" "" && stop "$1"
}

# A file system of its own that can be frozen: who writes to it then stands still in the kernel, where no signal finds him.
STORED=
if loop_devices; then # before libvirtd, which is to see it
    store_loop 64 || { echo "not ok hangs: a file system of its own - it was not made"; exit 1; }
    STORED=1
fi
libvirtd_begin && libvirtd_start || { echo "not ok hangs: a private libvirtd - $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make one 1 && define one 1 || exit 1
[[ -z $STORED ]] || { vm_make cold 1 qcow2 16M "$STORE" && define cold 1 qcow2 "$STORE"; } || exit 1
mount_tree && wait_for listed_vm one || exit 1
case_run "libvirtd hangs: SIGTERM ends vmsnapfs" libvirtd_hangs
if [[ -n $STORED ]]; then
    case_run "a QEMU and a storage hang: SIGTERM ends vmsnapfs" qemu_and_storage_hang
else
    echo "skip a QEMU and a storage hang: SIGTERM ends vmsnapfs - no loop device can be had here"
fi
umount_tree
[[ -z $STORED ]] || umount "$STORE"
