# What people and their tools do without thinking (pitfalls 22 to 28 of the study of file interfaces): GNU, busybox, rsync, tar, Python,
# the module way of Ansible. Deleting has a script of its own, sweep.sh; Ctrl-C is in signals.sh, holding in holds.sh.
. "$FACE/lib.sh"
cat > "$WORK/host.yaml" <<'Y'
vms:
  - name: web01
    uuid: 11111111-1111-4111-8111-111111111111
    disks:
      - {target: vda, path: images/web01-vda.qcow2, capacity: 67108864}
      - {target: vdb, path: images/web01-vdb.qcow2, capacity: 67108864}
  - name: db01
    uuid: 22222222-2222-4222-8222-222222222222
    state: running
    disks: [{target: vda, path: images/db01-vda.qcow2, capacity: 67108864}]
  - name: "a b 😀"
    uuid: 33333333-3333-4333-8333-333333333333
    disks:
      - {target: vda, path: "images/back\\slash and 😀.qcow2", capacity: 65536}
      - {target: vdb, path: "images/new\nline.qcow2", capacity: 65536, readonly: true}
Y
mount_tree
V=$MNT/web01
S=$V/snapshots
D=$S/a/description
mkdir "$WORK/images"

# Snapshots of every kind: hidden, listed, described; and a finished job.
fill() {
    works mkdir "$S/one" "$S/two" && works ln -sfn snapshots/one "$V/current" && works mkdir "$S/a" "$S/b" && works rmdir "$S/one" "$S/b" || return
    printf 'two lines,\nan ümlaut and 😀\n' > "$D"
    works cat "$V/wait" && exists "$V/hidden" && [[ -n $(names "$V/jobs") ]] || fail "nothing is hidden, or there is no job"
}
files() { quick find "$MNT" -type f; }
untouched() { same snapshots "a two " "$(names "$S")" && same "text of a" "two lines," "$(quick head -n 1 "$D")"; }

pitfall_22_sizes_are_true_to_every_reader() {
    fill || return
    quick python3 - "$MNT" > "$WORK/said" 2>&1 <<'P' || fail "$(tail -n 1 "$WORK/said")"
import mmap, os, subprocess, sys
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(directory, name)
        if os.path.islink(path):
            continue
        size, fd = os.stat(path).st_size, os.open(path, os.O_RDONLY)
        text = os.read(fd, 1 << 20)
        assert len(text) == size, (path, size, len(text))
        assert b"".join(os.pread(fd, 7, i) for i in range(0, size + 7, 7)) == text, path
        assert os.lseek(fd, 0, os.SEEK_END) == size and os.pread(fd, 9, size) == b"", path
        if size:
            assert mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)[:] == text, path
        assert subprocess.run(["test", "-s", path]).returncode == (0 if size else 1), path
        os.close(fd)
P
    same "tail -c" "$(quick cat "$V/info.yaml" | tail -c 100)" "$(quick tail -c 100 "$V/info.yaml")"
    same "dd, a byte at a time" "$(quick cat "$V/tree")" "$(quick dd if="$V/tree" bs=1 status=none)"
    same "dd, skipping" "$(quick cat "$V/info.yaml" | tail -c +65)" "$(quick dd if="$V/info.yaml" bs=64 skip=1 status=none)"
    same "bash's own" "$(quick cat "$V/tree")" "$(< "$V/tree")"
    same "busybox wc" "$(quick stat -c %s "$V/tree")" "$(quick busybox wc -c < "$V/tree")"
    clean web01
}

pitfall_22_truncating_is_taken() {
    fill || return
    quick bash -c ': > "$1"' - "$V/state" && quick dash -c ': > "$1"' - "$V/policy/max_depth" && works truncate -s 0 "$V/state" || fail "truncating a value"
    same "not emptied" "shutoff 100" "$(quick cat "$V/state" "$V/policy/max_depth" | tr '\n' ' ' | sed 's/ $//')"
    works truncate -s 8 "$V/state" # as long as it is
    refuses "Operation not permitted" truncate -s 7 "$V/state"
    refuses "Operation not permitted" truncate -s 100 "$D"
    refuses "Operation not permitted" truncate -s 0 "$V/uuid"
    untouched || return
    works truncate -s 9 "$D"
    same "cut" "two lines" "$(quick cat "$D")"
    works truncate -s 0 "$D"
    same "emptied" 0 "$(quick stat -c %s "$D")"
    quick python3 -c '
import sys
with open(sys.argv[1], "w") as f: f.write("longer than the next\n")
with open(sys.argv[1], "r+") as f: f.truncate(0), f.write("short\n")' "$D" || fail "python"
    same "after truncate and write" short "$(quick cat "$D")"
    clean web01
}

pitfall_22_errors_come_at_write_and_not_at_close() {
    local shell
    quick python3 - "$V" > "$WORK/said" 2>&1 <<'P' || fail "$(tail -n 1 "$WORK/said")"
import errno, os, sys
for name, text in (("state", b"nonsense"), ("policy/max_depth", b"x"), ("policy/quiesce", b"\0")):
    fd = os.open(sys.argv[1] + "/" + name, os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(fd, text)
        sys.exit(name + " was written")
    except OSError as e:
        assert e.errno == errno.EINVAL, e
    os.fsync(fd)
    os.close(fd)
P
    for shell in bash dash "busybox sh"; do
        ! quick $shell -c 'echo nonsense > "$1"' - "$V/state" 2> "$WORK/said" && [[ -s $WORK/said ]] || fail "$shell said nothing"
        said web01 "nonsense"
    done
    refuses "Invalid argument" tee "$V/state" <<< nonsense
    refuses "Invalid argument" dd if=/etc/hostname of="$V/state"
    refuses "Invalid argument" cp /etc/hostname "$V/state"
}

pitfall_23_no_errno_has_a_side_meaning() {
    fill || return
    quick python3 - "$MNT" > "$WORK/said" 2>&1 <<'P' || fail "$(tail -n 1 "$WORK/said")"
import errno, os, sys
mnt = sys.argv[1]
paths = [os.path.join(d, n) for d, ds, fs in os.walk(mnt) for n in ds + fs] + [mnt + "/web01/wait", mnt + "/none", mnt + "/web01/snapshots/.x"]
never, seen = {errno.EXDEV, errno.ENOTCONN, errno.ESTALE, errno.ENOSYS}, 0
calls = [
    lambda p: os.mkdir(p + "/.x"), lambda p: os.unlink(p + "/.x"), lambda p: os.mkdir(p), lambda p: os.rmdir(mnt + "/web01"),
    lambda p: os.open(p + "x", os.O_CREAT | os.O_WRONLY), lambda p: os.mkfifo(p + "x"), lambda p: os.link(p, mnt + "/web01/.x"),
    lambda p: os.link(p, p + "x"), lambda p: os.symlink("x", p), lambda p: os.truncate(p, 5000), lambda p: os.chmod(p, 0o7111),
    lambda p: os.chown(p, 12, 34), lambda p: os.chown(p, -1, 34, follow_symlinks=False), lambda p: os.setxattr(p, "user.x", b"x"),
    lambda p: os.getxattr(p, "user.x"), lambda p: os.readlink(p), lambda p: os.listdir(p), lambda p: os.rmdir(p + "/none"),
    lambda p: os.open(p, os.O_RDWR | os.O_DIRECTORY), lambda p: os.listdir(p + "/none"),
]
for p in paths:
    for number, call in enumerate(calls):
        try:
            call(p)
        except OSError as e:
            seen += 1
            assert e.errno not in never, (p, number, e)
            assert e.errno != errno.EINVAL or number in (0, 2, 15), (p, number, e)
assert seen > 1000, seen
P
    quick bash -c 'touch -d @0 "$1"; touch "$1"' - "$D" || fail touch
    untouched
    clean web01
}

pitfall_24_indexers_and_backups_read_all_and_change_nothing() {
    local before
    fill || return
    before=$(quick tail -n 1 "$MNT/.vmsnapfs/errors")
    need file && need getfacl && need getfattr || return
    quick find "$MNT" -printf '%p %y %s %T@ %C@ %A@ %i %n %m %u %g %k %b %l\n' > "$WORK/said" || fail "find -printf"
    files | quick xargs -d '\n' file -- > "$WORK/said" || fail file
    grep -q 'tree: .*UTF-8' "$WORK/said" || fail "file(1) takes the tree for $(grep web01/tree: "$WORK/said")"
    ! grep -v -e text -e empty "$WORK/said" || fail "it is no text: $(grep -v -e text -e empty "$WORK/said" | head -n 1)"
    files | quick xargs -d '\n' md5sum -- > "$WORK/said" || fail md5sum
    works getfacl -R "$V" && works getfattr -dR -m - "$V" && works ls -laRi "$MNT" && works du -a "$MNT"
    same "complaints of busybox" "" "$(cd "$MNT" && { quick busybox find . -exec busybox stat {} + ; quick busybox tar cf - . ; quick busybox grep -r . web01/snapshots ; quick busybox du -a . ; } 2>&1 >/dev/null)"
    works busybox cp -a "$S" "$WORK/busybox" && works diff -r --no-dereference "$S" "$WORK/busybox"
    untouched
    same "no refusals" "$before" "$(quick tail -n 1 "$MNT/.vmsnapfs/errors")"
    clean web01
}

pitfall_24_a_second_backup_finds_nothing_new() {
    fill || return
    works rsync -aHAX "$V/" "$WORK/synced/"
    same "rsync, again" "" "$(quick rsync -aHAXi "$V/" "$WORK/synced/")"
    same "rsync, by content" "" "$(quick rsync -aci --delete "$V/" "$WORK/synced/")"
    same "tar's warnings" "" "$(quick tar -cf "$WORK/t.tar" -g "$WORK/t.snar" -C "$V" . 2>&1)"
    same "tar's warnings about attributes" "" "$(quick tar --xattrs --acls -cf "$WORK/t.tar" -C "$V" . 2>&1)"
    same "tar --diff" "" "$(quick tar -df "$WORK/t.tar" -C "$V" 2>&1)"
    same "tar, incremental" "" "$(quick tar -cf "$WORK/t2.tar" -g "$WORK/t.snar" -C "$V" . 2>&1; tar -tf "$WORK/t2.tar" | grep -v '/$')"
    works cp -a "$S" "$WORK/kept" && works diff -r --no-dereference "$S" "$WORK/kept"
    same "cp -a keeps the date" "$(quick stat -c %Y "$S/a")" "$(stat -c %Y "$WORK/kept/a")"
    clean web01
}

pitfall_24_deleting_by_age_works_where_names_are_given() {
    fill || return
    same "older than a day" "" "$(quick find "$S" -mindepth 1 -maxdepth 1 -mtime +0)"
    same "of the last hour" "a two " "$(quick find "$S" -mindepth 1 -maxdepth 1 -mmin -60 -printf '%f\n' | sort | tr '\n' ' ')"
    same "busybox: of the last hour" "a two " "$(quick busybox find "$S" -mindepth 1 -maxdepth 1 -mmin -60 | sed 's,.*/,,' | sort | tr '\n' ' ')"
    works find "$S" -mindepth 1 -maxdepth 1 -name two -exec rmdir {} +
    works cat "$V/wait" && works find "$S" -mindepth 1 -maxdepth 1 -mmin -60 -exec rm -rf {} \;
    works cat "$V/wait"
    same left "" "$(names "$S")"
    clean web01
}

pitfall_24_deleting_the_wrong_way_removes_nothing() {
    fill || return
    busybox rm -rf "$V" "$S" > /dev/null 2>&1
    untouched
    quick busybox find "$V" -delete > /dev/null 2>&1
    untouched
    quick find "$S" -print0 2> /dev/null | quick xargs -0 rm -rf > /dev/null 2>&1
    untouched
    (cd "$V" && quick rm -rf -- * .[!.]* > /dev/null 2>&1)
    untouched
    (cd "$S" && quick rm -rf -- . .. ../snapshots ./ > /dev/null 2>&1)
    untouched
    quick rm -rf "$V/current/" "$V/snapshots/" "$V/hidden" > /dev/null 2>&1
    untouched
    quick bash -c 'rm -rf "$1"/snapshots/ two' - "$V" > /dev/null 2>&1 # a blank too many
    untouched
    quick rsync -a --delete --force "$WORK/images/" "$S/" > /dev/null 2>&1
    untouched
    clean web01
}

pitfall_24_moving_to_the_wrong_place_takes_no_snapshot_there() {
    fill || return
    refuses "Operation not permitted" mv "$S/a" "$MNT/db01/snapshots/"
    refuses "" busybox mv "$S/a" "$MNT/db01/snapshots/"
    # It falls back to mkdir, copy and rmtree.
    ! quick python3 -c 'import shutil, sys; shutil.move(*sys.argv[1:])' "$S/a" "$MNT/db01/snapshots" 2> "$WORK/said" && grep -q "Operation not permitted" "$WORK/said" || fail "shutil.move: $(tail -n 1 "$WORK/said")"
    said db01 'mkdir db01/snapshots/a EPERM: "db01/snapshots/a" was not taken'
    same "no snapshot of another VM" "" "$(names "$MNT/db01/snapshots")"
    refuses "Operation not permitted" mv "$S/a" "$S/two"
    refuses "Operation not permitted" mv "$S/a" "$S/two" "$V/current"
    refuses "Operation not permitted" mv "$D" "$S/two/description"
    refuses "Operation not permitted" mv "$V/uuid" "$V/state"
    refuses "Operation not permitted" mv "$S" "$V/old"
    untouched
    works mkdir "$MNT/db01/snapshots/a" # who was refused nothing makes what he likes
    clean web01
    clean db01
}

pitfall_24_any_mkdir_in_snapshots_takes_one_and_no_file_gets_in() {
    local before name
    mkdir -p "$WORK/from/sub" && echo x > "$WORK/from/file" && tar -C "$WORK" -cf "$WORK/from.tar" from
    quick tar -C "$S" -xf "$WORK/from.tar" 2> /dev/null && fail "tar said success"
    refuses "Operation not permitted" mkdir -p "$S/deep/er"
    refuses "" rsync -a "$WORK/from/" "$S/synced"
    refuses "Operation not permitted" mv "$WORK/from" "$S/moved"
    same snapshots "deep from moved synced " "$(names "$S")"
    exists "$WORK/from/file" && exists "$WORK/from/sub" || fail "what was moved is gone"
    before=$(quick find "$S" | wc -l)
    refuses "Operation not permitted" cp -r "$WORK/from/." "$S/deep/"
    same "files" "$before" "$(quick find "$S" | wc -l)"
    for name in $(quick ls "$S"); do same "state of $name" ready "$(quick cat "$S/$name/state")"; done
    clean web01
}

pitfall_26_names_differ_by_every_byte() {
    local long name
    long=$(printf 'ä%.0s' {1..100})
    same "bytes of the long one" 200 "$(printf %s "$long" | wc -c)"
    set -- A a café $'cafe\u0301' '😀 smile' ' lead' 'trail ' "$long" $'rtl\u202eover' current snapshots
    works mkdir "$S/$1" "$S/$2" "$S/$3" "$S/$4" "$S/$5" "$S/$6" "$S/$7" "$S/$8" "$S/$9" "$S/${10}" "$S/${11}" || return
    refuses "File name too long" mkdir "$S/${long}x"
    same "as many as were made" $# "$(quick ls -1 "$S" | wc -l)"
    same "as many inodes" $# "$(quick ls -1i "$S" | awk '{print $1}' | sort -u | wc -l)"
    for name; do
        exists "$S/$name/id" && quick grep -qF -- "○ $name " "$V/tree" || fail "the tree lacks <$name>"
        quick python3 -c 'import sys, yaml; sys.exit(sys.argv[2] not in [s["name"] for s in yaml.safe_load(open(sys.argv[1]))["snapshots"]])' "$V/info.yaml" "$name" || fail "info.yaml lacks <$name>"
    done
    same "lines of the tree" $(($# + 2)) "$(quick wc -l < "$V/tree")"
    works ln -sfn "snapshots/ lead" "$V/current"
    same "a blank in status" 'current \040lead' "$(quick grep ^current "$V/status")"
    clean web01
}

pitfall_26_newlines_in_paths_break_no_line() {
    local nasty="$MNT/a b 😀" file
    works mkdir "$nasty/snapshots/x" || return
    same "one line a disk, five fields" "1 5" "$(quick awk 'END { print NR, NF }' "$nasty/snapshots/x/disks")"
    quick grep -qF 'back\134slash\040and\040😀.' "$nasty/snapshots/x/disks" || fail "disks: $(quick cat "$nasty/snapshots/x/disks")"
    same "a path a line" "2 1" "$(quick wc -l < "$nasty/disks/vda/chain") $(quick wc -l < "$nasty/disks/vdb/chain")"
    quick grep -qF 'new\012line.qcow2' "$nasty/disks/vdb/chain" || fail "chain: $(quick cat "$nasty/disks/vdb/chain")"
    file=$(quick python3 -c 'import sys, yaml; print([d["chain"][-1].split("/")[-1] for d in yaml.safe_load(open(sys.argv[1]))["disks"]])' "$nasty/info.yaml")
    same info.yaml "['back\\\\slash and 😀.qcow2', 'new\\nline.qcow2']" "$file"
    quick ls "$nasty/snapshots/none" 2> /dev/null
    refuses "Invalid argument" mkdir "$nasty/snapshots/"$'new\nline'
    same "lines of errors that are none" 0 "$(quick grep -cv '^[0-9]* 20' "$nasty/errors")"
    works rmdir "$nasty/snapshots/x" && works cat "$nasty/wait"
}

pitfall_27_poll_on_events_tells_what_inotify_cannot() {
    fill || return
    : > "$WORK/polled"
    timeout 60 python3 - "$MNT" > "$WORK/polled" 2>&1 <<'P' &
import os, select, sys
fd = os.open(sys.argv[1] + "/.vmsnapfs/events", os.O_RDONLY | os.O_NONBLOCK)
poll = select.poll()
poll.register(fd, select.POLLIN)
print("polling", flush=True)
text = b""
while b'"merge' not in text and poll.poll(50000):
    text += os.read(fd, 4096)
print("told" if b"merge" in text else text, flush=True)
P
    local reader=$!
    wait_until "it polls" grep -q polling "$WORK/polled"
    works rmdir "$S/two" || return # the end of the merge is the daemon's own change
    wait "$reader"
    same polled "polling told " "$(tr '\n' ' ' < "$WORK/polled")"
    clean web01
}

pitfall_28_who_stands_in_it_does_not_keep_it() {
    local pid keeper
    mkdir -p "$WORK/lazy"
    "$PROGRAM" -f "fake://$WORK/host.yaml" "$WORK/lazy" > "$WORK/said" 2>&1 &
    pid=$!
    wait_until "the tree is served" test -e "$WORK/lazy/README" && works mkdir "$WORK/lazy/web01/snapshots/x" || return
    (cd "$WORK/lazy/web01/snapshots/x" && exec timeout 60 tail -f /dev/null) &
    keeper=$!
    wait_until "somebody stands in it" stands_in "$WORK/lazy/web01/snapshots/x"
    refuses "busy" umount "$WORK/lazy"
    works umount -l "$WORK/lazy"
    ! mountpoint -q "$WORK/lazy" || fail "still mounted"
    kill "$keeper"
    wait "$keeper" 2> /dev/null
    wait_until "the daemon ends" is_over "$pid"
}
stands_in() { [[ -n $(find /proc/[0-9]*/cwd -maxdepth 0 -lname "$1" 2> /dev/null) ]]; }

descriptions_line_by_line_in_every_shell() {
    local shell
    works mkdir "$S/a" || return
    for shell in bash dash "busybox sh"; do
        quick $shell -c 'printf "one\n%s\nthree\n" two > "$1"' - "$D" || fail "printf of $shell"
        same "printf of $shell" "one two three " "$(quick cat "$D" | tr '\n' ' ')"
        quick $shell -c '{ echo four; echo five; } >> "$1"' - "$D" || fail "append of $shell"
        same "append of $shell" "one two three four five " "$(quick cat "$D" | tr '\n' ' ')"
        quick $shell -c '{ echo alone; sleep 0; echo "and more"; } > "$1"' - "$D" || fail "a block of $shell"
        same "a block of $shell" "alone and more " "$(quick cat "$D" | tr '\n' ' ')"
        quick $shell -c 'cat > "$1" <<X
here
document
X' - "$D" || fail "here document of $shell"
        same "here document of $shell" "here document " "$(quick cat "$D" | tr '\n' ' ')"
    done
    clean web01
}

tools_that_write_in_place_work_and_others_fail_cleanly() {
    works mkdir "$S/a" || return
    printf 'from a file\nof two lines\n' > "$WORK/text"
    works cp "$WORK/text" "$D" && works cmp "$WORK/text" "$D"
    works cp /dev/null "$D"
    works busybox cp "$WORK/text" "$D" && works cmp "$WORK/text" "$D"
    works dd if="$WORK/text" of="$D" bs=5 && works cmp "$WORK/text" "$D"
    printf 'FROM' | quick dd of="$D" conv=notrunc,fsync status=none || fail "dd conv=notrunc"
    same "dd conv=notrunc" "FROM a file of two lines " "$(quick cat "$D" | tr '\n' ' ')"
    quick tee -a "$D" <<< third > /dev/null || fail "tee -a"
    same "tee -a" third "$(quick tail -n 1 "$D")"
    works rsync --inplace --ignore-times "$WORK/text" "$D" && works cmp "$WORK/text" "$D"
    # They make a new file beside it, or the file anew: neither is possible, and nothing is lost.
    refuses "Operation not permitted" sed -i s/file/FILE/ "$D"
    refuses "Operation not permitted" rsync --ignore-times "$WORK/text" "$D"
    refuses "File exists" install "$WORK/text" "$D"
    refuses "File exists" cp --remove-destination "$WORK/text" "$D"
    refuses "Operation not permitted" ln -sf "$WORK/text" "$S/a/link"
    refuses "" busybox sed -i s/file/FILE/ "$D"
    works cmp "$WORK/text" "$D"
    refuses "Operation not permitted" bash -c 'echo x > "$1" || exit 1' - "$S/new"
    refuses "Is a directory" bash -c 'echo x > "$1" || exit 1' - "$S"
    refuses "Is a directory" bash -c 'echo x > "$1" || exit 1' - "$S/a"
    clean web01
}

attributes_are_set_to_what_they_are_by_whole_trees() {
    fill || return
    works chown -R 0:0 "$V" && works chmod -R u+r,o-w "$V" && works chmod -R ug+r,o-w "$S" && works chgrp -R 0 "$S"
    works touch -a "$S/a" && works touch -m "$D" && works touch -r "$V" "$S/a" && works chmod --reference="$S/a" "$S/a"
    refuses "Operation not permitted" chown -R 12345 "$S"
    refuses "Operation not permitted" chmod -R 0777 "$V/policy"
    refuses "Operation not permitted" chmod 2755 "$S/a" # there are no such bits here: no is better than a silent no
    refuses "Operation not permitted" chmod +t "$S/a"
    same "unchanged" "0:0 755" "$(quick stat -c %u:%g\ %a "$S/a")"
    works chmod 0711 "$S/a" && same mode 711 "$(quick stat -c %a "$S/a")"
    clean web01
}

the_readme_fits_a_screen() {
    [[ $(quick wc -l < "$MNT/README") -le 24 ]] || fail "it has $(quick wc -l < "$MNT/README") lines"
    [[ $(quick wc -L < "$MNT/README") -lt 80 ]] || fail "its longest line has $(quick wc -L < "$MNT/README") columns"
}

dates_order_and_find() {
    works mkdir "$S/first" && touch -d @"$(($(quick stat -c %Y "$S/first") + 60))" "$WORK/later" && works mkdir "$S/second" "$S/third" || return
    works mv "$S/first" "$S/zzz" && works chmod a-w "$S/zzz" && works chmod u+w "$S/zzz" && quick bash -c 'echo text > "$1"' - "$S/zzz/description" || fail "labels"
    same "ls -t" "third second zzz " "$(quick ls -t "$S" | tr '\n' ' ')"
    same "ls -tr" "zzz second third " "$(quick ls -tr "$S" | tr '\n' ' ')"
    same "-newer a snapshot" "third " "$(quick find "$S" -mindepth 1 -maxdepth 1 -newer "$S/second" -printf '%f ')"
    same "-newer a file" "" "$(quick find "$S" -mindepth 1 -newer "$WORK/later")"
    same "[ -nt ]" "newer" "$([[ $S/third -nt $S/second ]] && echo newer)"
    clean web01
}

busybox_does_all_but_ln() {
    need busybox || return
    works busybox mkdir -p "$S/a" && works busybox mkdir -p "$S/a" && works busybox mv "$S/a" "$S/b" && works busybox chmod a-w "$S/b" || return
    refuses "resource busy" busybox rmdir "$S/b"
    works busybox chmod u+w "$S/b" && works busybox touch "$S/b" && works busybox stat "$S/b/description" && works busybox ls -la "$V"
    works busybox sh -c 'echo by busybox > "$1"' - "$S/b/description" && same text "by busybox" "$(quick busybox cat "$S/b/description")"
    works busybox ln -s snapshots/b "$V/x" && works busybox mv -T "$V/x" "$V/current" && same current snapshots/b "$(quick busybox readlink "$V/current")"
    works busybox rmdir "$S/b" && works busybox cat "$V/wait" && same names "" "$(quick busybox ls "$S")"
    clean web01
}

a_directory_that_goes_away_underfoot() {
    works mkdir "$S/gone" || return
    same "what a shell in it sees" "no list no file $S again new" "$(cd "$S/gone" && quick rmdir ../gone && cat "$V/wait" > /dev/null &&
        { quick ls || echo -n "no list "; quick cat id || echo -n "no file "; cd "$S" && pwd | tr '\n' ' ' && mkdir gone && echo -n "again " && cd gone && [[ -s id ]] && echo -n new; } 2> /dev/null)"
    clean web01
}

shells_complete_and_glob() {
    fill || return
    same "compgen -f" "a two " "$(cd "$S" && bash -c 'compgen -f ""' | sort | tr '\n' ' ')"
    same "compgen -d" "disks hidden jobs nvram policy snapshots tpm " "$(cd "$V" && bash -c 'compgen -d ""' | grep -v current | sort | tr '\n' ' ')"
    same "*/" "a/ two/ " "$(cd "$S" && bash -c 'printf "%s " */')"
    same "brace" "a two " "$(bash -c 'cd "$1" && ls -d {a,two}' - "$S" | tr '\n' ' ')"
    same "busybox sh" "a two" "$(cd "$S" && busybox sh -c 'echo *')"
    same "[ -d ], [ -e ], [ -w ], [ -L ]" "yes" "$([ -d "$S/a" ] && [ ! -e "$S/none" ] && [ -w "$S" ] && [ -L "$V/current" ] && [ ! -d "$S/a/id" ] && echo yes)"
    works bash -c 'mkdir -p "$1/"{a,two}' - "$S"
    works bash -c 'mv "$1"/{a,renamed} && mv "$1"/{renamed,a}' - "$S"
    untouched
    clean web01
}

python_s_own_ways() {
    quick python3 - "$V" > "$WORK/said" 2>&1 <<'P' || fail "$(tail -n 1 "$WORK/said")"
import os, pathlib, shutil, sys, tempfile
vm = pathlib.Path(sys.argv[1])
s = vm / "snapshots"
(s / "p").mkdir(parents=True, exist_ok=True)
(s / "p").mkdir(parents=True, exist_ok=True)
(s / "p/description").write_text("zwei\nZeilen\n")
assert (s / "p/description").read_text() == "zwei\nZeilen\n"
with open(s / "p/description", "a") as f:
    f.write("drei\n")
assert (s / "p/description").read_text().splitlines()[-1] == "drei"
(s / "p").touch(), (s / "p/description").touch(), os.utime(s / "p", (1, 1))
assert shutil.move(str(s / "p"), str(s / "q")) == str(s / "q")
assert (s / "q").rename(s / "p") == s / "p"
assert [p.name for p in s.iterdir()] == ["p"] and (s / "p").is_dir() and (vm / "current").is_symlink()
out = tempfile.mkdtemp()
shutil.copytree(s / "p", out + "/tree")
shutil.copy2(s / "p/description", out + "/text")
shutil.copy2(out + "/text", s / "p/description")
shutil.copystat(out + "/text", s / "p/description")
assert os.stat(out + "/tree").st_mtime == os.stat(s / "p").st_mtime
for bad in (lambda: os.replace(s / "p", vm / "p"), lambda: (s / "p/x").write_text("x"), lambda: tempfile.TemporaryFile(dir=s)):
    try:
        bad()
        sys.exit("worked")
    except PermissionError:
        pass
with open(s / "p/id") as id:
    assert (vm / "current/id").samefile(s / "p/id") and os.path.realpath(vm / "current") == str((s / "p").resolve())
assert sum(len(files) for _, _, files in os.walk(vm)) > 20
shutil.rmtree(out)
P
    same "Path.rmdir of another process" "ok False" "$(quick python3 -c '
import pathlib, sys
p = pathlib.Path(sys.argv[1])
print("ok" if p.rmdir() is None else "", p.exists())' "$S/p")" # who listed and copied it is guarded for ten seconds
    clean web01
}

ansible_s_own_ways() {
    works mkdir "$S/a" && works mkdir "$S/b" || return
    quick python3 - "$V" > "$WORK/said" 2>&1 <<'P' || fail "$(tail -n 1 "$WORK/said")"
# The system calls of Ansible's file, copy, find and stat modules.
import errno, os, shutil, stat, sys, tempfile, time
vm = sys.argv[1]

def set_attributes_if_different(path, mode=None, owner=None):
    st = os.lstat(path)
    if mode is not None and stat.S_IMODE(st.st_mode) != mode:
        os.chmod(path, mode)
    if owner is not None and st.st_uid != owner:
        os.lchown(path, owner, -1)

def file_directory(path, mode):  # state: directory
    current = ""
    for part in path.strip("/").split("/"):
        current += "/" + part
        if not os.path.exists(current):
            try:
                os.mkdir(current)
            except OSError as e:
                if not (e.errno == errno.EEXIST and os.path.isdir(current)):
                    raise
            set_attributes_if_different(current, mode)
    set_attributes_if_different(path, mode, 0)

def file_link(path, src):  # state: link, force: true
    if os.path.lexists(path):
        if os.path.islink(path) and os.readlink(path) == src:
            return
        temporary = os.path.join(os.path.dirname(path), ".%s.%s.tmp" % (os.getpid(), time.time()))
        try:
            os.symlink(src, temporary)
            os.rename(temporary, path)
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
    else:
        os.symlink(src, path)
    os.lstat(path), os.readlink(path)

def copy(text, path, unsafe_writes):  # AnsibleModule.atomic_move
    fd, source = tempfile.mkstemp()
    os.write(fd, text), os.close(fd)
    st = os.stat(path)
    os.chmod(source, st.st_mode & 0o7777), os.chown(source, st.st_uid, st.st_gid)
    try:
        os.rename(source, path)
    except OSError as e:
        if e.errno not in (errno.EPERM, errno.EXDEV, errno.EACCES, errno.ETXTBSY, errno.EBUSY):
            raise
        try:
            tempfile.mkstemp(prefix=".ansible_tmp", dir=os.path.dirname(path), suffix=os.path.basename(path))
        except OSError:
            if not unsafe_writes:
                raise
            with open(path, "wb") as out, open(source, "rb") as src:
                shutil.copyfileobj(src, out)
    finally:
        os.unlink(source)

for again in range(2):
    file_directory(vm + "/snapshots/deploy", 0o750)
    assert stat.S_IMODE(os.stat(vm + "/snapshots/deploy").st_mode) == 0o750
os.utime(vm + "/snapshots/deploy", None)  # state: touch
for name in ("a", "a", "b"):
    file_link(vm + "/current", "snapshots/" + name)
    assert os.readlink(vm + "/current") == "snapshots/" + name
try:
    file_link(vm + "/current", "snapshots/none")
    sys.exit("a link to nothing was made")
except FileNotFoundError:
    pass
assert not [n for n in os.listdir(vm) if n.endswith(".tmp")] and os.readlink(vm + "/current") == "snapshots/b"
try:
    copy(b"text\n", vm + "/snapshots/deploy/description", False)
    sys.exit("a file was made")
except PermissionError:
    pass
assert os.stat(vm + "/snapshots/deploy/description").st_size == 0
copy(b"by ansible\n", vm + "/snapshots/deploy/description", True)
assert open(vm + "/snapshots/deploy/description").read() == "by ansible\n"
copy(b"running", vm + "/state", True)
assert open(vm + "/state").read() == "running\n"
copy(b"off", vm + "/state", True)
found = [os.path.join(d, n) for d, ds, fs in os.walk(vm + "/snapshots") for n in ds
         if stat.S_ISDIR(os.lstat(os.path.join(d, n)).st_mode) and time.time() - os.lstat(os.path.join(d, n)).st_mtime < 3600]
assert len(found) == 3, found
P
    for again in 1 2; do # a module is a process
        quick python3 -c '
import os, shutil, sys
path = sys.argv[1]
if os.path.lexists(path): # state: absent
    shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)' "$S/deploy" 2> "$WORK/said" || fail "absent: $(tail -n 1 "$WORK/said")"
    done
    same "absent" "a b " "$(names "$S")"
    clean web01
}

for name in pitfall_22_sizes_are_true_to_every_reader pitfall_22_truncating_is_taken pitfall_22_errors_come_at_write_and_not_at_close \
    pitfall_23_no_errno_has_a_side_meaning pitfall_24_indexers_and_backups_read_all_and_change_nothing \
    pitfall_24_a_second_backup_finds_nothing_new pitfall_24_deleting_by_age_works_where_names_are_given \
    pitfall_24_deleting_the_wrong_way_removes_nothing pitfall_24_moving_to_the_wrong_place_takes_no_snapshot_there \
    pitfall_24_any_mkdir_in_snapshots_takes_one_and_no_file_gets_in \
    pitfall_26_names_differ_by_every_byte pitfall_26_newlines_in_paths_break_no_line pitfall_27_poll_on_events_tells_what_inotify_cannot \
    pitfall_28_who_stands_in_it_does_not_keep_it descriptions_line_by_line_in_every_shell \
    tools_that_write_in_place_work_and_others_fail_cleanly attributes_are_set_to_what_they_are_by_whole_trees the_readme_fits_a_screen dates_order_and_find busybox_does_all_but_ln \
    a_directory_that_goes_away_underfoot shells_complete_and_glob python_s_own_ways ansible_s_own_ways; do
    test_case "$name"
done
