# The rules of disks and definitions that virsh is needed for, on a private libvirtd (rules 7, 8, 10, 13, 14).
. "$(dirname "$0")/lib.sh"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
shown() { wait_for listed_vm "$1"; }
# redefine VM SED-SCRIPT
edit() { v dumpxml --inactive "$1" | sed -E "$2" > "$WORK/edit.xml" && v define "$WORK/edit.xml"; }

persistent_follows() { # rules 7, 14: after a live snapshot and merges the persistent definition names what QEMU has
    local vm=p file
    start $vm && scribble $vm 1 && snap $vm s1 && file=$(cat "$MNT/$vm/disks/vda/source") || return
    v dumpxml --inactive $vm | grep -qF "$file" || { fail "the persistent definition lacks $file"; return 1; }
    scribble $vm 2 && check $vm && drop $vm s1 && check $vm || return
    v dumpxml --inactive $vm | grep -qF "$IMAGES/$vm-vda.img" || { fail "after the merge"; return 1; }
    stop $vm
}

differ() { # rule 7: live and persistent disks differ: EUCLEAN
    local vm=p
    start $vm && edit $vm "s#$IMAGES/p-vdb.img#$IMAGES/other.img#" && refused "clean" mkdir "$MNT/$vm/snapshots/s1" && grep -q EUCLEAN "$MNT/$vm/errors" || return
    edit $vm "s#$IMAGES/other.img#$IMAGES/p-vdb.img#" && wait_for mkdir "$MNT/$vm/snapshots/s1" && expect_snap $vm s1 && check $vm && stop $vm && drop $vm s1 && check $vm
}

managed_save() { # rule 8: off means off
    local vm=p
    snap $vm s1 && start $vm && v managedsave $vm && wait_for is_state $vm shutoff || return
    refused "busy" mkdir "$MNT/$vm/snapshots/s2" && refused "busy" ln -sfn snapshots/s1 "$MNT/$vm/current" && grep -q "managed" "$MNT/$vm/errors" || return
    v managedsave-remove $vm && snap $vm s2 && check $vm && drop $vm s2 && drop $vm s1 && check $vm
}

taken_node_names() { # rule 14: QEMU has block nodes that a killed libvirt does not know of, and gives their names out again
    local vm=p i
    start $vm && truncate -s 1M "$WORK/aside" || return
    for i in $(seq 3 12); do
        python3 "$HERE/qmp.py" "$(qmp_socket $vm)" "{\"execute\": \"blockdev-add\", \"arguments\": {\"driver\": \"file\", \"node-name\": \"libvirt-$i-storage\", \"filename\": \"$WORK/aside\", \"read-only\": true}}" || return
    done
    scribble $vm 5 && snap $vm s1 && scribble $vm 6 && check $vm && drop $vm s1 && check $vm && stop $vm
}
image_lock() { # rule 8: somebody else has the disk open for writing: busy, nothing changes
    local vm=p holder
    snap $vm s1 && holder=$(lock_image "$(cat "$MNT/$vm/disks/vda/source")") || return
    refused "busy" ln -sfn snapshots/s1 "$MNT/$vm/current"
    kill "$holder"
    wait_for gone "$holder" && [[ -z $FAILED ]] && check $vm && revert $vm s1 && check $vm && drop $vm s1
}

excluded() { # rules 10, 13: readonly, shareable, cdrom and snapshot='no' are left alone, also by libvirt
    local vm=x
    EXTRA_DEVICES="<disk type='file' device='cdrom'><target dev='hda' bus='ide'/></disk><disk type='file' device='disk' snapshot='no'><driver name='qemu' type='raw'/><source file='$IMAGES/scratch.raw'/><target dev='vdy' bus='virtio'/></disk><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='$IMAGES/golden.raw'/><target dev='vdz' bus='virtio'/><readonly/></disk>"
    truncate -s 1M "$IMAGES/scratch.raw" "$IMAGES/golden.raw"
    vm_make $vm 1 && define $vm 1 && shown $vm && EXTRA_DEVICES=
    start $vm && mkdir "$MNT/$vm/snapshots/s1" || { fail "mkdir"; return 1; }
    v domblklist $vm | grep -qF "$IMAGES/scratch.raw" && v domblklist $vm | grep -qF "$IMAGES/golden.raw" || { fail "an excluded disk was switched: $(v domblklist $vm)"; return 1; }
    [[ $(awk '{print $1}' "$MNT/$vm/snapshots/s1/disks" | tr '\n' ' ') == "vda " ]] || { fail "disks: $(cat "$MNT/$vm/snapshots/s1/disks")"; return 1; }
    stop $vm && rmdir "$MNT/$vm/snapshots/s1" && idle $vm && v undefine $vm
}

# refuse LABEL EXTRA-DEVICES SED: a VM that must be refused with EOPNOTSUPP, its disk unharmed
refuse() {
    local vm=r
    EXTRA_DEVICES=$1
    vm_make $vm 1 && vm_xml $vm 1 | sed -E "$2" > "$WORK/def.xml" && v define "$WORK/def.xml" || { EXTRA_DEVICES=; fail "cannot define"; return 1; }
    EXTRA_DEVICES=
    shown $vm && refused "not supported" mkdir "$MNT/$vm/snapshots/s1"
    grep -q "$3" "$MNT/$vm/errors" || fail "errors do not name '$3': $(tail -n 1 "$MNT/$vm/errors")"
    files $vm 1
    v undefine --nvram $vm > /dev/null && wait_for not_listed $vm
    [[ -z $FAILED ]]
}
not_listed() { [[ ! -d $MNT/$1 ]]; }

transient() {
    local vm=t
    vm_make $vm 1 && vm_xml $vm 1 > "$WORK/def.xml" && v create "$WORK/def.xml" && shown $vm && refused "not supported" mkdir "$MNT/$vm/snapshots/s1" && grep -q transient "$MNT/$vm/errors"
    v destroy $vm
}

internal_snapshot() { # E-18
    local vm=i
    vm_make $vm 1 && define $vm 1 && shown $vm && qemu-img snapshot -c old "$IMAGES/$vm-vda.img" && refused "not supported" mkdir "$MNT/$vm/snapshots/s1" && grep -q "internal" "$MNT/$vm/errors" || return
    qemu-img snapshot -d old "$IMAGES/$vm-vda.img" && snap $vm s1 && drop $vm s1 && check $vm && v undefine $vm
}

foreign_job() { # E-27: a block job of somebody else: busy at once, no disk switched, no file left
    local vm=p
    start $vm && write $vm 5 0 8M && v blockcopy $vm vda "$IMAGES/copy.raw" --format raw --bandwidth 1 --transient-job > /dev/null && refused "busy" mkdir "$MNT/$vm/snapshots/s1" || return
    v blockjob $vm vda --abort && rm -f "$IMAGES/copy.raw" && files $vm 2 && wait_for mkdir "$MNT/$vm/snapshots/s1" && expect_snap $vm s1 && check $vm && drop $vm s1 && stop $vm
}

definition_not_stored() { # rule 14: libvirt switched QEMU's disks but cannot store the definition: the chain decides
    local vm=p
    start $vm && scribble $vm 1 || return
    chattr +i "$WORK/lv/etc/qemu" "$WORK/lv/etc/qemu/$vm.xml" 2> /dev/null || mount --bind -o ro "$WORK/lv/etc/qemu" "$WORK/lv/etc/qemu"
    mkdir "$MNT/$vm/snapshots/s1" 2> /dev/null
    chattr -i "$WORK/lv/etc/qemu" "$WORK/lv/etc/qemu/$vm.xml" 2> /dev/null
    if [[ ! -d $MNT/$vm/snapshots/s1 ]]; then wait_for mkdir "$MNT/$vm/snapshots/s1" || return; fi
    expect_snap $vm s1 && scribble $vm 2 && STRICT_JOURNAL= check $vm && snap $vm s2 && check $vm || return
    v dumpxml --inactive $vm | grep -qF "$(cat "$MNT/$vm/disks/vda/source")" || { fail "the persistent definition is behind"; return 1; }
    stop $vm && start $vm && check $vm && stop $vm && drop $vm s1 && drop $vm s2 && check $vm
}

quota() { # EDQUOT, EMLINK, a held snapshot
    local vm=p
    echo 2 > "$MNT/$vm/policy/max_snapshots" && snap $vm s1 && snap $vm s2 && refused "quota" mkdir "$MNT/$vm/snapshots/s3" && echo 0 > "$MNT/$vm/policy/max_snapshots" || return
    echo 3 > "$MNT/$vm/policy/max_depth" && refused "Too many links" mkdir "$MNT/$vm/snapshots/s3" && echo 100 > "$MNT/$vm/policy/max_depth" || return
    chmod a-w "$MNT/$vm/snapshots/s1" && refused "busy" rmdir "$MNT/$vm/snapshots/s1" && refused "busy" rm -r "$MNT/$vm/snapshots/s1" && chmod u+w "$MNT/$vm/snapshots/s1" && drop $vm s1 && drop $vm s2 && check $vm
}

orphans() { # design 4: files of ours that nobody refers to, on a real file system and with real image locks
    local vm=p o=$MNT/.vmsnapfs/orphans base orphan left holder
    snap $vm s1 || return
    base=$(tail -n 1 "$MNT/$vm/disks/vda/chain")
    orphan=${base%.*}.k123456789.qcow2
    left=$(dirname "$base")/.vmsnapfs-0123456789abcdef.new
    qemu-img create -q -f qcow2 -b "$base" -F qcow2 "$orphan" && : > "$left" || { fail "qemu-img create"; return 1; }
    qemu-img create -q -f qcow2 -b "$base" -F qcow2 "${base%.*}.clone.qcow2" || { fail "qemu-img create"; return 1; }
    echo rescan > "$MNT/$vm/drift" && wait_for test -e "$o/$(basename "$orphan")" || return
    [[ $(ls -A "$o" | wc -l) == 2 && $(cat "$o/$(basename "$orphan")") == "$orphan" ]] || { fail "orphans: $(ls -A "$o")"; return 1; }
    holder=$(lock_image "$orphan") || return
    refused "busy" rm -f "$o/$(basename "$orphan")"
    kill "$holder"
    wait_for gone "$holder" || return
    [[ -e $orphan ]] && rm -f "$o/$(basename "$orphan")" "$o/$(basename "$left")" && [[ ! -e $orphan && ! -e $left && -e ${base%.*}.clone.qcow2 ]] || { fail "rm: $(ls -A "$(dirname "$base")")"; return 1; }
    [[ -z $(ls -A "$o") ]] || fail "still listed: $(ls -A "$o")"
    rm -f "${base%.*}.clone.qcow2"
    drop $vm s1 && check $vm
}

libvirtd_begin && libvirtd_start || { echo "not ok rules: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make p 2
define p 2
mount_tree || exit 1
case_run "rules 7 and 14: the persistent definition follows" persistent_follows
case_run "rule 7: live and persistent differ" differ
case_run "rule 8: managed save" managed_save
case_run "rule 8: the image lock is held by another" image_lock
case_run "rule 14: QEMU has nodes that libvirt does not know of" taken_node_names
case_run "rule 10: excluded disks" excluded
case_run "rule 10: network disk" refuse "<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='nbd' name='x'><host name='127.0.0.1' port='10809'/></source><target dev='vdn' bus='virtio'/></disk>" "" network
case_run "rule 10: block device" refuse "<disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/null'/><target dev='vdn' bus='virtio'/></disk>" "" block
case_run "rule 10: a format other than qcow2 and raw" refuse "<disk type='file' device='disk'><driver name='qemu' type='vmdk'/><source file='$IMAGES/r.vmdk'/><target dev='vdn' bus='virtio'/></disk>" "" vmdk
case_run "rule 10: transient disk" refuse "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/throwaway.qcow2'/><target dev='vdn' bus='virtio'/><transient/></disk>" "" transient
case_run "rule 10: qcow2 though the domain says raw" refuse "" "s/type='qcow2'/type='raw'/" qcow2
case_run "a UEFI VM that was never started is refused" refuse "" "s#<os>#<os firmware='efi'>#; s#machine='pc'#machine='q35'#; s#<cpu#<features><acpi/></features><cpu#" UEFI
case_run "rule 7: transient domain" transient
case_run "E-18: internal snapshot" internal_snapshot
case_run "E-27: a foreign block job" foreign_job
case_run "rule 14: the definition could not be stored" definition_not_stored
case_run "EDQUOT, EMLINK and a held snapshot" quota
case_run "orphans are listed and freed" orphans
