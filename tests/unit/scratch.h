/* Scratch directories of tests. */
#pragma once

#include <glib/gstdio.h>

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
