# A store that is full: before an operation, and from any moment on at which it opens one of the files it needs (tests/host/filler.py). Real file
# systems, real QEMU. What fails says ENOSPC and how much room there is where, the VM is unharmed, nothing is left behind, and with room it works.
# What frees room works without any. FULL_STEP=1 tries each moment; else one in a few.
. "$(dirname "$0")/lib.sh"
STORE=$WORK/store
IMAGES=$STORE
. "$HERE/firmware.sh"
CUTS=0 RETRIES=0 DIFFERENCES=0

# A file system of its own, of $1 MiB: in a file where there are loop devices, else in memory.
store_make() {
    loop_devices && { store_loop "$1" -b 4096 -m 0; return; }
    log "no loop device can be had here: a file system in memory stands in for it"
    mkdir -p "$STORE" && mount -t tmpfs -o size="$1M" none "$STORE"
}

# ---- filling ----

# filler N [new|PROGRAM]: see filler.py
filler() {
    : > "$WORK/filler"
    python3 "$HERE/filler.py" "$STORE" "$STORE/ballast" "$1" 0 ${2:-} > "$WORK/filler" 2>&1 &
    FILLER=$!
    wait_for grep -q ready "$WORK/filler"
}
# It stays full after this.
filler_end() {
    kill "$FILLER" && wait "$FILLER"
    FILLED=$(sed -n 's/.* filled //p' "$WORK/filler")
}
filled() { filler 0 && filler_end; }
room() { rm -f "$STORE/ballast"; }
revive() { room; } # after a failed case

# ---- what must be true ----

last_error() { tail -n 1 "$MNT/$1/errors"; }
# It was refused, or failed, for want of room, and says where and how much there is.
told() {
    grep -qE "No space left|Input/output error" "$WORK/said" || { fail "it said '$(cat "$WORK/said")': $(last_error "$1")"; return 1; }
    last_error "$1" | grep -qE "ENOSPC: .*$STORE.* free" || { fail "the sentence is: $(last_error "$1")"; return 1; }
}
# Beside the disks: what our directory may hold, and nothing that was begun.
nothing_left() {
    local left
    left=$(cd "$STORE" && find . -name '*.new' -o -path './.vmsnapfs/*/*' ! -name catalog.yaml ! -name lock ! -name reserve ! -path '*/vars*' ! -path '*/tpm*')
    [[ -z $left ]] || fail "left behind: $left"
}
harmless() { # VM STATE
    is_state "$1" "$2" || { fail "$1 is $(state "$1"), not $2"; return 1; }
    ! grep -qx 'frozen 1' "$MNT/$1/status" && check "$1" && nothing_left
}

# everywhere VM STEP OPERATION DONE UNDO: OPERATION is tried with the store full before it, then with the store full from an open on, STEP opens
# later each time, until it came to its end with room all the time. DONE notes what is expected of one that succeeded; UNDO makes things new.
# COUNT=new: only opens of what is ours or new count; COUNT=qemu: only those by QEMU and qemu-img, which is when they are about to write.
everywhere() {
    local vm=$1 n=0 step=${FULL_STEP:-$2} operation=$3 done=$4 undo=$5 was status
    was=$(state "$vm")
    while :; do
        filler "$n" ${COUNT:-} || return
        $operation 2> "$WORK/said"
        status=$?
        filler_end
        if [[ $status == 0 ]]; then $done; else told "$vm"; fi
        harmless "$vm" "$was" && [[ -z $FAILED ]] || { FAILED+=" (at open $n)"; DIFFERENCES=$((DIFFERENCES + 1)); room; return 1; }
        room
        if [[ $status != 0 ]]; then
            RETRIES=$((RETRIES + 1))
            $operation 2> "$WORK/said" && $done && harmless "$vm" "$was" || { fail "again, with room, after open $n: $(cat "$WORK/said"): $(last_error "$vm")"; return 1; }
        fi
        $undo || { FAILED+=" (after open $n)"; return 1; }
        [[ $FILLED == 1 ]] || break
        CUTS=$((CUTS + 1))
        # What is refused before anything was done is so up to the last look at the room.
        if [[ ${COUNT:-} != qemu && $status != 0 && $(last_error "$vm") == *"this may need"* ]]; then n=$((n + (step > 5 ? step : 5))); else n=$((n + step)); fi
    done
}

# ---- cases ----

take() { mkdir "$MNT/$VM/snapshots/s"; }
taken() { expect_snap $VM s; }
untake() { drop $VM s && harmless $VM "$(state $VM)"; }
full_in_create() { # VM STATE STEP
    VM=$1
    [[ $2 == off ]] || start $VM || return
    COUNT=new everywhere $VM "$3" take taken untake && stop $VM
}

go_back() { ln -sfn snapshots/a "$MNT/$VM/current"; }
gone_back() { expect_revert $VM a; }
go_forth() { revert $VM b && harmless $VM shutoff; }
full_in_revert() { # VM STEP
    VM=$1
    snap $VM a && scribble $VM 2 && snap $VM b && scribble $VM 3 || return
    COUNT=new everywhere $VM "$2" go_back gone_back go_forth && drop $VM a && drop $VM b && check $VM
}

# Base and overlay have room on the way, so what is new to the base must be new each time.
ROUND=10
more() { ROUND=$((ROUND + 1)) && scribble $VM $ROUND; }
merge() { rmdir "$MNT/$VM/snapshots/s" && timeout $PATIENCE cat "$MNT/$VM/wait" > /dev/null; }
merged() { expect_drop $VM s; }
once_more() { snap $VM s && more; }
full_in_merge() { # VM STATE STEP
    VM=$1
    [[ $2 == off ]] || start $VM || return
    once_more && COUNT=qemu everywhere $VM 1 merge merged once_more && COUNT=new everywhere $VM "$3" merge merged once_more && drop $VM s && stop $VM && check $VM
}
once_more_inside() { drop $VM above && once_more && snap $VM above && more; }
full_in_inner_merge() { # VM STEP: into a snapshot below another one, while the VM runs
    VM=$1
    start $VM && snap $VM above && once_more_inside && COUNT=qemu everywhere $VM 1 merge merged once_more_inside && COUNT=new everywhere $VM "$2" merge merged once_more_inside && drop $VM above && drop $VM s && stop $VM && check $VM
}

# A merge for which there is no room is refused before it begins: the snapshot is what it was.
refused_before_a_merge() {
    VM=$1
    once_more && filled && refused "No space left" rmdir "$MNT/$VM/snapshots/s" && last_error $VM | grep -q "ENOSPC: $STORE has 0 B free, and this may need .* KiB; make room there" || { fail "$(last_error $VM)"; return 1; }
    [[ $(cat "$MNT/$VM/snapshots/s/state") == ready ]] && harmless $VM shutoff && room && drop $VM s && check $VM
}

labels() { # new words wait for room, and the old ones stay
    local s=$MNT/$1/snapshots
    snap $1 s && echo "as it was" > "$s/s/description" && filled || return
    refused "No space left" mv "$s/s" "$s/t" && last_error $1 | grep -qE "ENOSPC: .*$STORE has 0 B free" && listed $1 "s " || return
    refused "No space left" dd if=/etc/passwd of="$s/s/description" && refused "No space left" dd if=<(echo 7) of="$MNT/$1/policy/max_snapshots" || return
    [[ $(cat "$s/s/description") == "as it was" && $(cat "$MNT/$1/policy/max_snapshots") != 7 ]] || { fail "a label was changed"; return 1; }
    CUTS=$((CUTS + 3)) RETRIES=$((RETRIES + 3))
    harmless $1 shutoff && room && mv "$s/s" "$s/t" && echo text > "$s/t/description" && echo 7 > "$MNT/$1/policy/max_snapshots" && echo default > "$MNT/$1/policy/max_snapshots" && mv "$s/t" "$s/s" && drop $1 s && check $1
}

frees_room() { # not a byte is left, and what was held goes, a branch goes, an overlay that nothing was written to is merged, off and running
    local vm=$1 s=$MNT/$1/snapshots before
    snap $vm a && scribble $vm 2 && snap $vm leaf && revert $vm a && scribble $vm 3 && snap $vm b && chmod a-w "$s/leaf" && filled || return
    chmod u+w "$s/leaf" && rmdir "$s/leaf" && expect_drop $vm leaf && idle $vm && listed $vm "a b " && harmless $vm shutoff || { fail "a branch: $(last_error $vm)"; return 1; }
    (($(stat -f -c %a "$STORE") > 0)) || { fail "no room came of it"; return 1; }
    filled && rmdir "$s/b" && expect_drop $vm b && idle $vm && harmless $vm shutoff || { fail "an empty overlay: $(last_error $vm)"; return 1; }
    room && drop $vm a && start $vm && scribble $vm 4 && snap $vm c && filled && rmdir "$s/c" && expect_drop $vm c && idle $vm && harmless $vm running || { fail "an empty overlay, running: $(last_error $vm)"; return 1; }
    CUTS=$((CUTS + 3))
    room && snap $vm d && drop $vm d && stop $vm && check $vm
}

# The guest's own writes meet the full disk first: nothing of ours is harmed by that, and it goes on when there is room.
guest_meets_it() {
    local vm=$1
    start $vm && snap $vm s && filled || return
    python3 "$HERE/qmp.py" "$(qmp_socket $vm)" "qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend \"write -P 9 4M 1M\"" > /dev/null 2>&1
    refused "No space left" mkdir "$MNT/$vm/snapshots/t" && harmless $vm running && room && write $vm 9 4M 1M && snap $vm t && drop $vm s && drop $vm t && stop $vm && check $vm
}

store_make 48 || { echo "not ok full disk: a file system of its own - it was not made"; exit 1; }
NVRAM=$STORE/uefi-vars.fd FIRMWARE=uefi TPM=1 vm_make uefi 1 || exit 1
vm_make one 1 && vm_make two 2 && mount_tree && write one 1 0 1M && write two 1 0 1M && scribble uefi 1 && start uefi && stop uefi || exit 1
[[ -n ${FULL_STEP:-} ]] || log "one moment in a few; FULL_STEP=1 tries all"
case_run "full disk: mkdir, VM off" full_in_create two off 5
case_run "full disk: mkdir, VM running" full_in_create two running 7
case_run "full disk: mkdir with variables and vTPM, VM off" full_in_create uefi off 8
case_run "full disk: mkdir with variables and vTPM, VM running" full_in_create uefi running 9
case_run "full disk: revert" full_in_revert two 9
case_run "full disk: revert with variables and vTPM" full_in_revert uefi 14
case_run "full disk: rmdir, VM off (E-15)" full_in_merge two off 20
case_run "full disk: rmdir, VM running (E-15)" full_in_merge two running 25
case_run "full disk: rmdir inside the chain, VM running (E-15)" full_in_inner_merge one 25
case_run "full disk: a merge without room does not begin (W27)" refused_before_a_merge one
case_run "full disk: labels" labels one
case_run "full disk: what frees room needs none" frees_room one
case_run "full disk: a guest that meets it" guest_meets_it one
echo "# full disk: $CUTS cuts, $RETRIES retries, differences $DIFFERENCES"
[[ -n ${ONLY:-} ]] || ((CUTS >= 60 && RETRIES >= 30)) || echo "not ok full disk: as many cuts as promised - $CUTS and $RETRIES"
umount_tree
umount "$STORE"
