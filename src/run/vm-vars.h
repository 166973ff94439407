/* The UEFI variables and vTPM state of one VM as files: read, replaced, reset by hand. */
#pragma once

#include "run/vm.h"

/* What is kept with the snapshot @id, checked against its checksum: its variables (@file NULL), or
 * one file of its vTPM's state. Yours. ERR_NOT_FOUND, ERR_IO. */
GBytes *vm_read_sidecar(Vm *vm, const char *id, const char *file, GError **error);

/* Replace the VM's own variables by @content, in one instant, durably. The VM is off, @content has
 * the size of what it replaces (of the template, if there is none) and is a variable store. */
bool vm_set_vars(Vm *vm, GBytes *content, const char *operation, const VmHooks *hooks,
                 GError **error);
/* Remove them, and forget that they were there: the next start makes them from the template. The VM
 * is off. */
bool vm_reset_vars(Vm *vm, const char *operation, const VmHooks *hooks, GError **error);
