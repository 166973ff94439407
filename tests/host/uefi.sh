# UEFI variables and vTPM state come back with the disks (design 6, rule 9): VMs without a guest, whose variable stores and vTPM states
# are compared byte for byte on the host, before anything boots. Both styles of definition: a named loader, and firmware='efi'.
. "$(dirname "$0")/lib.sh"
. "$HERE/firmware.sh"

# With a store that is of this very moment; the VM is off, or stands still.
snap_vars() { snap "$1" "$2" && bytes "$(store "$1")" "$(vars_of "$1" "$2")" && cp "$(store "$1")" "$WORK/expect/$1/snapshots/$2.fd"; }
is_vars() { bytes "$(vars_of "$1" "$2")" "$WORK/expect/$1/snapshots/$2.fd"; }
empty() {
    local name
    stop "$1" || return
    for name in $(ls "$MNT/$1/snapshots"); do drop "$1" "$name" || return; done
    count_kept "$1" vars 0 && check "$1" && files "$1" 2
}
# One store, the one that the definition names, as private as the first one.
one_store() {
    local n
    n=$(find "$(dirname "$(store "$1")")" -name "$1*.fd" | wc -l)
    [[ $n == 1 && -s $(store "$1") ]] || { fail "$n stores: $(ls -l "$(dirname "$(store "$1")")")"; return 1; }
    [[ $(stat -c '%a %U' "$(store "$1")") == "600 root" ]] || fail "the store is $(stat -c '%a %U' "$(store "$1")")"
}

kept_with_it() { # S-26
    local vm=$1
    start $vm && mkdir "$MNT/$vm/snapshots/run" && is_state $vm running && consistency $vm run crash && expect_snap $vm run || return
    [[ $(stat -c '%s %a' "$(vars_of $vm run)") == "$(stat -c %s $OVMF/OVMF_VARS_4M.fd) 600" ]] || { fail "the sidecar is $(stat -c '%s %a' "$(vars_of $vm run)")"; return 1; }
    power $vm paused && scribble $vm 1 && snap_vars $vm paused && is_state $vm paused && consistency $vm paused paused || return
    stop $vm && poke $vm off && snap_vars $vm off && poke $vm later && consistency $vm off off && count_kept $vm vars 3 && check $vm && empty $vm
}

come_back() { # S-27, S-29
    local vm=$1 old
    poke $vm one && scribble $vm 1 && snap_vars $vm s1 && poke $vm two && scribble $vm 2 && snap_vars $vm s2 && scribble $vm 3 && old=$(store $vm) || return
    head -c 540672 /dev/zero > "$old" && revert $vm s1 && bytes "$(store $vm)" "$WORK/expect/$vm/snapshots/s1.fd" && is_vars $vm s1 && is_vars $vm s2 && one_store $vm && check $vm || return
    [[ $(store $vm) != "$old" ]] || { fail "the store was replaced in place"; return 1; }
    start $vm && stop $vm && check $vm || return
    poke $vm three && revert $vm s2 && bytes "$(store $vm)" "$WORK/expect/$vm/snapshots/s2.fd" && one_store $vm && check $vm || return
    : > "$(store $vm)" && revert $vm s1 && bytes "$(store $vm)" "$WORK/expect/$vm/snapshots/s1.fd" && one_store $vm && check $vm && empty $vm
}

no_store() { # U-5, U-7: the store is gone, and comes back
    local vm=$1
    poke $vm one && snap_vars $vm s1 && rm "$(store $vm)" && revert $vm s1 && bytes "$(store $vm)" "$WORK/expect/$vm/snapshots/s1.fd" && one_store $vm && check $vm && empty $vm
}

removed_with_it() { # S-28
    local vm=$1
    poke $vm one && scribble $vm 1 && snap_vars $vm s1 && poke $vm two && scribble $vm 2 && snap_vars $vm s2 && scribble $vm 3 || return
    drop $vm s1 && is_vars $vm s2 && count_kept $vm vars 1 && check $vm || return
    revert $vm s2 && bytes "$(store $vm)" "$WORK/expect/$vm/snapshots/s2.fd" && check $vm && empty $vm
}

hidden_with_it() { # one that is hidden keeps its sidecar until it is finished
    local vm=$1 of_a
    snap_vars $vm a && poke $vm two && snap_vars $vm b && revert $vm a && snap_vars $vm c && of_a=$(vars_of $vm a) && rmdir "$MNT/$vm/snapshots/a" && expect_drop $vm a && hidden $vm 1 || return
    [[ -e $of_a ]] && is_vars $vm b && is_vars $vm c && drop $vm b && hidden $vm 0 && [[ ! -e $of_a ]] || { fail "the sidecar of what was hidden: $(ls "$(dirname "$of_a")")"; return 1; }
    count_kept $vm vars 1 && is_vars $vm c && check $vm && empty $vm
}

damaged() { # the checksum is looked at before anything changes
    local vm=$1 before
    poke $vm one && snap_vars $vm s1 && poke $vm two && cp "$(store $vm)" "$WORK/before.fd" && before=$(store $vm) || return
    printf x | dd of="$(vars_of $vm s1)" bs=1 seek=400000 conv=notrunc status=none
    refused "" ln -sfn snapshots/s1 "$MNT/$vm/current" && [[ $(store $vm) == "$before" ]] && bytes "$before" "$WORK/before.fd" && one_store $vm && check $vm || return
    grep -q 'vars' "$MNT/$vm/errors" || { fail "errors: $(cat "$MNT/$vm/errors")"; return 1; }
    cp "$WORK/expect/$vm/snapshots/s1.fd" "$(vars_of $vm s1)" && revert $vm s1 && bytes "$(store $vm)" "$WORK/expect/$vm/snapshots/s1.fd" && empty $vm
}

tpm_comes_back() { # rule 9
    local vm=tpm
    start $vm && power $vm paused && snap $vm p && same_state "$(tpm_state $vm)" "$(tpm_of $vm p)" && is_state $vm paused && stop $vm && scribble $vm 1 || return
    cp -a "$(tpm_of $vm p)" "$WORK/expect/tpm.p" && echo other > "$(tpm_state $vm)/tpm2-00.permall" && snap $vm off && same_state "$(tpm_state $vm)" "$(tpm_of $vm off)" || return
    revert $vm p && same_state "$(tpm_state $vm)" "$WORK/expect/tpm.p" && check $vm && [[ $(ls "$(dirname "$(tpm_state $vm)")") == tpm2 ]] || { fail "the state: $(ls -R "$(dirname "$(tpm_state $vm)")")"; return 1; }
    [[ $(stat -c '%U %a' "$(tpm_state $vm)" "$(tpm_state $vm)/tpm2-00.permall" | tr '\n' ' ') == "tss 700 tss 600 " ]] || { fail "$(stat -c '%U %a' "$(tpm_state $vm)"/*)"; return 1; }
    start $vm && stop $vm && drop $vm off && count_kept $vm tpm 1 && drop $vm p && count_kept $vm tpm 0 && check $vm && files $vm 1
}

for style in uefi auto; do FIRMWARE=$style vm_make $style 2 || exit 1; done
TPM=1 vm_make tpm 1
mount_tree || exit 1
for style in uefi auto; do
    start $style && stop $style || exit 1 # libvirt makes the store
    case_run "S-26 $style: the variables are kept, running, paused and off" kept_with_it $style
    case_run "S-27 S-29 $style: before boot the variables are those of the snapshot" come_back $style
    case_run "S-28 $style: a removed one takes its own variables with it" removed_with_it $style
    case_run "S-28 $style: a hidden one keeps its variables until it is finished" hidden_with_it $style
    case_run "U-5 U-7 $style: the store is gone, and comes back" no_store $style
    case_run "S-27 $style: damaged variables are found before anything changes" damaged $style
done
case_run "rule 9: the state of a vTPM comes back" tpm_comes_back
