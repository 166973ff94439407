/* Files that are named by path in directories that others may write to.
 *
 * Who can write in a directory can put a symlink, or another name of a file that is not his, in the
 * place of an image, and root would read and write what it leads to. As the kernel does it in /tmp
 * (fs.protected_symlinks): a symlink is followed only if root, we, or the owner of what it leads to
 * made it. Links that an administrator made lead where they always led. */
#pragma once

#include "base/error.h"
#include <stdbool.h>

/* Open the regular file @path for @flags (O_RDONLY, O_RDWR), never blocking. -1 with @error:
 * ERR_NOT_FOUND, ERR_ACCESS for a symlink that is not trusted, ERR_UNSUPPORTED for what is no
 * regular file (which is not opened). */
int trust_open(const char *path, int flags, GError **error);
/* Like that, to be written into, or read to somebody. Also ERR_ACCESS where the file has more than
 * one name, and does not belong to whoever could have made this one. */
int trust_open_alone(const char *path, int flags, GError **error);
/* Before something new is made at @path: no such symlink may lead to its directory. True also where
 * there is none. */
bool trust_check_directory(const char *path, GError **error);
