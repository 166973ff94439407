/* Walking paths by ourselves, symlink by symlink, so that none leads into the tree that we serve:
 * who asks the kernel for a name in there waits for us, perhaps for a lock that somebody holds who
 * waits for us, too. And definitions, images' headers and symlinks among images may name anything.
 */
#pragma once

#include <errno.h>
#include <glib.h>
#include <stdbool.h>

/* What walk_open says of a path into our own tree; error_set_errno has a sentence for it. No call
 * on a file says this. */
#define IN_OWN_TREE EDEADLK

/* From now on our tree is mounted on @mountpoint (absolute, without symlinks). Once. */
void walk_keep_out(const char *mountpoint);

/* An O_PATH descriptor of what @path (absolute) leads to, yours; nothing is opened, and nothing in
 * our tree is asked for. -1 with errno. @makers: who made the symlinks on the way is added, of
 * uid_t; may be NULL. */
int walk_open(const char *path, GArray *makers);
/* Does @path lead into our own tree? */
bool walk_is_own(const char *path);
/* False with a sentence if @path leads into our own tree; true also where there is nothing. */
bool walk_check(const char *path, GError **error);
