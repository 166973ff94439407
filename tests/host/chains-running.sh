# S- and E- scenarios on running VMs: one disk, three disks; S-13 four VMs in parallel, S-14 ten disks.
. "$(dirname "$0")/lib.sh"
. "$HERE/chains.sh"
MODE=running

e_7() { # a branch outside the live chain is merged while the VM runs
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && snap "$vm" s3 && revert_keeping "$vm" s1 && scribble "$vm" 4 || return
    is_state "$vm" running && drop "$vm" s2 && listed "$vm" "s1 s3 " && check "$vm" && clean "$vm"
}

e_25() { # a VM that its owner paused stays paused
    local vm=$1
    scribble "$vm" 1 && power "$vm" paused && snap "$vm" s1 && is_state "$vm" paused || { fail "it is $(state "$vm")"; return 1; }
    [[ $(cat "$MNT/$vm/snapshots/s1/consistency") == paused ]] || { fail "consistency"; return 1; }
    scribble "$vm" 2 && check "$vm" && drop "$vm" s1 && is_state "$vm" paused && check "$vm" && start "$vm"
}

e_30() { # rename in any state: a label only
    local vm=$1 id before
    scribble "$vm" 1 && snap "$vm" s1 && id=$(cat "$MNT/$vm/snapshots/s1/id") && before=$(find "$IMAGES" -name "$vm-*" | sort | md5sum) || return
    mv "$MNT/$vm/snapshots/s1" "$MNT/$vm/snapshots/other name" || return
    [[ $(cat "$MNT/$vm/snapshots/other name/id") == "$id" && $(find "$IMAGES" -name "$vm-*" | sort | md5sum) == "$before" ]] || { fail "id or files changed"; return 1; }
    [[ $(readlink "$MNT/$vm/current") == "snapshots/other name" ]] || { fail "current"; return 1; }
    rmdir "$MNT/$vm/snapshots/other name" && idle "$vm" && expect_drop "$vm" s1 && check "$vm"
}

s_13() { # four VMs, all removals at once
    local vm pids=() pid
    for vm in p1 p2 p3 p4; do start $vm && scribble $vm 1 && snap $vm s1 && write $vm 7 0 8M || return; done
    for vm in p1 p2 p3 p4; do
        (rmdir "$MNT/$vm/snapshots/s1" && timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || { fail "a removal failed"; return 1; }; done
    for vm in p1 p2 p3 p4; do expect_drop $vm s1 && check $vm && files $vm 1 && stop $vm || return; done
}

s_14() { # ten disks, two snapshots, one after the other goes
    scribble ten 1 && snap ten s1 && scribble ten 2 && snap ten s2 && scribble ten 3 && check ten || return
    drop ten s1 && check ten && files ten 20 && drop ten s2 && check ten && files ten 10
}

vm_make one 1
vm_make three 3
vm_make ten 10
for vm in p1 p2 p3 p4; do vm_make $vm 1; done
mount_tree || exit 1
start one
chains one "1 disk, running"
stop one
start three
chains three "3 disks, running"
case_run "E-7 off-chain merge while the VM runs" e_7 three
case_run "E-25 a paused VM stays paused" e_25 three
case_run "E-30 rename is a label" e_30 three
stop three
case_run "S-13 four VMs at once" s_13
start ten
case_run "S-14 ten disks, running" s_14
stop ten
case_run "S-14 ten disks, stopped" s_14
