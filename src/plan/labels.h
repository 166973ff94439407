/* Inside plan/ only. */
#pragma once

#include "plan/planner.h"

/* The snapshot as a user may name it: ERR_NOT_FOUND for one that is hidden or unknown. Borrowed. */
Snapshot *listed_snapshot(const Catalog *catalog, const char *snapshot_id, GError **error);
