#include "fs/options.h"

#include "base/error.h"
#include "base/str.h"
#include "fs/configuration.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_DROP = 1, KEY_READ_ONLY, KEY_REMOUNT };

#define SET(text, field)                                                                           \
    {                                                                                              \
        text, offsetof(Options, field), 1                                                          \
    }

#define DROP(text) FUSE_OPT_KEY(text, KEY_DROP)

/* Of mount(8) to the programs that it calls for a type, whose name begins with mount. */
static const struct fuse_opt helper_spec[] = {
    SET("-f", fake), DROP("-n"), DROP("-s"), DROP("-v"), DROP("-t "), FUSE_OPT_END,
};

static const struct fuse_opt spec[] = {
    SET("-h", help),
    SET("--help", help),
    SET("-V", version),
    SET("--version", version),
    SET("--print-tree", print_tree),
    SET("-f", foreground),
    SET("-d", debug),
    SET("-s", foreground), /* of old FUSE programs: one thread; we always have several, but stay in
                              front */
    SET("sync", sync),
    {"group=%s", offsetof(Options, group_name), 0},
    {"config=%s", offsetof(Options, config_file), 0},
    FUSE_OPT_KEY("ro", KEY_READ_ONLY), /* the kernel is to know it, too */
    FUSE_OPT_KEY("remount", KEY_REMOUNT),
    /* Words of fstab(5) that mount(8) hands down: for it, for systemd, or for kernels' file
     * systems. What is not here and means nothing to libfuse is an error. */
    DROP("defaults"),
    DROP("auto"),
    DROP("noauto"),
    DROP("nofail"),
    DROP("_netdev"),
    DROP("user"),
    DROP("users"),
    DROP("nouser"),
    DROP("owner"),
    DROP("group"),
    DROP("comment="),
    DROP("silent"),
    DROP("loud"),
    DROP("relatime"),
    DROP("norelatime"),
    DROP("strictatime"),
    DROP("nostrictatime"),
    DROP("diratime"),
    DROP("nodiratime"),
    DROP("lazytime"),
    DROP("nolazytime"),
    DROP("x-"),
    FUSE_OPT_END,
};

static int take_name(Options *options, const char *name)
{
    if (!options->mountpoint) {
        options->mountpoint = g_strdup(name);
        return 0;
    }
    if (options->uri)
        return -1;
    options->uri = options->mountpoint;
    options->mountpoint = g_strdup(name);
    return 0;
}

static int take(void *data, const char *arg, int key, struct fuse_args *out)
{
    Options *options = data;

    options->read_only |= key == KEY_READ_ONLY;
    options->remount |= key == KEY_REMOUNT;
    if (key == KEY_DROP || (key == FUSE_OPT_KEY_OPT && g_str_has_prefix(arg, "x-")))
        return 0;
    return key == FUSE_OPT_KEY_NONOPT ? take_name(options, arg) : 1;
}

/* A second tree would cover the first one, whose daemon would go on unseen. */
static bool is_ours(const char *directory)
{
    g_autofree char *version = g_build_filename(directory, ".vmsnapfs", "version", NULL);

    return access(version, F_OK) == 0;
}

/* Work on a file below it would wait for us, while we wait for the work. */
static bool is_in_ours(const char *directory)
{
    g_autofree char *above = g_path_get_dirname(directory);

    return is_ours(above) || (strcmp(above, directory) != 0 && is_in_ours(above));
}

/* Absolute, since the daemon's working directory is the root. */
static bool find_mountpoint(Options *options, GError **error)
{
    struct stat info;

    if (!options->mountpoint) {
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_INVALID,
            "no mount point: vmsnapfs [URI] MOUNTPOINT, or `mountpoint` in the configuration");
        return false;
    }
    g_autofree char *given = g_steal_pointer(&options->mountpoint);
    char *path = realpath(given, NULL);
    if (!path || stat(path, &info) != 0) {
        error_set_errno(error, errno, "the mount point \"%s\" cannot be used%s", given,
                        errno == ENOTCONN ? " (a dead mount: fusermount3 -u it first)" : "");
        free(path);
        return false;
    }
    options->mountpoint = g_strdup(path);
    free(path);
    if (!S_ISDIR(info.st_mode))
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "the mount point \"%s\" is not a directory",
                    given);
    else if (is_ours(options->mountpoint))
        g_set_error(error, VMSNAPFS_ERROR, ERR_EXISTS,
                    "cannot mount on \"%s\": a tree is mounted there already; umount it first",
                    given);
    else if (is_in_ours(options->mountpoint))
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "cannot mount on \"%s\": it is inside a tree of vmsnapfs; take a directory "
                    "outside of it",
                    given);
    else
        return true;
    return false;
}

static void add_own_arguments(Options *options)
{
    char *names = NULL;
    g_autofree char *fsname = g_strconcat("fsname=", options->uri, NULL);

    fuse_opt_add_opt_escaped(&names, fsname);
    fuse_opt_add_opt(&names, "subtype=vmsnapfs");
    fuse_opt_add_opt(&names, "default_permissions");
    fuse_opt_add_arg(&options->fuse, "-o");
    fuse_opt_add_arg(&options->fuse, names);
    if (options->debug)
        fuse_opt_add_arg(&options->fuse, "-d");
    free(names);
}

static int drop(void *data, const char *arg, int key, struct fuse_args *out)
{
    return key != KEY_DROP;
}

static void make_absolute(char **path)
{
    g_autofree char *absolute = g_canonicalize_filename(*path, NULL);

    free(*path);
    *path = strdup(absolute); /* as libfuse makes them */
}

/* The command line comes before the file. The daemon's working directory is the root, and the file
 * is read again. */
static bool read_configuration(Options *options, GError **error)
{
    if (options->config_file)
        make_absolute(&options->config_file);
    options->config = configuration_read(options, error);
    if (!options->config || !configuration_group(options, options->config, &options->group, error))
        return false;
    options->uri_given = options->uri;
    options->mountpoint_given = options->mountpoint;
    if (!options->uri)
        options->uri = g_strdup(options->config->uri ? options->config->uri : DEFAULT_URI);
    if (!options->mountpoint)
        options->mountpoint = g_strdup(options->config->mountpoint);
    return true;
}

bool options_parse(Options *options, int argc, char **argv, GError **error)
{
    g_autofree char *name = g_path_get_basename(argv[0]);
    bool helper = g_str_has_prefix(name, "mount.");

    *options = (Options){.fuse = FUSE_ARGS_INIT(argc, argv)};
    if ((helper && fuse_opt_parse(&options->fuse, options, helper_spec, drop) != 0) ||
        fuse_opt_parse(&options->fuse, options, spec, take) != 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "the command line cannot be understood: see vmsnapfs --help");
        return false;
    }
    if (options->help || options->version || options->print_tree)
        return true;
    if (options->remount) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "a mounted tree cannot be remounted: umount it and mount it again with the "
                    "options that it is to have");
        return false;
    }
    options->foreground |= options->debug;
    if (!read_configuration(options, error) || !find_mountpoint(options, error))
        return false;
    add_own_arguments(options);
    return true;
}

void options_clear(Options *options)
{
    fuse_opt_free_args(&options->fuse);
    g_clear_pointer(&options->uri, g_free);
    g_clear_pointer(&options->mountpoint, g_free);
    g_clear_pointer(&options->config, config_unref);
    g_clear_pointer(&options->config_file, free); /* this and the next: libfuse's */
    g_clear_pointer(&options->group_name, free);
}

void options_print_help(void)
{
    printf("usage: vmsnapfs [-f] [-d] [-o OPTION,...] [URI] MOUNTPOINT\n"
           "\n"
           "Shows the virtual machines of libvirt at URI (default " DEFAULT_URI
           ") as directories under\n"
           "MOUNTPOINT: mkdir takes a snapshot, mv renames, rmdir removes, ln -sfn reverts.\n"
           "\n"
           "    -f              stay in the foreground, log to stderr\n"
           "    -d              and print each FUSE operation\n"
           "    -o ro           change nothing\n"
           "    -o sync         rmdir of a snapshot answers when it is merged\n"
           "    -o config=FILE  the configuration, instead of /etc/vmsnapfs.yaml\n"
           "    -o group=NAME   whose members may use the tree (with allow_other)\n"
           "    -o allow_other  let other users than the one who mounts in, as far as modes allow\n"
           "    -o ...          the other options of FUSE file systems, see mount.fuse3(8)\n"
           "    --print-tree    print the modes and names of everything in the tree\n"
           "    --help, --version\n"
           "\n"
           "Unmount with umount MOUNTPOINT, or end the program with SIGTERM.\n");
}
