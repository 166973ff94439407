/* State files: plain files, and flat directories of them. */
#include "model/simhost-priv.h"

#include "model/vars.h"

#include <string.h>

void sim_state_free(SimState *state)
{
    if (state->content)
        g_bytes_unref(state->content);
    g_free(state);
}

SimState *sim_state(SimHost *host, const char *path)
{
    SimState *state = path ? g_hash_table_lookup(host->states, path) : NULL;

    return state && state->content ? state : NULL;
}

static bool is_directory(SimHost *host, const char *path)
{
    const SimState *state = g_hash_table_lookup(host->states, path);

    return state && !state->content;
}

static bool is_there(SimHost *host, const char *path)
{
    return g_hash_table_contains(host->states, path) || sim_image(host, path);
}

static uint64_t size_of(const SimState *state)
{
    return state && state->content ? g_bytes_get_size(state->content) : 0;
}

static void insert(SimHost *host, const char *path, GBytes *content)
{
    SimState *state = g_new0(SimState, 1);

    host->free_bytes += size_of(g_hash_table_lookup(host->states, path));
    state->content = content ? g_bytes_ref(content) : NULL;
    state->inode = host->next_inode++;
    host->free_bytes -= MIN(host->free_bytes, size_of(state));
    g_hash_table_replace(host->states, g_strdup(path), state);
}

void sim_state_put(SimHost *host, const char *path, GBytes *content)
{
    insert(host, path, content);
}

void sim_state_put_directory(SimHost *host, const char *path)
{
    insert(host, path, NULL);
}

/* The paths of what is in the directory @path; of char *, borrowed, sorted. */
static GPtrArray *paths_in(SimHost *host, const char *path)
{
    GPtrArray *paths = g_ptr_array_new();
    GHashTableIter iter;
    char *found;

    g_hash_table_iter_init(&iter, host->states);
    while (g_hash_table_iter_next(&iter, (void **)&found, NULL))
        if (g_str_has_prefix(found, path) && found[strlen(path)] == '/')
            g_ptr_array_add(paths, found);
    return paths;
}

void sim_state_remove(SimHost *host, const char *path)
{
    g_autoptr(GPtrArray) paths = paths_in(host, path);

    for (unsigned i = 0; i < paths->len; i++)
        sim_state_remove(host, paths->pdata[i]);
    host->free_bytes += size_of(g_hash_table_lookup(host->states, path));
    g_hash_table_remove(host->states, path);
}

static bool has_room(SimHost *host, uint64_t size, const char *path, GError **error)
{
    return size <= host->free_bytes ||
           sim_error(error, ERR_NO_SPACE,
                     "There is no room to write \"%s\"; free some space and try again.", path);
}

/* As the real one takes nothing else. */
static bool check_size(uint64_t size, const char *path, GError **error)
{
    return size <= STATE_MAX ||
           sim_error(error, ERR_UNSUPPORTED, "\"%s\" is too large to be a state file.", path);
}

static GBytes *read_file(SimHost *host, const char *path, GError **error)
{
    const SimState *state = sim_state(host, path);

    if (is_directory(host, path))
        sim_error(error, ERR_UNSUPPORTED, "\"%s\" is not a regular file.", path);
    else if (!state)
        sim_error(error, ERR_NOT_FOUND, "There is no \"%s\".", path);
    else if (check_size(size_of(state), path, error))
        return g_bytes_ref(state->content);
    return NULL;
}

GBytes *simhost_state_read(SimHost *host, const char *path, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return read_file(host, path, error);
}

bool simhost_state_write(SimHost *host, const char *path, GBytes *content, bool replace,
                         GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (!check_size(g_bytes_get_size(content), path, error))
        return false;
    if (is_directory(host, path))
        return sim_error(error, ERR_UNSUPPORTED, "\"%s\" is not a regular file.", path);
    if (!replace && is_there(host, path))
        return sim_error(error, ERR_EXISTS, "\"%s\" cannot be made because it is there already.",
                         path);
    if (!sim_check_free(host, path, error) ||
        !has_room(host, g_bytes_get_size(content), path, error))
        return false;
    insert(host, path, content);
    return true;
}

static bool check_directory(SimHost *host, const char *path, GError **error)
{
    if (is_directory(host, path))
        return true;
    return sim_state(host, path)
               ? sim_error(error, ERR_UNSUPPORTED, "\"%s\" is not a directory.", path)
               : sim_error(error, ERR_NOT_FOUND, "There is no \"%s\".", path);
}

GPtrArray *simhost_state_read_directory(SimHost *host, const char *path, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autoptr(GPtrArray) files = state_files_new();
    g_autoptr(GPtrArray) paths = paths_in(host, path);

    if (!check_directory(host, path, error))
        return NULL;
    for (unsigned i = 0; i < paths->len; i++) {
        g_autofree char *name = g_path_get_basename(paths->pdata[i]);
        g_autoptr(GBytes) content = NULL;

        if (!strcmp(name, ".lock"))
            continue;
        content = read_file(host, paths->pdata[i], error);
        if (!content)
            return NULL;
        g_ptr_array_add(files, state_file_new(name, content));
    }
    state_files_sort(files);
    return check_size(state_files_size(files), path, error) ? g_steal_pointer(&files) : NULL;
}

static bool check_names(const GPtrArray *files, const char *path, GError **error)
{
    for (unsigned i = 0; i < files->len; i++) {
        const StateFile *file = files->pdata[i];

        if (!state_name_is_legal(file->name))
            return sim_error(error, ERR_UNSUPPORTED,
                             "\"%s\" in \"%s\" is no name that a file of a vTPM has.", file->name,
                             path);
    }
    return true;
}

bool simhost_state_write_directory(SimHost *host, const char *path, const GPtrArray *files,
                                   GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (is_there(host, path))
        return sim_error(error, ERR_EXISTS, "\"%s\" cannot be made because it is there already.",
                         path);
    if (!check_names(files, path, error) || !has_room(host, state_files_size(files), path, error))
        return false;
    insert(host, path, NULL);
    for (unsigned i = 0; i < files->len; i++) {
        const StateFile *file = files->pdata[i];
        g_autofree char *target = g_strconcat(path, "/", file->name, NULL);

        insert(host, target, file->content);
    }
    return true;
}

/* Everything at and in @path, out of the host; of (path, SimState) in turn. */
static GPtrArray *take(SimHost *host, const char *path)
{
    g_autoptr(GPtrArray) paths = paths_in(host, path);
    GPtrArray *taken = g_ptr_array_new();

    g_ptr_array_add(paths, (char *)path);
    for (unsigned i = 0; i < paths->len; i++) {
        char *key = NULL;
        SimState *state = NULL;

        if (!g_hash_table_steal_extended(host->states, paths->pdata[i], (void **)&key,
                                         (void **)&state))
            continue;
        g_ptr_array_add(taken, key);
        g_ptr_array_add(taken, state);
    }
    return taken;
}

static void give(SimHost *host, GPtrArray *taken, const char *from, const char *to)
{
    for (unsigned i = 0; i < taken->len; i += 2) {
        g_autofree char *key = taken->pdata[i];

        g_hash_table_replace(host->states, g_strconcat(to, key + strlen(from), NULL),
                             taken->pdata[i + 1]);
    }
}

bool simhost_state_exchange(SimHost *host, const char *a, const char *b, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autoptr(GPtrArray) of_a = NULL;
    g_autoptr(GPtrArray) of_b = NULL;

    if (!g_hash_table_contains(host->states, a) || !g_hash_table_contains(host->states, b))
        return sim_error(error, ERR_NOT_FOUND,
                         "\"%s\" and \"%s\" cannot be exchanged: one is not there.", a, b);
    of_a = take(host, a);
    of_b = take(host, b);
    give(host, of_a, a, b);
    give(host, of_b, b, a);
    return true;
}

static bool check_flat(SimHost *host, const char *path, const GPtrArray *paths, GError **error)
{
    for (unsigned i = 0; i < paths->len; i++)
        if (is_directory(host, paths->pdata[i]))
            return sim_error(error, ERR_UNSUPPORTED, "\"%s\" has a directory in it.", path);
    return true;
}

bool simhost_state_remove_directory(SimHost *host, const char *path, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autoptr(GPtrArray) paths = paths_in(host, path);

    if (!is_there(host, path))
        return true;
    if (!check_directory(host, path, error) || !check_flat(host, path, paths, error))
        return false;
    sim_state_remove(host, path);
    return true;
}

void simhost_set_state_bytes(SimHost *host, const char *path, GBytes *content)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (content)
        insert(host, path, content);
    else
        sim_state_remove(host, path);
}

void simhost_set_state(SimHost *host, const char *path, const char *content)
{
    g_autoptr(GBytes) bytes = content ? g_bytes_new(content, strlen(content)) : NULL;

    simhost_set_state_bytes(host, path, bytes);
}

void simhost_set_state_directory(SimHost *host, const char *path, bool present)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (!present)
        sim_state_remove(host, path);
    else if (!is_directory(host, path))
        insert(host, path, NULL);
}

GBytes *simhost_state_content(SimHost *host, const char *path)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    const SimState *state = sim_state(host, path);

    return state ? g_bytes_ref(state->content) : NULL;
}

static int compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *simhost_state_paths(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    const char *path;

    g_hash_table_iter_init(&iter, host->states);
    while (g_hash_table_iter_next(&iter, (void **)&path, NULL))
        g_ptr_array_add(paths, g_strdup(path));
    g_ptr_array_sort(paths, compare_paths);
    return paths;
}

GPtrArray *simhost_states(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    const char *path;
    const SimState *state;

    g_hash_table_iter_init(&iter, host->states);
    while (g_hash_table_iter_next(&iter, (void **)&path, (void **)&state))
        if (state->content && !g_str_has_prefix(path, "/usr/"))
            g_ptr_array_add(paths, g_strdup(path));
    g_ptr_array_sort(paths, compare_paths);
    return paths;
}
