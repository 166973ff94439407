# What the host scripts share: real VMs on real QEMU, a real mount, contents compared byte for byte.
#
# A script sources this with BUILD set, makes VMs (vm_make), mounts (mount_tree), works with shell tools in $MNT and ends.
# Every VM has, per disk, an expected raw image of what its guest sees now ($WORK/expect/VM/TARGET) and, per snapshot, of what was
# seen then ($WORK/expect/VM/snapshots/NAME.TARGET); `check VM` compares all of them with what the layers really hold.
#
# Cases print `ok NAME`, `not ok NAME - why` or `skip NAME - reason`. A failed expectation ends the case, not the script.

set -u
export LC_ALL=C
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$(mktemp -d "${TMPDIR:-/tmp}/vmsnapfs-host.XXXXXX")
MNT=$WORK/mnt
EMBED=$WORK/embed
IMAGES=$WORK/images
URI="qemu:///embed?root=$EMBED"
PROGRAM=$BUILD/fs/vmsnapfs
DAEMON=
FAILED=
PATIENCE=${PATIENCE:-120} # seconds that anything may take
mkdir -p "$MNT" "$EMBED/etc/qemu" "$IMAGES" "$WORK/expect" "$WORK/run"
chmod 0711 "$WORK" # swtpm, which is not root, goes through it to its state
cat > "$EMBED/etc/qemu.conf" <<'Q'
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
security_driver = "none"
stdio_handler = "file"
Q

log() { echo "# $*"; }

# ---- cases ----

# case NAME FUNCTION ARG…: run it in this shell, under ONLY; what it prints is a comment.
case_run() {
    local name=$1 started=$SECONDS
    shift
    [[ -n ${ONLY:-} && ! $name =~ $ONLY ]] && return
    FAILED=
    "$@" || FAILED=${FAILED:-"it returned $?"}
    log "$name took $((SECONDS - started)) s"
    if [[ -z $FAILED ]]; then echo "ok $name"; else
        echo "not ok $name - $FAILED"
        dump
        local vm
        declare -F revive > /dev/null && revive > /dev/null 2>&1 # what the script knows better
        for vm in "$MNT"/*/; do reset_vm "$(basename "$vm")"; done > /dev/null 2>&1
    fi
}

# After a failed case the next one begins with VMs that are off and have no snapshots; what their disks hold is what is expected.
reset_vm() {
    local name target dir=$MNT/$1
    timeout 30 bash -c 'echo off > "$1"' - "$dir/state"
    echo 0 > "$dir/policy/bandwidth"
    for name in 1 2; do # what fails comes back, and is finished by the second removal
        chmod u+w "$dir"/snapshots/*
        timeout 30 rmdir "$dir"/snapshots/*
        timeout 60 cat "$dir/wait"
        timeout 30 rmdir "$dir"/jobs/*
    done
    rm -f "$WORK/expect/$1/snapshots"/*
    for target in $(ls "$dir/disks"); do
        qemu-img convert -f "$(cat "$dir/disks/$target/format")" -O raw "file:$(cat "$dir/disks/$target/source")" "file:$WORK/expect/$1/$target"
    done
}

# fail WHY: note the first reason; returns 1 so that `… || fail x` chains end a case with `|| return`.
fail() {
    FAILED=${FAILED:-"$* (line ${BASH_LINENO[0]} of ${FUNCNAME[1]})"}
    return 1
}

dump() {
    local vm
    for vm in "$MNT"/*/; do
        [[ -n $(ls "$vm/snapshots" "$vm/hidden" "$vm/jobs" 2> /dev/null | grep -v :) ]] || continue
        log "--- $vm: $(cat "$vm/state")"
        (cat "$vm/tree" "$vm/status" "$vm/progress" "$vm/errors"; ls -l "$vm/snapshots" "$vm/hidden") 2>&1 | sed 's/^/#   /'
    done
    tail -n 20 "$WORK/daemon.log" 2>/dev/null | sed 's/^/#   log: /'
}

# wait_for COMMAND…: until it succeeds, at most $PATIENCE seconds.
wait_for() {
    local end=$((SECONDS + PATIENCE))
    until "$@" 2>/dev/null; do
        ((SECONDS < end)) || { fail "waited $PATIENCE s in vain for: $*"; return 1; }
        sleep 0.05
    done
}

# refused ERRNO-TEXT COMMAND…: the command must fail and say this.
refused() {
    local want=$1 out
    shift
    if out=$(timeout $PATIENCE "$@" 2>&1); then fail "should have been refused: $*"; return 1; fi
    [[ $out == *"$want"* ]] || { fail "refused with '$out', not '$want': $*"; return 1; }
}

# ---- a store ----

loop_devices() { losetup -f > /dev/null 2>&1; }

# store_loop MIB MKFS-OPTION…: a file system of its own in $STORE.
store_loop() {
    local size=$1
    shift
    mkdir -p "$STORE" && truncate -s "${size}M" "$WORK/store.img" && mkfs.ext4 -q "$@" "$WORK/store.img" && mount -o loop "$WORK/store.img" "$STORE"
}

# ---- VMs ----

xml_escape() { sed 's/&/\&amp;/g; s/</\&lt;/g; s/>/\&gt;/g; s/"/\&quot;/g; s/'"'"'/\&apos;/g' <<< "$1"; }
uuid_of() { md5sum <<< "$1" | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-8\4-\5/'; }
letter() { printf "\\$(printf %o $((97 + $1)))"; }
targets() { local i; for ((i = 0; i < $1; i++)); do echo "vd$(letter $i)"; done; }

# The rest of <os>, and the features, of a VM with FIRMWARE: none is the BIOS; uefi names its loader, and NVRAM its variable store
# (libvirt chooses a path where it is unset); secboot does so for secure boot, with Microsoft's keys enrolled; auto lets libvirt choose.
# KERNEL is what <os> has besides.
OVMF=/usr/share/OVMF
firmware_xml() {
    local machine=${MACHINE:-pc} more='' smm='' nvram=${NVRAM:+<nvram>$NVRAM</nvram>}
    case ${FIRMWARE:-} in
    uefi) more="<loader readonly='yes' type='pflash'>$OVMF/OVMF_CODE_4M.fd</loader>$nvram" ;;
    secboot) machine=q35 smm="<smm state='on'/>" more="<loader readonly='yes' secure='yes' type='pflash'>$OVMF/OVMF_CODE_4M.ms.fd</loader>
        <nvram template='$OVMF/OVMF_VARS_4M.ms.fd'$([[ -z ${NVRAM:-} ]] && echo /\> || echo ">$NVRAM</nvram>")" ;;
    auto) more=$nvram ;;
    esac
    echo "<os$([[ ${FIRMWARE:-} != auto ]] || echo " firmware='efi'")><type arch='x86_64' machine='$machine'>hvm</type>$more${KERNEL:-}</os>"
    [[ -z ${FIRMWARE:-}${KERNEL:-} ]] || echo "<features><acpi/>$smm</features>"
}
tpm_xml() { [[ -z ${TPM:-} ]] || echo "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"; }

# The definition of VM $1 with $2 disks of format $3 (default qcow2) in $IMAGES/DIR $4.
vm_xml() {
    local vm=$1 disks=$2 format=${3:-qcow2} dir=${4:-$IMAGES} target
    echo "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>$(xml_escape "$vm")</name>"
    echo "<uuid>$(uuid_of "$vm")</uuid><memory unit='MiB'>$([[ -n ${FIRMWARE:-} ]] && echo 64 || echo 16)</memory><vcpu>1</vcpu>"
    firmware_xml
    echo "<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>"
    echo "<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>"
    for target in $(targets "$disks"); do
        echo "<disk type='file' device='disk'><driver name='qemu' type='$format'/><source file='$(xml_escape "$dir/$vm-$target.img")'/><target dev='$target' bus='virtio'/></disk>"
    done
    tpm_xml
    echo "${EXTRA_DEVICES:-}<controller type='usb' model='none'/><memballoon model='none'/></devices>"
    echo "<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:$(qmp_socket "$vm"),server=on,wait=off'/></qemu:commandline></domain>"
}
qmp_socket() { echo "$WORK/run/$(uuid_of "$1" | cut -c1-8).qmp"; }

# vm_make VM DISKS [FORMAT [SIZE [DIR]]]: images and, for the embedded driver, the definition; before mount_tree.
vm_make() {
    local vm=$1 disks=$2 format=${3:-qcow2} size=${4:-16M} dir=${5:-$IMAGES} target
    mkdir -p "$dir" "$WORK/expect/$vm/snapshots"
    for target in $(targets "$disks"); do
        qemu-img create -q -f "$format" "file:$dir/$vm-$target.img" "$size" > /dev/null || return
        qemu-img create -q -f raw "file:$WORK/expect/$vm/$target" "$size" > /dev/null || return
        chmod 0600 "$dir/$vm-$target.img"
    done
    vm_xml "$vm" "$disks" "$format" "$dir" > "$EMBED/etc/qemu/$vm.xml"
}

# lock_image FILE: somebody has it open for writing, as QEMU would; prints his pid.
lock_image() {
    rm -f "$WORK/hold" && mkfifo "$WORK/hold" && : > "$WORK/holder" || return
    qemu-io -f qcow2 "$1" <> "$WORK/hold" > "$WORK/holder" 2>&1 &
    wait_for grep -q 'qemu-io>' "$WORK/holder" && echo $!
}

state() { cat "$MNT/$1/state"; }
power() {
    [[ $(state "$1") == "$2" ]] && return
    timeout $PATIENCE bash -c 'printf "%s\n" "$1" > "$2"' - "$2" "$MNT/$1/state" || { fail "$1 does not become $2"; return 1; }
}
start() { power "$1" running; }
# Off means off: QEMU is gone when this returns.
stop() { [[ $(state "$1") == shutoff ]] || power "$1" off && wait_for is_state "$1" shutoff; }
is_state() { [[ $(state "$1") == "$2" ]]; }

# write VM PATTERN OFFSET LENGTH [TARGET]: the guest of VM writes, on every disk (or one), and what is expected follows.
write() {
    local vm=$1 pattern=$2 offset=$3 length=$4 only=${5:-} i=0 target
    for target in $(ls "$MNT/$vm/disks"); do
        if [[ -z $only || $only == "$target" ]]; then
            local command="write -q -P $((pattern % 256)) $offset $length" file format
            if [[ $(state "$vm") == shutoff ]]; then
                file=$(cat "$MNT/$vm/disks/$target/source") format=$(cat "$MNT/$vm/disks/$target/format")
                qemu-io -f "$format" -c "$command" "file:$file" || { fail "cannot write $file"; return 1; }
            else
                python3 "$HERE/qmp.py" "$(qmp_socket "$vm")" \
                    "qemu-io -d /machine/peripheral/virtio-disk$i/virtio-backend \"$command\"" \
                    "qemu-io -d /machine/peripheral/virtio-disk$i/virtio-backend \"flush\"" || { fail "cannot write in $vm"; return 1; }
            fi
            qemu-io -f raw -c "$command" "file:$WORK/expect/$vm/$target" || return
        fi
        i=$((i + 1))
    done
}
# Something new everywhere: own place, and a shared one that everybody overwrites.
scribble() { write "$1" "$2" "$(($2 % 120 * 64))k" 96k && write "$1" "$2" 12M 64k; }

# ---- the main job, with what is expected after it ----

snap() {
    local target
    mkdir "$MNT/$1/snapshots/$2" || { fail "mkdir $2"; return 1; }
    expect_snap "$1" "$2"
}
expect_snap() { for target in $(ls "$MNT/$1/disks"); do cp --sparse=always "$WORK/expect/$1/$target" "$WORK/expect/$1/snapshots/$2.$target" || return; done; }
idle() { timeout $PATIENCE cat "$MNT/$1/wait" > "$WORK/waited" 2>&1 || { fail "wait of $1: $(cat "$WORK/waited")"; return 1; }; }
drop() { rmdir "$MNT/$1/snapshots/$2" && expect_drop "$1" "$2" && idle "$1" || { fail "rmdir $2"; return 1; }; }
expect_drop() { rm -f "$WORK/expect/$1/snapshots/$2".*; }
revert() {
    local target
    ln -sfn "snapshots/$2" "$MNT/$1/current" || { fail "revert to $2"; return 1; }
    expect_revert "$1" "$2" && idle "$1"
}
expect_revert() { for target in $(ls "$MNT/$1/disks"); do cp --sparse=always "$WORK/expect/$1/snapshots/$2.$target" "$WORK/expect/$1/$target" || return; done; }
# Revert as a user would who wants the VM in the state it was in.
revert_keeping() {
    local was
    was=$(state "$1")
    stop "$1" && revert "$1" "$2" && { [[ $was == shutoff ]] || start "$1"; }
}

# ---- laws ----

# value of KEY in the line of TARGET of a `disks` file, unescaped
disk_field() { awk -v t="$2" -v k="$3=" '$1 == t { for (i = 2; i <= NF; i++) if (index($i, k) == 1) print substr($i, length(k) + 1) }' "$1/disks" | { IFS= read -r line; printf '%b' "$(sed 's/\\\([0-7][0-7][0-7]\)/\\0\1/g' <<< "$line")"; }; }

same() { # EXPECTED FORMAT FILE
    local out
    out=$(qemu-img compare -U -f raw -F "$2" "file:$1" "file:$3" 2>&1) || { fail "$3 differs from $(basename "$1"): $out"; return 1; }
}

# contents VM [HOLDS]: of every snapshot and of the active layers; their files are noted in $WORK/known.
# HOLDS VM ENTRY TARGET FORMAT FILE: FILE holds what it should, as the snapshot in the directory ENTRY, or as the active layer (ENTRY is the VM's).
contents() {
    local vm=$1 holds=${2:-as_expected} entry target file known=$WORK/known
    : > "$known"
    for target in $(ls "$MNT/$vm/disks"); do
        file=$(cat "$MNT/$vm/disks/$target/source")
        echo "$file" >> "$known"
        "$holds" "$vm" "$MNT/$vm" "$target" "$(cat "$MNT/$vm/disks/$target/format")" "$file" || return
    done
    for entry in "$MNT/$vm"/snapshots/* "$MNT/$vm"/hidden/*; do
        [[ -d $entry ]] || continue
        for target in $(awk '{print $1}' "$entry/disks"); do
            file=$(disk_field "$entry" "$target" file)
            echo "$file" >> "$known"
            [[ $(cat "$entry/state") != failed ]] || continue # that point in time is gone (rule 4)
            "$holds" "$vm" "$entry" "$target" "$(disk_field "$entry" "$target" format)" "$file" || return
        done
    done
    sort -u -o "$known" "$known"
}
as_expected() { # of what is hidden nobody kept what it held
    case $2 in
    */hidden/*) ;;
    */snapshots/*) same "$WORK/expect/$1/snapshots/$(basename "$2").$3" "$4" "$5" ;;
    *) same "$WORK/expect/$1/$3" "$4" "$5" ;;
    esac
}
only_known() { # VM [DIRECTORY]: after contents, no file is too many or missing
    find "${2:-$IMAGES}" -maxdepth 1 -type f -name "$1-vd*" | sort > "$WORK/seen"
    diff "$WORK/known" "$WORK/seen" > "$WORK/diff" || { fail "files of $1: $(tr '\n' ' ' < "$WORK/diff")"; return 1; }
}

# check VM: contents, and no file too many or missing.
check() {
    local dir=${2:-$IMAGES}
    contents "$1" && only_known "$1" "$dir" || return
    [[ ! -e $(echo "$dir"/.vmsnapfs/*/journal.yaml | head -n 1) ]] || [[ -z ${STRICT_JOURNAL:-1} ]] || { fail "a journal is left open"; return 1; }
}

listed() { [[ "$(ls "$MNT/$1/snapshots" | tr '\n' ' ')" == "$2" ]] || { fail "snapshots are '$(ls "$MNT/$1/snapshots" | tr '\n' ' ')', not '$2'"; return 1; }; }
hidden() { [[ $(ls "$MNT/$1/hidden" 2>/dev/null | wc -l) == "$2" ]] || { fail "$(ls "$MNT/$1/hidden" 2>/dev/null | wc -l) are hidden, not $2"; return 1; }; }
current() { [[ "$(readlink "$MNT/$1/current")" == "$2" ]] || { fail "current is '$(readlink "$MNT/$1/current")', not '$2'"; return 1; }; }
files() { local n; n=$(find "$IMAGES" -maxdepth 1 -name "$1-vd*" | wc -l); [[ $n == "$2" ]] || { fail "$n files, not $2"; return 1; }; }

# ---- the mount ----

# Without the configuration that this machine may have.
mount_tree() {
    "$PROGRAM" -f -o config=/dev/null "$@" "$URI" "$MNT" >> "$WORK/daemon.log" 2>&1 &
    DAEMON=$!
    wait_for served || { log "$(tail -n 5 "$WORK/daemon.log")"; return 1; }
}
served() { [[ -e $MNT/.vmsnapfs/version ]]; }
gone() { ! kill -0 "$1"; }
umount_tree() {
    [[ -n $DAEMON ]] || return 0
    umount "$MNT" || { fail "umount"; return 1; }
    # A mount namespace that somebody made meanwhile has a copy of the mount, and keeps it served.
    kill "$DAEMON" 2> /dev/null
    wait_for gone "$DAEMON" || return
    wait "$DAEMON" 2> /dev/null
    DAEMON=
}
# kill -9, as a crash would, and clear away the dead mount.
kill_daemon() {
    kill -9 "$DAEMON"
    wait "$DAEMON" 2> /dev/null
    DAEMON=
    umount -f -l "$MNT" # -f: a daemon that was just telling the kernel of a change may not be able to die before
}
listed_vm() { [[ -d $MNT/$1 ]]; }

# Only QEMU processes of this run: their command lines hold $WORK.
qemu_pids() { pgrep -f -- "qemu-system.*$WORK" ; }

end() {
    [[ -n $DAEMON ]] && umount_tree
    [[ -n $DAEMON ]] && kill_daemon
    local pid
    for pid in $(qemu_pids); do kill -9 "$pid"; done
    [[ -n ${LIBVIRTD_HOLDER:-} ]] && libvirtd_end
    if [[ -n ${KEEP:-} ]]; then log "kept: $WORK"; else rm -rf --one-file-system "$WORK"; fi
}
trap end EXIT
trap 'exit 1' INT TERM

# ---- a private libvirtd, for what needs virsh or a dying daemon ----

libvirtd_begin() {
    local d=$WORK/lv
    mkdir -p "$d"/{etc/qemu,run,lib/qemu,log/qemu,cache}
    cp "$EMBED/etc/qemu.conf" "$d/etc/qemu.conf"
    cat > "$d/etc/libvirtd.conf" <<Q
unix_sock_group = "root"
auth_unix_rw = "none"
auth_unix_ro = "none"
listen_tls = 0
listen_tcp = 0
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
Q
    # Mounts stay inside, those made outside later are seen. In a plain chroot "/" is no mount point whose propagation could be
    # changed, and a mount over it could be seen outside; so there it goes through a copy of the tree, below a mount of our own.
    local apart='mount --make-rslave / 2> /dev/null && exec "$@"
        mount --make-private /proc && mount --rbind / /proc/fs && mount --make-rslave /proc/fs && exec chroot /proc/fs "$@"'
    # Trees of others that are mounted now would stay so in here, and their daemons not end, when they are unmounted outside.
    local hold='umount -l -a -t fuse.vmsnapfs; mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt &&
        mount --bind "$1/run" /run/libvirt && mount --bind "$1/lib" /var/lib/libvirt && mount --bind "$1/log" /var/log/libvirt &&
        mount --bind "$1/cache" /var/cache/libvirt && mount --bind "$1/etc" /etc/libvirt && touch "$1/ready" && exec sleep 86400'
    unshare -m --propagation unchanged sh -c "$apart" sh sh -c "$hold" sh "$d" < /dev/null > "$d/holder.log" 2>&1 &
    LIBVIRTD_HOLDER=$!
    wait_for test -e "$d/ready" || return
    URI="qemu+unix:///system?socket=$d/run/libvirt-sock"
}
libvirtd_start() {
    (cd / && exec nsenter -t "$LIBVIRTD_HOLDER" -m -r -- libvirtd -f /etc/libvirt/libvirtd.conf -p "$WORK/lv/pid") < /dev/null >> "$WORK/lv/out" 2>&1 &
    LIBVIRTD=$!
    wait_for virsh -q -c "$URI" version
}
libvirtd_kill() { kill -9 "$LIBVIRTD"; wait "$LIBVIRTD" 2> /dev/null; rm -f "$WORK/lv/run/libvirt-sock" "$WORK/lv/pid"; }
libvirtd_end() {
    kill "${LIBVIRTD:-$LIBVIRTD_HOLDER}" 2> /dev/null
    kill "$LIBVIRTD_HOLDER" 2> /dev/null
    wait "${LIBVIRTD:-}" "$LIBVIRTD_HOLDER" 2> /dev/null
}
v() { virsh -q -c "$URI" "$@"; }
