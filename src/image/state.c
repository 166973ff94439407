/* Variable stores. A new one is written under a temporary name, given its looks, synced, and only
 * then linked, or renamed over the old one: whatever fails before leaves that untouched (U-8). */
#include "image/state.h"

#include "base/fd.h"
#include "base/walk.h"
#include "image/lock.h"
#include "image/looks.h"
#include "image/overlay.h"
#include "image/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define OPEN_STATE   (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
#define LOCK_WAIT_MS 1000

/* ELOOP is how O_NOFOLLOW refuses a symlink, ENXIO how O_NONBLOCK meets a socket. */
static void fail_open(const char *path, int err, GError **error)
{
    if (err == ELOOP || err == ENXIO || err == ENOTDIR || err == EISDIR)
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "%s is not a regular file; only such a one can be kept or restored", path);
    else
        error_set_errno(error, err, "Cannot open %s", path);
}

static bool check_size(const char *path, bool fits, GError **error)
{
    if (!fits)
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "%s is too large to be a VM's variables or vTPM state, of which %u MiB are "
                    "kept at most",
                    path, STATE_MAX / 1024 / 1024);
    return fits;
}

static GBytes *read_open(int fd, const char *path, gsize limit, GError **error)
{
    g_autoptr(GByteArray) content = g_byte_array_new();
    struct stat status;
    int err = fstat(fd, &status) < 0 ? errno : 0;

    if (!err && !check_size(path, (uint64_t)status.st_size <= limit, error))
        return NULL;
    err = err ? err : fd_read_all(fd, limit, content);
    if (err == EFBIG)
        check_size(path, false, error);
    else if (err)
        error_set_errno(error, err, "Cannot read %s", path);
    return err ? NULL : g_byte_array_free_to_bytes(g_steal_pointer(&content));
}

/* Before it is opened: to open a device or a pipe does something. */
static bool check_plain(int directory, const char *name, const char *path, struct stat *out_status,
                        GError **error)
{
    int err = fstatat(directory, name, out_status, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;

    if (!err && S_ISREG(out_status->st_mode))
        return true;
    fail_open(path, err ? err : ELOOP, error);
    return false;
}

/* Who owns the directory can give another name to a file of somebody else, and so have it shown. */
static bool check_own(int directory, const char *path, const struct stat *file, GError **error)
{
    struct stat status;

    if (file->st_nlink == 1 || (fstat(directory, &status) == 0 && status.st_uid == file->st_uid))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS,
                "%s has another name, and does not belong to the owner of the directory; it is "
                "left alone: find the other name with find -samefile, and remove one of them",
                path);
    return false;
}

GBytes *state_read_at(int directory, const char *name, const char *path, gsize limit,
                      GError **error)
{
    g_auto(Descriptor) fd = -1;
    struct stat status;

    if (!check_plain(directory, name, path, &status, error) ||
        !check_own(directory, path, &status, error))
        return NULL;
    fd = openat(directory, name, O_RDONLY | OPEN_STATE);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        fail_open(path, fd < 0 ? errno : ELOOP, error);
        return NULL;
    }
    return read_open(fd, path, limit, error);
}

GBytes *state_read(const char *path, GError **error)
{
    struct stat status;
    g_auto(Descriptor) fd =
        walk_check(path, error) && check_plain(AT_FDCWD, path, path, &status, error)
            ? trust_open_alone(path, O_RDONLY, error)
            : -1;

    return fd < 0 ? NULL : read_open(fd, path, STATE_MAX, error);
}

/* Fill what @fd has made just now. */
static bool fill(int fd, const char *path, GBytes *content, int like, mode_t mask, GError **error)
{
    gsize length;
    const void *data = g_bytes_get_data(content, &length);
    int err = fd_write_all(fd, data, length);

    if (err) {
        error_set_errno(error, err, "Cannot write %s", path);
        return false;
    }
    if (!looks_copy(like, fd, mask)) {
        error_set_errno(error, errno, "Cannot give %s its owner, mode and label", path);
        return false;
    }
    if (fsync(fd) < 0) {
        error_set_errno(error, errno, "Cannot make %s durable", path);
        return false;
    }
    return true;
}

bool state_write_at(int directory, const char *name, const char *path, GBytes *content, int like,
                    mode_t mask, GError **error)
{
    g_auto(Descriptor) fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | OPEN_STATE, 0600);

    if (fd < 0) {
        error_set_errno(error, errno, "Cannot make %s", path);
        return false;
    }
    if (fill(fd, path, content, like, mask, error))
        return true;
    unlinkat(directory, name, 0);
    return false;
}

int state_open_like(const char *path, const char *like, bool *out_fallback, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    int fd = like ? open(like, O_RDONLY | OPEN_STATE) : -1;

    *out_fallback = fd < 0 && (!like || errno == ENOENT);
    if (*out_fallback)
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        fail_open(*out_fallback ? directory : like, errno, error);
    return fd;
}

/* NFS and the like ask for nothing more than the directory above: what is missing higher up is not
 * mounted, and nothing is to be made in its place. */
bool state_make_parent(const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *above = g_path_get_dirname(directory);
    g_auto(Descriptor) from = -1;
    g_auto(Descriptor) to = -1;

    if (mkdir(directory, 0700) < 0) {
        if (errno == EEXIST)
            return true;
        error_set_errno(error, errno, "Cannot make the directory of %s", path);
        return false;
    }
    from = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    to = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (from >= 0 && to >= 0 && looks_copy(from, to, 0777) && fsync(from) == 0)
        return true;
    error_set_errno(error, errno, "Cannot give %s the owner, mode and label of %s", directory,
                    above);
    rmdir(directory);
    return false;
}

static bool check_absent(const char *path, GError **error)
{
    struct stat status;

    if (lstat(path, &status) < 0 && errno == ENOENT)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_EXISTS, "Cannot make %s: a file of that name exists",
                path);
    return false;
}

/* Nobody may have open what is about to be replaced: a QEMU would go on with the old one. NULL
 * without an error if there is none. */
static ImageLock *lock_old(const char *path, GError **error)
{
    g_autoptr(GError) reason = NULL;
    ImageLock *lock = lock_take(path, LOCK_WAIT_MS, &reason);

    if (lock && lock_is_on(lock, path))
        return lock;
    if (lock) {
        lock_release(lock);
        fail_open(path, ELOOP, error);
    } else if (!error_is(reason, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&reason));
    }
    return NULL;
}

static bool publish_new(const char *temporary, const char *path, GError **error)
{
    if (link(temporary, path) < 0) {
        error_set_errno(error, errno, "Cannot make %s", path);
        return false;
    }
    if (overlay_remove_temporary(path, error) && overlay_sync_directory(path, error))
        return true;
    unlink(path);
    return false;
}

static bool publish_over(const char *temporary, const char *path, GError **error)
{
    if (rename(temporary, path) < 0) {
        error_set_errno(error, errno, "Cannot replace %s", path);
        return false;
    }
    return overlay_sync_directory(path, error);
}

static bool write_new(const char *path, GBytes *content, const char *like, bool replace,
                      GError **error)
{
    g_autofree char *temporary = overlay_temporary_path(path);
    bool fallback;
    g_auto(Descriptor) looks = state_open_like(path, like, &fallback, error);
    bool made;

    if (looks < 0 || !overlay_remove_temporary(path, error))
        return false;
    made =
        state_write_at(AT_FDCWD, temporary, path, content, looks, fallback ? 0600 : 0777, error) &&
        (replace ? publish_over : publish_new)(temporary, path, error);
    if (!made)
        unlink(temporary);
    return made;
}

bool state_write(const char *path, GBytes *content, const char *like, bool replace, GError **error)
{
    g_autoptr(GError) reason = NULL;
    ImageLock *old = NULL;
    bool done = false;

    if (!check_size(path, g_bytes_get_size(content) <= STATE_MAX, error) ||
        !trust_check_directory(path, error) || (!replace && !check_absent(path, error)) ||
        !state_make_parent(path, error))
        return false;
    old = replace ? lock_old(path, &reason) : NULL;
    if (reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    else
        done = write_new(path, content, like, replace, error);
    lock_release(old);
    return done;
}
