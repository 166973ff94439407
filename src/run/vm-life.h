/* What is done to a VM as a whole. Operations like those of vm.h. */
#pragma once
#include "run/vm-private.h"

/* Did who asked give up, or is it too late for his answer? Sets the error. For the last moment at
 * which nothing has happened. */
bool life_is_given_up(const Operation *op, GError **error);
/* A VM that is gone, if another comes to have its uuid: it has no catalog that could be missed. */
void vm_forget(Vm *vm);
/* Undefine the VM, which is off and has no snapshots, with its variables and the state of its vTPM;
 * its disks' files stay. Undefining is the commit point. *out_left: what could not be removed
 * afterwards, of ExpungeLeft, yours; NULL on failure. */
bool vm_expunge(Vm *vm, const char *operation, const VmHooks *hooks, GPtrArray **out_left,
                GError **error);
/* Give the VM, which is off, the name @new_name in libvirt; the catalog follows. ERR_EXISTS:
 * another VM has it. Each of its effects leaves a VM that starts with its own files, so nothing of
 * it is journalled. */
bool vm_move(Vm *vm, const char *new_name, const char *operation, const VmHooks *hooks,
             GError **error);
