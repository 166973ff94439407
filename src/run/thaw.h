/* Thawing a guest of whom it is not known whether it is frozen. */
#pragma once
#include "hv/hypervisor.h"

/* Ask the guest of @uuid, thaw it if it is frozen, and ask again. Success means that it was seen
 * thawed, or that the VM is off. The agent is given @seconds for each answer. */
bool thaw_and_verify(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error);
