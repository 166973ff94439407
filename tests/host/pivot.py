#!/usr/bin/env python3
"""pivot.py SNAPSHOT CATALOG PID SOCKET: remove SNAPSHOT, kill the libvirtd PID as soon as the catalog says that a pivot is asked for, and let
QEMU do what it was, or would have been, asked. Prints the target and the path of the layer that QEMU goes on from, for each disk of which that is so; nothing if
libvirtd was faster.

The catalog is read all the time, so that libvirtd dies within the millisecond. QEMU is spoken to through its second, test-only socket."""
import json
import os
import signal
import socket
import sys
import time

import yaml

PATIENCE = 60


def asked(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return yaml.safe_load(text)["disks"] if "pivot:" in text else []


def wait_for(question, what):
    end = time.monotonic() + PATIENCE
    while not (answer := question()):
        if time.monotonic() > end:
            sys.exit(f"pivot.py: {what} never came")
        time.sleep(0.0002)
    return answer


class Qemu:
    def __init__(self, path):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(PATIENCE)
        sock.connect(path)
        self.stream = sock.makefile("rw")
        json.loads(self.stream.readline())
        self.call("qmp_capabilities")

    def call(self, command, **arguments):
        self.stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.stream.flush()
        while "event" in (answer := json.loads(self.stream.readline())):
            pass
        if "error" in answer:
            sys.exit(f"pivot.py: {command}: {answer['error']['desc']}")
        return answer["return"]

    def jobs(self, target):
        return [job for job in self.call("query-jobs") if f"-{target}-" in job["id"]]

    def pivot(self, target):
        for job in self.jobs(target):
            if job["status"] == "ready":
                self.call("job-complete", id=job["id"])
        wait_for(lambda: all(job["status"] in ("concluded", "null") for job in self.jobs(target)), f"the pivot of {target}")


def main():
    snapshot, catalog, pid, path = sys.argv[1:]
    os.rmdir(snapshot)
    wait_for(lambda: asked(catalog), "a pivot")
    os.kill(int(pid), signal.SIGKILL)
    qemu = Qemu(path)
    for disk in asked(catalog):
        if "pivot" in disk:
            qemu.pivot(disk["target"])
            print(disk["target"], next(layer["path"] for layer in disk["layers"] if layer["id"] == disk["pivot"]))


main()
