#include "image/fake.h"

#include "model/simhost-face.h"

typedef struct {
    Images images;
    SimHost *host; /* borrowed */
    GMutex mutex;  /* guards locks */
    GPtrArray *locks;
} FakeImages;

struct ImageLock {
    SimHost *host;
    char *path;
};

static SimHost *host_of(Images *images)
{
    return ((FakeImages *)images)->host;
}

static void slow_down(SimHost *host, SimSlow call)
{
    unsigned milliseconds = simhost_slow(host, call);

    if (milliseconds > 0)
        g_usleep(milliseconds * 1000UL);
}

static ImageFacts *fake_inspect(Images *images, const char *path)
{
    ImageFacts *facts = image_facts_new();
    SimImageFacts found = {0};

    facts->exists = simhost_image_facts(host_of(images), path, &found);
    facts->probed = g_steal_pointer(&found.format);
    facts->backing = g_steal_pointer(&found.backing);
    facts->backing_format = g_steal_pointer(&found.backing_format);
    facts->capacity = found.capacity;
    facts->allocation = found.allocation;
    facts->used = found.allocation > 0 && g_strcmp0(facts->probed, "qcow2") == 0;
    facts->written = found.written;
    facts->device = facts->exists ? 1 : 0;
    facts->inode = found.inode;
    return facts;
}

/* A header is all that is asked for, so it is changed when that is. */
static bool fake_identify(Images *images, const char *path, ImageIdentity *out_identity)
{
    g_auto(SimImageFacts) found = {0};

    if (!simhost_image_facts(host_of(images), path, &found))
        return false;
    *out_identity = (ImageIdentity){
        .device = 1,
        .inode = found.inode,
        .changed = found.backing ? (int64_t)g_str_hash(found.backing) + 1 : -1,
    };
    return true;
}

static GPtrArray *fake_list(Images *images, const char *directory, GError **error)
{
    g_autoptr(GPtrArray) all = simhost_images(host_of(images));
    g_autoptr(GPtrArray) states = simhost_state_paths(host_of(images));
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_extend_and_steal(all, g_steal_pointer(&states));
    for (unsigned i = 0; i < all->len; i++) {
        g_autofree char *parent = g_path_get_dirname(all->pdata[i]);

        if (g_str_equal(parent, directory))
            g_ptr_array_add(paths, g_strdup(all->pdata[i]));
    }
    return paths;
}

static bool fake_create_overlay(Images *images, const char *path, const char *backing,
                                const char *backing_format, uint64_t capacity, GError **error)
{
    slow_down(host_of(images), SIM_SLOW_OVERLAY);
    return simhost_overlay(host_of(images), path, backing, backing_format, capacity, error);
}

static bool fake_commit(Images *images, const char *top, const char *top_format, const char *base,
                        const char *base_format, uint64_t bandwidth, ImageProgress progress,
                        void *data, GError **error)
{
    SimHost *host = host_of(images);
    g_autoptr(SimCommit) commit =
        simhost_commit_begin(host, top, top_format, base, base_format, error);

    while (commit && commit->done < commit->blocks->len) {
        slow_down(host, SIM_SLOW_COMMIT);
        if (!simhost_commit_step(commit, error))
            return false;
        if (progress && !progress((uint64_t)commit->done * SIM_BLOCK,
                                  (uint64_t)commit->blocks->len * SIM_BLOCK, data)) {
            g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED,
                        "The commit of \"%s\" into \"%s\" was stopped; do it again to finish it.",
                        top, base);
            return false;
        }
    }
    return commit != NULL;
}

static uint64_t block_of(const GArray *content, unsigned block)
{
    return block < content->len ? g_array_index(content, guint64, block) : 0;
}

static GArray *compared_content(Images *images, const char *path, GError **error)
{
    g_auto(SimImageFacts) facts = {0};

    if (!simhost_image_facts(host_of(images), path, &facts)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "\"%s\" is not there.", path);
        return NULL;
    }
    if (facts.written) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY, "\"%s\" is in use.", path);
        return NULL;
    }
    return simhost_image_content(host_of(images), path);
}

static bool fake_compare(Images *images, const char *a, const char *a_format, const char *b,
                         const char *b_format, ImageProgress progress, void *data, bool *out_same,
                         GError **error)
{
    g_autoptr(GArray) one = compared_content(images, a, error);
    g_autoptr(GArray) other = one ? compared_content(images, b, error) : NULL;

    if (!other)
        return false;
    *out_same = true;
    for (unsigned i = 0; i < MAX(one->len, other->len); i++)
        *out_same &= block_of(one, i) == block_of(other, i);
    if (!progress || progress(one->len * SIM_BLOCK, one->len * SIM_BLOCK, data))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED,
                "The comparison of \"%s\" with \"%s\" was stopped.", a, b);
    return false;
}

static bool fake_repoint(Images *images, const char *path, const char *backing,
                         const char *backing_format, GError **error)
{
    return simhost_repoint(host_of(images), path, backing, backing_format, error);
}

static bool fake_unlink(Images *images, const char *path, const char *beside, GError **error)
{
    return simhost_unlink(host_of(images), path, beside, error);
}

static void lock_free(ImageLock *lock)
{
    simhost_unlock(lock->host, lock->path);
    g_free(lock->path);
    g_free(lock);
}

static ImageLock *fake_lock(Images *images, const char *path, unsigned wait_ms, GError **error)
{
    FakeImages *fake = (FakeImages *)images;

    if (!simhost_lock(fake->host, path, error))
        return NULL;

    ImageLock *lock = g_new0(ImageLock, 1);
    lock->host = fake->host;
    lock->path = g_strdup(path);
    g_mutex_lock(&fake->mutex);
    g_ptr_array_add(fake->locks, lock);
    g_mutex_unlock(&fake->mutex);
    return lock;
}

static void fake_unlock(Images *images, ImageLock *lock)
{
    FakeImages *fake = (FakeImages *)images;

    g_mutex_lock(&fake->mutex);
    g_ptr_array_remove(fake->locks, lock);
    g_mutex_unlock(&fake->mutex);
}

static bool fake_free_space(Images *images, const char *directory, FreeSpace *out_space,
                            GError **error)
{
    *out_space = (FreeSpace){.bytes = simhost_free_space(host_of(images))};
    return true;
}

static GBytes *fake_read_state(Images *images, const char *path, GError **error)
{
    return simhost_state_read(host_of(images), path, error);
}

static bool fake_write_state(Images *images, const char *path, GBytes *content, const char *like,
                             bool replace, GError **error)
{
    return simhost_state_write(host_of(images), path, content, replace, error);
}

static GPtrArray *fake_read_state_directory(Images *images, const char *path, GError **error)
{
    return simhost_state_read_directory(host_of(images), path, error);
}

static bool fake_write_state_directory(Images *images, const char *path, const GPtrArray *files,
                                       const char *like, GError **error)
{
    return simhost_state_write_directory(host_of(images), path, files, error);
}

static bool fake_exchange(Images *images, const char *a, const char *b, GError **error)
{
    return simhost_state_exchange(host_of(images), a, b, error);
}

static bool fake_remove_state_directory(Images *images, const char *path, GError **error)
{
    return simhost_state_remove_directory(host_of(images), path, error);
}

/* The program ends, and its locks with it. */
static void fake_free(Images *images)
{
    FakeImages *fake = (FakeImages *)images;

    g_ptr_array_unref(fake->locks);
    g_mutex_clear(&fake->mutex);
    g_free(fake);
}

static const ImageOps fake_ops = {
    .inspect = fake_inspect,
    .identify = fake_identify,
    .list = fake_list,
    .create_overlay = fake_create_overlay,
    .commit = fake_commit,
    .compare = fake_compare,
    .repoint = fake_repoint,
    .unlink = fake_unlink,
    .lock = fake_lock,
    .unlock = fake_unlock,
    .read_state = fake_read_state,
    .write_state = fake_write_state,
    .read_state_directory = fake_read_state_directory,
    .write_state_directory = fake_write_state_directory,
    .exchange = fake_exchange,
    .remove_state_directory = fake_remove_state_directory,
    .free_space = fake_free_space,
    .free = fake_free,
};

Images *image_fake(SimHost *host)
{
    FakeImages *fake = g_new0(FakeImages, 1);

    fake->images.ops = &fake_ops;
    fake->host = host;
    g_mutex_init(&fake->mutex);
    fake->locks = g_ptr_array_new_with_free_func((GDestroyNotify)lock_free);
    return &fake->images;
}
