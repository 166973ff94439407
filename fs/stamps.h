/* When something about a VM, or about the host (""), last changed: the mtime of what has no time of
 * its own. Thread-safe. */
#pragma once

#include "fs/face.h"

Stamps *stamps_new(void);
void stamps_free(Stamps *stamps);
void stamps_touch(Stamps *stamps, const char *uuid);
int64_t stamps_time(Stamps *stamps, const char *uuid); /* microseconds since the epoch */
