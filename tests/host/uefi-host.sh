# UEFI VMs with a private libvirtd: a host that loses what they need (S-31), a snapshot without variables (S-30), and a guest that
# stands still when the one who suspended it dies.
. "$(dirname "$0")/lib.sh"
FROZEN=$BUILD/tests/host/frozen

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
inside() { nsenter -t "$LIBVIRTD_HOLDER" -m -r -- "$@"; } # where libvirtd lives
again() { libvirtd_kill && wait_for says_down && libvirtd_start > "$WORK/said" && wait_for says_up; }
says_down() { grep -qx 'up 0' "$MNT/.vmsnapfs/status"; }
says_up() { grep -qx 'up 1' "$MNT/.vmsnapfs/status"; }
store() { v dumpxml --inactive "$1" | sed -n 's#.*<nvram[^>]*>\(.*\)</nvram>.*#\1#p'; }
kept() { find "$IMAGES/.vmsnapfs" -name '*.fd' | wc -l; }
sentence() { tail -n 1 "$MNT/$1/errors" | grep -q "$2" || fail "errors: $(tail -n 1 "$MNT/$1/errors")"; }

without_firmware() { # S-31 with U-31, U-34, U-36, U-37
    local vm=one
    snap $vm s1 && snap $vm s2 && [[ $(kept) == 2 ]] || return
    inside mount --bind "$WORK/empty" $OVMF && again || fail "OVMF cannot be taken away"
    refused "not supported" mkdir "$MNT/$vm/snapshots/s3" && sentence $vm UEFI && refused "not supported" ln -sfn snapshots/s1 "$MNT/$vm/current" && sentence $vm UEFI &&
        refused "not supported" rmdir "$MNT/$vm/snapshots/s1" && sentence $vm UEFI && [[ $(kept) == 2 ]] && listed $vm "s1 s2 " && check $vm && snap bios a && drop bios a
    inside umount $OVMF && again && snap $vm s3 && revert $vm s1 && bytes_of $vm s1 && drop $vm s1 && drop $vm s2 && drop $vm s3 && [[ $(kept) == 0 ]] && check $vm
}
bytes_of() { cmp "$(store "$1")" "$IMAGES/.vmsnapfs/$(uuid_of "$1")/vars/$(cat "$MNT/$1/snapshots/$2/id").fd" || fail "the store is not that of $2"; }

# Another firmware for the VM, and nothing else of it.
refit() { # VM OS-INSIDE FEATURES
    v dumpxml --inactive "$1" | sed "s#<boot dev='hd'/>#$2<boot dev='hd'/>#; s#</os>#</os>$3#" > "$WORK/def.xml" && v define "$WORK/def.xml"
}
no_sidecar() { # S-30, NV-25: a snapshot of when it was a BIOS VM
    local vm=bios before
    snap $vm s1 && scribble $vm 1 && v dumpxml --inactive $vm > "$WORK/bios.xml" && cp $OVMF/OVMF_VARS_4M.fd "$IMAGES/bios.fd" &&
        refit $vm "<loader readonly='yes' type='pflash'>$OVMF/OVMF_CODE_4M.fd</loader><nvram>$IMAGES/bios.fd</nvram>" "<features><acpi/></features>" && before=$(v dumpxml --inactive $vm) || return
    refused "not supported" ln -sfn snapshots/s1 "$MNT/$vm/current" && sentence $vm 'no copy of its UEFI variables' && [[ $(v dumpxml --inactive $vm) == "$before" ]] && cmp $OVMF/OVMF_VARS_4M.fd "$IMAGES/bios.fd" && check $vm || return
    v define "$WORK/bios.xml" && revert $vm s1 && drop $vm s1 && check $vm
}

started_by_virsh() { # S-27: whoever starts it
    local vm=one
    snap $vm s1 && : > "$(store $vm)" && revert $vm s1 && bytes_of $vm s1 && [[ $(stat -c '%U %a' "$(store $vm)") == "root 600" ]] || { fail "the store: $(ls -l "$(store $vm)")"; return 1; }
    v start --paused $vm && v destroy $vm && wait_for is_state $vm shutoff && bytes_of $vm s1 && drop $vm s1 && check $vm
}

# QMP, since the guardian's libvirt is nobody's business.
stands() { [[ $(python3 "$HERE/qmp.py" "$(qmp_socket "$1")" 'info status') == *paused* ]]; }
runs() { [[ $(python3 "$HERE/qmp.py" "$(qmp_socket "$1")" 'info status') == *running* ]]; }
die_suspended() { # VM die|alone: killed with the guest suspended and the disks about to switch
    local said
    coproc TOOL { exec "$FROZEN" "$URI" "$(uuid_of "$1")" killed "$2" 2> "$WORK/die"; }
    local pid=$TOOL_PID in=${TOOL[1]} out=${TOOL[0]}
    read -r -t $PATIENCE said <&"$out" && [[ $said == now ]] || { fail "the tool said '$said': $(cat "$WORK/die")"; return 1; }
    stands "$1" || { fail "the guest is not suspended"; return 1; }
    echo go >&"$in"
    wait_for gone "$pid"
}
nothing_left() { mount_tree && wait_for listed_vm "$1" && idle "$1" && listed "$1" "" && files "$1" 2 && [[ $(kept) == 0 ]] || fail "left: $(find "$IMAGES" -name "$1*") $(find "$IMAGES/.vmsnapfs" -name '*.fd')"; }
guardian_resumes() {
    v start one && wait_for runs one && umount_tree && die_suspended one die && wait_for runs one && nothing_left one && runs one
}
next_one_resumes() {
    umount_tree && die_suspended one alone && stands one && nothing_left one && wait_for runs one
}
owner_paused() { # what was not ours stays as it was
    umount_tree && v suspend one && die_suspended one die && nothing_left one && stands one && v destroy one
}

libvirtd_begin && libvirtd_start || { echo "not ok uefi-host: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
mkdir "$WORK/empty"
vm_make one 2 && FIRMWARE=uefi NVRAM=$IMAGES/one.fd define one 2 && vm_make bios 1 && define bios 1 && v start --paused one && v destroy one || exit 1
mount_tree || exit 1
case_run "S-31 U-34 U-36 U-37 a host without UEFI firmware: nothing is taken, reverted or removed" without_firmware
case_run "S-30 NV-25 a snapshot without variables is not reverted to" no_sidecar
case_run "S-27 after a revert virsh starts it" started_by_virsh
case_run "kill -9 while the guest is suspended: the guardian resumes it" guardian_resumes
case_run "kill -9 while the guest is suspended, with the guardian: the next daemon resumes it" next_one_resumes
case_run "kill -9 while the guest is suspended by its owner: it stays so" owner_paused
