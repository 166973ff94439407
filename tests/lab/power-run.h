/* Power loss in the midst of an operation on the simulated host, with catalog, journal and sidecars
 * on a disk of which only that is durable that was synced (power.h).
 *
 * Before each effect of the operation, on that disk or on the host, the power may go: for each of
 * the states that the disk may then have, a process of its own finds that state, a host that is
 * off, and a new program; it recovers, and every law of design 5 must hold, with contents. What was
 * answered must be true for ever, and what was not must be done or not done. The recovery is cut in
 * the same way. And only the program may die: a new one recovers on a disk on which things are
 * still not durable, and then the power goes.
 *
 * What the host does to images, variables, vTPM state and definitions is taken for durable when the
 * call returns: tests/crash/test-power-images.c and tests/unit/test-hv-libvirt.c show that the real
 * tables see to that. Only where the catalog is may be lost, which libvirt stores without an fsync
 * of the directory, and nobody asks for one: after every second loss it does not know it. A VM that
 * ran is off after a loss. */
#pragma once

#include "lab.h"
#include "power.h"

typedef struct {
    const char *before; /* script; settled */
    const char *word;   /* in the midst of which the power goes; NULL: */
    bool (*run)(Lab *lab, GError **error);
    void (*prepare)(Lab *lab);
    bool again; /* after a loss it is done once more: nothing of it may be in the way */
    bool ends;  /* the VM may be gone */
    bool (*is_back)(Lab *lab); /* what it removed is there: never once that was answered */
} PowerCase;

/* Laws that broke. @ignored: what is not synced (power_ignore), and the first broken law is enough.
 * NULL, or the first in words; yours. */
char *power_run(const PowerCase *the, unsigned disks, PowerIgnored ignored);
/* How often the power went, and what it left, of all runs that ignored nothing. */
unsigned power_cuts(void);
unsigned power_states_met(void);
/* "power cuts N, states M, recoveries R, broken laws 0"; yours. Without those of runs that ignored
 * something. */
char *power_summary(void);
