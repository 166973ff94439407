/* Each effect asks before and after; reading is a question. A file that cannot be looked at is not
 * there. */
#include "store/faulty.h"

typedef struct {
    Files files;
    Files *inner;
    Fault *fault;
} FaultyFiles;

static FaultyFiles *faulty_of(Files *files)
{
    return (FaultyFiles *)files;
}

/* After an effect: @done and @error are its own. A call that failed by itself keeps its error, dead
 * or not. */
static bool answer(FaultyFiles *faulty, const char *what, bool done, GError **error)
{
    bool arrived = fault_after(faulty->fault, what, done ? error : NULL);

    return done && arrived;
}

static char *faulty_read(Files *files, const char *path, gsize *out_length, GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_question(faulty->fault, "files.read", error)
               ? faulty->inner->ops->read(faulty->inner, path, out_length, error)
               : NULL;
}

static bool faulty_replace(Files *files, const char *path, const char *content, gssize length,
                           GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_before(faulty->fault, "files.replace", error) &&
           answer(faulty, "files.replace",
                  faulty->inner->ops->replace(faulty->inner, path, content, length, error), error);
}

static bool faulty_put(Files *files, const char *path, const char *content, gsize length,
                       GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_before(faulty->fault, "files.put", error) &&
           answer(faulty, "files.put",
                  faulty->inner->ops->put(faulty->inner, path, content, length, error), error);
}

static bool faulty_sync(Files *files, const char *path, GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_before(faulty->fault, "files.sync", error) &&
           answer(faulty, "files.sync", faulty->inner->ops->sync(faulty->inner, path, error),
                  error);
}

static bool faulty_remove(Files *files, const char *path, GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_before(faulty->fault, "files.remove", error) &&
           answer(faulty, "files.remove", faulty->inner->ops->remove(faulty->inner, path, error),
                  error);
}

static bool faulty_make_directory(Files *files, const char *path, GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_before(faulty->fault, "files.make_directory", error) &&
           answer(faulty, "files.make_directory",
                  faulty->inner->ops->make_directory(faulty->inner, path, error), error);
}

static bool faulty_exists(Files *files, const char *path)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_question(faulty->fault, "files.exists", NULL) &&
           faulty->inner->ops->exists(faulty->inner, path);
}

static GPtrArray *faulty_list(Files *files, const char *directory, GError **error)
{
    FaultyFiles *faulty = faulty_of(files);

    return fault_question(faulty->fault, "files.list", error)
               ? faulty->inner->ops->list(faulty->inner, directory, error)
               : NULL;
}

/* An answer that is lost leaves no lock behind: the kernel takes a dead program's locks back, and a
 * living one that got an error cannot give back what it was not given. */
static FilesLock *faulty_lock(Files *files, const char *path, GError **error)
{
    FaultyFiles *faulty = faulty_of(files);
    FilesLock *lock;

    if (!fault_before(faulty->fault, "files.lock", error))
        return NULL;
    lock = faulty->inner->ops->lock(faulty->inner, path, error);
    if (answer(faulty, "files.lock", lock != NULL, error))
        return lock;
    if (lock)
        faulty->inner->ops->unlock(faulty->inner, lock);
    return NULL;
}

/* Also when dead: the kernel would do it. */
static void faulty_unlock(Files *files, FilesLock *lock)
{
    FaultyFiles *faulty = faulty_of(files);

    faulty->inner->ops->unlock(faulty->inner, lock);
}

static void faulty_free(Files *files)
{
    g_free(files);
}

Files *files_faulty(Files *inner, Fault *fault)
{
    static const FilesOps ops = {
        .read = faulty_read,
        .replace = faulty_replace,
        .put = faulty_put,
        .sync = faulty_sync,
        .remove = faulty_remove,
        .make_directory = faulty_make_directory,
        .exists = faulty_exists,
        .list = faulty_list,
        .lock = faulty_lock,
        .unlock = faulty_unlock,
        .free = faulty_free,
    };
    FaultyFiles *faulty = g_new0(FaultyFiles, 1);

    faulty->files.ops = &ops;
    faulty->inner = inner;
    faulty->fault = fault;
    return &faulty->files;
}
