#!/usr/bin/python3
"""guest.py SOCKET COMMAND: run a command in the guest of guest.sh, through its serial port; its output, its exit status.

Connects again until the guest answers, for at most 120 s. GUEST_PATIENCE sets another number of seconds."""
import os
import socket
import sys
import time


def answer(port, mark):
    got = b""
    while mark not in got or not got.endswith(b"\n"):
        piece = port.recv(65536)
        if not piece:
            raise ConnectionError("the port was closed")
        got += piece
    return got


def run(path, command, until):
    with socket.socket(socket.AF_UNIX) as port:
        port.settimeout(max(0.1, until - time.monotonic()))
        port.connect(path)
        # What an earlier one that gave up has left is passed over.
        word = f"guest.{os.getpid()}.{time.monotonic_ns()}"
        port.sendall(f"echo {word}\n".encode())
        port.settimeout(min(2, max(0.1, until - time.monotonic())))
        answer(port, f"{word}\n\x010".encode())
        port.settimeout(max(0.1, until - time.monotonic()))
        port.sendall(command.encode() + b"\n")
        return answer(port, b"\x01")


def main():
    path, command = sys.argv[1:]
    until = time.monotonic() + float(os.environ.get("GUEST_PATIENCE", "120"))
    while True:
        try:
            output, status = run(path, command, until).rsplit(b"\x01", 1)
            break
        except (OSError, ConnectionError) as error:
            if time.monotonic() > until:
                sys.exit(f"guest.py: {command}: {error}")
            time.sleep(0.1)
    sys.stdout.buffer.write(output)
    sys.exit(int(status))


main()
