/* Starting a VM that is off (design 6): what its firmware keeps is looked at first, so that nothing
 * is lost silently, and is known afterwards. */
#pragma once
#include "run/vm.h"

/* Refused, with a sentence that says what to do, where variables or the vTPM's state were there and
 * are not, are not whole, or the host cannot do what the VM needs. Where a new store is made and
 * the start fails, nothing of it stays. A VM without such things is just started. */
bool vm_start(Vm *vm, const char *operation, GError **error);

/* Does the VM run on a variable store that its catalog, if there is one, does not know? As @seen.
 * vm_open notes it. */
bool vm_has_news(Vm *vm, const Observation *seen);
