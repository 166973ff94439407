# What a real guest finds after a revert: the UEFI variable, and the index in its TPM, that it had at the snapshot, and the disk of that
# moment; under secure boot the enrolled keys, too. They boot side by side, so each has a case before its second boot and one after it.
. "$(dirname "$0")/lib.sh"
. "$HERE/guests.sh"
. "$HERE/firmware.sh"

says() { # VM WORD COMMAND: the guest's answer
    local said
    said=$(guest "$1" "$3" 2>&1)
    [[ $said == "$2" ]] || fail "$3 says '$said', not '$2'"
}
put() { guest "$1" "remember $2 $3 && echo $3 > /mnt/vda/word && sync" || fail "the guest cannot remember $3"; }

snapshot_and_revert() { # VM efi|tpm
    local vm=$1
    put $vm $2 old && wait_for mkdir "$MNT/$vm/snapshots/s1" && consistency $vm s1 frozen && is_state $vm running || return
    put $vm $2 new && says $vm new "remember $2" && stop $vm && ln -sfn snapshots/s1 "$MNT/$vm/current" || fail "revert"
}
found() { says "$1" old 'cat /mnt/vda/word' && says "$1" old "remember $2"; }

variables() { snapshot_and_revert uefi efi && bytes "$(store uefi)" "$(vars_of uefi s1)" && start uefi; }
index_of_tpm() { snapshot_and_revert tpm tpm && same_state "$(tpm_state tpm)" "$(tpm_of tpm s1)" && start tpm; }

# Its last byte says that it is on.
secure() { says secboot ' 06 00 00 00 01' 'od -An -tx1 /sys/firmware/efi/efivars/SecureBoot-*'; }
keys() { guest secboot 'cd /sys/firmware/efi/efivars && md5sum PK-* KEK-* db-* dbx-*'; }
enrolled() {
    secure && keys > "$WORK/keys" && grep -q ' PK-' "$WORK/keys" && snapshot_and_revert secboot efi && bytes "$(store secboot)" "$(vars_of secboot s1)" || return
    mv "$MNT/secboot" "$MNT/renamed" && wait_for listed_vm renamed && start renamed
}
still_enrolled() { found secboot efi && secure && keys > "$WORK/keys.now" && bytes "$WORK/keys" "$WORK/keys.now"; }

guest_image || { echo "not ok remember: a guest - it could not be made"; exit 1; }
for vm in uefi secboot tpm; do
    firmware=$vm
    [[ $vm != tpm ]] || firmware=
    guest_disks $vm 1 && FIRMWARE=$firmware TPM=$([[ $vm != tpm ]] || echo 1) guest_xml $vm 1 > "$EMBED/etc/qemu/$vm.xml" || exit 1
done
mount_tree || exit 1
for vm in tpm uefi secboot; do start $vm && echo require > "$MNT/$vm/policy/quiesce" || exit 1; done
case_run "rule 9 with a guest: its TPM goes back" index_of_tpm
case_run "S-27 with a guest: its UEFI variable goes back" variables
case_run "S-27 NV-06 NV-23 secure boot: a snapshot, a revert, another name" enrolled
case_run "rule 9 with a guest: it finds its TPM as it was at the snapshot" found tpm tpm
case_run "S-27 with a guest: it finds its UEFI variable as it was at the snapshot" found uefi efi
case_run "S-27 NV-06 NV-23 secure boot: it is still on, with the same keys" still_enrolled
for vm in tpm uefi renamed; do stop $vm; done
