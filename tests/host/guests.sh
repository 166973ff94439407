# VMs with a real Linux guest and a real guest agent (guest.sh); sourced after lib.sh.
GUEST=$BUILD/guest
guest_image() { "$HERE/guest.sh" "$GUEST" "$BUILD/tests/host/remember"; }

# ---- VMs with a guest ----

guest_xml() { # VM DISKS [WORD-OF-ITS-COMMAND-LINE]
    local vm=$1 target
    echo "<domain type='qemu'><name>$vm</name><uuid>$(uuid_of "$vm")</uuid><memory unit='MiB'>$([[ -n ${FIRMWARE:-} ]] && echo 320 || echo 192)</memory><vcpu>1</vcpu>"
    MACHINE=q35 KERNEL="<kernel>$GUEST/kernel</kernel><initrd>$GUEST/initrd</initrd>
        <cmdline>quiet mitigations=off panic=-1 nokaslr tsc=reliable no_timer_check cryptomgr.notests ${3:-}</cmdline>" firmware_xml
    echo "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"
    echo "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
    for target in $(targets "$2"); do
        echo "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$IMAGES/$vm-$target.img'/><target dev='$target' bus='virtio'/></disk>"
    done
    echo "<serial type='unix'><source mode='bind' path='$(serial "$vm")'/></serial>"
    echo "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    tpm_xml
    echo "<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"
}
serial() { echo "$WORK/run/$1.serial"; }
guest_disks() { # VM DISKS
    local target
    for target in $(targets "$2"); do
        rm -f "$WORK/ext4" && truncate -s 64M "$WORK/ext4" && mke2fs -q -F -t ext4 "$WORK/ext4" && qemu-img convert -O qcow2 "$WORK/ext4" "$IMAGES/$1-$target.img" || return
    done
}
guest() { python3 "$HERE/guest.py" "$(serial "$1")" "$2"; } # VM COMMAND
connected() { v dumpxml "$1" | grep -q "org.qemu.guest_agent.0' state='connected'"; }
