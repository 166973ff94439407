#include "fs/configuration.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/vmsnapfs.yaml"
#define MOST         (1024 * 1024) /* bytes */

/* ---- the file ---- */

/* Never waits: what is opened at a SIGHUP may have become anything meanwhile. /dev/null is a file
 * that says nothing. */
static int open_file(const char *path)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 || (fstat(fd, &info) == 0 && (S_ISREG(info.st_mode) || S_ISCHR(info.st_mode))))
        return fd;
    close(fd);
    errno = S_ISDIR(info.st_mode) ? EISDIR : ESPIPE;
    return -1;
}

static GByteArray *read_all(int fd)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    guint8 chunk[4096];

    for (;;) {
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got == 0)
            return g_steal_pointer(&bytes);
        if (got < 0 && errno != EINTR)
            return NULL;
        if (got > 0)
            g_byte_array_append(bytes, chunk, (guint)got);
        if (bytes->len > MOST) {
            errno = EFBIG;
            return NULL;
        }
    }
}

Config *configuration_read(const Options *options, GError **error)
{
    const char *path = options->config_file ? options->config_file : DEFAULT_FILE;
    int fd = open_file(path);

    if (fd < 0 && errno == ENOENT && !options->config_file)
        return config_new();
    g_autoptr(GByteArray) bytes = fd < 0 ? NULL : read_all(fd);
    if (!bytes)
        error_set_errno(error, errno, "the configuration %s cannot be read", path);
    if (fd >= 0)
        close(fd);
    return bytes ? config_parse(path, (const char *)bytes->data, bytes->len, error) : NULL;
}

/* ---- the group ---- */

bool configuration_group(const Options *options, const Config *config, gid_t *out_group,
                         GError **error)
{
    const char *name = options->group_name ? options->group_name : config->group;
    guint64 number = 0;

    *out_group = getegid();
    if (!name)
        return true;
    const struct group *group = getgrnam(name);
    if (!group && !g_ascii_string_to_unsigned(name, 10, 0, (gid_t)-2, &number, NULL)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "there is no group \"%s\": see getent group", name);
        return false;
    }
    *out_group = group ? group->gr_gid : (gid_t)number;
    return true;
}

/* ---- reading it again ---- */

/* What only a mount can change. */
static char *find_problem(const Options *options, const Config *config)
{
    bool other_uri = !options->uri_given &&
                     g_strcmp0(config->uri ? config->uri : DEFAULT_URI, options->uri) != 0;
    bool other_mountpoint = !options->mountpoint_given &&
                            g_strcmp0(config->mountpoint, options->config->mountpoint) != 0;

    if (!other_uri && !other_mountpoint)
        return g_strdup("");
    return g_strdup_printf("%s in %s changed, which a mounted tree does not follow: unmount it and "
                           "mount again; all else is in force",
                           other_uri ? other_mountpoint ? "uri and mountpoint" : "uri"
                                     : "mountpoint",
                           *config->path ? config->path : DEFAULT_FILE);
}

static bool reload(Face *face, const Options *options, GError **error)
{
    g_autoptr(Config) config = configuration_read(options, error);
    gid_t group;

    if (!config || !configuration_group(options, config, &group, error))
        return false;
    g_autofree char *problem = find_problem(options, config);
    g_atomic_int_set(&face->group, (gint)group);
    engine_configure(face->engine, config, problem);
    return true;
}

void configuration_reload(Face *face, const Options *options)
{
    g_autoptr(GError) error = NULL;

    if (!reload(face, options, &error))
        engine_configure_failed(face->engine,
                                options->config_file ? options->config_file : DEFAULT_FILE, error);
}
