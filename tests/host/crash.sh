# kill -9 of the daemon in create, live merge, offline merge and revert, on real QEMU; after the next start everything is as before or as
# asked, nothing is half. What QEMU does meanwhile is adopted (E-5, E-6, E-9, E-11, E-12).
. "$(dirname "$0")/lib.sh"

back() { # mounted again, the VM listed and idle
    mount_tree && wait_for listed_vm "$1" && wait_for idle_quietly "$1" && unforget "$1"
}
# libvirt 9.0 writes a status file that it cannot read itself if it is killed in the end of a pivot: it takes the running VM for shut
# off. Nothing may be touched until that QEMU is gone; then all goes on.
unforget() {
    [[ $RUNS == yes && $(state "$1") == shutoff ]] || return 0
    [[ -n $(qemu_pids) ]] || { fail "$1 stopped"; return 1; }
    log "libvirt forgot that $1 runs: its QEMU is ended"
    refused "busy" mkdir "$MNT/$1/snapshots/refused" || return
    kill -9 $(qemu_pids)
    wait_for bash -c "echo running > '$MNT/$1/state'" && wait_for settled "$1" && wait_for idle_quietly "$1"
}
settled() { ! grep -q '^problem .' "$MNT/$1/status"; }
idle_quietly() { timeout $PATIENCE cat "$MNT/$1/wait" > /dev/null 2>&1 || [[ $? != 124 ]]; }
# Give a crash a moment: 0 to 1 tenths of a second, another one each time.
moment() { sleep "0.$(printf %03d "$((RANDOM % ${1:-120}))")"; }

# After a crash in mkdir NAME: it is there whole, or it is not there at all.
created_or_not() {
    if [[ -d $MNT/$1/snapshots/$2 ]]; then expect_snap "$1" "$2" && check "$1" && found_again "$1" && drop "$1" "$2"; fi
}
# In the embedded driver libvirt dies with us. Where that was between QEMU's switch and libvirt's note, the VM says so, and must be
# off once; what its guest writes until then is kept.
found_again() {
    grep -q 'lost.*track' "$MNT/$1/status" || return 0
    log "libvirt lost track of $1: it goes off for it"
    scribble "$1" 77 && check "$1" && refused "needs cleaning" mkdir "$MNT/$1/snapshots/refused" && stop "$1" && check "$1" && start "$1"
}

in_create() {
    local vm=$1 i
    for i in $(seq 4); do
        scribble $vm "$i" || return
        mkdir "$MNT/$vm/snapshots/x$i" 2> /dev/null &
        moment 150
        kill_daemon
        wait $!
        back $vm && created_or_not $vm "x$i" && check $vm && scribble $vm $((i + 50)) && check $vm || { FAILED+=" round $i"; return 1; }
    done
    files $vm 2
}

# libvirt that dies in the end of a merge inside the chain keeps the merged layer in its own: nothing is merged there until the VM was off.
drop_at_last() { # VM NAME
    if ! rmdir "$MNT/$1/snapshots/$2" 2> "$WORK/said"; then
        tail -n 1 "$MNT/$1/errors" | grep -q "EUCLEAN: .*let the VM be off once" || { fail "rmdir $2: $(tail -n 1 "$MNT/$1/errors")"; return 1; }
        log "libvirt kept a merged layer of $1: it goes off for it"
        check "$1" && stop "$1" && check "$1" && start "$1" && rmdir "$MNT/$1/snapshots/$2" || return
    fi
    expect_drop "$1" "$2" && idle "$1"
}
in_live_merge() { # adopted while it runs in QEMU, and pivoted
    local vm=$1 i
    for i in 1 2 3; do
        scribble $vm 1 && snap $vm s1 && scribble $vm 2 && snap $vm s2 && write $vm 3 0 20M || return
        rmdir "$MNT/$vm/snapshots/s$((i % 2 + 1))" || return
        moment
        kill_daemon
        expect_drop $vm s$((i % 2 + 1))
        back $vm && retry_failed $vm && listed $vm "s$((2 - i % 2)) " && check $vm && drop_at_last $vm s$((2 - i % 2)) && check $vm || { FAILED+=" round $i"; return 1; }
    done
    files $vm 2
}
# A merge that a crash broke comes back as failed at worst; rmdir always finishes it (rule 4).
retry_failed() {
    local entry
    for entry in "$MNT/$1"/snapshots/*; do
        [[ -d $entry && $(cat "$entry/state") == failed ]] || continue
        if rmdir "$entry" && idle_quietly "$1" && [[ ! -d $entry ]]; then continue; fi
        # libvirt itself was killed in the one moment that it does not recover from; errors says what to do.
        tail -n 1 "$MNT/$1/errors" | grep -q 'lost track\|was not seen.*shut the VM down\|let the VM be off once' || { fail "$(tail -n 1 "$MNT/$1/errors")"; return 1; }
        log "libvirt lost track of a job: $1 goes off for it"
        stop "$1" && rmdir "$entry" && idle "$1" && start "$1" || return
    done
}

both_copy() { [[ $(grep -c ' of ' "$MNT/$1/progress") == 2 ]]; } # libvirt has told of both jobs
parked_live_merge() { # a slow one is surely running in QEMU when the daemon dies; it goes on there and is adopted
    local vm=$1
    echo 1M > "$MNT/$vm/policy/bandwidth" && scribble $vm 1 && snap $vm s1 && write $vm 3 0 100M && rmdir "$MNT/$vm/snapshots/s1" && wait_for both_copy $vm || return
    kill_daemon
    expect_drop $vm s1
    mount_tree && wait_for listed_vm $vm && wait_for grep -q % "$MNT/$vm/progress" || return
    echo 0 > "$MNT/$vm/policy/bandwidth"
    local job
    for job in "$MNT/$vm"/jobs/*; do echo 0 > "$job/bandwidth"; done
    idle $vm && listed $vm "" && check $vm && files $vm 2
}

in_offline_merge() {
    local vm=$1 i
    for i in 1 2 3 4; do
        scribble $vm 1 && snap $vm s1 && write $vm 2 0 40M && snap $vm s2 && scribble $vm 3 || return
        rmdir "$MNT/$vm/snapshots/s1" || return
        moment
        kill_daemon
        expect_drop $vm s1
        back $vm && retry_failed $vm && listed $vm "s2 " && check $vm && start $vm && stop $vm && check $vm && drop $vm s2 && check $vm || { FAILED+=" round $i"; return 1; }
    done
    files $vm 2
}

in_revert() {
    local vm=$1 i current
    scribble $vm 1 && snap $vm s1 && scribble $vm 2 && snap $vm s2 || return
    for i in 1 2 3 4; do
        scribble $vm $((i + 10)) || return
        ln -sfn snapshots/s1 "$MNT/$vm/current" 2> /dev/null &
        moment
        kill_daemon
        wait $!
        back $vm && current=$(readlink "$MNT/$vm/current") || return
        [[ $current == snapshots/s2 ]] || expect_revert $vm s1
        check $vm && start $vm && stop $vm && check $vm || { FAILED+=" round $i, current $current"; return 1; }
        revert $vm s2 && check $vm || return
    done
    drop $vm s1 && drop $vm s2 && files $vm 2
}

vm_make crash 2 qcow2 160M
mount_tree || exit 1
start crash
RUNS=yes # and is to run after each crash
case_run "kill -9 in create, running (E-11)" in_create crash
case_run "kill -9 in a live merge (E-5)" in_live_merge crash
case_run "kill -9 in a slow live merge: adopted and pivoted (E-5, E-6)" parked_live_merge crash
stop crash
RUNS=no
case_run "kill -9 in create, stopped" in_create crash
case_run "kill -9 in an offline merge (E-9)" in_offline_merge crash
case_run "kill -9 in a revert (E-12)" in_revert crash
