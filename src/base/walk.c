#include "base/walk.h"

#include "base/error.h"
#include "base/fd.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define LINKS_MAX 40 /* as the kernel */

static char *own_tree; /* NULL: not mounted */

void walk_keep_out(const char *mountpoint)
{
    g_atomic_pointer_set(&own_tree, g_strdup(mountpoint));
}

/* @path: without symlinks, ".." and doubled slashes. */
static bool is_in_own_tree(const char *path)
{
    const char *tree = g_atomic_pointer_get(&own_tree);
    size_t length = tree ? strlen(tree) : 0;

    return tree && strncmp(path, tree, length) == 0 &&
           (path[length] == '/' || path[length] == '\0');
}

static int open_without_links(const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned)(O_PATH | O_CLOEXEC | flags),
                           .resolve = RESOLVE_NO_SYMLINKS};

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
}

/* An old kernel, or a container that forbids what it does not know. */
static bool is_unknown_call(int err)
{
    return err == ENOSYS || err == EPERM;
}

/* ---- name by name ---- */

typedef struct {
    GArray *makers;
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

static void leave_name(Walk *walk)
{
    const char *slash = strrchr(walk->at->str, '/');

    g_string_truncate(walk->at, slash ? (gsize)(slash - walk->at->str) : 0);
}

/* What stands there itself, a symlink, too. One that was put in the way since is not followed. */
static int open_here(const Walk *walk)
{
    const char *path = walk->at->len ? walk->at->str : "/";
    int fd;

    if (is_in_own_tree(path)) {
        errno = IN_OWN_TREE;
        return -1;
    }
    fd = open_without_links(path, O_NOFOLLOW);
    return fd < 0 && is_unknown_call(errno) ? open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW) : fd;
}

static bool follow_link(Walk *walk, int link, uid_t maker)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(link, "", target, sizeof(target) - 1);

    if (length < 0 || walk->links++ == LINKS_MAX) {
        errno = length < 0 ? errno : ELOOP;
        return false;
    }
    target[length] = '\0';
    if (walk->makers)
        g_array_append_val(walk->makers, maker);
    leave_name(walk);
    push_path(walk, target);
    return true;
}

/* One name further: what is there then, or, of a symlink, what is to be entered next. */
static int step_into(Walk *walk, const char *name)
{
    struct stat status;
    int fd;

    if (strcmp(name, "..") == 0)
        leave_name(walk);
    else
        g_string_append_printf(walk->at, "/%s", name);
    fd = open_here(walk);
    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISLNK(status.st_mode) ||
        follow_link(walk, fd, status.st_uid))
        return fd;
    descriptor_close(&fd);
    return -1;
}

static int walk_names(const char *path, GArray *makers)
{
    g_auto(Walk) walk = {.makers = makers, .at = g_string_new(NULL), .left = g_queue_new()};
    int fd = open_here(&walk);

    push_path(&walk, path);
    while (fd >= 0 && !g_queue_is_empty(walk.left)) {
        g_autofree char *name = g_queue_pop_head(walk.left);

        close(fd);
        fd = step_into(&walk, name);
    }
    return fd;
}

/* ---- the whole ---- */

/* @path with single slashes and without "."; NULL if there is a ".." in it, which means what it
 * says only where no symlink is before it. Yours. */
static char *tidy(const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    g_autoptr(GString) tidied = g_string_new(NULL);

    for (char **name = names; *name; name++) {
        if (strcmp(*name, "..") == 0)
            return NULL;
        if (**name && strcmp(*name, ".") != 0)
            g_string_append_printf(tidied, "/%s", *name);
    }
    return g_strdup(tidied->len ? tidied->str : "/");
}

/* The usual case, in one call: there is no symlink. */
int walk_open(const char *path, GArray *makers)
{
    g_autofree char *plain = tidy(path);
    int fd;

    if (!plain)
        return walk_names(path, makers);
    if (is_in_own_tree(plain)) {
        errno = IN_OWN_TREE;
        return -1;
    }
    fd = open_without_links(plain, 0);
    return fd < 0 && (errno == ELOOP || is_unknown_call(errno)) ? walk_names(path, makers) : fd;
}

bool walk_is_own(const char *path)
{
    g_auto(Descriptor) fd = walk_open(path, NULL);

    return fd < 0 && errno == IN_OWN_TREE;
}

bool walk_check(const char *path, GError **error)
{
    if (!walk_is_own(path))
        return true;
    error_set_errno(error, IN_OWN_TREE, "Cannot use %s", path);
    return false;
}
