# Files that are written: state, policy, bandwidth.
. "$FACE/lib.sh"
host_file two.yaml <<'Y'
Y
mount_tree
V=$MNT/web01

put() { quick bash -c 'printf "%s" "$1" > "$2"' - "$1" "$2" 2> "$WORK/said"; }
refused() { ! put "$1" "$2" && grep -q "$3" "$WORK/said" || fail "writing <$1>: <$(cat "$WORK/said")>, not $3"; }

state_is_asked_for_by_writing() {
    put running "$V/state" || fail "running"
    same state running "$(quick cat "$V/state")"
    put $'paused\n' "$V/state" && same state paused "$(quick cat "$V/state")"
    quick bash -c 'echo running >> "$1"' - "$V/state" && same "with O_APPEND" running "$(quick cat "$V/state")"
    quick dash -c 'echo off > "$1"' - "$V/state" && same state shutoff "$(quick cat "$V/state")"
    refused nonsense "$V/state" "Invalid argument"
    said web01 "write web01/state EINVAL"
}
a_value_is_one_write_at_offset_0() {
    refused "$(printf 'x%.0s' {1..5000})" "$V/policy/max_depth" "Invalid argument"
    same "second write" EINVAL "$(errno_of '(lambda fd: [os.write(fd, b"running\n"), os.write(fd, b"off\n")])(os.open(mnt + "/web01/state", os.O_WRONLY))')"
    same "in the middle" EINVAL "$(errno_of 'os.pwrite(os.open(mnt + "/web01/state", os.O_WRONLY), b"off", 3)')"
    same "a NUL" EINVAL "$(errno_of 'os.write(os.open(mnt + "/web01/state", os.O_WRONLY), b"off\0")')"
    put off "$V/state"
}
policies_are_checked_and_kept() {
    put 20 "$V/policy/max_snapshots" || fail "max_snapshots"
    same value 20 "$(quick cat "$V/policy/max_snapshots")"
    refused many "$V/policy/max_snapshots" "Invalid argument"
    local word
    for word in off try require; do
        put "$word" "$V/policy/quiesce" || fail "quiesce $word"
        same quiesce "$word" "$(quick cat "$V/policy/quiesce")"
    done
    refused maybe "$V/policy/quiesce" "Invalid argument"
    refused 301 "$V/policy/quiesce_timeout" "Invalid argument"
    put default "$V/policy/quiesce"
    put 0 "$V/policy/max_snapshots"
    same value 0 "$(quick cat "$V/policy/max_snapshots")"
}
a_full_quota_says_so() {
    put 1 "$V/policy/max_snapshots" && works mkdir "$V/snapshots/a" || return
    refuses "Disk quota exceeded" mkdir "$V/snapshots/b"
    put 0 "$V/policy/max_snapshots"
    clean web01
}
read_only_files_stay_so() {
    local file
    for file in uuid tree status errors policy disks/vda/source; do
        ! put x "$V/$file" || fail "$file was written"
    done
    same "open for writing" EPERM "$(errno_of 'os.open(mnt + "/web01/uuid", os.O_WRONLY)')"
    same "truncate" EPERM "$(errno_of 'os.truncate(mnt + "/web01/uuid", 0)')"
    works truncate -s 0 "$V/state"
    same state shutoff "$(quick cat "$V/state")"
}
times_move_with_what_changed() {
    # vim asks before it writes a file whose time moved since it read it.
    local state errors host
    state=$(quick stat -c %y "$V/state") errors=$(quick stat -c %y "$V/errors") host=$(quick stat -c %y "$MNT/.vmsnapfs/errors")
    refuses "Operation not permitted" touch "$V/.state.swp"
    same "state after a refusal" "$state" "$(quick stat -c %y "$V/state")"
    [[ $errors != "$(quick stat -c %y "$V/errors")" ]] || fail "errors kept its time"
    [[ $host != "$(quick stat -c %y "$MNT/.vmsnapfs/errors")" ]] || fail "the host's errors kept their time"
    put running "$V/state"
    [[ $state != "$(quick stat -c %y "$V/state")" ]] || fail "state kept its time though it changed"
    put off "$V/state"
}
errors_of_writes_come_from_write_not_close() {
    same write EINVAL "$(errno_of 'os.write(os.open(mnt + "/web01/state", os.O_WRONLY | os.O_TRUNC), b"nonsense")')"
    same close ok "$(errno_of 'os.close(os.open(mnt + "/web01/state", os.O_WRONLY | os.O_TRUNC))')"
}

drift_is_empty_and_can_be_looked_at_again() {
    same drift "" "$(quick cat "$V/drift")"
    put rescan "$V/drift" || fail "rescan: $(cat "$WORK/said")"
    refused look "$V/drift" "Invalid argument"
    said web01 "write web01/drift EINVAL: drift of"
}

for name in drift_is_empty_and_can_be_looked_at_again state_is_asked_for_by_writing a_value_is_one_write_at_offset_0 policies_are_checked_and_kept a_full_quota_says_so \
    read_only_files_stay_so times_move_with_what_changed errors_of_writes_come_from_write_not_close; do
    test_case "$name"
done
