/* The descriptor on which the kernel talks to us, where libfuse does not do it well. */
#pragma once

#include "fs/fuse.h"

#include <stdbool.h>

/* @session is mounted, and not served yet. False: libfuse said why. */
bool device_take(struct fuse_session *session);
/* The tree is unmounted already, and @session is not served any more: libfuse lets go of the mount
 * without unmounting what may be mounted there by now. */
void device_let_go(struct fuse_session *session);
