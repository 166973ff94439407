/* A program that we start may write what it is there to write, and nothing else, whatever a file
 * that it reads makes of it, and whatever somebody puts in the place of one: the kernel sees to it
 * (Landlock, Linux ≥ 5.13). */
#pragma once

#include "base/error.h"
#include <stdbool.h>

/* Rules under which no file can be written but those that @writable (ended by -1) are open on, and
 * none made, renamed or removed. A descriptor, the caller's; -1 without error where the kernel has
 * no Landlock. */
int confine_new(const int *writable, GError **error);
/* For this process and all that it becomes; between fork and exec, too. */
bool confine_apply(int rules);
