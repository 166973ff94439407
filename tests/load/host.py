#!/usr/bin/env python3
"""host.py COUNT: the description of a fake host with so many VMs, of all kinds; one of them is called churn."""
import sys

count = int(sys.argv[1])
print("guest_writes: true\njob_blocks_per_look: 2\nslow_ms: {snapshot: 5, define: 2, start: 5, shutdown: 10, overlay: 2, commit: 1}\nvms:")
for i in range(count + 1):
    name = "vm%02d" % i if i < count else "churn"
    print("  - name: %s\n    uuid: %08x-1111-4111-8111-111111111111\n    state: %s" % (name, i + 1, "running" if i % 3 == 0 and i < count else "off"))
    if i % 7 == 1 and i < count:
        print("    firmware: loader\n    nvram: ready\n    tpm: %s" % ("true" if i % 2 else "false"))
    if i % 5 == 0 and i < count:
        print("    agent: well")
    print("    disks:")
    for target in ("vda", "vdb")[:1 + i % 2]:
        print("      - {target: %s, path: images/%s-%s.qcow2, capacity: 67108864}" % (target, name, target))
