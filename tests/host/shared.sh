# Rule 11 on real VMs: layers that another VM or another image uses are never merged into, merged away or unlinked. VM a is ours
# to work on, VM b uses a's files. Contents of both are compared byte for byte. A private libvirtd, as virsh defines b.
. "$(dirname "$0")/lib.sh"

CLONES=$WORK/clones
mkdir -p "$CLONES"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
ours() { a_is_off && [[ $(ls "$MNT/a/snapshots") == "" ]] || { fail "VM a is not as it was: $(ls "$MNT/a/snapshots")"; return 1; }; }
a_is_off() { [[ $(state a) == shutoff ]]; }

# clone_of FILE [FORMAT]: b-vda.img, an overlay on FILE, which shows what a's s1 does, and has something of its own.
clone_of() {
    local expected=$WORK/expect/b/vda
    mkdir -p "$WORK/expect/b"
    cp --sparse=always "$WORK/expect/a/snapshots/s1.vda" "$expected"
    qemu-img create -q -f qcow2 -b "$1" -F "${2:-qcow2}" "$CLONES/b-vda.img" && qemu-io -f qcow2 -c "write -q -P 77 3M 64k" "$CLONES/b-vda.img" &&
        qemu-io -f raw -c "write -q -P 77 3M 64k" "$expected" && whole || { fail "cannot make the clone"; return 1; }
}
whole() { same "$WORK/expect/b/vda" qcow2 "$CLONES/b-vda.img"; }
# b goes, and with it what it had
forget_b() {
    v destroy b 2> /dev/null
    v managedsave-remove b 2> /dev/null
    v undefine b
    rm -f "$CLONES"/*
}
# kept WHO: s1 cannot be removed because of WHO, whatever a does; nothing of anybody changes
kept() {
    refused "busy" rmdir "$MNT/a/snapshots/s1" && grep -qF "$1" "$MNT/a/errors" || { fail "errors do not name $1: $(tail -n 1 "$MNT/a/errors")"; return 1; }
    listed a "s1 " && idle a && check a
}
begin_a() { ours && scribble a 1 && snap a s1 && scribble a 2; }
end_a() { drop a s1 && check a && files a 2; }

stopped_clone() { # lab: qemu-img commit under a stopped VM's overlay succeeds and ruins it silently
    begin_a && clone_of "$IMAGES/a-vda.img" && define b 1 qcow2 "$CLONES" && kept "disk vda of VM b (off)" && whole || return
    start a && scribble a 3 && kept "disk vda of VM b (off)" && whole || return
    forget_b && end_a && stop a
}

running_clone() {
    begin_a && clone_of "$IMAGES/a-vda.img" && define b 1 qcow2 "$CLONES" && v start b && kept "disk vda of VM b (running)" || return
    v destroy b && whole && kept "disk vda of VM b (off)" && forget_b && end_a
}

saved_clone() { # only what b was saved with uses it: it would resume on those files
    begin_a && clone_of "$IMAGES/a-vda.img" && define b 1 qcow2 "$CLONES" && v start b && v managedsave b || return
    qemu-img create -q -f qcow2 "$CLONES/other.img" 16M
    v dumpxml --inactive b | sed "s#$CLONES/b-vda.img#$CLONES/other.img#" > "$WORK/edit.xml" && v define "$WORK/edit.xml" && kept "disk vda of VM b (saved)" && whole || return
    v managedsave-remove b && rm "$CLONES/b-vda.img" && drop a s1 && check a && forget_b
}

template() { # no VM at all uses it
    begin_a && clone_of "$IMAGES/a-vda.img" && mv "$CLONES/b-vda.img" "$IMAGES/template.img" && kept "image $IMAGES/template.img" || return
    same "$WORK/expect/b/vda" qcow2 "$IMAGES/template.img" && rm "$IMAGES/template.img" && end_a
}

golden() { # two VMs on one base: it is nobody's to write to, and each merges what is its own
    local sum
    sum=$(sha256sum < "$WORK/golden/golden.img")
    define c 1 qcow2 "$CLONES" && wait_for listed_vm c || return
    for vm in g c; do snap $vm s1 && write $vm 5 1M 64k && snap $vm s2 && write $vm 6 2M 64k || return; done
    drop g s1 && drop c s2 && drop g s2 && drop c s1 && check g "$CLONES" && check c "$CLONES" || return
    [[ $(sha256sum < "$WORK/golden/golden.img") == "$sum" ]] || fail "the golden image was written to"
}

hard_link() { # another name of the very file
    begin_a && ln "$IMAGES/a-vda.img" "$CLONES/link.img" && clone_of "$CLONES/link.img" && define b 1 qcow2 "$CLONES" && kept "disk vda of VM b (off)" && whole || return
    forget_b && end_a
}

bind_mount() { # the directory by another name
    mkdir -p "$WORK/bound" && mount --bind "$IMAGES" "$WORK/bound" || { fail "no bind mount"; return 1; }
    begin_a && clone_of "$WORK/bound/a-vda.img" && define b 1 qcow2 "$CLONES" && kept "disk vda of VM b (off)" && whole
    umount "$WORK/bound"
    [[ -z $FAILED ]] && forget_b && end_a
}

same_disk() { # both VMs run on a's active layer, one at a time
    begin_a && define b 1 && v dumpxml --inactive b | sed "s#$IMAGES/b-vda.img#$(cat "$MNT/a/disks/vda/source")#" > "$WORK/edit.xml" && v define "$WORK/edit.xml" || return
    kept "disk vda of VM b (off)" && forget_b && end_a
}

detached() { # a disk with snapshots that a gave away
    local layer
    begin_a && layer=$(cat "$MNT/a/disks/vdb/source") && v dumpxml --inactive a > "$WORK/a.xml" && v detach-disk a vdb --config || return
    vm_xml b 1 | sed "s#$IMAGES/b-vda.img#$layer#" > "$WORK/def.xml" && v define "$WORK/def.xml" || return
    refused "busy" rmdir "$MNT/a/snapshots/s1" && grep -q "disk vdb) is also used by disk vda of VM b (off)" "$MNT/a/errors" && same "$WORK/expect/a/vdb" qcow2 "$layer" || return
    [[ ! -e $MNT/a/disks/vdb ]] || { fail "the detached disk is still shown"; return 1; }
    forget_b && v define "$WORK/a.xml" && wait_for test -e "$MNT/a/disks/vdb" && check a && end_a
}

revert_keeps() { # b took a's active layer: a's revert leaves it where it is, and says so
    local layer
    begin_a && layer=$(cat "$MNT/a/disks/vda/source") && cp --sparse=always "$WORK/expect/a/vda" "$WORK/expect/kept" || return
    vm_xml b 1 | sed "s#$IMAGES/b-vda.img#$layer#" > "$WORK/def.xml" && v define "$WORK/def.xml" && revert a s1 || return
    grep -qF "$layer" "$MNT/a/snapshots/s1/warnings" && same "$WORK/expect/kept" qcow2 "$layer" || { fail "warnings: $(cat "$MNT/a/snapshots/s1/warnings")"; return 1; }
    refused "busy" rmdir "$MNT/a/snapshots/s1" && same "$WORK/expect/kept" qcow2 "$layer" && v undefine b || return
    refused "busy" rmdir "$MNT/a/snapshots/s1" && grep -qF "image $layer" "$MNT/a/errors" && rm "$layer" && end_a
}

libvirtd_begin && libvirtd_start || { echo "not ok shared: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make a 2
define a 2
mkdir -p "$WORK/golden"
qemu-img create -q -f qcow2 "$WORK/golden/golden.img" 16M && qemu-io -f qcow2 -c "write -q -P 9 0 1M" "$WORK/golden/golden.img"
for vm in g c; do
    mkdir -p "$WORK/expect/$vm/snapshots"
    qemu-img create -q -f qcow2 -b "$WORK/golden/golden.img" -F qcow2 "$CLONES/$vm-vda.img"
    qemu-img convert -O raw "$CLONES/$vm-vda.img" "$WORK/expect/$vm/vda"
done
define g 1 qcow2 "$CLONES"
mount_tree || exit 1
case_run "rule 11: golden image below two VMs (E-22, W15)" golden
v undefine g
v undefine c
rm -rf "$CLONES"/* "$CLONES/.vmsnapfs"
case_run "rule 11: a stopped VM on the base (E-8, E-37)" stopped_clone
case_run "rule 11: a running VM on the base (E-37)" running_clone
case_run "rule 11: a saved VM on the base (E-37)" saved_clone
case_run "rule 11: an image that no VM uses" template
case_run "rule 11: a hard link" hard_link
case_run "rule 11: a bind mount" bind_mount
case_run "rule 11: one disk of two VMs" same_disk
case_run "rule 11: a detached disk that another VM has" detached
case_run "rule 11: a revert keeps what another VM uses" revert_keeps
