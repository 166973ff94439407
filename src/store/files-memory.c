/* Files in memory, for simulated hosts: the same contracts, as strict about missing directories as
 * a disk is. */
#include "store/files.h"

#include <string.h>

typedef struct {
    Files files;
    GMutex lock;             /* guards everything below */
    GHashTable *content;     /* path → GBytes * */
    GHashTable *directories; /* set of paths that make_directory made */
    GHashTable *locked;      /* set of paths */
} MemoryFiles;

struct FilesLock {
    char *path;
};

static MemoryFiles *memory_of(Files *files)
{
    return (MemoryFiles *)files;
}

static bool fail(ErrorCode code, const char *path, const char *why, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, (int)code, "%s %s", path, why);
    return false;
}

/* Whoever writes must have made the directory, as on a disk. */
static bool check_parent(MemoryFiles *memory, const char *path, GError **error)
{
    g_autofree char *directory = g_path_get_dirname(path);

    if (g_hash_table_contains(memory->directories, directory))
        return true;
    return fail(ERR_NOT_FOUND, path, "cannot be opened: its directory was not made", error);
}

static char *memory_read(Files *files, const char *path, gsize *out_length, GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);
    GBytes *bytes = g_hash_table_lookup(memory->content, path);
    gsize length;
    const char *data;
    char *copy;

    if (g_hash_table_contains(memory->directories, path)) {
        fail(ERR_INVALID, path, "is not a regular file; move it away", error);
        return NULL;
    }
    if (!bytes) {
        fail(ERR_NOT_FOUND, path, "cannot be opened: there is no such file", error);
        return NULL;
    }
    data = g_bytes_get_data(bytes, &length);
    if (out_length)
        *out_length = length;
    copy = g_malloc0(length + 1);
    if (length > 0)
        memcpy(copy, data, length);
    return copy;
}

static bool memory_replace(Files *files, const char *path, const char *content, gssize length,
                           GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);
    gsize size = length < 0 ? strlen(content) : (gsize)length;

    if (!check_parent(memory, path, error))
        return false;
    g_hash_table_insert(memory->content, g_strdup(path), g_bytes_new(content, size));
    return true;
}

static bool memory_put(Files *files, const char *path, const char *content, gsize length,
                       GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);
    g_autofree char *directory = g_path_get_dirname(path);

    if (!g_hash_table_contains(memory->directories, directory) &&
        !check_parent(memory, directory, error))
        return false;
    if (g_hash_table_contains(memory->content, path) ||
        g_hash_table_contains(memory->directories, path))
        return fail(ERR_EXISTS, path, "cannot be made: it is there already", error);
    g_hash_table_add(memory->directories, g_steal_pointer(&directory));
    g_hash_table_insert(memory->content, g_strdup(path), g_bytes_new(content, length));
    return true;
}

static bool memory_sync(Files *files, const char *path, GError **error)
{
    return files->ops->exists(files, path) ||
           fail(ERR_NOT_FOUND, path, "cannot be opened: there is no such file", error);
}

static void add_names_in(GPtrArray *names, GHashTable *paths, const char *directory)
{
    GHashTableIter iter;
    const char *path;

    g_hash_table_iter_init(&iter, paths);
    while (g_hash_table_iter_next(&iter, (void **)&path, NULL)) {
        g_autofree char *parent = g_path_get_dirname(path);

        if (!strcmp(parent, directory))
            g_ptr_array_add(names, g_path_get_basename(path));
    }
}

static bool memory_remove(Files *files, const char *path, GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

    add_names_in(names, memory->content, path);
    add_names_in(names, memory->directories, path);
    if (names->len > 0)
        return fail(ERR_IO, path, "cannot be removed: the directory is not empty", error);
    g_hash_table_remove(memory->content, path);
    g_hash_table_remove(memory->directories, path);
    return true;
}

static bool memory_make_directory(Files *files, const char *path, GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);

    if (g_hash_table_contains(memory->content, path))
        return fail(ERR_ACCESS, path, "is not a directory", error);
    g_hash_table_add(memory->directories, g_path_get_dirname(path));
    g_hash_table_add(memory->directories, g_strdup(path));
    return true;
}

static bool memory_exists(Files *files, const char *path)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);

    return g_hash_table_contains(memory->content, path) ||
           g_hash_table_contains(memory->directories, path);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *memory_list(Files *files, const char *directory, GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    add_names_in(names, memory->content, directory);
    add_names_in(names, memory->directories, directory);
    g_ptr_array_sort(names, compare_names);
    return names;
}

static FilesLock *memory_lock(Files *files, const char *path, GError **error)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);
    FilesLock *lock;

    if (!check_parent(memory, path, error))
        return NULL;
    if (!g_hash_table_add(memory->locked, g_strdup(path))) {
        fail(ERR_BUSY, path, "is locked by another vmsnapfs (host and pid: memory 0)", error);
        return NULL;
    }
    g_hash_table_insert(memory->content, g_strdup(path), g_bytes_new_static("memory 0\n", 9));
    lock = g_new0(FilesLock, 1);
    lock->path = g_strdup(path);
    return lock;
}

static void memory_unlock(Files *files, FilesLock *lock)
{
    MemoryFiles *memory = memory_of(files);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&memory->lock);

    if (!lock)
        return;
    g_hash_table_remove(memory->locked, lock->path);
    g_free(lock->path);
    g_free(lock);
}

static void memory_free(Files *files)
{
    MemoryFiles *memory = memory_of(files);

    g_hash_table_unref(memory->content);
    g_hash_table_unref(memory->directories);
    g_hash_table_unref(memory->locked);
    g_mutex_clear(&memory->lock);
    g_free(memory);
}

Files *files_memory(void)
{
    static const FilesOps ops = {
        .read = memory_read,
        .replace = memory_replace,
        .put = memory_put,
        .sync = memory_sync,
        .remove = memory_remove,
        .make_directory = memory_make_directory,
        .exists = memory_exists,
        .list = memory_list,
        .lock = memory_lock,
        .unlock = memory_unlock,
        .free = memory_free,
    };
    MemoryFiles *memory = g_new0(MemoryFiles, 1);

    memory->files.ops = &ops;
    g_mutex_init(&memory->lock);
    memory->content =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_bytes_unref);
    memory->directories = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    memory->locked = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return &memory->files;
}
