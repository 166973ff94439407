/* `wait` and `events`: files whose readers wait. No thread does: the FUSE request is kept, and
 * answered from the engine's change callback, by an interrupt, or when the program ends.
 * Thread-safe. */
#pragma once

#include "fs/nodes.h"

typedef struct Reader Reader; /* one open file */

Blocking *blocking_new(Face *face);
/* For stats: events that readers were too slow for, all together; who has `wait` or `events` open.
 */
uint64_t blocking_lost(Blocking *blocking);
unsigned blocking_readers(Blocking *blocking);
void blocking_free(Blocking *blocking);
/* Answer everybody with EINTR, now and from now on. */
void blocking_stop(Blocking *blocking);
/* From the engine's change callback. @uuid NULL: the host; @event NULL: none. */
void blocking_changed(Blocking *blocking, const char *uuid, const char *event);

/* Open `wait` of the VM @uuid, or `events` (uuid NULL). */
Reader *reader_open(Blocking *blocking, const char *uuid);
void reader_close(Blocking *blocking, Reader *reader);
void reader_read(Blocking *blocking, Reader *reader, fuse_req_t req, size_t size, off_t offset,
                 bool nonblocking);
/* @handle may be NULL. */
void reader_poll(Blocking *blocking, Reader *reader, fuse_req_t req,
                 struct fuse_pollhandle *handle);
