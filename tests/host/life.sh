# A VM as a whole on real libvirt and QEMU: another name (mv), its end (rmdir), with UEFI variables of both styles of definition and a vTPM; first with
# the embedded driver, then with a private libvirtd.
. "$(dirname "$0")/lib.sh"

store() { cat "$MNT/$1/nvram/path"; }
sum() { sha256sum < "$1"; }
# virsh sees a private libvirtd's files under other names.
seen() { if [[ -e $1 ]]; then echo "$1"; else echo "$1" | sed "s#^/var/lib/libvirt/#$WORK/lv/lib/#"; fi; }
pid_of() { pgrep -f -- "qemu-system.*guest=$1,"; }
# QEMU has this file open as the VM's variables.
uses() { tr '\0' '\n' < "/proc/$(pid_of "$1")/cmdline" | grep -qF "\"filename\":\"$2\"" || { fail "QEMU of $1 does not use $2"; return 1; }; }
vanished() { [[ ! -d $MNT/$1 ]]; }
shows() { [[ $(ls "$MNT" | tr '\n' ' ') == "README $1 " ]] || { fail "the VMs are: $(ls "$MNT" | tr '\n' ' ')"; return 1; }; }
expectations() { [[ ! -d $WORK/expect/$1 ]] || mv "$WORK/expect/$1" "$WORK/expect/$2"; }

renamed_with_snapshots() { # VM NEW: what its snapshots and disks hold is what it was
    scribble "$1" 1 && snap "$1" s1 && scribble "$1" 2 && start "$1" || return
    refused "busy" mv "$MNT/$1" "$MNT/$2" && grep -q "must be off to be renamed" "$MNT/$1/errors" && stop "$1" || return
    mv "$MNT/$1" "$MNT/$2" && expectations "$1" "$2" && vanished "$1" && contents "$2" && start "$2" && stop "$2" && scribble "$2" 3 && revert "$2" s1 && contents "$2" || return
    mv "$MNT/$2" "$MNT/$1" && expectations "$2" "$1" && check "$1" && drop "$1" s1 && check "$1"
}
renamed_with_variables() { # VM NEW: NV-23
    local path before
    start "$1" && stop "$1" || return
    path=$(store "$1")
    [[ -n $path && -s $(seen "$path") ]] || { fail "$1 has no variables: $path"; return 1; }
    before=$(sum "$(seen "$path")")
    mv "$MNT/$1" "$MNT/$2" && expectations "$1" "$2" || { fail "mv: $(tail -n 1 "$MNT/$1/errors")"; return 1; }
    [[ $(store "$2") == "$path" && $(sum "$(seen "$path")") == "$before" ]] || { fail "the variables are now in $(store "$2")"; return 1; }
    start "$2" && uses "$2" "$path" && stop "$2"
}
reverted_after_its_rename() { # VM NEW: the sidecar and the snapshot are those of the same VM
    local before after
    start "$1" && stop "$1" && snap "$1" kept || return
    before=$(sum "$(store "$1")")
    mv "$MNT/$1" "$MNT/$2" && expectations "$1" "$2" && printf 'another key' | dd of="$(store "$2")" bs=1 seek=4096 conv=notrunc status=none || return
    [[ $(sum "$(store "$2")") != "$before" ]] || { fail "the variables did not change"; return 1; }
    revert "$2" kept && contents "$2" || return
    after=$(sum "$(store "$2")")
    [[ $after == "$before" ]] || { fail "the variables are not those of the snapshot"; return 1; }
    drop "$2" kept && start "$2" && uses "$2" "$(store "$2")" && stop "$2"
}
expunged() { # VM: gone with its variables and its vTPM's state; its disk stays
    local path tpm disk
    path=$(store "$1") tpm=$(cat "$MNT/$1/tpm/path" 2> /dev/null) disk=$(cat "$MNT/$1/disks/vda/source")
    [[ -z $path || -e $(seen "$path") ]] || { fail "no $path"; return 1; }
    [[ -z $tpm || -d $(seen "$tpm") ]] || { fail "no $tpm"; return 1; }
    start "$1" && refused "busy" rmdir "$MNT/$1" && stop "$1" || return
    refused "not permitted" rm -rf "$MNT/$1" && [[ -d $MNT/$1 ]] || return
    rmdir "$MNT/$1" || { fail "rmdir: $(tail -n 1 "$MNT/$1/errors")"; return 1; }
    vanished "$1" && [[ -s $disk ]] || { fail "the disk is gone"; return 1; }
    [[ -z $path || ! -e $(seen "$path") ]] || { fail "$path is still there"; return 1; }
    [[ -z $tpm || ! -e $(dirname "$(seen "$tpm")") ]] || { fail "$tpm is still there"; return 1; }
    [[ -z $(find "$IMAGES/.vmsnapfs" -mindepth 1 -name "$(uuid_of "${2:-$1}")") ]] || { fail "something is kept of it: $(find "$IMAGES/.vmsnapfs")"; return 1; }
    [[ -z $(ls "$MNT/.vmsnapfs/orphans") ]] || { fail "orphans: $(ls "$MNT/.vmsnapfs/orphans")"; return 1; }
}
cut_in_the_end() { # the daemon dies before or after it is undefined: whole, or gone with everything
    local path delay
    path=$(store "$1")
    for delay in 0.01 0.05 0.1; do
        rmdir "$MNT/$1" 2> /dev/null &
        sleep "$delay" # how far it comes is any: what counts is what is found
        kill_daemon
        wait $! 2> /dev/null
        mount_tree -o "config=$WORK/vmsnapfs.yaml" || return
        [[ -d $MNT/$1 ]] || break
        [[ $(store "$1") == "$path" && -s $path ]] || { fail "it is there without $path"; return 1; }
    done
    [[ ! -d $MNT/$1 ]] || rmdir "$MNT/$1" || { fail "rmdir: $(tail -n 1 "$MNT/$1/errors")"; return 1; }
    vanished "$1" && wait_for test ! -e "$path" && wait_for test -z "$(find "$IMAGES/.vmsnapfs" -mindepth 1 -name "$(uuid_of "$1")")"
}

echo "expunge: true" > "$WORK/vmsnapfs.yaml"
vm_make plain 2
vm_make stays 1
FIRMWARE=uefi vm_make loader 1
FIRMWARE=auto MACHINE=q35 vm_make auto 1
FIRMWARE=uefi TPM=1 vm_make sealed 1
FIRMWARE=secboot vm_make secure 1
FIRMWARE=uefi vm_make short 1
mount_tree -o "config=$WORK/vmsnapfs.yaml"
case_run "life: a VM with snapshots gets another name" renamed_with_snapshots plain "plain two"
case_run "life: another name, explicit loader (NV-23)" renamed_with_variables loader loader2
case_run "life: another name, firmware=efi (NV-23)" renamed_with_variables auto auto2
case_run "life: another name, vTPM (NV-23)" renamed_with_variables sealed sealed2
case_run "life: another name, Secure Boot with enrolled keys (NV-23)" renamed_with_variables secure secure2
case_run "life: another name, then a revert, Secure Boot (NV-23)" reverted_after_its_rename secure2 secure3
case_run "life: another name, then a revert, firmware=efi (NV-23)" reverted_after_its_rename auto2 auto3
case_run "life: rmdir of a BIOS VM" expunged plain
case_run "life: rmdir with variables, explicit loader (NV-06)" expunged loader2 loader
case_run "life: rmdir with variables, firmware=efi (NV-06)" expunged auto3 auto
case_run "life: rmdir with a vTPM (NV-15)" expunged sealed2 sealed
case_run "life: rmdir with variables, Secure Boot (NV-06)" expunged secure3 secure
case_run "life: start and stop keep what is needed (NV-06)" eval 'start short && stop short && [[ -s $(store short) ]]'
case_run "life: kill -9 in a rmdir" cut_in_the_end short
case_run "life: the others stay" shows stays
umount_tree

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
names() { v list --all --name | tr -s '\n' ' '; }
virsh_follows() { # libvirt's notes of checkpoints keep the name, and go with the VM
    mv "$MNT/one" "$MNT/two" && [[ $(names) == "bystander two " && $(v domuuid two) == "$(uuid_of one)"* ]] || { fail "libvirt says: $(names)"; return 1; }
    v domrename two one && wait_for listed_vm one && vanished two || return
    start one && v checkpoint-create-as one cp1 && stop one && refused "busy" mv "$MNT/one" "$MNT/two" && [[ $(names) == "bystander one " ]]
}
killed_in_a_move() { # any time: exactly one name, with or without libvirt's answer
    local now
    mv "$MNT/bystander" "$MNT/other" 2> /dev/null &
    libvirtd_kill
    wait $! 2> /dev/null
    libvirtd_start && wait_for grep -qx 'up 1' "$MNT/.vmsnapfs/status" || return
    now=$(v list --all --name | grep -vx one | grep .)
    [[ $now == bystander || $now == other ]] || { fail "libvirt says: $(names)"; return 1; }
    wait_for listed_vm "$now" && wait_for_one "$now" && start "$now" && stop "$now" || return
    [[ $now == bystander ]] || mv "$MNT/other" "$MNT/bystander"
}
wait_for_one() { wait_for eval "[[ \$(ls '$MNT' | tr '\n' ' ') == 'README $(printf '%s\n' one "$1" | sort | tr '\n' ' ')' ]]"; }

libvirtd_begin && libvirtd_start || { echo "not ok life: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make one 1
vm_make bystander 1
define one 1 && define bystander 1
mount_tree -o "config=$WORK/vmsnapfs.yaml"
case_run "life: virsh and mv, and a checkpoint (E-38)" virsh_follows
case_run "life: rmdir of a VM with a checkpoint" expunged one
define one 1
case_run "life: libvirtd killed in a mv" killed_in_a_move
