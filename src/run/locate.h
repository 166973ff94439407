/* Where a VM's catalog is (design 4). */
#pragma once
#include "run/vm-private.h"

/* Find vm->home if it is not known: in the domain's metadata, else in the directories of its disks'
 * chains, by uuid. A VM without one has no snapshots yet: success. ERR_READ_ONLY (and vm->problem)
 * if libvirt knows of a catalog that cannot be found. */
bool locate_home(Vm *vm, GError **error);
/* The home for a first snapshot: the directory of the first disk that takes part. Yours; NULL if no
 * disk does. */
char *locate_new_home(const Domain *domain);
/* Tell libvirt where the catalog is, if it does not know. A failure is only said in the log: the
 * directories are looked through as well. */
void locate_publish(Vm *vm, const Observation *seen);
