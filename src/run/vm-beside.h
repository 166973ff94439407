/* Accepting a removal while a merge of the same VM has the turn. */
#pragma once
#include "run/vm.h"

/* As vm_remove, which it is when nobody has the turn. */
bool vm_remove_beside(Vm *vm, const char *name, const char *operation, bool *out_work,
                      GError **error);
