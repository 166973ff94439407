# Two daemons that do not know each other, each with a libvirt of its own, on the same storage: a VM that both have (same uuid, as
# after a copied definition) and one that stands on the other's disk (another uuid). Whatever the second one does, the first one's
# catalog, journal and files are what they were, and the first one goes on; one that comes second is refused by name.
. "$(dirname "$0")/lib.sh"
. "$HERE/canary.sh"
OTHER=$WORK/other # where the second one's tree is
OTHER_ROOT=$WORK/other-root
SECOND=

other_tree() {
    mkdir -p "$OTHER"
    "$PROGRAM" -f -o config="$WORK/other.yaml" "qemu:///embed?root=$OTHER_ROOT" "$OTHER" >> "$WORK/other.log" 2>&1 &
    SECOND=$!
    wait_for test -e "$OTHER/.vmsnapfs/version"
}
other_end() {
    [[ -n $SECOND ]] || return 0
    umount "$OTHER"
    wait_for gone "$SECOND" && wait "$SECOND" 2> /dev/null
    SECOND=
}
# in the second libvirt: the VM as it was when it was copied, or another one on the same disks
copy_definition() { sed "s#$WORK/run/#$WORK/run/other-#; ${2:-}" "$EMBED/etc/qemu/$1.xml" > "$OTHER_ROOT/etc/qemu/${3:-$1}.xml"; }

# Every file of the first one: what it is, and what is in it.
holdings() { find "$IMAGES" -name 'twice*' -type f -o -path "*/$(uuid_of twice)/*" -type f ! -name lock | sort | while read -r file; do echo "$file $(stat -c '%i %a %u' "$file") $(sha256sum < "$file")"; done; }
is_as_it_was() { # what is new may be the second one's
    comm -23 "$WORK/holdings" <(holdings) > "$WORK/diff"
    [[ ! -s $WORK/diff ]] || { TOUCHED=$((TOUCHED + 1)) && fail "changed: $(head -n 4 "$WORK/diff" | tr '\n' ';')"; }
}
note() { holdings > "$WORK/holdings"; }
# no COMMAND…: refused in the second tree with a sentence, and nothing of the first one is changed.
no() {
    ATTACKS=$((ATTACKS + 1))
    refused "" "$@" && is_as_it_was && REFUSED=$((REFUSED + 1))
}

# An overlay of somebody else on a layer of ours, and of ours on a disk of somebody else: both stay.
other_uuid() {
    local vm=twice
    scribble $vm 1 && snap $vm s1 && scribble $vm 2 && snap $vm s2 && scribble $vm 3 && note || return
    ATTACKS=$((ATTACKS + 1))
    mkdir "$OTHER/guest/snapshots/g" && is_as_it_was && REFUSED=$((REFUSED + 1)) || return
    refused "busy" rmdir "$MNT/$vm/snapshots/s1" && no rmdir "$OTHER/guest/snapshots/g" && contents $vm || return
    find "$IMAGES/.vmsnapfs/$(uuid_of guest)" "$IMAGES/.vmsnapfs/$(uuid_of $vm)" -name journal.yaml | grep . && { fail "a journal is left"; return 1; }
    no_orphans
}
no_orphans() { [[ -z $(ls "$OTHER/.vmsnapfs/orphans" "$MNT/.vmsnapfs/orphans" | grep -v :) ]] || fail "orphans: $(ls "$OTHER/.vmsnapfs/orphans" "$MNT/.vmsnapfs/orphans")"; }
same_uuid() {
    local vm=twice
    note && wait_for rescan "$OTHER/$vm" || return
    no mkdir "$OTHER/$vm/snapshots/x" && no rmdir "$OTHER/$vm/snapshots/s1" && no rmdir "$OTHER/$vm/snapshots/s2" && no ln -sfn snapshots/s1 "$OTHER/$vm/current" && no rmdir "$OTHER/$vm" && no rmdir "$OTHER/$vm/hidden" || return
    no_orphans && snap $vm s3 && scribble $vm 4 && contents $vm
}
# `adopt` is a word of root's, who says that this one is right: the catalog follows, what it leaves is named, and no file goes.
taken_over() {
    local vm=twice file
    holdings | grep -v /.vmsnapfs/ > "$WORK/holdings"
    ATTACKS=$((ATTACKS + 1))
    echo adopt > "$OTHER/$vm/drift" && is_as_it_was || return
    for file in $(ls "$IMAGES" | grep '^twice-vda\..*qcow2'); do
        [[ $file == $(basename "$(disk_field "$OTHER/guest/snapshots/g" vda file)") ]] || grep -q "$file" "$OTHER/$vm"/snapshots/*/warnings "$OTHER/$vm"/snapshots/*/disks "$OTHER/guest"/disks/vda/source || { fail "nobody names $file"; return 1; }
    done
    no_orphans && REFUSED=$((REFUSED + 1))
}

# Both at once, from nothing: while one has snapshots, the other one is refused, and the laws hold for who has them.
racer() { # TREE WORD
    local i
    for ((i = 0; i < 15; i++)); do
        mkdir "$1/race/snapshots/$2$i"
        rmdir "$1/race/snapshots/$2$((i - 2))"
    done > /dev/null 2>&1
    timeout $PATIENCE cat "$1/race/wait" > /dev/null 2>&1
}
rescan() { echo rescan > "$1/drift"; } # is refused while the other one works
drifts() { [[ -n $(cat "$1/race/drift") ]]; }
race() {
    local loser=$OTHER name names
    racer "$MNT" first & local first=$!
    racer "$OTHER" second
    wait $first
    ATTACKS=$((ATTACKS + 60))
    wait_for rescan "$MNT/race" && wait_for rescan "$OTHER/race" || return
    if drifts "$MNT"; then loser=$MNT MNT=$OTHER; fi
    ! drifts "$MNT" || { fail "both drift: $(cat "$MNT/race/drift" "$OTHER/race/drift")"; return 1; }
    names=$(ls "$MNT/race/snapshots")
    if [[ -n $names ]]; then
        drifts "$loser" && wait_for not_clean "$loser/race/snapshots/x" || { fail "both have snapshots: $(ls "$MNT/race/snapshots" "$loser/race/snapshots")"; return 1; }
    fi
    for name in $names; do expect_snap race "$name"; done
    check race && for name in $names; do drop race "$name" || return; done && check race && files race 1 && REFUSED=$((REFUSED + 60))
}
# EBUSY as long as the other one has the images locked.
not_clean() { ! mkdir "$1" 2> "$WORK/said" && grep -q 'needs cleaning' "$WORK/said"; }
first_race() {
    local mine=$MNT
    race
    local status=$?
    MNT=$mine
    return $status
}

mkdir -p "$OTHER_ROOT/etc/qemu" && cp "$EMBED/etc/qemu.conf" "$OTHER_ROOT/etc/"
echo 'expunge: true' > "$WORK/other.yaml"
vm_make twice 2
vm_make race 1
copy_definition twice
copy_definition race
copy_definition twice "s#<name>twice</name>#<name>guest</name>#; s#$(uuid_of twice)#$(uuid_of guest)#" guest
trap 'other_end; end' EXIT
mount_tree && other_tree || exit 1
case_run "attack: two daemons at once on a VM that both have" first_race
case_run "attack: a VM of another libvirt on our disks, or we on its" other_uuid
case_run "attack: a VM that two libvirts have is the first one's" same_uuid
case_run "attack: the second one adopts, and no file is lost" taken_over
attacks_end 65
