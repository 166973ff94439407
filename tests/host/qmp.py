#!/usr/bin/env python3
"""qmp.py SOCKET COMMAND...: run human monitor commands in a QEMU through its second, test-only QMP socket; one that begins with
`{` is a QMP command in JSON.

This is how the tests write into the disks of a running VM: `qemu-io` inside QEMU goes through the same block layer as a
guest's writes do. A line that QEMU answers with is printed; an answer of qemu-io is empty.
"""
import json
import socket
import sys


def main():
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(sys.argv[1])
    stream = sock.makefile("rw")
    json.loads(stream.readline())

    def call(command, **arguments):
        stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        stream.flush()
        while True:
            answer = json.loads(stream.readline())
            if "event" not in answer:
                break
        if "error" in answer:
            sys.exit("qmp: %s: %s" % (command, answer["error"]["desc"]))
        return answer["return"]

    call("qmp_capabilities")
    for line in sys.argv[2:]:
        if line.startswith("{"):
            command = json.loads(line)
            call(command["execute"], **command["arguments"])
            continue
        text = call("human-monitor-command", **{"command-line": line})
        if text.strip():
            print(text.strip())


main()
