# Attacks through the mount: users who are not of the group, directories that were left open to them, things that no file system
# here takes, VMs with names that lead elsewhere, mount points in odd places. Those through files are in tests/host/attack.sh.
. "$FACE/lib.sh"
refused() { refuses "$@"; }
wait_for() { wait_until "$*" "$@"; }
. "$FACE/../host/canary.sh"
host_file uefi.yaml << 'Y'
  - {name: "../up", uuid: a0000000-0000-4000-8000-000000000001}
  - {name: "..", uuid: a0000000-0000-4000-8000-000000000002}
  - {name: ".", uuid: a0000000-0000-4000-8000-000000000003}
  - {name: "a/b", uuid: a0000000-0000-4000-8000-000000000004}
  - {name: "new\nline", uuid: a0000000-0000-4000-8000-000000000005}
  - {name: "escape\x9b2J", uuid: a0000000-0000-4000-8000-000000000006}
  - {name: "del\x7f", uuid: a0000000-0000-4000-8000-000000000007}
  - {name: "b0000000-0000-4000-8000-000000000001", uuid: a0000000-0000-4000-8000-000000000008}
  - {name: "current", uuid: a0000000-0000-4000-8000-000000000009}
Y
group=$(getent group nogroup > /dev/null && echo nogroup || echo nobody)
gid=$(getent group "$group" | cut -d: -f3)
trap 'canaries_end; finish' EXIT
canaries_begin secret etc/passwd
mount_tree -o "allow_other,group=$group"
V=$MNT/efi01
S=$V/snapshots

# from_inside UID GID WHAT: root opens every directory of the tree, then becomes UID and tries WHAT on all that is in them, by
# those open directories, as a program would that was given one, or was in one when it gave up being root. Prints what it tried,
# and what was not refused.
from_inside() {
    quick python3 - "$MNT" "$@" << 'P'
import errno, os, sys

mnt, uid, gid, what = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
opened = [(path, os.open(path, os.O_RDONLY), names + files) for path, names, files in os.walk(mnt)]
os.setgroups([])
os.setgid(gid)
os.setuid(uid)
tried = 0


def attempt(path, call):
    global tried
    tried += 1
    try:
        call()
        print("not refused:", what, path)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM):
            print("refused as", errno.errorcode[error.errno], what, path)


for path, fd, names in opened:
    if what == "list":
        attempt(path, lambda: os.listdir(f"/proc/self/fd/{fd}"))
    elif what == "make":
        attempt(path, lambda: os.mkdir("attack", dir_fd=fd))
        attempt(path, lambda: os.symlink("/etc/passwd", "attack", dir_fd=fd))
        attempt(path, lambda: os.mknod("attack", 0o600 | 0o020000, os.makedev(1, 3), dir_fd=fd))
        attempt(path, lambda: os.close(os.open("attack", os.O_WRONLY | os.O_CREAT, dir_fd=fd)))
    for name in names:
        here = os.path.join(path, name)
        if what == "read":
            attempt(here, lambda: os.close(os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=fd)) if not os.path.islink(here) else os.readlink(name, dir_fd=fd))
        elif what == "change":
            attempt(here, lambda: os.chmod(name, 0o777, dir_fd=fd))
            attempt(here, lambda: os.chown(name, uid, gid, dir_fd=fd, follow_symlinks=False))
            attempt(here, lambda: os.unlink(name, dir_fd=fd))
            attempt(here, lambda: os.rmdir(name, dir_fd=fd))
            attempt(here, lambda: os.rename(name, "attack", src_dir_fd=fd, dst_dir_fd=fd))
            attempt(here, lambda: os.link(name, "attack", src_dir_fd=fd, dst_dir_fd=fd))
            attempt(here, lambda: os.close(os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=fd)))
print("tried", tried)
P
}
all_refused() { # UID GID WHAT
    local said tried
    planted
    said=$(from_inside "$@")
    tried=$(sed -n 's/^tried //p' <<< "$said")
    [[ -n $tried && $tried -gt 5 && $said == "tried $tried" ]] || fail "$3: $(head -n 3 <<< "$said")"
    ATTACKS=$((ATTACKS + ${tried:-1})) REFUSED=$((REFUSED + ${tried:-0}))
    untouched
}

attack_strangers_get_nothing_from_directories_that_were_left_open() {
    local what
    works mkdir -m 0750 "$S/open" || return
    for what in list read make change; do all_refused 65532 65532 $what || return; done
    same "the snapshot" open "$(quick ls "$S")"
    clean "$(basename "$V")"
}
attack_root_of_a_user_namespace_is_a_stranger() {
    quick setpriv --reuid 65532 --regid 65532 --clear-groups unshare -Ur true 2> /dev/null || { fail "skip: no user namespaces for users here"; return; }
    local what
    for what in ls "cat $V/state" "mkdir $S/x"; do
        # shellcheck disable=SC2086 # words
        attack "Permission denied" setpriv --reuid 65532 --regid 65532 --clear-groups unshare -Ur $what "$MNT/" || return
    done
}
# A member may work with the VMs, and no more.
attack_members_make_nothing_but_snapshots() {
    local try
    for try in 'os.mknod(p, 0o600)' 'os.mknod(p, 0o060600, os.makedev(8, 0))' 'os.mkfifo(p)' 'os.symlink("/etc/passwd", p)' 'os.link(v + "/state", p)' 'os.mkdir(m + "/x")' \
        'os.open(p, os.O_CREAT | os.O_WRONLY)' 'os.setxattr(v + "/state", "user.x", b"x")' 'os.setxattr(v + "/state", "security.capability", b"x")' 'os.chown(v, 65533, -1)' 'os.chmod(v, 0o4777)' \
        'os.truncate(v + "/uuid", 0)' 'os.rename(v + "/state", m + "/state")' 'os.unlink(v + "/uuid")' 'os.rmdir(v)' 'os.rename(m + "/.vmsnapfs", m + "/x")' 'os.symlink("x", m + "/.vmsnapfs/by-uuid/x")'; do
        ATTACKS=$((ATTACKS + 1))
        quick setpriv --reuid 65533 --regid "$gid" --clear-groups /usr/bin/python3 -c "import os, sys; m, v, s = sys.argv[1:]; p = s + '/planted'; $try" "$MNT" "$V" "$S" 2> "$WORK/said" && { fail "a member may $try"; return; }
        grep -qE '^(PermissionError|OSError)' "$WORK/said" || { fail "$try: $(tail -n 1 "$WORK/said")"; return; }
        REFUSED=$((REFUSED + 1))
    done
    same "snapshots" "" "$(quick ls "$S")"
}
attack_current_leads_nowhere_but_to_snapshots() {
    local to
    for to in "$CANARIES/secret" ../../../../../../etc/passwd / .. "snapshots/../../../$CANARIES/secret" '' snapshots/$'a\nb'; do
        ATTACKS=$((ATTACKS + 1))
        planted
        quick python3 -c 'import os, sys; os.symlink(sys.argv[1], sys.argv[2] + "/x"); os.rename(sys.argv[2] + "/x", sys.argv[2] + "/current")' "$to" "$V" 2> "$WORK/said" && { fail "current is $to"; return; }
        REFUSED=$((REFUSED + 1))
        untouched || return
    done
    [[ ! -L $V/current ]] || fail "current is $(readlink "$V/current")"
}
attack_names_of_vms_lead_nowhere() {
    local n
    for n in {1..8}; do
        ATTACKS=$((ATTACKS + 1))
        exists "$MNT/a0000000-0000-4000-8000-00000000000$n/uuid" || return
        same "uuid $n" "a0000000-0000-4000-8000-00000000000$n" "$(quick cat "$MNT/a0000000-0000-4000-8000-00000000000$n/uuid")" || return
        REFUSED=$((REFUSED + 1))
    done
    exists "$MNT/current/state"
    same "lines that are names with control characters" 0 "$(quick ls "$MNT" | grep -c $'[\x01-\x1f\x7f]\|\u9b')"
    ! quick grep -q $'\u9b' "$MNT"/*/status "$MNT"/*/info.yaml "$MNT"/*/tree || fail "an escape sequence is printed"
}

# ---- mount points ----

not_mounted_on() { # SENTENCE POINT [OPTION…]
    local sentence=$1 point=$2
    shift 2
    ATTACKS=$((ATTACKS + 1))
    planted
    if quick "$PROGRAM" -o config=/dev/null "$@" "fake://$WORK/host.yaml" "$point" > "$WORK/said" 2>&1; then
        umount "$point"
        fail "it was mounted on $point"
    else
        grep -qF -- "$sentence" "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
        REFUSED=$((REFUSED + 1))
    fi
    untouched
}
attack_no_tree_is_mounted_in_a_tree() {
    not_mounted_on "a tree is mounted there" "$MNT" && not_mounted_on "inside" "$V" && not_mounted_on "inside" "$S" && not_mounted_on "inside" "$MNT/.vmsnapfs" || return
    ln -s "$V" "$WORK/link" && not_mounted_on "inside" "$WORK/link" && not_mounted_on "not a directory" "$CANARIES/secret"
}
attack_options_do_not_reach_the_kernel_by_names() { # of what is mounted
    local odd="$WORK/odd,suid,dev,allow_other" options
    mkdir "$odd" "$WORK/point" && cp "$WORK/host.yaml" "$odd"
    ATTACKS=$((ATTACKS + 1))
    works "$PROGRAM" -o config=/dev/null "fake://$odd/host.yaml" "$WORK/point" || return
    options=$(quick findmnt -no OPTIONS "$WORK/point")
    [[ $options == *nosuid* && $options == *nodev* && $options != *allow_other* ]] || fail "options are $options"
    works umount "$WORK/point" && REFUSED=$((REFUSED + 1))
}

if setpriv --reuid 65533 --regid 65533 --clear-groups true 2> /dev/null; then
    for name in attack_strangers_get_nothing_from_directories_that_were_left_open attack_root_of_a_user_namespace_is_a_stranger \
        attack_members_make_nothing_but_snapshots; do
        test_case "$name"
    done
else
    echo "skip attack - other users cannot be taken on here"
fi
for name in attack_current_leads_nowhere_but_to_snapshots attack_names_of_vms_lead_nowhere attack_no_tree_is_mounted_in_a_tree \
    attack_options_do_not_reach_the_kernel_by_names; do
    test_case "$name"
done
attacks_end 3000
