#!/usr/bin/python3
"""VMs with odd names, or many of them: `names.py host WHICH` prints the description of a host that has them, `names.py look WHICH MOUNT`
looks whether each of them is in the tree as it should be, and `names.py work WHICH MOUNT` makes, renames and removes a snapshot of
some of them. WHICH is
`odd` or a number. Prints what is wrong, and a last line with a count."""
import os
import sys

CHARACTERS = [*range(0x80, 0xA2), 0xAD, 0x300, 0x200B, 0x200E, 0x202E, 0x2028, 0x2029, 0x2066, 0xFEFF, 0xFFFD, 0xE000, 0x1F600, 0x10FFFD]
LONG = ["x" * n for n in (200, 201, 254, 255, 256, 300)] + ["ä" * 127 + "x", "ä" * 128, "x" + "ä" * 127, "\U0001f600" * 64]
NASTY = "\t\n\r \"'$`\\%*;|&\x7f\x85\u2028\u202e"
PATHS = ["..", "...", "../x", "x/../y", "/etc/passwd", "README", ".vmsnapfs", "by-uuid", "orphans", "current", "e\u0301", "é"]
WORDS = ["$(touch made)", "`touch made`", ";touch made", "|touch made", ">made", "\n#!/bin/sh\ntouch made", "%s%n%x", "{a,b}", "json:{}"]
WORDS += ["nbd:x:1", "~root", "a\\nb", "-rf", "--help", "[a-z]*"]


def names_of(which):
    if which != "odd":
        return [f"many{i:04}" for i in range(int(which))]
    names = set(LONG + PATHS + WORDS)
    for c in map(chr, [9, 10, 13, *range(0x20, 0x80), *CHARACTERS]):  # XML holds no others
        names |= {c, "x" + c, c + "x"}
    return sorted(names)


def vms_of(which):
    return {f"{i:08x}-0000-4000-8000-000000000001": name for i, name in enumerate(names_of(which))}


def host(which):
    print("vms:")
    for i, (uuid, name) in enumerate(vms_of(which).items()):
        quoted = "".join(f"\\U{ord(c):08x}" for c in name)
        print(f'  - {{name: "{quoted}", uuid: {uuid}, disks: [{{target: vda, path: images/{i}.qcow2, capacity: 65536}}]}}')


def read(*parts):
    with open(os.path.join(*map(os.fsencode, parts)), "rb") as file:
        return file.read()


def is_plain(text):
    return all(c.isprintable() or c in "\n\u0300\u00a0\u00ad\u200b\u200e\u2028\u2029\u202e\u2066\ufeff\ue000\U0010fffd" for c in text)


def look(which, mount):
    vms = vms_of(which)
    entries = [e for e in os.listdir(os.fsencode(mount)) if e not in (b"README", b".vmsnapfs")]
    found = {read(mount, e, "uuid").decode().strip(): e for e in entries}
    if len(entries) != len(vms) or found.keys() != vms.keys():
        print(f"{len(entries)} entries of {len(found)} VMs, not {len(vms)}")
    for uuid, entry in found.items():
        if entry.decode() not in (vms[uuid], uuid):
            print(f"{uuid} is shown as {entry}")
        if len(entry) > 255 or b"/" in entry or not is_plain(entry.decode()):
            print(f"{uuid} is shown as {entry}, which is no name")
        if os.readlink(os.path.join(mount, ".vmsnapfs/by-uuid", uuid)) != "../../" + entry.decode():
            print(f"by-uuid/{uuid} does not lead to {entry}")
        if which == "odd":
            for text in ("status", "tree", "info.yaml"):
                if not is_plain(read(mount, entry, text).decode()):
                    print(f"{text} of {uuid} has what a terminal would obey")
    print(f"{len(found)} VMs, {sum(entry.decode() == uuid for uuid, entry in found.items())} of them shown by uuid")


def work(which, mount):
    """Of each kind one: a removal looks at all other VMs, so that doing this to all of them would take its time."""
    chosen = [uuid for uuid, name in vms_of(which).items() if name in LONG + PATHS + WORDS or (name[0] == "x" and name[1:] in set(NASTY))]
    for uuid in chosen:
        snapshot = os.path.join(mount, ".vmsnapfs/by-uuid", uuid, "snapshots/s")
        os.mkdir(snapshot)
        os.rename(snapshot, snapshot + "2")
        os.rmdir(snapshot + "2")
    print(f"{len(chosen)} VMs worked with")


globals()[sys.argv[1]](*sys.argv[2:])
