# mount(8), fstab(5), umount(8), findmnt(8), df(1): the program as the helper that they call. In a mount namespace of its own,
# where the program is installed: its directories are hidden under ours.
if [[ -z ${INSIDE:-} ]]; then
    unshare -m true 2> /dev/null || { echo "skip mounting - no mount namespaces here"; exit 0; }
    INSIDE=1 exec unshare -m bash "$0"
fi
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
URI=fake://$WORK/host.yaml
TYPE=fuse.vmsnapfs
daemon_pid() { pgrep -f "vmsnapfs $URI $MNT( |\$)" | head -n 1; }
unmounts() { # by umount(8), and the daemon ends
    local pid
    pid=$(daemon_pid)
    [[ -n $pid ]] || { fail "there is no daemon"; return; }
    works umount "${1:-$MNT}"
    wait_until "the daemon ends" is_over "$pid"
    ! mountpoint -q "$MNT" || fail "still mounted"
}
is_mounted() { # SOURCE
    same type $TYPE "$(quick findmnt -no FSTYPE "$MNT")"
    same source "$1" "$(quick findmnt -no SOURCE "$MNT")"
    works test -e "$MNT/web01/state"
}

installed_it_has_a_helper_and_manuals() {
    local to=$WORK/installed
    DESTDIR=$to quick meson install -C "$BUILD" --no-rebuild --quiet > "$WORK/said" 2>&1 || { fail "$(cat "$WORK/said")"; return; }
    local program=$to/usr/local/bin/vmsnapfs
    [[ -x $program ]] || fail "no program"
    same helper /usr/local/bin/vmsnapfs "$(readlink "$to/usr/local/sbin/mount.fuse.vmsnapfs")"
    exists "$to/usr/local/share/man/man8/vmsnapfs.8"
    exists "$to/usr/local/share/man/man5/vmsnapfs.yaml.5"
    rm -rf "$to"
}

# ---- without a helper of our own: mount.fuse3 looks for the program in the standard path ----

mount_by_type_finds_the_program() {
    works mount -t $TYPE "$URI" "$MNT" -o config=/dev/null,nodev,noatime || return
    is_mounted "$URI"
    quick findmnt -no OPTIONS "$MNT" | grep -q 'nodev.*noatime' || fail "options: $(findmnt -no OPTIONS "$MNT")"
    quick df -T "$MNT" | grep -q "^$URI *$TYPE " || fail "df: $(df -T "$MNT")"
    quick df "$MNT/web01" | grep -q "^$URI " || fail "df in it: $(df "$MNT/web01")"
    works mkdir "$MNT/web01/snapshots/a"
    works rmdir "$MNT/web01/snapshots/a"
    unmounts
}
use_our_helper() {
    mkdir "$WORK/real-sbin" "$WORK/sbin"
    mount --bind /usr/sbin "$WORK/real-sbin" && ln -s "$WORK"/real-sbin/* "$WORK/sbin" &&
        ln -s "$PROGRAM" "$WORK/sbin/mount.fuse.vmsnapfs" && mount --bind "$WORK/sbin" /usr/sbin || fail "no helper"
}
our_helper_takes_what_mount_gives() {
    works mount -v -s -t $TYPE -o "rw,config=/dev/null,user,nofail,_netdev,auto,relatime,group=60004,x-systemd.requires=libvirtd.socket" "$URI" "$MNT" || return
    is_mounted "$URI"
    same group 60004 "$(quick stat -c %g "$MNT/web01")"
    [[ $(tr '\0' ' ' < "/proc/$(daemon_pid)/cmdline") == "/sbin/mount.fuse.vmsnapfs "* ]] || fail "the helper was not called"
    unmounts
}
mount_says_what_is_wrong_and_fails() {
    ! quick mount -t $TYPE nonsense "$MNT" -o config=/dev/null > "$WORK/said" 2>&1 || fail "it succeeded"
    grep -q '"nonsense" is no connection URI' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    ! quick mount -t $TYPE "$URI" "$MNT" -o config=/dev/null,colour=red > "$WORK/said" 2>&1 || fail "it succeeded"
    grep -q 'colour=red' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    ! mountpoint -q "$MNT" || fail "something is mounted"
}
mount_f_only_checks() {
    works mount -f -t $TYPE "$URI" "$MNT" -o config=/dev/null
    ! mountpoint -q "$MNT" || fail "it is mounted"
    ! quick mount -f -t $TYPE "$URI" "$MNT" -o config=/none > "$WORK/said" 2>&1 || fail "it does not check"
}

# ---- fstab ----

fstab() { cat > "$WORK/fstab"; }
mount_a_takes_our_line_of_fstab() {
    fstab <<< "$URI  $MNT  $TYPE  allow_other,group=60004,config=/dev/null,nofail,_netdev,x-systemd.mount-timeout=60s  0  0"
    works mount -T "$WORK/fstab" -a || return
    is_mounted "$URI"
    quick findmnt -no OPTIONS "$MNT" | grep -q allow_other || fail "options: $(findmnt -no OPTIONS "$MNT")"
    works mount -T "$WORK/fstab" -a # it is mounted already: nothing to do
    same mounts 1 "$(findmnt -n "$MNT" | wc -l)"
    unmounts
}
mount_by_mount_point_takes_the_line_and_noauto_keeps_mount_a_off() {
    fstab <<< "$URI  $MNT  $TYPE  noauto,config=/dev/null,ro  0  0"
    works mount -T "$WORK/fstab" -a
    ! mountpoint -q "$MNT" || fail "noauto was mounted"
    works mount -T "$WORK/fstab" "$MNT" || return
    is_mounted "$URI"
    refuses "Read-only file system" mkdir "$MNT/web01/snapshots/a"
    unmounts "$MNT"
}
a_line_of_fstab_may_hold_spaces() {
    local mnt=$MNT
    mkdir "$WORK/a host" "$WORK/a place"
    cp "$WORK/host.yaml" "$WORK/a host"
    MNT="$WORK/a place"
    fstab <<< "fake://$WORK/a\\040host/host.yaml  $WORK/a\\040place  $TYPE  config=/dev/null  0  0"
    if works mount -T "$WORK/fstab" -a; then
        is_mounted "fake://$WORK/a host/host.yaml"
        works umount "$MNT"
    fi
    MNT=$mnt
}

# ---- read-only, and mounting again ----

remount_is_refused_with_a_sentence() {
    works mount -t $TYPE "$URI" "$MNT" -o config=/dev/null || return
    ! quick mount -o remount,ro "$MNT" > "$WORK/said" 2>&1 || fail "it succeeded"
    grep -q 'cannot be remounted: umount it and mount it again' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    works cat "$MNT/web01/state"
}
a_kernel_made_read_only_refuses_every_change_and_reads_on() {
    works mkdir "$MNT/db01/snapshots/a" "$MNT/db01/snapshots/b"
    works mount -i -o remount,ro "$MNT" || return
    local snapshots=$MNT/db01/snapshots
    refuses "Read-only file system" mkdir "$snapshots/c"
    refuses "Read-only file system" rmdir "$snapshots/a"
    refuses "Read-only file system" mv "$snapshots/a" "$snapshots/c"
    refuses "Read-only file system" ln -sfn snapshots/a "$MNT/db01/current"
    refuses "Read-only file system" chmod a-w "$snapshots/a"
    refuses "Read-only file system" touch "$snapshots/a"
    refuses "Read-only file system" bash -c 'echo x > "$1" || exit 1' - "$snapshots/a/description"
    refuses "Read-only file system" bash -c 'echo 7 > "$1" || exit 1' - "$MNT/db01/policy/max_depth"
    refuses "Read-only file system" bash -c 'echo off > "$1" || exit 1' - "$MNT/db01/state"
    refuses "Read-only file system" rm -rf "$snapshots/a"
    same snapshots "a b " "$(names "$snapshots")"
    works cat "$MNT/db01/tree" "$MNT/db01/info.yaml" "$snapshots/a/state" "$MNT/.vmsnapfs/status"
    unmounts
}
mounted_ro_it_stays_ro_whatever_the_kernel_is_told() {
    works mount -t $TYPE "$URI" "$MNT" -o config=/dev/null,ro || return
    refuses "Read-only file system" mkdir "$MNT/web01/snapshots/a"
    works mount -i -o remount,rw "$MNT" || return
    refuses "Read-only file system" mkdir "$MNT/web01/snapshots/a"
    said web01 "mkdir web01/snapshots/a EROFS: The tree was mounted read-only; unmount it and mount it without ro"
    refuses "Read-only file system" bash -c 'echo 7 > "$1" || exit 1' - "$MNT/web01/policy/max_depth"
    refuses "Read-only file system" bash -c 'echo running > "$1" || exit 1' - "$MNT/web01/state"
    refuses "Read-only file system" ln -s snapshots/a "$MNT/web01/current"
    same snapshots "" "$(names "$MNT/web01/snapshots")"
    same state shutoff "$(quick cat "$MNT/web01/state")"
    unmounts
}

mkdir "$WORK/local"
ln -s "$PROGRAM" "$WORK/local/vmsnapfs"
mount --bind "$WORK/local" /usr/local/sbin || { echo "not ok mounting - /usr/local/sbin cannot be covered"; exit 1; }
for name in installed_it_has_a_helper_and_manuals mount_by_type_finds_the_program; do test_case "$name"; done
ONLY='' test_case use_our_helper > "$WORK/setup" || cat "$WORK/setup"
for name in our_helper_takes_what_mount_gives mount_says_what_is_wrong_and_fails mount_f_only_checks \
    mount_a_takes_our_line_of_fstab mount_by_mount_point_takes_the_line_and_noauto_keeps_mount_a_off a_line_of_fstab_may_hold_spaces \
    remount_is_refused_with_a_sentence a_kernel_made_read_only_refuses_every_change_and_reads_on \
    mounted_ro_it_stays_ro_whatever_the_kernel_is_told; do
    test_case "$name"
done
umount /usr/sbin "$WORK/real-sbin" /usr/local/sbin
