/* An open directory: the listing as it was when it was opened, so that what comes and goes
 * meanwhile makes readdir neither skip nor repeat. */
#pragma once

#include "fs/inode.h"

typedef struct Directory Directory;

Directory *directory_new(const Inode *inode, const Place *place);
void directory_free(Directory *directory);
/* Answer readdir (@plus: with attributes, entering each entry). */
void directory_read(Face *face, Directory *directory, fuse_req_t req, size_t size, off_t offset,
                    bool plus);
