# The scenarios S-1, S-3…S-12, S-24, S-25, E-28, E-29, E-39…E-41 on one VM, sourced by chains-stopped.sh and chains-running.sh.
# $MODE is stopped or running: in which state snapshots are taken and removed. Reverts always need the VM off.
# After every step every content is compared.

ready() { # VM: as the mode wants it
    if [[ $MODE == running ]]; then start "$1"; else stop "$1"; fi
}

# Forget everything: remove all snapshots, so that the next scenario starts from one file a disk.
clean() {
    local name
    for name in $(ls "$MNT/$1/snapshots"); do drop "$1" "$name" || return; done
    hidden "$1" 0 && check "$1" && files "$1" "$(ls "$MNT/$1/disks" | wc -l)"
}

s_1_and_3() { # a snapshot of all disks at one instant; the new overlay is active, current = s1
    local vm=$1 file
    file=$(cat "$MNT/$vm/disks/vda/source")
    scribble "$vm" 1 && snap "$vm" s1 && current "$vm" snapshots/s1 && check "$vm" || return
    [[ $(disk_field "$MNT/$vm/snapshots/s1" vda file) == "$file" ]] || { fail "s1 does not own the layer that was active"; return 1; }
    [[ $(cat "$MNT/$vm/snapshots/s1/consistency") == $([[ $MODE == running ]] && echo crash || echo off) ]] || { fail "consistency is $(cat "$MNT/$vm/snapshots/s1/consistency")"; return 1; }
    scribble "$vm" 2 && check "$vm" && clean "$vm"
}

s_4() { # a revert while running is refused and changes nothing
    local vm=$1
    snap "$vm" s1 && start "$vm" && refused busy ln -sfn snapshots/s1 "$MNT/$vm/current" || return
    grep -q "EBUSY" "$MNT/$vm/errors" && current "$vm" snapshots/s1 && check "$vm" && ready "$vm" && clean "$vm"
}

s_5_to_8() {
    local vm=$1 disks
    disks=$(ls "$MNT/$vm/disks" | wc -l)
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && check "$vm" || return
    revert_keeping "$vm" s1 && check "$vm" && files "$vm" $((3 * disks)) && scribble "$vm" 4 && check "$vm" || return
    snap "$vm" s3 && drop "$vm" s1 && listed "$vm" "s2 s3 " && hidden "$vm" 1 && check "$vm" || return # S-6
    drop "$vm" s2 && listed "$vm" "s3 " && hidden "$vm" 0 && files "$vm" $((2 * disks)) && check "$vm" || return # S-7
    drop "$vm" s3 && listed "$vm" "" && files "$vm" "$disks" && check "$vm"                                     # S-8
}

s_9_and_10() {
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && snap "$vm" s3 && scribble "$vm" 4 || return
    drop "$vm" s1 && listed "$vm" "s2 s3 " && check "$vm" && [[ ! -e $MNT/$vm/snapshots/s2/parent ]] || { fail "S-9"; return 1; }
    drop "$vm" s3 && check "$vm" && revert_keeping "$vm" s2 && check "$vm" && clean "$vm" || return
    scribble "$vm" 5 && snap "$vm" s1 && scribble "$vm" 6 && snap "$vm" s2 && revert_keeping "$vm" s1 && drop "$vm" s2 && current "$vm" snapshots/s1 && check "$vm" && clean "$vm"
}

s_11() {
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && snap "$vm" s3 && scribble "$vm" 4 && check "$vm" || return
    revert_keeping "$vm" s2 && scribble "$vm" 5 && snap "$vm" s4 && scribble "$vm" 6 && check "$vm" || return
    [[ $(readlink "$MNT/$vm/snapshots/s4/parent") == ../s2 ]] || { fail "S-11c: the parent of s4"; return 1; }
    drop "$vm" s2 && hidden "$vm" 1 && check "$vm" || return # S-11d
    drop "$vm" s3 && hidden "$vm" 0 && check "$vm" || return # S-11e
    [[ $(readlink "$MNT/$vm/snapshots/s4/parent") == ../s1 ]] || { fail "S-11e: the parent of s4"; return 1; }
    snap "$vm" s5 && scribble "$vm" 7 && revert_keeping "$vm" s4 && scribble "$vm" 8 && check "$vm" || return
    drop "$vm" s4 && hidden "$vm" 1 && check "$vm" || return                                   # S-11h
    drop "$vm" s5 && hidden "$vm" 0 && current "$vm" snapshots/s1 && check "$vm" || return     # S-11i
    drop "$vm" s1 && listed "$vm" "" && check "$vm" && files "$vm" "$(ls "$MNT/$vm/disks" | wc -l)" # S-11j
}

s_12() {
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && revert_keeping "$vm" s1 && drop "$vm" s1 && hidden "$vm" 1 || return
    revert_keeping "$vm" s2 && hidden "$vm" 0 && listed "$vm" "s2 " && current "$vm" snapshots/s2 && [[ ! -e $MNT/$vm/snapshots/s2/parent ]] && check "$vm" && clean "$vm"
}

s_24_and_25() { # a hidden one counts; S-25: the other power state at the removal of s1
    local vm=$1 other=${2:-}
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && snap "$vm" s3 && revert_keeping "$vm" s2 && scribble "$vm" 4 && snap "$vm" s4 || return
    drop "$vm" s2 && hidden "$vm" 1 && check "$vm" || return
    if [[ $other ]]; then if [[ $MODE == running ]]; then stop "$vm"; else start "$vm"; fi; fi
    drop "$vm" s1 && check "$vm" && revert_keeping "$vm" s3 && check "$vm" && ready "$vm" && clean "$vm"
}

e_28() { # the current leaf goes, its parent is hidden: that becomes current, and is finished with its last other child
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && revert_keeping "$vm" s1 && scribble "$vm" 3 && snap "$vm" s3 && drop "$vm" s1 && hidden "$vm" 1 || return
    drop "$vm" s3 && hidden "$vm" 1 && [[ $(readlink "$MNT/$vm/current") == hidden/* ]] && check "$vm" || { fail "E-28: current is $(readlink "$MNT/$vm/current")"; return 1; }
    drop "$vm" s2 && hidden "$vm" 0 && listed "$vm" "" && check "$vm" && files "$vm" "$(ls "$MNT/$vm/disks" | wc -l)"
}

e_29() { # reverting to current throws the active layer away, nothing else
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && revert_keeping "$vm" s1 && current "$vm" snapshots/s1 && check "$vm" && clean "$vm"
}

e_39_to_41() { # W0: the sibling must not be ruined
    local vm=$1
    e_39 "$vm" && drop "$vm" s2 && hidden "$vm" 0 && listed "$vm" "" && check "$vm" || return # E-40
    e_39 "$vm" && revert_keeping "$vm" s2 && hidden "$vm" 0 && listed "$vm" "s2 " && check "$vm" && clean "$vm" # E-41
}
e_39() {
    local vm=$1
    scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && revert_keeping "$vm" s1 && scribble "$vm" 3 && snap "$vm" s3 && revert_keeping "$vm" s1 && scribble "$vm" 4 || return
    drop "$vm" s1 && hidden "$vm" 1 && drop "$vm" s3 && hidden "$vm" 1 && listed "$vm" "s2 " && check "$vm"
}

chains() { # VM LABEL
    case_run "S-1 S-3 create, $2" s_1_and_3 "$1"
    case_run "S-4 no revert while running, $2" s_4 "$1"
    case_run "S-5 S-6 S-7 S-8 revert, hide, finish, $2" s_5_to_8 "$1"
    case_run "S-9 S-10 remove the first, the current, a side branch, $2" s_9_and_10 "$1"
    case_run "S-11 a to j, $2" s_11 "$1"
    case_run "S-12 a hidden one is finished by a revert, $2" s_12 "$1"
    case_run "S-24 hidden ones count, $2" s_24_and_25 "$1"
    case_run "S-25 hidden ones count, the other power state, $2" s_24_and_25 "$1" other
    case_run "E-28 a hidden current, $2" e_28 "$1"
    case_run "E-29 revert to current, $2" e_29 "$1"
    case_run "E-39 E-40 E-41 W0 siblings stay whole, $2" e_39_to_41 "$1"
}
