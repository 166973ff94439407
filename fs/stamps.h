/* When something about a VM, or about the host (""), last changed: the mtime of what has no time of
 * its own. Lines in `errors` and numbers in `progress` are counted apart: an editor that has some
 * other file open must not be told that it changed. Thread-safe. */
#pragma once

#include "fs/face.h"

typedef enum { STAMP_TREE, STAMP_ERRORS, STAMP_PROGRESS, N_STAMPS } Stamp;

Stamps *stamps_new(void);
void stamps_free(Stamps *stamps);
void stamps_touch(Stamps *stamps, const char *uuid, Stamp stamp);
/* Microseconds since the epoch; what shows errors or progress changes with the tree, too. */
int64_t stamps_time(Stamps *stamps, const char *uuid, Stamp stamp);
