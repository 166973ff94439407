#include "store/own.h"

#include "base/fd.h"
#include "base/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_FILE      (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#define OUR_TREE       "/.vmsnapfs"

/* No call on a file says these. */
#define FOREIGN_DIRECTORY EKEYREJECTED
#define FOREIGN_FILE      EKEYREVOKED

static bool is_ours(const struct stat *status)
{
    return status->st_uid == geteuid() && !(status->st_mode & 022);
}

bool own_is_ours(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && is_ours(&status);
}

/* Where in @path our own directories begin; its end: it is none of them. */
static const char *find_our_tree(const char *path)
{
    const char *at = g_strrstr(path, OUR_TREE);
    char after = at ? at[strlen(OUR_TREE)] : 'x';

    return after == '/' || after == '\0' ? at : path + strlen(path);
}

/* @whole: to be read, not only to be entered. */
static int open_home(const char *home, bool whole)
{
    if (walk_is_own(home)) {
        errno = IN_OWN_TREE;
        return -1;
    }
    return open(home, whole ? OPEN_DIRECTORY : O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int own_open_directory(const char *path)
{
    const char *tree = find_our_tree(path);
    g_autofree char *home = g_strndup(path, (gsize)(tree - path));
    g_auto(GStrv) levels = g_strsplit(*tree ? tree + 1 : tree, "/", -1);
    int fd = open_home(*home ? home : "/", *levels == NULL);

    for (char **level = levels; fd >= 0 && *level; level++) {
        int outer = fd;

        fd = openat(outer, *level, OPEN_DIRECTORY | O_NOFOLLOW);
        close(outer);
        if (fd >= 0 && !own_is_ours(fd)) {
            close(fd);
            errno = FOREIGN_DIRECTORY;
            return -1;
        }
    }
    return fd;
}

int own_open_parent(const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);

    return own_open_directory(directory);
}

const char *own_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

/* Nobody else can put another file there between this look and the opening. */
int own_open_at(int directory, const char *name, int flags)
{
    struct stat status;

    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
        bool plain = S_ISREG(status.st_mode) || S_ISDIR(status.st_mode);

        if (!plain || !is_ours(&status)) {
            errno = plain ? FOREIGN_FILE : ELOOP;
            return -1;
        }
    }
    return openat(directory, name, flags | OPEN_FILE, 0600);
}

/* ELOOP is how O_NOFOLLOW refuses a symlink, ENXIO how O_NONBLOCK meets a socket. */
void own_fail(const char *path, int err, GError **error)
{
    if (err == ELOOP || err == ENXIO || err == EISDIR)
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "%s is not a regular file; move it away",
                    path);
    else if (err == ENOTDIR)
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "The directory of %s is not a directory, or a symlink; move it away", path);
    else if (err == FOREIGN_DIRECTORY)
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_ACCESS,
            "The directory of %s, or .vmsnapfs above it, can be written by others than user "
            "%u, so what is in it is not believed; find out who made it, and move it away",
            path, (unsigned)geteuid());
    else if (err == FOREIGN_FILE)
        g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS,
                    "%s can be written by others than user %u, so what is in it is not believed; "
                    "find out who made it, and move it away, or make it theirs with mode 0600",
                    path, (unsigned)geteuid());
    else
        own_fail_effect("open", path, err, error);
}

/* EPERM comes of nothing else here: the owner of a file is not asked for more rights. */
void own_fail_effect(const char *what, const char *path, int err, GError **error)
{
    if (err == EPERM)
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_ACCESS,
            "Cannot %s %s: Operation not permitted; it, or the directory that it is in, is "
            "immutable or may only be appended to: lsattr -d shows it, chattr -ia undoes it",
            what, path);
    else if (err == FOREIGN_DIRECTORY || err == FOREIGN_FILE)
        own_fail(path, err, error);
    else
        error_set_errno(error, err, "Cannot %s %s", what, path);
}
