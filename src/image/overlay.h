/* Making an overlay, whole or not at all (rule 13). */
#pragma once

#include "image/image.h"

/* ImageOps.create_overlay. */
bool overlay_create(const char *path, const char *backing, const char *backing_format,
                    uint64_t capacity, GError **error);
/* Remove what an overlay_create of @path that died may have left. */
bool overlay_remove_temporary(const char *path, GError **error);

/* Under which name an overlay at @path is made; yours. */
char *overlay_temporary_path(const char *path);
/* Is @path such a name? */
bool overlay_is_temporary(const char *path);

/* fsync the directory that @path is in. */
bool overlay_sync_directory(const char *path, GError **error);
/* Does the header at @path name @backing, @backing_format and, unless 0, @capacity? */
bool overlay_check_header(const char *path, const char *backing, const char *backing_format,
                          uint64_t capacity, GError **error);
