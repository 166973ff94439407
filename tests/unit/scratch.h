/* Scratch directories of tests. */
#pragma once

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/mount.h>

/* Removes @path and all that is below it. */
static inline void remove_tree(const char *path)
{
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        if (g_unlink(child) < 0)
            remove_tree(child);
    }
    g_clear_pointer(&directory, g_dir_close);
    g_rmdir(path);
}

/* A small file system in memory on @directory, of the tmpfs option @size; false with errno where
 * none can be mounted. In a namespace of our own, so that nothing is left mounted; in a chroot "/"
 * is no mount and cannot be made private. */
static inline bool mount_small(const char *directory, const char *size)
{
    return unshare(CLONE_NEWNS) == 0 &&
           (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno == EINVAL) &&
           mount("tmpfs", directory, "tmpfs", 0, size) == 0;
}
