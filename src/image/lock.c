#include "image/lock.h"

#include "image/holders.h"
#include "image/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_BYTE 100
#define N_BYTES    200
#define WRITE_BYTE 101 /* BLK_PERM_WRITE in use */
#define STEP_MS    20  /* other tools' readers hold an image for an instant */

struct ImageLock {
    int fd;
};

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

bool lock_is_on(const ImageLock *lock, const char *path)
{
    struct stat ours, named;

    return fstat(lock->fd, &ours) == 0 && lstat(path, &named) == 0 && same_file(&ours, &named);
}

/* The name may have been given to another file between opening and locking. */
static bool still_opens(int fd, const char *path)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && same_file(&ours, &named);
}

bool lock_is_written(int fd)
{
    struct flock byte = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = WRITE_BYTE, .l_len = 1};

    return fcntl(fd, F_OFD_GETLK, &byte) == 0 && byte.l_type != F_UNLCK;
}

/* 0, EAGAIN while someone has it, or another errno. */
static int try_lock(int fd, const char *path)
{
    struct flock bytes = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = FIRST_BYTE, .l_len = N_BYTES};

    if (fcntl(fd, F_OFD_SETLK, &bytes) < 0)
        return errno == EACCES ? EAGAIN : errno;
    return still_opens(fd, path) ? 0 : ESTALE;
}

static void set_busy(const char *path, GError **error)
{
    g_autofree char *who = holders_describe(path);

    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "%s is in use by QEMU (%s has it open); try again when it is closed", path,
                who ? who : "a VM or a qemu tool");
}

static bool wait_for_lock(int fd, const char *path, unsigned wait_ms, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64)wait_ms * 1000;
    int err;

    while ((err = try_lock(fd, path)) == EAGAIN && g_get_monotonic_time() < deadline)
        g_usleep(STEP_MS * 1000);
    if (err == EAGAIN)
        set_busy(path, error);
    else if (err == ESTALE)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s was replaced while it was being locked; try again", path);
    else if (err)
        error_set_errno(error, err, "Cannot lock %s", path);
    return err == 0;
}

ImageLock *lock_take(const char *path, unsigned wait_ms, GError **error)
{
    int fd = trust_open(path, O_RDWR, error);
    ImageLock *lock;

    if (fd < 0)
        return NULL;
    if (!wait_for_lock(fd, path, wait_ms, error)) {
        close(fd);
        return NULL;
    }
    lock = g_new0(ImageLock, 1);
    lock->fd = fd;
    return lock;
}

/* Said aloud, not left to close(): a child between fork and exec may still share the descriptor. */
void lock_release(ImageLock *lock)
{
    struct flock bytes = {
        .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = FIRST_BYTE, .l_len = N_BYTES};

    if (!lock)
        return;
    fcntl(lock->fd, F_OFD_SETLK, &bytes);
    close(lock->fd);
    g_free(lock);
}
