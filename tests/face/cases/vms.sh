# A VM as a whole: mv gives it another name, rmdir undefines it. Nothing is ever replaced, what is refused is as it was, and who deletes his way
# through the tree undefines nothing.
. "$FACE/lib.sh"
host_file two.yaml <<'Y'
  - name: ops01
    uuid: 33333333-3333-4333-8333-333333333333
    managed_save: true
    disks:
      - {target: vda, path: images/ops01-vda.qcow2, capacity: 67108864}
  - name: old01
    uuid: 44444444-4444-4444-8444-444444444444
    disks:
      - {target: vda, path: images/old01-vda.qcow2, capacity: 67108864}
Y
# The VMs stand after the last key of the file: put them where VMs are.
python3 - "$WORK/host.yaml" <<'P'
import sys
text = open(sys.argv[1]).read()
vm = text[text.index("  - name: ops01"):]
text = text[:text.index("  - name: ops01")].replace("guest_writes: true\n", "")
open(sys.argv[1], "w").write(text + vm + "guest_writes: true\n")
P
echo "expunge: true" > "$WORK/vmsnapfs.yaml"
mount_tree -o "config=$WORK/vmsnapfs.yaml"
ID=11111111-1111-4111-8111-111111111111

mv_gives_a_vm_another_name() {
    local inode events
    inode=$(quick stat -c %i "$MNT/web01")
    works mkdir "$MNT/web01/snapshots/a" || return
    timeout 60 cat "$MNT/.vmsnapfs/events" > "$WORK/events" &
    events=$!
    wait_until "events are read" grep -q '^readers [1-9]' "$MNT/.vmsnapfs/stats"
    works mv "$MNT/web01" "$MNT/shop01" || return
    absent "$MNT/web01" && exists "$MNT/shop01/snapshots/a/id" || return
    same "the VMs" "README db01 old01 ops01 shop01 " "$(names "$MNT")"
    same "its inode" "$inode" "$(quick stat -c %i "$MNT/shop01")"
    same "by-uuid" "../../shop01" "$(quick readlink "$MNT/.vmsnapfs/by-uuid/$ID")"
    same "its name" "name shop01" "$(quick grep '^name ' "$MNT/shop01/status")"
    same "the tree's" shop01 "$(quick head -n 1 "$MNT/shop01/tree")"
    wait_until "it is told" grep -q '"vm-appeared","vm":"shop01"' "$WORK/events"
    kill $events
    wait $events 2> /dev/null
    works mkdir "$MNT/shop01/snapshots/b" && works mv "$MNT/shop01" "$MNT/web01" || return
    same "its snapshots" "a b " "$(names "$MNT/web01/snapshots")"
    clean web01
}
who_stands_in_it_stays_there() {
    quick bash -c 'cd "$1/web01" && mv "$1/web01" "$1/shop01" && mkdir snapshots/a && cat snapshots/a/state && [[ $(pwd -P) == */shop01 ]] && mv ../shop01 ../web01' - "$MNT" > "$WORK/said" 2>&1 ||
        fail "$(cat "$WORK/said")"
    same "what was read" ready "$(cat "$WORK/said")"
    clean web01
}
names_that_mean_something_else_are_refused() {
    local name
    for name in .web -web $ID ' ' "$(printf 'a\nb')" "$(printf '\377')"; do
        same "to <$name>" EPERM "$(errno_of "os.rename(mnt + '/web01', os.fsencode(mnt) + b'/' + $(python3 -c 'import os,sys; print(repr(os.fsencode(sys.argv[1])))' "$name"))")"
    done
    refuses "cannot overwrite non-directory" mv -T "$MNT/web01" "$MNT/README" # says the kernel
    same "to a long name" ENAMETOOLONG "$(errno_of 'os.rename(mnt + "/web01", mnt + "/" + "n" * 201)')"
    quick grep -q 'mv web01 .web EPERM: ".web" is no name for a VM' "$MNT/web01/errors" || fail "errors: $(quick tail -n 9 "$MNT/web01/errors")"
    exists "$MNT/web01/uuid"
}
nothing_is_replaced() {
    same "onto a VM" EEXIST "$(errno_of 'os.rename(mnt + "/web01", mnt + "/ops01")')"
    said web01 'VM web01 cannot be named ops01: there is a VM of that name'
    refuses "File exists" mv -T "$MNT/web01" "$MNT/ops01"
    exists "$MNT/web01/uuid" && exists "$MNT/ops01/uuid"
}
a_vm_stays_at_the_top() {
    refuses "Operation not permitted" mv "$MNT/web01" "$MNT/ops01" # into it
    refuses "Operation not permitted" mv "$MNT/web01" "$MNT/.vmsnapfs/web01"
    refuses "Operation not permitted" mv "$MNT/web01" "$MNT/ops01/snapshots/web01"
    said web01 'a VM stays at the top of the tree'
    same "Python moves by copying, and is kept from it" EPERM "$(errno_of 'shutil.move(mnt + "/web01", mnt + "/ops01/snapshots/web01")')"
    absent "$MNT/ops01/snapshots/web01"
    refuses "Operation not permitted" mkdir "$MNT/new"
    refuses "Operation not permitted" mv "$MNT/README" "$MNT/new"
    exists "$MNT/web01/uuid"
}
only_a_vm_that_is_off_is_renamed() {
    refuses "Device or resource busy" mv "$MNT/db01" "$MNT/db02"
    said db01 'VM db01 must be off to be renamed'
    refuses "Device or resource busy" mv "$MNT/ops01" "$MNT/ops02"
    said ops01 'has a managed save image'
    exists "$MNT/db01/uuid" && exists "$MNT/ops01/uuid"
}

all_are_there() { same "the VMs" "README db01 old01 ops01 web01 " "$(names "$MNT")"; }

who_deletes_his_way_through_undefines_nothing() {
    local order
    refuses "Operation not permitted" rm -rf "$MNT/old01"
    refuses "Operation not permitted" rm -r --interactive=never "$MNT/old01"
    all_are_there || return
    (cd "$MNT" && quick rm -rf -- * 2> /dev/null)
    quick find "$MNT" -mindepth 1 -delete 2> /dev/null && fail "find -delete succeeded"
    quick find "$MNT/old01" -delete 2> /dev/null && fail "find -delete of a VM succeeded"
    quick find "$MNT" -mindepth 1 -depth -type d -delete 2> /dev/null && fail "find -type d -delete succeeded"
    busybox rm -rf "$MNT/old01" > /dev/null 2>&1
    all_are_there || return
    for order in sorted reversed; do
        sweep_with $order "$MNT"
        sweep_with $order "$MNT/old01"
        all_are_there || { fail "$order"; return; }
    done
    mkdir -p "$WORK/empty"
    need rsync && quick rsync -r --delete "$WORK/empty/" "$MNT/" > /dev/null 2>&1
    need git && git init -q "$WORK/repo" && quick git --git-dir="$WORK/repo/.git" --work-tree="$MNT" clean -ffdx > /dev/null 2>&1
    quick mv "$MNT/old01" "$WORK/taken" > /dev/null 2>&1
    quick python3 -c 'import shutil, sys; shutil.rmtree(sys.argv[1], ignore_errors=True)' "$MNT/old01"
    all_are_there
}
who_was_refused_a_vm_is_not_given_the_next() {
    same "db01 and then old01, by one process" "EBUSY EPERM" "$(quick python3 - "$MNT" <<'P'
import errno, os, sys
said = []
for vm in ("db01", "old01"):
    try:
        os.rmdir(sys.argv[1] + "/" + vm)
        said.append("gone")
    except OSError as e:
        said.append(errno.errorcode[e.errno])
print(*said)
P
)"
    all_are_there
}
what_is_in_use_is_not_undefined() {
    refuses "Device or resource busy" rmdir "$MNT/db01"
    said db01 'VM db01 must be off to be undefined'
    refuses "Device or resource busy" rmdir "$MNT/ops01"
    works mkdir "$MNT/old01/snapshots/a" && refuses "Device or resource busy" rmdir "$MNT/old01"
    said old01 'VM old01 cannot be undefined: it has 1 snapshots'
    clean old01
    refuses "Operation not permitted" rmdir "$MNT/.vmsnapfs"
    all_are_there
}
rmdir_by_name_undefines_a_vm_that_rests() {
    quick bash -c 'cd "$1/old01/disks/vda" && exec 3< "$1/old01/uuid" && rmdir "$1/old01" && ! cat source 2> /dev/null && ! ls "$1/old01" 2> /dev/null' - "$MNT" || fail "it did not go"
    same "the VMs" "README db01 ops01 web01 " "$(names "$MNT")"
    absent "$MNT/.vmsnapfs/by-uuid/44444444-4444-4444-8444-444444444444"
    same "orphans" "" "$(names "$MNT/.vmsnapfs/orphans")"
    refuses "No such file" rmdir "$MNT/old01"
    works mkdir "$MNT/web01/snapshots/a" && clean web01
}
without_expunge_in_the_configuration_nothing_is_undefined() {
    local before
    before=$(grep -c ' configure ' "$WORK/log")
    echo "expunge: false" > "$WORK/vmsnapfs.yaml"
    kill -HUP "$DAEMON"
    wait_until "the configuration is read again" eval "[[ \$(grep -c ' configure ' '$WORK/log') -gt $before ]]"
    refuses "Operation not permitted" rmdir "$MNT/web01"
    said web01 'rmdir of a VM needs expunge: true in the configuration'
    exists "$MNT/web01/uuid"
}

for name in mv_gives_a_vm_another_name who_stands_in_it_stays_there names_that_mean_something_else_are_refused nothing_is_replaced a_vm_stays_at_the_top \
    only_a_vm_that_is_off_is_renamed who_deletes_his_way_through_undefines_nothing who_was_refused_a_vm_is_not_given_the_next what_is_in_use_is_not_undefined \
    rmdir_by_name_undefines_a_vm_that_rests without_expunge_in_the_configuration_nothing_is_undefined; do
    test_case "$name"
done
