# What is there, and how it reads.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree
quick mkdir "$MNT/web01/snapshots/one" "$MNT/web01/snapshots/two"

everything_listed_is_in_the_node_table() {
    local path pattern
    "$PROGRAM" --print-tree | awk '{print $3}' | sed 's/<[^>]*>/[^\/]+/g; s/\./\\./g; s/^/^/; s/$/$/' > "$WORK/patterns"
    (cd "$MNT" && quick find . -mindepth 1 | sed 's,^\./,,') > "$WORK/paths"
    grep -Evf "$WORK/patterns" "$WORK/paths" > "$WORK/unknown"
    same "entries that --print-tree lacks" "" "$(cat "$WORK/unknown")"
    for pattern in README .vmsnapfs/version .vmsnapfs/by-uuid/11111111-1111-4111-8111-111111111111 web01/state \
        web01/snapshots/one/id web01/snapshots/two/parent web01/policy/quiesce web01/disks/vda/chain web01/current; do
        grep -qxF "$pattern" "$WORK/paths" || fail "$pattern is not listed"
    done
}

a_vm_has_its_interface_files() {
    same "listing" "current disks drift errors info.yaml jobs nvram policy progress snapshots state status tpm tree uuid " "$(names "$MNT/web01")"
    same "a snapshot's" "children consistency created description disks error id info.yaml parent state warnings " \
        "$(names "$MNT/web01/snapshots/two")"
    same "no parent of the first" "children consistency created description disks error id info.yaml state warnings " \
        "$(names "$MNT/web01/snapshots/one")"
    same "root" ". .. .vmsnapfs README db01 web01 " "$(quick ls -a "$MNT" | tr '\n' ' ')"
}

wait_and_events_are_found_by_name_only() {
    same "state of wait" "regular empty file" "$(quick stat -c %F "$MNT/web01/wait")"
    same "state of events" "regular empty file" "$(quick stat -c %F "$MNT/.vmsnapfs/events")"
    [[ $(names "$MNT/web01") != *wait* && $(names "$MNT/.vmsnapfs") != *events* ]] || fail "they are listed"
}

text_ends_in_a_newline_and_has_its_true_length() {
    local file size
    for file in $(quick find "$MNT/web01" "$MNT/.vmsnapfs" "$MNT/README" -type f); do
        size=$(quick stat -c %s "$file")
        same "length of $file" "$size" "$(quick cat "$file" | wc -c)"
        [[ $size -eq 0 ]] || same "last byte of $file" "0a" "$(quick tail -c 1 "$file" | od -An -tx1 | tr -d ' ')"
    done
}

values_read_as_documented() {
    same uuid 11111111-1111-4111-8111-111111111111 "$(quick cat "$MNT/web01/uuid")"
    same state shutoff "$(quick cat "$MNT/web01/state")"
    same progress idle "$(quick cat "$MNT/web01/progress")"
    same quiesce try "$(quick cat "$MNT/web01/policy/quiesce")"
    same included yes "$(quick cat "$MNT/web01/disks/vda/included")"
    same capacity 67108864 "$(quick cat "$MNT/web01/disks/vda/capacity")"
    same "children of one" 1 "$(quick cat "$MNT/web01/snapshots/one/children")"
    same current snapshots/two "$(quick readlink "$MNT/web01/current")"
    same parent ../one "$(quick readlink "$MNT/web01/snapshots/two/parent")"
    same by-uuid ../../db01 "$(quick readlink "$MNT/.vmsnapfs/by-uuid/22222222-2222-4222-8222-222222222222")"
    quick grep -qx 'frozen 0' "$MNT/web01/status" || fail "status lacks frozen"
    quick grep -qx 'stale 0' "$MNT/web01/status" || fail "status lacks stale"
    quick grep -qE '^vda file=/.* format=qcow2 capacity=67108864 allocation=[0-9]+$' "$MNT/web01/snapshots/one/disks" || fail disks
    [[ $(quick cat "$MNT/web01/snapshots/one/created") =~ ^20..-..-..T..:..:..Z$ ]] || fail created
}

status_files_are_flat_keyed() {
    local file
    for file in "$MNT/web01/status" "$MNT/.vmsnapfs/status"; do
        ! quick grep -qvE '^[a-z_]+( [^ 	]+)?$' "$file" || fail "$file: $(quick grep -vE '^[a-z_]+( [^ 	]+)?$' "$file")"
    done
}

info_yaml_can_be_parsed() {
    local said
    said=$(quick python3 -c '
import sys, yaml
vm = yaml.safe_load(open(sys.argv[1] + "/web01/info.yaml"))
one = yaml.safe_load(open(sys.argv[1] + "/web01/snapshots/one/info.yaml"))
print([s["name"] for s in vm["snapshots"]], one == vm["snapshots"][0], len(vm["disks"]), vm["policy"]["quiesce"])' "$MNT")
    same info "['one', 'two'] True 2 try" "$said"
}

the_tree_is_drawn() {
    same "last line" "● <- you are here  shutoff" "$(quick tail -n 1 "$MNT/web01/tree")"
    quick grep -qE '^○ one +20..-..-.. ..:..:.. +[0-9.]+ [KMG]?i?B +off$' "$MNT/web01/tree" || fail "$(cat "$MNT/web01/tree")"
}

a_hidden_snapshot_is_drawn_in_brackets_and_listed_by_id() {
    works ln -sfn snapshots/one "$MNT/web01/current" && works mkdir "$MNT/web01/snapshots/three" || return
    local id ino
    id=$(quick cat "$MNT/web01/snapshots/one/id")
    ino=$(quick stat -c %i "$MNT/web01/snapshots/one")
    works rmdir "$MNT/web01/snapshots/one" || return
    same "hidden" "$id " "$(names "$MNT/web01/hidden")"
    same "its inode number" "$ino" "$(quick stat -c %i "$MNT/web01/hidden/$id")"
    same "its mode" dr-xr-xr-x "$(quick stat -c %A "$MNT/web01/hidden/$id")"
    same "parent of three" "../../hidden/$id" "$(quick readlink "$MNT/web01/snapshots/three/parent")"
    exists "$MNT/web01/snapshots/three/parent/id"
    quick grep -q '^○ \[one\]' "$MNT/web01/tree" || fail "$(cat "$MNT/web01/tree")"
    quick grep -q '^├─○ two' "$MNT/web01/tree" || fail "$(cat "$MNT/web01/tree")"
    refuses "Operation not permitted" rmdir "$MNT/web01/hidden/$id"
    works rmdir "$MNT/web01/snapshots/two" && works cat "$MNT/web01/wait" || return
    absent "$MNT/web01/hidden"
}

a_description_is_no_program_for_the_terminal() {
    works mkdir "$MNT/db01/snapshots/x" || return
    printf '\033[31mred\ttab\nnext line\n' > "$MNT/db01/snapshots/x/description"
    quick grep -qE '  \w+   \[31mred tab$' "$MNT/db01/tree" || fail "$(quick cat -v "$MNT/db01/tree")"
    printf 'ä%.0s' {1..80} > "$MNT/db01/snapshots/x/description"
    quick grep -qE '  ä{60}…$' "$MNT/db01/tree" || fail "$(quick cat "$MNT/db01/tree")"
    works rmdir "$MNT/db01/snapshots/x" && works cat "$MNT/db01/wait"
}

inode_numbers_survive_a_remount_and_a_rename() {
    local before after
    works mkdir "$MNT/db01/snapshots/x" || return
    before=$(cd "$MNT" && quick find . -path ./db01/jobs -prune -o -path ./web01/jobs -prune -o -printf '%i %p\n' | sort)
    unmount_tree || return
    mount_tree
    after=$(cd "$MNT" && quick find . -path ./db01/jobs -prune -o -path ./web01/jobs -prune -o -printf '%i %p\n' | sort)
    # The host in memory forgets its snapshots' files; what is compared is what both mounts show.
    same "different numbers" "" "$(join -j 2 <(sort -k2 <<< "$before") <(sort -k2 <<< "$after") | awk '$2 != $3')"
    works mkdir "$MNT/db01/snapshots/y" || return
    before=$(quick stat -c %i "$MNT/db01/snapshots/y")
    works mv "$MNT/db01/snapshots/y" "$MNT/db01/snapshots/z"
    same "renamed" "$before" "$(quick stat -c %i "$MNT/db01/snapshots/z")"
}

inode_numbers_are_unique() {
    same "doubles" "" "$(quick find "$MNT" -printf '%i\n' | sort | uniq -d)"
}

test_case everything_listed_is_in_the_node_table
test_case a_vm_has_its_interface_files
test_case wait_and_events_are_found_by_name_only
test_case text_ends_in_a_newline_and_has_its_true_length
test_case values_read_as_documented
test_case status_files_are_flat_keyed
test_case info_yaml_can_be_parsed
test_case the_tree_is_drawn
test_case inode_numbers_are_unique
test_case a_hidden_snapshot_is_drawn_in_brackets_and_listed_by_id
test_case a_description_is_no_program_for_the_terminal
test_case inode_numbers_survive_a_remount_and_a_rename
