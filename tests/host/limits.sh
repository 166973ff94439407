# Merges that are limited, too slow or not wanted any more: time limit, bandwidth, cancelling; on running and on stopped VMs.
. "$(dirname "$0")/lib.sh"

job() { ls "$MNT/$1/jobs" | sort -n | tail -n 1; }
# It has begun: a merge whose turn has not come stands at 0 %, and of how much is not known.
merging() { grep -q "merge vda .*% .* of " "$MNT/$1/progress"; }
# It does not fail by itself within a minute, and does not end: QEMU's limit lets about 30 MB pass before it bites.
slow() { echo 512K > "$MNT/$1/policy/bandwidth"; }
fast() { echo 0 > "$MNT/$1/policy/bandwidth"; }
limit() { echo "$2" > "$MNT/$1/policy/merge_timeout"; }
# A snapshot s1, and much to be merged into it.
big_change() { write "$1" 1 0 4M && snap "$1" s1 && write "$1" 9 0 60M; }
failed() { [[ $(cat "$MNT/$1/snapshots/$2/state") == failed ]] || { fail "$2 is $(cat "$MNT/$1/snapshots/$2/state")"; return 1; }; }
# What QEMU says of the job on the disk of VM.
block_job() { python3 "$HERE/qmp.py" "$(qmp_socket "$1")" "info block-jobs"; }
no_block_job() { [[ $(block_job "$1") == "No active jobs" ]]; }
qemu_img() { pgrep -af "qemu-img commit .*$IMAGES/$1-"; }
no_qemu_img() { ! qemu_img "$1"; }

finishes() { # VM: without limits the removal goes through, and nothing is lost
    fast "$1" && limit "$1" 0 && rmdir "$MNT/$1/snapshots/s1" && expect_drop "$1" s1 && idle "$1" && listed "$1" "" && check "$1" && files "$1" 1
}

told_of_the_limit() {
    grep -q "ETIMEDOUT: .*took longer than policy/merge_timeout allows; raise it and remove the snapshot again" "$MNT/$1/errors" || { fail "errors: $(tail -n 2 "$MNT/$1/errors")"; return 1; }
}
runs_into_the_limit() { # VM
    limit "$1" 1 && slow "$1" && rmdir "$MNT/$1/snapshots/s1" || return
    timeout $PATIENCE cat "$MNT/$1/wait" > "$WORK/waited" 2>&1 && { fail "wait did not fail"; return 1; }
    grep -q "^merge s1: failed: .*merge_timeout" "$WORK/waited" || { fail "wait said $(cat "$WORK/waited")"; return 1; }
    expect_drop "$1" s1
    told_of_the_limit "$1" && failed "$1" s1 && [[ $(cat "$MNT/$1/jobs/$(job "$1")/state") == failed ]] || fail "the job is not failed"
}

limit_running() { # S-15, S-16
    local vm=one
    start $vm && big_change $vm && runs_into_the_limit $vm || return
    wait_for no_block_job $vm && is_state $vm running || { fail "the VM is $(state $vm)"; return 1; }
    write $vm 5 8M 1M && check $vm && finishes $vm && is_state $vm running
}
limit_stopped() { # S-15, S-16
    local vm=one
    stop $vm && big_change $vm && runs_into_the_limit $vm && wait_for no_qemu_img $vm || return
    start $vm && stop $vm && check $vm && finishes $vm
}

# The guest writes all the time, and more than the merge copies.
write_for_ever() {
    local i=0
    while [[ -e $WORK/writing ]]; do
        i=$((i + 1))
        write "$1" $((i % 250 + 1)) 0 16M || return
    done
}
never_converges() { # E-16
    local vm=one writer seen
    start $vm && big_change $vm && limit $vm 4 && slow $vm && touch "$WORK/writing" || return
    write_for_ever $vm &
    writer=$!
    rmdir "$MNT/$vm/snapshots/s1" && wait_for merging $vm && seen=$(cat "$MNT/$vm/progress")
    timeout $PATIENCE cat "$MNT/$vm/wait" > "$WORK/waited" 2>&1 && fail "it came to an end, having been at $seen"
    rm "$WORK/writing"
    wait $writer || { fail "the guest could not write"; return 1; }
    expect_drop $vm s1
    told_of_the_limit $vm && failed $vm s1 && stop $vm && finishes $vm
}

longer_than_patience() { # E-3: rmdir does not wait, who waits may go away, the merge goes on and ends well
    local vm=one started=$SECONDS
    start $vm && big_change $vm && slow $vm && rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && wait_for merging $vm || return
    timeout -s INT 1 cat "$MNT/$vm/wait" > /dev/null 2>&1
    grep -q "^merge vda" "$MNT/$vm/progress" && grep -q "^jobs 1$" "$MNT/$vm/status" || { fail "the merge does not go on"; return 1; }
    fast $vm
    echo 0 > "$MNT/$vm/jobs/$(job $vm)/bandwidth" && idle $vm && grep -q "^merge s1: ok" "$WORK/waited" && listed $vm "" && check $vm && files $vm 1
}

# ---- bandwidth ----

speed() { block_job "$1" | sed -n 's/.*speed limit \([0-9]*\) bytes.*/\1/p'; }
copied() { block_job "$1" | sed -n 's/.*Completed \([0-9]*\) of.*/\1/p'; }
is_speed() { [[ $(speed "$1") == "$2" ]]; }
over_30_mb() { [[ $(copied "$1") -gt 31000000 ]]; }
limited_running() {
    local vm=one id before after
    start $vm && big_change $vm && echo 4096K > "$MNT/$vm/policy/bandwidth" && rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && wait_for merging $vm || return
    id=$(job $vm)
    [[ $(cat "$MNT/$vm/jobs/$id/bandwidth") == 4194304 ]] || { fail "the job's limit is $(cat "$MNT/$vm/jobs/$id/bandwidth")"; return 1; }
    wait_for is_speed $vm 4194304 && wait_for over_30_mb $vm || return
    before=$(copied $vm) && sleep 1 && after=$(copied $vm) # at most twice what is allowed, and a slice
    ((after - before < 16777216)) || { fail "$((after - before)) bytes in about a second"; return 1; }
    echo 3M > "$MNT/$vm/jobs/$id/bandwidth" && wait_for is_speed $vm 3145728 && echo 1G > "$MNT/$vm/jobs/$id/bandwidth" || return
    idle $vm && fast $vm && listed $vm "" && check $vm && refused "Invalid" bash -c 'echo 1M > "$1" || exit 1' - "$MNT/$vm/jobs/$id/bandwidth" 
}
has_rate() { qemu_img "$1" | grep -q -- " -r $2 "; }
limited_stopped() {
    local vm=one id started=$SECONDS
    stop $vm && big_change $vm && echo 1M > "$MNT/$vm/policy/bandwidth" && rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && wait_for has_rate $vm 1048576 || return
    id=$(job $vm)
    echo 16M > "$MNT/$vm/jobs/$id/bandwidth" && wait_for has_rate $vm 16777216 && started=$SECONDS && idle $vm || return
    ((SECONDS - started >= 2)) || { fail "60 MB at 16 MiB/s took $((SECONDS - started)) s"; return 1; }
    fast $vm && listed $vm "" && check $vm && files $vm 1
}

# ---- cancelling ----

cancel() { # VM COMMAND…: with the job's directory as last argument; answered in time, and nothing goes on
    local vm=$1 started=$SECONDS id
    shift
    id=$(job "$vm")
    timeout 15 "$@" "$MNT/$vm/jobs/$id" || { fail "$* of the job failed: $(tail -n 1 "$MNT/$vm/errors")"; return 1; }
    [[ ! -e $MNT/$vm/jobs/$id ]] || { fail "the job is still there"; return 1; }
    grep -q "EINTR: The merge of snapshot s1 was cancelled; remove it again to finish" "$MNT/$vm/errors" || { fail "errors do not say so"; return 1; }
}
is_inner() { block_job "$1" | grep -q "Type commit"; }
cancelled_inner() {
    local vm=one
    start $vm && big_change $vm && snap $vm s2 && write $vm 3 1M 1M && slow $vm && rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && wait_for merging $vm || return
    wait_for is_inner $vm || { fail "QEMU: $(block_job $vm)"; return 1; }
    cancel $vm rm -r && failed $vm s1 && wait_for no_block_job $vm && check $vm || return
    fast $vm && rmdir "$MNT/$vm/snapshots/s1" && idle $vm && listed $vm "s2 " && check $vm && drop $vm s2 && check $vm && files $vm 1
}
cancelled_stopped() {
    local vm=one
    stop $vm && big_change $vm && slow $vm && rmdir "$MNT/$vm/snapshots/s1" && wait_for qemu_img $vm > /dev/null && wait_for merging $vm && cancel $vm rmdir && failed $vm s1 && wait_for no_qemu_img $vm || return
    expect_drop $vm s1
    start $vm && stop $vm && check $vm && finishes $vm
}
cancelled_unbegun() { # the second of two: it is back when its turn comes, as it was
    local vm=one id
    start $vm && big_change $vm && snap $vm s2 && write $vm 3 1M 1M && slow $vm && rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && wait_for merging $vm || return
    rmdir "$MNT/$vm/snapshots/s2" && id=$(job $vm) && timeout 15 rmdir "$MNT/$vm/jobs/$id" || { fail "cancelling $id"; return 1; }
    fast $vm && echo 0 > "$MNT/$vm/jobs/$(job $vm)/bandwidth"
    timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
    wait_for test -d "$MNT/$vm/snapshots/s2" && [[ $(cat "$MNT/$vm/snapshots/s2/state") == ready ]] && check $vm || return
    drop $vm s2 && listed $vm "" && check $vm && files $vm 1
}

vm_make one 1 qcow2 80M
mount_tree || exit 1
case_run "S-15 S-16 W2 time limit, running" limit_running
case_run "S-15 S-16 W2 time limit, stopped" limit_stopped
case_run "E-16 a guest that writes faster than the merge" never_converges
case_run "E-3 longer than the client's patience" longer_than_patience
case_run "bandwidth, running" limited_running
case_run "bandwidth, stopped" limited_stopped
case_run "cancel: inner, rm -r" cancelled_inner
case_run "cancel: stopped" cancelled_stopped
case_run "cancel: before its turn" cancelled_unbegun
stop one
umount_tree
