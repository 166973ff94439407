#!/usr/bin/python3
"""canary.py LOG FILE...: say in LOG what is done to each FILE, under whatever name: opened, read, written, given other looks, removed.

The first line is `watching`. A file called `mark` is told of like the others: whoever changes its looks and then finds that in LOG
knows that what happened before is in there, too. Runs until it is ended."""
import ctypes
import os
import struct
import sys

EVENTS = {
    0x001: "read",
    0x002: "written",
    0x004: "given other looks",
    0x020: "opened",
    0x040: "moved",
    0x080: "moved",
    0x100: "given a new file",
    0x200: "robbed of a file",
    0x400: "removed",
    0x800: "moved",
}


def main():
    log, *files = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(0)
    watched = {}
    for name in files:
        number = libc.inotify_add_watch(descriptor, os.fsencode(name), sum(EVENTS))
        if number < 0:
            sys.exit(f"canary.py: {name}: {os.strerror(ctypes.get_errno())}")
        watched[number] = name
    with open(log, "a", buffering=1) as out:
        print("watching", file=out)
        while True:
            buffer = os.read(descriptor, 65536)
            while buffer:
                number, mask, _, length = struct.unpack_from("iIII", buffer)
                what = " and ".join(word for bit, word in EVENTS.items() if mask & bit)
                if what:
                    print(f"{watched[number]} was {what}", file=out)
                buffer = buffer[16 + length :]


main()
