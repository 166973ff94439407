# The variables of real VMs as files: read, put back by hand, reset; and that a start takes what was put there.
. "$(dirname "$0")/lib.sh"

store() { cat "$MNT/$1/nvram/path"; }
has() { cmp -s "$2" "$MNT/$1/nvram/vars.fd" && cmp -s "$2" "$(store "$1")" || { fail "the variables of $1 are not those of $2"; return 1; }; }
says() { [[ $(cat "$MNT/$1/nvram/$2") == "$3" ]] || { fail "nvram/$2 of $1 is $(cat "$MNT/$1/nvram/$2"), not $3"; return 1; }; }
looks() { stat -c '%a %u %g' "$(store "$1")"; }

# Nothing is there before the first start, and what the firmware has made of it then is a file like others.
a_start_makes_them() { # VM
    says "$1" state missing && [[ ! -e $MNT/$1/nvram/vars.fd ]] || { fail "they are there"; return 1; }
    start "$1" && stop "$1" && says "$1" state ready && says "$1" format raw && says "$1" size 540672 || return
    cp "$MNT/$1/nvram/vars.fd" "$WORK/first.fd" && has "$1" "$WORK/first.fd"
    says "$1" sha256 "$(sha256sum < "$WORK/first.fd" | cut -d' ' -f1)"
}
cp_replaces_them() { # VM: one byte of what the firmware does not look at
    local before
    before=$(looks "$1")
    cp "$WORK/first.fd" "$WORK/other.fd" && printf x | dd of="$WORK/other.fd" bs=1 seek=540000 conv=notrunc status=none
    cp "$WORK/other.fd" "$MNT/$1/nvram/vars.fd" && has "$1" "$WORK/other.fd" || return
    [[ $(looks "$1") == "$before" ]] || { fail "they look like $(looks "$1"), not $before"; return 1; }
    dd if="$WORK/first.fd" of="$MNT/$1/nvram/vars.fd" bs=4k status=none && has "$1" "$WORK/first.fd"
    head -c 540672 /dev/urandom | dd of="$MNT/$1/nvram/vars.fd" bs=64k iflag=fullblock status=none 2> "$WORK/said" && { fail "noise was taken"; return 1; }
    grep -q "Invalid argument" "$WORK/said" && has "$1" "$WORK/first.fd"
}
a_running_vm_keeps_them() { # VM
    start "$1" || return
    cp "$WORK/other.fd" "$MNT/$1/nvram/vars.fd" 2> "$WORK/said" && { fail "cp"; return 1; }
    grep -q "Device or resource busy" "$WORK/said" || fail "$(cat "$WORK/said")"
    rm "$MNT/$1/nvram/vars.fd" 2> "$WORK/said" && { fail "rm"; return 1; }
    grep -q "Device or resource busy" "$WORK/said" || fail "$(cat "$WORK/said")"
    stop "$1"
}
a_snapshot_s_are_put_back() { # VM
    cp "$WORK/first.fd" "$MNT/$1/nvram/vars.fd" && snap "$1" s1 && cp "$WORK/other.fd" "$MNT/$1/nvram/vars.fd" && has "$1" "$WORK/other.fd" || return
    cp "$MNT/$1/snapshots/s1/vars.fd" "$MNT/$1/nvram/vars.fd" && has "$1" "$WORK/first.fd" && start "$1" && stop "$1" || return
    drop "$1" s1
}
rm_resets_them() { # VM
    local path
    path=$(store "$1")
    rm "$MNT/$1/nvram/vars.fd" && [[ ! -e $path ]] && says "$1" state missing || { fail "it is still there"; return 1; }
    start "$1" && stop "$1" && says "$1" state ready
}
# NV-13, and a symlink in its place.
what_is_not_what_it_was_is_said() { # VM
    local path
    path=$(store "$1")
    mv "$path" "$WORK/kept.fd"
    cat "$MNT/$1/nvram/vars.fd" > /dev/null 2> "$WORK/said" && { fail "it was read"; return 1; }
    grep -q "No such file" "$WORK/said" && grep -qF "NVRAM $path of VM $1 is not there" "$MNT/$1/errors" || { fail "$(tail -n 1 "$MNT/$1/errors")"; return 1; }
    ln -s "$WORK/kept.fd" "$path"
    cat "$MNT/$1/nvram/vars.fd" > /dev/null 2>&1 && { fail "the link was followed"; return 1; }
    cp "$WORK/other.fd" "$MNT/$1/nvram/vars.fd" 2> /dev/null && { fail "the link was followed to write"; return 1; }
    cmp -s "$WORK/other.fd" "$WORK/kept.fd" && { fail "what the link names was written"; return 1; }
    rm "$path" && mv "$WORK/kept.fd" "$path" && echo rescan > "$MNT/$1/drift" && says "$1" state ready
}
# NV-24: a start does not make new ones by itself where there were some; a copy, or a word, helps.
those_that_vanished_are_missed() { # VM
    local path=$MNT/$1/nvram/vars.fd
    snap "$1" s1 || return
    vanish() { rm "$(store "$1")" && echo rescan > "$MNT/$1/drift" && says "$1" state missing; }
    vanish "$1" || return
    timeout $PATIENCE bash -c 'echo running > "$1"' - "$MNT/$1/state" 2> /dev/null && { fail "it started without them"; return 1; }
    grep -q 'rm nvram/vars.fd' "$MNT/$1/errors" || { fail "$(tail -n 1 "$MNT/$1/errors")"; return 1; }
    [[ -e $path ]] || { fail "it is not listed"; return 1; }
    cat "$path" > /dev/null 2>&1 && { fail "something was read"; return 1; }
    cp "$MNT/$1/snapshots/s1/vars.fd" "$path" && has "$1" "$MNT/$1/snapshots/s1/vars.fd" && start "$1" && stop "$1" || { fail "put back"; return 1; }
    vanish "$1" && rm "$path" && [[ ! -e $path ]] && start "$1" && stop "$1" && says "$1" state ready || { fail "given up"; return 1; }
    drop "$1" s1
}

# NV-14, NV-16: on real files. What the definition names is the VM's, what else bears its name is nobody's.
orphans_are_freed() { # VM
    local vm=$1 o=$MNT/.vmsnapfs/orphans home now old id=k123456789
    home=$(awk '$1 == "home" { print $2 }' "$MNT/$vm/status")/.vmsnapfs/$(cat "$MNT/$vm/uuid")
    snap $vm s1 && old=$(store $vm) && revert $vm s1 || return
    now=$(store $vm)
    [[ $now != "$old" && ! -e $old && $now == "${old%.fd}".*.fd ]] || { fail "the store is $now, it was $old"; return 1; }
    cp "$now" "$old" && cp "$now" "${old%.fd}.$id.fd" && cp "$now" "${old%.fd}.mine.fd" && cp "$now" "$home/vars/$id.fd" || return
    echo rescan > "$MNT/$vm/drift" && wait_for test -e "$o/$id.fd" || return
    [[ $(ls "$o" | sort | tr '\n' ' ') == "$(printf '%s\n' "$id.fd" "$(basename "$old")" "$(basename "${old%.fd}").$id.fd" | sort | tr '\n' ' ')" ]] || { fail "orphans: $(ls "$o")"; return 1; }
    rm -f "$o/$id.fd" "$o/$(basename "$old")" "$o/$(basename "${old%.fd}").$id.fd" || return
    [[ -z $(ls "$o") && ! -e $old && ! -e ${old%.fd}.$id.fd && ! -e $home/vars/$id.fd && -e $now && -e ${old%.fd}.mine.fd ]] || { fail "left: $(ls "$(dirname "$now")" "$home/vars")"; return 1; }
    rm "${old%.fd}.mine.fd"
    [[ $(ls "$home/vars" | wc -l) == 1 ]] && start $vm && stop $vm && drop $vm s1 && [[ -z $(ls "$home/vars") ]] || fail "sidecars: $(ls "$home/vars")"
}

looks_of_state() { stat -c '%a %U %G %F' "$1" "$1"/*; }
# A revert where nobody is left to ask whom the state belongs to, and a start on what it made (U-7).
vtpm_state_is_made_for_swtpm() { # VM
    local vm=$1 o=$MNT/.vmsnapfs/orphans path looks
    path=$(cat "$MNT/$vm/tpm/path")
    start $vm && stop $vm && snap $vm s1 || return
    looks=$(looks_of_state "$path")
    rm -r "$path" && revert $vm s1 && [[ $(looks_of_state "$path") == "$looks" ]] || { fail "it was $looks, it is $(looks_of_state "$path")"; return 1; }
    start $vm && stop $vm && revert $vm s1 && [[ $(looks_of_state "$path") == "$looks" ]] || { fail "it was $looks, it is $(looks_of_state "$path")"; return 1; }
    cp -a "$path" "$path.k123456789" && echo rescan > "$MNT/$vm/drift" && wait_for test -e "$o/tpm2.k123456789" || return
    [[ $(ls "$o") == tpm2.k123456789 ]] && rm -f "$o/tpm2.k123456789" && [[ -z $(ls "$o") && $(ls "$(dirname "$path")") == tpm2 ]] || { fail "orphans: $(ls "$o"); left: $(ls "$(dirname "$path")")"; return 1; }
    drop $vm s1
}

FIRMWARE=uefi vm_make loader 1
FIRMWARE=auto vm_make auto 1
TPM=1 vm_make tpm 1
mount_tree || exit 1
for vm in loader auto; do
    case_run "NV-01 $vm: the first start makes the variables" a_start_makes_them $vm
    case_run "$vm: cp and dd replace them" cp_replaces_them $vm
    case_run "$vm: a running VM keeps them" a_running_vm_keeps_them $vm
    case_run "$vm: those of a snapshot are put back by cp" a_snapshot_s_are_put_back $vm
    case_run "NV-14 NV-16 $vm: other stores and sidecars are orphans" orphans_are_freed $vm
    case_run "$vm: rm resets them" rm_resets_them $vm
    case_run "NV-24 $vm: those that vanished are missed" those_that_vanished_are_missed $vm
    case_run "NV-13 $vm: deleted, or a link in their place" what_is_not_what_it_was_is_said $vm
done
case_run "U-7 NV-16: vTPM state is made for whom swtpm runs as, and freed" vtpm_state_is_made_for_swtpm tpm
end
