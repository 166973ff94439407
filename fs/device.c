#include "fs/device.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

/* At the end libfuse 3.14 cancels its threads, and lets that happen all the while that it receives:
 * also while it says on stderr that it could not read, which leaves stderr locked for good, and
 * whoever logs after that waits for ever. So here it can happen only in read() itself. And a
 * request that is just being handed over when the tree is unmounted is no error. */
static ssize_t read_request(int fd, void *buffer, size_t size, void *unused)
{
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    ssize_t got = read(fd, buffer, size);
    int number = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    errno = got < 0 && number == ECONNABORTED ? ENODEV : number;
    return got;
}

static ssize_t write_reply(int fd, struct iovec *parts, int count, void *unused)
{
    return writev(fd, parts, count);
}

bool device_take(struct fuse_session *session)
{
    const struct fuse_custom_io io = {.read = read_request, .writev = write_reply};

    return fuse_session_custom_io(session, &io, fuse_session_fd(session)) == 0;
}

/* libfuse unmounts, unless its descriptor says by POLLERR that the connection is over. So does a
 * pipe that nobody can read from. */
void device_let_go(struct fuse_session *session)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return;
    close(ends[0]);
    if (dup3(ends[1], fuse_session_fd(session), O_CLOEXEC) >= 0)
        fuse_session_unmount(session);
    close(ends[1]);
}
