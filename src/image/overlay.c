/* An overlay is made under a temporary name that is ours alone, given the looks of the file that it
 * will cover, read back, synced, and only then linked under its own name. link(2) never replaces,
 * so whatever has that name stays. The temporary name follows from the path, so a leftover of a
 * dead program is found again. */
#include "image/overlay.h"
#include "image/header.h"
#include "image/looks.h"
#include "image/tool.h"
#include "image/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

char *overlay_temporary_path(const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, path, -1);

    return g_strdup_printf("%s/.vmsnapfs-%.16s.new", directory, hash);
}

bool overlay_is_temporary(const char *path)
{
    g_autofree char *name = g_path_get_basename(path);

    return strlen(name) == strlen(".vmsnapfs-0123456789abcdef.new") &&
           g_str_has_prefix(name, ".vmsnapfs-") && g_str_has_suffix(name, ".new");
}

static bool remove_file(const char *path, GError **error)
{
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    error_set_errno(error, errno, "Cannot remove the left-over %s", path);
    return false;
}

bool overlay_remove_temporary(const char *path, GError **error)
{
    g_autofree char *temporary = overlay_temporary_path(path);

    return remove_file(temporary, error);
}

bool overlay_sync_directory(const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;

    if (!synced)
        error_set_errno(error, errno, "Cannot make the change of %s durable", directory);
    if (fd >= 0)
        close(fd);
    return synced;
}

bool overlay_check_header(const char *path, const char *backing, const char *backing_format,
                          uint64_t capacity, GError **error)
{
    ImageFacts *facts = header_inspect(path);
    bool good = facts->exists && !facts->error && !g_strcmp0(facts->probed, "qcow2") &&
                !g_strcmp0(facts->backing, backing) &&
                !g_strcmp0(facts->backing_format, backing_format) &&
                (capacity == 0 || facts->capacity == capacity);

    if (!good)
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                    "The header of %s does not say what was asked for: %s", path,
                    facts->error ? facts->error : "backing file, format or size differ");
    image_facts_free(facts);
    return good;
}

static bool copy_looks(const char *backing, int to, GError **error)
{
    int from = trust_open(backing, O_RDONLY, error);
    bool done = from >= 0 && looks_copy(from, to, 0777);

    if (from >= 0 && !done)
        error_set_errno(error, errno, "Cannot give an overlay the owner, mode and label of %s",
                        backing);
    if (from >= 0)
        close(from);
    return done;
}

static bool is_at(int fd, const char *path)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && lstat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

/* Fill @temporary, which @fd made and still is. */
static bool fill(int fd, const char *temporary, const char *backing, const char *backing_format,
                 uint64_t capacity, GError **error)
{
    /* QEMU counts in sectors. */
    uint64_t rounded = (capacity + SECTOR - 1) / SECTOR * SECTOR;

    if (!tool_create(fd, temporary, backing, backing_format, rounded, error) ||
        !copy_looks(backing, fd, error))
        return false;
    if (!is_at(fd, temporary)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                    "%s was replaced while it was being made; who does that?", temporary);
        return false;
    }
    if (!overlay_check_header(temporary, backing, backing_format, rounded, error))
        return false;
    if (fsync(fd) < 0) {
        error_set_errno(error, errno, "Cannot make %s durable", temporary);
        return false;
    }
    return true;
}

static bool check_backing(const char *backing, GError **error)
{
    struct stat status;

    if (stat(backing, &status) < 0) {
        error_set_errno(error, errno, "Cannot look at %s, which is to be covered", backing);
        return false;
    }
    if (S_ISREG(status.st_mode))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                "%s is not a regular file and cannot be covered", backing);
    return false;
}

static bool publish(const char *temporary, const char *path, GError **error)
{
    if (link(temporary, path) < 0) {
        error_set_errno(error, errno, "Cannot make the overlay %s", path);
        return false;
    }
    if (!remove_file(temporary, error) || !overlay_sync_directory(path, error)) {
        unlink(path);
        return false;
    }
    return true;
}

bool overlay_create(const char *path, const char *backing, const char *backing_format,
                    uint64_t capacity, GError **error)
{
    g_autofree char *temporary = overlay_temporary_path(path);
    struct stat status;
    bool made;
    int fd;

    if (lstat(path, &status) == 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_EXISTS,
                    "Cannot make the overlay %s: a file of that name exists", path);
        return false;
    }
    if (!check_backing(backing, error) || !remove_file(temporary, error))
        return false;
    fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        error_set_errno(error, errno, "Cannot make the overlay %s", path);
        return false;
    }
    made = fill(fd, temporary, backing, backing_format, capacity, error) &&
           publish(temporary, path, error);
    close(fd);
    if (!made)
        unlink(temporary);
    return made;
}
