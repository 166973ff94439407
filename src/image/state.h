/* State files on disk: what ImageOps says of read_state … remove_state_directory. */
#pragma once

#include "image/image.h"

GBytes *state_read(const char *path, GError **error);
bool state_write(const char *path, GBytes *content, const char *like, bool replace, GError **error);
GPtrArray *state_read_directory(const char *path, GError **error);
bool state_write_directory(const char *path, const GPtrArray *files, const char *like,
                           GError **error);
bool state_exchange(const char *a, const char *b, GError **error);
bool state_remove_directory(const char *path, GError **error);

/* For the two files of this module. */
/* @name in @directory, at most @limit bytes. @path names it in errors.
 */
GBytes *state_read_at(int directory, const char *name, const char *path, gsize limit,
                      GError **error);
/* Make @name there with @content, synced but for its directory: the looks of what @like is open
 * on, cut by @mask; removed again on error. */
bool state_write_at(int directory, const char *name, const char *path, GBytes *content, int like,
                    mode_t mask, GError **error);
/* What a new file at @path is to look like: @like, else the directory that it goes to, with
 * *out_fallback. -1 with @error. */
int state_open_like(const char *path, const char *like, bool *out_fallback, GError **error);
/* The directory of @path, one level, made like the one above where it is missing. */
bool state_make_parent(const char *path, GError **error);
