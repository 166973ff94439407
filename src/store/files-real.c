/* Our own files on disk. How they are opened, and what is not: store/own.h. */
#include "store/files.h"

#include "base/fd.h"
#include "store/own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX       (16 * 1024 * 1024)
#define OPEN_FILE      (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

struct FilesLock {
    int fd;
    char *path;
};

static int open_in_parent(const char *path, int flags)
{
    g_auto(Descriptor) directory = own_open_parent(path);

    return directory < 0 ? -1 : own_open_at(directory, own_name(path), flags);
}

static bool check_regular(int fd, const char *path, struct stat *out_status, GError **error)
{
    struct stat status;

    if (fstat(fd, &status) < 0) {
        error_set_errno(error, errno, "Cannot look at %s", path);
        return false;
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "%s is not a regular file; move it away",
                    path);
        return false;
    }
    *out_status = status;
    return true;
}

static bool read_all(int fd, const char *path, GByteArray *text, GError **error)
{
    int err = fd_read_all(fd, READ_MAX, text);

    if (err == EFBIG)
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "%s is larger than 16 MiB and cannot be ours", path);
    else if (err)
        error_set_errno(error, err, "Cannot read %s", path);
    return err == 0;
}

static char *real_read(Files *files, const char *path, gsize *out_length, GError **error)
{
    g_auto(Descriptor) fd = open_in_parent(path, O_RDONLY);
    g_autoptr(GByteArray) text = g_byte_array_new();
    struct stat status;

    if (fd < 0) {
        own_fail(path, errno, error);
        return NULL;
    }
    if (!check_regular(fd, path, &status, error) || !read_all(fd, path, text, error))
        return NULL;
    if (out_length)
        *out_length = text->len;
    g_byte_array_append(text, (const guint8 *)"", 1);
    return (char *)g_byte_array_free(g_steal_pointer(&text), FALSE);
}

static bool is_written(int fd, const char *content, gsize length)
{
    int err = fd_write_all(fd, content, length);

    errno = err;
    return err == 0;
}

/* A left-over temporary is of a program that died; nobody else writes here, for the caller holds
 * the lock. */
static bool write_temporary(int directory, const char *name, const char *content, gsize length)
{
    g_auto(Descriptor) fd = -1;

    if (unlinkat(directory, name, 0) < 0 && errno != ENOENT)
        return false;
    fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | OPEN_FILE, 0600);
    return fd >= 0 && is_written(fd, content, length) && fsync(fd) == 0;
}

static bool real_replace(Files *files, const char *path, const char *content, gssize length,
                         GError **error)
{
    g_auto(Descriptor) directory = own_open_parent(path);
    const char *name = own_name(path);
    g_autofree char *temporary = g_strconcat(name, ".new", NULL);
    gsize size = length < 0 ? strlen(content) : (gsize)length;

    if (directory < 0) {
        own_fail(path, errno, error);
        return false;
    }
    if (!write_temporary(directory, temporary, content, size) ||
        renameat(directory, temporary, directory, name) < 0) {
        own_fail_effect("write", path, errno, error);
        unlinkat(directory, temporary, 0);
        return false;
    }
    if (fsync(directory) < 0) {
        error_set_errno(error, errno, "Cannot make the new %s durable", path);
        return false;
    }
    return true;
}

/* What was begun is taken back, so that a full file system does not stay full. */
static bool fill_new(int directory, const char *name, const char *content, gsize length)
{
    g_auto(Descriptor) fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | OPEN_FILE, 0600);
    int err;

    if (fd < 0)
        return false;
    err = fd_write_all(fd, content, length);
    if (err)
        unlinkat(directory, name, 0);
    errno = err;
    return err == 0;
}

static bool make_parent(const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);
    g_auto(Descriptor) outer = own_open_parent(directory);

    return outer >= 0 && (mkdirat(outer, own_name(directory), 0700) == 0 || errno == EEXIST);
}

static bool real_put(Files *files, const char *path, const char *content, gsize length,
                     GError **error)
{
    g_auto(Descriptor) directory = -1;

    if (!make_parent(path)) {
        own_fail_effect("make the directory of", path, errno, error);
        return false;
    }
    directory = own_open_parent(path);
    if (directory < 0) {
        own_fail(path, errno, error);
        return false;
    }
    if (!fill_new(directory, own_name(path), content, length)) {
        own_fail_effect("write", path, errno, error);
        return false;
    }
    return true;
}

static bool real_sync(Files *files, const char *path, GError **error)
{
    g_auto(Descriptor) directory = own_open_parent(path);
    g_auto(Descriptor) fd = directory < 0 ? -1 : own_open_at(directory, own_name(path), O_RDONLY);

    if (fd < 0) {
        own_fail(path, errno, error);
        return false;
    }
    if (fsync(fd) < 0 || fsync(directory) < 0) {
        error_set_errno(error, errno, "Cannot make %s durable", path);
        return false;
    }
    return true;
}

static bool is_gone(int directory, const char *name)
{
    return unlinkat(directory, name, 0) == 0 || errno == ENOENT ||
           (errno == EISDIR && unlinkat(directory, name, AT_REMOVEDIR) == 0);
}

static bool real_remove(Files *files, const char *path, GError **error)
{
    g_auto(Descriptor) directory = own_open_parent(path);
    const char *name = own_name(path);
    g_autofree char *temporary = g_strconcat(name, ".new", NULL);

    if (directory < 0 && errno == ENOENT)
        return true;
    if (directory < 0) {
        own_fail(path, errno, error);
        return false;
    }
    if (!is_gone(directory, name) || !is_gone(directory, temporary) || fsync(directory) < 0) {
        own_fail_effect("remove", path, errno, error);
        return false;
    }
    return true;
}

/* One level of make_directory; returns its descriptor or -1 with @error. */
static int enter_directory(int parent, const char *name, const char *path, GError **error)
{
    g_auto(Descriptor) fd = -1;

    if (mkdirat(parent, name, 0700) == 0) {
        if (fsync(parent) < 0) {
            error_set_errno(error, errno, "Cannot make the new directory %s durable", path);
            return -1;
        }
    } else if (errno != EEXIST) {
        own_fail_effect("make the directory", path, errno, error);
        return -1;
    }
    fd = openat(parent, name, OPEN_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS,
                    "%s is not a directory that we can enter: %s", path, g_strerror(errno));
        return -1;
    }
    if (!own_is_ours(fd)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS,
                    "%s can be written by others than user %u; make it theirs with mode 0700", path,
                    (unsigned)geteuid());
        return -1;
    }
    parent = fd;
    fd = -1;
    return parent;
}

static bool real_make_directory(Files *files, const char *path, GError **error)
{
    g_autofree char *outer = g_path_get_dirname(path);
    g_autofree char *home = g_path_get_dirname(outer);
    g_auto(Descriptor) home_fd = own_open_directory(home);
    g_auto(Descriptor) outer_fd = -1;
    g_auto(Descriptor) inner_fd = -1;

    if (home_fd < 0) {
        own_fail(outer, errno, error);
        return false;
    }
    outer_fd = enter_directory(home_fd, own_name(outer), outer, error);
    if (outer_fd < 0)
        return false;
    inner_fd = enter_directory(outer_fd, own_name(path), path, error);
    return inner_fd >= 0;
}

static bool real_exists(Files *files, const char *path)
{
    g_auto(Descriptor) directory = own_open_parent(path);
    struct stat status;

    return directory >= 0 && fstatat(directory, own_name(path), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 0 or errno. */
static int read_names(DIR *stream, GPtrArray *names)
{
    struct dirent *entry;

    errno = 0;
    while ((entry = readdir(stream))) {
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            g_ptr_array_add(names, g_strdup(entry->d_name));
        errno = 0;
    }
    return errno;
}

/* 0 or errno. */
static int list_names(const char *directory, GPtrArray *names)
{
    int fd = own_open_directory(directory);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    int err = stream ? read_names(stream, names) : errno;

    if (stream)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
    return err;
}

static bool is_plain_file(const char *path)
{
    g_auto(Descriptor) directory = own_open_parent(path);
    struct stat status;

    return directory >= 0 &&
           fstatat(directory, own_name(path), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(status.st_mode);
}

/* What cannot be looked at is not empty: it may hold what somebody needs. */
static GPtrArray *real_list(Files *files, const char *directory, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *inside = g_build_filename(directory, "*", NULL);
    int err = list_names(directory, names);

    if (err == 0 || err == ENOENT || (err == ENOTDIR && is_plain_file(directory)))
        return g_steal_pointer(&names);
    own_fail(inside, err, error);
    return NULL;
}

/* The lock file may have been removed or replaced between our opening and our locking it. */
static bool still_names(const char *path, int fd)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

static void fail_locked(const char *path, int fd, GError **error)
{
    char holder[128] = "";
    ssize_t got = pread(fd, holder, sizeof(holder) - 1, 0);

    g_strcanon(g_strchomp(holder),
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._ ", '?');
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "%s is locked by another vmsnapfs (host and pid: %s)", path,
                got > 0 ? holder : "unknown");
}

/* For who finds the file locked. Written over the one before: that needs no block, of which a full
 * store has none; where it has no room all the same, nobody is named, and the lock holds as well.
 */
static bool write_holder(int fd, const char *holder)
{
    size_t length = strlen(holder);

    if (is_written(fd, holder, length))
        return ftruncate(fd, (off_t)length) == 0;
    return (errno == ENOSPC || errno == EDQUOT) && ftruncate(fd, 0) == 0;
}

static bool take_lock(int fd, const char *path, GError **error)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    g_autofree char *holder = g_strdup_printf("%s %d\n", g_get_host_name(), (int)getpid());
    int err;

    if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
        err = errno;
        if (err == EAGAIN || err == EACCES)
            fail_locked(path, fd, error);
        else
            error_set_errno(error, err, "Cannot lock %s", path);
        return false;
    }
    if (!write_holder(fd, holder)) {
        error_set_errno(error, errno, "Cannot write our name into %s", path);
        return false;
    }
    return true;
}

static FilesLock *real_lock(Files *files, const char *path, GError **error)
{
    for (;;) {
        g_auto(Descriptor) fd = open_in_parent(path, O_RDWR | O_CREAT);
        struct stat status;
        FilesLock *lock;

        if (fd < 0) {
            own_fail(path, errno, error);
            return NULL;
        }
        if (!check_regular(fd, path, &status, error) || !take_lock(fd, path, error))
            return NULL;
        if (!still_names(path, fd))
            continue;
        lock = g_new0(FilesLock, 1);
        lock->path = g_strdup(path);
        lock->fd = fd;
        fd = -1;
        return lock;
    }
}

/* Said aloud, not left to close(): a child between fork and exec may still share the descriptor. */
static void real_unlock(Files *files, FilesLock *lock)
{
    struct flock whole = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    if (!lock)
        return;
    fcntl(lock->fd, F_OFD_SETLK, &whole);
    close(lock->fd);
    g_free(lock->path);
    g_free(lock);
}

static void real_free(Files *files)
{
    g_free(files);
}

Files *files_real(void)
{
    static const FilesOps ops = {
        .read = real_read,
        .replace = real_replace,
        .put = real_put,
        .sync = real_sync,
        .remove = real_remove,
        .make_directory = real_make_directory,
        .exists = real_exists,
        .list = real_list,
        .lock = real_lock,
        .unlock = real_unlock,
        .free = real_free,
    };
    Files *files = g_new0(Files, 1);

    files->ops = &ops;
    return files;
}
