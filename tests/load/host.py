#!/usr/bin/env python3
"""host.py COUNT [plain]: the description of a fake host with so many VMs, of all kinds; one of them is called churn. plain: without firmware and
agents, and no guest writes, so that the host itself, which is in the same memory, stays small."""
import sys

count, plain = int(sys.argv[1]), "plain" in sys.argv[2:]
print("guest_writes: %s\njob_blocks_per_look: 2\nslow_ms: {snapshot: 5, define: 2, start: 5, shutdown: 10, overlay: 2, commit: 1}\nvms:" % ("false" if plain else "true"))
for i in range(count + 1):
    name = "vm%02d" % i if i < count else "churn"
    print("  - name: %s\n    uuid: %08x-1111-4111-8111-111111111111\n    state: %s" % (name, i + 1, "running" if i % 3 == 0 and i < count else "off"))
    if i % 7 == 1 and i < count and not plain:
        print("    firmware: loader\n    nvram: ready\n    tpm: %s" % ("true" if i % 2 else "false"))
    if i % 5 == 0 and i < count and not plain:
        print("    agent: well")
    print("    disks:")
    for target in ("vda", "vdb")[:1 + i % 2]:
        print("      - {target: %s, path: images/%s-%s.qcow2, capacity: 67108864}" % (target, name, target))
