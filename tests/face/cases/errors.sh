# Every errno that the tree answers has its sentence in `errors`: which object, why, what to do now.
#
# EIO is a merge's (failing.sh). EACCES and EROFS are the kernel's own answers (owners.sh, daemon.sh); EUCLEAN and EHOSTDOWN need a host that changes or goes
# away (tests/host/rules.sh, libvirtd.sh).
. "$FACE/lib.sh"
cat > "$WORK/host.yaml" <<'Y'
vms:
  - name: web01
    uuid: 11111111-1111-4111-8111-111111111111
    disks: [{target: vda, path: images/web01.qcow2, capacity: 67108864}]
  - name: db01
    uuid: 22222222-2222-4222-8222-222222222222
    state: running
    disks: [{target: vda, path: images/db01.qcow2, capacity: 67108864}]
  - name: deaf
    uuid: 33333333-3333-4333-8333-333333333333
    state: running
    deaf: true
    disks: [{target: vda, path: images/deaf.qcow2, capacity: 67108864}]
  - name: efi
    uuid: 44444444-4444-4444-8444-444444444444
    firmware: loader
    nvram: empty
    disks: [{target: vda, path: images/efi.qcow2, capacity: 67108864}]
  - name: remote
    uuid: 55555555-5555-4555-8555-555555555555
    disks: [{target: vda, path: images/remote, capacity: 67108864, type: network}]
  - name: saved
    uuid: 66666666-6666-4666-8666-666666666666
    managed_save: true
    disks: [{target: vda, path: images/saved.qcow2, capacity: 67108864}]
  - name: passing
    uuid: 77777777-7777-4777-8777-777777777777
    state: running
    transient: true
    disks: [{target: vda, path: images/passing.qcow2, capacity: 67108864}]
guest_writes: true
Y
mount_tree
S=$MNT/web01/snapshots

# answers ERRNO VM WORDS EXPRESSION: the Python expression raises ERRNO, and the VM's newest line says ERRNO and has the words.
answers() {
    local line raised
    raised=$(errno_of "$4")
    same "$4" "$1" "${raised/ENOTSUP/EOPNOTSUPP}" # one number has both names
    line=$(quick tail -n 1 "$MNT/$2/errors")
    [[ $line == *" $1: "* ]] || fail "$4: errors end with <$line>, not with $1"
    [[ ${line#*: } == *$3* ]] || fail "$4: <$line> does not say <$3>"
}
put() { echo "os.write(os.open(mnt + \"/$1\", os.O_WRONLY), b\"$2\")"; }

# It takes a minute until nobody believes any more that the guest obeys: asked now, answered at the end.
timeout 100 bash -c 'echo shutoff > "$1"' - "$MNT/deaf/state" 2> "$WORK/deaf" &
deaf=$!

enoent() { answers ENOENT web01 none 'os.symlink("snapshots/none", mnt + "/web01/current")'; }
eexist() {
    works mkdir "$S/a" "$S/b" || return
    answers EEXIST web01 "b already" 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/b")'
    clean web01
}
enametoolong() {
    answers ENAMETOOLONG web01 "at most 200" 'os.mkdir(mnt + "/web01/snapshots/" + "n" * 201)'
    answers ENAMETOOLONG web01 "at most 200" 'os.mkdir(mnt + "/web01/snapshots/" + "n" * 255)'
}
einval() {
    answers EINVAL web01 '".x"' 'os.mkdir(mnt + "/web01/snapshots/.x")'
    answers EINVAL web01 '"sleeping"' "$(put web01/state sleeping)"
    answers EINVAL web01 'max_depth' "$(put web01/policy/max_depth many)"
    answers EINVAL web01 'offset 0' 'os.pwrite(os.open(mnt + "/web01/state", os.O_WRONLY), b"off", 3)'
}
eperm() {
    works mkdir "$S/a" || return
    answers EPERM web01 '"web01/x"' 'os.mkdir(mnt + "/web01/x")'
    answers EPERM web01 'no files can be created' 'open(mnt + "/web01/snapshots/x", "w")'
    answers EPERM web01 'part of the tree' 'os.unlink(mnt + "/web01/uuid")'
    answers EPERM web01 'only snapshots, jobs and VMs' 'os.rmdir(mnt + "/web01/policy")'
    answers EPERM web01 'belongs to its VM' 'os.rename(mnt + "/web01/snapshots/a", mnt + "/db01/snapshots/a")'
    answers EPERM web01 '".a"' 'os.rename(mnt + "/web01/snapshots/a", mnt + "/web01/snapshots/.a")'
    answers EPERM web01 'read only' 'os.open(mnt + "/web01/uuid", os.O_WRONLY)'
    answers EPERM web01 'fixed mode' 'os.chmod(mnt + "/web01/state", 0o777)'
    answers EPERM web01 'owner' 'os.chown(mnt + "/web01/snapshots/a", 1, 1)'
    answers EPERM web01 'write the value whole' 'os.truncate(mnt + "/web01/state", 5)'
    answers EPERM web01 'ln -sfn' 'os.symlink("snapshots/a", mnt + "/web01/snapshots/a/b")'
    clean web01
}
ebusy() {
    works mkdir "$S/a" && works chmod a-w "$S/a" && works mkdir "$MNT/db01/snapshots/a" || return
    answers EBUSY web01 'held' 'os.rmdir(mnt + "/web01/snapshots/a")'
    answers EBUSY web01 'chmod u+w' 'os.unlink(mnt + "/web01/snapshots/a/id")'
    answers EBUSY db01 'off' '[os.symlink("snapshots/a", mnt + "/db01/x"), os.rename(mnt + "/db01/x", mnt + "/db01/current")]'
    answers EBUSY saved 'managed' 'os.mkdir(mnt + "/saved/snapshots/a")'
    clean web01
    clean db01
}
edquot_and_emlink() {
    echo 1 > "$MNT/web01/policy/max_snapshots"
    works mkdir "$S/a" || return
    answers EDQUOT web01 'max_snapshots' 'os.mkdir(mnt + "/web01/snapshots/b")'
    echo 0 > "$MNT/web01/policy/max_snapshots"
    echo 2 > "$MNT/web01/policy/max_depth"
    answers EMLINK web01 'max_depth' 'os.mkdir(mnt + "/web01/snapshots/b")'
    echo 100 > "$MNT/web01/policy/max_depth"
    clean web01
}
eopnotsupp() {
    answers EOPNOTSUPP efi 'UEFI' 'os.mkdir(mnt + "/efi/snapshots/a")'
    answers EOPNOTSUPP remote 'vda' 'os.mkdir(mnt + "/remote/snapshots/a")'
    answers EOPNOTSUPP passing 'transient' 'os.mkdir(mnt + "/passing/snapshots/a")'
    echo require > "$MNT/db01/policy/quiesce"
    answers EOPNOTSUPP db01 'policy/quiesce is require' 'os.mkdir(mnt + "/db01/snapshots/a")'
    echo default > "$MNT/db01/policy/quiesce"
}
# Until it waits behind the shutdown that nobody obeys, which was asked for a moment ago.
is_interrupted() {
    turn=$((turn + 1))
    ! timeout -s INT 1 mkdir "$MNT/deaf/snapshots/x$turn" 2> "$WORK/said"
}
eintr() {
    local turn=0
    wait_until "a mkdir waits" is_interrupted
    wait_until "the line comes" grep -qE "mkdir deaf/snapshots/x$turn EINTR: ." "$MNT/deaf/errors"
    absent "$MNT/deaf/snapshots/x$turn"
}
etimedout() {
    ! wait "$deaf" || fail "it shut down"
    grep -q "Connection timed out" "$WORK/deaf" || fail "it said <$(cat "$WORK/deaf")>"
    quick tail -n 1 "$MNT/deaf/errors" | grep -q 'write deaf/state ETIMEDOUT: .*deaf' || fail "$(quick tail -n 1 "$MNT/deaf/errors")"
    same state running "$(quick cat "$MNT/deaf/state")"
}
enospc() {
    unmount_tree || return
    printf 'free_bytes: 1000\n' >> "$WORK/host.yaml"
    mount_tree
    answers ENOSPC web01 'make room' 'os.mkdir(mnt + "/web01/snapshots/a")'
    same "nothing was made" "" "$(names "$S")"
}

for name in eintr enoent eexist enametoolong einval eperm ebusy edquot_and_emlink eopnotsupp etimedout enospc; do
    test_case "$name"
done
