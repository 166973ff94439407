"""What must hold after everything was started again."""
import errno
import os
import re
import time
import xml.etree.ElementTree

import disk
from disk import Broken
from host import IMAGES, MNT, PATIENCE, WORK, keyed, read, wait_for
from vm import Snapshot

UNTIL_FORGOTTEN = 3  # seconds after which a VM whose QEMU lives and that is called off counts as forgotten
UNTIL_LOST = 3  # seconds after which it counts that libvirt lost something
UNSEEN = re.compile(r"whether QEMU went on from (\S+) instead of (\S+) \(disk (\w+)\) was not seen.*? type (\w+)\)")
# What libvirt lost, by what a removal says: how it is refused, the sentence, and its number in LOSSES.
LOST = ((errno.EBUSY, "lost track", 2), (errno.EUCLEAN, "was not seen, and nothing was merged: shut the VM down", 2),
        (errno.EUCLEAN, "let the VM be off once", 4))


def refused(path, *numbers):
    """With one of them, and with which."""
    try:
        os.mkdir(path)
    except OSError as error:
        if error.errno not in numbers:
            raise Broken(f"mkdir {path} answers {error.strerror}, not {os.strerror(numbers[0])}") from error
        return error.errno
    raise Broken(f"mkdir {path} was not refused")


def last_error(vm):
    lines = read(vm.path("errors")).splitlines()
    return lines[-1] if lines else ""


class Recovery:
    """Of one VM after one round: `check` brings it to rest, compares everything, and writes down in the model what became of what was
    not answered. What docs/limits.md says of a libvirt that was killed in the middle is met as it says, and counted in `tally`."""

    def __init__(self, vm, tally):
        self.vm, self.tally = vm, tally
        self.lost_since = None  # since when a removal is refused with what libvirt lost
        self.images = disk.Images()
        self.files = set()

    def check(self):
        vm = self.vm
        self.find_name()
        self.find_power()
        self.settle()
        self.compare_all()
        if self.off_after_all():
            self.settle()
            self.images, self.files = disk.Images(), set()
            self.compare_all()
        self.check_rest()

    def off_after_all(self):
        """What is refused until the VM was off."""
        vm = self.vm
        unclean, vm.unclean = vm.unclean, False
        if self.lost_track():
            self.off_for(1)
        elif unclean and vm.running:
            why = [line for line in read(vm.path("errors")).splitlines() if " EUCLEAN: " in line]
            if not all(re.search("off once|lost track|was not seen", line) for line in why):
                raise Broken(f"{vm.name} says {why}")
            self.off_for(4)
        else:
            return False
        return True

    # ---- to rest ----

    def find_name(self):
        """libvirt that was killed in a rename may have done it: what it is called is known when it was looked at again."""
        vm = self.vm
        link = os.path.join(MNT, ".vmsnapfs/by-uuid", vm.uuid)
        wait_for(f"{vm.name} is looked at", lambda: keyed(read(os.path.join(link, "status")))["stale"] == "0" and
                 len(os.listdir(os.path.join(link, "disks"))) == len(vm.targets))
        name = os.path.basename(os.readlink(link))
        if name not in (vm.name, vm.new_name):
            raise Broken(f"{vm.name} is called {name}")
        vm.name, vm.new_name = name, None

    def state(self):
        return read(self.vm.path("state")).strip()

    def find_power(self):
        vm = self.vm
        alive = vm.running and not vm.qemu.killed and vm.qemu.alive() # the end of one that was killed may take a moment
        if vm.running and not alive:
            self.check_end()
            vm.running = False
            vm.qemu.clear()
        want = "running" if alive else "shutoff"
        try:
            wait_for(f"{vm.name} is {want}", lambda: self.state() == want, UNTIL_FORGOTTEN if alive else PATIENCE)
        except Broken:
            if not alive or self.state() != "shutoff":
                raise
            self.forgotten()

    def check_end(self):
        """No QEMU ends but by a kill, or by its own mistake at a pivot (limits.md)."""
        vm = self.vm
        if vm.qemu.killed:
            return
        said = read(os.path.join(WORK, f"lv/log/qemu/{vm.qemu.started_as}.log")).rpartition("starting up")[2]
        if "bdrv_co_write_req_prepare: Assertion `child->perm & BLK_PERM_WRITE' failed" not in said:
            raise Broken(f"the QEMU of {vm.name} ended by itself: {' '.join(said.splitlines()[-2:])}")
        self.tally.lost[7] += 1

    def forgotten(self):
        """libvirt wrote a status file that it cannot read: nothing may be touched until that QEMU has ended."""
        vm = self.vm
        asked = UNSEEN.search(vm.status()["drift"]) # which of two files it runs on: that may be refused first
        number = refused(vm.path("snapshots", "refused"), errno.EBUSY, *([errno.EUCLEAN] if asked else []))
        # The refusal names the process, or that of a job's merge did.
        if number == errno.EBUSY and f"process {vm.qemu.pid} " not in read(vm.path("errors")) + vm.status()["problem"]:
            raise Broken(f"{vm.name} is forgotten by libvirt, but its QEMU {vm.qemu.pid} is not named: {last_error(vm)}")
        self.tally.lost[3] += 1
        vm.qemu.kill()
        vm.qemu.clear()
        vm.running = False

    def lost_track(self):
        return "lost track" in self.vm.status()["problem"] + self.vm.status()["drift"]

    def off_for(self, kind):
        self.tally.lost[kind] += 1
        if kind == 1:
            refused(self.vm.path("snapshots", "refused"), errno.EUCLEAN)
        self.lost_since = None
        self.vm.power("off")

    def settle(self):
        """No job, nothing failed, no drift of ours or of others."""
        vm, end = self.vm, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            vm.idle(lambda: time.monotonic() > end)
            self.dismiss()
            self.look_again()
            status = vm.status()
            if UNSEEN.search(status["drift"]):
                self.choose(status["drift"])
            elif vm.foreign is not None and status["drift"] and not self.lost_track():
                self.adopt()
            elif all([self.finished(name) for name in os.listdir(vm.path("snapshots"))]) and not self.merging() and not self.tried_again():
                return
            time.sleep(0.02)
        raise Broken(f"{vm.name} does not come to rest: {last_error(vm)}")

    def tried_again(self):
        """What could not be opened a moment ago says so until it is tried again, which is soon."""
        return "; it is tried again" in self.vm.status()["problem"] and not self.lost_track()

    def look_again(self):
        """What could not be opened is looked at again now, and not in half a minute."""
        vm = self.vm
        if vm.status()["problem"] and not self.lost_track():
            try:
                vm.write("drift", "rescan")
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise Broken(f"rescan of {vm.name}: {last_error(vm)}") from error

    def merging(self):
        return [name for name in self.hidden_names() if read(self.vm.path("hidden", name, "state")).strip() == "removing"]

    def choose(self, drift):
        """Nobody saw whether QEMU went on from the base of a merge. We know what the guest wrote: one of the two files has all of it. What
        is to go on from the base is named first, and removed, before the rest is adopted: an adoption forgets what nobody needs."""
        vm = self.vm
        if vm.running:
            self.off_for(2)
            return
        word = "adopt"
        for base, top, target, form in UNSEEN.findall(drift):
            expected = [state[target] for state in (vm.after(vm.known_writes()), vm.after(len(vm.log)))]
            if holds(top, "qcow2", expected):
                continue
            if not holds(base, form, expected):
                raise Broken(f"neither {top} nor {base} has all that the guest of {vm.name} wrote")
            vm.edit_disk(target, base, form)
            word = "rescan" # it is not asked about any more, and its merge is done; then the others are adopted
        self.tally.lost[6] += 1
        try:
            vm.write("drift", word)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise Broken(f"{word} of {vm.name}: {last_error(vm)}") from error

    def adopt(self):
        """libvirt that was killed in the end of an inner merge keeps the merged layer in its chain until the VM was off."""
        try:
            self.vm.adopt(None)
        except OSError as error:
            if error.errno != errno.EUCLEAN or not self.vm.running or "another backing chain" not in last_error(self.vm):
                raise Broken(f"adopt of {self.vm.name}: {last_error(self.vm)}") from error
            self.off_for(4)

    def dismiss(self):
        for job in os.listdir(self.vm.path("jobs")):
            try:
                os.rmdir(self.vm.path("jobs", job))
            except FileNotFoundError:
                pass
            except OSError as error: # it runs again by now, or has ended meanwhile, refused
                if error.errno not in (errno.EBUSY, errno.EUCLEAN):
                    raise

    def finished(self, name):
        """A removal that a crash broke comes back as failed at worst; rmdir always finishes it."""
        vm = self.vm
        try:
            state = read(vm.path("snapshots", name, "state")).strip()
            if state != "failed":
                return state == "ready" and not self.came_back(name)
            # one that was hidden is listed again when its merge, whose turn has come at last, is broken
            snapshot = vm.hidden.get(read(vm.path("snapshots", name, "id")).strip()) or self.known(name)
            if not snapshot or not (snapshot.removed or snapshot.doubt == "remove"):
                raise Broken(f"{vm.name}/{name} is failed, and nobody removed it: {read(vm.path('snapshots', name, 'error'))}")
            snapshot.removed = True
            why = read(vm.path("snapshots", name, "error"))
            for _, sentence, kind in LOST:
                if vm.running and sentence in why:
                    self.off_for(kind)
            os.rmdir(vm.path("snapshots", name))
        except FileNotFoundError:
            pass
        except OSError as error:
            self.lost(error, f"rmdir of the failed {vm.name}/{name}")
        return False

    def came_back(self, name):
        """An accepted removal that could not begin for what libvirt lost: the snapshot is as it was, `errors` says so, and it is removed
        again when the VM was off."""
        vm, snapshot = self.vm, self.known(name)
        said = [line for line in read(vm.path("errors")).splitlines()
                if f"/snapshots/{name} " in line and "is as it was, since its merge could not begin" in line]
        kinds = [kind for _, sentence, kind in LOST if said and sentence in said[-1]]
        if not (snapshot and snapshot.removed and kinds):
            return False
        if vm.running:
            self.off_for(kinds[0])
        os.rmdir(vm.path("snapshots", name))
        return True

    def lost(self, error, what):
        """A removal was refused. It must be for something that libvirt lost, and stay so."""
        said = last_error(self.vm)
        kinds = [kind for number, sentence, kind in LOST if error.errno == number and sentence in said]
        if not kinds or not self.vm.running:
            raise Broken(f"{what}: {said}") from error
        self.lost_since = self.lost_since or time.monotonic()
        if time.monotonic() > self.lost_since + UNTIL_LOST:
            self.off_for(kinds[0])

    # ---- what is there ----

    def known(self, name):
        """The snapshot of the model that is listed as `name`, or None."""
        vm = self.vm
        renamed = (s for s in vm.snapshots.values() if s.doubt == "rename" and s.new_name == name)
        return vm.snapshots.get(name) or next(renamed, None)

    def compare_all(self):
        """Everything, then the model says what was found."""
        vm = self.vm
        if vm.running:
            vm.qemu.flush(len(vm.targets))
        listed, hidden = {}, {}
        for name in os.listdir(vm.path("snapshots")):
            listed[name] = self.known(name) or self.adopted(name)
            if listed[name].removed:
                raise Broken(f"the removal of {vm.name}/{name} was accepted, and it is there")
            self.compare_snapshot("snapshots", name, listed[name])
        for name in self.hidden_names():
            hidden[name] = self.known_hidden(name)
            self.compare_snapshot("hidden", name, hidden[name])
        self.account(listed, hidden)
        vm.base = self.current_state()
        vm.snapshots, vm.hidden, vm.log, vm.current_is = listed, hidden, [], None
        for snapshot in listed.values():
            snapshot.doubt = snapshot.new_name = None

    def hidden_names(self):
        path = self.vm.path("hidden")
        return os.listdir(path) if os.path.exists(path) else []

    def adopted(self, name):
        vm = self.vm
        if vm.foreign is None:
            raise Broken(f"{vm.name}/{name} is nobody's")
        snapshot, vm.foreign = Snapshot(vm.foreign), None
        return snapshot

    def known_hidden(self, name):
        vm = self.vm
        called = re.search(r"^name: (\S+)$", read(vm.path("hidden", name, "info.yaml")), re.M)
        snapshot = vm.hidden.get(name) or (self.known(called[1]) if called else None)
        if not snapshot or not (snapshot.removed or snapshot.doubt == "remove"):
            raise Broken(f"the hidden snapshot {name} of {vm.name} was not removed by anybody")
        snapshot.removed = True
        return snapshot

    def account(self, listed, hidden):
        vm, there = self.vm, [*listed.values(), *hidden.values()]
        for name, snapshot in vm.snapshots.items():
            if not (snapshot.removed or snapshot.doubt in ("create", "remove") or snapshot in there):
                raise Broken(f"{vm.name}/{name} is lost: listed were {sorted(listed)}, hidden {sorted(hidden)}, and now "
                             f"{sorted(os.listdir(vm.path('snapshots')))}")
        if vm.foreign is not None:
            raise Broken(f"nothing is listed of what virsh took of {vm.name}")

    # ---- contents ----

    def observed(self, path, form):
        units = disk.units_of(self.images.content(path, form))
        if None in units:
            raise Broken(f"{path} has at {units.index(None) * disk.UNIT} what nobody wrote")
        self.files.update(self.images.chains[path])
        return bytearray(units)

    def compare_snapshot(self, place, name, snapshot):
        vm = self.vm
        disks = [dict(pair.split("=") for pair in line.split()[1:]) | {"target": line.split()[0]}
                 for line in read(vm.path(place, name, "disks")).splitlines()]
        self.files.update(entry["file"] for entry in disks)
        if read(vm.path(place, name, "state")).strip() == "failed":
            if place == "hidden":
                return
            raise Broken(f"{vm.name}/{name} is still failed")
        seen = {entry["target"]: self.observed(entry["file"], entry["format"]) for entry in disks}
        if snapshot.content is None:
            snapshot.content = self.instant(name, snapshot, seen)
        differ(f"{vm.name}/{place}/{name}", seen, snapshot.content)
        self.tally.compared += 1

    def instant(self, name, snapshot, seen):
        """Of a guest that writes: all that was answered before is in it, and it is one instant of all disks."""
        most = len(self.vm.log) if snapshot.most is None else snapshot.most
        for count in range(snapshot.least, most + 1):
            state = self.vm.after(count)
            if state == seen:
                return state
        if not self.vm.running and most == len(self.vm.log) and seen == self.cut(seen):
            return seen # QEMU died in it, with a write half done
        raise Broken(f"{self.vm.name}/{name} is at none of the instants {snapshot.least} to {most}")

    def cut(self, seen):
        """What must be seen after all writes, of which the last, if it was not answered, may be there in part."""
        vm = self.vm
        known, full = vm.after(vm.known_writes()), vm.after(len(vm.log))
        for target in vm.targets:
            known[target][:] = [f if o == f else k for o, f, k in zip(seen[target], full[target], known[target])]
        return known

    def current_state(self):
        vm, seen = self.vm, {}
        for target in vm.targets:
            source, form = (read(vm.path("disks", target, key)).strip() for key in ("source", "format"))
            seen[target] = self.observed(source, form)
            chain = read(vm.path("disks", target, "chain")).splitlines()
            if chain != self.images.chains[source]:
                raise Broken(f"{target} of {vm.name} is {self.images.chains[source]} by its headers, but shown as {chain}")
        if vm.current_is and seen == vm.current_is.content:
            return seen
        differ(f"{vm.name} now", seen, self.cut(seen))
        self.tally.compared += 1
        return seen

    # ---- the rest ----

    def check_rest(self):
        vm = self.vm
        status = vm.status()
        odd = {key: status[key] for key in ("problem", "drift", "read_only", "frozen", "jobs", "stale") if status[key] not in ("", "0")}
        if odd:
            raise Broken(f"{vm.name} says {odd}")
        if os.path.exists(os.path.join(IMAGES, ".vmsnapfs", vm.uuid, "journal.yaml")):
            raise Broken(f"the journal of {vm.name} is left open")
        there = {os.path.join(IMAGES, name) for name in os.listdir(IMAGES) if name.startswith(vm.prefixes)}
        if there != self.files:
            raise Broken(f"{vm.name} has files {sorted(there ^ self.files)} too many or too few")
        self.check_definitions([read(vm.path("disks", target, "source")).strip() for target in vm.targets])

    def check_definitions(self, sources):
        vm = self.vm
        definition = xml.etree.ElementTree.parse(os.path.join(WORK, f"lv/etc/qemu/{vm.name}.xml"))
        stored = [source.get("file") for source in definition.findall("./devices/disk/source")]
        if stored != sources:
            raise Broken(f"libvirt has stored {stored} of {vm.name}, which has {sources}")
        if vm.running:
            open_in_qemu = [block["inserted"]["file"] for block in vm.qemu.call("query-block") if "inserted" in block]
            if open_in_qemu != sources:
                raise Broken(f"QEMU runs {vm.name} on {open_in_qemu}, not on {sources}")
            if vm.qemu.call("query-status")["status"] != "running":
                raise Broken(f"{vm.name} is {vm.qemu.call('query-status')}")


def holds(path, form, expected):
    """Each unit of the file, with what is below it, is one of those that are expected."""
    seen = disk.units_of(disk.Images().content(path, form))
    return all(unit in units for unit, *units in zip(seen, *expected))


def differ(what, seen, wanted):
    for target, units in wanted.items():
        if seen.get(target) != units:
            odd = [i for i, unit in enumerate(units) if target not in seen or seen[target][i] != unit]
            raise Broken(f"{what}: {target} differs in {len(odd)} of {len(units)} units, the first at {odd[0] * disk.UNIT}")
