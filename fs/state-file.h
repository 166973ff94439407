/* Files whose content is in a file of the host: UEFI variables and the state of vTPMs.
 *
 * They are read by a thread of the engine when they are opened, and an open file shows what was
 * read then. The VM's own variables can be replaced: an open file keeps a draft, writes change
 * that, and the write (or truncation) that makes it whole asks for it. So who writes them front to
 * back, as cp, dd, cat and rsync --inplace do, is answered at the last byte by what became of them;
 * and who stops before is told when he closes the file, and nothing has changed. */
#pragma once

#include "fs/file.h"

void state_file_open(fuse_req_t req, const Inode *inode, const Place *place, int flags);
/* One that is not there (any more): it will be when it is written whole. */
void state_file_create(fuse_req_t req, const Inode *directory, const Node *node, int flags);
void state_file_write(fuse_req_t req, File *file, const Place *place, const char *data, size_t size,
                      off_t offset);
void state_file_truncate(fuse_req_t req, const Inode *inode, const Place *place, gsize size,
                         const struct fuse_file_info *fi);
/* A descriptor of it was closed. */
void state_file_flush(fuse_req_t req, File *file);
