/* Runs plans. The steps of a plan go in order; those with a lane run side by side with other lanes,
 * and a step without one waits for every lane before it. A failing lane ends only itself. */
#pragma once
#include "run/vm-private.h"

/* Run @plan (taken) under a journal. Before its commit point an error or an interruption undoes
 * what was done; at the commit point the chain decides; after it the rest is pushed on. False: it
 * did not come to be. The journal stays open where something is left over, and the next operation
 * recovers it. A plan of a single record needs no journal. */
bool executor_run(Operation *op, Plan *plan, GError **error);

/* The steps of @plan as they are, no journal of its own, nothing undone; false with the first
 * error. For recovery. */
bool executor_run_bare(Operation *op, const Plan *plan, GError **error);
