/* Which processes have an image open, from /proc. Processes that this one may not look at are not
 * seen; this one is not counted. */
#pragma once

#include <stdbool.h>

/* Has somebody @path open, and does each of them have @beside open as well? False if it cannot be
 * told. */
bool holders_have(const char *path, const char *beside);
/* "process 4711 (qemu-system-x86)" for sentences, one of them; NULL if none is seen. Yours. */
char *holders_describe(const char *path);
