/* What ENOSPC leaves out: how much room there is, and where. */
#pragma once
#include "run/vm-private.h"

/* If *@error is ERR_NO_SPACE, its sentence goes on with the free space of the file systems that
 * @vm's files are on. Takes vm->lock. */
void room_tell(Vm *vm, GError **error);
