/* What running a step means: one function per kind, each one call of the hypervisor, the images or
 * the ledger with the checks that belong to it. Nothing is undone here. */
#pragma once
#include "run/vm-private.h"

bool step_run(Operation *op, const Step *step, GError **error);
