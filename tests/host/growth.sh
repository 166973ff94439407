# Disks that grow between snapshots (rule 15, S-17 to S-23, E-36), running by virsh blockresize and stopped by qemu-img: the old size is
# back after a revert, a merge ends at the newest, contents are compared to the last byte.
. "$(dirname "$0")/lib.sh"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
# grow VM MIB [TARGET]: as its owner does; the tree is asked to look, since libvirt tells nobody
grow() {
    local vm=$1 size=$2 target=${3:-vda}
    if [[ $(state "$vm") == shutoff ]]; then
        qemu-img resize -q -f "$(cat "$MNT/$vm/disks/$target/format")" "$(cat "$MNT/$vm/disks/$target/source")" "${size}M" || { fail "qemu-img resize"; return 1; }
    else
        v blockresize "$vm" "$target" "${size}M" || { fail "blockresize"; return 1; }
    fi
    truncate -s "${size}M" "$WORK/expect/$vm/$target" && echo rescan > "$MNT/$vm/drift" && capacity "$vm" "$target" "$size"
}
is_capacity() { [[ $(cat "$MNT/$1/disks/$2/capacity") == $(($3 * 1048576)) ]]; }
capacity() { wait_for is_capacity "$@" && is_virtual_size "$(cat "$MNT/$1/disks/$2/source")" "$3"; }
virtual_size() { qemu-img info -U --output=json "$1" | sed -n 's/^    "virtual-size": \([0-9]*\),*$/\1/p'; }
is_virtual_size() { [[ $(virtual_size "$1") == $(($2 * 1048576)) ]] || { fail "$1 has $(virtual_size "$1") bytes, not $2 MiB"; return 1; }; }
frozen() { is_virtual_size "$(disk_field "$MNT/$1/snapshots/$2" "${4:-vda}" file)" "$3"; }
clean() { # everything away, and the disks as they were
    local name target
    for name in $(ls "$MNT/$1/snapshots"); do drop "$1" "$name" || return; done
    check "$1" && stop "$1" || return
    for target in $(ls "$MNT/$1/disks"); do
        qemu-img resize -q --shrink "$(cat "$MNT/$1/disks/$target/source")" 16M && truncate -s 16M "$WORK/expect/$1/$target" || return
    done
    echo rescan > "$MNT/$1/drift" && capacity "$1" vda 16
}
listen() { cat "$MNT/.vmsnapfs/events" > "$WORK/events" & LISTENER=$!; }
# resized WANTED: the lines about sizes since listen, and what was asked for is among them
resized() { grep -c '"disk-resized"' "$WORK/events"; }
heard() { grep -q "$1" "$WORK/events"; }

grown_and_reverted() { # S-17 S-18 S-22
    local vm=grow
    start $vm && write $vm 1 0 1M && snap $vm s1 && grow $vm 20 && write $vm 2 18M 1M vda && frozen $vm s1 16 && check $vm || return # S-17
    stop $vm && capacity $vm vda 20 && listen && revert $vm s1 && capacity $vm vda 16 && check $vm && wait_for heard '"reverted"' || return # S-18
    wait_for heard '"disk-resized"' && snap $vm s2 && wait_for heard '"snapshot-created"' && kill "$LISTENER" && wait "$LISTENER" 2> /dev/null
    [[ $(resized) == 1 ]] && grep '"disk-resized"' "$WORK/events" | grep -q '"disk":"vda".*16777216' || { fail "events: $(cat "$WORK/events")"; return 1; } # S-22, S-23: vdb was not grown
    start $vm && check $vm && clean $vm
}

merged_stopped() { # S-19: the final size is the newest, and what is beyond the old end is there
    local vm=grow
    write $vm 1 0 1M && snap $vm s1 && grow $vm 24 && write $vm 3 23M 1M vda && drop $vm s1 && capacity $vm vda 24 && check $vm && start $vm && stop $vm && check $vm && clean $vm
}

merged_running() { # S-20: the same by a live commit; the overlay of a snapshot has the size that the disk has, whatever the definition knows
    local vm=grow
    start $vm && write $vm 1 0 1M && snap $vm s1 && grow $vm 24 && write $vm 3 23M 1M vda && snap $vm s2 && capacity $vm vda 24 && frozen $vm s2 24 && write $vm 4 22M 1M vda || return
    drop $vm s2 && capacity $vm vda 24 && check $vm && drop $vm s1 && capacity $vm vda 24 && check $vm && stop $vm && check $vm && clean $vm
}

merged_between_snapshots() { # S-21: a bigger snapshot into a smaller one, the active layer bigger still; running and stopped, one by one and in one pass
    local vm=grow mode
    for mode in start stop; do
        $mode $vm && write $vm 1 0 1M && snap $vm s1 && grow $vm 20 && write $vm 2 19M 1M vda && snap $vm s2 && grow $vm 24 && write $vm 3 23M 1M vda && snap $vm s3 && grow $vm 28 && write $vm 4 27M 1M vda || return
        drop $vm s1 && frozen $vm s2 20 && frozen $vm s3 24 && capacity $vm vda 28 && check $vm || return
        rmdir "$MNT/$vm/snapshots/s2" "$MNT/$vm/snapshots/s3" && expect_drop $vm s2 && expect_drop $vm s3 && idle $vm && capacity $vm vda 28 && check $vm && files $vm 2 && clean $vm || return
    done
}

two_grown() { # S-23: of two disks one grew, only that one changes back
    local vm=grow
    start $vm && snap $vm s1 && grow $vm 20 vdb && write $vm 2 19M 1M vdb && stop $vm && listen && revert $vm s1 && capacity $vm vdb 16 && capacity $vm vda 16 || return
    wait_for heard '"disk":"vdb"' && snap $vm s2 && wait_for heard '"snapshot-created"' && kill "$LISTENER" && wait "$LISTENER" 2> /dev/null
    [[ $(resized) == 1 ]] || { fail "events: $(cat "$WORK/events")"; return 1; }
    check $vm && clean $vm
}

branches() { # E-36: the disk grew on one branch; the other branch and what is merged below both keep their sizes
    local vm=grow
    stop $vm && write $vm 1 0 1M && snap $vm s1 && write $vm 2 1M 1M && snap $vm s2 && write $vm 3 2M 1M && snap $vm small || return
    revert $vm s2 && grow $vm 24 && write $vm 4 23M 1M vda && snap $vm big && write $vm 5 22M 1M vda && frozen $vm small 16 && frozen $vm big 24 && check $vm || return
    start $vm && drop $vm s1 && frozen $vm s2 16 && check $vm && drop $vm s2 && hidden $vm 1 && drop $vm big && capacity $vm vda 24 && check $vm && frozen $vm small 16 || return
    stop $vm && revert $vm small && capacity $vm vda 16 && hidden $vm 0 && check $vm && start $vm && check $vm && clean $vm
}

refuses_smaller() { # a layer that is smaller than the one below it: a merge would show what it hides
    local vm=grow file
    stop $vm && write $vm 1 0 1M && write $vm 6 15M 1M && snap $vm s1 && file=$(cat "$MNT/$vm/disks/vda/source") && qemu-img resize -q --shrink "$file" 8M && echo rescan > "$MNT/$vm/drift" || return
    refused "not supported" rmdir "$MNT/$vm/snapshots/s1" && grep -q "EOPNOTSUPP: .*is smaller than .* below it; grow the disk first" "$MNT/$vm/errors" || return
    # Grown again it merges. What the shrunk layer hid stays hidden.
    qemu-img resize -q "$file" 16M && truncate -s 8M "$WORK/expect/$vm/vda" && truncate -s 16M "$WORK/expect/$vm/vda" && echo rescan > "$MNT/$vm/drift" && capacity $vm vda 16 || return
    check $vm && clean $vm
}

while_merging() { # QEMU refuses to resize a disk that a job is on, so the merge is not disturbed; afterwards it grows
    local vm=grow
    start $vm && write $vm 1 0 1M && snap $vm s1 && grow $vm 64 && write $vm 2 16M 45M vda && echo 1M > "$MNT/$vm/policy/bandwidth" && rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 || return
    wait_for grep -q 'merge vda .*%.* of ' "$MNT/$vm/progress" || return
    refused "" v blockresize $vm vda 72M || return
    echo 0 > "$MNT/$vm/policy/bandwidth"
    for job in "$MNT/$vm"/jobs/*; do [[ $(cat "$job/state") != running ]] || echo 0 > "$job/bandwidth"; done
    idle $vm && capacity $vm vda 64 && check $vm && grow $vm 72 && write $vm 3 70M 1M vda && check $vm && files $vm 2 && clean $vm
}

libvirtd_begin || { echo "not ok libvirtd: a private one - $(cat "$WORK/lv/holder.log")"; exit 1; }
vm_make grow 2
libvirtd_start && define grow 2 || exit 1
mount_tree && wait_for listed_vm grow || exit 1
case_run "S-17 S-18 S-22 grown, reverted, one event" grown_and_reverted
case_run "S-19 grown and merged, stopped" merged_stopped
case_run "S-20 grown and merged, running" merged_running
case_run "S-21 grown between snapshots, merged one by one and in one pass" merged_between_snapshots
case_run "S-23 of two disks one grew" two_grown
case_run "E-36 branches of different sizes" branches
case_run "rule 15: a layer smaller than the one below is refused" refuses_smaller
case_run "rule 15: resized while a merge runs" while_merging
stop grow
umount_tree
