# libvirt that is not there, dies and comes back (E-4, E-5, E-38), with a private libvirtd.
. "$(dirname "$0")/lib.sh"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
says_down() { grep -qx 'up 0' "$MNT/.vmsnapfs/status"; }
says_up() { grep -qx 'up 1' "$MNT/.vmsnapfs/status"; }
stale() { grep -qx "stale $2" "$MNT/$1/status"; }

absent_at_start() { # mounted, says so, VMs appear when it comes
    mount_tree || return
    says_down || { fail "status: $(cat "$MNT/.vmsnapfs/status")"; return 1; }
    libvirtd_start && define one 2 && wait_for listed_vm one && says_up && scribble one 1 && snap one s1 && check one
}

killed() { # reads go on, changes are EHOSTDOWN, everything resumes by itself
    libvirtd_kill
    wait_for says_down && wait_for stale one 1 && listed one "s1 " || return
    refused "down" mkdir "$MNT/one/snapshots/s2" && grep -q EHOSTDOWN "$MNT/one/errors" || return
    libvirtd_start && wait_for says_up && wait_for stale one 0 && snap one s2 && check one && drop one s2 && check one
}

killed_in_a_merge() { # QEMU goes on; at the return the job is found, pivoted and recorded (E-5, E-6)
    start one && echo 1M > "$MNT/one/policy/bandwidth" && write one 4 0 90M && rmdir "$MNT/one/snapshots/s1" && wait_for grep -q % "$MNT/one/progress" || return
    expect_drop one s1
    libvirtd_kill
    wait_for says_down && libvirtd_start && wait_for says_up || return
    echo 0 > "$MNT/one/policy/bandwidth"
    wait_for unlimited_and_gone || { log "$(cat "$MNT/one/progress" "$MNT/one/errors")"; return 1; }
    check one && files one 2 && stop one
}
unlimited_and_gone() {
    local job
    for job in "$MNT"/one/jobs/*/; do [[ $(cat "$job/state") == running ]] && echo 0 > "$job/bandwidth"; done
    for job in "$MNT"/one/snapshots/s1; do [[ -d $job ]] && rmdir "$job"; done
    [[ -z $(ls "$MNT/one/snapshots") && -z $(ls "$MNT/one/hidden" 2> /dev/null) && $(find "$IMAGES" -name 'one-vd*' | wc -l) == 2 ]]
}

# QEMU has pivoted, and nobody knows; its guest writes on, flushes, and is gone. What it wrote is in the base.
killed_in_a_pivot() {
    local target base top
    define asked 1 && wait_for listed_vm asked && start asked && scribble asked 1 && snap asked p1 && scribble asked 2 && scribble asked 3 || return
    python3 "$HERE/pivot.py" "$MNT/asked/snapshots/p1" "$IMAGES/.vmsnapfs/$(uuid_of asked)/catalog.yaml" "$LIBVIRTD" "$(qmp_socket asked)" > "$WORK/pivoted" || return
    libvirtd_kill 2> /dev/null # it is dead already
    expect_drop asked p1
    wait_for says_down && wait_for stale asked 1 && scribble asked 4 && scribble asked 5 && kill -9 $(qemu_pids) && libvirtd_start && wait_for says_up && wait_for is_state asked shutoff || return
    wait_for is_asked_or_known || { fail "not asked: $(tail -n 1 "$MNT/asked/errors")"; return 1; }
    v dumpxml --inactive asked > "$WORK/def.xml"
    while read -r target base; do
        log "QEMU went on from $target $base"
        top=$(cat "$MNT/asked/disks/$target/source")
        sed -i "s#'$top'#'$base'#" "$WORK/def.xml"
        is_asked || continue
        grep -qF "$top" "$MNT/asked/drift" && grep -qF "$base" "$MNT/asked/drift" && [[ -e $top && -e $base ]] || { fail "drift: $(cat "$MNT/asked/drift")"; return 1; }
        refused "needs cleaning" mkdir "$MNT/asked/snapshots/never" && refused "needs cleaning" bash -c "echo running > '$MNT/asked/state'" || return
    done < "$WORK/pivoted"
    v define "$WORK/def.xml" && wait_for removed_again && check asked && start asked && check asked && stop asked
}
is_asked() { [[ $(cat "$MNT/asked/snapshots/p1/state" 2> /dev/null) == failed ]] && grep -q 'was not seen' "$MNT/asked/drift"; }
# libvirtd may have been faster than its end.
is_asked_or_known() { is_asked || is_removed; }
is_removed() { [[ ! -e $MNT/asked/snapshots/p1 && -z $(ls "$MNT/asked/hidden" 2> /dev/null) ]]; }
removed_again() { is_removed || { rmdir "$MNT/asked/snapshots/p1" 2> /dev/null; false; }; }

undefined_and_back() { # E-38: identity is the uuid; nothing is deleted because a domain vanished
    local name
    for name in $(ls "$MNT/one/snapshots"); do drop one "$name" || return; done
    scribble one 5 && snap one kept && scribble one 6 && v dumpxml --inactive one > "$WORK/back.xml" && v undefine one && wait_for vanished one && files one 4 || return
    sed -i 's#<name>one</name>#<name>renamed</name>#' "$WORK/back.xml"
    v define "$WORK/back.xml" && wait_for listed_vm renamed && listed renamed "kept " || return
    v undefine renamed && wait_for vanished renamed && sed -i 's#<name>renamed</name>#<name>one</name>#' "$WORK/back.xml" && v define "$WORK/back.xml" && wait_for listed_vm one && check one && revert one kept && check one && drop one kept && check one
}
vanished() { [[ ! -d $MNT/$1 ]]; }

behind_its_back() { # virsh starts and stops the VM: the tree follows by event
    v start one && wait_for is_state one running && v suspend one && wait_for is_state one paused && v destroy one && wait_for is_state one shutoff
}

# vmsnapfs and QEMU die in the end of a merge inside the chain: the header above names the base, which misses what QEMU had not written of it (here, of
# AS none: nothing; whole: all is there). Then somebody starts the VM, before vmsnapfs is back: nothing that is missing in the base may be unlinked.
started_on_the_base() { # AS
    local base top active lock
    listed_vm torn || { define torn 1 && wait_for listed_vm torn; } || return
    scribble torn 1 && snap torn s1 && scribble torn 2 && snap torn s2 && scribble torn 3 && snap torn s3 && scribble torn 4 || return
    base=$(disk_field "$MNT/torn/snapshots/s2" vda file) top=$(disk_field "$MNT/torn/snapshots/s3" vda file) active=$(cat "$MNT/torn/disks/vda/source")
    lock=$(lock_image "$base") && rmdir "$MNT/torn/snapshots/s2" && expect_drop torn s2 || return # it waits for the lock
    kill_daemon
    kill "$lock"
    [[ $1 == none ]] || qemu-img commit -q -d -f qcow2 -b "$base" "$top" || return
    qemu-img rebase -u -f qcow2 -b "$base" -F qcow2 "$active" && wait_for v start torn && mount_tree && wait_for listed_vm torn || return
    if [[ $1 == none ]]; then
        wait_for grep -qx failed "$MNT/torn/snapshots/s2/state" && grep -q "something is missing: nothing was removed" "$MNT/torn/snapshots/s2/error" || return
        [[ -e $top ]] && stop torn && drop torn s2 || return
    else
        wait_for gone_snapshot torn s2 && idle torn && [[ $(state torn) == running && ! -e $top ]] && stop torn || return
    fi
    listed torn "s1 s3 " && check torn && drop torn s1 && drop torn s3 && check torn && files torn 1
}
gone_snapshot() { [[ ! -e $MNT/$1/snapshots/$2 ]]; }

sleeps() { cat "/proc/$DAEMON"/task/*/status | awk '/^voluntary_ctxt_switches/ { sum += $2 } END { print sum }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$DAEMON/stat"; }
asked() { awk '$1 == "libvirt_calls" { print $2 }' "$MNT/.vmsnapfs/stats"; }
idle_daemon() { # events, no polling: libvirt's own keepalive is all that wakes it
    local ticks sleeps asked
    start one && wait_for is_state one running || return
    for _ in 1 2 3 4 5; do # what the start has to tell comes first
        ticks=$(ticks) sleeps=$(sleeps) asked=$(asked)
        sleep 3
        (($(sleeps) - sleeps > 10 || $(ticks) - ticks > 1)) || break
    done
    (($(sleeps) - sleeps <= 10)) || { fail "its threads woke up $(($(sleeps) - sleeps)) times in 3 s"; return 1; }
    (($(ticks) - ticks <= 1)) || { fail "it used $(($(ticks) - ticks)) ticks"; return 1; }
    ls -lR "$MNT" > /dev/null && find "$MNT" -type f -exec cat {} + > /dev/null && [[ $(asked) == "$asked" ]] || { fail "libvirt was asked $(($(asked) - asked)) times"; return 1; }
    stop one
}

libvirtd_begin || { echo "not ok libvirtd: a private one - $(cat "$WORK/lv/holder.log")"; exit 1; }
vm_make one 2 qcow2 160M
vm_make asked 1
vm_make torn 1
case_run "libvirt absent at the start" absent_at_start
case_run "libvirtd killed and back" killed
case_run "libvirtd killed in a live merge (E-5)" killed_in_a_merge
case_run "libvirtd killed in a pivot, and then QEMU: nothing is lost (E-5)" killed_in_a_pivot
case_run "events: virsh behind its back" behind_its_back
case_run "an idle daemon and who reads ask libvirt nothing" idle_daemon
case_run "a VM started after QEMU died in the end of an inner merge, which was whole" started_on_the_base whole
case_run "a VM started after QEMU died in the end of an inner merge, which was not" started_on_the_base none
case_run "undefined, renamed, defined again (E-38)" undefined_and_back
