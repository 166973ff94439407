#include "image/trust.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LINKS_MAX 40 /* as the kernel */

static bool is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* ---- symlinks ---- */

/* The usual case, in one call: there is none. */
static int open_without_links(const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

typedef struct {
    uid_t owner;    /* of what it is to lead to */
    GString *at;    /* where we are; no symlink in it */
    GQueue *left;   /* names still to be entered, char * */
    unsigned links; /* followed up to now */
} Walk;

static void walk_clear(Walk *walk)
{
    g_string_free(walk->at, TRUE);
    g_queue_free_full(walk->left, g_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Walk, walk_clear)

/* @path comes before what is left. */
static void push_path(Walk *walk, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    if (*path == '/')
        g_string_truncate(walk->at, 0);
    for (guint i = g_strv_length(names); i > 0; i--)
        if (*names[i - 1] && strcmp(names[i - 1], ".") != 0)
            g_queue_push_head(walk->left, g_strdup(names[i - 1]));
}

static bool follow_link(Walk *walk, const struct stat *link)
{
    g_autofree char *target = g_file_read_link(walk->at->str, NULL);

    if (!target || walk->links++ == LINKS_MAX ||
        (link->st_uid != 0 && link->st_uid != geteuid() && link->st_uid != walk->owner))
        return false;
    g_string_truncate(walk->at, (gsize)(strrchr(walk->at->str, '/') - walk->at->str));
    push_path(walk, target);
    return true;
}

/* One name further. */
static bool step_into(Walk *walk, const char *name, struct stat *out_found)
{
    const char *slash;

    if (strcmp(name, "..") == 0) {
        slash = strrchr(walk->at->str, '/');
        g_string_truncate(walk->at, slash ? (gsize)(slash - walk->at->str) : 0);
        return lstat(walk->at->len ? walk->at->str : "/", out_found) == 0;
    }
    g_string_append_printf(walk->at, "/%s", name);
    return lstat(walk->at->str, out_found) == 0 &&
           (!S_ISLNK(out_found->st_mode) || follow_link(walk, out_found));
}

/* Does @path lead to @file through nothing but symlinks that are trusted? Whoever changes it
 * meanwhile does not get it to. */
static bool leads_to(const char *path, const struct stat *file)
{
    g_auto(Walk) walk = {.owner = file->st_uid, .at = g_string_new(NULL), .left = g_queue_new()};
    struct stat found = {0};

    push_path(&walk, path);
    while (!g_queue_is_empty(walk.left)) {
        g_autofree char *name = g_queue_pop_head(walk.left);

        if (!step_into(&walk, name, &found))
            return false;
    }
    return is_same(&found, file);
}

/* The file itself, not opened for anything yet; -1 with errno, EPERM for a symlink that is not
 * trusted. */
static int find(const char *path, struct stat *out_status)
{
    g_auto(Descriptor) file = open_without_links(path);
    /* Or it cannot be told so: an old kernel, or a container that forbids what it does not know. */
    bool has_links = file < 0 && (errno == ELOOP || errno == ENOSYS || errno == EPERM);

    if (has_links)
        file = open(path, O_PATH | O_CLOEXEC);
    if (file < 0 || fstat(file, out_status) < 0)
        return -1;
    if (has_links && !leads_to(path, out_status)) {
        errno = EPERM;
        return -1;
    }
    int found = file;
    file = -1;
    return found;
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
