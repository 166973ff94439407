/* Images on disk: qemu-img for what only it can do, and our own calls for the rest. */
#include "image/image.h"
#include "base/fd.h"
#include "base/walk.h"
#include "image/header.h"
#include "image/holders.h"
#include "image/lock.h"
#include "image/overlay.h"
#include "image/state.h"
#include "image/tool.h"
#include "image/trust.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define UNLINK_WAIT_MS 5000
#define STEADY_S                                                                                   \
    2 /* a ctime is a few milliseconds coarse, on other hosts' storage perhaps a second */
#define CHAIN_MAX 300

G_DEFINE_AUTOPTR_CLEANUP_FUNC(ImageFacts, image_facts_free)

static ImageFacts *real_inspect(Images *images, const char *path)
{
    return header_inspect(path);
}

static bool real_identify(Images *images, const char *path, ImageIdentity *out_identity)
{
    g_auto(Descriptor) fd = walk_open(path, NULL);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    *out_identity = (ImageIdentity){.device = status.st_dev, .inode = status.st_ino};
    if (time(NULL) - status.st_ctim.tv_sec >= STEADY_S)
        out_identity->changed =
            status.st_ctim.tv_sec * INT64_C(1000000000) + status.st_ctim.tv_nsec;
    return true;
}

static GPtrArray *real_list(Images *images, const char *directory, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    struct dirent *entry;
    DIR *stream;

    if (walk_is_own(directory)) /* which holds no images */
        return g_steal_pointer(&paths);
    stream = opendir(directory);
    if (!stream && (errno == ENOENT || errno == ENOTDIR))
        return g_steal_pointer(&paths);
    errno = stream ? 0 : errno;
    while (stream && (errno = 0, entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            g_ptr_array_add(paths, g_build_filename(directory, entry->d_name, NULL));
    int failure = errno;
    if (stream)
        closedir(stream);
    if (!failure)
        return g_steal_pointer(&paths);
    error_set_errno(error, failure, "Cannot list the images in %s", directory);
    return NULL;
}

static bool real_create_overlay(Images *images, const char *path, const char *backing,
                                const char *backing_format, uint64_t capacity, GError **error)
{
    return overlay_create(path, backing, backing_format, capacity, error);
}

static bool sync_file(int fd, const char *path, GError **error)
{
    if (fsync(fd) == 0)
        return true;
    error_set_errno(error, errno, "Cannot make the change of %s durable", path);
    return false;
}

static bool check_readable(const char *path, const ImageFacts *facts, GError **error)
{
    if (!facts->exists)
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "%s does not exist", path);
    else if (facts->error)
        g_set_error_literal(error, VMSNAPFS_ERROR, ERR_IO, facts->error);
    else if (facts->data_file)
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "%s keeps its data in another file, which is not written to", path);
    else if (facts->encrypted)
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED, "%s is encrypted", path);
    return facts->exists && !facts->error && !facts->data_file && !facts->encrypted;
}

static bool is_same_file(const ImageFacts *a, const ImageFacts *b)
{
    return a->exists && b->exists && a->device == b->device && a->inode == b->inode;
}

/* The header of what is right above @below, on the way from @top down, must state its format. */
static bool check_format(const char *top, const ImageFacts *facts, const char *below,
                         const char *format, GError **error)
{
    if (g_strcmp0(facts->backing_format, format) == 0)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                "Cannot merge %s down into %s: the header above that file says it is %s, but it is "
                "%s",
                top, below, facts->backing_format ? facts->backing_format : "of no stated format",
                format);
    return false;
}

/* qemu-img follows the headers from @top down to @base: they must lead there, and state @base's
 * format; what is between is qcow2. *out_bytes: what all above base have. */
static bool check_commit(const char *top, const char *base, const char *base_format,
                         uint64_t *out_bytes, GError **error)
{
    g_autoptr(ImageFacts) below = header_inspect(base);
    g_autoptr(ImageFacts) facts = header_inspect(top);
    g_autofree char *path = g_strdup(top);

    *out_bytes = 0;
    if (!check_readable(base, below, error))
        return false;
    for (unsigned depth = 0; depth < CHAIN_MAX; depth++) {
        if (!check_readable(path, facts, error))
            return false;
        *out_bytes += facts->allocation;
        if (!facts->backing)
            break;
        ImageFacts *next = header_inspect(facts->backing);
        bool there = is_same_file(next, below);
        bool good = check_format(top, facts, facts->backing, there ? base_format : "qcow2", error);

        g_free(path);
        path = g_strdup(facts->backing);
        image_facts_free(facts);
        facts = next;
        if (!good || there)
            return good;
    }
    g_set_error(
        error, VMSNAPFS_ERROR, ERR_DRIFT,
        "Cannot merge %s into %s: the backing files that the headers name do not lead there", top,
        base);
    return false;
}

static bool real_commit(Images *images, const char *top, const char *top_format, const char *base,
                        const char *base_format, uint64_t bandwidth, ImageProgress progress,
                        void *data, GError **error)
{
    g_auto(Descriptor) over = trust_open_alone(top, O_RDWR, error);
    g_auto(Descriptor) under = over < 0 ? -1 : trust_open_alone(base, O_RDWR, error);
    uint64_t bytes;

    return under >= 0 && check_commit(top, base, base_format, &bytes, error) &&
           tool_commit(over, top, top_format, under, base, bytes, bandwidth, progress, data,
                       error) &&
           sync_file(under, base, error);
}

static bool real_compare(Images *images, const char *a, const char *a_format, const char *b,
                         const char *b_format, ImageProgress progress, void *data, bool *out_same,
                         GError **error)
{
    g_autoptr(ImageFacts) one = header_inspect(a);
    g_autoptr(ImageFacts) other = header_inspect(b);

    return check_readable(a, one, error) && check_readable(b, other, error) &&
           tool_compare(a, a_format, b, b_format, MAX(one->capacity, other->capacity), progress,
                        data, out_same, error);
}

static bool real_repoint(Images *images, const char *path, const char *backing,
                         const char *backing_format, GError **error)
{
    g_auto(Descriptor) fd = trust_open_alone(path, O_RDWR, error);
    g_autoptr(ImageFacts) facts = header_inspect(path);

    return fd >= 0 && check_readable(path, facts, error) &&
           tool_rebase(fd, path, backing, backing_format, error) && sync_file(fd, path, error) &&
           overlay_check_header(path, backing, backing_format, 0, error);
}

static bool unlink_image(const char *path, bool sure, GError **error)
{
    if (!sure) {
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_IO,
            "Will not remove %s: it is a symlink, or was replaced just now; remove it by hand",
            path);
        return false;
    }
    if (unlink(path) < 0) {
        error_set_errno(error, errno, "Cannot remove %s", path);
        return false;
    }
    return true;
}

static bool unlink_locked(const char *path, GError **error)
{
    g_autoptr(GError) reason = NULL;
    ImageLock *lock = lock_take(path, UNLINK_WAIT_MS, &reason);
    bool gone =
        lock ? unlink_image(path, lock_is_on(lock, path), error) : error_is(reason, ERR_NOT_FOUND);

    lock_release(lock);
    if (!gone && reason)
        g_propagate_error(error, g_steal_pointer(&reason));
    return gone;
}

static bool unlink_held(const char *path, GError **error)
{
    struct stat status;

    return unlink_image(path, lstat(path, &status) == 0 && S_ISREG(status.st_mode), error);
}

static bool real_unlink(Images *images, const char *path, const char *beside, GError **error)
{
    bool held = beside && holders_have(path, beside);

    return (held ? unlink_held(path, error) : unlink_locked(path, error)) &&
           overlay_remove_temporary(path, error) && overlay_sync_directory(path, error);
}

static ImageLock *real_lock(Images *images, const char *path, unsigned wait_ms, GError **error)
{
    return lock_take(path, wait_ms, error);
}

static void real_unlock(Images *images, ImageLock *lock)
{
    lock_release(lock);
}

static bool real_free_space(Images *images, const char *directory, FreeSpace *out_space,
                            GError **error)
{
    struct statvfs status;
    struct stat which;

    if (!walk_check(directory, error))
        return false;
    if (statvfs(directory, &status) < 0 || stat(directory, &which) < 0) {
        error_set_errno(error, errno, "Cannot ask for the free space of %s", directory);
        return false;
    }
    *out_space = (FreeSpace){which.st_dev, (uint64_t)status.f_bavail * status.f_frsize};
    return true;
}

static GBytes *real_read_state(Images *images, const char *path, GError **error)
{
    return state_read(path, error);
}

static bool real_write_state(Images *images, const char *path, GBytes *content, const char *like,
                             bool replace, GError **error)
{
    return state_write(path, content, like, replace, error);
}

static GPtrArray *real_read_state_directory(Images *images, const char *path, GError **error)
{
    return state_read_directory(path, error);
}

static bool real_write_state_directory(Images *images, const char *path, const GPtrArray *files,
                                       const char *like, GError **error)
{
    return state_write_directory(path, files, like, error);
}

static bool real_exchange(Images *images, const char *a, const char *b, GError **error)
{
    return state_exchange(a, b, error);
}

static bool real_remove_state_directory(Images *images, const char *path, GError **error)
{
    return state_remove_directory(path, error);
}

static void real_free(Images *images)
{
    g_free(images);
}

Images *image_real(void)
{
    static const ImageOps ops = {
        .inspect = real_inspect,
        .identify = real_identify,
        .list = real_list,
        .create_overlay = real_create_overlay,
        .commit = real_commit,
        .compare = real_compare,
        .repoint = real_repoint,
        .unlink = real_unlink,
        .lock = real_lock,
        .unlock = real_unlock,
        .read_state = real_read_state,
        .write_state = real_write_state,
        .read_state_directory = real_read_state_directory,
        .write_state_directory = real_write_state_directory,
        .exchange = real_exchange,
        .remove_state_directory = real_remove_state_directory,
        .free_space = real_free_space,
        .free = real_free,
    };
    Images *images = g_new0(Images, 1);

    images->ops = &ops;
    return images;
}
