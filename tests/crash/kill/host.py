"""The three processes that die: a private libvirtd, vmsnapfs on a mount, and a QEMU for each VM."""
import ctypes
import json
import os
import signal
import socket
import subprocess
import time

from disk import Broken

WORK, MNT, IMAGES, URI, PROGRAM = (os.environ[key] for key in ("WORK", "MNT", "IMAGES", "URI", "PROGRAM"))
HOLDER = os.environ["LIBVIRTD_HOLDER"]
PATIENCE = 150  # seconds that anything may take: a change that libvirt does not answer is given up after two minutes
LIBC = ctypes.CDLL(None, use_errno=True)


def wait_for(what, check, patience=PATIENCE):
    """Until `check` is true; an entry that is not there yet is not."""
    end = time.monotonic() + patience
    while True:
        try:
            if check():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise Broken(f"waited {patience} s in vain: {what}")
        time.sleep(0.01)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def keyed(text):
    """A file of `key value` lines."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {key: value.replace("\\040", " ") for key, _, value in pairs}


def run(*command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    if done.returncode:
        raise Broken(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Process:
    """One that we started, and kill."""

    name = None

    def __init__(self):
        self.process = None

    def kill(self):
        if self.process:
            self.process.kill()

    def reap(self):
        """Nothing ends but by a kill."""
        process, self.process = self.process, None
        if process.wait() != -signal.SIGKILL:
            raise Broken(f"{self.name} ended by itself, with {process.returncode}")

    def start(self, command, log):
        with open(os.path.join(WORK, log), "a", encoding="utf-8") as out:
            self.process = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out)


class Libvirtd(Process):
    name = "libvirtd"

    def up(self):
        self.start(["nsenter", "-t", HOLDER, "-m", "-r", "--", "libvirtd", "-f", "/etc/libvirt/libvirtd.conf",
                    "-p", os.path.join(WORK, "lv/pid")], "lv/out")

    def clear(self):
        self.reap()
        for name in ("run/libvirt-sock", "pid"):
            try:
                os.unlink(os.path.join(WORK, "lv", name))
            except FileNotFoundError:
                pass


class Daemon(Process):
    name = "vmsnapfs"

    def up(self):
        self.start([PROGRAM, "-f", "-o", "config=/dev/null", URI, MNT], "daemon.log")
        wait_for("the mount", lambda: os.path.exists(os.path.join(MNT, ".vmsnapfs/version")))

    def clear(self):
        """By force: a thread that was just telling the kernel of a change may wait for a client who waits for it (limits.md)."""
        if LIBC.umount2(MNT.encode(), 3):  # MNT_FORCE | MNT_DETACH
            raise Broken(f"cannot unmount {MNT}: {os.strerror(ctypes.get_errno())}")
        self.reap()

    @staticmethod
    def sees_libvirt():
        return keyed(read(os.path.join(MNT, ".vmsnapfs/status")))["up"] == "1"


class Qemu:
    """The QEMU of a VM, by the pid that libvirt noted, and a second monitor in it that only the tests use."""

    name = "QEMU"

    def __init__(self, socket_path):
        self.path = socket_path
        self.pid = None
        self.stream = None
        self.killed = False

    def found(self, vm_name):
        self.pid = int(read(os.path.join(WORK, f"lv/run/qemu/{vm_name}.pid")))
        self.killed, self.started_as = False, vm_name
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(self.path)
        self.stream = sock.makefile("rw")
        sock.close()  # the stream keeps it
        self.stream.readline()
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        print(json.dumps({"execute": command, "arguments": arguments}), file=self.stream, flush=True)
        while True:
            line = self.stream.readline()
            if not line:
                raise ConnectionResetError("QEMU is gone")
            answer = json.loads(line)
            if "event" not in answer:
                break
        if "error" in answer:
            raise Broken(f"QEMU answers to {command}: {answer['error']['desc']}")
        return answer["return"]

    def write(self, disk, write):
        """As a guest would, and flushed."""
        for command in (write.command, "flush"):
            device = f"/machine/peripheral/virtio-disk{disk}/virtio-backend"
            said = self.call("human-monitor-command", **{"command-line": f'qemu-io -d {device} "{command}"'})
            if said.strip():
                raise OSError(said.strip())

    def flush(self, disks):
        for disk in range(disks):
            device = f"/machine/peripheral/virtio-disk{disk}/virtio-backend"
            self.call("human-monitor-command", **{"command-line": f'qemu-io -d {device} "flush"'})

    def kill(self):
        if self.alive():
            self.killed = True
            os.kill(self.pid, signal.SIGKILL)

    def alive(self):
        if not self.pid:
            return False
        try:
            return read(f"/proc/{self.pid}/stat").rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False

    def clear(self):
        wait_for("the end of QEMU", lambda: not self.alive())
        self.pid = self.stream = None
