# The program: options, errors at the start, background, signals, unmounting, a host that is down.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
URI=fake://$WORK/host.yaml

daemon_pid() { pgrep -f "^$PROGRAM .*$MNT\$" | head -n 1; }
start() { quick "$PROGRAM" -o config=/dev/null "$@" > "$WORK/said" 2>&1; }
is_unmounted() { ! mountpoint -q "$MNT"; }

help_version_and_tree_are_printed() {
    quick "$PROGRAM" --help | grep -q '^usage: vmsnapfs' || fail help
    quick "$PROGRAM" --version | grep -qE '^vmsnapfs [0-9]' || fail version
    quick "$PROGRAM" --print-tree | grep -qx 'd 0770 <vm>/snapshots' || fail tree
}
what_is_wrong_is_said_at_once() {
    ! start "$URI" "$WORK/none" && grep -q 'No such file' "$WORK/said" || fail "no mount point: $(cat "$WORK/said")"
    ! start "$URI" "$WORK/host.yaml" && grep -q 'not a directory' "$WORK/said" || fail "a file: $(cat "$WORK/said")"
    ! start "fake:///none.yaml" "$MNT" && [[ -s $WORK/said ]] || fail "no host: $(cat "$WORK/said")"
    ! start nonsense "$MNT" && [[ -s $WORK/said ]] || fail "bad uri: $(cat "$WORK/said")"
    ! start "qemu:///embed?root=/a b" "$MNT" && grep -q 'write a space as %20' "$WORK/said" || fail "uri with a space: $(cat "$WORK/said")"
    ! start -o group=no-such-group "$URI" "$MNT" && grep -q 'no-such-group' "$WORK/said" || fail "group: $(cat "$WORK/said")"
    ! start -o group=-1 "$URI" "$MNT" && grep -q 'no group "-1"' "$WORK/said" || fail "group -1: $(cat "$WORK/said")"
    ! start -o group=4294967296 "$URI" "$MNT" && grep -q '4294967296' "$WORK/said" || fail "group: $(cat "$WORK/said")"
    ! start -o nonsense "$URI" "$MNT" && grep -q 'nonsense' "$WORK/said" || fail "option: $(cat "$WORK/said")"
    ! start && grep -q 'mount point' "$WORK/said" || fail "nothing: $(cat "$WORK/said")"
    ! start a b c && [[ -s $WORK/said ]] || fail "three names"
    is_unmounted || fail "something is mounted"
}
it_returns_when_every_vm_is_listed() {
    start "$URI" "$MNT" || fail "it ended with $?: $(cat "$WORK/said")"
    same listed "db01 web01" "$(ls "$MNT" | grep -v README | tr '\n' ' ' | sed 's/ $//')"
    same "fs type" fuse.vmsnapfs "$(quick findmnt -no FSTYPE "$MNT")"
    same source "$URI" "$(quick findmnt -no SOURCE "$MNT")"
}
a_second_mount_on_the_same_place_is_refused() {
    mount_tree
    ! start "$URI" "$MNT" && grep -q 'mounted there already' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    same mounts 1 "$(findmnt -n "$MNT" | wc -l)"
    works cat "$MNT/web01/state"
    unmount_tree
}
what_is_in_the_mount_point_comes_back() {
    mkdir -p "$WORK/full" && echo kept > "$WORK/full/file"
    start "$URI" "$WORK/full" || fail "it ended with $?: $(cat "$WORK/said")"
    exists "$WORK/full/web01/state" && absent "$WORK/full/file"
    works umount "$WORK/full"
    same file kept "$(cat "$WORK/full/file")"
}
a_lazy_unmount_ends_it_when_the_last_user_has_gone() {
    local pid
    mkdir -p "$WORK/lazy"
    "$PROGRAM" -f "$URI" "$WORK/lazy" > "$WORK/said" 2>&1 &
    pid=$!
    wait_until "the tree is served" test -e "$WORK/lazy/README"
    exec 9< "$WORK/lazy/web01/errors"
    works umount -l "$WORK/lazy"
    cat <&9 > /dev/null || fail "an open file cannot be read any more"
    kill -0 "$pid" || fail "it ended though a file is open"
    exec 9<&-
    wait_until "it ends" is_over "$pid"
}
sighup_does_not_end_it_and_sigterm_unmounts() {
    local pid
    mountpoint -q "$MNT" || start "$URI" "$MNT"
    pid=$(daemon_pid)
    [[ -n $pid ]] || { fail "no daemon"; return; }
    kill -HUP "$pid"
    works cat "$MNT/web01/state"
    kill -TERM "$pid"
    wait_until "it ends" is_over "$pid"
    is_unmounted || fail "still mounted"
}
umount_ends_it() {
    local pid
    start "$URI" "$MNT" || fail start
    pid=$(daemon_pid)
    works umount "$MNT"
    wait_until "it ends" is_over "$pid"
}
it_is_a_mount_helper() {
    local pid
    start "$URI" "$MNT" -o rw,nofail,x-systemd.automount,_netdev,noatime || fail "$(cat "$WORK/said")"
    pid=$(daemon_pid)
    pid=${pid:-$(pgrep -f "^$PROGRAM .*$URI" | head -n 1)}
    works cat "$MNT/web01/state"
    works umount "$MNT"
    wait_until "it ends" is_over "$pid"
}
a_read_only_mount_changes_nothing() {
    mount_tree -o ro
    refuses "Read-only file system" mkdir "$MNT/web01/snapshots/x"
    refuses "Read-only file system" rmdir "$MNT/web01/snapshots"
    refuses "Read-only file system" bash -c 'echo off > "$1" || exit 1' - "$MNT/web01/state"
    works cat "$MNT/web01/tree"
    unmount_tree
}
with_sync_rmdir_answers_when_merged() {
    mount_tree -o sync
    works mkdir "$MNT/db01/snapshots/a" && works rmdir "$MNT/db01/snapshots/a"
    same progress idle "$(quick cat "$MNT/db01/progress")"
    absent "$MNT/db01/hidden"
    unmount_tree
}
a_host_that_is_down_is_no_error() {
    cp "$WORK/host.yaml" "$WORK/up.yaml"
    echo 'down: true' >> "$WORK/host.yaml"
    start "$URI" "$MNT" || fail "it did not mount: $(cat "$WORK/said")"
    quick grep -qx 'stale 1' "$MNT/.vmsnapfs/status" || fail "status: $(quick cat "$MNT/.vmsnapfs/status")"
    quick grep -q '^problem .' "$MNT/.vmsnapfs/status" || fail "no problem is named"
    works umount "$MNT"
    cp "$WORK/up.yaml" "$WORK/host.yaml"
}
sigint_ends_it_in_the_foreground() {
    local pid
    bash -c 'trap - INT; exec "$@"' - "$PROGRAM" -f "$URI" "$MNT" > "$WORK/log" 2>&1 &
    DAEMON=$!
    wait_until "the tree is served" is_served
    kill -TERM "$DAEMON"
    pid=$DAEMON
    wait_until "it ends" is_over "$pid"
    wait "$pid"
    same status 0 $?
    DAEMON=
    is_unmounted || fail "still mounted"
}
nothing_is_in_the_mount_when_it_is_idle() {
    local before after
    mount_tree
    before=$(awk '{print $14 + $15}' "/proc/$DAEMON/stat")
    works cat "$MNT/web01/tree"
    same "open files in the mount" "" "$(quick find "/proc/$DAEMON/fd" -lname "$MNT/*")"
    same "working directory elsewhere" 0 "$(quick readlink "/proc/$DAEMON/cwd" | grep -c "^$MNT")"
    after=$(awk '{print $14 + $15}' "/proc/$DAEMON/stat")
    [[ $((after - before)) -lt 100 ]] || fail "an idle daemon used $((after - before)) ticks"
    unmount_tree
}

for name in help_version_and_tree_are_printed what_is_wrong_is_said_at_once it_returns_when_every_vm_is_listed \
    sighup_does_not_end_it_and_sigterm_unmounts umount_ends_it a_second_mount_on_the_same_place_is_refused \
    what_is_in_the_mount_point_comes_back a_lazy_unmount_ends_it_when_the_last_user_has_gone it_is_a_mount_helper a_read_only_mount_changes_nothing \
    with_sync_rmdir_answers_when_merged a_host_that_is_down_is_no_error sigint_ends_it_in_the_foreground \
    nothing_is_in_the_mount_when_it_is_idle; do
    test_case "$name"
done
