/* Freezing the guest around a snapshot (policy/quiesce, design 3 "Running VM, in order").
 *
 * That a thaw is owed is in the catalog before the freeze is asked for, since a freeze that timed
 * out may still happen later; it goes from there only when the guest was seen thawed. Inside plan/
 * only. */
#pragma once

#include "plan/planner.h"

/* Does a snapshot of the VM as it is freeze its guest? Refuses what the policy does not allow:
 * ERR_UNSUPPORTED where it requires a freeze that cannot be, ERR_BUSY while a thaw is owed. */
bool quiesce_decide(const Catalog *catalog, const Observation *observation, bool *out_freeze,
                    GError **error);
/* Right before the commit point. */
void quiesce_add_freeze(Plan *plan, const Catalog *catalog);
/* Right after it. */
void quiesce_add_thaw(Plan *plan, const Catalog *catalog);
