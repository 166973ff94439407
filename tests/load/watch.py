#!/usr/bin/env python3
"""watch.py NAME SECONDS SCRATCH COMMAND…: runs COMMAND, which mounts trees below SCRATCH, and sees to it that it ends.

Whoever asks a file system that does not answer cannot be killed, and cannot say what it waits for. So this process never touches a mounted
tree. When the time is over it says where every thread of the daemons and every client stands, cuts the connections of the trees to the kernel,
which answers all who wait, and kills what is left. What the command leaves running is killed in any case."""
import ctypes
import glob
import os
import re
import signal
import subprocess
import sys
import time

PR_SET_CHILD_SUBREAPER = 36
CONTROL = "/sys/fs/fuse/connections"
GRACE = 30  # seconds that the command has to end by itself when nobody waits any more
LINES = 80  # of those at most, longest ones cut: tests/run shows as many after what failed
WIDTH = 400


def text_of(path):
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError as error:
        return error.strerror


# ---- who is there ----

def processes():
    """pid → (parent, name, state), of all."""
    found = {}
    for path in glob.glob("/proc/[0-9]*"):
        match = re.match(r"\d+ \((.*)\) (\S) (\d+)", text_of(path + "/stat"), re.S)
        if match:
            found[int(os.path.basename(path))] = (int(match.group(3)), match.group(1), match.group(2))
    return found


def descendants(root):
    everybody, found = processes(), [root]
    for pid in found:
        found += [child for child, (parent, _, _) in everybody.items() if parent == pid]
    return {pid: everybody[pid] for pid in found[1:] if pid in everybody}


def has_device(pid):
    """The descriptors of /dev/fuse: who holds one keeps its connection open."""
    held = []
    for path in glob.glob("/proc/%d/fd/*" % pid):
        try:
            held += [path] if os.readlink(path) == "/dev/fuse" else []
        except OSError:
            pass
    return len(held)


def mounts(below):
    """(connection, mount point) of each tree in there; asked of the kernel, not of the tree."""
    lines = [line.split() for line in text_of("/proc/self/mountinfo").splitlines()]
    return [(int(words[2].split(":")[1]), words[4]) for words in lines if " fuse." in " ".join(words) and words[4].startswith(below + "/")]


# ---- what they do ----

def where(task):
    """Of /proc/PID or /proc/PID/task/TID."""
    stack = [re.sub(r"^\[<\w*>\] |\+0x.*", "", line) for line in text_of(task + "/stack").splitlines()[:8]]
    return "%s, system call %s: %s" % (text_of(task + "/comm").strip(), text_of(task + "/syscall").split(" ")[0].strip(),
                                       " < ".join(name for name in stack if not name.startswith(("entry_", "do_syscall", "__x64"))))


def backtraces(pid):
    """thread → functions, of the debugger, if there is one; it cannot look at who stands in the kernel and cannot be stopped."""
    command = ["timeout", "-k", "5", "60", "gdb", "-batch", "-nx", "-p", str(pid), "-ex", "thread apply all bt 25"]
    try:
        said = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode(errors="replace")
    except OSError:
        return {}
    found, functions = {}, []
    for line in said.splitlines():
        thread, frame = re.match(r"Thread .*LWP (\d+)", line), re.match(r"#\d+\s+(?:0x\w+ in )?([A-Za-z]\w+) ", line)
        if thread:
            functions = found[thread.group(1)] = []
        elif frame and frame.group(1) not in ("start_thread", "clone3"):
            functions.append(frame.group(1))
    return found


def threads(pid):
    user = backtraces(pid)
    return ["  %s; %s" % (where(task), " < ".join(user.get(os.path.basename(task), []))) for task in sorted(glob.glob("/proc/%d/task/*" % pid))]


def command_line(pid):
    return text_of("/proc/%d/cmdline" % pid).replace("\0", " ").strip()[:200]


def stands(root):
    """Where everybody below @root stands, as lines; the daemons first."""
    lines, below = [], {pid: about for pid, about in descendants(root).items() if about[2] != "Z"}
    serving = [pid for pid, (_, name, _) in below.items() if has_device(pid) or name == "libvirtd"]
    for pid in serving:
        lines.append("%d, child of %d, holds /dev/fuse %d times: %s" % (pid, below[pid][0], has_device(pid), command_line(pid)))
        lines += threads(pid)
    for pid, (parent, _, state) in below.items():
        if pid not in serving:
            lines.append("%d, child of %d, %s: %s: %s" % (pid, parent, state, command_line(pid), where("/proc/%d" % pid)))
    return lines


def show(lines):
    for line in lines[:LINES]:
        print("# " + line[:WIDTH], flush=True)


# ---- the end of it ----

def cut(below):
    """Whoever waits for one of these trees is told that it is gone."""
    if mounts(below) and not os.path.isdir(CONTROL + "/%d" % mounts(below)[0][0]):
        subprocess.run(["mount", "-t", "fusectl", "fusectl", CONTROL], check=False)
    for connection, _ in mounts(below):
        try:
            with open("%s/%d/abort" % (CONTROL, connection), "w") as file:
                file.write("1")
        except OSError as error:
            print("# connection %d cannot be cut: %s" % (connection, error), flush=True)


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def reap(child, seconds):
    """For so long, whoever ends is taken note of at once, also whoever has lost his parent: libvirt looks whether a QEMU is still there.
    True: @child has ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if child and pid == child.pid:
            child.returncode = os.waitstatus_to_exitcode(status)
        if not pid:
            time.sleep(0.02)
        if child and child.returncode is not None:
            return True
    return False


def clear(below):
    """Nothing runs and nothing is mounted any more."""
    end = time.monotonic() + GRACE
    while descendants(os.getpid()) and time.monotonic() < end:
        kill(descendants(os.getpid()))
        reap(None, 0.1)
    for _, point in mounts(below):
        subprocess.run(["umount", "-f", "-l", point], check=False)


def end_it(child, below):
    """Clients and daemons first, so that the command can go on, and clear away what it made."""
    show(stands(os.getpid()))
    cut(below)
    kill([pid for pid in descendants(os.getpid()) if has_device(pid)])
    if not reap(child, GRACE):
        child.terminate()
        reap(child, GRACE)


def main():
    name, seconds, below, command = sys.argv[1], float(sys.argv[2]), os.path.realpath(sys.argv[3]), sys.argv[4:]
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    child = subprocess.Popen(command)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: child.terminate())
    in_time = reap(child, seconds)
    if not in_time:
        print("not ok load %s - it had not ended after %d s; where everybody stood:" % (name, seconds), flush=True)
        end_it(child, below)
    clear(below)
    sys.exit(0 if in_time and child.returncode == 0 else 1)


if __name__ == "__main__":
    main()
