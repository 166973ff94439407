# Attacks through files: what others plant in image directories, in our own directories, in definitions and in images. Canaries
# (canary.sh) must stay what they are; nothing may hang, and the VMs work when what was planted is gone. The VMs are off, as then
# all work is done by vmsnapfs and qemu-img, as root. Attacks through the mount are in tests/face/cases/attack*.sh.
. "$(dirname "$0")/lib.sh"
. "$HERE/canary.sh"
. "$HERE/plant.sh"

nothing_made() { # VM: no snapshot, no file
    listed "$1" "" && { [[ $(ls "$IMAGES/$1") == "$1-vda.img" ]] || { fail "there is $(ls -A "$IMAGES/$1" | tr '\n' ' ')"; return 1; }; }
}
works_again() { snap "$1" again && drop "$1" again && check "$1" "$IMAGES/$1"; }

# Directories of ours that were there before us. VM plain has no catalog yet.
our_directories() {
    local vm=plain tree=$IMAGES/plain/.vmsnapfs kind place own
    own=$tree/$(uuid_of $vm)
    for place in "$tree" "$own"; do
        [[ $place == "$tree" ]] || mkdir -m 0700 "$tree"
        for kind in symlink symlink-to-directory dangling pipe file foreign writable; do
            plant $kind "$place" && attack "Permission denied" mkdir "$MNT/$vm/snapshots/x" && nothing_made $vm && uproot "$place" || { FAILED+=" ($kind as $place)"; return 1; }
        done
    done
    [[ ! -e $CANARIES/none ]] && works_again $vm
}

# A catalog that its owner wrote by hand: whatever it says, nothing of it is believed.
planted_catalog() {
    local vm=planted tree=$IMAGES/planted/.vmsnapfs own
    own=$tree/$(uuid_of $vm)
    snap $vm s1 && umount_tree || return
    sed -i "s#$IMAGES/$vm/$vm-vda.img#$CANARIES/disk#" "$own/catalog.yaml" && chown -R $NOBODY "$tree" && mount_tree && wait_for listed_vm $vm || return
    attack "Read-only file system" mkdir "$MNT/$vm/snapshots/x" && attack "No such file" rmdir "$MNT/$vm/snapshots/s1" && attack "Read-only file system" ln -sfn snapshots/s1 "$MNT/$vm/current" && listed $vm "" || return
    chmod 0777 "$tree" && chown -R 0 "$tree" && attack "Read-only file system" mkdir "$MNT/$vm/snapshots/x" || return
    chmod 0700 "$tree" && mv "$tree" "$IMAGES/$vm/aside" && ln -s aside "$tree" && attack "Read-only file system" mkdir "$MNT/$vm/snapshots/x" || return
    rm "$tree" && mv "$IMAGES/$vm/aside" "$tree" && sed -i "s#$CANARIES/disk#$IMAGES/$vm/$vm-vda.img#" "$own/catalog.yaml"
    works_again_with_s1 $vm
}
works_again_with_s1() { snap "$1" again && drop "$1" again && drop "$1" s1 && check "$1" "$IMAGES/$1"; }

# What is in them: somebody restored a backup, or root made a mistake.
our_files() {
    local vm=files own name kind error
    own=$IMAGES/$vm/.vmsnapfs/$(uuid_of $vm)
    snap $vm s1 || return
    for name in catalog.yaml journal.yaml lock; do
        for kind in symlink dangling pipe directory socket zeroes giant bad; do
            [[ $name == lock ]] && error="Invalid argument" || error="Read-only file system"
            [[ $name$kind != lockgiant && $name$kind != lockbad ]] || continue # what is in it means nothing
            plant $kind "$own/$name" && attack "$error" mkdir "$MNT/$vm/snapshots/x" && uproot "$own/$name" || { FAILED+=" ($kind as $name)"; return 1; }
        done
    done
    for name in catalog.yaml journal.yaml; do
        for kind in symlink pipe; do
            plant $kind "$own/$name.new" && harmless mkdir "$MNT/$vm/snapshots/x" && rmdir "$MNT/$vm/snapshots/x" && idle $vm && [[ ! -e $own/$name.new ]] || { FAILED+=" ($kind as $name.new)"; return 1; }
        done
    done
    works_again_with_s1 $vm
}

# Metadata of ours that say that the catalog is elsewhere.
homes() {
    local vm
    for vm in home-canary home-etc home-other home-odd; do
        harmless mkdir "$MNT/$vm/snapshots/x" && rmdir "$MNT/$vm/snapshots/x" && idle $vm && [[ -d $IMAGES/$vm/.vmsnapfs/$(uuid_of $vm) ]] || { FAILED+=" ($vm)"; return 1; }
    done
    attack "Read-only file system" mkdir "$MNT/home-planted/snapshots/x" && listed home-planted "" && [[ ! -e /etc/.vmsnapfs ]]
}
home_of() { # VM HOME GENERATION: its definition says so
    sed -i "s#</vcpu>#&<metadata><v:vmsnapfs xmlns:v='https://vmsnapfs.org/xmlns/domain/1' home='$2' generation='$3'/></metadata>#" "$EMBED/etc/qemu/$1.xml"
}

# The guest of a raw disk, which is a template of another VM, writes a header that claims a layer of ours.
claimed_layer() {
    local vm=claimed base=$IMAGES/claimed/template.img
    snap $vm s1 && snap $vm s2 || return
    qemu-img create -q -f qcow2 -b "$(disk_field "$MNT/$vm/snapshots/s1" vda file)" -F qcow2 -u "$WORK/evil" 16M && dd if="$WORK/evil" of="$base" conv=notrunc status=none || return
    harmless rmdir "$MNT/$vm/snapshots/s1" && expect_drop $vm s1 && idle $vm && drop $vm s2 && contents $vm
}

crowd() { # 100000 files more in the directory
    local vm=crowd
    snap $vm s1 && python3 -c 'import os, sys
os.chdir(sys.argv[1])
for i in range(100000):
    os.mknod(f"f{i}", 0o600)' "$IMAGES/$vm" || return
    harmless drop $vm s1 && contents $vm
}

# What lies below the mount point would be looked for in the tree itself, by us, libvirt and QEMU.
not_there() { # MOUNTPOINT SENTENCE
    ! timeout $PATIENCE "$PROGRAM" -f -o config=/dev/null "$URI" "$1" > "$WORK/said" 2>&1 || { fail "it was mounted on $1"; return 1; }
    grep -q "$2" "$WORK/said" && ! mountpoint -q "$1" || fail "on $1 it said '$(cat "$WORK/said")'"
}
over_images() {
    ln -s "$IMAGES" "$WORK/link" && mv "$IMAGES/plain/plain-vda.img" "$IMAGES/aside" || return
    not_there "$IMAGES/plain" "would hide .*plain" && mv "$IMAGES/aside" "$IMAGES/plain/plain-vda.img" || return
    not_there "$IMAGES/plain" "would hide .*plain-vda.img" && not_there "$WORK/link" "would hide" && not_there "$IMAGES" "would hide" && not_there "$WORK" "would hide"
}

frugal() { # the largest that the daemon ever was, in kB
    local peak
    peak=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$DAEMON/status")
    ((peak < 400000)) || fail "the daemon took $peak kB"
}

for vm in plain planted files home-canary home-etc home-other home-odd home-planted claimed crowd; do vm_make $vm 1 qcow2 16M "$IMAGES/$vm"; done
qemu-img create -q -f raw "$IMAGES/claimed/template.img" 16M
vm_make other 1 qcow2 16M "$IMAGES/claimed"
qemu-img create -q -f qcow2 -b "$IMAGES/claimed/template.img" -F raw "$IMAGES/claimed/other-vda.img"
trap 'canaries_end; end' EXIT
canaries_begin secret etc/passwd disk || exit 1
home_of home-canary "$CANARIES/etc" 0
home_of home-etc /etc 0
home_of home-other "$IMAGES/plain" 0
home_of home-odd "../../$CANARIES/etc" 9
home_of home-planted "$CANARIES/etc" 7
case_run "attack: a mount point over the images" over_images
mount_tree || exit 1
case_run "attack: directories of ours that others made" our_directories
case_run "attack: a catalog written by the owner of the image directory" planted_catalog
case_run "attack: symlinks, pipes, devices and giants as catalog, journal and lock" our_files
case_run "attack: metadata that name a home elsewhere" homes
case_run "attack: a raw template's guest claims our layers" claimed_layer
case_run "attack: a directory of 100000 files" crowd
case_run "attack: the daemon stays small" frugal
canaries_end
attacks_end 50
