/* Freezing the guest for an operation, and thawing it whatever happens (design 3, "Running VM, in
 * order").
 *
 * Between a freeze and its thaw the guest stands still: nothing is written or looked at that can
 * wait. A thaw comes first on every way out. One that cannot be verified is no failure of the
 * operation: the catalog says that it is owed, and a job goes on with it. */
#pragma once
#include "run/vm-private.h"

/* A step `freeze`. Fails if the guest may be frozen and was not seen so, if the agent is silent
 * (ERR_TIMEOUT), or if a freeze is required and cannot be; else the snapshot gets a warning. */
bool freeze_guest(Operation *op, const Step *step, GError **error);
/* Thaw a guest that is held; nothing to do for another. */
void freeze_thaw(Operation *op);
/* The guest is held: do not linger. */
bool freeze_is_held(const Operation *op);
/* A step failed: nothing more is known of how the disks switched. @before: the commit point may not
 * have been reached. Thaws. */
void freeze_fail(Operation *op, bool before);
/* May `record-thawed` be applied? */
bool freeze_is_paid(const Operation *op);
/* `record-create` as it came to be: the consistency that was reached. Yours. */
Step *freeze_judge(const Operation *op, const Step *create);
void freeze_clear(Freeze *freeze);
