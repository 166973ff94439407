#include "image/trust.h"

#include "base/fd.h"
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

/* ---- symlinks ---- */

/* Those that @makers made lead to @file. */
static bool are_trusted(const GArray *makers, const struct stat *file)
{
    for (guint i = 0; i < makers->len; i++) {
        uid_t maker = g_array_index(makers, uid_t, i);

        if (maker != 0 && maker != geteuid() && maker != file->st_uid)
            return false;
    }
    return true;
}

/* The file itself, not opened for anything yet; -1 with errno, EPERM for a symlink that is not
 * trusted. */
static int find(const char *path, struct stat *out_status)
{
    g_autoptr(GArray) makers = g_array_new(FALSE, FALSE, sizeof(uid_t));
    g_auto(Descriptor) file = walk_open(path, makers);
    int found = -1;

    if (file < 0 || fstat(file, out_status) < 0)
        return -1;
    if (!are_trusted(makers, out_status)) {
        errno = EPERM;
        return -1;
    }
    found = file;
    file = -1;
    return found;
}

bool trust_check_directory(const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    struct stat status;
    g_auto(Descriptor) fd = find(directory, &status);

    if (fd >= 0 || errno == ENOENT)
        return true;
    if (errno == EPERM)
        g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS,
                    "The directory of %s is behind a symlink to what does not belong to whoever "
                    "made the symlink, so nothing is written there; find out who that was, or let "
                    "root make it",
                    path);
    else
        error_set_errno(error, errno, "Cannot use the directory of %s", path);
    return false;
}

/* ---- other names ---- */

/* Could somebody have made the name @path who does not own @file? The owner of the directory could,
 * and where others may write there, anybody. */
static bool is_foreign_name(const char *path, const struct stat *file)
{
    g_autofree char *directory = g_path_get_dirname(path);
    struct stat status;

    if (file->st_nlink < 2)
        return false;
    return stat(directory, &status) < 0 || (status.st_mode & 022) ||
           (status.st_uid != 0 && status.st_uid != geteuid() && status.st_uid != file->st_uid);
}

/* ---- opening ---- */

static int open_found(int file, const char *path, int flags, GError **error)
{
    g_autofree char *name = g_strdup_printf("/proc/self/fd/%d", file);
    int fd = open(name, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0)
        error_set_errno(error, errno, "Cannot open %s", path);
    return fd;
}

static int open_trusted(const char *path, int flags, bool alone, GError **error)
{
    struct stat status;
    g_auto(Descriptor) file = find(path, &status);

    if (file < 0 && errno == EPERM)
        g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS,
                    "%s leads through a symlink to a file that does not belong to whoever made the "
                    "symlink, so it is left alone; find out who that was, or let root make it",
                    path);
    else if (file < 0)
        error_set_errno(error, errno, "Cannot open %s", path);
    else if (!S_ISREG(status.st_mode))
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED, "%s is not a regular file", path);
    else if (alone && is_foreign_name(path, &status))
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_ACCESS,
            "%s has another name, and does not belong to the owner of the directory, who "
            "may have made this one to have the file read or overwritten; it is left alone: "
            "find the other name with find -samefile, and remove one of them",
            path);
    else
        return open_found(file, path, flags, error);
    return -1;
}

int trust_open(const char *path, int flags, GError **error)
{
    return open_trusted(path, flags, false, error);
}

int trust_open_alone(const char *path, int flags, GError **error)
{
    return open_trusted(path, flags, true, error);
}
