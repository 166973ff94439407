# Jobs, events and numbers: cancelling with rm -r, rmdir with -o sync, every kind of event, stats, and doing nothing when idle.
. "$FACE/lib.sh"
# Merges of running VMs stand still until they are cancelled.
host_file two.yaml <<'Y'
job_blocks_per_look: 0
Y
mount_tree
V=$MNT/db01
S=$V/snapshots

has_stat() { [[ $(stat_of "$1") -ge $2 ]]; }
restart() {
    unmount_tree && mount_tree "$@"
}
over() { ! kill -0 "$1" 2> /dev/null; }

rm_r_of_a_job_cancels_it() {
    start_merge "$V" a || return
    works rm -r "$V/jobs/$job"
    absent "$V/jobs/$job"
    same state failed "$(quick cat "$S/a/state")"
    start_merge "$V" b || return
    works rm -rf "$V/jobs/$job"
    absent "$V/jobs/$job"
    same idle idle "$(quick cat "$V/progress")"
    restart
}
sweeps_end_no_job() {
    start_merge "$V" c || return
    refuses "Operation not permitted" rm -rf "$V/jobs"
    refuses "Operation not permitted" rm -rf "$V"
    same "a sweeper of our own" EPERM "$(errno_of '[os.listdir(mnt + "/db01/jobs"), os.listdir(mnt + "/db01/jobs/'"$job"'"), os.rmdir(mnt + "/db01/jobs/'"$job"'")]')"
    quick find "$V" -delete 2> /dev/null && fail "find -delete succeeded"
    same state running "$(quick cat "$V/jobs/$job/state")"
    works rmdir "$V/jobs/$job"
    restart
}
rm_r_meets_no_parent_that_has_just_gone() {
    # The list is read before the parent's merge ends, the unlink comes after it. Only a try that the kernel's second of memory holds for counts.
    quick python3 - "$MNT/web01" <<'P' || fail "unlink of the parent that has gone"
import os, sys, time
vm = sys.argv[1]
for tries in range(20):
    os.mkdir(vm + "/snapshots/p")
    os.mkdir(vm + "/snapshots/q")
    before = time.monotonic()
    assert "parent" in os.listdir(vm + "/snapshots/q")
    os.rmdir(vm + "/snapshots/p")
    open(vm + "/wait").read()
    assert not os.path.lexists(vm + "/snapshots/q/parent")
    try:
        os.unlink(vm + "/snapshots/q/parent")
        gone = True
    except FileNotFoundError:
        gone = False
    late = time.monotonic() - before > 0.9
    os.rmdir(vm + "/snapshots/q")
    open(vm + "/wait").read()
    if gone or not late:
        sys.exit(not gone)
P
    clean web01
}

# ---- -o sync ----

# One byte at a time: the first word, and how it ends.
read_bytes() {
    quick python3 - "$1" <<'P'
import errno, os, sys
fd, text = os.open(sys.argv[1], os.O_RDONLY), b""
try:
    while True:
        text += os.read(fd, 1)
except OSError as e:
    print(text.decode().split()[0] if text.endswith(b"\n") else text, errno.errorcode[e.errno])
P
}

# The process itself, not what is around it; sets $inside.
waits_in_rmdir() {
    for inside in $(quick pgrep -f "python3 - $1"); do grep -qE '^(84|263|35) ' "/proc/$inside/syscall" && return; done
    return 1
}
ctrl_c_ends_an_rmdir_with_sync_that_waits_for_its_merge() {
    local remover inside
    restart -o sync || return
    works mkdir "$S/s" || return
    timeout 60 python3 - "$S/s" > "$WORK/removed" 2>&1 <<'P' &
import os, signal, sys
signal.signal(signal.SIGINT, lambda *a: print("interrupted"))
os.rmdir(sys.argv[1])
print("removed")
P
    remover=$!
    wait_until "the merge runs" quick grep -q merge "$V/progress"
    wait_until "rmdir waits" waits_in_rmdir "$S/s"
    kill -INT "$inside"
    wait "$remover" || fail "it failed: $(cat "$WORK/removed")"
    same "what it was told" "interrupted removed " "$(tr '\n' ' ' < "$WORK/removed")"
    quick grep -q '^merge' "$V/progress" || fail "the merge does not go on"
    grep -q "its merge goes on as a job" "$WORK/log" || fail "the log does not say so"
    job=$(quick ls "$V/jobs" | sort -n | tail -n 1)
    works rmdir "$V/jobs/$job"
    same state failed "$(quick cat "$S/s/state")"
}
an_rmdir_with_sync_whose_merge_fails_says_so_and_the_entry_is_back() {
    works mkdir "$S/t" || return
    echo 1 > "$V/policy/merge_timeout"
    refuses "Connection timed out" rmdir "$S/t"
    said db01 "took longer than policy/merge_timeout allows"
    same state failed "$(quick cat "$S/t/state")"
    same wait 1 "$(quick cat "$V/wait" > "$WORK/waited" 2>&1; echo $?)"
    grep -q "^merge t: failed: " "$WORK/waited" || fail "wait said <$(cat "$WORK/waited")>"
    same "byte by byte" "merge EIO" "$(read_bytes "$V/wait")"
    grep -q "Input/output error" "$WORK/waited" || fail "wait did not fail with EIO: <$(cat "$WORK/waited")>"
    works mv "$S/t" "$S/u"
    echo 0 > "$V/policy/merge_timeout"
    restart
}

# ---- the end ----

sigterm_ends_a_read_with_eintr() {
    local reader
    start_merge "$V" w || return
    : > "$WORK/said"
    timeout 60 python3 - "$V/wait" > "$WORK/said" 2>&1 <<'P' &
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDONLY)
print("reading", flush=True)
print(libc.read(fd, ctypes.create_string_buffer(10), 10), errno.errorcode[ctypes.get_errno()])
P
    reader=$!
    wait_until "it reads" grep -q reading "$WORK/said"
    wait_until "somebody has it open" has_stat readers 1
    unmount_tree || return
    wait "$reader"
    same "what it was told" "reading -1 EINTR " "$(tr '\n' ' ' < "$WORK/said")"
    mount_tree
}

# ---- events ----

every_change_is_an_event() {
    quick python3 - "$MNT" 2> "$WORK/said" <<'P' || fail "$(tail -n 1 "$WORK/said")"
import json, os, select, sys
mnt = sys.argv[1]
vm = mnt + "/web01"
events = os.open(mnt + "/.vmsnapfs/events", os.O_RDONLY | os.O_NONBLOCK)
rest = b""
def read_one():
    global rest
    while b"\n" not in rest:
        assert select.select([events], [], [], 25)[0], "no event comes"
        rest += os.read(events, 100)
    line, rest = rest.split(b"\n", 1)
    return json.loads(line)
def expect(which, **wanted):
    while True:
        event = read_one()
        assert set(event) >= {"time", "type"}, event
        if event["type"] == which:
            assert all(event.get(k) == v for k, v in wanted.items()), (event, wanted)
            assert event.get("vm", "web01") == "web01"
            return event
def write(path, text):
    with open(vm + "/" + path, "w") as f:
        f.write(text)
hostile = 'q"uote \\ \t'.replace("\t", "tab") + "é"
os.mkdir(vm + "/snapshots/" + hostile)
expect("current")
expect("snapshot-created", snapshot=hostile, consistency="off")
write("snapshots/" + hostile + "/description", 'two\nlines "quoted"')
expect("snapshot-described", description='two\nlines "quoted"')
os.rename(vm + "/snapshots/" + hostile, vm + "/snapshots/a")
expect("snapshot-renamed", snapshot="a", **{"from": hostile})
os.chmod(vm + "/snapshots/a", 0o555)
expect("snapshot-held", snapshot="a")
os.chmod(vm + "/snapshots/a", 0o755)
expect("snapshot-released", snapshot="a", mode="0755")
os.chmod(vm + "/snapshots/a", 0o700)
expect("snapshot-mode", mode="0700")
write("policy/max_depth", "77")
expect("policy", key="max_depth", value="77", **{"from": "100"})
write("state", "running")
expect("state", state="running", **{"from": "shutoff"})
write("state", "off")
expect("state", state="shutoff")
os.mkdir(vm + "/snapshots/b")
os.symlink("snapshots/a", vm + "/x")
os.rename(vm + "/x", vm + "/current")
expect("reverted", snapshot="a")
os.mkdir(vm + "/snapshots/c")
expect("snapshot-created", snapshot="c")
os.rmdir(vm + "/snapshots/a")
expect("snapshot-hidden", snapshot="a")
try:
    os.rmdir(vm + "/snapshots/nobody")
except FileNotFoundError:
    pass
try:
    os.mkdir(vm + "/snapshots/-n")
except OSError:
    pass
expect("error", errno="EINVAL")
os.rmdir(vm + "/snapshots/b")
expect("job-started", kind="merge")
expect("snapshot-removed", snapshot="b")
expect("snapshot-gone", snapshot="b")
expect("job-ended", state="done", result="ok")
open(vm + "/wait").read()
job = os.listdir(vm + "/jobs")[0]
os.rmdir(vm + "/jobs/" + job)
expect("job-dismissed", job=int(job))
os.rmdir(vm + "/snapshots/c")
P
    clean web01
}
limits_failures_and_cancelling_are_events() {
    : > "$WORK/events"
    timeout 60 cat "$MNT/.vmsnapfs/events" > "$WORK/events" &
    local reader=$!
    wait_until "somebody reads" has_stat readers 1
    start_merge "$V" l || return
    quick bash -c 'echo 3M > "$1"' - "$V/jobs/$job/bandwidth"
    works rmdir "$V/jobs/$job"
    wait_until "the end is told" grep -q '"job-ended"' "$WORK/events"
    kill "$reader" && wait "$reader" 2> /dev/null
    grep -q '"job-limited".*"bandwidth":3145728' "$WORK/events" || fail "no limit: $(cat "$WORK/events")"
    grep -q '"snapshot-failed".*"message":"' "$WORK/events" || fail "no failure"
    grep -q '"job-ended".*"state":"cancelled"' "$WORK/events" || fail "not cancelled"
    grep -q '"error".*"errno":"EINTR"' "$WORK/events" || fail "no error"
    restart
}

# ---- numbers ----

stats_count() {
    local key value
    same "keys without a number" "" "$(quick grep -vE '^[a-z_]+ [0-9]+$' "$MNT/.vmsnapfs/stats")"
    same vms 2 "$(stat_of vms)"
    local created failed done waits
    created=$(stat_of create) failed=$(stat_of create_failed) done=$(stat_of jobs_done) waits=$(stat_of readers)
    works mkdir "$MNT/web01/snapshots/n" || return
    refuses "File exists" mkdir "$MNT/web01/snapshots/n"
    same snapshots "$(quick bash -c 'ls -d "$1"/*/snapshots/*' - "$MNT" | wc -l)" "$(stat_of snapshots)"
    works rmdir "$MNT/web01/snapshots/n" && works cat "$MNT/web01/wait"
    same create $((created + 1)) "$(stat_of create)"
    same jobs_done $((done + 1)) "$(stat_of jobs_done)"
    same readers "$waits" "$(stat_of readers)"
    start_merge "$V" n || return
    same jobs_running 1 "$(stat_of jobs_running)"
    refuses "Device or resource busy" mkdir "$S/busy"
    same create_failed $((failed + 1)) "$(stat_of create_failed)"
    works rmdir "$V/jobs/$job"
    same jobs_cancelled 1 "$(stat_of jobs_cancelled)"
    same requests_waiting 0 "$(stat_of requests_waiting)"
    restart
}
# peers: no question to libvirt for any read
walk_everywhere() {
    works find "$MNT" -ls && works ls -lR "$MNT" && works du -a "$MNT" && works df "$MNT" && works tar cf /dev/null -C "$MNT" . || return
    quick bash -c 'find "$1" -type f -exec cat {} +' - "$MNT" > "$WORK/all" || fail "cat of all"
}
walking_the_tree_asks_libvirt_nothing() {
    local before
    works mkdir "$MNT/web01/snapshots/walk" || return
    [[ $(stat_of libvirt_calls) -gt 0 ]] || fail "nothing was asked at the start"
    asks_nothing walk_everywhere
    before=$(stat_of libvirt_calls)
    works rmdir "$MNT/web01/snapshots/walk"
    works cat "$MNT/web01/wait"
    [[ $(stat_of libvirt_calls) -gt $before ]] || fail "a removal asked nothing"
    clean web01
}
# How often its threads went to sleep so far: one that polls does so all the time.
sleeps() { cat "/proc/$DAEMON"/task/*/status | awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$DAEMON/stat"; }
an_idle_daemon_uses_no_cpu() {
    local calls ticks sleeps
    works ls "$MNT" && asks_nothing sleep 1 || return
    calls=$(stat_of libvirt_calls)
    ticks=$(ticks) sleeps=$(sleeps)
    sleep 3
    [[ $(($(sleeps) - sleeps)) -le 5 ]] || fail "its threads woke up $(($(sleeps) - sleeps)) times"
    [[ $(($(ticks) - ticks)) -le 1 ]] || fail "it used $(($(ticks) - ticks)) ticks"
    same "questions to libvirt" "$calls" "$(stat_of libvirt_calls)"
}

for name in rm_r_of_a_job_cancels_it sweeps_end_no_job rm_r_meets_no_parent_that_has_just_gone \
    ctrl_c_ends_an_rmdir_with_sync_that_waits_for_its_merge an_rmdir_with_sync_whose_merge_fails_says_so_and_the_entry_is_back \
    sigterm_ends_a_read_with_eintr every_change_is_an_event limits_failures_and_cancelling_are_events stats_count \
    walking_the_tree_asks_libvirt_nothing an_idle_daemon_uses_no_cpu; do
    test_case "$name"
done
