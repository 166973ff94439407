/* The calls of our code, as the linker hands them over (-Wl,--wrap): written down if they are about
 * the disk of power.h, and made. fsync is not made: what it would do is modelled. */
#include "power-private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DESCRIPTORS 1024

static PowerNode *opened[DESCRIPTORS];

/* What the linker calls these; no header says so. */
#define CALL(type, name, ...)                                                                      \
    type __real_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__);                                                               \
    type __wrap_##name(__VA_ARGS__)

void power_calls_reset(void)
{
    for (unsigned i = 0; i < DESCRIPTORS; i++)
        opened[i] = NULL;
}

static PowerNode *node_of(int fd)
{
    return fd >= 0 && fd < DESCRIPTORS ? opened[fd] : NULL;
}

static PowerPlace place_at(int from, const char *path)
{
    return power_place(node_of(from), path);
}

static void note_opened(int fd, PowerNode *node)
{
    if (fd >= 0)
        g_assert_cmpint(fd, <, DESCRIPTORS);
    if (fd >= 0)
        opened[fd] = node;
}

/* ---- opening ---- */

int __real_openat64(int from, const char *path, int flags, ...);
int __wrap_openat64(int from, const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);

/* What was opened by a call that is not seen (base/walk.c), as the kernel names it. */
static PowerNode *node_of_real(const char *path)
{
    size_t length = power_disk.directory ? strlen(power_disk.directory) : 0;

    if (length == 0 || strncmp(path, power_disk.directory, length) != 0 || path[length] != '/')
        return NULL;
    g_autofree char *shown = g_strconcat(power_disk.root, path + length, NULL);
    g_auto(PowerPlace) place = power_place(NULL, shown);
    return power_node(&place);
}

/* What is open already, by another descriptor. */
static PowerNode *node_again(const char *path)
{
    g_autofree char *real = NULL;
    int fd;

    if (sscanf(path, "/proc/self/fd/%d", &fd) != 1)
        return NULL;
    real = node_of(fd) ? NULL : g_file_read_link(path, NULL);
    return real ? node_of_real(real) : node_of(fd);
}

static int open_at(int from, const char *path, int flags, mode_t mode)
{
    g_autofree char *real = power_real_path(path);
    g_auto(PowerPlace) place = place_at(from, path);
    PowerNode *known = power_node(&place), *node = known ? known : node_again(path);
    bool makes = place.directory && !node && (flags & O_CREAT);
    int fd;

    g_assert(!place.directory || !(flags & O_TRUNC));
    if (makes)
        power_before();
    fd = __real_openat64(from, real, flags, mode);
    if (fd >= 0 && makes)
        node = power_made(&place, false);
    note_opened(fd, node);
    return fd;
}

int __wrap_openat64(int from, const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_at(from, path, flags, mode);
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list arguments;

    va_start(arguments, flags);
    mode_t mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}

CALL(int, close, int fd)
{
    if (node_of(fd))
        opened[fd] = NULL;
    return __real_close(fd);
}

CALL(int, stat64, const char *path, struct stat *status)
{
    g_autofree char *real = power_real_path(path);

    return __real_stat64(real, status);
}

CALL(int, lstat64, const char *path, struct stat *status)
{
    g_autofree char *real = power_real_path(path);

    return __real_lstat64(real, status);
}

CALL(int, statvfs64, const char *path, struct statvfs *status)
{
    g_autofree char *real = power_real_path(path);

    return __real_statvfs64(real, status);
}

CALL(DIR *, opendir, const char *path)
{
    g_autofree char *real = power_real_path(path);

    return __real_opendir(real);
}

/* ---- data ---- */

/* A descriptor that only writes is read another way. */
static GBytes *content_of(int fd)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    char *content = NULL;
    gsize length = 0;

    g_assert_true(g_file_get_contents(path, &content, &length, NULL));
    return g_bytes_new_take(content, length);
}

CALL(ssize_t, write, int fd, const void *data, size_t length)
{
    PowerNode *node = node_of(fd);

    if (!node || node->directory)
        return __real_write(fd, data, length);
    power_before();
    ssize_t done = __real_write(fd, data, length);
    power_written(node, content_of(fd));
    return done;
}

CALL(int, ftruncate64, int fd, off_t length)
{
    PowerNode *node = node_of(fd);

    if (!node)
        return __real_ftruncate64(fd, length);
    power_before();
    int result = __real_ftruncate64(fd, length);
    power_written(node, content_of(fd));
    return result;
}

CALL(int, fsync, int fd)
{
    PowerNode *node = node_of(fd);

    if (!node)
        return __real_fsync(fd);
    power_before();
    power_synced(node);
    return 0;
}

/* ---- names ---- */

int power_real_mkdir(const char *path)
{
    int __real_mkdirat(int from, const char *name, mode_t mode);

    return __real_mkdirat(AT_FDCWD, path, 0700);
}

CALL(int, mkdirat, int from, const char *path, mode_t mode)
{
    g_autofree char *real = power_real_path(path);
    g_auto(PowerPlace) place = place_at(from, path);
    bool ours = place.directory && place.name;

    if (ours && !power_node(&place))
        power_before();
    int result = __real_mkdirat(from, real, mode);
    if (result == 0 && ours)
        power_made(&place, true);
    return result;
}

CALL(int, mkdir, const char *path, mode_t mode)
{
    return __wrap_mkdirat(AT_FDCWD, path, mode);
}

CALL(int, unlinkat, int from, const char *path, int flags)
{
    g_autofree char *real = power_real_path(path);
    g_auto(PowerPlace) place = place_at(from, path);
    bool ours = power_node(&place) != NULL;

    if (ours)
        power_before();
    int result = __real_unlinkat(from, real, flags);
    if (result == 0 && ours)
        power_unlinked(&place);
    return result;
}

CALL(int, unlink, const char *path)
{
    return __wrap_unlinkat(AT_FDCWD, path, 0);
}

CALL(int, rmdir, const char *path)
{
    return __wrap_unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

CALL(int, link, const char *from, const char *to)
{
    g_autofree char *real_from = power_real_path(from);
    g_autofree char *real_to = power_real_path(to);
    g_auto(PowerPlace) source = place_at(AT_FDCWD, from);
    g_auto(PowerPlace) target = place_at(AT_FDCWD, to);
    PowerNode *node = power_node(&source);

    if (node)
        power_before();
    int result = __real_link(real_from, real_to);
    if (result == 0 && node)
        power_linked(&target, node);
    return result;
}

CALL(int, renameat2, int from, const char *path, int to, const char *new_path, unsigned flags)
{
    g_autofree char *real = power_real_path(path);
    g_autofree char *new_real = power_real_path(new_path);
    g_auto(PowerPlace) source = place_at(from, path);
    g_auto(PowerPlace) target = place_at(to, new_path);
    bool ours = power_node(&source) != NULL;

    if (ours)
        power_before();
    int result = __real_renameat2(from, real, to, new_real, flags);
    if (result == 0 && ours)
        power_moved(&source, &target, flags & RENAME_EXCHANGE);
    return result;
}

CALL(int, renameat, int from, const char *path, int to, const char *new_path)
{
    return __wrap_renameat2(from, path, to, new_path, 0);
}

CALL(int, rename, const char *path, const char *new_path)
{
    return __wrap_renameat2(AT_FDCWD, path, AT_FDCWD, new_path, 0);
}
