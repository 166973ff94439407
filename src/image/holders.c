#include "image/holders.h"

#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Not asked of the file system anew: a descriptor may be of one whose server hangs, or is us, and
 * we would wait for it. */
static bool is_same(const char *link, const struct stat *file)
{
    struct statx seen;

    return statx(AT_FDCWD, link, AT_STATX_DONT_SYNC, STATX_INO, &seen) == 0 &&
           makedev(seen.stx_dev_major, seen.stx_dev_minor) == file->st_dev &&
           seen.stx_ino == file->st_ino;
}

static bool has_open(const char *pid, const struct stat *file)
{
    g_autofree char *path = g_strdup_printf("/proc/%s/fd", pid);
    g_autoptr(GDir) descriptors = g_dir_open(path, 0, NULL);
    const char *name;

    while (descriptors && (name = g_dir_read_name(descriptors))) {
        g_autofree char *link = g_build_filename(path, name, NULL);

        if (is_same(link, file))
            return true;
    }
    return false;
}

/* The processes that have @path open, as text; of char *. */
static GPtrArray *holders_of(const char *path)
{
    GPtrArray *pids = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *self = g_strdup_printf("%ld", (long)getpid());
    g_autoptr(GDir) processes = g_dir_open("/proc", 0, NULL);
    struct stat file;
    const char *name;

    if (stat(path, &file) < 0)
        return pids;
    while (processes && (name = g_dir_read_name(processes)))
        if (g_ascii_isdigit(*name) && strcmp(name, self) != 0 && has_open(name, &file))
            g_ptr_array_add(pids, g_strdup(name));
    return pids;
}

bool holders_have(const char *path, const char *beside)
{
    g_autoptr(GPtrArray) pids = holders_of(path);
    struct stat file;

    if (pids->len == 0 || stat(beside, &file) < 0)
        return false;
    for (guint i = 0; i < pids->len; i++)
        if (!has_open(pids->pdata[i], &file))
            return false;
    return true;
}

char *holders_describe(const char *path)
{
    g_autoptr(GPtrArray) pids = holders_of(path);
    g_autofree char *file = NULL;
    g_autofree char *name = NULL;

    if (pids->len == 0)
        return NULL;
    file = g_strdup_printf("/proc/%s/comm", (char *)pids->pdata[0]);
    if (!g_file_get_contents(file, &name, NULL, NULL))
        return g_strdup_printf("process %s", (char *)pids->pdata[0]);
    return g_strdup_printf("process %s (%s)", (char *)pids->pdata[0], g_strstrip(name));
}
