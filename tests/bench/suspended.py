#!/usr/bin/env python3
"""suspended.py SOCKET DIR HOW ARG...: one snapshot of a running VM, and how long the guest stood still for it.

    mkdir PATH                              what is to be measured
    libvirt URI VM FILES TARGET=OVERLAY...  by hand, through libvirt's own calls
    qemu FILES TARGET=OVERLAY...            by hand, without libvirt: it does not know of it

FILES (commas between them) are copied to DIR while the guest stands still. SOCKET is a second QMP socket of that QEMU, which makes the disks
dirty first. Prints milliseconds: from the event STOP to the event RESUME, by QEMU's clock; the copy in it; the whole call.
"""
import ctypes
import json
import os
import shutil
import socket
import sys
import time

DISK_ONLY, REUSE_EXT, NO_METADATA, ATOMIC = 16, 32, 4, 128


class Qemu:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(path)
        self.stream = self.sock.makefile("rw")
        self.events = {}
        self.read()
        self.call("qmp_capabilities")

    def read(self):
        answer = json.loads(self.stream.readline())
        if "event" in answer:
            stamp = answer["timestamp"]
            self.events[answer["event"]] = stamp["seconds"] * 1000 + stamp["microseconds"] / 1000
        return answer

    def call(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        answer = self.read()
        while "event" in answer:
            answer = self.read()
        if "error" in answer:
            sys.exit("%s: %s" % (command, answer["error"]["desc"]))
        return answer["return"]

    def disks(self):
        """The device of each disk, with the node on top of it."""
        return [(block["qdev"], block["inserted"]["node-name"]) for block in self.call("query-block")
                if "virtio-disk" in block.get("qdev", "")]

    def dirty(self):
        for device, _ in self.disks():
            for command in ("write -q -P %d 0 1M" % (os.getpid() % 255), "flush"):
                self.call("human-monitor-command", **{"command-line": "qemu-io -d %s \"%s\"" % (device, command)})

    def suspended(self):
        while "RESUME" not in self.events:
            self.read()
        return self.events["RESUME"] - self.events["STOP"]


class Libvirt:
    def __init__(self, uri, vm):
        self.library = ctypes.CDLL("libvirt.so.0")
        for name in ("virConnectOpen", "virDomainLookupByName", "virDomainSnapshotCreateXML"):
            getattr(self.library, name).restype = ctypes.c_void_p
        self.connection = ctypes.c_void_p(self.library.virConnectOpen(uri.encode()))
        self.domain = ctypes.c_void_p(self.library.virDomainLookupByName(self.connection, vm.encode()))

    def suspend(self):
        if self.library.virDomainSuspend(self.domain) != 0:
            sys.exit("it could not be suspended")

    def resume(self):
        if self.library.virDomainResume(self.domain) != 0:
            sys.exit("it could not be resumed")

    def snapshot(self, xml):
        if not self.library.virDomainSnapshotCreateXML(self.domain, xml.encode(), DISK_ONLY | REUSE_EXT | NO_METADATA | ATOMIC):
            sys.exit("there was no snapshot")


def copy(files, directory):
    before = time.monotonic()
    for file in files.split(","):
        shutil.copyfile(file, os.path.join(directory, os.path.basename(file)))
    return (time.monotonic() - before) * 1000


def snapshot_xml(overlays):
    disks = "".join("<disk name='%s' snapshot='external' type='file'><driver type='qcow2'/><source file='%s'/></disk>" %
                    tuple(overlay.split("=", 1)) for overlay in overlays)
    return "<domainsnapshot><disks>%s</disks></domainsnapshot>" % disks


def by_libvirt(directory, uri, vm, files, *overlays):
    libvirt, xml = Libvirt(uri, vm), snapshot_xml(overlays)
    before = time.monotonic()
    libvirt.suspend()
    copied = copy(files, directory)
    libvirt.snapshot(xml)
    libvirt.resume()
    return copied, before


def by_qemu(qemu, directory, files, *overlays):
    actions = [{"type": "blockdev-snapshot-sync",
                "data": {"node-name": node, "snapshot-file": overlay.split("=", 1)[1], "snapshot-node-name": "o%d-%d" % (os.getpid(), i),
                         "format": "qcow2", "mode": "existing"}}
               for i, ((_, node), overlay) in enumerate(zip(qemu.disks(), overlays))]
    before = time.monotonic()
    qemu.call("stop")
    copied = copy(files, directory)
    qemu.call("transaction", actions=actions)
    qemu.call("cont")
    return copied, before


def by_mkdir(path):
    before = time.monotonic()
    os.mkdir(path)
    return 0, before


def main():
    path, directory, how, *rest = sys.argv[1:]
    qemu = Qemu(path)
    qemu.dirty()
    if how == "mkdir":
        copied, before = by_mkdir(*rest)
    elif how == "libvirt":
        copied, before = by_libvirt(directory, *rest)
    else:
        copied, before = by_qemu(qemu, directory, *rest)
    call = (time.monotonic() - before) * 1000
    print("%.2f %.2f %.2f" % (qemu.suspended(), copied, call))


main()
