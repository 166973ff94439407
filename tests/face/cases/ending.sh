# SIGTERM: what is pending is answered, what goes on is parked, the tree is unmounted; and the service manager is told.
. "$FACE/lib.sh"
# Numbers of x86_64, where this is tested: what a process or thread is in, as /proc tells root.
READ=0 MKDIR=83 NANOSLEEP=230
is_in() { grep -qsE "^$1 " "${@:2}"; }
takes_its_time() { is_in $NANOSLEEP "/proc/$DAEMON"/task/*/syscall; } # in a call that slow_ms makes slow
mount_slow() { # SLOW_MS
    echo "slow_ms: $1" | host_file two.yaml
    echo 'job_blocks_per_look: 0' >> "$WORK/host.yaml" # merges of running VMs stand still
    mount_tree
}
take_pending() { # the snapshot is being taken, and who takes it waits
    mkdir "$1/snapshots/pending" 2> "$WORK/pending" &
    PENDING=$!
    wait_until "the snapshot is being taken" takes_its_time
}
ends_in_order() {
    local pid=$DAEMON
    kill -TERM "$pid"
    wait_until "the daemon ends" is_over "$pid" || return
    wait "$pid"
    same "exit status" 0 $?
    DAEMON=
    ! mountpoint -q "$MNT" || fail "still mounted"
}

a_merge_is_parked_and_mkdir_before_its_commit_point_gets_eintr() {
    mount_slow '{overlay: 1500}'
    start_merge "$MNT/db01" merging
    same "running jobs" 1 "$(quick ls "$MNT/.vmsnapfs/jobs" | wc -l)"
    cat "$MNT/db01/wait" > "$WORK/waited" 2> "$WORK/waiter" &
    local waiter=$!
    wait_until "somebody waits for the merge" is_in $READ "/proc/$waiter/syscall"
    take_pending "$MNT/web01"
    ends_in_order
    wait "$PENDING"
    same "status of mkdir" 1 $?
    grep -q 'Interrupted system call' "$WORK/pending" || fail "mkdir said <$(cat "$WORK/pending")>"
    grep -q 'mkdir web01/snapshots/pending EINTR: ' "$WORK/log" || fail "the log does not say it: $(tail -n 2 "$WORK/log")"
    wait "$waiter"
    same "status of who waited for the merge" 1 $?
    same "what it printed" "" "$(cat "$WORK/waited")"
    ! grep -q 'merg.*\(failed\|cancelled\)' "$WORK/log" || fail "the merge was not parked: $(grep merg "$WORK/log")"
}
past_its_commit_point_mkdir_gets_its_result() {
    mount_slow '{snapshot: 1500}'
    take_pending "$MNT/db01"
    ends_in_order
    wait "$PENDING"
    same "status of mkdir, which said <$(cat "$WORK/pending")>" 0 $?
    grep -q 'mkdir db01/snapshots/pending ok' "$WORK/log" || fail "the log does not say it: $(tail -n 2 "$WORK/log")"
}
a_removal_with_sync_is_accepted_and_gets_eintr() {
    echo 'job_blocks_per_look: 0' | host_file two.yaml
    mount_tree -o sync
    works mkdir "$MNT/db01/snapshots/merging"
    rmdir "$MNT/db01/snapshots/merging" 2> "$WORK/pending" &
    PENDING=$!
    wait_until "the merge runs" test -e "$MNT/.vmsnapfs/jobs/1"
    ends_in_order
    wait "$PENDING"
    same "status of rmdir" 1 $?
    grep -q 'EINTR: The daemon is ending; the removal is accepted' "$WORK/log" || fail "the log does not say it: $(tail -n 2 "$WORK/log")"
}

# The kernel may answer whoever reads at the end with another error than "unmounted". libfuse says so on stderr, and cancels that thread meanwhile:
# it must not leave stderr locked.
a_thread_that_fails_at_the_end_lets_others_log() {
    need cc && cc -shared -fPIC -D_GNU_SOURCE -o "$WORK/aborted.so" -x c - << 'C' || { fail "aborted.so cannot be compiled"; return; }
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <unistd.h>
static int first = 1;
static void pause_ms(int ms) /* is not cancelled */
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    usleep(1000 * ms);
    pthread_setcancelstate(state, &state);
}
ssize_t read(int fd, void *buffer, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    ssize_t got;
    *(void **)&real = dlsym(RTLD_NEXT, "read");
    got = real(fd, buffer, size);
    if (got < 0 && errno == ENODEV && __atomic_exchange_n(&first, 0, __ATOMIC_SEQ_CST)) {
        errno = ECONNABORTED;
    } else if (got < 0 && errno == ENODEV) {
        pause_ms(100);
        errno = ENODEV;
    }
    return got;
}
void perror(const char *what)
{
    static void (*real)(const char *);
    int number = errno;
    *(void **)&real = dlsym(RTLD_NEXT, "perror");
    pause_ms(500);
    errno = number;
    real(what);
}
C
    LD_PRELOAD=$WORK/aborted.so mount_slow '{overlay: 1500}'
    works mkdir "$MNT/web01/snapshots/logged"
    take_pending "$MNT/web01"
    local pid=$DAEMON
    works umount -f -l "$MNT" # who waits is sent home at once
    wait_until "the daemon ends" is_over "$pid" || kill -9 "$pid"
    wait "$pid"
    same "exit status" 0 $?
    DAEMON=
    wait "$PENDING"
    grep -q 'mkdir web01/snapshots/pending ' "$WORK/log" && ! grep '^fuse: ' "$WORK/log" || fail "the log says: $(tail -n 3 "$WORK/log")"
}
# A system call is begun before what it asks for gets here: it looks its path up first, and then it waits until somebody reads it.
who_is_just_asking_is_answered_too() {
    need cc && cc -shared -fPIC -D_GNU_SOURCE -o "$WORK/late.so" -x c - << 'C' || { fail "late.so cannot be compiled"; return; }
#include <dlfcn.h>
#include <linux/fuse.h>
#include <unistd.h>
ssize_t read(int fd, void *buffer, size_t size)
{
    static ssize_t (*real)(int, void *, size_t);
    const struct fuse_in_header *request = buffer;
    ssize_t got;
    *(void **)&real = dlsym(RTLD_NEXT, "read");
    got = real(fd, buffer, size);
    if (got >= (ssize_t)sizeof *request && request->len == got && request->opcode == FUSE_MKDIR)
        usleep(200000);
    return got;
}
C
    LD_PRELOAD=$WORK/late.so mount_slow '{}'
    mkdir "$MNT/web01/snapshots/late" 2> "$WORK/pending" &
    PENDING=$!
    wait_until "mkdir is in its call" is_in $MKDIR "/proc/$PENDING/syscall"
    exec 9< "$MNT/web01" # and who stands in the tree is not waited for
    ends_in_order
    exec 9<&-
    wait "$PENDING"
    same "status of mkdir" 1 $?
    grep -q 'Interrupted system call' "$WORK/pending" || fail "mkdir said <$(cat "$WORK/pending")>"
}
# It has let go of its mount point when it is seen to: what is mounted there from then on is somebody else's.
what_is_mounted_there_next_stays() {
    local pid
    mount_slow '{}'
    pid=$DAEMON
    exec 9< "$MNT/web01"
    kill -TERM "$pid"
    wait_until "the tree is unmounted" not_mounted
    works mount -t tmpfs none "$MNT"
    wait_until "the daemon ends" is_over "$pid"
    exec 9<&-
    wait "$pid"
    same "exit status" 0 $?
    DAEMON=
    [[ $(stat -f -c %T "$MNT") == tmpfs ]] && ! grep -i umount "$WORK/log" || fail "the mount is $(stat -f -c %T "$MNT"), and the log says: $(tail -n 2 "$WORK/log")"
    umount "$MNT"
}
not_mounted() { ! mountpoint -q "$MNT"; }
# Its log is a pipe that nobody reads: who asks waits with it, but the end comes.
a_full_log_does_not_keep_it_from_ending() {
    local pid reader
    host_file two.yaml < /dev/null
    mkfifo "$WORK/full"
    sleep 600 <> "$WORK/full" &
    reader=$!
    python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
try:
    while os.write(fd, b"x" * 4096): pass
except BlockingIOError: pass' "$WORK/full"
    "$PROGRAM" -f -o config=/dev/null "fake://$WORK/host.yaml" "$MNT" > "$WORK/full" 2>&1 &
    DAEMON=$!
    pid=$DAEMON
    wait_until "the tree is served" is_served || return
    mkdir "$MNT/web01/snapshots/logged" 2> "$WORK/pending" &
    PENDING=$!
    wait_until "somebody waits for the log" is_in $MKDIR "/proc/$PENDING/syscall"
    kill -TERM "$pid"
    wait_until "the daemon ends" is_over "$pid" || kill -9 "$pid"
    wait "$pid"
    same "exit status" 1 $?
    DAEMON=
    kill "$reader"
    wait "$PENDING"
    ! mountpoint -q "$MNT" || fail "still mounted"
}

# What systemd does for Type=notify. It may name a socket in the file system or an abstract one.
the_service_manager_is_told() {
    local address listener
    host_file two.yaml < /dev/null
    for address in "$WORK/notify" "@$WORK/notify"; do
        python3 - "$address" "$WORK/told" 2> "$WORK/listener" <<'P' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace("@", "\0", 1))
with open(sys.argv[2], "w") as out:
    print("bound", file=out, flush=True)
    for _ in range(4):
        print(s.recv(100).decode(), file=out, flush=True)
P
        listener=$!
        wait_until "somebody listens" is_told bound || { fail "$(cat "$WORK/listener")"; return; }
        NOTIFY_SOCKET=$address mount_tree
        wait_until "it is ready" is_told READY=1
        kill -HUP "$DAEMON"
        wait_until "it has reloaded" is_told $'RELOADING=1\nREADY=1'
        unmount_tree
        wait "$listener"
        same "what was told" $'bound\nREADY=1\nRELOADING=1\nREADY=1\nSTOPPING=1' "$(cat "$WORK/told")"
        rm -f "$WORK/told"
    done
}
is_told() { [[ $(cat "$WORK/told" 2> /dev/null) == *"$1" ]]; }
a_service_manager_that_is_gone_is_no_error() {
    NOTIFY_SOCKET=$WORK/none mount_tree
    works cat "$MNT/web01/state"
    unmount_tree
    grep -q 'cannot tell the service manager READY=1: No such file' "$WORK/log" || fail "the log does not say it: $(cat "$WORK/log")"
}

for name in a_merge_is_parked_and_mkdir_before_its_commit_point_gets_eintr past_its_commit_point_mkdir_gets_its_result \
    a_removal_with_sync_is_accepted_and_gets_eintr a_thread_that_fails_at_the_end_lets_others_log \
    who_is_just_asking_is_answered_too what_is_mounted_there_next_stays a_full_log_does_not_keep_it_from_ending \
    the_service_manager_is_told a_service_manager_that_is_gone_is_no_error; do
    test_case "$name"
done
