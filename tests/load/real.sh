# real.sh NAME PROGRAM SECONDS SEED: load on eight real VMs, four of them running, under a private libvirtd. DAEMON_SAYS: the daemon's environment,
# a variable a line. Every VM has two snapshots (kept-1, kept-2) whose names the workers do not know; no guest writes meanwhile, so that whatever a
# snapshot or a VM holds afterwards must be what one of the two had. Afterwards each file is looked at by qemu-img check, nothing is
# left that nothing refers to, and the VMs go back and come to an end. Whether it comes to an end itself, watch.py sees to.
. "$(dirname "$0")/../host/lib.sh"
LOAD=$(cd "$(dirname "$0")" && pwd)
name=$1 program=$2 seconds=$3 seed=$4
VMS=(one two three four five six seven eight)
STATE_OF=$WORK/state
mkdir -p "$STATE_OF"

prepare() { # two snapshots of each, other contents each, made by the daemon as it is
    local vm i=0
    mount_tree || return
    for vm in "${VMS[@]}"; do
        i=$((i + 1))
        scribble "$vm" $i && snap "$vm" kept-1 && scribble "$vm" $((i + 20)) && snap "$vm" kept-2 && chmod u-w "$MNT/$vm"/snapshots/kept-? || return
        ((i % 2)) || start "$vm" || return
    done
    umount_tree
}

# It holds what the VM had at one of the two snapshots; the two hold their own.
one_of_two() { # VM ENTRY TARGET FORMAT FILE
    local kept
    [[ $2 != */kept-? ]] || { same "$WORK/expect/$1/snapshots/$(basename "$2").$3" "$4" "$5"; return; }
    for kept in kept-1 kept-2; do
        qemu-img compare -q -U -f raw -F "$4" "file:$WORK/expect/$1/snapshots/$kept.$3" "file:$5" && return
    done
    fail "$5 of $1 holds what it never held"
}

whole() { # VM: contents of all that is listed, and the files that there are
    local file
    contents "$1" one_of_two && only_known "$1" || return
    while read -r file; do
        qemu-img check -q -U "$file" > "$WORK/checked" 2>&1 || { fail "$file: $(head -n 1 "$WORK/checked")"; return 1; }
    done < "$WORK/known"
}

at_rest() { # VM: whatever came out, nothing is merged any more
    timeout "$PATIENCE" cat "$MNT/$1/wait" > "$WORK/waited" 2>&1
    [[ $? != 124 ]] || { fail "$1 does not come to rest"; return 1; }
}

# A revert may let hidden snapshots go, which are then merged.
goes_back() { stop "$1" && ln -sfn snapshots/kept-1 "$MNT/$1/current" && at_rest "$1" && whole "$1"; }

afterwards() { # the next mount finds all of it, and a user can go on
    local vm entry
    mount_tree || return
    for vm in "${VMS[@]}"; do
        at_rest "$vm" && whole "$vm" && goes_back "$vm" || { fail "$vm afterwards"; return 1; }
        chmod u+w "$MNT/$vm"/snapshots/*
        for entry in "$MNT/$vm"/snapshots/*; do rmdir "$entry" || { fail "rmdir $entry"; return 1; }; done
        idle "$vm" && whole "$vm" && listed "$vm" "" && hidden "$vm" 0 && files "$vm" "$(ls "$MNT/$vm/disks" | wc -l)" || return
    done
    umount_tree
}

load() {
    env "${DAEMON_ENVIRONMENT[@]}" python3 "$LOAD/load.py" "$name" "$program" "$URI" "$MNT" "$WORK/run" --seed "$seed" -s "$seconds" -w 8 --sanitizer "$WORK/run/sanitizer" || failed=1
}

failed=0
mapfile -t DAEMON_ENVIRONMENT <<< "${DAEMON_SAYS//@LOG/$WORK/run/sanitizer}"
for i in "${!VMS[@]}"; do vm_make "${VMS[i]}" $((1 + i % 2)) qcow2 16M; done
libvirtd_begin && libvirtd_start > /dev/null || { echo "not ok load $name: VMs - no libvirtd: $(cat "$WORK/lv/holder.log")"; exit 1; }
for vm in "${VMS[@]}"; do v define "$EMBED/etc/qemu/$vm.xml" || { echo "not ok load $name: VMs - $vm cannot be defined"; exit 1; }; done
case_run "load $name: VMs" prepare
load
case_run "load $name: afterwards" afterwards
[[ $failed == 0 && -z $FAILED ]]
