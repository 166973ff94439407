/* Each effect asks before and after. Reading is a question, which is not counted among the effects.
 * Unlocking always works: a dead program holds no lock. */
#include "image/faulty.h"

typedef struct {
    Images images;
    Images *inner; /* both borrowed */
    Fault *fault;
} FaultyImages;

static FaultyImages *faulty_of(Images *images)
{
    return (FaultyImages *)images;
}

/* Asked also when the call failed by itself, whose error stays: else the armed answer would wait
 * for a later call. */
static bool after(const FaultyImages *faulty, const char *what, bool done, GError **error)
{
    return fault_after(faulty->fault, what, done ? error : NULL) && done;
}

static ImageFacts *faulty_inspect(Images *images, const char *path)
{
    const FaultyImages *faulty = faulty_of(images);
    g_autoptr(GError) dead = NULL;

    if (fault_question(faulty->fault, "images.inspect", &dead))
        return faulty->inner->ops->inspect(faulty->inner, path);

    ImageFacts *facts = image_facts_new();
    facts->exists = !fault_is_dead(faulty->fault); /* it cannot be read */
    facts->error = g_strdup(dead->message);
    return facts;
}

static bool faulty_identify(Images *images, const char *path, ImageIdentity *out_identity)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_question(faulty->fault, "images.identify", NULL) &&
           faulty->inner->ops->identify(faulty->inner, path, out_identity);
}

static GPtrArray *faulty_list(Images *images, const char *directory, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_question(faulty->fault, "images.list", error)
               ? faulty->inner->ops->list(faulty->inner, directory, error)
               : NULL;
}

static bool faulty_create_overlay(Images *images, const char *path, const char *backing,
                                  const char *backing_format, uint64_t capacity, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.create_overlay", error) &&
           after(faulty, "images.create_overlay",
                 faulty->inner->ops->create_overlay(faulty->inner, path, backing, backing_format,
                                                    capacity, error),
                 error);
}

typedef struct {
    Fault *fault;
    ImageProgress progress;
    void *data;
    bool half;
    GError *error;
} HalfWay;

/* Something may also go wrong in the middle, when the base is half written. The answer of the whole
 * commit stands for that of the half, so only the question before is asked. */
static bool half_way(uint64_t done, uint64_t total, void *data)
{
    HalfWay *way = data;

    if (!way->half && done < total && done >= total / 2) {
        way->half = true;
        if (!fault_before(way->fault, "images.commit half", &way->error))
            return false;
    }
    return !way->progress || way->progress(done, total, way->data);
}

static bool faulty_commit(Images *images, const char *top, const char *top_format, const char *base,
                          const char *base_format, uint64_t bandwidth, ImageProgress progress,
                          void *data, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);
    HalfWay way = {.fault = faulty->fault, .progress = progress, .data = data};
    g_autoptr(GError) failure = NULL;

    if (!fault_before(faulty->fault, "images.commit", error))
        return false;

    bool done = faulty->inner->ops->commit(faulty->inner, top, top_format, base, base_format,
                                           bandwidth, half_way, &way, &failure);
    if (way.error)
        g_propagate_error(error, way.error);
    else if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return after(faulty, "images.commit", done, error);
}

static bool faulty_compare(Images *images, const char *a, const char *a_format, const char *b,
                           const char *b_format, ImageProgress progress, void *data, bool *out_same,
                           GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_question(faulty->fault, "images.compare", error) &&
           faulty->inner->ops->compare(faulty->inner, a, a_format, b, b_format, progress, data,
                                       out_same, error);
}

static bool faulty_repoint(Images *images, const char *path, const char *backing,
                           const char *backing_format, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.repoint", error) &&
           after(faulty, "images.repoint",
                 faulty->inner->ops->repoint(faulty->inner, path, backing, backing_format, error),
                 error);
}

static bool faulty_unlink(Images *images, const char *path, const char *beside, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.unlink", error) &&
           after(faulty, "images.unlink",
                 faulty->inner->ops->unlink(faulty->inner, path, beside, error), error);
}

static ImageLock *faulty_lock(Images *images, const char *path, unsigned wait_ms, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    if (!fault_before(faulty->fault, "images.lock", error))
        return NULL;

    ImageLock *lock = faulty->inner->ops->lock(faulty->inner, path, wait_ms, error);
    if (after(faulty, "images.lock", lock != NULL, error))
        return lock;
    if (lock)
        faulty->inner->ops->unlock(faulty->inner, lock);
    return NULL;
}

static void faulty_unlock(Images *images, ImageLock *lock)
{
    faulty_of(images)->inner->ops->unlock(faulty_of(images)->inner, lock);
}

static bool faulty_free_space(Images *images, const char *directory, FreeSpace *out_space,
                              GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_question(faulty->fault, "images.free_space", error) &&
           faulty->inner->ops->free_space(faulty->inner, directory, out_space, error);
}

static GBytes *faulty_read_state(Images *images, const char *path, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_question(faulty->fault, "images.read_state", error)
               ? faulty->inner->ops->read_state(faulty->inner, path, error)
               : NULL;
}

static bool faulty_write_state(Images *images, const char *path, GBytes *content, const char *like,
                               bool replace, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.write_state", error) &&
           after(
               faulty, "images.write_state",
               faulty->inner->ops->write_state(faulty->inner, path, content, like, replace, error),
               error);
}

static GPtrArray *faulty_read_state_directory(Images *images, const char *path, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_question(faulty->fault, "images.read_state_directory", error)
               ? faulty->inner->ops->read_state_directory(faulty->inner, path, error)
               : NULL;
}

static bool faulty_write_state_directory(Images *images, const char *path, const GPtrArray *files,
                                         const char *like, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.write_state_directory", error) &&
           after(faulty, "images.write_state_directory",
                 faulty->inner->ops->write_state_directory(faulty->inner, path, files, like, error),
                 error);
}

static bool faulty_exchange(Images *images, const char *a, const char *b, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.exchange", error) &&
           after(faulty, "images.exchange",
                 faulty->inner->ops->exchange(faulty->inner, a, b, error), error);
}

static bool faulty_remove_state_directory(Images *images, const char *path, GError **error)
{
    const FaultyImages *faulty = faulty_of(images);

    return fault_before(faulty->fault, "images.remove_state_directory", error) &&
           after(faulty, "images.remove_state_directory",
                 faulty->inner->ops->remove_state_directory(faulty->inner, path, error), error);
}

static void faulty_free(Images *images)
{
    g_free(images);
}

static const ImageOps faulty_ops = {
    .inspect = faulty_inspect,
    .identify = faulty_identify,
    .list = faulty_list,
    .create_overlay = faulty_create_overlay,
    .commit = faulty_commit,
    .compare = faulty_compare,
    .repoint = faulty_repoint,
    .unlink = faulty_unlink,
    .lock = faulty_lock,
    .unlock = faulty_unlock,
    .read_state = faulty_read_state,
    .write_state = faulty_write_state,
    .read_state_directory = faulty_read_state_directory,
    .write_state_directory = faulty_write_state_directory,
    .exchange = faulty_exchange,
    .remove_state_directory = faulty_remove_state_directory,
    .free_space = faulty_free_space,
    .free = faulty_free,
};

Images *image_faulty(Images *inner, Fault *fault)
{
    FaultyImages *faulty = g_new0(FaultyImages, 1);

    faulty->images.ops = &faulty_ops;
    faulty->inner = inner;
    faulty->fault = fault;
    return &faulty->images;
}
