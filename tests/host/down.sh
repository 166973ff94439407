# libvirtd killed, stopped and replaced in every phase of the work: reads go on, changes are EHOSTDOWN with a sentence, and everything resumes by
# itself when it is back: what was begun is whole or undone, what QEMU ended meanwhile is recorded, what waits for its pivot is pivoted (E-4, E-6, E-11, E-12).
. "$(dirname "$0")/lib.sh"

VM=one
# After a failed case.
revive() {
    kill -CONT "$LIBVIRTD"
    libvirtd_kill
    libvirtd_start && wait_for fresh
}
define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
says_down() { grep -qx 'up 0' "$MNT/.vmsnapfs/status"; }
says_up() { grep -qx 'up 1' "$MNT/.vmsnapfs/status"; }
fresh() { grep -qx "stale 0" "$MNT/$VM/status" && ! grep -q '^problem .' "$MNT/$VM/status"; }
back() { libvirtd_start && wait_for says_up && wait_for fresh && idle_quietly; }
idle_quietly() { timeout $PATIENCE cat "$MNT/$VM/wait" > /dev/null 2>&1 || [[ $? != 124 ]]; }
moment() { sleep "0.$(printf %03d "$((RANDOM % $1))")"; }

# What is known is shown, and changes are refused at once, each with a sentence.
is_down() {
    local since
    wait_for says_down || return
    grep -qx "stale 1" "$MNT/$VM/status" && cat "$MNT/$VM/tree" "$MNT/$VM/disks/vda/source" > /dev/null || { fail "$(cat "$MNT/$VM/status")"; return 1; }
    since=$SECONDS
    refused "down" mkdir "$MNT/$VM/snapshots/new" && refused "down" bash -c 'echo running > "$1"' - "$MNT/$VM/state" && refused "down" bash -c 'echo 5 > "$1"' - "$MNT/$VM/policy/max_snapshots" || return
    tail -n 1 "$MNT/$VM/errors" | grep -q "EHOSTDOWN: .*libvirt" && ((SECONDS - since < 10)) || fail "after $((SECONDS - since)) s: $(tail -n 1 "$MNT/$VM/errors")"
}

# libvirt that was killed between QEMU's switch and its own note of it knows less than QEMU: the VM says so, and has to be off once.
found_again() {
    grep -q 'lost.*track' "$MNT/$VM/status" || return 0
    log "libvirt lost track of $VM: it goes off for it"
    refused "needs cleaning" mkdir "$MNT/$VM/snapshots/refused" && stop $VM && start $VM
}
# The answer of the mkdir does not matter, the tree does.
created_or_not() { if [[ -d $MNT/$VM/snapshots/$1 ]]; then expect_snap $VM "$1" && check $VM && found_again && drop $VM "$1"; fi; }

in_create() {
    local i
    for i in 1 2; do
        scribble $VM $i || return
        mkdir "$MNT/$VM/snapshots/x$i" 2> /dev/null &
        moment 120
        libvirtd_kill
        wait $!
        is_down && back && created_or_not x$i && check $VM && files $VM 1 || { FAILED+=" round $i"; return 1; }
    done
}

in_revert() {
    local i current
    scribble $VM 1 && snap $VM s1 && scribble $VM 2 && snap $VM s2 || return
    for i in 1 2; do
        scribble $VM $((i + 10)) || return
        ln -sfn snapshots/s1 "$MNT/$VM/current" 2> /dev/null &
        moment 120
        libvirtd_kill
        wait $!
        is_down && back && current=$(readlink "$MNT/$VM/current") || return
        [[ $current == snapshots/s2 ]] || expect_revert $VM s1
        check $VM && revert $VM s2 && check $VM || { FAILED+=" round $i, current $current"; return 1; }
    done
    drop $VM s1 && drop $VM s2 && files $VM 1
}

# ---- merges: QEMU goes on while libvirtd is gone ----

qmp() { python3 "$HERE/qmp.py" "$(qmp_socket $VM)" "$@"; }
copies() { grep -q ' of ' "$MNT/$VM/progress"; }
slowly() { echo 1M > "$MNT/$VM/policy/bandwidth"; }
# QEMU's job is done, or ready, without libvirt.
qemu_is_through() { qmp "info block-jobs" | grep -qE 'No active jobs|Completed ([0-9]+) of \1 bytes'; }
let_qemu_end() { # into DEVICE: its job
    DEVICE=$(qmp "info block-jobs" | sed -nE 's/.*device ([^:,]+)[:,].*/\1/p')
    [[ -n $DEVICE ]] || { fail "QEMU has no job: $(qmp "info block-jobs")"; return 1; }
    qmp "block_job_set_speed $DEVICE 0" && wait_for qemu_is_through
}
merged_after_all() { # SNAPSHOT: it is gone, never came back as failed, and everybody reads what was written
    expect_drop $VM "$1"
    echo 0 > "$MNT/$VM/policy/bandwidth"
    idle $VM && [[ ! -e $MNT/$VM/snapshots/$1 ]] && check $VM && ! grep -q "merge $VM/snapshots/$1 E" "$MNT/$VM/errors"
}

waits_for_its_pivot() { # E-6: ready while libvirtd was gone: pivoted when it is back
    start $VM && snap $VM p1 && slowly && write $VM 3 0 70M && rmdir "$MNT/$VM/snapshots/p1" && wait_for copies || return
    libvirtd_kill
    is_down && let_qemu_end && back && merged_after_all p1 && files $VM 1
}

ended_meanwhile() { # E-4: a merge inside the chain was over while libvirtd was gone: recorded when it is back
    start $VM && snap $VM i1 && slowly && write $VM 4 0 70M && snap $VM i2 && write $VM 5 1M 1M && rmdir "$MNT/$VM/snapshots/i1" && wait_for copies || return
    libvirtd_kill
    is_down && let_qemu_end && back && merged_after_all i1 && drop $VM i2 && check $VM && files $VM 1
}

# libvirt had heard of the end, had told QEMU so, and had not written it down: it drops the job, and keeps the merged layer in its chain, and
# open in QEMU. The next merge onto what is below it would end the guest.
unwritten() {
    start $VM && snap $VM k1 && write $VM 4 0 64k && snap $VM k2 && slowly && write $VM 5 0 70M && snap $VM k3 && write $VM 6 1M 1M && rmdir "$MNT/$VM/snapshots/k2" && wait_for copies || return
    libvirtd_kill
    is_down && let_qemu_end && wait_for qmp '{"execute": "job-dismiss", "arguments": {"id": "'"$DEVICE"'"}}' && back && merged_after_all k2 && files $VM 3 || return
    grep -q "dropping blockjob '$DEVICE' untracked by qemu" "$WORK/lv/log/libvirtd.log" || { fail "libvirt did not drop $DEVICE"; return 1; }
    refused "needs cleaning" rmdir "$MNT/$VM/snapshots/k1" && refused "needs cleaning" mkdir "$MNT/$VM/snapshots/k4" && grep -q "let the VM be off once" "$MNT/$VM/errors" && [[ $(state $VM) == running ]] || return
    check $VM && listed $VM "k1 k3 " && stop $VM && start $VM && drop $VM k1 && check $VM && drop $VM k3 && check $VM && files $VM 1
}

in_offline_merge() { # qemu-img needs no libvirt, the definition does
    stop $VM && snap $VM o1 && write $VM 6 0 60M && echo 30M > "$MNT/$VM/policy/bandwidth" && rmdir "$MNT/$VM/snapshots/o1" && wait_for copies || return
    libvirtd_kill
    is_down && back && merged_after_all o1 && files $VM 1 && start $VM && check $VM && stop $VM
}

# vmsnapfs was killed half-way, and somebody puts back the definition that he had saved: it names the base, which has only a part yet.
redefined_half_way() {
    local top
    stop $VM && v dumpxml --inactive $VM > "$WORK/old.xml" && snap $VM h1 && write $VM 7 0 70M && v dumpxml --inactive $VM > "$WORK/new.xml" && top=$(cat "$MNT/$VM/disks/vda/source") || return
    slowly && rmdir "$MNT/$VM/snapshots/h1" && wait_for copies && echo 0 > "$MNT/$VM/policy/bandwidth" || return
    kill_daemon
    wait_for no_qemu_img && v define "$WORK/old.xml" && mount_tree && wait_for listed_vm $VM && wait_for drifts || return
    idle_quietly # its merge was taken up, and cannot go on
    refused "needs cleaning" mkdir "$MNT/$VM/snapshots/never" && same "$WORK/expect/$VM/vda" qcow2 "$top" && ! cmp -s <(v dumpxml --inactive $VM) "$WORK/new.xml" || return
    v define "$WORK/new.xml" && wait_for agrees || return
    idle_quietly
    [[ ! -d $MNT/$VM/snapshots/h1 ]] || rmdir "$MNT/$VM/snapshots/h1" || return
    expect_drop $VM h1 && idle $VM && listed $VM "" && files $VM 1 && start $VM && check $VM && stop $VM
}
drifts() { [[ -n $(cat "$MNT/$VM/drift") ]]; }
agrees() { ! drifts; }
no_qemu_img() { ! pgrep -f "qemu-img commit .*$IMAGES/$VM-" > /dev/null; }

# ---- restarted, stopped, replaced ----

restarted_in_a_merge() { # as systemctl restart does
    start $VM && snap $VM r1 && slowly && write $VM 7 0 70M && rmdir "$MNT/$VM/snapshots/r1" && wait_for copies || return
    kill -TERM "$LIBVIRTD"
    wait "$LIBVIRTD" 2> /dev/null
    is_down && libvirtd_start && wait_for says_up && wait_for fresh && wait_for copies && echo 0 > "$(ls -vd "$MNT/$VM"/jobs/* | tail -n 1)/bandwidth" && merged_after_all r1 && files $VM 1
}

stopped() { # a libvirtd that hangs: who waits is told, and when it goes on everything does
    local maker since=$SECONDS
    kill -STOP "$LIBVIRTD"
    timeout $PATIENCE mkdir "$MNT/$VM/snapshots/hung" 2> "$WORK/said" &
    maker=$!
    cat "$MNT/$VM/tree" "$MNT/$VM/status" > /dev/null && ls "$MNT/$VM/snapshots" > /dev/null || return
    ! wait $maker && grep -q "down" "$WORK/said" && ((SECONDS - since < 60)) || fail "after $((SECONDS - since)) s: $(cat "$WORK/said")"
    is_down
    kill -CONT "$LIBVIRTD"
    wait_for says_up && wait_for fresh && [[ -z $FAILED ]] && listed $VM "" && snap $VM s1 && check $VM && drop $VM s1 && check $VM
}

interrupted_while_it_hangs() { # Ctrl-C does not wait for libvirt
    local maker since=$SECONDS
    kill -STOP "$LIBVIRTD"
    mkdir "$MNT/$VM/snapshots/hung" 2> "$WORK/said" &
    maker=$!
    wait_for grep -qx mkdir "/proc/$maker/comm" || return # before that it is this shell, with its traps
    until ! kill -0 $maker 2> /dev/null || ((SECONDS - since > 8)); do kill -TERM $maker 2> /dev/null; sleep 0.1; done
    ! kill -0 $maker 2> /dev/null || fail "mkdir still waits"
    kill -CONT "$LIBVIRTD"
    wait $maker
    wait_for says_up && wait_for fresh && [[ -z $FAILED ]] && listed $VM "" && files $VM 1 && snap $VM s1 && drop $VM s1
}

replaced() { # behind the same socket comes the libvirtd of another host: its VMs are shown; when the old one is back, so are its VMs and their snapshots
    stop $VM && snap $VM mine && scribble $VM 9 || return
    libvirtd_kill
    mv "$WORK/lv/etc/qemu" "$WORK/lv/etc/qemu.mine"
    mkdir "$WORK/lv/etc/qemu"
    libvirtd_start && vm_make stranger 1 && define stranger 1 && wait_for listed_vm stranger && wait_for vanished $VM && snap stranger s1 && check stranger && drop stranger s1
    libvirtd_kill
    rm -rf "$WORK/lv/etc/qemu" && mv "$WORK/lv/etc/qemu.mine" "$WORK/lv/etc/qemu"
    libvirtd_start && wait_for listed_vm $VM && wait_for vanished stranger && [[ -z $FAILED ]] && wait_for fresh && listed $VM "mine " && check $VM && revert $VM mine && check $VM && drop $VM mine && check $VM
}
vanished() { [[ ! -d $MNT/$1 ]]; }

undefined_in_a_merge() { # it runs on without a definition: nothing is lost, and when it is defined again removing finishes
    start $VM && snap $VM u1 && v dumpxml --inactive $VM > "$WORK/def.xml" && slowly && write $VM 8 0 70M && rmdir "$MNT/$VM/snapshots/u1" && wait_for copies || return
    v undefine $VM && let_qemu_end
    idle_quietly
    [[ $(state $VM) == running ]] || { fail "it does not run"; return 1; }
    expect_drop $VM u1
    sed -i "s#<source file='[^']*'#<source file='$(cat "$MNT/$VM/disks/vda/source")'#" "$WORK/def.xml"
    v define "$WORK/def.xml" > /dev/null && wait_for listed_vm $VM && echo 0 > "$MNT/$VM/policy/bandwidth" || return
    if [[ -d $MNT/$VM/snapshots/u1 ]]; then rmdir "$MNT/$VM/snapshots/u1" || return; fi
    idle $VM && listed $VM "" && check $VM && files $VM 1 && snap $VM s1 && drop $VM s1
}

libvirtd_begin && libvirtd_start || { echo "not ok down: a private libvirtd - $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make $VM 1 qcow2 160M
define $VM 1 && mount_tree && wait_for listed_vm $VM || exit 1
case_run "libvirtd killed in create, stopped (E-11, W3)" in_create
case_run "libvirtd killed in a revert (E-12, W20)" in_revert
case_run "libvirtd killed in an offline merge (E-9)" in_offline_merge
case_run "killed in an offline merge, and an old definition is back" redefined_half_way
start $VM
case_run "libvirtd killed in create, running (E-11, W3)" in_create
case_run "libvirtd killed: the merge waits for its pivot when it is back (E-6)" waits_for_its_pivot
case_run "libvirtd killed: an inner merge ended meanwhile (E-4, W5)" ended_meanwhile
case_run "libvirtd killed: it did not write the end of an inner merge down (E-4)" unwritten
case_run "libvirtd restarted in a live merge (E-5)" restarted_in_a_merge
case_run "a VM is undefined in a merge" undefined_in_a_merge
case_run "libvirtd hangs, with a mkdir waiting" stopped
case_run "libvirtd hangs: a mkdir is interrupted" interrupted_while_it_hangs
case_run "libvirtd replaced by that of another host" replaced
stop $VM
