# Ctrl-C in the middle of a change (pitfall 25), on a host where each part of it takes a while. That a signal at the point of no return comes too late
# is made exact in tests/unit/test-engine.
. "$FACE/lib.sh"
host_file two.yaml <<'Y'
slow_ms: {overlay: 700, snapshot: 700, define: 700}
Y
mount_tree
S=$MNT/web01/snapshots

# The process itself is in mkdir(2), mkdirat(2), rename(2) or one of their like.
in_call() { grep -qE '^(82|83|84|258|263|264|316|34|38|276) ' "/proc/$1/syscall" 2> /dev/null; }
# And the daemon has got it: a process that is killed while it looks its path up asks for nothing.
is_asked() { in_call "$1" && [[ $(quick awk '$1 == "requests_waiting" { print $2 }' "$MNT/.vmsnapfs/stats") -gt 0 ]]; }
# press KEY-SIGNAL SECONDS COMMAND…: $status is how the command ended.
press() {
    local signal=$1 after=$2 pid
    shift 2
    env --default-signal=INT,QUIT,HUP "$@" 2> "$WORK/said" & # in the background they would be ignored
    pid=$!
    wait_until "$* waits" is_asked "$pid"
    [[ $after == 0 ]] || timeout "$after" tail -f /dev/null --pid="$pid" 2> /dev/null
    kill -"$signal" "$pid" 2> /dev/null
    wait "$pid" 2> /dev/null
    status=$?
}
idle() { same "jobs and snapshots" "0 0" "$(quick awk '/^jobs |^snapshots / { printf "%s%s", s, $2; s = " " }' "$MNT/web01/status")"; }

pitfall_25_ctrl_c_while_overlays_are_made_leaves_nothing() {
    local signal before
    before=$(quick cat "$MNT/web01/disks/vda/chain")
    for signal in INT TERM HUP; do
        press $signal 0 mkdir "$S/a"
        [[ $status -gt 128 ]] || fail "$signal: mkdir ended with $status: $(cat "$WORK/said")"
        absent "$S/a" && idle && same "$signal: chain" "$before" "$(quick cat "$MNT/web01/disks/vda/chain")" || return
        said web01 "EINTR"
    done
    works mkdir "$S/a" && works rmdir "$S/a" && works cat "$MNT/web01/wait"
}
pitfall_25_whenever_it_comes_answer_and_tree_agree() {
    local after
    for after in 1.2 1.7; do
        press INT $after mkdir "$S/b"
        if quick test -e "$S/b"; then
            same "state" ready "$(quick cat "$S/b/state")" && same "owner of the active layer" snapshots/b "$(quick readlink "$MNT/web01/current")"
            works rmdir "$S/b" && works cat "$MNT/web01/wait" || return
        else
            [[ $status -ne 0 ]] || fail "mkdir said success, and there is nothing"
        fi
        idle || return
    done
}

pitfall_25_ctrl_c_in_a_revert_leaves_the_vm_where_it_was() {
    local v=$MNT/db01 chain
    quick bash -c 'echo off > "$1"' - "$v/state" && works mkdir "$v/snapshots/a" && works mkdir "$v/snapshots/b" || return
    chain=$(quick cat "$v/disks/vda/chain")
    press INT 0 ln -sfn snapshots/a "$v/current"
    [[ $status -gt 128 ]] || fail "ln ended with $status: $(cat "$WORK/said")"
    same current snapshots/b "$(quick readlink "$v/current")" && same chain "$chain" "$(quick cat "$v/disks/vda/chain")" && said db01 EINTR
    works ln -sfn snapshots/a "$v/current" && same "current, again" snapshots/a "$(quick readlink "$v/current")"
}

for name in pitfall_25_ctrl_c_while_overlays_are_made_leaves_nothing pitfall_25_whenever_it_comes_answer_and_tree_agree \
    pitfall_25_ctrl_c_in_a_revert_leaves_the_vm_where_it_was; do
    test_case "$name"
done
