# Jobs, wait, events, progress, signals: what waits, who waits for it, and who does not.
. "$FACE/lib.sh"
# Merges of running VMs stand still until they are cancelled; snapshots of running VMs take a while.
host_file two.yaml <<'Y'
job_blocks_per_look: 0
slow_ms: {snapshot: 3000}
Y
mount_tree
V=$MNT/db01
S=$V/snapshots

cancel_all() {
    local job name
    for job in $(quick ls "$V/jobs"); do quick rmdir "$V/jobs/$job"; done
    for job in $(quick ls "$V/jobs"); do quick rmdir "$V/jobs/$job"; done
}
runs() { kill -0 "$1" 2> /dev/null; }
ended() { ! kill -0 "$1" 2> /dev/null; }
all_blocked() { # COUNT: as many processes are in a read of `wait`
    [[ $(quick pgrep -cf "cat $V/wait") -ge $1 ]]
}

a_merge_is_a_job_with_a_bar() {
    start_merge "$V" bar || return
    same kind merge "$(quick cat "$V/jobs/$job/kind")"
    same state running "$(quick cat "$V/jobs/$job/state")"
    same target bar "$(quick cat "$V/jobs/$job/target")"
    same link "../../db01/jobs/$job" "$(quick readlink "$MNT/.vmsnapfs/jobs/$job")"
    quick grep -qE '^merge vda  \[[#-]{10}\] +[0-9]+ %' "$V/progress" || fail "progress: $(quick cat "$V/progress")"
    quick grep -qE '^merge vda  \[' "$V/jobs/$job/progress" || fail "the job's progress"
    quick bash -c 'echo 50M > "$1"' - "$V/jobs/$job/bandwidth" || fail "bandwidth"
    same bandwidth 52428800 "$(quick cat "$V/jobs/$job/bandwidth")"
    refuses "Invalid argument" bash -c 'echo fast > "$1" || exit 1' - "$V/jobs/$job/bandwidth"
    refuses "Device or resource busy" mkdir "$S/b"
    same state running "$(quick cat "$V/jobs/$job/state")"
    cancel_all
}
wait_blocks_until_the_job_ends() {
    local reader status
    start_merge "$V" a || return
    timeout 60 cat "$V/wait" > "$WORK/waited" 2>&1 &
    reader=$!
    quick python3 - "$V/wait" <<'P' || fail "O_NONBLOCK and poll"
import errno, os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK)
try:
    os.read(fd, 10)
    sys.exit("read something")
except BlockingIOError:
    pass
poll = select.poll()
poll.register(fd, select.POLLIN)
sys.exit("readable" if poll.poll(300) else 0)
P
    runs "$reader" || fail "wait returned: $(cat "$WORK/waited")"
    works rmdir "$V/jobs/$job"
    wait "$reader"
    status=$?
    grep -q '^merge a: ' "$WORK/waited" || fail "it said <$(cat "$WORK/waited")>"
    same progress idle "$(quick cat "$V/progress")"
    cancel_all
    same "idle: nothing to wait for" "" "$(quick cat "$V/wait")"
}
poll_wakes_when_the_job_ends() {
    start_merge "$V" p || return
    : > "$WORK/polled"
    timeout 60 python3 - "$V/wait" > "$WORK/polled" 2>&1 <<'P' &
import os, select, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
poll = select.poll()
poll.register(fd, select.POLLIN)
print("polling", flush=True)
print("woken" if poll.poll(50000) else "not woken", flush=True)
print(len(os.read(fd, 3)), len(os.read(fd, 4096)) > 0, flush=True)
P
    reader=$!
    wait_until "it polls" grep -q polling "$WORK/polled"
    works rmdir "$V/jobs/$job"
    wait "$reader"
    same polled "polling woken 3 True " "$(tr '\n' ' ' < "$WORK/polled")"
    cancel_all
}
a_signal_ends_a_wait() {
    start_merge "$V" s || return
    local reader
    : > "$WORK/reading" > "$WORK/making"
    python3 -c '
import os, signal, sys
signal.signal(signal.SIGALRM, lambda *a: sys.exit(7))
print("reading", flush=True)
os.read(os.open(sys.argv[1], os.O_RDONLY), 10)' "$V/wait" > "$WORK/reading" &
    reader=$!
    wait_until "it reads" grep -q reading "$WORK/reading"
    kill -ALRM "$reader"
    wait_until "the reader ends" ended "$reader" || kill -KILL "$reader"
    wait "$reader"
    same status 7 $?
    works rmdir "$V/jobs/$job"
    cancel_all
}
# How long ls and cat on web01 take: the median and the longest, in microseconds.
measure() {
    quick python3 - "$MNT/web01" <<'P'
import os, statistics, sys, time
vm = sys.argv[1]
def look():
    start = time.perf_counter_ns()
    for name in os.listdir(vm + "/snapshots"):
        os.stat(vm + "/snapshots/" + name)
    open(vm + "/tree").read(), open(vm + "/status").read()
    return (time.perf_counter_ns() - start) // 1000
times = [look() for i in range(200)]
print(int(statistics.median(times)), max(times))
P
}
# A face that waited would need as long as those who block it, which is seconds: the bound leaves room for a busy machine only.
as_fast_as() { # WHAT IDLE NOW
    local idle=($2) now=($3)
    [[ ${#now[@]} -eq 2 ]] || fail "$1: nothing was measured"
    [[ ${now[0]} -le $((5 * idle[0] + 5000)) ]] || fail "$1: the median is ${now[0]} us, ${idle[0]} us when idle"
    [[ ${now[1]} -le $((idle[1] + 1000000)) ]] || fail "$1: the longest took ${now[1]} us, ${idle[1]} us when idle"
}
twenty_waiting_readers_and_a_slow_mkdir_delay_nobody_else() {
    local readers=() i maker idle
    works mkdir "$MNT/web01/snapshots/one" && works mkdir "$MNT/web01/snapshots/two" || return
    idle=$(measure)
    start_merge "$V" w || return
    for i in {1..20}; do
        timeout 60 cat "$V/wait" > /dev/null 2>&1 &
        readers+=($!)
    done
    wait_until "twenty wait" all_blocked 20
    as_fast_as "beside twenty cat wait" "$idle" "$(measure)"
    works ls -l "$MNT/web01" "$MNT/web01/snapshots" && works cat "$MNT/web01/tree" && works mkdir "$MNT/web01/snapshots/quick"
    works cat "$V/tree" && works ls "$S"
    for i in "${readers[@]}"; do runs "$i" || fail "a reader did not wait any more"; done
    works rmdir "$V/jobs/$job"
    wait "${readers[@]}"
    cancel_all
    quick mkdir "$S/slow" &
    maker=$!
    wait_until "the mkdir waits" in_mkdir "$S/slow"
    as_fast_as "beside a slow mkdir" "$idle" "$(measure)"
    works ls -l "$MNT/web01" "$MNT/web01/snapshots" && works cat "$MNT/web01/tree" && works cat "$V/progress" "$V/status" "$V/tree"
    runs "$maker" || fail "the mkdir was faster than three seconds"
    wait "$maker" || fail "the slow mkdir failed"
    exists "$S/slow/id"
    clean web01
}
# The process itself, not the timeout around it, is in mkdir(2), or in mkdirat(2) of x86 or of ARM.
in_mkdir() {
    local pid
    for pid in $(quick pgrep -f "^mkdir $1"); do grep -qE '^(83|258|34) ' "/proc/$pid/syscall" && return; done
    return 1
}
an_interrupted_mkdir_before_the_point_of_no_return_leaves_nothing() {
    local maker
    # The host is busy with its own slow snapshot of this VM; the second mkdir waits in line and is interrupted there.
    quick mkdir "$S/one" &
    maker=$!
    wait_until "the first mkdir runs" in_mkdir "$S/one"
    timeout -s INT 1 python3 -c '
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.mkdir(sys.argv[1])' "$S/two" 2> "$WORK/said"
    wait "$maker" || fail "the first mkdir failed"
    exists "$S/one/id"
    wait_until "nothing is left of the second" gone_or_never "$S/two"
}
gone_or_never() { ! quick test -e "$1"; }
stop_timer_and_window_signals_do_not_abort_a_mkdir() {
    local maker
    : > "$WORK/reading" > "$WORK/making"
    python3 -c '
import os, signal, sys
signal.signal(signal.SIGWINCH, lambda *a: None)
signal.signal(signal.SIGALRM, lambda *a: None)
signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
print("making", flush=True)
os.mkdir(sys.argv[1])' "$S/winch" > "$WORK/making" 2> "$WORK/said" &
    maker=$!
    wait_until "it makes" grep -q making "$WORK/making"
    kill -WINCH "$maker" 2> /dev/null
    kill -STOP "$maker" 2> /dev/null
    kill -CONT "$maker" 2> /dev/null
    wait "$maker" || fail "it was aborted: $(tail -n 1 "$WORK/said")"
    exists "$S/winch/id"
}
a_terminated_mkdir_after_the_point_of_no_return_is_whole() {
    # Whatever the moment, the answer and the tree agree.
    if timeout -s TERM 1.5 mkdir "$S/term" 2> /dev/null; then exists "$S/term/id"; fi
    quick ls "$S" > /dev/null
    if quick test -e "$S/term"; then same state ready "$(quick cat "$S/term/state")"; fi
}
events_are_json_lines_from_now_on() {
    local reader
    timeout 60 cat "$MNT/.vmsnapfs/events" > "$WORK/events" &
    reader=$!
    quick python3 - "$MNT/.vmsnapfs/events" <<'P' || fail "O_NONBLOCK"
import os, sys
try:
    os.read(os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK), 10)
    sys.exit(1)
except BlockingIOError:
    pass
P
    wait_until "an event comes" event_after_change "$WORK/events"
    kill "$reader"
    wait "$reader" 2> /dev/null
    quick python3 -c '
import json, sys
for line in open(sys.argv[1]): assert isinstance(json.loads(line), dict)' "$WORK/events" || fail "$(head -n 2 "$WORK/events")"
}
event_after_change() {
    quick mkdir "$MNT/web01/snapshots/e" 2> /dev/null && quick rmdir "$MNT/web01/snapshots/e"
    quick cat "$MNT/web01/wait" > /dev/null 2>&1
    [[ -s $1 ]]
}
a_slow_reader_of_events_is_told_how_many_it_lost() {
    quick timeout 28 python3 - "$MNT" <<'P' || fail "no lost line, or not at its place"
import json, os, sys
mnt = sys.argv[1]
fd = os.open(mnt + "/.vmsnapfs/events", os.O_RDONLY | os.O_NONBLOCK)
text = mnt + "/web01/policy/max_depth"
for i in range(3000):
    with open(text, "w") as f:
        f.write(str(50 + i % 2))
data = b""
while True:
    try:
        data += os.read(fd, 1000)
    except BlockingIOError:
        break
lost = [json.loads(l)["lost"] for l in data.splitlines() if b'"lost"' in l]
sys.exit(0 if len(data) < 64 * 1024 or (lost and lost[0] > 0) else 1)
P
}
sigterm_answers_all_who_wait() {
    local reader
    start_merge "$V" last || return
    timeout 60 cat "$V/wait" > /dev/null 2> "$WORK/said" &
    reader=$!
    timeout 60 cat "$MNT/.vmsnapfs/events" > /dev/null 2>> "$WORK/said" &
    wait_until "they wait" all_blocked 1
    unmount_tree || return
    wait_until "the readers end" ended "$reader"
    grep -qE "Interrupted|abort|not connected" "$WORK/said" || fail "they were told <$(cat "$WORK/said")>"
    mount_tree
}
poll_wakes_when_an_event_comes_and_never_waits_for_text() {
    local reader
    : > "$WORK/polled"
    timeout 60 python3 - "$MNT" > "$WORK/polled" 2>&1 <<'P' &
import os, select, sys
def poll(path, milliseconds):
    fd = os.open(sys.argv[1] + "/" + path, os.O_RDONLY)
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    ready = lambda ms: "ready" if poll.poll(ms) else "not ready"
    return fd, ready(milliseconds), ready
print("progress", poll("web01/progress", 0)[1])
fd, first, ready = poll(".vmsnapfs/events", 300)
print("events", first, flush=True)
print("then", ready(50000), len(os.read(fd, 4096)) > 0, flush=True)
P
    reader=$!
    wait_until "it polls" grep -q events "$WORK/polled"
    works mkdir "$MNT/web01/snapshots/polled"
    wait "$reader"
    same polled "progress ready events not ready then ready True " "$(tr '\n' ' ' < "$WORK/polled")"
    clean web01
}
sigterm_answers_a_mkdir_that_runs() {
    local maker status
    quick mkdir "$S/cut" 2> "$WORK/said" &
    maker=$!
    wait_until "the mkdir waits" in_mkdir "$S/cut"
    unmount_tree || return
    wait "$maker"
    status=$?
    [[ $status -eq 0 ]] || grep -q "Interrupted system call" "$WORK/said" || fail "it was told <$(cat "$WORK/said")>"
    mount_tree
}

for name in a_merge_is_a_job_with_a_bar wait_blocks_until_the_job_ends poll_wakes_when_the_job_ends a_signal_ends_a_wait \
    twenty_waiting_readers_and_a_slow_mkdir_delay_nobody_else an_interrupted_mkdir_before_the_point_of_no_return_leaves_nothing \
    stop_timer_and_window_signals_do_not_abort_a_mkdir a_terminated_mkdir_after_the_point_of_no_return_is_whole \
    events_are_json_lines_from_now_on a_slow_reader_of_events_is_told_how_many_it_lost \
    poll_wakes_when_an_event_comes_and_never_waits_for_text sigterm_answers_all_who_wait sigterm_answers_a_mkdir_that_runs; do
    test_case "$name"
done
