/* statfs: what `df` shows is the image store. Asking a file system can hang (NFS), so a thread of
 * its own asks. */
#pragma once

#include "fs/face.h"

Space *space_new(Face *face);
void space_free(Space *space);
void space_answer(Space *space, fuse_req_t req);
