/* A thaw that is owed to the guest, paid beside whatever else is done with the VM. */
#pragma once
#include "run/vm.h"

bool vm_owes_thaw(Vm *vm);
/* See the guest thawed, and record that. Waits for the agent, at most a few seconds; takes the turn
 * only to record. */
bool vm_thaw(Vm *vm, GError **error);
