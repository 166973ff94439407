# policy/quiesce with guest agents of every kind, and what is shown while a guest is to be thawed.
. "$FACE/lib.sh"
n=0
{
    echo vms:
    for agent in none disconnected well silent stumbles fails empty lies stuck; do
        n=$((n + 1))
        printf '  - {name: %s, uuid: %08d-1111-4111-8111-111111111111, state: running, agent: %s, disks: [{target: vda, path: images/%s.qcow2, capacity: 1048576}]}\n' $agent $n $agent $agent
    done
    echo 'guest_writes: true'
} > "$WORK/host.yaml"
mount_tree

snapshots() { quick ls "$MNT/$1/snapshots" | wc -l; }
status_has() { quick grep -qx "$2" "$MNT/$1/status"; }

the_default_tries() { # S-2
    same policy try "$(quick cat "$MNT/well/policy/quiesce")"
    works mkdir "$MNT/well/snapshots/a" "$MNT/none/snapshots/a" "$MNT/disconnected/snapshots/a" "$MNT/fails/snapshots/a" "$MNT/empty/snapshots/a" || return
    same well frozen "$(quick cat "$MNT/well/snapshots/a/consistency")"
    local vm
    for vm in none disconnected fails empty; do same $vm crash "$(quick cat "$MNT/$vm/snapshots/a/consistency")"; done
    same "no warning" "" "$(quick cat "$MNT/none/snapshots/a/warnings")"
    quick grep -q 'not frozen' "$MNT/empty/snapshots/a/warnings" || fail "W30: no warning that nothing was frozen"
    status_has well 'frozen 0' || fail "well stays frozen"
    echo off > "$MNT/well/policy/quiesce" && works mkdir "$MNT/well/snapshots/b" && same off crash "$(quick cat "$MNT/well/snapshots/b/consistency")"
}
require_refuses_with_a_sentence() {
    local vm
    for vm in none disconnected; do
        echo require > "$MNT/$vm/policy/quiesce"
        refuses "Operation not supported" mkdir "$MNT/$vm/snapshots/b" && said $vm 'EOPNOTSUPP: ' && said $vm 'policy/quiesce is require' && same $vm 1 "$(snapshots $vm)"
    done
}
silence_is_a_timeout() {
    refuses "Connection timed out" mkdir "$MNT/silent/snapshots/a" && said silent 'ETIMEDOUT: ' && same snapshots 0 "$(snapshots silent)"
    status_has silent 'frozen 0' || fail "nothing was asked that could still happen"
}
a_lie_is_refused() { # S-32
    refuses "Input/output error" mkdir "$MNT/lies/snapshots/a" && said lies 'EIO: ' && same snapshots 0 "$(snapshots lies)"
}
a_late_freeze_has_a_job() {
    refuses "Connection timed out" mkdir "$MNT/stumbles/snapshots/a" || return
    wait_until 'stumbles says frozen 1' status_has stumbles 'frozen 1'
    local job
    job=$(quick ls "$MNT/stumbles/jobs" | tail -n 1)
    same kind thaw "$(quick cat "$MNT/stumbles/jobs/$job/kind")"
    same target stumbles "$(quick cat "$MNT/stumbles/jobs/$job/target")"
    same progress "thaw stumbles" "$(quick cat "$MNT/stumbles/progress")"
    refuses "Device or resource busy" mkdir "$MNT/stumbles/snapshots/a" && said stumbles "EBUSY: Job $job of VM stumbles"
    refuses "Device or resource busy" rmdir "$MNT/stumbles/jobs/$job"
    ! echo 5M > "$MNT/stumbles/jobs/$job/bandwidth" || fail "it took a bandwidth"
    quick python3 -c 'import sys, yaml; vm = yaml.safe_load(open(sys.argv[1])); assert vm["frozen"] and vm["jobs"][-1]["kind"] == "thaw"' "$MNT/stumbles/info.yaml" || fail info.yaml
    ! timeout 0.3 cat "$MNT/stumbles/wait" > /dev/null 2>&1 || fail "wait does not wait for it"
    works bash -c 'echo off > "$1"' - "$MNT/stumbles/state"
    works cat "$MNT/stumbles/wait" && wait_until 'stumbles says frozen 0' status_has stumbles 'frozen 0' && works mkdir "$MNT/stumbles/snapshots/a"
}
a_failed_thaw_loses_no_snapshot() { # S-33
    works mkdir "$MNT/stuck/snapshots/a" && same stuck frozen "$(quick cat "$MNT/stuck/snapshots/a/consistency")"
    quick grep -q 'could not be thawed' "$MNT/stuck/snapshots/a/warnings" || fail "no warning"
    status_has stuck 'frozen 1' || fail "frozen 0"
}

test_case the_default_tries
test_case require_refuses_with_a_sentence
test_case silence_is_a_timeout
test_case a_lie_is_refused
test_case a_late_freeze_has_a_job
test_case a_failed_thaw_loses_no_snapshot
