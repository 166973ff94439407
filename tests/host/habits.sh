# The dangerous ones among the things that people type, on real disks: who deletes too much, goes away in the middle, or pulls the mount away under
# load loses nothing. What each says is in tests/face/cases/habits-typed.sh; here the contents count.
. "$(dirname "$0")/lib.sh"

fill() { # VM: two branches and a hidden one, with contents of their own
    snap "$1" root && scribble "$1" 1 && snap "$1" left && scribble "$1" 2 && stop "$1" && revert "$1" root && scribble "$1" 3 && snap "$1" right && scribble "$1" 4 && rmdir "$MNT/$1/snapshots/root" && expect_drop "$1" root && idle "$1" && hidden "$1" 1 && check "$1"
}
untouched() { listed one "left right " && hidden one 1 && check one && check two || { fail "after: $1"; return 1; }; }

typed() { # STATE
    local line
    mkdir -p "$WORK/empty"
    start two && { [[ $1 == off ]] || start one; } || return
    while read -r line; do
        (cd "$MNT/one" && env "WORK=$WORK" timeout $PATIENCE bash -uc "$line" < /dev/null > "$WORK/said" 2>&1) && { fail "it said success: $line"; return 1; }
        untouched "$line" || return
    done <<'L'
rm -rf ../one
rm -rf ../*
rm -rf snapshots hidden *
find . -delete
mv snapshots/left ../two/snapshots/
mv snapshots/left "$WORK/out"
mv -T snapshots/left snapshots/right
rsync -a --delete "$WORK/empty/" snapshots/
python3 -c 'import shutil; shutil.rmtree("../one")'
ln -s snapshots/left current
ln -sfn ../two/snapshots/left current
L
    cp -a "$MNT/one/snapshots/left" "$WORK/left" && diff -r --no-dereference "$MNT/one/snapshots/left" "$WORK/left" && rm -rf "$WORK/left" || return
    stop one && stop two
}

# Its mkdir is answered by what became of it, though nobody hears that.
killed() {
    local i after client
    for i in 1 2 3 4 5 6; do
        [[ $i != 4 ]] || start one || return
        mkdir "$MNT/one/snapshots/k" &
        client=$!
        after=$((RANDOM % 60 + 1))
        read -r -t "0.$(printf %03d $after)" <> <(:)
        kill -9 $client 2> /dev/null
        wait $client 2> /dev/null
        wait_for no_request && echo rescan > "$MNT/one/drift" || return # who is told EINTR early finds the lane still busy for a moment
        if [[ -d $MNT/one/snapshots/k ]]; then expect_snap one k && check one && drop one k; fi
        untouched "kill -9 of mkdir after $after ms" || return
        scribble one $((i + 10)) || return
    done
    stop one
}
no_request() { grep -qx 'requests_waiting 0' "$MNT/.vmsnapfs/stats"; }

busy() { # until it is told to end, or its tree is gone
    local n=0
    while [[ -e $WORK/busy && -d $MNT/two/snapshots ]]; do
        n=$((n + 1))
        mkdir "$MNT/two/snapshots/$1$n" && rmdir "$MNT/two/snapshots/$1$n"
        ls -lR "$MNT" && cat "$MNT/two/tree" && find "$MNT" -type f -size -2 -exec cat {} +
    done > /dev/null 2>&1
}
# The tree is taken away while others work in it; the daemon ends what it has begun, and the next one finds all as it was.
pulled_away() { # umount's options
    local workers=() i name
    touch "$WORK/busy" && start two || return
    MERGES=$(awk '$1 == "jobs_done" { print $2 }' "$MNT/.vmsnapfs/stats")
    for i in a b c; do
        busy $i &
        workers+=($!)
    done
    wait_for worked || return
    umount "$@" "$MNT" || { fail "umount $*"; return 1; }
    rm "$WORK/busy"
    wait "${workers[@]}"
    wait_for gone "$DAEMON" || { fail "the daemon stays"; return 1; }
    wait "$DAEMON" || { fail "the daemon ended with $?"; return 1; }
    mount_tree && timeout $PATIENCE cat "$MNT/two/wait" > /dev/null 2>&1
    for name in $(ls "$MNT/two/snapshots"); do rmdir "$MNT/two/snapshots/$name" || return; done
    idle two && listed two "" && untouched "umount $*" && write two 9 0 1M && snap two again && drop two again && check two
}
worked() { (($(awk '$1 == "jobs_done" { print $2 }' "$MNT/.vmsnapfs/stats") > MERGES + 5)); }

vm_make one 1 && vm_make two 1 && mount_tree && fill one || { echo "not ok habits: begin - $FAILED"; exit 1; }
case_run "habits: typed, VM off" typed off
case_run "habits: typed, VM running" typed on
case_run "habits: kill -9 of who makes a snapshot" killed
case_run "habits: umount -l under load" pulled_away -l
umount_tree
