#include "store/sidecar.h"

#include "model/names.h"
#include "store/store.h"

#include <string.h>

char *sidecar_vars_path(const char *home, const char *uuid, const char *id)
{
    g_autofree char *directory = store_directory(home, uuid);

    return g_strdup_printf("%s/vars/%s.fd", directory, id);
}

char *sidecar_tpm_path(const char *home, const char *uuid, const char *id)
{
    g_autofree char *directory = store_directory(home, uuid);

    return g_strdup_printf("%s/tpm/%s", directory, id);
}

/* Also the VM's own directory, which a catalog or a journal has made long before: as they do. */
static bool make_directory(Files *files, const char *home, const char *uuid, const char *name,
                           GError **error)
{
    g_autofree char *own = store_directory(home, uuid);
    g_autofree char *path = g_build_filename(own, name, NULL);

    return files->ops->make_directory(files, own, error) &&
           files->ops->make_directory(files, path, error);
}

bool sidecar_prepare(Files *files, const char *home, const char *uuid, bool vars, bool tpm,
                     GError **error)
{
    return (!vars || make_directory(files, home, uuid, "vars", error)) &&
           (!tpm || make_directory(files, home, uuid, "tpm", error));
}

static bool put(Files *files, const char *path, GBytes *content, GError **error)
{
    gsize length;
    const char *data = g_bytes_get_data(content, &length);

    return files->ops->put(files, path, data ? data : "", length, error);
}

bool sidecar_put_vars(Files *files, const char *home, const char *uuid, const char *id,
                      GBytes *content, GError **error)
{
    g_autofree char *path = sidecar_vars_path(home, uuid, id);

    return make_directory(files, home, uuid, "vars", error) && put(files, path, content, error);
}

/* Everything in the directory at @path, and itself. */
static bool remove_directory(Files *files, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = files->ops->list(files, path, error);
    bool gone = names != NULL;

    for (unsigned i = 0; gone && i < names->len; i++) {
        g_autofree char *file = g_build_filename(path, names->pdata[i], NULL);

        gone = files->ops->remove(files, file, error);
    }
    return gone && files->ops->remove(files, path, error);
}

static bool put_files(Files *files, const char *path, const GPtrArray *state, GError **error)
{
    for (unsigned i = 0; i < state->len; i++) {
        const StateFile *file = state->pdata[i];
        g_autofree char *target = g_build_filename(path, file->name, NULL);

        if (!put(files, target, file->content, error))
            return false;
    }
    return true;
}

static bool check_names(const GPtrArray *state, const char *path, GError **error)
{
    for (unsigned i = 0; i < state->len; i++) {
        const StateFile *file = state->pdata[i];

        if (state_name_is_legal(file->name))
            continue;
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "\"%s\" is no name that a file of a vTPM has; it cannot be kept in %s",
                    file->name, path);
        return false;
    }
    if (state->len > 0)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                "The vTPM has no state to be kept in %s; was the VM ever started?", path);
    return false;
}

bool sidecar_put_tpm(Files *files, const char *home, const char *uuid, const char *id,
                     const GPtrArray *state, GError **error)
{
    g_autofree char *path = sidecar_tpm_path(home, uuid, id);

    if (!check_names(state, path, error) || !make_directory(files, home, uuid, "tpm", error))
        return false;
    if (files->ops->exists(files, path)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_EXISTS, "%s cannot be made: it is there already",
                    path);
        return false;
    }
    if (put_files(files, path, state, error))
        return true;
    /* The reason stands in @error; what cannot be removed either is an orphan, and listed. */
    (void)remove_directory(files, path, NULL);
    return false;
}

static bool sync_directory(Files *files, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = files->ops->list(files, path, error);
    bool synced = names != NULL;

    for (unsigned i = 0; synced && i < names->len; i++) {
        g_autofree char *file = g_build_filename(path, names->pdata[i], NULL);

        synced = files->ops->sync(files, file, error);
    }
    return synced && files->ops->sync(files, path, error);
}

bool sidecar_sync(Files *files, const char *home, const char *uuid, const char *id, GError **error)
{
    g_autofree char *vars = sidecar_vars_path(home, uuid, id);
    g_autofree char *tpm = sidecar_tpm_path(home, uuid, id);

    return (!files->ops->exists(files, vars) || files->ops->sync(files, vars, error)) &&
           (!files->ops->exists(files, tpm) || sync_directory(files, tpm, error));
}

static GBytes *read_file(Files *files, const char *path, GError **error)
{
    gsize length = 0;
    char *content = files->ops->read(files, path, &length, error);

    return content ? g_bytes_new_take(content, length) : NULL;
}

/* S-29: what came back from the disk is what was put there, or it is not used. */
static bool check_sidecar(const char *path, uint64_t size, const char *sha256, uint64_t found_size,
                          const char *found_sha256, GError **error)
{
    if (size == found_size && !g_strcmp0(sha256, found_sha256))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                "%s is not what was kept with the snapshot: it has %" G_GUINT64_FORMAT
                " bytes and SHA-256 %s, the catalog says %" G_GUINT64_FORMAT
                " and %s; put the right copy back from a backup",
                path, found_size, found_sha256, size, sha256);
    return false;
}

GBytes *sidecar_read_vars(Files *files, const char *home, const char *uuid, const char *id,
                          uint64_t size, const char *sha256, GError **error)
{
    g_autofree char *path = sidecar_vars_path(home, uuid, id);
    g_autoptr(GBytes) content = read_file(files, path, error);
    g_autofree char *digest = content ? state_digest(content) : NULL;

    if (!content || !check_sidecar(path, size, sha256, g_bytes_get_size(content), digest, error))
        return NULL;
    return g_steal_pointer(&content);
}

static GPtrArray *read_directory(Files *files, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = files->ops->list(files, path, error);
    g_autoptr(GPtrArray) state = state_files_new();

    for (unsigned i = 0; names && i < names->len; i++) {
        g_autofree char *file = g_build_filename(path, names->pdata[i], NULL);
        g_autoptr(GBytes) content = read_file(files, file, error);

        if (!content)
            return NULL;
        g_ptr_array_add(state, state_file_new(names->pdata[i], content));
    }
    state_files_sort(state);
    return names ? g_steal_pointer(&state) : NULL;
}

GPtrArray *sidecar_read_tpm(Files *files, const char *home, const char *uuid, const char *id,
                            uint64_t size, const char *sha256, GError **error)
{
    g_autofree char *path = sidecar_tpm_path(home, uuid, id);
    g_autoptr(GPtrArray) state = NULL;
    g_autofree char *digest = NULL;

    if (!files->ops->exists(files, path)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "There is no %s", path);
        return NULL;
    }
    state = read_directory(files, path, error);
    digest = state ? state_files_digest(state) : NULL;
    if (!state || !check_names(state, path, error) ||
        !check_sidecar(path, size, sha256, state_files_size(state), digest, error))
        return NULL;
    return g_steal_pointer(&state);
}

bool sidecar_remove(Files *files, const char *home, const char *uuid, const char *id,
                    GError **error)
{
    g_autofree char *vars = sidecar_vars_path(home, uuid, id);
    g_autofree char *tpm = sidecar_tpm_path(home, uuid, id);

    /* Also what is gone already, perhaps by a program that died before that was durable; and the
     * one even where the other does not go. */
    bool gone = files->ops->remove(files, vars, error);
    return remove_directory(files, tpm, gone ? error : NULL) && gone;
}

uint64_t sidecar_size(Files *files, const char *home, const char *uuid, const char *id)
{
    g_autofree char *vars = sidecar_vars_path(home, uuid, id);
    g_autofree char *tpm = sidecar_tpm_path(home, uuid, id);
    g_autoptr(GBytes) content = read_file(files, vars, NULL);
    g_autoptr(GPtrArray) state = read_directory(files, tpm, NULL);

    return (content ? g_bytes_get_size(content) : 0) + (state ? state_files_size(state) : 0);
}

static void add_ids(Files *files, const char *directory, const char *name, const char *suffix,
                    GPtrArray *ids)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_autoptr(GPtrArray) names = files->ops->list(files, path, NULL);

    for (unsigned i = 0; names && i < names->len; i++) {
        char *id = names->pdata[i];

        if (!g_str_has_suffix(id, suffix))
            continue;
        id[strlen(id) - strlen(suffix)] = '\0';
        if (names_is_id(id) && !g_ptr_array_find_with_equal_func(ids, id, g_str_equal, NULL))
            g_ptr_array_add(ids, g_strdup(id));
    }
}

static int compare_ids(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *sidecar_list(Files *files, const char *home, const char *uuid)
{
    g_autofree char *directory = store_directory(home, uuid);
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);

    add_ids(files, directory, "vars", ".fd", ids);
    add_ids(files, directory, "tpm", "", ids);
    g_ptr_array_sort(ids, compare_ids);
    return ids;
}
