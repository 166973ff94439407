# Somebody else works on the VMs with virsh: drift is seen, refused, adopted, and nothing is lost (rules 7, 10, 14, E-27, E-38, W14;
# pitfall 31). Each kind is done while the daemon runs and while it does not.
. "$(dirname "$0")/lib.sh"

define() { vm_xml "$@" > "$WORK/def.xml" && v define "$WORK/def.xml"; }
source_of() { cat "$MNT/d/disks/$1/source"; }
layer_of() { disk_field "$MNT/d/snapshots/$1" "${2:-vda}" file; }
drifts() { [[ -n $(cat "$MNT/d/drift") ]] && grep -q '^drift .' "$MNT/d/status"; }
agrees() { [[ -z $(cat "$MNT/d/drift") ]]; }
says() { grep -q -- "$1" "$MNT/d/errors" || { fail "errors do not say '$1': $(tail -n 1 "$MNT/d/errors")"; return 1; }; }
value() { [[ $(cat "$MNT/d/$1") == "$2" ]] || { fail "$1 is '$(cat "$MNT/d/$1")', not '$2'"; return 1; }; }
tell() { echo "$1" > "$MNT/d/drift" || { fail "echo $1 > drift: $(tail -n 1 "$MNT/d/errors")"; return 1; }; }

# two snapshots, and something new on top
prepare() { start d && scribble d 1 && snap d s1 && scribble d 2 && snap d s2 && scribble d 3 && check d; }

# behind COMMAND…: somebody else does it, at our back or while we are away; then it is seen and every mutation refused, nothing is lost.
AWAY=
printf '#!/bin/bash\nprintf adopt > "%s"\n' "$MNT/d/drift" > "$WORK/adopt" && chmod +x "$WORK/adopt" # to be refused
behind() {
    if [[ -n $AWAY ]]; then
        umount_tree && "$@" && mount_tree && wait_for listed_vm d || return
    else
        "$@" || return
    fi
    grep -q snapshot-create-as <<< "$*" && { tell rescan || return; } # libvirt tells nobody of a snapshot
    wait_for drifts || return
    refused "Structure needs cleaning" mkdir "$MNT/d/snapshots/never" && refused "Structure needs cleaning" rmdir "$MNT/d/snapshots/s2" || return
    if [[ $(state d) == shutoff ]]; then refused "Structure needs cleaning" ln -sfn snapshots/s1 "$MNT/d/current" || return; fi
    tell rescan && drifts || fail "rescan ended the drift"
}
# QEMU may have what a job has copied in its cache.
flushed() {
    [[ $(state d) == shutoff ]] || python3 "$HERE/qmp.py" "$(qmp_socket d)" "qemu-io -d /machine/peripheral/virtio-disk0/virtio-backend flush" "qemu-io -d /machine/peripheral/virtio-disk1/virtio-backend flush"
}
# what the guest reads, and what the snapshots that are ready hold; files may lie beside
reads() {
    local target name
    flushed || return
    for target in $(ls "$MNT/d/disks"); do same "$WORK/expect/d/$target" "$(cat "$MNT/d/disks/$target/format")" "$(source_of "$target")" || return; done
    for name in $(ls "$MNT/d/snapshots"); do
        [[ $(cat "$MNT/d/snapshots/$name/state") == ready ]] || continue
        for target in $(awk '{print $1}' "$MNT/d/snapshots/$name/disks"); do
            same "$WORK/expect/d/snapshots/$name.$target" "$(disk_field "$MNT/d/snapshots/$name" "$target" format)" "$(layer_of "$name" "$target")" || return
        done
    done
}
adopted() { tell adopt && agrees && reads && wait_for idle d; }
states() { local name; for name in $(ls "$MNT/d/snapshots"); do printf '%s=%s ' "$name" "$(cat "$MNT/d/snapshots/$name/state")"; done; }
stand() { [[ $(states) == "$1" ]] || { fail "snapshots are '$(states)', not '$1'"; return 1; }; }

# Everything can be removed, down to one file a disk. What nothing needs any more the user deletes, as he is told.
cleaned() {
    local name file
    for file in $(find "$IMAGES" -maxdepth 1 -type f -name 'd-vd*'); do
        grep -qsF -- "$file" "$MNT"/d/snapshots/*/disks "$MNT"/d/hidden/*/disks "$MNT"/d/disks/*/source || rm "$file"
    done
    stop d || return
    for name in $(ls "$MNT/d/snapshots"); do rmdir "$MNT/d/snapshots/$name" && expect_drop d "$name" && idle d || { fail "rmdir $name"; return 1; }; done
    check d && files d "$(ls "$MNT/d/disks" | wc -l)"
}
works_again() { # create and revert, too
    scribble d 7 && snap d after && scribble d 8 && stop d && revert d after && reads && cleaned || { log "$(tail -n 1 "$MNT/d/errors")"; return 1; }
}

foreign_snapshot() { # --no-metadata: overlays of somebody else become found-1; with it, too, and libvirt's notes stand in the way
    prepare && expect_snap d found-1 && behind v snapshot-create-as d x --disk-only --atomic "$@" && adopted && stand "found-1=ready s1=ready s2=ready " && current d snapshots/found-1 || return
    grep -q "somebody else took it" "$MNT/d/snapshots/found-1/warnings" || fail "no warning"
    [[ -n ${1:-} ]] && { works_again; return; }
    refused "not supported" mkdir "$MNT/d/snapshots/never" && says "snapshot-delete --metadata" && v snapshot-delete d x --metadata && works_again
}
of_one_disk() { # only one disk has an overlay more
    prepare && expect_snap d found-1 && behind v snapshot-create-as d x --disk-only --no-metadata --diskspec vdb,snapshot=no && adopted && stand "found-1=ready s1=ready s2=ready " || return
    [[ $(awk '{print $1}' "$MNT/d/snapshots/found-1/disks") == vda ]] || fail "found-1 has $(cat "$MNT/d/snapshots/found-1/disks")"
    cleaned
}
active_commit() { # into the first file: that disk of both is merged away, the other disk is left
    prepare && behind v blockcommit d vda --active --pivot --wait && adopted && stand "s1=failed s2=failed " && grep -q "vda" "$MNT/d/snapshots/s2/error" && works_again
}
all_commit() { # both disks: s1's files are what the VM writes, so it is gone; what is left of s2's is told
    prepare && behind both v blockcommit --active --pivot --wait && adopted && stand "s2=failed " && grep -q "stands on" "$MNT/d/snapshots/s2/error" && cleaned
}
both() { "$1" "$2" d vda "${@:3}" && "$1" "$2" d vdb "${@:3}"; }
inner_commit() { # s2's file into s1's: s1 is spoiled, s2 is not
    prepare && snap d s3 && scribble d 4 && behind v blockcommit d vda --top "$(layer_of s2)" --base "$(layer_of s1)" --wait && adopted && stand "s1=failed s2=ready s3=ready " && cleaned
}
full_pull() { # nothing below was touched: all stay
    prepare && behind v blockpull d vda --wait && adopted && stand "s1=ready s2=ready " && cleaned
}
shallow_copy() { # busy while it runs, drift once it is pivoted
    prepare && v blockcopy d vda "$IMAGES/d-vda.copy" --shallow --format qcow2 --transient-job --wait > /dev/null && refused "busy" mkdir "$MNT/d/snapshots/never" && says "block job (copy)" || return
    behind v blockjob d vda --pivot && adopted || return
    [[ $(cat "$MNT/d/snapshots/s1/state") == ready ]] || fail "s1 was not touched: $(states)"
    works_again
}
full_copy() { # no layer of ours is in its chain: another disk under the same target, as after detach and attach
    local was
    prepare && was=$(source_of vda) && v blockcopy d vda "$IMAGES/d-vda.copy" --format qcow2 --transient-job --wait --pivot > /dev/null && tell rescan && agrees && reads && stop d || return
    ! ln -sfn snapshots/s1 "$MNT/d/current" 2> /dev/null && says "vda" && stand "s1=ready s2=ready " || return
    v dumpxml --inactive d | sed "s#'$IMAGES/d-vda.copy'#'$was'#; /<backingStore\/>/d" > "$WORK/back.xml" && v define "$WORK/back.xml" && tell rescan && agrees && check_beside && works_again
}
check_beside() { rm "$IMAGES/d-vda.copy" && check d; }
edited() { # another file, another format: seen by event; put back it is over; adopted it is what the VM has
    prepare && stop d && v dumpxml --inactive d > "$WORK/back.xml" && sed "s#'$(source_of vda)'#'$(layer_of s1)'#" "$WORK/back.xml" > "$WORK/other.xml" || return
    behind v define "$WORK/other.xml" && v define "$WORK/back.xml" && wait_for agrees && check d || return
    sed "0,/type='qcow2'/s//type='raw'/" "$WORK/back.xml" > "$WORK/raw.xml" && behind v define "$WORK/raw.xml" && refused "not supported" "$WORK/adopt" && says "is a qcow2 image though it is used as raw" || return
    v define "$WORK/back.xml" && wait_for agrees && check d && revert d s2 && scribble d 5 && snap d s3 && check d || return
    v dumpxml --inactive d | sed "s#'$(source_of vda)'#'$(layer_of s2)'#" > "$WORK/other.xml" && behind v define "$WORK/other.xml" || return
    cp --sparse=always "$WORK/expect/d/snapshots/s2.vda" "$WORK/expect/d/vda"
    adopted && stand "s1=ready s2=failed s3=failed " && cleaned
}
detached() { # a disk goes and comes: no drift, its layers stay; under another disk it is drift
    local was
    prepare && stop d && was=$(source_of vdb) && v detach-disk d vdb --config > /dev/null && tell rescan && agrees && files d 6 && mkdir "$MNT/d/snapshots/alone" || return
    attach "$(layer_of s2 vdb)" vdc && drifts && refused "cleaning" mkdir "$MNT/d/snapshots/never" && v detach-disk d vdc --config > /dev/null && tell rescan && agrees || return
    attach "$was" vdb && agrees && rmdir "$MNT/d/snapshots/alone" && idle d && check d && cleaned
}
attach() { v attach-disk d "$1" "$2" --config --driver qemu --subdriver qcow2 > /dev/null && tell rescan; }
live_only() { # a disk that only the running VM has: neither definition is the truth
    prepare && v dumpxml --inactive d > "$WORK/back.xml" && v detach-disk d vdb --config > /dev/null && tell rescan && drifts || return
    refused "cleaning" mkdir "$MNT/d/snapshots/never" && refused "cleaning" "$WORK/adopt" && says "not the same in the running VM" && v define "$WORK/back.xml" && wait_for agrees && check d && cleaned
}
renamed() { # E-38: domrename; its snapshots go with it
    prepare && stop d && v domrename d e && wait_for listed_vm e && [[ $(ls "$MNT/e/snapshots" | tr '\n' ' ') == "s1 s2 " ]] && v domrename e d && wait_for listed_vm d && check d && cleaned
}

away() { # all that is no drift, done while nobody looks: a disk goes, the VM is undefined, defined again and renamed
    local was
    prepare && stop d && was=$(source_of vdb) && umount_tree && v detach-disk d vdb --config > /dev/null && v dumpxml --inactive d > "$WORK/back.xml" &&
        v undefine d > /dev/null && v define "$WORK/back.xml" > /dev/null && v domrename d e > /dev/null && mount_tree && wait_for listed_vm e || return
    [[ $(ls "$MNT/e/snapshots" | tr '\n' ' ') == "s1 s2 " && -z $(cat "$MNT/e/drift") && ! -d $MNT/d ]] || { fail "$(ls "$MNT" "$MNT/e/snapshots") $(cat "$MNT/e/drift")"; return 1; }
    v domrename e d > /dev/null && wait_for listed_vm d && attach "$was" vdb && agrees && check d && works_again
}

# quickly COMMAND…: refused as busy at once, not after libvirt's 30 s
quickly() {
    local began=$SECONDS
    refused "busy" mkdir "$MNT/d/snapshots/never" && says "$1" || return
    log "refused in $((SECONDS - began)) s"
    ((SECONDS - began < 15)) || fail "it took $((SECONDS - began)) s"
}
backup() { # E-27: a pull backup stays open
    prepare || return
    cat > "$WORK/backup.xml" <<X
<domainbackup mode='pull'><server transport='unix' socket='$WORK/run/backup.sock'/><disks><disk name='vda' backup='yes' type='file'><scratch file='$IMAGES/scratch'/></disk><disk name='vdb' backup='no'/></disks></domainbackup>
X
    v backup-begin d "$WORK/backup.xml" > /dev/null && quickly "backup" && refused "busy" rmdir "$MNT/d/snapshots/s2" && refused "busy" "$WORK/adopt" && v domjobabort d && wait_for mkdir "$MNT/d/snapshots/s3" && expect_snap d s3 && check d && cleaned
}
dump() { # a dump that nobody reads goes on for ever
    prepare && mkfifo "$WORK/fifo" || return
    v dump d "$WORK/fifo" --live --memory-only > /dev/null 2>&1 &
    local pid=$!
    exec 9<> "$WORK/fifo"
    wait_for under_job && quickly "dump"
    v domjobabort d > /dev/null 2>&1
    cat <&9 > /dev/null &
    local drain=$!
    exec 9<&-
    wait $pid
    kill $drain
    [[ -z $FAILED ]] && wait_for mkdir "$MNT/d/snapshots/s3" && expect_snap d s3 && check d && cleaned
}
under_job() { v domjobinfo d | grep -q "Dump"; }
hung_call() { # somebody's call hangs and has libvirt's lock: the deadline is ours
    local qemu
    prepare && qemu=$(qemu_pids) || return
    kill -STOP "$qemu"
    v detach-disk d vdb --live > /dev/null 2>&1 &
    local pid=$!
    wait_for occupied && quickly "call that does not end"
    kill -CONT "$qemu"
    wait $pid
    [[ -z $FAILED ]] && cleaned
}
occupied() { v domcontrol d | grep -q occupied; }

libvirtd_begin && libvirtd_start || { echo "not ok drift: a private libvirtd - it does not start: $(tail -n 3 "$WORK/lv/out")"; exit 1; }
vm_make d 2
define d 2
mount_tree || exit 1
for AWAY in "" yes; do
    when=${AWAY:+", unseen"}
    case_run "drift: snapshot-create-as --no-metadata$when (rule 10)" foreign_snapshot --no-metadata
    case_run "drift: edited definitions (rule 7)$when" edited
    case_run "drift: blockcommit, active$when" active_commit
    case_run "drift: blockcommit, inner$when" inner_commit
    case_run "drift: blockpull$when" full_pull
done
AWAY=
case_run "drift: snapshot-create-as with metadata (rule 10, W14)" foreign_snapshot
case_run "drift: snapshot of one disk" of_one_disk
case_run "drift: blockcommit of all disks" all_commit
case_run "drift: blockcopy, shallow" shallow_copy
case_run "drift: a running foreign backup (E-27)" backup
case_run "drift: a running foreign dump (E-27)" dump
case_run "drift: a foreign call that hangs (E-27)" hung_call
case_run "drift: blockcopy of all" full_copy
case_run "drift: attach-disk and detach-disk (rule 3)" detached
case_run "drift: detach-disk of the persistent definition only (rule 7)" live_only
case_run "drift: domrename (E-38)" renamed
case_run "drift: detach-disk, undefine, define, domrename, unseen (rule 3, E-38)" away
