"""A VM, the model of what its snapshots and its disks must hold, and what is done to it until something is killed."""
import errno
import os
import random
import threading
import time
import uuid
import xml.etree.ElementTree

import disk
from host import IMAGES, MNT, URI, WORK, Qemu, keyed, read, run

PAUSE = 0.008  # seconds between two writes of a guest
DOMAIN = """<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><name>{name}</name><uuid>{uuid}</uuid>
<memory unit='MiB'>16</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc'>hvm</type></os>
<cpu mode='custom' match='exact' check='none'><model fallback='forbid'>qemu64</model></cpu>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{disks}<controller type='usb' model='none'/><memballoon model='none'/></devices>
<qemu:commandline><qemu:arg value='-qmp'/><qemu:arg value='unix:{socket},server=on,wait=off'/>
<qemu:arg value='-bios'/><qemu:arg value='{bios}'/></qemu:commandline></domain>"""
DISK = "<disk type='file' device='disk'><driver name='qemu' type='{form}'/><source file='{path}'/><target dev='{target}' bus='virtio'/></disk>"


def make_bios():
    """A guest that costs nothing: it halts."""
    path = os.path.join(WORK, "halt.bin")
    with open(path, "wb") as file:
        file.write(bytes(0xFFF0) + b"\xfa\xf4\xeb\xfd" + bytes(12))
    return path


class Snapshot:
    """What is known of one. `doubt`: what it was asked and not answered ("create", "remove", "rename"). Its content is a state of all
    disks, or, if the guest wrote while it was taken, that after one of its writes, of which `least` are surely in it."""

    def __init__(self, content=None, least=0):
        self.content, self.least, self.most = content, least, None
        self.doubt = None
        self.new_name = None
        self.removed = False  # accepted


class Vm:
    def __init__(self, disks):
        self.name = f"vm{disks}"
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, self.name))
        self.targets = ["vd" + letter for letter in "abcd"[:disks]]
        self.qemu = Qemu(os.path.join(WORK, f"run/{self.name}.qmp"))
        self.prefixes = (f"{self.name}-vd", f"foreign-{self.uuid[:8]}-")
        self.running = False
        self.base = disk.blank(self.targets)  # what the disks hold before the writes in `log`
        self.log = []
        self.snapshots = {}
        self.hidden = {}  # by id
        self.current_is = None  # the snapshot of a revert that was not answered
        self.new_name = None  # likewise of a rename of the VM
        self.foreign = None  # the content of a snapshot that virsh took, while nobody adopted it
        self.unclean = False # something was refused with EUCLEAN
        self.forgotten_nodes = 0
        self.count = 0

    def path(self, *parts):
        return os.path.join(MNT, self.name, *parts)

    def define(self):
        bios, disks = make_bios(), ""
        for target in self.targets:
            form = "raw" if self.name == "vm2" and target == "vdb" else "qcow2"
            path = os.path.join(IMAGES, f"{self.name}-{target}.img")
            run("qemu-img", "create", "-q", "-f", form, path, str(disk.SIZE))
            disks += DISK.format(form=form, path=path, target=target)
        path = os.path.join(WORK, f"{self.name}.xml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(DOMAIN.format(name=self.name, uuid=self.uuid, disks=disks, socket=self.qemu.path, bios=bios))
        run("virsh", "-q", "-c", URI, "define", path)

    def edit_disk(self, target, path, form):
        """As virsh edit: the VM, which is off, goes on from another file."""
        definition = xml.etree.ElementTree.fromstring(run("virsh", "-q", "-c", URI, "dumpxml", "--inactive", self.name))
        entry = next(entry for entry in definition.findall("./devices/disk") if entry.find("target").get("dev") == target)
        entry.find("source").set("file", path)
        entry.find("driver").set("type", form)
        for chain in entry.findall("backingStore"):
            entry.remove(chain)
        file = os.path.join(WORK, f"{self.uuid}.xml")
        with open(file, "wb") as out:
            out.write(xml.etree.ElementTree.tostring(definition))
        run("virsh", "-q", "-c", URI, "define", file)

    def write(self, name, word):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(word)

    # ---- power ----

    def power(self, word):
        self.write("state", word)
        self.running = word == "running"
        if self.running:
            self.qemu.found(self.name)
        else:
            self.qemu.clear()

    # ---- the guest ----

    def random_write(self, rng):
        first = rng.randrange(disk.UNITS)
        units = min(rng.choice((1, 1, 3, 16, 40)), disk.UNITS - first)
        return disk.Write(rng.choice(self.targets), first, units, rng.randrange(1, 256))

    def write_on(self, rng, until):
        """Until `until` is set or QEMU is gone."""
        try:
            while not until.is_set():
                write = self.random_write(rng)
                self.log.append(write)
                self.qemu.write(self.targets.index(write.target), write)
                write.known = True
                time.sleep(PAUSE)
        except OSError:
            pass  # what was not answered may be there or not

    def write_offline(self, rng):
        write = self.random_write(rng)
        source, form = (read(self.path("disks", write.target, key)).strip() for key in ("source", "format"))
        run("qemu-io", "-f", form, "-c", write.command, source)
        write.apply(self.base)

    def known_writes(self):
        return sum(write.known for write in self.log)

    def after(self, count):
        state = disk.copy(self.base)
        for write in self.log[:count]:
            write.apply(state)
        return state

    # ---- what is asked ----

    def create(self, _):
        self.count += 1
        name = f"s{self.count}"
        snapshot = Snapshot(least=self.known_writes()) if self.running else Snapshot(disk.copy(self.base))
        snapshot.doubt = "create"
        self.snapshots[name] = snapshot
        os.mkdir(self.path("snapshots", name))
        snapshot.most, snapshot.doubt = len(self.log), None

    def remove(self, name):
        snapshot = self.snapshots[name]
        snapshot.doubt = "remove"
        os.rmdir(self.path("snapshots", name))
        snapshot.removed, snapshot.doubt = True, None

    def rename(self, name):
        self.count += 1
        snapshot = self.snapshots[name]
        snapshot.new_name, snapshot.doubt = f"r{self.count}", "rename"
        os.rename(self.path("snapshots", name), self.path("snapshots", snapshot.new_name))
        self.snapshots[snapshot.new_name] = self.snapshots.pop(name)
        snapshot.doubt = None

    def revert(self, name):
        self.current_is = self.snapshots[name]
        link = self.path("link")
        os.symlink("snapshots/" + name, link)
        os.rename(link, self.path("current"))
        self.base, self.current_is = disk.copy(self.current_is.content), None

    def rename_vm(self, _):
        self.count += 1
        self.new_name = f"{self.name[:3]}-renamed-{self.count}"
        os.rename(self.path(), os.path.join(MNT, self.new_name))
        self.name, self.new_name = self.new_name, None

    def take_foreign(self):
        """As somebody would who does not know of us. libvirt that was killed may have forgotten nodes that it had added to QEMU; it tries
        to use their names once more, each once (limits.md)."""
        while self.foreign is None:
            self.count += 1
            files = {target: f"{IMAGES}/foreign-{self.uuid[:8]}-{target}.{self.count}" for target in self.targets}
            specs = [f"{target},snapshot=external,file={file}" for target, file in files.items()]
            try:
                run("virsh", "-q", "-c", URI, "snapshot-create-as", self.name, f"f{self.count}", "--disk-only", "--no-metadata", "--atomic",
                    *(word for spec in specs for word in ("--diskspec", spec)))
                self.foreign = disk.copy(self.base)
            except disk.Broken as error:
                self.forgotten_nodes += 1
                if "Duplicate nodes" not in str(error) or self.forgotten_nodes > 100:
                    raise
                for file in files.values():
                    if os.path.exists(file):
                        os.unlink(file)

    def adopt(self, _):
        self.write("drift", "adopt")

    def present(self):
        return [name for name, snapshot in self.snapshots.items() if not snapshot.removed and not snapshot.doubt]

    # ---- what is asked in one round ----

    def kind_of_removal(self, name):
        """How a removal of it goes: what is counted."""
        if not self.running:
            return "remove offline"
        at = self.path("current")
        above = True
        while True:
            try:
                link = os.readlink(at)
            except FileNotFoundError:
                return "remove off-chain"
            if os.path.basename(link) == name:
                return "remove live active" if above else "remove live inner"
            above = False
            at = os.path.normpath(os.path.join(os.path.dirname(at), link))
            at = os.path.join(at, "parent")

    def pick(self, rng):
        if self.foreign is not None:
            return "adopt"
        count = len(self.present())
        if count == 0:
            return "create"
        kinds = {"create": 3 if count < 5 else 0, "remove": 2 + count, "rename": 1}
        if not self.running:
            kinds.update(revert=4, rename_vm=1)
        return rng.choices(list(kinds), list(kinds.values()))[0]

    def act(self, rng, until, tally):
        """One thing after the other, until `until` is set or a thing is not answered."""
        for _ in range(4):
            kind = self.pick(rng)
            name = rng.choice(self.present()) if kind in ("remove", "rename", "revert") else None
            try:
                done = self.kind_of_removal(name) if kind == "remove" else kind
                with tally.timed(self, done):
                    getattr(self, kind)(name)
                if kind == "remove" and rng.random() < 0.5:
                    self.idle(until.is_set)
            except OSError as error:
                self.unclean |= error.errno == errno.EUCLEAN
                if error.errno != errno.EBUSY or not self.idle(until.is_set):
                    return
            if until.is_set() or kind == "adopt":
                return

    def idle(self, until):
        """Waits for its jobs, but no longer than for `until`; false if nobody answers."""
        while not until():
            try:
                file = os.open(self.path("wait"), os.O_RDONLY | os.O_NONBLOCK)
                try:
                    os.read(file, 4096)
                finally:
                    os.close(file)
                return True
            except BlockingIOError:
                time.sleep(0.01)
            except OSError as error:
                return error.errno == errno.EIO
        return False

    def begin(self, seed, until, tally):
        """The threads of a round."""
        rng = random.Random(seed)
        threads = [threading.Thread(target=self.act, args=(rng, until, tally))]
        if self.running:
            threads.append(threading.Thread(target=self.write_on, args=(random.Random(seed + " guest"), until)))
        for thread in threads:
            thread.start()
        return threads

    def status(self):
        return keyed(read(self.path("status")))
