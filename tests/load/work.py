"""What people and programs do with the tree all at once: each worker is a process that types commands, one after the other, into
VMs picked at random. Used by load.py."""
import ctypes
import os
import random
import re
import subprocess
import time

import watch

NAMES = "abcdef"
# Seconds within which docs/limits.md promises an answer: of a question, of a change, of one that begins with a wait for its turn
READ, QUICK, CHANGE = 30, 10, 90
SLACK = 15  # of a machine that has much else to do
# What a change may be told while others work on the same VM.
FITS = ("File exists", "No such file or directory", "Device or resource busy", "Operation not supported",
        "dangling symlink",  # so chmod says that it came to be just now
        "are the same file")  # so mv, of what somebody else just gave that name
# A change (but no question) is given up when it could not be done in time, but not before that: after so many seconds at the earliest.
LATE, NOT_BEFORE = "Connection timed out", 9


class Worker:
    def __init__(self, mnt, vms, seed, options):
        self.mnt, self.vms, self.options = mnt, vms, options
        self.random = random.Random(seed)
        self.done, self.refused, self.late, self.wrong, self.slowest = {}, 0, 0, [], (0, "")
        self.over = lambda: False

    def vm(self):
        """Half of all work meets on a few VMs."""
        some = self.vms[:4] if self.random.random() < 0.5 else self.vms
        return "%s/%s" % (self.mnt, self.random.choice(some))

    def name(self):
        return self.random.choice(NAMES)

    def note(self, kind, began, limit, said):
        """@said: what a failed command said, None if it worked."""
        took = time.monotonic() - began
        self.done[kind] = self.done.get(kind, 0) + 1
        self.slowest = max(self.slowest, (took, kind))
        if took > limit + SLACK:
            self.wrong.append("%s took %.1f s, more than %d" % (kind, took, limit))
        if said is None:
            return
        self.refused += 1
        if LATE in said and limit != READ and took >= NOT_BEFORE:
            self.late += 1
            return
        # While the tree goes away, and after that, tools find all kinds of words for it.
        if not self.over() and not any(text in said for text in FITS):
            self.wrong.append("%s, after %.1f s: %s%s" % (kind, took, said.strip()[-300:], self.why(said)))

    def why(self, said):
        """What the tree itself says of the VM that @said names."""
        vm = re.search(re.escape(self.mnt) + "/[^/']+", said)
        if not vm:
            return ""
        return "".join("; %s: %s" % (name, self.last_of("%s/%s" % (vm.group(), name))) for name in ("errors", "drift", "status"))

    @staticmethod
    def last_of(path):
        shown = subprocess.run(["timeout", "20", "tail", "-n", "3", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               check=False).stdout
        return shown.decode(errors="replace").strip().replace("\n", " | ")

    def type(self, kind, limit, *command, errors=None):
        """One command as somebody types it; @errors: says nothing, and may fail with whatever."""
        began = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/")
        try:
            said = child.communicate(timeout=limit + 2 * SLACK)[1].decode(errors="replace")
        except subprocess.TimeoutExpired:
            self.wrong.append("HUNG %s: %s is in %s" % (kind, " ".join(command), watch.where("/proc/%d" % child.pid)))
            child.kill()
            return
        failed = child.returncode != 0 and errors is None
        self.note(kind, began, limit, (said or "status %d" % child.returncode) if failed else None)

    def shell(self, kind, limit, text, *arguments):
        self.type(kind, limit, "bash", "-c", text, "-", *arguments)

    # ---- what is done ----

    def mkdir(self):
        self.type("mkdir", CHANGE, "mkdir", "%s/snapshots/%s" % (self.vm(), self.name()))

    def mv(self):
        vm = self.vm()
        self.type("mv", CHANGE, "mv", "-nT", "%s/snapshots/%s" % (vm, self.name()), "%s/snapshots/%s" % (vm, self.name()))

    def rmdir(self):
        self.type("rmdir", CHANGE, "rmdir", "%s/snapshots/%s" % (self.vm(), self.name()))

    def ln(self):
        vm = self.vm()
        self.type("ln", QUICK, "ln", "-sfn", "snapshots/" + self.name(), vm + "/current")

    def cat(self):
        vm, what = self.vm(), self.random.choice(["tree", "status", "info.yaml", "progress", "errors", "drift", "state", "nvram/state"])
        self.type("cat", READ, "cat", "%s/%s" % (vm, what))

    def cat_snapshot(self):
        what = self.random.choice(["state", "disks", "children", "info.yaml", "description", "warnings"])
        self.type("cat", READ, "cat", "%s/snapshots/%s/%s" % (self.vm(), self.name(), what))

    def find(self):
        where = self.mnt if self.random.random() < 0.03 else self.vm()
        self.type("find", READ, "find", where, "-mindepth", "1", "-maxdepth", "3", "-newermt", "2020-01-01", "-ls", errors="any")

    def ls(self):
        self.type("ls", READ, "ls", "-l", self.vm() + self.random.choice(["", "/snapshots", "/jobs", "/disks", "/policy"]))

    def describe(self):
        self.shell("echo", CHANGE, 'echo "$2" > "$1"', "%s/snapshots/%s/description" % (self.vm(), self.name()), "text %d" % self.random.randrange(1000))

    def policy(self):
        key, value = self.random.choice([("bandwidth", "0"), ("bandwidth", "50M"), ("max_depth", "90"), ("max_depth", ""), ("quiesce_timeout", "7")])
        self.shell("echo", CHANGE, 'echo "$2" > "$1"', "%s/policy/%s" % (self.vm(), key), value)

    def power(self):
        self.shell("echo", CHANGE, 'echo "$2" > "$1"', self.vm() + "/state", self.random.choice(["off", "off", "running"]))

    def hold(self):
        self.type("chmod", CHANGE, "chmod", self.random.choice(["u-w", "u+w", "u+w"]), "%s/snapshots/%s" % (self.vm(), self.name()))

    def jobs(self):
        """Cancel or dismiss all there are: those that failed or were cancelled stay until then."""
        self.shell("rmdir", CHANGE, 'for job in "$1"/jobs/*; do [[ $job == *"*" ]] || rmdir "$job" || exit; done', self.vm())

    def rescan(self):
        self.shell("echo", CHANGE, 'echo rescan > "$1"', self.vm() + "/drift")

    def killed(self):
        """A client that dies at some moment of its request."""
        signal = self.random.choice(["KILL", "TERM", "INT"])
        self.type("killed", CHANGE, "timeout", "-s", signal, "%.3f" % (self.random.random() / 20), self.random.choice(["mkdir", "rmdir"]),
                  "%s/snapshots/%s" % (self.vm(), self.name()), errors="any")

    def wait(self):
        """For the jobs, a little."""
        self.type("wait", READ, "timeout", "1", "cat", self.vm() + "/wait", errors="any")

    def move(self):
        """The VM itself gets another name, and its own again."""
        # Whoever starts it in between keeps its name from being given back.
        self.shell("mv", CHANGE, 'mv -T "$1" "$1.x" || exit; for i in {1..20}; do mv -T "$1.x" "$1" && exit; echo off > "$1.x/state"; done', self.vm())

    WHAT = {mkdir: 26, mv: 10, rmdir: 18, ln: 8, cat: 10, cat_snapshot: 8, find: 3, ls: 6, describe: 5, policy: 3, power: 9, hold: 3, jobs: 2,
            rescan: 1, killed: 3, wait: 2}

    def run(self, over, seconds):
        end = time.monotonic() + seconds
        what, weights = list(self.WHAT) + [Worker.move] * self.options.get("move", 0), list(self.WHAT.values()) + [1] * self.options.get("move", 0)
        self.over = over
        while time.monotonic() < end and len(self.wrong) < 5:
            self.random.choices(what, weights)[0](self)
            if over() and not os.path.exists(self.mnt + "/README"):
                break


# ---- listings under churn ----

class Lister(Worker):
    """Lists one directory again and again while others make, move and remove entries: what is there all the time is listed once, nothing
    twice, and nothing that nobody made. The C library's readdir, as Python hides how it reads."""

    def __init__(self, mnt, vms, seed, options):
        super().__init__(mnt, vms, seed, options)
        self.directory = "%s/%s/snapshots" % (mnt, options["churn"])
        self.fixed, self.may = set(options["fixed"]), set(NAMES)

    def check(self, names, how):
        once = set(names)
        if len(once) != len(names):
            self.wrong.append("%s lists %s twice" % (how, [n for n in once if names.count(n) > 1]))
        if not self.fixed <= once:
            self.wrong.append("%s leaves out %d, %s" % (how, len(self.fixed - once), sorted(self.fixed - once)[:3]))
        if once - self.fixed - self.may:
            self.wrong.append("%s lists what nobody made: %s" % (how, sorted(once - self.fixed - self.may)[:3]))

    def run(self, over, seconds):
        end = time.monotonic() + seconds
        self.over = over
        while time.monotonic() < end and not over() and not self.wrong:
            began = time.monotonic()
            try:
                how = self.random.choice(["listdir", "scandir", "rewinddir", "ls"])
                names = getattr(self, how)()
            except OSError as error:
                if not over():
                    self.wrong.append("%s: %s" % (how, error))
                return
            if over():
                return
            self.note("list", began, READ, None)
            self.check(names, how)

    def listdir(self):
        return os.listdir(self.directory)

    def scandir(self):
        """Slowly, with a look at each."""
        names = []
        with os.scandir(self.directory) as entries:
            for entry in entries:
                names.append(entry.name)
                if self.random.random() < 0.05:
                    os.path.exists(entry.path + "/id")
        return names

    def rewinddir(self):
        """A part of it, then from the beginning; through dup and lseek, which is what rewinddir is."""
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            getdents(fd)
            os.lseek(fd, 0, os.SEEK_SET)
            names = []
            while True:
                some = getdents(fd)
                if not some:
                    return [name for name in names if name not in (".", "..")]
                names += some
        finally:
            os.close(fd)

    def ls(self):
        return subprocess.run(["ls", "-U", self.directory], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False).stdout.decode().split()


class TopLister(Lister):
    """The top of the tree, while VMs get other names; those called VM.x are on their way."""

    def __init__(self, mnt, vms, seed, options):
        Worker.__init__(self, mnt, vms, seed, options)
        moving = moving_ones(options["vms"])
        self.directory, self.fixed = mnt, {"README"} | set(options["vms"]) - set(moving)
        self.may = set(moving) | {vm + ".x" for vm in moving} | {".vmsnapfs"}


class Mover(Worker):
    """Each is the only one to move his VMs."""

    def run(self, over, seconds):
        end = time.monotonic() + seconds
        self.over = over
        while time.monotonic() < end and not over() and not self.wrong:
            vm = "%s/%s" % (self.mnt, self.random.choice(self.vms))
            self.shell("mv", CHANGE, 'mv -T "$1" "$1.x" && mv -T "$1.x" "$1"', vm)


def moving_ones(vms):
    """Some of those that host.py makes off."""
    return [vm for vm in vms if vm[2:].isdigit() and int(vm[2:]) % 12 == 1]


libc = ctypes.CDLL(None, use_errno=True)
SYS_GETDENTS64 = {"x86_64": 217, "aarch64": 61}[os.uname().machine]


def getdents(fd):
    """The names of one getdents64(2) with a small buffer."""
    buffer = ctypes.create_string_buffer(2048)
    length = libc.syscall(SYS_GETDENTS64, fd, buffer, len(buffer))
    if length < 0:
        raise OSError(ctypes.get_errno(), "getdents64: " + os.strerror(ctypes.get_errno()))
    names, at, data = [], 0, buffer.raw
    while at < length:
        size = int.from_bytes(data[at + 16:at + 18], "little")
        names.append(data[at + 19:at + size].split(b"\0", 1)[0].decode())
        at += size
    return names


class Churner(Worker):
    """Makes, moves and removes beside the listers."""

    def vm(self):
        return "%s/%s" % (self.mnt, self.options["churn"])

    WHAT = {Worker.mkdir: 5, Worker.mv: 5, Worker.rmdir: 4}

    def run(self, over, seconds):
        self.options = dict(self.options, move=0)
        super().run(over, seconds)
