# The guest is frozen around a snapshot and thawed whatever happens, with a real Linux guest and a real guest agent (policy/quiesce).
. "$(dirname "$0")/lib.sh"
. "$HERE/guests.sh"
FROZEN=$BUILD/tests/host/frozen

policy() { echo "$3" > "$MNT/$1/policy/$2" || fail "policy/$2 of $1 does not take $3"; } # VM KEY VALUE
consistency() { [[ $(cat "$MNT/$1/snapshots/$2/consistency") == "$3" ]] || fail "$2 is $(cat "$MNT/$1/snapshots/$2/consistency"), not $3"; }
status() { grep -qx "$2" "$MNT/$1/status"; }
no_snapshot() { listed "$1" "" && files "$1" "$2"; } # VM DISKS

# From inside: does a file system take a write now?
writes() { guest "$1" 'rm -f /run/wrote; (echo x > /mnt/vda/probe && sync /mnt/vda/probe && touch /run/wrote) > /dev/null 2>&1 &'; }
wrote() { guest "$1" 'test -e /run/wrote'; }
stands_still() { # it was asked to write, and waits for that: in state D, and not for the disk
    guest "$1" 'i=0; while [ $i -lt 50 ]; do grep -q percpu_rwsem_wait /proc/*/wchan 2> /dev/null && exit 0; usleep 100000; i=$((i + 1)); done; exit 1'
}

# ---- what a snapshot's layer holds, read without replaying its journal ----

layer() { # VM SNAPSHOT TARGET: as $WORK/layer
    qemu-img convert -U -O raw "$(disk_field "$MNT/$1/snapshots/$2" "$3" file)" "$WORK/layer" || fail "cannot read $3 of $2"
}
needs_recovery() { dumpe2fs -h "$WORK/layer" 2> /dev/null | grep -q '^Filesystem features:.*needs_recovery'; }
sum_in_layer() { debugfs -R 'cat blob' "$WORK/layer" 2> /dev/null | md5sum | cut -d' ' -f1; }
# Something that nobody asks to be written to the disk, on each: its sums, a line a disk.
unsynced() { guest "$1" 'for d in /mnt/vd?; do dd if=/dev/urandom of=$d/blob bs=64k count=16 2> /dev/null; md5sum < $d/blob | cut -d" " -f1; done'; }

proof() { # VM SNAPSHOT SUMS: clean file systems that hold what was not synced
    local target i=0
    local -a sums=($3)
    for target in $(ls "$MNT/$1/disks"); do
        layer "$1" "$2" "$target" || return
        ! needs_recovery || { fail "$target of $2 needs recovery"; return 1; }
        [[ $(sum_in_layer) == "${sums[i]}" ]] || { fail "$target of $2 lacks what was not synced"; return 1; }
        i=$((i + 1))
    done
}

# ---- cases ----

tried_by_default() {
    local sums
    [[ $(cat "$MNT/one/policy/quiesce") == try ]] || { fail "the default is $(cat "$MNT/one/policy/quiesce")"; return 1; }
    sums=$(unsynced one) && mkdir "$MNT/one/snapshots/a" && consistency one a frozen && proof one a "$sums" && status one 'frozen 0' || return
    writes one && wait_for wrote one && [[ -z $(cat "$MNT/one/snapshots/a/warnings") ]]
}
off_is_crash() {
    local sums
    policy one quiesce off && sums=$(unsynced one) && mkdir "$MNT/one/snapshots/b" && consistency one b crash && layer one b vda || return
    needs_recovery || { fail "b does not need recovery: the proof proves nothing"; return 1; }
    [[ $(sum_in_layer) != "${sums%%$'\n'*}" ]] || fail "what was not synced is there: the proof proves nothing"
}
required() {
    local sums
    policy one quiesce require && sums=$(unsynced one) && mkdir "$MNT/one/snapshots/c" && consistency one c frozen && proof one c "$sums"
}
frozen_by_others() { # it stays theirs
    v domfsfreeze one > "$WORK/said" && refused "busy" mkdir "$MNT/one/snapshots/d" && grep -q 'frozen already' "$MNT/one/errors" || return
    [[ $(v qemu-agent-command one '{"execute":"guest-fsfreeze-status"}') == *frozen* ]] || { fail "it was thawed"; return 1; }
    v domfsthaw one > "$WORK/said" && status one 'frozen 0' && rmdir "$MNT/one/snapshots/"[abc] && idle one && no_snapshot one 2
}

stopped_agent() { # ETIMEDOUT in time, nothing left, and all is well when it goes on
    local begin
    policy one quiesce_timeout 3 && guest one 'kill -STOP $(pidof qemu-ga)' || return
    for word in try require; do
        policy one quiesce "$word"
        begin=$(date +%s%N)
        refused "timed out" mkdir "$MNT/one/snapshots/a" || return
        (( ($(date +%s%N) - begin) / 1000000 < 8000 )) || { fail "$word took $(( ($(date +%s%N) - begin) / 1000000 )) ms, and 3000 are allowed"; return 1; }
        no_snapshot one 2 && status one 'frozen 0' || return
    done
    policy one quiesce off && mkdir "$MNT/one/snapshots/a" && consistency one a crash && rmdir "$MNT/one/snapshots/a" && idle one || return
    policy one quiesce require && guest one 'kill -CONT $(pidof qemu-ga)' && wait_for mkdir "$MNT/one/snapshots/a" && consistency one a frozen && rmdir "$MNT/one/snapshots/a" && idle one
}

# Stops the agent right before it is asked to freeze, or to thaw: what it is asked waits in its port. The snapshot is called as that is.
late() { # VM freeze|thaw
    local said
    coproc TOOL { exec "$FROZEN" "$URI" "$(uuid_of "$1")" "$2" "${2/freeze/late}" 2> "$WORK/late"; }
    local pid=$TOOL_PID in=${TOOL[1]} out=${TOOL[0]}
    read -r -t $PATIENCE said <&"$out" && [[ $said == now ]] || { fail "the tool said '$said': $(cat "$WORK/late")"; return 1; }
    guest "$1" 'kill -STOP $(pidof qemu-ga)' && echo go >&"$in"
    wait_for gone "$pid"
    grep -q 'not available' "$WORK/late" || fail "the tool said '$(cat "$WORK/late")'"
}
late_freeze() { # the daemon waits for the agent, and thaws what the queued freeze froze
    umount_tree && late one freeze && mount_tree && wait_for listed_vm one && wait_for status one 'frozen 1' || return
    no_snapshot one 2 && grep -qx thaw "$MNT"/one/jobs/*/kind && refused "busy" mkdir "$MNT/one/snapshots/a" && grep -q 'EBUSY: .*policy/quiesce' "$MNT/one/errors" || return
    policy one quiesce off && mkdir "$MNT/one/snapshots/a" && consistency one a crash && rmdir "$MNT/one/snapshots/a" && policy one quiesce try || return
    guest one 'kill -CONT $(pidof qemu-ga)' && idle one && grep -q 'thaw one: ok' "$WORK/waited" && status one 'frozen 0' && writes one && wait_for wrote one || return
    mkdir "$MNT/one/snapshots/a" && consistency one a frozen && rmdir "$MNT/one/snapshots/a" && idle one
}
late_freeze_without_a_daemon() { # the guest stands still; the next daemon thaws it
    umount_tree && late one freeze && guest one 'kill -CONT $(pidof qemu-ga)' && wait_for agent_says one frozen && writes one && stands_still one || return
    ! wrote one || { fail "it is not frozen"; return 1; }
    mount_tree && wait_for listed_vm one && idle one && wait_for status one 'frozen 0' && wait_for wrote one && no_snapshot one 2
}
agent_says() { [[ $(v qemu-agent-command "$1" '{"execute":"guest-fsfreeze-status"}' --timeout 5) == *"$2"* ]]; }

late_thaw() { # S-33: the snapshot is kept, says so, and the next daemon thaws
    umount_tree && late one thaw && writes one && mount_tree && wait_for listed_vm one && wait_for status one 'frozen 1' && listed one "thaw " || return
    grep -q 'could not be thawed' "$MNT/one/snapshots/thaw/warnings" && consistency one thaw crash || { fail "warnings: $(cat "$MNT/one/snapshots/thaw/warnings")"; return 1; }
    ! wrote one || { fail "it is not frozen"; return 1; }
    guest one 'kill -CONT $(pidof qemu-ga)' && idle one && status one 'frozen 0' && wait_for wrote one && rmdir "$MNT/one/snapshots/thaw" && idle one
}

# A program that takes a snapshot is killed with the guest frozen: its guardian thaws the guest.
killed() { # VM URI
    local said
    coproc TOOL { exec "$FROZEN" "$2" "$(uuid_of "$1")" killed die 2> "$WORK/die"; }
    local pid=$TOOL_PID in=${TOOL[1]} out=${TOOL[0]}
    read -r -t $PATIENCE said <&"$out" && [[ $said == now ]] || { fail "the tool said '$said': $(cat "$WORK/die")"; return 1; }
    writes "$1" && stands_still "$1" || { fail "the guest is not frozen"; return 1; }
    ! wrote "$1" || { fail "a frozen file system takes writes"; return 1; }
    echo go >&"$in"
    wait_for gone "$pid" && wait_for wrote "$1"
}
killed_in_the_frozen_window() {
    umount_tree && killed one "$URI" && mount_tree && wait_for listed_vm one && idle one && wait_for status one 'frozen 0' && no_snapshot one 2
}
killed_with_the_embedded_driver() { # whose libvirt dies, too; no daemon comes
    guest_disks inner 1 && guest_xml inner 1 > "$EMBED/etc/qemu/inner.xml" && killed inner "qemu:///embed?root=$EMBED"
}

agent_absent() { # a channel that nobody listens to
    local sums
    policy two quiesce try && mkdir "$MNT/two/snapshots/a" && consistency two a crash && [[ -z $(cat "$MNT/two/snapshots/a/warnings") ]] || return
    policy two quiesce require && refused "not supported" mkdir "$MNT/two/snapshots/b" && grep -q 'EOPNOTSUPP: .*not connected' "$MNT/two/errors" && listed two "a "
}
paused() { # E-25
    policy one quiesce try && power one paused && mkdir "$MNT/one/snapshots/a" && consistency one a paused && is_state one paused || return
    policy one quiesce require && refused "not supported" mkdir "$MNT/one/snapshots/b" && power one running && rmdir "$MNT/one/snapshots/a" && idle one
}

guest_image || { echo "not ok quiesce: a guest - it could not be made"; exit 1; }
libvirtd_begin && libvirtd_start || { echo "not ok quiesce: a private libvirtd - $(cat "$WORK/lv/holder.log")"; exit 1; }
for vm in one two; do
    disks=$([[ $vm == one ]] && echo 2 || echo 1)
    guest_disks $vm "$disks" && guest_xml $vm "$disks" "$([[ $vm == two ]] && echo agent=none)" > "$WORK/$vm.xml" && v define "$WORK/$vm.xml" && v start $vm || { echo "not ok quiesce: a VM - it does not start"; exit 1; }
done
mount_tree && guest one true && guest two true && wait_for connected one || { echo "not ok quiesce: a guest agent - it does not connect"; exit 1; }
case_run "S-2 quiesce try, the default: frozen, proved on ext4" tried_by_default
case_run "S-2 quiesce off: the same proof fails" off_is_crash
case_run "S-2 quiesce require: frozen" required
case_run "quiesce: a guest that others have frozen is left to them" frozen_by_others
case_run "quiesce: a stopped agent times out, nothing is left" stopped_agent
case_run "quiesce: a late freeze is thawed by the job" late_freeze
case_run "quiesce: a late freeze with no daemon is thawed by the next one" late_freeze_without_a_daemon
case_run "S-33 quiesce: a thaw that fails loses no snapshot" late_thaw
case_run "quiesce: kill -9 in the frozen window, the guardian thaws" killed_in_the_frozen_window
case_run "quiesce: kill -9 in the frozen window, embedded driver" killed_with_the_embedded_driver
case_run "quiesce: no agent in the guest" agent_absent
case_run "E-25 quiesce: a paused VM is neither frozen nor resumed" paused
