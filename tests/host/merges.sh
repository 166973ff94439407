# Merges seen from the shell: progress, cancel, bandwidth, wait, failing disks, a full store.
. "$(dirname "$0")/lib.sh"

job() { basename "$(ls -vd "$MNT/$1"/jobs/* | tail -n 1)"; }
no_job() { [[ -z $(ls "$MNT/$1/jobs" 2> /dev/null) ]]; }
# It has begun: a merge whose turn has not come stands at 0 %, and of how much is not known.
merging() { grep -q "merge vda .*% .* of " "$MNT/$1/progress"; }
# A merge that stays long enough to be looked at: QEMU's limit lets about 30 MB pass before it bites.
slow_merge() { echo 1M > "$MNT/$1/policy/bandwidth" && write "$1" 9 0 90M && rmdir "$MNT/$1/snapshots/$2"; }

progress_is_shown() {
    local vm=big id
    start $vm && write $vm 1 0 4M && snap $vm s1 && slow_merge $vm s1 && wait_for merging $vm || return
    [[ ! -e $MNT/$vm/snapshots/s1 ]] || { fail "the entry is still listed"; return 1; }
    id=$(job $vm)
    [[ $(cat "$MNT/$vm/jobs/$id/state") == running && $(cat "$MNT/$vm/jobs/$id/target") == s1 && -L $MNT/.vmsnapfs/jobs/$id ]] || { fail "jobs/$id"; return 1; }
    refused busy mkdir "$MNT/$vm/snapshots/s2" && grep -q "EBUSY" "$MNT/$vm/errors" || return
    echo 0 > "$MNT/$vm/jobs/$id/bandwidth" && expect_drop $vm s1 && idle $vm && check $vm || return
    grep -q ok "$MNT/$vm/jobs/$id/result" && rmdir "$MNT/$vm/jobs/$id" && [[ ! -e $MNT/$vm/jobs/$id ]] || { fail "dismissing"; return 1; }
}

cancelled_comes_back_failed() { # rule 4: cancelled after the first byte, it is listed as failed; a repeated rmdir finishes it
    local vm=big id
    start $vm && write $vm 1 0 4M && snap $vm s1 && slow_merge $vm s1 && wait_for merging $vm && id=$(job $vm) && rmdir "$MNT/$vm/jobs/$id" || return
    wait_for test -d "$MNT/$vm/snapshots/s1" || return
    [[ $(cat "$MNT/$vm/snapshots/s1/state") == failed && -s $MNT/$vm/snapshots/s1/error ]] || { fail "state $(cat "$MNT/$vm/snapshots/s1/state")"; return 1; }
    expect_drop $vm s1
    stop $vm && refused "" ln -sfn snapshots/s1 "$MNT/$vm/current" && start $vm || return # never a target of a revert again
    echo 0 > "$MNT/$vm/policy/bandwidth"
    rmdir "$MNT/$vm/snapshots/s1" && idle $vm && listed $vm "" && check $vm && files $vm 1
}

power_off_in_a_merge() { # the VM goes off in a live merge: what was removed is finished offline, and it starts (E-2)
    local vm=big
    start $vm && write $vm 1 0 4M && snap $vm s1 && slow_merge $vm s1 && wait_for merging $vm && stop $vm || return
    echo 0 > "$MNT/$vm/policy/bandwidth" || return
    echo 0 > "$MNT/$vm/jobs/$(job $vm)/bandwidth" # unless it has ended
    timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
    expect_drop $vm s1
    if [[ -d $MNT/$vm/snapshots/s1 ]]; then rmdir "$MNT/$vm/snapshots/s1" && idle $vm || return; fi
    listed $vm "" && check $vm && files $vm 1 && start $vm && check $vm
}

label_during_a_merge() { # E-30: names and descriptions change while a merge runs
    local vm=big
    start $vm && write $vm 1 0 4M && snap $vm s1 && snap $vm s2 && slow_merge $vm s2 && wait_for merging $vm || return
    mv "$MNT/$vm/snapshots/s1" "$MNT/$vm/snapshots/renamed" && echo "why it is kept" > "$MNT/$vm/snapshots/renamed/description" || return
    [[ $(cat "$MNT/$vm/snapshots/renamed/description") == "why it is kept" ]] || { fail "description"; return 1; }
    echo 0 > "$MNT/$vm/jobs/$(job $vm)/bandwidth"
    echo 0 > "$MNT/$vm/policy/bandwidth"
    expect_drop $vm s2 && mv "$WORK/expect/$vm/snapshots/s1.vda" "$WORK/expect/$vm/snapshots/renamed.vda" && idle $vm && listed $vm "renamed " && check $vm && drop $vm renamed && check $vm
}

second_removal_waits() { # E-32
    local vm=big
    start $vm && write $vm 1 0 1M && snap $vm s1 && write $vm 2 1M 1M && snap $vm s2 && write $vm 3 2M 1M || return
    rmdir "$MNT/$vm/snapshots/s1" "$MNT/$vm/snapshots/s2" && expect_drop $vm s1 && expect_drop $vm s2 && idle $vm && listed $vm "" && check $vm && files $vm 1
}

full_store() { # E-15: no room: refused or failed with ENOSPC, the VM unharmed; after freeing space it works
    local vm=full dir=$WORK/small
    start $vm && write $vm 1 0 4M && snap $vm s1 && write $vm 2 4M 4M && stop $vm || return
    fallocate -l "$(($(stat -f -c '%a * %S' "$dir") - 1500000))" "$dir/ballast" || return
    if rmdir "$MNT/$vm/snapshots/s1" 2> /dev/null; then
        ! timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1 || { fail "the merge had no room, yet wait said it worked"; return 1; }
    fi
    grep -q ENOSPC "$MNT/$vm/errors" || { fail "errors do not say ENOSPC"; return 1; }
    rm "$dir/ballast"
    start $vm && stop $vm && expect_drop $vm s1 && rmdir "$MNT/$vm/snapshots/s1" && idle $vm && listed $vm "" && check $vm "$dir"
}

sync_option() { # mounted with -o sync, rmdir answers when it is merged
    local vm=big
    umount_tree && mount_tree -o sync && wait_for listed_vm $vm && start $vm && write $vm 1 0 4M && snap $vm s1 && write $vm 2 0 8M || return
    rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && files $vm 1 && check $vm
}

mkdir -p "$WORK/small"
mount -t tmpfs -o size=40m none "$WORK/small" || log "no tmpfs"
vm_make big 1 qcow2 160M
vm_make full 1 qcow2 64M "$WORK/small"
mount_tree || exit 1
case_run "merge: progress, job, bandwidth, dismiss (W36)" progress_is_shown
case_run "merge: cancelled, failed, finished by rmdir (rule 4)" cancelled_comes_back_failed
case_run "merge: the VM goes off meanwhile (E-2)" power_off_in_a_merge
case_run "merge: labels change meanwhile (E-30)" label_during_a_merge
case_run "merge: a second removal waits (E-32)" second_removal_waits
case_run "merge: full store (E-15)" full_store
case_run "merge: -o sync" sync_option
stop big
stop full
umount_tree
umount "$WORK/small"
