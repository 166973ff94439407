# Every file of examples/ but the quick start, used as its first lines say.
. "$FACE/lib.sh"
EXAMPLES=$FACE/../../examples
FILE=$WORK/vmsnapfs.yaml
# web01 and "two words" are off; merges of db01, which runs, stand still; vars01 cannot be snapshotted.
cat > "$WORK/host.yaml" <<'Y'
vms:
  - {name: web01, uuid: 11111111-1111-4111-8111-111111111111, disks: [{target: vda, path: web01.qcow2, capacity: 67108864}]}
  - {name: db01, uuid: 22222222-2222-4222-8222-222222222222, state: running, disks: [{target: vda, path: db01.qcow2, capacity: 67108864}]}
  - {name: two words, uuid: 33333333-3333-4333-8333-333333333333, disks: [{target: vda, path: two.qcow2, capacity: 67108864}]}
  - {name: vars01, uuid: 44444444-4444-4444-8444-444444444444, managed_save: true, disks: [{target: vda, path: vars01.qcow2, capacity: 67108864}]}
guest_writes: true
job_blocks_per_look: 0
Y
URI=fake://$WORK/host.yaml

# ---- configuration, unit, fstab ----

the_configuration_is_taken() {
    sed 's/^group:.*/group: 60004/' "$EXAMPLES/vmsnapfs.yaml" > "$FILE"
    mount_tree -o "config=$FILE" || return
    same "limit of all" 209715200 "$(cat "$MNT/web01/policy/bandwidth")"
    same "limit of db01" 10 "$(cat "$MNT/db01/policy/max_snapshots")"
    same group 60004 "$(stat -c %g "$MNT/web01")"
    grep -qx config_problem "$MNT/.vmsnapfs/status" || fail "$(cat "$MNT/.vmsnapfs/status")"
    unmount_tree
}
of_unit() { sed -n "s/^$1=-\{0,1\}//p" "$WORK/vmsnapfs.service"; } # KEY: its commands
# systemd itself says whether it is well formed; what it would run is run here, in its order and as it does.
the_unit_is_well_formed_and_its_commands_work() {
    need systemd-analyze || return
    sed "s,/usr/local/bin/vmsnapfs -f,$PROGRAM -f -o config=/dev/null,; s,/run/vms,$WORK/run/vms,; s,^\(ExecStart=.*\) \([^ ]*\)\$,\1 $URI \2," \
        "$EXAMPLES/vmsnapfs.service" > "$WORK/vmsnapfs.service"
    quick systemd-analyze verify --man=no "$WORK/vmsnapfs.service" > "$WORK/said" 2>&1 || fail "it ended with $?: $(cat "$WORK/said")"
    ! grep -q 'vmsnapfs\.service' "$WORK/said" || fail "$(grep 'vmsnapfs\.service' "$WORK/said")"
    same type notify "$(of_unit Type)"
    works sh -c "$(of_unit ExecStartPre)"
    python3 - "$WORK/notify" "$WORK/told" <<'P' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
for _ in range(4):
    word = s.recv(100).decode()
    with open(sys.argv[2], "a") as out:
        print(word, file=out)
P
    wait_until "somebody listens" test -S "$WORK/notify"
    # shellcheck disable=SC2046 # words
    NOTIFY_SOCKET=$WORK/notify $(of_unit ExecStart) > "$WORK/log" 2>&1 &
    local pid=$!
    wait_until "it is ready" grep -qsx READY=1 "$WORK/told"
    works test -e "$WORK/run/vms/web01/state"
    MAINPID=$pid works sh -c "$(of_unit ExecReload)"
    wait_until "it has reloaded" grep -qsx RELOADING=1 "$WORK/told"
    kill -KILL "$pid"
    wait "$pid" 2> /dev/null
    ! quick ls "$WORK/run/vms" > /dev/null 2>&1 || fail "a dead tree can be listed"
    works sh -c "$(of_unit ExecStopPost)"
    ! mountpoint -q "$WORK/run/vms" || fail "still mounted"
    works sh -c "$(of_unit ExecStartPre)"
    kill %% 2> /dev/null # who listens waits for more
    wait
}
# In a mount namespace, where the program is installed.
the_line_of_fstab_mounts() {
    unshare -m true 2> /dev/null || { fail "skip: no mount namespaces here"; return; }
    sed "s,qemu:///system,$URI,; s,/run/vms,$WORK/not/yet,; s,group=libvirt,group=60004\,config=/dev/null," "$EXAMPLES/fstab" > "$WORK/fstab"
    mkdir -p "$WORK/bin" && ln -sf "$PROGRAM" "$WORK/bin/vmsnapfs"
    quick unshare -m bash -c '
        set -e
        mount --bind "$1/bin" /usr/local/sbin
        mount -T "$1/fstab" -a
        test "$(findmnt -no FSTYPE,SOURCE "$1/not/yet" | tr -s " ")" = "fuse.vmsnapfs $2"
        test "$(stat -c %g "$1/not/yet/web01")" = 60004
        umount "$1/not/yet"' - "$WORK" "$URI" > "$WORK/said" 2>&1 || fail "it ended with $?: $(cat "$WORK/said")"
}

# ---- scripts ----

each_shell() { # FUNCTION: with every shell that a script may meet
    local shell
    for shell in dash "busybox sh" "bash --posix"; do
        SHELL_USED=$shell "$1" || fail "with $shell"
        [[ -z $FAILED ]] || { FAILED="$FAILED (with $shell)"; return; }
    done
}
script() { # NAME ARGUMENT…
    local name=$1
    shift
    # shellcheck disable=SC2086 # words
    timeout -k 5 60 $SHELL_USED "$EXAMPLES/$name" "$@" > "$WORK/said" 2>&1
}
took() { quick ls "$MNT/$1/snapshots" | grep -cE "$2"; }
remove_all() {
    local directory
    echo off > "$MNT/db01/state" # merges of VMs that are off do not stand still
    for directory in "$MNT"/*/snapshots/*/; do
        [[ ! -d $directory ]] || { chmod u+w "$directory" && rmdir "$directory"; }
    done
    cat "$MNT"/*/wait > /dev/null 2>&1
    rmdir "$MNT"/*/jobs/* 2> /dev/null
    echo running > "$MNT/db01/state"
    same "left behind" 0 "$(find "$MNT"/*/snapshots "$MNT"/*/jobs -mindepth 1 | wc -l)"
}

nightly_keeps_the_newest_of_its_own_and_touches_no_other() { each_shell nightly_keeps; }
nightly_keeps() {
    local name
    for name in 20200101-000000 20200102-000000 20200103-000000 20200104-000000; do works mkdir "$MNT/web01/snapshots/nightly-$name"; done
    for name in manual nightly nightly-2020 nightly-20200101-00000x nightly-20200101-0000000 other-20200101-000000; do
        works mkdir "$MNT/web01/snapshots/$name"
    done
    works chmod a-w "$MNT/web01/snapshots/nightly-20200102-000000"
    script snapshot-nightly -m "$MNT" -k 2 web01 || fail "it ended with $?: $(cat "$WORK/said")"
    same said "" "$(cat "$WORK/said")"
    same "what is left" "manual nightly nightly-2020 nightly-20200101-0000000 nightly-20200101-00000x nightly-20200102-000000 nightly-20200104-000000 NEW other-20200101-000000 " \
        "$(names "$MNT/web01/snapshots" | sed "s/nightly-$(date -u +%Y)[0-9]*-[0-9]*/NEW/")"
    same "other VMs" 0 "$(took "two words" .)"
    same "jobs of web01" idle "$(cat "$MNT/web01/progress")"
    remove_all
}
nightly_takes_all_says_which_failed_and_does_the_others() { each_shell nightly_fails; }
nightly_fails() {
    script snapshot-nightly -m "$MNT" -n daily && fail "it succeeded though vars01 cannot"
    same "snapshots of web01" 1 "$(took web01 '^daily-')"
    same "snapshots of two words" 1 "$(took "two words" '^daily-')"
    same "snapshots of db01" 1 "$(took db01 '^daily-')"
    grep -q '^snapshot-nightly: vars01: no snapshot was taken: .*EBUSY: ' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    grep -qx 'snapshot-nightly: failed: vars01' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    script snapshot-nightly -m "$MNT" none "two words" && fail "it succeeded for a VM that is not there"
    grep -q '^snapshot-nightly: none: there is no such VM' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    same "snapshots of two words" 1 "$(took "two words" '^nightly-')"
    remove_all
}
nightly_says_that_a_merge_failed_and_tries_it_again() { each_shell nightly_merges; }
nightly_merges() {
    works mkdir "$MNT/db01/snapshots/nightly-20200101-000000"
    echo 1 > "$MNT/db01/policy/merge_timeout"
    script snapshot-nightly -m "$MNT" -k 1 db01 && fail "it succeeded though the merge stands still"
    grep -q '^snapshot-nightly: db01: a merge failed' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    same "state of the old one" failed "$(cat "$MNT/db01/snapshots/nightly-20200101-000000/state")"
    echo off > "$MNT/db01/state" # now it can be merged
    script snapshot-nightly -m "$MNT" -k 5 db01 || fail "the second time it ended with $?: $(cat "$WORK/said")"
    absent "$MNT/db01/snapshots/nightly-20200101-000000"
    remove_all
    echo default > "$MNT/db01/policy/merge_timeout"
}
nightly_without_a_tree_or_with_nonsense_says_so() { each_shell nightly_wrong; }
nightly_wrong() {
    script snapshot-nightly -m "$WORK" && fail "it succeeded"
    grep -q "vmsnapfs is not mounted on $WORK" "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    for arguments in "-k x" "-k" "-n -x" "-n a/b" "-z"; do
        # shellcheck disable=SC2086 # words
        script snapshot-nightly -m "$MNT" $arguments
        same "status of $arguments" 2 $?
    done
    same "snapshots" 0 "$(took web01 .)"
}

is_free() { [[ ! -e $1$(date -u +%Y%m%d-%H%M%S) ]]; } # two in one second would have one name
before_upgrade_takes_one_an_hour_and_keeps_some() { each_shell before_upgrade; }
before_upgrade() {
    local -x VMSNAPFS=$MNT KEEP=2
    script snapshot-before-upgrade web01 "two words" || fail "it ended with $?: $(cat "$WORK/said")"
    script snapshot-before-upgrade web01 "two words" || fail "the second time it ended with $?: $(cat "$WORK/said")"
    same "snapshots of web01" 1 "$(took web01 '^before-upgrade-')"
    same "snapshots of two words" 1 "$(took "two words" '^before-upgrade-')"
    works mkdir "$MNT/web01/snapshots/before-upgrade-20200101-000000" "$MNT/web01/snapshots/before-upgrade-20200102-000000" \
        "$MNT/web01/snapshots/before-upgrade-by-hand"
    works chmod a-w "$MNT/web01/snapshots/before-upgrade-20200101-000000"
    wait_until "the next second" is_free "$MNT/web01/snapshots/before-upgrade-"
    EVERY=0 script snapshot-before-upgrade web01 || fail "the third time it ended with $?: $(cat "$WORK/said")"
    same "what is left" "before-upgrade-20200101-000000 NEW NEW before-upgrade-by-hand " \
        "$(names "$MNT/web01/snapshots" | sed "s/before-upgrade-$(date -u +%Y)[0-9]*-[0-9]*/NEW/g")"
    script snapshot-before-upgrade vars01 web01 && fail "it succeeded though vars01 cannot"
    grep -q 'no snapshot of vars01 was taken: .*EBUSY: ' "$WORK/said" || fail "it said <$(cat "$WORK/said")>"
    script snapshot-before-upgrade none && fail "it succeeded for a VM that is not there"
    script snapshot-before-upgrade
    same "status without arguments" 2 $?
    remove_all
}
# A real apt with a real package, both in a directory of their own, and an ssh that does what sshd and the key would do.
apt_takes_a_snapshot_first_or_installs_nothing() {
    need apt-get || return
    local apt=$WORK/apt
    mkdir -p "$apt"/{package/DEBIAN,state/lists/partial,cache/archives/partial,parts,log,bin,root/var/lib/dpkg/{info,updates}}
    : > "$apt/root/var/lib/dpkg/status"
    printf '%s\n' 'Package: vmsnapfs-test' 'Version: 1' 'Architecture: all' 'Maintainer: nobody <nobody@example.org>' 'Description: nothing' > "$apt/package/DEBIAN/control"
    works dpkg-deb --build "$apt/package" "$apt/test.deb"
    cat > "$apt/apt.conf" <<A
Dir::State "$apt/state"; Dir::State::status "$apt/root/var/lib/dpkg/status"; Dir::Cache "$apt/cache"; Dir::Log "$apt/log";
Dir::Etc::main "/dev/null"; Dir::Etc::parts "$apt/parts"; Dir::Etc::sourcelist "/dev/null"; Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null"; Dir::Etc::preferencesparts "/dev/null"; DPkg::Options { "--root=$apt/root"; }; APT::Sandbox::User "root";
A
    cp "$EXAMPLES/apt-before-upgrade" "$apt/parts/05vmsnapfs"
    printf '#!/bin/sh\necho "$*" > %s/ssh.log\nVMSNAPFS=%s exec sh %s/snapshot-before-upgrade "$(cat %s/vm)"\n' "$apt" "$MNT" "$EXAMPLES" "$apt" > "$apt/bin/ssh"
    chmod +x "$apt/bin/ssh"
    echo vars01 > "$apt/vm"
    ! APT_CONFIG=$apt/apt.conf PATH=$apt/bin:$PATH quick apt-get -y install "$apt/test.deb" > "$WORK/said" 2>&1 || fail "apt went on without a snapshot"
    grep -q 'no snapshot of vars01' "$WORK/said" || fail "apt said <$(tail -n 3 "$WORK/said")>"
    ! grep -q 'vmsnapfs-test' "$apt/root/var/lib/dpkg/status" || fail "it was installed without a snapshot"
    echo web01 > "$apt/vm"
    APT_CONFIG=$apt/apt.conf PATH=$apt/bin:$PATH works apt-get -y install "$apt/test.deb"
    grep -q 'Status: install ok installed' "$apt/root/var/lib/dpkg/status" || fail "it was not installed"
    same "snapshots of web01" 1 "$(took web01 '^before-upgrade-')"
    grep -q 'BatchMode=yes.*snapshots@host.example' "$apt/ssh.log" || fail "ssh got <$(cat "$apt/ssh.log")>"
    remove_all
}

# ---- Ansible ----

play() { # JSON: more variables
    HOME=$WORK/home ANSIBLE_NOCOWS=1 ANSIBLE_LOCALHOST_WARNING=0 ANSIBLE_NOCOLOR=1 timeout -k 5 120 ansible-playbook -i localhost, -c local \
        "$EXAMPLES/upgrade.yml" -e "$1" -e "{tree: $MNT, ansible_python_interpreter: /usr/bin/python3}" > "$WORK/said" 2>&1
}
the_play_upgrades_removes_the_snapshot_and_goes_back_if_it_fails() {
    need ansible-playbook || return
    mkdir -p "$WORK/home"
    play "{vms: [web01, two words], upgrade_command: 'test -d \"$MNT/{{ item }}/snapshots/before-upgrade\"'}" || fail "it ended with $?: $(tail -n 12 "$WORK/said")"
    same "snapshots of web01" "" "$(names "$MNT/web01/snapshots")"
    same "snapshots of two words" "" "$(names "$MNT/two words/snapshots")"
    play "{vms: [web01], upgrade_command: 'false'}" && fail "it succeeded though the upgrade failed"
    grep -q 'web01 was not upgraded and is what it was: non-zero return code' "$WORK/said" || fail "$(tail -n 12 "$WORK/said")"
    same current snapshots/before-upgrade "$(readlink "$MNT/web01/current")"
    same state running "$(cat "$MNT/web01/state")"
    play "{vms: [web01], upgrade_command: 'touch $WORK/upgraded'}" && fail "it took another's snapshot for its own"
    grep -q 'has a snapshot before-upgrade already' "$WORK/said" || fail "$(tail -n 12 "$WORK/said")"
    absent "$WORK/upgraded"
    echo off > "$MNT/web01/state"
    remove_all
}

for name in the_configuration_is_taken the_unit_is_well_formed_and_its_commands_work the_line_of_fstab_mounts; do test_case "$name"; done
mount_tree
for name in nightly_keeps_the_newest_of_its_own_and_touches_no_other nightly_takes_all_says_which_failed_and_does_the_others \
    nightly_says_that_a_merge_failed_and_tries_it_again nightly_without_a_tree_or_with_nonsense_says_so \
    before_upgrade_takes_one_an_hour_and_keeps_some apt_takes_a_snapshot_first_or_installs_nothing \
    the_play_upgrades_removes_the_snapshot_and_goes_back_if_it_fails; do
    test_case "$name"
done
