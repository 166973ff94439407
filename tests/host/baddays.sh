# Bad days: catalogs, journals, disk files, directories and stores that are broken, foreign, full or gone. Each case says what must be answered,
# that nothing was overwritten and that everything else goes on; and that after the cause is mended all is well without a restart.
. "$(dirname "$0")/lib.sh"

VM=bad
DIR=$IMAGES/bad
STORE=$DIR/.vmsnapfs/$(uuid_of $VM)
CATALOG=$STORE/catalog.yaml
JOURNAL=$STORE/journal.yaml

last_error() { tail -n 1 "$MNT/$VM/errors"; }
# told ERRNO WORD…: the newest line of errors has this errno (a pattern), a sentence, and the words
told() {
    local line word
    line=$(last_error)
    [[ $line =~ \ ($1):\ . ]] || { fail "errors end with <$line>, not with $1"; return 1; }
    for word in "${@:2}"; do [[ ${line#*: } == *"$word"* ]] || { fail "<$line> does not say <$word>"; return 1; }; done
}
says_problem() { grep -qF -- "$1" <(sed -n 's/^problem //p' "$MNT/$VM/status" | sed 's/\\040/ /g'); }
read_only() { grep -qx "read_only $1" "$MNT/$VM/status"; }
sum() { sha256sum < "$1"; }
others_go_on() { snap other x && check other "$IMAGES/other" && drop other x; }
# What every mended VM can do.
works_again() { snap $VM again && check $VM "$DIR" && drop $VM again && check $VM "$DIR"; }

# ---- catalog and journal ----

# Every mutation of the snapshots is refused with EROFS, a sentence with WORD…, and FILE stays as it is.
refused_read_only() {
    local file=$1 before
    shift
    before=$(sum "$file")
    refused "Read-only" mkdir "$MNT/$VM/snapshots/new" && told EROFS "$@" || return
    refused "Read-only" mv "$MNT/$VM/snapshots/s1" "$MNT/$VM/snapshots/s2" && told EROFS "$@" || return
    refused "Read-only" rmdir "$MNT/$VM/snapshots/s1" && told EROFS "$@" || return
    refused "Read-only" ln -sfn snapshots/s1 "$MNT/$VM/current" && told EROFS "$@" || return
    listed $VM "s1 " && wait_for read_only 1 || return
    [[ $(sum "$file") == "$before" ]] || { fail "$file was overwritten"; return 1; }
    others_go_on
}

# spoiled FILE WORD MAKE…: the file is replaced by what MAKE prints, under the daemon and before its start.
spoiled() {
    local file=$1 word=$2
    shift 2
    with_s1 || return
    if [[ -e $file ]]; then cp -a "$file" "$WORK/kept"; else : > "$WORK/kept"; fi
    "$@" < "$WORK/kept" > "$WORK/spoiled"
    cp "$WORK/spoiled" "$file"
    is_spoiled "$file" "$word"
    if [[ -s $WORK/kept ]]; then cp -a "$WORK/kept" "$file"; else rm -f "$file"; fi
    [[ -z $FAILED ]] && wait_for read_only 0 && listed $VM "s1 " && works_again
}
is_spoiled() {
    refused_read_only "$1" "$1" "$2" || return
    umount_tree && mount_tree && wait_for listed_vm $VM && wait_for read_only 1 || return
    says_problem "$2" || { fail "status: $(grep problem "$MNT/$VM/status")"; return 1; }
    refused "Read-only" mkdir "$MNT/$VM/snapshots/new" && told EROFS "$1" "$2" || return
    cmp -s "$WORK/spoiled" "$1" || fail "overwritten"
}
with_s1() { [[ -d $MNT/$VM/snapshots/s1 ]] || snap $VM s1; }

corrupt() { sed '4s/.*/&: [/'; }
truncated() { head -c "$(($(stat -c %s "$WORK/kept") / 2))"; }
nothing() { :; }
foreign() { sed "s/$(uuid_of $VM)/$(uuid_of other)/"; }
newer() { sed -E 's/^version: .*/version: 99/'; }
journal_corrupt() { printf 'version: 1\nplan: [\n'; }
journal_newer() { printf 'version: 99\n'; }

# The directory that holds the catalog cannot be used: not entered, a symlink, a file.
catalog_directory() {
    local before
    with_s1 || return
    mv "$STORE" "$WORK/store"
    ln -s "$WORK/store" "$STORE"
    before=$(sum "$WORK/store/catalog.yaml")
    refused "" mkdir "$MNT/$VM/snapshots/new" && told "E[A-Z]+" "$STORE" || return
    rm "$STORE" && echo file > "$STORE"
    refused "" mkdir "$MNT/$VM/snapshots/new" && told "E[A-Z]+" "$STORE" && [[ $(cat "$STORE") == file ]] || return
    rm "$STORE" && others_go_on
    refused "" mkdir "$MNT/$VM/snapshots/new" || return
    [[ $(sum "$WORK/store/catalog.yaml") == "$before" ]] || { fail "the catalog was changed"; return 1; }
    listed $VM "s1 " || return
    rm -rf "$STORE"
    mv "$WORK/store" "$STORE"
    chmod 0777 "$STORE"
    refused "" mkdir "$MNT/$VM/snapshots/new" && told EACCES "$STORE" "0700" || return
    chmod 0700 "$STORE"
    works_again
}

# ---- disk files ----

active() { cat "$MNT/$VM/disks/vda/source"; }
# layer: the file of s1, which is frozen
frozen() { disk_field "$MNT/$VM/snapshots/s1" vda file; }

missing_disk() {
    local file
    with_s1 || return
    for file in "$(active)" "$(frozen)"; do
        mv "$file" "$file.away"
        refused "" mkdir "$MNT/$VM/snapshots/new" && told "E[A-Z]+" "$file" || return
        cat "$MNT/$VM/status" "$MNT/$VM/disks/vda/source" > /dev/null && listed $VM "s1 " && others_go_on || return
        mv "$file.away" "$file"
        works_again || return
    done
}

truncated_disk() { # a header that is cut off, and a file that is no image any more
    local file size
    with_s1 || return
    file=$(active)
    cp --sparse=always "$file" "$WORK/whole"
    for size in 50 0; do
        truncate -s $size "$file"
        refused "" mkdir "$MNT/$VM/snapshots/new" && told "E[A-Z]+" "$file" && listed $VM "s1 " || return
        [[ $(stat -c %s "$file") == "$size" ]] || { fail "the file was written"; return 1; }
        cat "$WORK/whole" > "$file"
        works_again || return
    done
}

locked_disk() { # somebody else has the active layer, or a frozen one, open for writing
    local file holder
    with_s1 || return
    for file in "$(active)" "$(frozen)"; do
        holder=$(lock_image "$file") || return
        if [[ $file == "$(active)" ]]; then
            refused "busy" mkdir "$MNT/$VM/snapshots/new" && told EBUSY "$file" "qemu-io"
        else
            rmdir "$MNT/$VM/snapshots/s1" && expect_drop $VM s1 && wait_for grep -q "open $VM EBUSY: $file .*qemu-io" "$MNT/$VM/errors" && check $VM "$DIR" # its merge waits
        fi || FAILED=${FAILED:-the lock of $file: $(last_error)}
        kill "$holder"
        wait_for gone "$holder"
        [[ -z $FAILED ]] || return
    done
    idle $VM && check $VM "$DIR" && snap $VM s1 && works_again
}

replaced_disk() { # another image under the same name: other backing file, other size, other format
    local file
    with_s1 || return
    file=$(active)
    mv "$file" "$WORK/active"
    qemu-img create -q -f qcow2 "$file" 16M
    refused "clean" mkdir "$MNT/$VM/snapshots/new" && told EUCLEAN "$file" && listed $VM "s1 " || return
    qemu-img create -q -f qcow2 -b "$(frozen)" -F qcow2 -u "$file" 8M
    refused "not supported" rmdir "$MNT/$VM/snapshots/s1" && told EOPNOTSUPP "smaller" || return
    qemu-img create -q -f raw "$file" 16M
    refused "" mkdir "$MNT/$VM/snapshots/new" && told "E[A-Z]+" "$file" || return
    cp "$WORK/active" "$file" && works_again # another inode with the same content is the same image
}

guest_header() { # a raw disk whose guest writes a qcow2 header that names a host file: refused at every turn, the file never opened
    local vm=raw size
    echo secret > "$WORK/secret"
    qemu-img create -q -f qcow2 -b "$WORK/secret" -F raw "$WORK/evil" 16M
    dd if="$IMAGES/raw/$vm-vda.img" of="$WORK/good" bs=64k count=4 status=none
    snap $vm s1 || return
    dd if="$WORK/evil" of="$IMAGES/raw/$vm-vda.img" conv=notrunc status=none
    size=$(sum "$IMAGES/raw/$vm-vda.img")
    refused "" mkdir "$MNT/$vm/snapshots/s2" && refused "" ln -sfn snapshots/s1 "$MNT/$vm/current" || return
    rmdir "$MNT/$vm/snapshots/s1" 2> /dev/null && timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
    grep -q "qcow2" "$MNT/$vm/errors" || { fail "errors do not say why: $(tail -n 1 "$MNT/$vm/errors")"; return 1; }
    [[ $(sum "$IMAGES/raw/$vm-vda.img") == "$size" ]] || { fail "the disk was changed"; return 1; }
    dd if="$WORK/good" of="$IMAGES/raw/$vm-vda.img" conv=notrunc status=none
    timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
    [[ ! -d $MNT/$vm/snapshots/s1 ]] || drop $vm s1 || return
    expect_drop $vm s1 && check $vm "$IMAGES/raw"
}

# ---- stores ----

read_only_directory() { # the store is remounted read-only: before mkdir, and reads go on
    local vm=small
    snap $vm s1 && scribble $vm 1 || return
    mount -o remount,ro "$WORK/small" || { fail "remount"; return 1; }
    refused "Read-only" mkdir "$MNT/$vm/snapshots/s2"
    refused "" rmdir "$MNT/$vm/snapshots/s1"
    refused "" ln -sfn snapshots/s1 "$MNT/$vm/current"
    refused "" mv "$MNT/$vm/snapshots/s1" "$MNT/$vm/snapshots/s9"
    tail -n 1 "$MNT/$vm/errors" | grep -q "Read-only file system" || fail "errors: $(tail -n 1 "$MNT/$vm/errors")"
    listed $vm "s1 " && cat "$MNT/$vm/tree" > /dev/null && others_go_on
    mount -o remount,rw "$WORK/small"
    [[ -z $FAILED ]] && check $vm "$WORK/small" && snap $vm s2 && drop $vm s2 && drop $vm s1 && check $vm "$WORK/small"
}

fill() { fallocate -l "$(($(stat -f -c '%a * %S' "$WORK/small") - ${1:-0}))" "$WORK/small/ballast"; }
full_in_create() { # no room for the overlay, nor for the journal and the catalog
    local vm=small room
    for room in 0 4096 12288 204800 262144 400000; do
        rm -f "$WORK/small/ballast"
        fill $room
        if mkdir "$MNT/$vm/snapshots/s1" 2> "$WORK/said"; then expect_snap $vm s1; else
            grep -q "No space left" "$WORK/said" || { fail "with $room bytes it said $(cat "$WORK/said")"; return 1; }
            tail -n 1 "$MNT/$vm/errors" | grep -q "ENOSPC: ." || { fail "errors: $(tail -n 1 "$MNT/$vm/errors")"; return 1; }
        fi
        rm "$WORK/small/ballast"
        snap $vm s2 && check $vm "$WORK/small" && drop $vm s2 || return
        [[ ! -d $MNT/$vm/snapshots/s1 ]] || drop $vm s1 || return
    done
}

swap() { # s1 becomes s9, or back; NAME is what it is called
    local other=s9
    [[ $NAME == s1 ]] || other=s1
    mv "$MNT/small/snapshots/$NAME" "$MNT/small/snapshots/$other" && NAME=$other
}
describe() { echo "text" > "$MNT/small/snapshots/$NAME/description"; }
# COMMAND…: a file that was replaced or unlinked, and that a reader still held, gives its room back only when that is done: then it is filled up again.
refused_for_room() {
    local i
    for ((i = 0; i < 50; i++)); do
        "$@" 2> "$WORK/said" || { grep -q "No space" "$WORK/said" || fail "it said '$(cat "$WORK/said")'"; return; }
        fallocate -l $(($(stat -f -c '%a * %S' "$WORK/small"))) "$WORK/small/ballast.$i" 2> /dev/null # nothing is free: not even that
    done
    fail "should have been refused: $*"
}
full_in_rename() { # the catalog cannot be replaced: the old name stays, nothing is lost
    local vm=small NAME=s1
    snap $vm s1 && fill 0 || return
    refused_for_room swap
    listed $vm "$NAME "
    refused_for_room describe
    rm "$WORK"/small/ballast*
    [[ -z $FAILED ]] && swap && swap && { [[ $NAME == s1 ]] || swap; } && check $vm "$WORK/small" && drop $vm s1
}

full_in_live_merge() { # E-15 on a running VM: the job fails, the chain stays right, and after freeing space rmdir finishes it
    local vm=small
    start $vm && snap $vm s1 && write $vm 7 0 8M || return
    fill 2000000
    if rmdir "$MNT/$vm/snapshots/s1" 2> /dev/null; then
        ! timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1 || fail "there was no room, yet the merge worked"
        [[ $(cat "$MNT/$vm/snapshots/s1/state") == failed ]] || fail "s1 did not come back as failed"
    fi
    grep -q "ENOSPC" "$MNT/$vm/errors" || fail "errors do not say ENOSPC: $(tail -n 1 "$MNT/$vm/errors")"
    rm "$WORK/small/ballast"
    [[ -z $FAILED ]] && write $vm 8 1M 1M && expect_drop $vm s1 && rmdir "$MNT/$vm/snapshots/s1" && idle $vm && listed $vm "" && check $vm "$WORK/small" && stop $vm && check $vm "$WORK/small"
}

backing_gone_while_it_runs() { # the name of a frozen layer vanishes under a running VM: seen, said, nothing changed; put back it goes on
    local vm=small file
    snap $vm s1 && start $vm && scribble $vm 2 || return
    file=$(disk_field "$MNT/$vm/snapshots/s1" vda file)
    mv "$file" "$file.away"
    refused "" mkdir "$MNT/$vm/snapshots/s2"
    rmdir "$MNT/$vm/snapshots/s1" 2> /dev/null && timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
    grep -qF "$file" "$MNT/$vm/errors" || fail "errors do not name $file: $(tail -n 1 "$MNT/$vm/errors")"
    is_state $vm running || fail "it stopped"
    mv "$file.away" "$file"
    [[ -z $FAILED ]] || return
    if [[ -d $MNT/$vm/snapshots/s1 && $(cat "$MNT/$vm/snapshots/s1/state") == ready ]]; then snap $vm s2 && drop $vm s2 || return; fi
    [[ ! -d $MNT/$vm/snapshots/s1 ]] || rmdir "$MNT/$vm/snapshots/s1" || return
    expect_drop $vm s1 && idle $vm && check $vm "$WORK/small" && stop $vm && check $vm "$WORK/small"
}

# ---- QEMU ----

kill_qemu() { kill -9 $(qemu_pids) && wait_for is_state "$1" shutoff; }
qemu_killed_in_create() { # E-26: the snapshot is whole or not there, the VM starts
    local vm=heavy i
    for i in 1 2; do
        start $vm && scribble $vm $i || return
        mkdir "$MNT/$vm/snapshots/q$i" 2> /dev/null &
        sleep "0.0$((RANDOM % 90 + 10))"
        kill_qemu $vm || return
        wait $!
        timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
        if [[ -d $MNT/$vm/snapshots/q$i ]]; then expect_snap $vm q$i; else tail -n 1 "$MNT/$vm/errors" | grep -q " E[A-Z]*: ." || fail "no sentence"; fi
        check $vm "$IMAGES/heavy" && start $vm && check $vm "$IMAGES/heavy" && stop $vm || { FAILED+=" round $i"; return 1; }
        [[ ! -d $MNT/$vm/snapshots/q$i ]] || drop $vm q$i || return
    done
}
qemu_killed_in_a_merge() { # E-2: the merge goes on without it, at worst after a second rmdir
    local vm=heavy
    start $vm && snap $vm m1 && echo 1M > "$MNT/$vm/policy/bandwidth" && write $vm 3 0 60M && rmdir "$MNT/$vm/snapshots/m1" && wait_for grep -q ' of ' "$MNT/$vm/progress" && kill_qemu $vm || return
    echo 0 > "$MNT/$vm/policy/bandwidth"
    for job in "$MNT/$vm"/jobs/*/bandwidth; do [[ -e $job ]] && echo 0 > "$job" 2> /dev/null; done
    timeout $PATIENCE cat "$MNT/$vm/wait" > /dev/null 2>&1
    [[ ! -d $MNT/$vm/snapshots/m1 ]] || rmdir "$MNT/$vm/snapshots/m1" || return
    expect_drop $vm m1 && idle $vm && listed $vm "" && check $vm "$IMAGES/heavy" && start $vm && check $vm "$IMAGES/heavy" && stop $vm
}

denied() { # nobody may read or write the image: EACCES does not stop root, so it is a directory in its place
    local file
    with_s1 || return
    file=$(active)
    mv "$file" "$WORK/active" && mkdir "$file" || return
    refused "" mkdir "$MNT/$VM/snapshots/new" && told "E[A-Z]+" "$file" "regular file" || return
    rmdir "$file" && mv "$WORK/active" "$file" && works_again
}

mkdir -p "$WORK/small" "$DIR" "$IMAGES/other" "$IMAGES/raw"
mount -t tmpfs -o size=30m none "$WORK/small" || log "no tmpfs"
vm_make $VM 1 qcow2 16M "$DIR"
vm_make other 1 qcow2 16M "$IMAGES/other"
vm_make raw 1 raw 16M "$IMAGES/raw"
vm_make heavy 1 qcow2 160M "$IMAGES/heavy"
vm_make small 1 qcow2 16M "$WORK/small"
mount_tree || exit 1
case_run "bad day: the catalog is corrupt" spoiled "$CATALOG" "line 4" corrupt
case_run "bad day: the catalog is cut off" spoiled "$CATALOG" "line " truncated
case_run "bad day: the catalog is empty" spoiled "$CATALOG" "line " nothing
case_run "bad day: the catalog of another VM" spoiled "$CATALOG" "$(uuid_of other)" foreign
case_run "bad day: the catalog is of a newer version" spoiled "$CATALOG" "99" newer
case_run "bad day: the journal is corrupt" spoiled "$JOURNAL" "line " journal_corrupt
case_run "bad day: the journal is of a newer version" spoiled "$JOURNAL" "99" journal_newer
case_run "bad day: the catalog's directory is a symlink, a file, gone, or open to all" catalog_directory
case_run "bad day: a disk file is missing" missing_disk
case_run "bad day: a disk file is cut off" truncated_disk
case_run "bad day: a disk file is locked (E-8)" locked_disk
case_run "bad day: a disk file is replaced" replaced_disk
case_run "bad day: a disk file is no file" denied
case_run "bad day: a raw disk becomes qcow2 with snapshots there (rule 12)" guest_header
case_run "bad day: the store is read-only" read_only_directory
case_run "bad day: the store is full in create" full_in_create
case_run "bad day: the store is full in a rename" full_in_rename
case_run "bad day: the store is full in a live merge (E-15)" full_in_live_merge
case_run "bad day: a backing file vanishes while the VM runs" backing_gone_while_it_runs
stop small
case_run "bad day: QEMU is killed in create (E-26)" qemu_killed_in_create
case_run "bad day: QEMU is killed in a merge (E-2)" qemu_killed_in_a_merge
umount_tree
umount "$WORK/small"
