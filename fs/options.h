/* The command line. */
#pragma once

#include "fs/fuse.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct {
    char *uri, *mountpoint; /* mountpoint: absolute */
    char *group_name;       /* as given, NULL if not */
    gid_t group;
    int foreground, debug, help, version, print_tree;
    int sync;
    struct fuse_args fuse; /* for fuse_session_new */
} Options;

/* Reads the command line; options after the two names are taken too, so that mount(8) can call us.
 * Checks the group, and the mount point unless --help, --version or --print-tree was given. */
bool options_parse(Options *options, int argc, char **argv, GError **error);
void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)
void options_print_help(void);
