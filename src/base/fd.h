/* File descriptors that close themselves, and whole reads and writes on them. */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <unistd.h>

typedef int Descriptor; /* -1: none */
static inline void descriptor_close(Descriptor *fd)
{
    if (*fd >= 0)
        close(*fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Descriptor, descriptor_close)

/* 0 or errno. */
int fd_write_all(int fd, const void *content, gsize length);
/* Up to the end into @bytes; 0 or errno, EFBIG if more than @limit bytes come. */
int fd_read_all(int fd, gsize limit, GByteArray *bytes);
