# Disks that come and go (rules 2, 3, 9; E-21, W10): attached, detached and exchanged, by hotplug and by edited definitions, each
# followed by create, revert and remove; and the catalog's home, which stays. A private libvirtd, as virsh does it.
. "$(dirname "$0")/lib.sh"

SECOND=$WORK/second # where the other disks are
mkdir -p "$SECOND"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
# fresh TARGET: an empty image for it, and what it is expected to show
fresh() {
    rm -f "$SECOND/$1.img" "$WORK/expect/d/$1"
    qemu-img create -q -f qcow2 "$SECOND/$1.img" 16M && qemu-img create -q -f raw "$WORK/expect/d/$1" 16M && expect_kept "$1"
}
expect_kept() { cp --sparse=always "$WORK/expect/d/$1" "$WORK/expect/kept.$1"; }
# attach TARGET FILE HOW…
attach() { v attach-disk d "$2" "$1" --driver qemu --subdriver qcow2 "${@:3}"; }
source_of() { cat "$MNT/d/disks/$1/source"; }
# has NAME TARGET…: the disks of a snapshot
has() { [[ "$(awk '{ print $1 }' "$MNT/d/snapshots/$1/disks" | sort | tr '\n' ' ')" == "${*:2} " ]] || { fail "$1 has $(cat "$MNT/d/snapshots/$1/disks"), not ${*:2}"; return 1; }; }
# Reverting to $1 is refused, naming $2 and $3.
no_revert() { refused "not supported" ln -sfn "snapshots/$1" "$MNT/d/current" && tail -n 1 "$MNT/d/errors" | grep -F "$2" | grep -qF "$3" || { fail "errors do not name $2 and $3: $(tail -n 1 "$MNT/d/errors")"; return 1; }; }
# The disks that S knows are as they were then; the others stay as they are.
expect_revert() { local target; for target in $(awk '{ print $1 }' "$MNT/d/snapshots/$2/disks"); do cp --sparse=always "$WORK/expect/d/snapshots/$2.$target" "$WORK/expect/d/$target" || return; done; }
# libvirt has no event for attach-disk and detach-disk --config: the tree is told to look.
clean() { echo rescan > "$MNT/d/drift" && listed d "" && hidden d 0 && [[ $(ls "$MNT/d/disks" | tr '\n' ' ') == "vda vdb " && $(source_of vdb) == "$SECOND/vdb.img" ]] || fail "d is not as it was"; }

attached_off() { # rule 9: left as it is by a revert to what does not know it, and said
    clean && scribble d 1 && snap d s1 && fresh vdc && attach vdc "$SECOND/vdc.img" --config && scribble d 2 && snap d s2 && has s1 vda vdb && has s2 vda vdb vdc && scribble d 3 || return
    revert d s1 && contents d && grep -q "disk vdc" "$MNT/d/snapshots/s1/warnings" || { fail "after the revert: $(cat "$MNT/d/snapshots/s1/warnings")"; return 1; }
    start d && scribble d 4 && contents d && stop d && revert d s2 && contents d && drop d s1 && contents d && drop d s2 && contents d || return
    [[ $(source_of vdc) == "$SECOND/vdc.img" ]] && v detach-disk d vdc --config && check_all
}

attached_running() { # hotplug
    clean && start d && scribble d 1 && snap d s1 && fresh vdc && attach vdc "$SECOND/vdc.img" --live && refused "clean" mkdir "$MNT/d/snapshots/s2" && attach vdc "$SECOND/vdc.img" --config || return
    scribble d 2 && snap d s2 && has s2 vda vdb vdc && scribble d 3 && contents d && drop d s1 && contents d && stop d && revert d s2 && contents d && drop d s2 && contents d || return
    v detach-disk d vdc --config && check_all
}

detached_running() { # a disk whose guest need not agree
    local device=/machine/peripheral/scsi0-0-0-0
    clean && fresh sda && attach sda "$SECOND/sda.img" --config --targetbus scsi && start d && snap d s1 && has s1 sda vda vdb || return
    python3 "$HERE/qmp.py" "$(qmp_socket d)" "qemu-io -d $device \"write -q -P 9 1M 64k\"" "qemu-io -d $device \"flush\"" && qemu-io -f raw -c "write -q -P 9 1M 64k" "$WORK/expect/d/sda" && contents d || return
    v detach-disk d sda --live --config && wait_for test ! -e "$MNT/d/disks/sda" && write d 4 1M 64k && snap d s2 && has s2 vda vdb && contents d || return
    drop d s1 && contents d && same "$WORK/expect/d/sda" qcow2 "$SECOND/sda.img" && stop d && drop d s2 && check_all
}

detached_off() { # rule 9: a revert that needs it is refused and says where it is
    local layer
    clean && scribble d 1 && snap d s1 && scribble d 2 && layer=$(source_of vdb) && v detach-disk d vdb --config || return
    no_revert s1 "no disk vdb" "$layer" && write d 3 2M 64k vda && snap d s2 && has s2 vda && has s1 vda vdb && write d 4 2M 64k vda && revert d s2 && contents d && same "$WORK/expect/d/vdb" qcow2 "$layer" || return
    attach vdb "$layer" --config && revert d s1 && contents d && drop d s1 && drop d s2 && check_all
}

detach_and_merge() { # rule 3: removing what a detached disk depends on merges it, and it shows what it did
    clean && scribble d 1 && snap d s1 && scribble d 2 && v detach-disk d vdb --config && drop d s1 && contents d && same "$WORK/expect/d/vdb" qcow2 "$SECOND/vdb.img" || return
    attach vdb "$SECOND/vdb.img" --config && snap d s2 && has s2 vda vdb && contents d && drop d s2 && check_all
}
check_all() { contents d && files d 1 && [[ $(find "$SECOND" -name 'vdb*' | wc -l) == 1 ]] || fail "files are left: $(ls "$SECOND")"; }

exchanged() { # rule 9: another disk under the same target is not taken for the old one
    local layer
    clean && scribble d 1 && snap d s1 && scribble d 2 && layer=$(source_of vdb) && expect_kept vdb && v detach-disk d vdb --config || return
    mkdir -p "$WORK/third" && qemu-img create -q -f qcow2 "$WORK/third/other.img" 16M && attach vdb "$WORK/third/other.img" --config && qemu-img create -q -f raw "$WORK/expect/d/vdb" 16M || return
    no_revert s1 "vdb is another disk now" "$layer" && write d 7 3M 64k vdb && snap d s2 && write d 8 3M 64k vdb && revert d s2 && contents d && same "$WORK/expect/kept.vdb" qcow2 "$layer" || return
    drop d s2 && contents d && same "$WORK/expect/kept.vdb" qcow2 "$layer" && v detach-disk d vdb --config && attach vdb "$layer" --config && cp --sparse=always "$WORK/expect/kept.vdb" "$WORK/expect/d/vdb" || return
    revert d s1 && contents d && drop d s1 && check_all
}

only_hidden_left() { # E-21, W10: a hidden snapshot is in nobody's way
    clean && scribble d 1 && snap d s1 && scribble d 2 && snap d s2 && revert d s1 && rmdir "$MNT/d/snapshots/s1" && expect_drop d s1 && idle d && hidden d 1 && scribble d 3 || return
    fresh vdc && attach vdc "$SECOND/vdc.img" --config && v detach-disk d vdb --config && drop d s2 && listed d "" && hidden d 0 && contents d && same "$WORK/expect/d/vdb" qcow2 "$SECOND/vdb.img" || return
    v detach-disk d vdc --config && attach vdb "$SECOND/vdb.img" --config && check_all
}

first_removed() { # the catalog's home never follows a disk
    local layer
    clean && scribble d 1 && snap d s1 && grep -qx "home $IMAGES" "$MNT/d/status" && layer=$(source_of vda) && v detach-disk d vda --config || return
    snap d s2 && has s2 vdb && umount_tree && mount_tree && listed d "s1 s2 " && grep -qx "home $IMAGES" "$MNT/d/status" && write d 5 2M 64k vdb && contents d && revert d s2 && contents d || return
    attach vda "$layer" --config && scribble d 6 && revert d s1 && contents d && drop d s2 && drop d s1 && check_all
}

home_without_metadata() { # looked for in the directories of what is left
    clean && scribble d 1 && snap d s1 && umount_tree && v dumpxml --inactive d | sed '/<metadata>/,/<\/metadata>/d' > "$WORK/edit.xml" && v define "$WORK/edit.xml" || return
    v dumpxml --inactive d | grep -q vmsnapfs.org/xmlns && { fail "the metadata is still there"; return 1; }
    mount_tree && listed d "s1 " && scribble d 2 && snap d s2 && revert d s1 && contents d && drop d s1 && drop d s2 && check_all
}

libvirtd_begin && libvirtd_start || { echo "not ok disks: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make d 1
fresh vdb
vm_xml d 1 | sed "s#<cpu#<features><acpi/></features>&#; s#<memballoon#<controller type='scsi' model='virtio-scsi'/><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$SECOND/vdb.img'/><target dev='vdb' bus='virtio'/></disk>&#" > "$WORK/def.xml"
v define "$WORK/def.xml" > /dev/null
mount_tree || exit 1
case_run "rule 9: a disk attached while it is off" attached_off
case_run "rule 9: a disk attached while it runs" attached_running
case_run "rule 3: a disk detached while it runs" detached_running
case_run "rule 9: a disk detached while it is off" detached_off
case_run "rule 3: a detached disk is merged" detach_and_merge
case_run "rule 9: another disk under the same target" exchanged
case_run "E-21 W10: only a hidden one is left" only_hidden_left
case_run "rule 2: the first disk goes, the home stays" first_removed
case_run "rule 2: the home without metadata" home_without_metadata
