/* Reading requests from the kernel, in place of libfuse's own reading. */
#pragma once

#include "fs/fuse.h"

#include <stdbool.h>

/* @session is mounted, and not served yet. False: libfuse said why. */
bool device_take(struct fuse_session *session);
