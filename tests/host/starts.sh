# Starting VMs with UEFI firmware through the tree on real libvirt, QEMU and OVMF, which makes every missing variable store without a word.
. "$(dirname "$0")/lib.sh"

TEMPLATE=$OVMF/OVMF_VARS_4M.fd
definition() { cat "$EMBED/etc/qemu/$1.xml"; }
# Where a new store of a VM goes that says nothing, and where libvirt would put it.
beside() { echo "$IMAGES/$1_VARS.$(uuid_of "$1" | cut -c1-8).fd"; }
default() { echo "$EMBED/lib/qemu/nvram/$1_VARS.fd"; }
absent() { [[ ! -e $1 ]] || fail "$1 is there"; }
nvram() { [[ $(cat "$MNT/$1/nvram/$2") == "$3" ]] || fail "nvram/$2 is $(cat "$MNT/$1/nvram/$2"), not $3"; }
is_store() { # as large as the template, and signed
    [[ $(stat -c %s "$1") == "$(stat -c %s "$TEMPLATE")" && $(tail -c +41 "$1" | head -c 4) == _FVH ]] || fail "$1 is no variable store: $(ls -l "$1")"
}
# The start of VM $1 fails with ERRNO-TEXT $2; its line in errors has $3; QEMU does not run.
no_start() {
    refused "$2" bash -c 'printf "running\n" > "$1"' - "$MNT/$1/state" || return
    tail -n 1 "$MNT/$1/errors" | grep -qF "$3" || { fail "no '$3' in: $(tail -n 1 "$MNT/$1/errors")"; return 1; }
    is_state "$1" shutoff || fail "it is $(state "$1")"
}
again() { umount_tree && mount_tree; }

FIRMWARE=auto NVRAM= MACHINE=q35 vm_make auto 1
FIRMWARE=uefi NVRAM= vm_make loader 1
FIRMWARE=uefi NVRAM=$IMAGES/none/named.fd vm_make nowhere 1
FIRMWARE=auto NVRAM= MACHINE=q35 vm_make locked 1
FIRMWARE=uefi NVRAM=$IMAGES/own.fd vm_make own 1
FIRMWARE=uefi NVRAM=$IMAGES/block.fd vm_make block 1
FIRMWARE=auto NVRAM= MACHINE=q35 vm_make diskless 0
cp "$OVMF/OVMF_CODE_4M.fd" "$WORK/own_code.fd"
sed -i "s#$OVMF/OVMF_CODE_4M.fd#$WORK/own_code.fd#" "$EMBED/etc/qemu/own.xml"
sed -i "s#<nvram>.*</nvram>#<nvram type='block'><source dev='/dev/null'/></nvram>#" "$EMBED/etc/qemu/block.xml"
mount_tree || exit

made_beside() {
    absent "$(beside auto)" && start auto || return
    is_store "$(beside auto)" && absent "$(default auto)" && nvram auto path "$(beside auto)" && nvram auto format raw || return
    definition auto | grep -qF "<nvram>$(beside auto)</nvram>" || fail "the definition does not name it: $(definition auto | grep nvram)"
}
made_where_said() {
    start loader && is_store "$(default loader)" && nvram loader state ready && absent "$(beside loader)" && stop loader
}
left_alone() { # NV-02, NV-06: a byte where the firmware keeps room for its work stays
    local sum
    stop auto && printf MARK | dd of="$(beside auto)" bs=1 seek=300000 conv=notrunc status=none && sum=$(sha256sum < "$(beside auto)") || return
    [[ $(cat "$MNT/auto/nvram/sha256") == "${sum%% *}" ]] || { fail "sha256 is $(cat "$MNT/auto/nvram/sha256")"; return 1; }
    start auto && nvram auto path "$(beside auto)" && stop auto && grep -qa MARK "$(beside auto)" || fail "it is another one"
}
missed() {
    mv "$(beside auto)" "$WORK/kept.fd" && no_start auto "No such file" "$(beside auto) is gone" && absent "$(beside auto)" || return
    again && nvram auto state missing && no_start auto "No such file" "rm nvram/vars.fd" || return
    cp "$WORK/kept.fd" "$MNT/auto/nvram/vars.fd" && start auto && stop auto && grep -qa MARK "$(beside auto)" || fail "it did not come back"
}
reset() {
    rm "$MNT/auto/nvram/vars.fd" && absent "$(beside auto)" && start auto && is_store "$(beside auto)" || return
    ! grep -qa MARK "$(beside auto)" || { fail "it is the old one"; return 1; }
    stop auto && rm "$(beside auto)" && no_start auto "No such file" "is gone" && rm "$MNT/auto/nvram/vars.fd" && start auto && stop auto
}
not_ready() {
    local store
    store=$(default loader)
    : > "$store" && no_start loader "Input/output error" "no UEFI variables in it" || return
    head -c 540672 /dev/zero > "$store" && no_start loader "Input/output error" "no _FVH signature" || return
    head -c 131072 "$TEMPLATE" > "$store" && no_start loader "Input/output error" "size of another firmware's" || return
    qemu-img create -q -f qcow2 "$store" 540672 && no_start loader "Input/output error" "is a qcow2 image" || return
    cp "$TEMPLATE" "$MNT/loader/nvram/vars.fd" && start loader && stop loader
}
libvirts_reason() {
    no_start nowhere "Input/output error" "No such file or directory" && absent "$IMAGES/none" || return
    no_start own "Input/output error" "unable to find any master var store for loader" && absent "$IMAGES/own.fd" || return
    mkdir "$IMAGES/none" && start nowhere && is_store "$IMAGES/none/named.fd" && stop nowhere
}
nothing_is_left() {
    local holder
    holder=$(lock_image "$IMAGES/locked-vda.img") || return
    no_start locked "" "lock" && absent "$(beside locked)" && absent "$(default locked)"
    kill "$holder" && wait_for gone "$holder"
    ! definition locked | grep -q '<nvram' || fail "the definition is another: $(definition locked)"
    start locked && is_store "$(beside locked)" && stop locked
}
by_name() { no_start block "Operation not supported" "on block storage"; }
without_disk() { start diskless && is_store "$(default diskless)" && stop diskless; }

case_run "starts: made beside the root disk where libvirt chooses (NV-01, NV-10, NV-12, NV-22)" made_beside
case_run "starts: made where the definition says (NV-01)" made_where_said
case_run "starts: a ready store is left alone, also by stops (NV-02, NV-06)" left_alone
case_run "starts: a store that is gone is missed (NV-24)" missed
case_run "starts: reset by rm, made anew" reset
case_run "starts: empty, blank, of another size, qcow2 (NV-05)" not_ready
case_run "starts: what libvirt says is passed on (NV-07)" libvirts_reason
case_run "starts: a failed one leaves nothing (NV-08)" nothing_is_left
case_run "starts: other storage is refused by name (NV-17)" by_name
case_run "starts: without a disk (NV-12)" without_disk
end
