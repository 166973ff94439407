/* An operation that is broken at one of its effects, and what comes after: perhaps the VM's power
 * changes, a new program recovers — and may be cut in that as well — and recovers again. Then every
 * law of design 5 must hold, and the VM must start. */
#pragma once

#include "lab.h"

/* What happens to the VM between the break and the recovery. */
typedef enum { POWER_STAYS, POWER_TOGGLED, POWER_CYCLED, N_POWERS } Power;

typedef struct {
    const char *before; /* script without faults */
    const char *word;   /* what is broken */
    unsigned disks, speed;
    FaultMode mode;
    unsigned call; /* the effect at which it breaks, from 1 */
    Power power;
    FaultMode recovery_mode; /* FAULT_NONE: recovery is left alone */
    unsigned recovery_call;
} BrokenRun;

/* Runs it. NULL, or what is wrong; yours. *out_recovery: the effects that the recovery made. */
char *broken_run(const BrokenRun *run, unsigned *out_recovery);
/* The effects of the operation when nothing breaks it, and NULL or what is wrong. */
char *broken_count(const BrokenRun *run, unsigned *out_effects);
bool broken_is_cut(FaultMode mode);
/* Opens the VM, does all work, and removes again what came back as failed. */
bool broken_recover(Lab *lab, GError **error);
/* Runs made by this process. */
unsigned broken_runs(void);
