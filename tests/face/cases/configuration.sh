# The configuration: where it is looked for, what comes before what, what is wrong with it, SIGHUP.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
URI=fake://$WORK/host.yaml
FILE=$WORK/vmsnapfs.yaml
V=$MNT/web01
S=$V/snapshots
STATUS=$MNT/.vmsnapfs/status

configuration() { cat > "$FILE.new" && mv "$FILE.new" "$FILE"; }
policy() { quick cat "$MNT/$1/policy/$2"; }
set_policy() { quick bash -c 'echo "$1" > "$2"' - "$3" "$MNT/$1/policy/$2" || fail "policy $2 of $1 does not take \"$3\""; }
status_says() { quick grep -q -- "$1" "$STATUS"; }
refused_start() { # TEXT [OPTION…]: it says TEXT and does not mount
    local text=$1
    shift
    ! quick "$PROGRAM" -o "config=$FILE" "$@" > "$WORK/said" 2>&1 || fail "it started"
    grep -qF -- "$text" "$WORK/said" || fail "it does not say <$text> but <$(cat "$WORK/said")>"
    ! mountpoint -q "$MNT" || { fail "it is mounted"; umount -l "$MNT"; }
}
hangup() { # until what is in force is seen: each reading leaves an event
    local before
    before=$(grep -c ' configure ' "$WORK/log")
    kill -HUP "$DAEMON"
    wait_until "the configuration is read again" has_read "$before"
}
has_read() { [[ $(grep -c ' configure ' "$WORK/log") -gt $1 ]]; }

the_own_value_comes_before_the_vms_entry_before_all_vms_before_the_default() {
    configuration <<'Y'
policy: {max_depth: 20, bandwidth: 50M, merge_timeout: 60}
vms:
  web01: {policy: {max_depth: 30}}
  22222222-2222-4222-8222-222222222222: {policy: {max_depth: 40}}
Y
    mount_tree -o "config=$FILE" || return
    same "of web01" 30 "$(policy web01 max_depth)"
    same "of db01, by uuid" 40 "$(policy db01 max_depth)"
    same "of all" 52428800 "$(policy db01 bandwidth)"
    same "built in" 0 "$(policy db01 max_snapshots)"
    set_policy web01 max_depth 7
    same "its own" 7 "$(policy web01 max_depth)"
    set_policy web01 max_depth default
    same "of web01 again" 30 "$(policy web01 max_depth)"
    set_policy web01 max_depth 8
    set_policy web01 max_depth ""
    same "of web01 once more" 30 "$(policy web01 max_depth)"
    quick grep -q 'max_depth: *"\?30' "$V/info.yaml" || fail "info.yaml: $(grep max_depth "$V/info.yaml")"
    status_says "^config $FILE\$" || fail "status: $(quick cat "$STATUS")"
}
what_is_in_force_is_obeyed_and_sighup_changes_it() {
    configuration <<< 'policy: {max_snapshots: 1}'
    hangup
    wait_until "the limit is there" test "$(policy web01 max_snapshots)" = 1
    works mkdir "$S/a"
    refuses "Disk quota exceeded" mkdir "$S/b"
    configuration <<< 'vms: {web01: {policy: {max_snapshots: 2}}}'
    hangup
    wait_until "web01 has another limit" is_policy web01 max_snapshots 2
    wait_until "db01 has none" is_policy db01 max_snapshots 0
    works mkdir "$S/b"
    refuses "Disk quota exceeded" mkdir "$S/c"
    clean web01
    set_policy web01 max_snapshots default
}
is_policy() { [[ $(policy "$1" "$2") == "$3" ]]; }
a_dropped_value_needs_no_catalog() {
    local before after
    before=$(quick cat "$MNT/db01/status" | grep ^generation)
    set_policy db01 start default
    after=$(quick cat "$MNT/db01/status" | grep ^generation)
    same generation "$before" "$after"
    quick grep -qx 'home' "$MNT/db01/status" || fail "it has a catalog now: $(grep ^home "$MNT/db01/status")"
}
a_bad_file_keeps_the_old_one_and_says_so() {
    configuration <<< 'policy: {max_depth: 33}'
    hangup
    wait_until "it is in force" is_policy web01 max_depth 33
    configuration <<< $'policy:\n  max_depth: many'
    hangup
    wait_until "status says it" status_says 'config_problem .*line\\0402,\\040column\\04014.*stays\\040in\\040force'
    same "still in force" 33 "$(policy web01 max_depth)"
    quick tail -n 1 "$MNT/.vmsnapfs/errors" | grep -q "configure $FILE EINVAL: $FILE, line 2, column 14: policy max_depth takes" ||
        fail "errors: $(quick tail -n 1 "$MNT/.vmsnapfs/errors")"
    grep -q 'configure .* EINVAL: .*line 2, column 14' "$WORK/log" || fail "the log does not say it"
    rm "$FILE"
    hangup
    wait_until "status says that it is gone" status_says 'config_problem .*No\\040such\\040file'
    same "still in force" 33 "$(policy web01 max_depth)"
    mkdir "$FILE" && hangup
    wait_until "status says that it is a directory" status_says 'config_problem .*Is\\040a\\040directory'
    rmdir "$FILE" && mkfifo "$FILE" && hangup
    wait_until "status says that it is no file" status_says 'config_problem .*Illegal\\040seek'
    rm "$FILE" && truncate -s 2M "$FILE" && hangup
    wait_until "status says that it is too large" status_says 'config_problem .*File\\040too\\040large'
    configuration <<< '# nothing'
    hangup
    wait_until "all is well again" status_says '^config_problem$'
    wait_until "the default is in force" is_policy web01 max_depth 100
}
the_group_follows_a_reload() {
    configuration <<< 'group: 60001'
    hangup
    wait_until "the group is another one" is_group 60001 "$V/snapshots"
    same "of a file" 60001 "$(quick stat -c %g "$V/state")"
    configuration <<< 'group: no-such-group'
    hangup
    wait_until "status says it" status_says 'config_problem .*no-such-group'
    same "still" 60001 "$(quick stat -c %g "$V/state")"
}
is_group() { [[ $(quick stat -c %g "$2") == "$1" ]]; }
what_the_command_line_says_is_no_change() {
    configuration <<< $'uri: qemu:///session\nmountpoint: /elsewhere\npolicy: {max_depth: 44}'
    hangup
    wait_until "the rest is in force" is_policy web01 max_depth 44
    status_says '^config_problem$' || fail "status: $(quick cat "$STATUS")"
}
events_tell_of_it() {
    configuration <<< '# nothing'
    quick grep -m 1 '"type":"configuration"' "$MNT/.vmsnapfs/events" > "$WORK/event" &
    wait_until "somebody listens" bash -c 'ls -l /proc/*/fd 2>/dev/null | grep -q "$1"' - "$MNT/.vmsnapfs/events"
    hangup
    wait $!
    grep -q '"type":"configuration","path":"'"$FILE"'","message":""' "$WORK/event" || fail "it says <$(cat "$WORK/event")>"
    unmount_tree
}
uri_and_mountpoint_may_come_from_the_file() {
    configuration <<< $'uri: "'"$URI"$'"\nmountpoint: '"$MNT"
    "$PROGRAM" -f -o "config=$FILE" > "$WORK/log" 2>&1 &
    DAEMON=$!
    wait_until "the tree is served" is_served || { fail "$(cat "$WORK/log")"; return; }
    same source "$URI" "$(quick findmnt -no SOURCE "$MNT")"
    hangup
    status_says '^config_problem$' || fail "it does not know itself again: $(quick cat "$STATUS")"
    configuration <<< $'uri: qemu:///session\npolicy: {max_depth: 45}\nmountpoint: '"$MNT"
    hangup
    status_says '^config_problem uri\\040in\\040.*unmount' || fail "status: $(quick cat "$STATUS")"
    quick tail -n 1 "$MNT/.vmsnapfs/errors" | grep -q ' EBUSY: uri in .*unmount it and mount again' || fail "errors do not say it"
    wait_until "the rest is in force" is_policy web01 max_depth 45
    configuration <<< $'mountpoint: /elsewhere'
    hangup
    status_says '^config_problem uri\\040and\\040mountpoint\\040in' || fail "status: $(quick cat "$STATUS")"
    unmount_tree
}
the_command_line_comes_before_the_file() {
    mkdir -p "$WORK/other"
    configuration <<< $'uri: nonsense\nmountpoint: '"$WORK/other"$'\ngroup: no-such-group'
    mount_tree -o "config=$FILE,group=60002" || return
    same group 60002 "$(quick stat -c %g "$V")"
    same "the mount point of the file" "" "$(ls "$WORK/other")"
    configuration <<< 'group: 60003'
    hangup
    same group 60002 "$(quick stat -c %g "$V/state")"
    unmount_tree
}
a_bad_file_is_no_start() {
    configuration <<< 'urI: x'
    refused_start "$FILE, line 1, column 1: unknown key \"urI\"" "$URI" "$MNT"
    configuration <<< $'# later\nhosts: {}'
    refused_start "$FILE, line 2, column 1: \"hosts\" is not supported by this version" "$URI" "$MNT"
    configuration <<< 'group: no-such-group'
    refused_start 'no group "no-such-group"' "$URI" "$MNT"
    configuration <<< 'uri: nonsense'
    refused_start '"nonsense" is no connection URI' "$MNT"
    configuration <<< ''
    refused_start 'the mount point' "$URI" "$WORK/none"
    refused_start 'no mount point'
    rm "$FILE"
    refused_start "the configuration $FILE cannot be read: No such file" "$URI" "$MNT"
    mkfifo "$FILE"
    refused_start "$FILE cannot be read" "$URI" "$MNT"
    rm "$FILE"
    ln -s /dev/zero "$FILE"
    refused_start "$FILE cannot be read: File too large" "$URI" "$MNT"
    rm "$FILE"
    quick "$PROGRAM" -o config=/none --version > /dev/null || fail "--version reads it"
}
a_relative_name_is_meant_from_here() {
    local pid
    configuration <<< 'policy: {max_depth: 55}'
    (cd "$WORK" && quick "$PROGRAM" -o config=vmsnapfs.yaml "$URI" "$MNT") > "$WORK/said" 2>&1 || fail "it ended with $?: $(cat "$WORK/said")"
    pid=$(pgrep -f "^$PROGRAM .*$MNT\$" | head -n 1)
    configuration <<< 'policy: {max_depth: 56}'
    kill -HUP "$pid"
    wait_until "the daemon finds it again" is_policy web01 max_depth 56
    works umount "$MNT"
    wait_until "it ends" is_over "$pid"
}
# In a mount namespace of its own, where /etc is a copy.
without_an_option_it_is_in_etc_and_optional() {
    unshare -m true 2> /dev/null || { fail "skip: no mount namespaces here"; return; }
    quick unshare -m bash -c '
        set -e
        cp -a /etc "$1/etc" && mount --bind "$1/etc" /etc
        rm -f /etc/vmsnapfs.yaml
        "$2" "$3" "$4" && grep -qx "config" "$4/.vmsnapfs/status" && umount "$4"
        echo "policy: {max_depth: 66}" > /etc/vmsnapfs.yaml
        "$2" "$3" "$4" && grep -qx "config /etc/vmsnapfs.yaml" "$4/.vmsnapfs/status"
        test "$(cat "$4/web01/policy/max_depth")" = 66 && umount "$4"
        echo "policy: {max_depth: 6600}" > /etc/vmsnapfs.yaml
        ! "$2" "$3" "$4" 2> "$1/said" && grep -q "/etc/vmsnapfs.yaml, line 1, column 21: " "$1/said"' - "$WORK" "$PROGRAM" "$URI" "$MNT" ||
        fail "it ended with $?: $(cat "$WORK/said")"
    rm -rf "$WORK/etc"
}

for name in the_own_value_comes_before_the_vms_entry_before_all_vms_before_the_default what_is_in_force_is_obeyed_and_sighup_changes_it \
    a_dropped_value_needs_no_catalog a_bad_file_keeps_the_old_one_and_says_so the_group_follows_a_reload what_the_command_line_says_is_no_change \
    events_tell_of_it uri_and_mountpoint_may_come_from_the_file the_command_line_comes_before_the_file a_bad_file_is_no_start \
    a_relative_name_is_meant_from_here without_an_option_it_is_in_etc_and_optional; do
    test_case "$name"
done
