/* What is open. The kernel tells of each close, but not when the mount is taken away from under an
 * open file: what is left then is closed at the end. Thread-safe. */
#pragma once

#include "fs/face.h"

typedef void (*OpenClose)(Face *face, void *handle);

Opens *opens_new(void);
/* Closes what is left. */
void opens_free(Opens *opens, Face *face);
/* Returns @handle as FUSE keeps it. */
uint64_t opens_add(Opens *opens, void *handle, OpenClose close);
/* Closes @handle. */
void opens_drop(Opens *opens, Face *face, uint64_t handle);
