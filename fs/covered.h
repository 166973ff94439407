/* What a mount would cover. */
#pragma once
#include "engine.h"

/* ERR_INVALID if a file that a VM needs lies below @mountpoint (absolute, without symlinks):
 * mounted there, the tree would hide it from QEMU, libvirt and us, who would ask ourselves for it.
 * To be asked before the mount. */
bool covered_check(const HostView *view, const char *mountpoint, GError **error);
