# Deep chains: 150 layers work, are warned of from three quarters of the limit on, and end at it (policy/max_depth, EMLINK).
. "$(dirname "$0")/lib.sh"

DEPTH=150

# Every fifth layer holds something of its own.
grow() {
    local i
    echo $DEPTH > "$MNT/deep/policy/max_depth" || return
    for ((i = 2; i <= DEPTH; i++)); do
        ((i % 5)) || write deep $i $((i * 64))k 64k || return
        mkdir "$MNT/deep/snapshots/s$i" || { fail "at depth $i"; return 1; }
        case $i in 2 | 40 | 41 | 42 | 75 | 149 | 150) expect_snap deep s$i ;; esac
    done
    log "the last ones took $(grep -o 'mkdir deep/snapshots/s1[45][0-9] ok .*' "$WORK/daemon.log" | sed 's/.* ok *//' | tail -n 3 | tr '\n' ' ')"
    [[ $(cat "$MNT/deep/disks/vda/chain" | wc -l) == "$DEPTH" ]] || { fail "the chain has $(wc -l < "$MNT/deep/disks/vda/chain") images"; return 1; }
    refused "Too many links" mkdir "$MNT/deep/snapshots/more" && grep -q EMLINK "$MNT/deep/errors" || return
    [[ ! -s $MNT/deep/snapshots/s75/warnings ]] && grep -q "policy/max_depth" "$MNT/deep/snapshots/s113/warnings" && grep -q "policy/max_depth" "$MNT/deep/snapshots/s150/warnings" || fail "warnings: $(cat "$MNT/deep/snapshots/s150/warnings")"
}

seen() { local name; for name in "$@"; do same "$WORK/expect/deep/snapshots/$name.vda" qcow2 "$(disk_field "$MNT/deep/snapshots/$name" vda file)" || return; done; }
active() { same "$WORK/expect/deep/vda" qcow2 "$(cat "$MNT/deep/disks/vda/source")"; }

works() { # it starts, its guest writes, its contents are right, and snapshots of it are merged, running and off
    seen s2 s40 s75 s149 s150 && active && start deep && write deep 7 0 64k && active || return
    rmdir "$MNT/deep/snapshots/s41" && rmdir "$MNT/deep/snapshots/s150" && idle deep && expect_drop deep s41 && seen s2 s40 s42 s75 s149 && active && stop deep || return
    drop deep s75 && drop deep s2 && seen s40 s42 s149 && active && ln -sfn snapshots/s40 "$MNT/deep/current" && expect_revert deep s40 && active
}

vm_make deep 1
mount_tree || exit 1
case_run "depth: $DEPTH layers, warned of and limited (EMLINK)" grow
case_run "depth: $DEPTH layers start, merge and revert" works
