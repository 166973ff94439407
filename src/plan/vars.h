/* What may be done by hand to the VM's own UEFI variables. Pure. */
#pragma once

#include "plan/planner.h"

/* The VM is off, and not only saved; nothing else goes on; and they are its own, not the
 * firmware's. ERR_BUSY, ERR_UNSUPPORTED. */
bool plan_check_vars(const Observation *observation, GError **error);
/* And @content can take their place. ERR_UNSUPPORTED: there is nothing that could be replaced;
 * ERR_INVALID: what is given is no variable store, or that of another firmware. */
bool plan_check_new_vars(const Observation *observation, GBytes *content, GError **error);
