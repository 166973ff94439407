# Many snapshots, and many people at once.
. "$FACE/lib.sh"
host_file two.yaml < /dev/null
mount_tree
V=$MNT/web01
S=$V/snapshots

long_listings_are_whole() {
    echo 200 > "$V/policy/max_depth"
    quick python3 - "$S" > "$WORK/said" 2>&1 <<'P' || fail "$(cat "$WORK/said")"
import os, sys
names = ["%03d-%s" % (i, "n" * 150) for i in range(100)]
for name in names:
    os.mkdir(os.path.join(sys.argv[1], name))
assert sorted(os.listdir(sys.argv[1])) == names, "listdir"
assert sorted(e.name for e in os.scandir(sys.argv[1]) if e.stat().st_mode & 0o700 == 0o700) == names, "scandir"
P
    same "ls -l" 100 "$(quick ls -l "$S" | grep -c '^drwx')"
    local job
    same "one column" 100 "$(quick grep -c '^○ ' "$V/tree")"
    works rmdir "$S"/[0-9]*
    works cat "$V/wait"
    same "nothing is left" "" "$(names "$S")"
    for job in $(quick ls "$V/jobs"); do quick rmdir "$V/jobs/$job"; done
}

# Each of them does what it likes; whatever was refused was refused with an errno that fits.
many_at_once_leave_the_tree_whole() {
    quick timeout 25 python3 - "$MNT" > "$WORK/said" 2>&1 <<'P' || fail "$(tail -n 1 "$WORK/said")"
import errno, multiprocessing, os, random, sys
mnt = sys.argv[1]
fits = {errno.ENOENT, errno.EEXIST, errno.EBUSY, errno.EINTR}
def read(path):
    with open(path) as f:
        return f.read()
def write(path, text):
    with open(path, "w") as f:
        f.write(text)
def walk(top):
    for name in os.listdir(top):
        for entry in os.listdir(top + "/" + name):
            if entry != "parent":
                read("%s/%s/%s" % (top, name, entry))
def life(seed):
    rnd = random.Random(seed)
    names = "abcdef"
    walks = seed < 2  # who walks through the tree is taken for a sweeper
    for i in range(40):
        vm = mnt + "/" + rnd.choice(["web01", "db01"])
        one, other = ("%s/snapshots/%s" % (vm, rnd.choice(names)) for i in range(2))
        what = rnd.choice([lambda: os.mkdir(one), lambda: os.mkdir(one), lambda: os.rmdir(one), lambda: os.rename(one, other),
                           lambda: os.chmod(one, 0o755), lambda: write(one + "/description", "by %d\n" % seed),
                           lambda: read(vm + "/tree"), lambda: read(vm + "/info.yaml"), lambda: walk(vm + "/snapshots") if walks else read(vm + "/status"),
                           lambda: os.readlink(vm + "/current"), lambda: os.listdir(vm + "/jobs"),
                           lambda: [os.symlink("snapshots/" + rnd.choice(names), "%s/l%d" % (vm, seed)),
                                    os.rename("%s/l%d" % (vm, seed), vm + "/current")]])
        try:
            what()
        except OSError as e:
            if e.errno not in fits and not (e.errno == errno.EPERM and walks):
                return "%d: %s" % (seed, e)
    return None
with multiprocessing.Pool(8) as pool:
    wrong = [w for w in pool.map(life, range(8)) if w]
print(*wrong, sep="\n")
sys.exit(1 if wrong else 0)
P
    local vm name
    for vm in web01 db01; do
        quick cat "$MNT/$vm/wait" > /dev/null 2>&1
        same "lines of the tree of $vm" "$(($(quick ls "$MNT/$vm/snapshots" | wc -l) + $(quick ls "$MNT/$vm/hidden" 2> /dev/null | wc -l)))" \
            "$(quick grep -c '○' "$MNT/$vm/tree")"
        for name in $(quick ls "$MNT/$vm/snapshots"); do same "state of $name" ready "$(quick cat "$MNT/$vm/snapshots/$name/state")"; done
        clean "$vm"
        same "what is left of $vm" "" "$(names "$MNT/$vm/snapshots")"
    done
}

test_case long_listings_are_whole
test_case many_at_once_leave_the_tree_whole
