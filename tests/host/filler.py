#!/usr/bin/env python3
"""filler.py STORE BALLAST N LEFT [new|PROGRAM]: leave LEFT bytes free on STORE's file system right before the N-th file or directory there is opened.
With `new`, what was there at the start does not count, but for our own directory; with PROGRAM, only what programs open whose names begin so.

By then whoever opens it has looked how much room there is, and waits until the room is gone: so each write of an operation can be made the first
one that finds no room. N = 0 fills at once. Prints `ready`, and at SIGTERM how many were opened and whether that was enough: `opened 17 filled 1`.
BALLAST is a file of STORE that takes the room. Where the kernel lets nobody stand in the way of an open (no fanotify, or not for us), N is a number
of milliseconds instead, and the first line is `ready timed`.
"""
import ctypes
import os
import select
import signal
import struct
import sys

FAN_CLASS_CONTENT, FAN_CLOEXEC, FAN_ALLOW = 0x4, 0x1, 0x1
FAN_MARK_ADD, FAN_MARK_MOUNT = 0x1, 0x10
FAN_OPEN_PERM, FAN_ONDIR = 0x10000, 0x40000000
EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, length of this, mask, fd, pid


def fill(ballast, left):
    """In ever smaller pieces, since taking room may take room."""
    position = os.fstat(ballast).st_size
    piece = 1 << 40
    while piece >= 4096:
        there = os.fstatvfs(ballast)
        piece = min(piece, there.f_bavail * there.f_frsize - left) // 4096 * 4096
        try:
            if piece > 0:
                os.posix_fallocate(ballast, position, piece)
                position += piece
        except OSError:
            piece //= 2


def watch(store):
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, os.O_RDONLY | os.O_CLOEXEC)
    mask = ctypes.c_uint64(FAN_OPEN_PERM | FAN_ONDIR)
    if fd >= 0 and libc.fanotify_mark(fd, FAN_MARK_ADD | FAN_MARK_MOUNT, mask, -100, store.encode()) == 0:
        return fd
    return -1


def events(fd):
    data = os.read(fd, 4096)
    while data:
        length, _, _, _, _, opened, pid = EVENT.unpack_from(data)
        yield opened, pid
        data = data[length:]


def command_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def main():
    store, path, n, left = os.path.realpath(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    only = (sys.argv[5:] or [""])[0]
    old = set(os.listdir(store)) - {".vmsnapfs"} | {"."} if only == "new" else set()
    program = "" if only == "new" else only
    ballast = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # before anything watches: we would wait for ourselves
    stop, wake = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(wake, b"x"))
    seen = filled = 0
    fan = watch(store) if n > 0 else -1
    if n == 0:
        fill(ballast, left)
        filled = 1
    print("ready" if fan >= 0 or n == 0 else "ready timed", flush=True)
    while True:
        timed = fan < 0 and not filled
        ready = select.select([stop] + [fan] * (fan >= 0), [], [], n / 1000 if timed else None)[0]
        if stop in ready:
            break
        if timed and not ready:
            fill(ballast, left)
            filled = 1
            continue
        for opened, pid in events(fan):
            name = os.path.relpath(os.readlink(f"/proc/self/fd/{opened}"), store).split("/")[0]
            seen += name not in old and command_of(pid).startswith(program)
            if seen == n and not filled:
                fill(ballast, left)
                filled = 1
            os.write(fan, struct.pack("=iI", opened, FAN_ALLOW))
            os.close(opened)
    print(f"opened {seen} filled {filled}", flush=True)


main()
