"""Which of two files a guest wrote last to, where nobody saw whether QEMU went on from the other (docs/decisions/0022)."""
import os
import xml.etree.ElementTree

import yaml

import disk
from host import IMAGES, URI, WORK, read, run


def is_asked(vm):
    return "was not seen" in read(vm.path("drift"))


def _holds(path, form, vm, target):
    """All that was written there, but for the last write, which may have been cut."""
    seen = disk.units_of(disk.Images().content(path, form))
    known, full = (vm.after(count)[target] for count in (vm.known_writes(), len(vm.log)))
    return all(unit in (old, new) for unit, old, new in zip(seen, known, full))


def _written_bases(vm):
    """Top and base (layers of the catalog) of each disk whose guest wrote last to the base."""
    with open(os.path.join(IMAGES, ".vmsnapfs", vm.uuid, "catalog.yaml"), encoding="utf-8") as file:
        disks = [entry for entry in yaml.safe_load(file)["disks"] if "pivot" in entry]
    for entry in disks:
        layers = {layer["id"]: layer for layer in entry["layers"]}
        top, base = layers[entry["active"]], layers[entry["pivot"]]
        held = [layer for layer in (base, top) if _holds(layer["path"], layer["format"], vm, entry["target"])]
        if not held:
            raise disk.Broken(f"{entry['target']} of {vm.name}: neither {top['path']} nor {base['path']} holds what the guest wrote")
        if held[0] is base:
            yield top, base


def answer(vm):
    """As somebody would who knows what is in that guest. What is on the base by now is removed before the rest is adopted: adopt leaves files."""
    bases = list(_written_bases(vm))
    if not bases:
        vm.adopt(None)
        return
    definition = xml.etree.ElementTree.fromstring(run("virsh", "-q", "-c", URI, "dumpxml", "--inactive", vm.name))
    for top, base in bases:
        entry = definition.find(f"./devices/disk/source[@file='{top['path']}']/..")
        if entry is None: # it was answered
            continue
        entry.find("source").set("file", base["path"])
        entry.find("driver").set("type", base["format"])
    path = os.path.join(WORK, "answer.xml")
    xml.etree.ElementTree.ElementTree(definition).write(path)
    run("virsh", "-q", "-c", URI, "define", path)
