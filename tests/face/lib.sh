# What the scripts of cases/ share. A script sources this, calls host_file and mount_tree, and then test_case FUNCTION for each.
# A function fails by `fail WHY` or by a check below; the first reason is the one that is printed.
#
# Every command that could hang runs under `quick`, so that a fault here is a failed case and never a hanging suite.
set -u
WORK=$(mktemp -d "${TMPDIR:-/tmp}/vmsnapfs-face.XXXXXX")
chmod 755 "$WORK"
MNT=$WORK/mnt
PROGRAM=$BUILD/fs/vmsnapfs
DAEMON=
FAILED=
FAILURES=0
mkdir "$MNT"

quick() { timeout -k 5 30 "$@"; }

fail() {
    FAILED=${FAILED:-"$*"}
    return 1
}

test_case() {
    local name=$1
    [[ -z $ONLY || $name =~ $ONLY ]] || return 0
    FAILED=
    "$name" || FAILED=${FAILED:-"it returned $?"}
    if [[ -z $FAILED ]]; then
        echo "ok $name"
    elif [[ $FAILED == skip:* ]]; then
        echo "skip $name - ${FAILED#skip: }"
    else
        echo "not ok $name - ${FAILED:0:400}" | tr '\n' ' '
        echo
        FAILURES=$((FAILURES + 1))
        quick tail -n 3 "$MNT"/*/errors 2>/dev/null | sed 's/^/# /'
    fi
}

# tests/setup.sh installs it, so that it is missing is no reason to skip.
need() { command -v "$1" >/dev/null || fail "$1 is not installed; tests/setup.sh installs it"; }

# ---- the mount ----

# host_file NAME: a private copy of hosts/NAME, with standard input added at its end.
host_file() {
    cp "$FACE/hosts/$1" "$WORK/host.yaml"
    [[ -t 0 ]] || cat >> "$WORK/host.yaml"
}

# mount_tree [OPTION…]: in the foreground, so that $DAEMON is its pid; without the configuration that this machine may have.
mount_tree() {
    "$PROGRAM" -f -o config=/dev/null "$@" "fake://$WORK/host.yaml" "$MNT" > "$WORK/log" 2>&1 &
    DAEMON=$!
    wait_until "the tree is served" is_served || { cat "$WORK/log"; exit 1; }
}

is_served() { kill -0 "$DAEMON" 2>/dev/null && quick test -e "$MNT/README"; }

# Ended; whoever is to collect its status may take a while.
is_over() { ! kill -0 "$1" 2> /dev/null || grep -q '^State:.Z' "/proc/$1/status" 2> /dev/null; }

unmount_tree() {
    [[ -n $DAEMON ]] || return 0
    kill -TERM "$DAEMON" 2>/dev/null
    wait_until "the daemon ends" is_over "$DAEMON" || kill -KILL "$DAEMON"
    wait "$DAEMON" 2>/dev/null
    DAEMON=
    ! mountpoint -q "$MNT" || fail "still mounted after the daemon's end"
}

finish() {
    unmount_tree || { echo "not ok $(basename "$0" .sh) unmounts - ${FAILED:-it did not}"; FAILURES=1; }
    umount -l "$MNT" 2>/dev/null
    if grep -qE 'Sanitizer|CRITICAL|GLib|misuse' "$WORK/log" 2>/dev/null; then
        echo "not ok $(basename "$0" .sh) leaves a clean log - $(grep -E 'Sanitizer|CRITICAL|GLib|misuse' "$WORK/log" | head -1)"
        FAILURES=1
    fi
    rm -rf --one-file-system "$WORK"
    [[ $FAILURES -eq 0 ]]
    exit
}
trap finish EXIT

# ---- checks ----

# wait_until WHAT COMMAND…: polls with a deadline.
wait_until() {
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        [[ $SECONDS -lt $deadline ]] || { fail "waited for a minute in vain: $what"; return 1; }
        sleep 0.05
    done
}

# same WHAT EXPECTED ACTUAL
same() { [[ $2 == "$3" ]] || fail "$1: expected <$2>, got <$3>"; }

stat_of() { quick awk -v key="$1" '$1 == key { print $2 }' "$MNT/.vmsnapfs/stats"; }
# asks_nothing COMMAND…: it asks libvirt nothing. Beside the first time, what happened before may still be looked at.
asks_nothing() {
    local before now
    for _ in 1 2 3; do
        before=$(stat_of libvirt_calls)
        "$@" || { fail "\"$*\" failed"; return; }
        now=$(stat_of libvirt_calls)
        [[ $now != "$before" ]] || return 0
    done
    fail "libvirt was asked: $before times before \"$*\", $now after it"
}

# works COMMAND…
works() {
    local said status
    said=$(quick "$@" 2>&1) && return
    status=$?
    fail "\"$*\" failed with $status: $said"
}

# refuses ERROR COMMAND…: it fails and says ERROR (a part of strerror's text).
refuses() {
    local error=$1 said
    shift
    if said=$(quick "$@" 2>&1); then
        fail "\"$*\" succeeded but should say $error"
        return
    fi
    [[ $said == *"$error"* ]] || fail "\"$*\" said <$said>, not $error"
}

# errno_of PYTHON-EXPRESSION: the name of the errno it raises, or ok.
errno_of() {
    quick python3 - "$1" "$MNT" <<'P'
import errno, os, shutil, sys
mnt = sys.argv[2]
try:
    eval(sys.argv[1])
    print("ok")
except OSError as e:
    print(errno.errorcode[e.errno])
P
}

exists() { quick test -e "$1" || fail "$1 is not there"; }
absent() { ! quick test -e "$1" || fail "$1 is there"; }
names() { quick ls "$1" | tr '\n' ' '; }

# said VM TEXT: the VM's errors hold a line with TEXT.
said() { quick grep -qF -- "$2" "$MNT/$1/errors" || fail "errors of $1 do not say <$2>: $(quick tail -n 1 "$MNT/$1/errors")"; }

# start_merge DIRECTORY NAME: takes a snapshot of that VM and removes it; $job is the merge, which has begun (one that is cancelled earlier is another
# case: the snapshot comes back as it was, and a little later).
start_merge() {
    works mkdir "$1/snapshots/$2" && works rmdir "$1/snapshots/$2" || return
    job=$(quick ls "$1/jobs" | sort -n | tail -n 1)
    [[ -n $job ]] || { fail "there is no job"; return; }
    wait_until "the merge has begun" quick grep -q '%.* of ' "$1/jobs/$job/progress"
}

# A fresh VM: no snapshots, no jobs.
clean() {
    local vm=$1 name job
    while IFS= read -r name; do
        quick chmod u+w "$MNT/$vm/snapshots/$name"
        quick rmdir "$MNT/$vm/snapshots/$name"
    done < <(quick ls "$MNT/$vm/snapshots")
    quick cat "$MNT/$vm/wait" > "$WORK/waited" 2>&1
    for job in $(quick ls "$MNT/$vm/jobs"); do quick rmdir "$MNT/$vm/jobs/$job"; done
}

# A sweeper of our own: deletes a whole directory, its entries sorted or the other way round.
sweep_with() { # sorted|reversed DIRECTORY
    quick python3 - "$1" "$2" <<'P'
import os, sys
def sweep(path):
    for name in sorted(os.listdir(path), reverse=sys.argv[1] == "reversed"):
        full = os.path.join(path, name)
        try:
            if os.path.isdir(full) and not os.path.islink(full):
                sweep(full)
            else:
                os.unlink(full)
        except OSError:
            pass
    try:
        os.rmdir(path)
    except OSError:
        pass
sweep(sys.argv[2])
P
}
