/* qemu-img: how it is called and what its complaints mean.
 *
 * Image arguments are "file:" names after "--" and backing files plain absolute paths, so that no
 * character of a path means anything to it (rule 12). What it says decides the code: no space, in
 * use, else ERR_IO with its last line. An image that another tool reads for an instant is tried
 * again for about a second.
 *
 * It may write nothing but the files that the descriptors given here are open on: whatever an image
 * names, whoever puts something else in the place of one. */
#pragma once

#include "image/image.h"

/* Make @path, which @fd is open on, an overlay, never looking at @backing. */
bool tool_create(int fd, const char *path, const char *backing, const char *backing_format,
                 uint64_t capacity, GError **error);
/* Write what @top and the images below it have down into @base, named as in the header of the one
 * right above it; all but base are kept. @total: bytes for @progress; @bandwidth: bytes/s, 0 = no
 * limit. */
bool tool_commit(int top_fd, const char *top, const char *top_format, int base_fd, const char *base,
                 uint64_t total, uint64_t bandwidth, ImageProgress progress, void *data,
                 GError **error);
/* Do the two show the same? @total: bytes for @progress. */
bool tool_compare(const char *a, const char *a_format, const char *b, const char *b_format,
                  uint64_t total, ImageProgress progress, void *data, bool *out_same,
                  GError **error);
bool tool_rebase(int fd, const char *path, const char *backing, const char *backing_format,
                 GError **error);
