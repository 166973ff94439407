# VMs with names of every character that XML can hold, and thousands of VMs (tests/face/names.py): each is there once, under its name or its uuid,
# nothing that a terminal or a path would obey is printed, and nothing is made elsewhere. attack.sh has a few that lead somewhere.
. "$FACE/lib.sh"
ATTACKS=0
names() { quick /usr/bin/python3 "$FACE/names.py" "$@" 2>&1; }
milliseconds() { echo $(($(date +%s%N) / 1000000)); }
peak() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$DAEMON/status"; }
# The last line is a count; before it stands what is wrong.
all_well() {
    local said
    said=$(names "$@" "$MNT")
    [[ $said == *" VMs"* && $said != *$'\n'* ]] || { fail "$(tail -n 3 <<< "$said")"; return; }
    echo "# $said"
    ATTACKS=$((ATTACKS + ${said%% *}))
}
again_with() { # WHICH
    unmount_tree && names host "$1" > "$WORK/host.yaml" && begun=$(milliseconds) && mount_tree
}

attack_every_character_in_a_name_is_that_and_no_more() {
    local before begun
    again_with odd || return
    before=$(find "$WORK" -xdev ! -name log)
    all_well look odd && all_well work odd && all_well look odd || return
    same "files made beside the tree" "$before" "$(find "$WORK" -xdev ! -name log)"
}
lists() { [[ $(quick ls "$MNT" | grep -c many) == "$1" ]]; } # a start that takes more than 20 s goes on behind the mount
attack_thousands_of_vms_are_all_there() {
    local begun mounted many
    for many in 1024 4096; do
        again_with $many || return
        mounted=$(milliseconds)
        wait_until "$many VMs are listed" lists "$many" && all_well look $many || return
        echo "# $many VMs: mounted after $((mounted - begun)) ms, looked through in $(($(milliseconds) - mounted)) ms, $(peak) kB"
        (($(peak) < 400000)) || fail "the daemon took $(peak) kB"
    done
}

test_case attack_every_character_in_a_name_is_that_and_no_more
test_case attack_thousands_of_vms_are_all_there
echo "# attacks $ATTACKS, refused $ATTACKS, touched 0"
[[ -n $ONLY || $ATTACKS -ge 5900 ]] || { echo "not ok attacks - there were $ATTACKS, not 5900"; FAILURES=1; }
