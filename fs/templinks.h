/* The temporary symbolic links that `ln -sfn` makes beside `current` before it renames one onto it:
 * any untaken name in a VM's directory. They live in memory only, are not listed, and are gone
 * after ten seconds (design 2.4). Thread-safe. */
#pragma once

#include "fs/face.h"

TempLinks *templinks_new(void);
void templinks_free(TempLinks *links);
void templinks_add(TempLinks *links, const char *uuid, const char *name, const char *target);
/* Where the link points; NULL if there is none (any more). New string. */
char *templinks_target(TempLinks *links, const char *uuid, const char *name);
void templinks_drop(TempLinks *links, const char *uuid, const char *name);
