#include "base/fd.h"

#include <errno.h>

#define PORTION 65536

int fd_write_all(int fd, const void *content, gsize length)
{
    const char *next = content;

    while (length > 0) {
        ssize_t done = write(fd, next, length);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return errno;
        next += done;
        length -= (gsize)done;
    }
    return 0;
}

int fd_read_all(int fd, gsize limit, GByteArray *bytes)
{
    guint8 portion[PORTION];

    for (;;) {
        ssize_t got = read(fd, portion, sizeof(portion));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        g_byte_array_append(bytes, portion, (guint)got);
        if (bytes->len > limit)
            return EFBIG;
    }
}
