# Attacks through image headers (headers.py): each kind in the place of a disk's image, of a layer inside the chain, and of the oldest
# one, through mkdir, rmdir (an offline merge), a revert and an adoption, as root and with the real qemu-img. Nothing is opened, written
# or connected to that a header leads to; but a plain name of a file is a backing file like any other, and may be read (SECURITY.md).
. "$(dirname "$0")/lib.sh"
. "$HERE/canary.sh"
NAMES_A_FILE=" file plain relative no-format line-break directory absent itself "

# Whoever connects to $PORT, or to $SOCKET, is noted in $WORK/callers.
listen() {
    export SOCKET=$WORK/run/nbd PORT
    python3 -c 'import select, socket, sys
path, log, port = sys.argv[1:]
ends = [socket.socket(socket.AF_UNIX), socket.socket()]
ends[0].bind(path)
ends[1].bind(("127.0.0.1", 0))
for end in ends:
    end.listen()
open(port, "w").write(f"{ends[1].getsockname()[1]}\n")
while True:
    for end in select.select(ends, [], [])[0]:
        end.accept()[0].close()
        print("somebody connected", file=open(log, "a"), flush=True)' "$SOCKET" "$WORK/callers" "$WORK/port" &
    LISTENER=$!
    wait_for test -s "$WORK/port" && PORT=$(cat "$WORK/port")
}
nobody_called() { [[ ! -s $WORK/callers ]] || fail "somebody connected"; }

# What the attack leads to must be what it was; opened only if it is named as a file.
left_alone() { # KIND
    nobody_called || return
    [[ $NAMES_A_FILE != *" $1 "* ]] || { diff <(looks_of_canaries) "$WORK/canary.looks" > "$WORK/canary.seen" || { TOUCHED=$((TOUCHED + 1)) && fail "$1: changed $(head -n 3 "$WORK/canary.seen")"; }; return; }
    untouched
}

last_error() { tail -n 1 "$MNT/$1/errors"; }
# no COMMAND…: refused, with a sentence of its own that names the disk or the VM.
no() { # VM COMMAND…
    local vm=$1 before
    shift
    before=$(last_error "$vm")
    ATTACKS=$((ATTACKS + 1))
    refused "" "$@" || return
    [[ $(last_error "$vm") != "$before" && $(last_error "$vm") == *"VM $vm"* ]] || { fail "nothing is said of $*: $(last_error "$vm")"; return 1; }
    REFUSED=$((REFUSED + 1))
}

as_disk() { # KIND: VM single
    local file=$IMAGES/single-vda.img
    cp "$file" "$WORK/aside" && python3 "$HERE/headers.py" "$1" "$file" "$CANARIES/disk" || return
    if [[ $1 == plain || $1 == relative || $1 == file ]]; then # a disk on a template, as far as anybody can tell
        ATTACKS=$((ATTACKS + 1))
        mkdir "$MNT/single/snapshots/x" && rmdir "$MNT/single/snapshots/x" && idle single && REFUSED=$((REFUSED + 1)) || { fail "$1"; return 1; }
    else
        no single mkdir "$MNT/single/snapshots/x" || return
    fi
    cat "$MNT/single/tree" "$MNT/single/status" "$MNT/single"/disks/*/* > "$WORK/said" && listed single "" && cp "$WORK/aside" "$file"
}
as_inner_layer() { # KIND: VM layers, between s1 and s2
    cp "$INNER" "$WORK/aside" && python3 "$HERE/headers.py" "$1" "$INNER" "$CANARIES/disk" || return
    no layers mkdir "$MNT/layers/snapshots/x" && no layers rmdir "$MNT/layers/snapshots/s1" && no layers ln -sfn snapshots/s1 "$MNT/layers/current" || return
    [[ $NAMES_A_FILE == *" $1 "* ]] || no layers bash -c 'echo adopt > "$0"' "$MNT/layers/drift" || return # a chain that somebody changed can be adopted
    cp "$WORK/aside" "$INNER" && listed layers "s1 s2 "
}
as_oldest_layer() { # KIND
    cp "$OLDEST" "$WORK/aside" && python3 "$HERE/headers.py" "$1" "$OLDEST" "$CANARIES/disk" || return
    if [[ $1 != plain && $1 != relative && $1 != file ]]; then
        no layers mkdir "$MNT/layers/snapshots/x" && no layers rmdir "$MNT/layers/snapshots/s1" && no layers ln -sfn snapshots/s1 "$MNT/layers/current" || return
    fi
    cp "$WORK/aside" "$OLDEST" && listed layers "s1 s2 "
}
header() { # KIND
    planted && as_disk "$1" && as_inner_layer "$1" && as_oldest_layer "$1" && left_alone "$1" || fail "$1"
}
headers() {
    local kind
    for kind in $(python3 "$HERE/headers.py"); do header "$kind" || { FAILED+=" (a header of the kind $kind)"; return 1; }; done
}

all_is_well() { # and the VMs start
    check layers && check single && revert layers s1 && start layers && start single && stop layers && stop single && drop layers s2 && drop layers s1 && check layers && snap single x && drop single x && check single
}

vm_make single 1
vm_make layers 1
trap '[[ -z ${LISTENER:-} ]] || kill $LISTENER; canaries_end; end' EXIT
canaries_begin secret disk && listen && mount_tree || exit 1
scribble layers 1 && snap layers s1 && scribble layers 2 && snap layers s2 && scribble layers 3 || exit 1
OLDEST=$(disk_field "$MNT/layers/snapshots/s1" vda file)
INNER=$(disk_field "$MNT/layers/snapshots/s2" vda file)
case_run "attack: image headers that lead elsewhere, or are impossible" headers
case_run "attack: after the image headers all is what it was" all_is_well
attacks_end 250
