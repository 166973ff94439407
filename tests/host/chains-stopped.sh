# S- and E- scenarios on stopped VMs: one disk, three disks, raw base.
. "$(dirname "$0")/lib.sh"
. "$HERE/chains.sh"
MODE=stopped

e_19() { # an offline merge leaves no stale chain in the definition: the VM starts
    local vm=$1
    start "$vm" && scribble "$vm" 1 && snap "$vm" s1 && scribble "$vm" 2 && snap "$vm" s2 && scribble "$vm" 3 && stop "$vm" || return
    drop "$vm" s1 && check "$vm" && start "$vm" && check "$vm" && stop "$vm" && drop "$vm" s2 && start "$vm" && check "$vm" && stop "$vm"
}

e_31() { # many children, then down to one: exactly one merge, at the end
    local vm=$1 i
    scribble "$vm" 1 && snap "$vm" root || return
    for i in $(seq 20); do scribble "$vm" $((i + 1)) && snap "$vm" "c$i" && revert "$vm" root || return; done
    revert "$vm" c20 && drop "$vm" root && hidden "$vm" 1 || return
    for i in $(seq 19); do
        hidden "$vm" 1 && drop "$vm" "c$i" || return
    done
    hidden "$vm" 0 && listed "$vm" "c20 " && check "$vm" && clean "$vm"
}

vm_make one 1
vm_make three 3
vm_make raws 2 raw
mount_tree || exit 1
chains one "1 disk, stopped"
chains three "3 disks, stopped"
chains raws "2 raw disks, stopped"
case_run "E-19 no stale chain after an offline merge" e_19 three
case_run "E-31 many children" e_31 one
