# Several removals that wait on one VM are one pass over the data (rule 6), on real QEMU: block commits are counted by libvirt's events
# and by the calls of qemu-img, bytes by the totals of the jobs; every content is compared.
. "$(dirname "$0")/lib.sh"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
# A merge of s0 that keeps the others waiting. QEMU's limit lets about 30 MB pass before it bites; qemu-img, which another limit starts
# again, waits for a file to go.
hold() {
    touch "$WORK/hold" && { [[ $(state "$1") == shutoff ]] || echo 1M > "$MNT/$1/policy/bandwidth"; } && rmdir "$MNT/$1/snapshots/s0" && expect_drop "$1" s0 || return
    if [[ $(state "$1") == shutoff ]]; then wait_for grep -q commit "$WORK/calls"; else wait_for grep -q 'merge vda .*%.* of ' "$MNT/$1/progress"; fi
}
let_go() {
    local job
    rm "$WORK/hold"
    echo 0 > "$MNT/$1/policy/bandwidth"
    for job in "$MNT/$1"/jobs/*; do [[ $(cat "$job/state") != running ]] || echo 0 > "$job/bandwidth" || return; done
    idle "$1"
}
drop_later() { local name; for name in "${@:2}"; do rmdir "$MNT/$1/snapshots/$name" && expect_drop "$1" "$name" || return; done; }
dismiss() { local job; for job in "$MNT/$1"/jobs/*; do rmdir "$job" || return; done; }

# s0 with much to merge, then five snapshots that write over the same 4 MiB, and each a bit of its own.
chain() {
    local vm=$1 i
    write "$vm" 1 0 8M && snap "$vm" s0 && write "$vm" 9 0 52M || return
    for i in 1 2 3 4 5; do snap "$vm" "s$i" && write "$vm" "$((10 + i))" 54M 4M && write "$vm" "$((20 + i))" "$((58 + i))M" 256k || return; done
}
clean() {
    local name
    for name in $(ls "$MNT/$1/snapshots"); do drop "$1" "$name" || return; done
    check "$1" && files "$1" 2 && dismiss "$1"
}

watch_jobs() { virsh -q -c "$URI" event "$1" --event block-job-2 --loop > "$WORK/events" 2>&1 & WATCHER=$!; }
watch_end() { kill "$WATCHER"; wait "$WATCHER" 2> /dev/null; }
completed() { grep -c completed "$WORK/events"; }
seen() { [[ $(completed) -ge $1 ]]; }
# count WHAT HOW-MANY WANTED
count() { [[ $2 == "$3" ]] || { fail "$2 block commits ($1), not $3"; return 1; }; }

running_inner() { # the run is inside the chain; on each disk one commit for s0 and one for the three
    local vm=pass
    start $vm && chain $vm && watch_jobs $vm && hold $vm && drop_later $vm s3 s2 s4 && let_go $vm || return
    listed $vm "s1 s5 " && check $vm && files $vm 6 && wait_for seen 4 || return
    watch_end
    count events "$(completed)" 4 && clean $vm
}

running_to_the_active_layer() { # one pass copies the 4 MiB once, not once for each
    local vm=pass job total
    start $vm && chain $vm && watch_jobs $vm && hold $vm && drop_later $vm s3 s4 s5 && let_go $vm || return
    listed $vm "s1 s2 " && check $vm && files $vm 6 && wait_for seen 4 || return
    watch_end
    count events "$(completed)" 4 || return
    for job in "$MNT/$vm"/jobs/*; do
        [[ $(cat "$job/target") == s5 && $(cat "$job/state") == done ]] || continue
        total=$(sed -n 's/^merge vda .* of \([0-9.]*\) MiB  done$/\1/p' "$job/progress")
        awk -v t="$total" 'BEGIN { exit !(t >= 4 && t < 6) }' || { fail "$total MiB were copied: $(cat "$job/progress")"; return 1; }
    done
    [[ $total ]] && clean $vm
}

commits() { grep -c '^commit' "$WORK/calls"; }
stopped() { # and offline: qemu-img is called once for each disk and run
    local vm=pass
    stop $vm && chain $vm && : > "$WORK/calls" && hold $vm && drop_later $vm s2 s4 s3 && let_go $vm || return
    listed $vm "s1 s5 " && check $vm && files $vm 6 && count qemu-img "$(commits)" 4 && start $vm && stop $vm && check $vm && clean $vm
}

side_branch() { # s3 is needed twice and stays, hidden: what is below it and what is above it are runs of their own
    local vm=pass
    stop $vm && chain $vm && revert $vm s3 && scribble $vm 7 && : > "$WORK/calls" && hold $vm && drop_later $vm s2 s3 s4 && let_go $vm || return
    listed $vm "s1 s5 " && hidden $vm 1 && check $vm && count qemu-img "$(commits)" 6 && start $vm && check $vm && stop $vm && clean $vm
}

cancelled() { # who cancels one of a run ends the pass; all of it comes back, and goes at the next try
    local vm=pass name
    start $vm && write $vm 1 0 8M && snap $vm s0 && write $vm 9 0 52M && snap $vm s1 && write $vm 2 0 52M && snap $vm s2 && write $vm 3 0 52M && hold $vm || return
    drop_later $vm s1 s2 && rmdir "$(grep -lx s0 "$MNT/$vm"/jobs/*/target | xargs dirname)" || return
    wait_for grep -q 'merge vda .*%.* of ' "$MNT/$vm/progress" || return
    rmdir "$(grep -lx s2 "$MNT/$vm"/jobs/*/target | xargs dirname)" && wait_for listed $vm "s0 s1 s2 " || return
    for name in s0 s1 s2; do [[ $(cat "$MNT/$vm/snapshots/$name/state") == failed ]] || { fail "$name is $(cat "$MNT/$vm/snapshots/$name/state")"; return 1; }; done
    grep -q 'snapshot s1 was one pass with that of s2, which was cancelled' "$MNT/$vm/errors" || { fail "$(cat "$MNT/$vm/errors")"; return 1; }
    echo 0 > "$MNT/$vm/policy/bandwidth" && rmdir "$MNT/$vm"/snapshots/s* && idle $vm && listed $vm "" && check $vm && files $vm 2
}

# A qemu-img that waits, and tells of each commit. It can write nothing but images, so somebody listens.
mkdir "$WORK/bin"
: > "$WORK/calls"
python3 -c 'import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
while True:
    call = listener.recv(4096)
    with open(sys.argv[2], "ab") as calls:
        calls.write(call + b"\n")' "$WORK/told" "$WORK/calls" < /dev/null &
LISTENER=$!
trap 'kill "$LISTENER"; end' EXIT
cat > "$WORK/bin/qemu-img" <<Q
#!/bin/sh
[ "\$1" = commit ] && python3 -c 'import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[2].encode(), sys.argv[1])' "$WORK/told" "\$*" && while [ -e "$WORK/hold" ]; do sleep 0.05; done
exec $(command -v qemu-img) "\$@"
Q
chmod +x "$WORK/bin/qemu-img"
wait_for test -S "$WORK/told" || exit 1
libvirtd_begin || { echo "not ok libvirtd: a private one - $(cat "$WORK/lv/holder.log")"; exit 1; }
vm_make pass 2 qcow2 64M
libvirtd_start && define pass 2 || exit 1
PATH=$WORK/bin:$PATH mount_tree && wait_for listed_vm pass || exit 1
case_run "rule 6: three neighbours in one pass, running" running_inner
case_run "rule 6: down from the active layer in one pass" running_to_the_active_layer
case_run "rule 6: three neighbours in one pass, stopped" stopped
case_run "rule 6: a side branch cuts the run" side_branch
case_run "rule 6: a pass is cancelled and done again" cancelled
stop pass
umount_tree
