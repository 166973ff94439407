/* What is done to a VM as a whole. Operations like those of vm.h. */
#pragma once
#include "run/vm-private.h"

/* Give the VM, which is off, the name @new_name in libvirt; the catalog follows. ERR_EXISTS:
 * another VM has it. Each of its effects leaves a VM that starts with its own files, so nothing of
 * it is journalled. */
bool vm_move(Vm *vm, const char *new_name, const char *operation, const VmHooks *hooks,
             GError **error);
