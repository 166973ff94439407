/* The command line. */
#pragma once

#include "fs/fuse.h"
#include "model/config.h"

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#define DEFAULT_URI "qemu:///system"

typedef struct {
    char *uri, *mountpoint;           /* mountpoint: absolute */
    bool uri_given, mountpoint_given; /* on the command line */
    char *config_file;                /* of -o config, absolute; NULL if not given */
    char *group_name;                 /* of -o group; NULL if not given */
    Config *config;                   /* as it was at the start */
    gid_t group;                      /* what it comes to */
    int foreground, debug, help, version, print_tree;
    int sync, read_only, remount;
    int fake;              /* mount -f: only check */
    struct fuse_args fuse; /* for fuse_session_new */
} Options;

/* Reads the command line; options after the two names are taken too, so that mount(8) can call us.
 * Then, unless --help, --version or --print-tree was given, reads the configuration for what the
 * command line does not say, and checks the group and the mount point. */
bool options_parse(Options *options, int argc, char **argv, GError **error);
void options_clear(Options *options);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_clear)
void options_print_help(void);
