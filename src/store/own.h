/* Opening what is in .vmsnapfs, which must be ours alone. Inside store/ only.
 *
 * The directories here hold the truth about people's snapshots, beside images that others may be
 * able to write to, who could put directories of their own in our place. So from .vmsnapfs on each
 * level is entered by itself, never through a symlink, and what others own or can write to is not
 * believed: what it says is not read, and nothing is made, replaced or removed in it. What is no
 * regular file, or that of somebody else, is not even opened, as opening a device or a pipe does
 * something. */
#pragma once

#include "base/error.h"
#include <stdbool.h>

/* Is what @fd is open on our user's, and writable by nobody else? */
bool own_is_ours(int fd);

/* The directory @path; the one that @path is in. -1 with errno, for own_fail. */
int own_open_directory(const char *path);
int own_open_parent(const char *path);
/* The last component of @path; borrowed. */
const char *own_name(const char *path);
/* The file @name, or a directory, in @directory, opened for @flags, never blocking, never through a
 * symlink; made with O_CREAT, 0600. -1 with errno, for own_fail. */
int own_open_at(int directory, const char *name, int flags);

/* Why @path could not be opened, by errno @err of these. */
void own_fail(const char *path, int err, GError **error);
/* "Cannot @what @path: …", where an effect on it ended with errno @err. */
void own_fail_effect(const char *what, const char *path, int err, GError **error);
