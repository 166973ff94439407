/* What a snapshot keeps besides the disks: the UEFI variables and the vTPM's state (design 6). They
 * are copied while the guest stands still, or is off, and are durable before the snapshot is
 * recorded. Inside of plan_create. */
#pragma once

#include "plan/planner.h"

/* Can be kept what has to be? Refuses by name what this host, or this version, cannot (NV-05,
 * NV-17, U-34). */
bool keep_check(const Catalog *catalog, const Observation *observation, GError **error);
/* The steps before the commit point: a running guest is suspended, one that its owner has paused
 * is not; of a VM that is off the copies are durable at once. */
void keep_add_copies(Plan *plan, const Catalog *catalog, const Observation *observation);
/* Right after the commit point, before the guest is thawed. */
void keep_add_resume(Plan *plan, const Observation *observation);
/* When the guest goes on again. */
void keep_add_sync(Plan *plan, const Observation *observation);
/* Of `record-create`: what is known before the copies are made. */
void keep_describe(Step *create, const Observation *observation);
/* A TPM whose state is nowhere in reach is said to be left out. */
void keep_add_warning(Plan *plan, const Observation *observation);

/* Of an interrupted creation. It came to be: @create, its `record-create`, as it is to be recorded,
 * yours; what has to come before that is added to @plan. What the sidecars must be is written when
 * the guest goes on; if the program did not live to do that, nobody knows whether they are whole,
 * and the snapshot is recorded as failed. */
Step *keep_recover(const Plan *journal, const Step *create, Plan *plan);
/* It did not come to be: nothing that it kept stays. */
void keep_undo(const Plan *journal, Plan *plan);
