# Who may do what: modes and the group, checked by the kernel; what a user makes is his.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
group=$(getent group nogroup > /dev/null && echo nogroup || echo nobody)
mount_tree -o "allow_other,group=$group"
V=$MNT/web01
S=$V/snapshots
gid=$(getent group "$group" | cut -d: -f3)

as() { # UID GID COMMAND…
    local uid=$1 gid=$2
    shift 2
    quick setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
}
as_member() { as 65533 "$gid" "$@"; }
as_stranger() { as 65532 65532 "$@"; }
denied() { # WHO COMMAND…
    local said
    said=$("$@" 2>&1) && fail "\"$*\" succeeded"
    [[ $said == *"Permission denied"* ]] || fail "\"$*\" said $said"
}

strangers_are_kept_out() {
    denied as_stranger ls "$MNT"
    denied as_stranger cat "$V/state"
    denied as_stranger mkdir "$S/x"
}
members_make_snapshots_that_are_theirs() {
    as_member mkdir "$S/mine" || fail "mkdir"
    same owner "65533:$gid" "$(quick stat -c %u:%g "$S/mine")"
    same "owner of what is in it" "65533:$gid" "$(quick stat -c %u:%g "$S/mine/description")"
    as_member bash -c 'echo text > "$1"' - "$S/mine/description" || fail "description"
    as_member mv "$S/mine" "$S/still-mine" || fail mv
    same owner 65533 "$(quick stat -c %u "$S/still-mine")"
    as_member chmod a-w "$S/still-mine" || fail "chmod a-w"
    refuses "Device or resource busy" rmdir "$S/still-mine"
    as_member chmod u+w "$S/still-mine" && as_member rm -rf "$S/still-mine" || fail "rm -rf"
    absent "$S/still-mine"
    quick grep -q "uid=65533" "$V/errors" || denied as_member rmdir "$MNT/web01" 2> /dev/null
    FAILED=
    clean web01
}
only_the_owner_and_root_hold_and_release() {
    works mkdir "$S/roots" || return
    as_member chmod a-w "$S/roots" 2> "$WORK/said" && fail "a member held root's snapshot"
    grep -q "Operation not permitted" "$WORK/said" || fail "$(cat "$WORK/said")"
    denied as_member bash -c 'echo x > "$1"' - "$S/roots/description"
    clean web01
}
members_read_everything() {
    as_member cat "$V/tree" "$V/status" "$V/info.yaml" "$MNT/README" > /dev/null || fail "cat"
    same "group of all" "$gid" "$(quick find "$MNT" -printf '%G\n' | sort -u)"
}

a_group_counts_too_that_is_not_the_first() {
    quick setpriv --reuid 65533 --regid 65533 --groups "65531,$gid" mkdir "$S/theirs" || fail mkdir
    same owner "65533:$gid" "$(quick stat -c %u:%g "$S/theirs")"
    quick setpriv --reuid 65533 --regid 65533 --groups 65531 ls "$S" 2> "$WORK/said" && fail "a stranger got in"
    grep -q 'Permission denied' "$WORK/said" || fail "$(cat "$WORK/said")"
    clean web01
}
chmod_and_chown_are_for_owners_and_change_what_may_change() {
    as_member mkdir "$S/mine" || fail mkdir
    works mkdir "$S/roots"
    as_member chown "65533:$gid" "$S/mine" || fail "chown to what it is"
    as_member touch "$S/mine" || fail "touch"
    as_member chmod 0700 "$S/mine" || fail "chmod"
    same mode 700 "$(quick stat -c %a "$S/mine")"
    same "owner and time" "65533:$gid" "$(quick stat -c %u:%g "$S/mine")"
    as 65530 "$gid" ls "$S/mine" 2> /dev/null && fail "another member looks into what its owner closed"
    for who in "chown 65530" "chgrp 0" "chmod 4755"; do
        # shellcheck disable=SC2086 # words
        as_member $who "$S/mine" 2> "$WORK/said" && fail "a member may $who"
    done
    refuses "Operation not permitted" chown 65530 "$S/mine"
    refuses "Operation not permitted" chown 65530 "$V/state"
    refuses "Operation not permitted" chmod 0666 "$V/state"
    for what in "touch -d 2020-01-01" "chmod 0777" "chown 65533"; do
        # shellcheck disable=SC2086 # words
        as_member $what "$S/roots" 2> "$WORK/said" && fail "a member may $what what root made"
        grep -qE 'Operation not permitted|Permission denied' "$WORK/said" || fail "$what: $(cat "$WORK/said")"
    done
    as_member rmdir "$S/roots" || fail "a member cannot remove what root made"
    clean web01
}
strangers_stay_out_whatever_modes_say() {
    as_member mkdir -m 0777 "$S/open" || fail mkdir
    denied as_stranger ls "$S/open"
    denied as_stranger rmdir "$S/open"
    clean web01
}

refused_calls_name_the_caller() {
    as_member mkdir "$S/.x" 2> /dev/null
    quick tail -n 1 "$V/errors" | grep -q 'uid=65533 pid=' || fail "$(quick tail -n 1 "$V/errors")"
}

if setpriv --reuid 65533 --regid 65533 --clear-groups true 2> /dev/null; then
    for name in strangers_are_kept_out members_make_snapshots_that_are_theirs only_the_owner_and_root_hold_and_release \
        a_group_counts_too_that_is_not_the_first chmod_and_chown_are_for_owners_and_change_what_may_change \
        strangers_stay_out_whatever_modes_say members_read_everything refused_calls_name_the_caller; do
        test_case "$name"
    done
else
    echo "skip owners - other users cannot be taken on here"
fi
