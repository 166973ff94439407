# Names, paths and contents that mean harm, on real files.
. "$(dirname "$0")/lib.sh"

odd_names() { # VMs and image paths with spaces, quotes, &, <, :, a leading '-'
    local vm=$1
    scribble "$vm" 1 && snap "$vm" "a name: with 'quotes' & <more>" && scribble "$vm" 2 && check "$vm" "$ODD" || return
    start "$vm" && snap "$vm" s2 && scribble "$vm" 3 && check "$vm" "$ODD" && drop "$vm" "a name: with 'quotes' & <more>" && check "$vm" "$ODD" && stop "$vm" || return
    revert "$vm" s2 && check "$vm" "$ODD" && drop "$vm" s2 && check "$vm" "$ODD"
}

snapshot_names() {
    local vm=plain name long
    long=$(printf 'x%.0s' $(seq 255))
    for name in "json:{\"driver\":\"raw\"}" "ünïcode ☃" "a,b=c" "%s%n" "$(printf 'y%.0s' $(seq 200))" "a.b" "~" "'" "\\"; do
        snap $vm "$name" && [[ -d $MNT/$vm/snapshots/$name ]] && check $vm && drop $vm "$name" || { FAILED+=" for $name"; return 1; }
    done
    refused "Invalid argument" mkdir -- "$MNT/$vm/snapshots/-rf" && refused "Invalid argument" mkdir "$MNT/$vm/snapshots/.hidden" && refused "Invalid argument" mkdir "$MNT/$vm/snapshots/a"$'\n'"b" || return
    refused "Invalid argument" mkdir "$MNT/$vm/snapshots/"$'\xff\xfe' && refused "too long" mkdir "$MNT/$vm/snapshots/$long" && refused "exists" mkdir "$MNT/$vm/snapshots/.." || return
    listed $vm ""
}

guest_header() { # rule 12: the guest of a raw disk writes a qcow2 header that names a host file: never probed, refused by name
    local vm=raw
    echo secret > "$WORK/secret"
    qemu-img create -q -f qcow2 -b "$WORK/secret" -F raw "$WORK/evil" 16M
    qemu-io -f raw -c "write -q -s $WORK/evil 0 $(stat -c %s "$WORK/evil")" "$IMAGES/$vm-vda.img" > /dev/null || dd if="$WORK/evil" of="$IMAGES/$vm-vda.img" conv=notrunc status=none
    refused "not supported" mkdir "$MNT/$vm/snapshots/s1" && grep -q "qcow2" "$MNT/$vm/errors" && listed $vm "" && files $vm 1
}

modes() { # rule 13: an overlay has owner and mode of what it covers, never wider
    local vm=plain file
    chown 65534:65534 "$IMAGES/$vm-vda.img"
    snap $vm s1 && file=$(cat "$MNT/$vm/disks/vda/source") && [[ $(stat -c '%u:%g %a' "$file") == "65534:65534 600" ]] || { fail "$(stat -c '%u:%g %a' "$file")"; return 1; }
    drop $vm s1 && check $vm
}

two_mounts() { # a second daemon on the same embedded root is refused and harms nothing
    mkdir -p "$WORK/mnt2"
    ! timeout 60 "$PROGRAM" -f "$URI" "$WORK/mnt2" > "$WORK/second" 2>&1 &
    local second=$!
    wait_for second_is_up_or_out $second || return
    [[ ! -d $WORK/mnt2/plain ]] || { fail "the second daemon shows VMs of a driver that is taken"; return 1; }
    mountpoint -q "$WORK/mnt2" && umount "$WORK/mnt2"
    wait $second
    snap plain s1 && drop plain s1 && check plain
}
second_is_up_or_out() { [[ -e $WORK/mnt2/.vmsnapfs/status ]] || ! kill -0 "$1"; }

ODD="$IMAGES/a dir, with: 'odd' & <signs>"
vm_make plain 1
vm_make raw 1 raw
vm_make "web 'one' & <two>" 2 qcow2 16M "$ODD"
vm_make "-rf" 1 qcow2 16M "$ODD"
mount_tree || exit 1
case_run "hostile VM and path names" odd_names "web 'one' & <two>"
case_run "hostile VM name -rf" odd_names "-rf"
case_run "hostile snapshot names" snapshot_names
case_run "a guest's own qcow2 header (rule 12)" guest_header
case_run "owner and mode of overlays (rule 13)" modes
case_run "a second daemon" two_mounts
stop "web 'one' & <two>"
stop "-rf"
