#include "run/orphans.h"

#include <string.h>

#include "image/overlay.h"
#include "model/names.h"
#include "run/orphans-look.h"
#include "run/users-known.h"
#include "store/sidecar.h"

void orphan_view_free(OrphanView *orphan)
{
    g_free(orphan->name);
    g_free(orphan->path);
    g_free(orphan);
}

/* ---- what is ours ---- */

static char *below_of(const OrphanLook *look, const char *path)
{
    ImageIdentity identity;
    g_autofree char *key = users_key(look->world, path, &identity);
    bool raw = false;

    return key ? users_below(look->world, path, &identity, &raw) : NULL;
}

static bool is_layer(const OrphanLook *look, const char *path)
{
    ImageIdentity identity;
    g_autofree char *key = users_key(look->world, path, &identity);

    return g_hash_table_contains(look->layers, path) ||
           (key && g_hash_table_contains(look->layers, key));
}

static bool ends_in_a_layer(const OrphanLook *look, const char *path)
{
    g_autofree char *next = g_strdup(path);

    for (unsigned depth = 0; next && depth < CHAIN_LIMIT; depth++) {
        g_autofree char *here = g_steal_pointer(&next);

        if (is_layer(look, here))
            return true;
        next = below_of(look, here);
    }
    return false;
}

static bool is_named_for(const char *path, const char *below)
{
    g_autofree char *id = names_overlay_id(path);
    g_autofree char *expected = id ? names_overlay_path(below, id) : NULL;
    g_autofree char *name = g_path_get_basename(path);

    return expected && g_str_has_suffix(expected, name) &&
           expected[strlen(expected) - strlen(name) - 1] == '/';
}

static bool is_there(const OrphanLook *look, const char *path)
{
    Images *images = look->world->images;
    ImageFacts *facts = images->ops->inspect(images, path);
    bool there = facts->exists;

    image_facts_free(facts);
    return there;
}

/* What is judged by its name alone may have been removed, or become something else, since the
 * directories were listed; of the rest there would be nothing to read. */
static bool is_overlay(const OrphanLook *look, const char *path)
{
    g_autofree char *below = NULL;

    if (overlay_is_temporary(path))
        return is_there(look, path);
    below = below_of(look, path);
    return below && is_named_for(path, below) && ends_in_a_layer(look, below);
}

static bool is_sidecar(const OrphanLook *look, const char *path)
{
    const OrphanSidecar *sidecar = g_hash_table_lookup(look->sidecars, path);
    g_autoptr(GPtrArray) left =
        sidecar ? sidecar_list(look->world->files, sidecar->home, sidecar->uuid) : NULL;

    return left && g_ptr_array_find_with_equal_func(left, sidecar->id, g_str_equal, NULL);
}

/* By its name, and by what a firmware wrote into it. */
static bool is_store(const OrphanLook *look, const char *path)
{
    Images *images = look->world->images;
    bool has_id = false;
    g_autofree char *stem = orphan_store_stem(path, &has_id);
    const char *moved = stem ? g_hash_table_lookup(look->stores, stem) : NULL;
    g_autoptr(GBytes) content =
        moved && (has_id || *moved) ? images->ops->read_state(images, path, NULL) : NULL;
    gsize length = 0;
    const void *head = content ? g_bytes_get_data(content, &length) : NULL;

    return content && vars_judge(length, head, length, 0) == VARS_READY;
}

/* "tpm2.<id>", or what is being made or was being removed when the program died: "….new". */
static bool is_tpm_name(char *name)
{
    static const char *const plain[] = {"tpm2", "tpm1.2"};
    bool temporary = g_str_has_suffix(name, ".new");

    if (temporary)
        name[strlen(name) - strlen(".new")] = '\0';
    for (gsize i = 0; i < G_N_ELEMENTS(plain); i++) {
        gsize length = strlen(plain[i]);

        if (g_str_has_prefix(name, plain[i]) &&
            (name[length] ? name[length] == '.' && names_is_id(name + length + 1) : temporary))
            return true;
    }
    return false;
}

static bool is_tpm(const OrphanLook *look, const char *path)
{
    Images *images = look->world->images;
    g_autofree char *directory = g_path_get_dirname(path), *name = g_path_get_basename(path);
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) error = NULL;

    if (!g_hash_table_contains(look->tpms, directory) || !is_tpm_name(name))
        return false;
    files = images->ops->read_state_directory(images, path, &error);
    return files || !error_is(error, ERR_NOT_FOUND);
}

/* ---- what each kind takes, and how it goes ---- */

static uint64_t allocation_of_file(const OrphanLook *look, const char *path)
{
    Images *images = look->world->images;
    ImageFacts *facts = images->ops->inspect(images, path);
    uint64_t bytes = facts->allocation;

    image_facts_free(facts);
    return bytes;
}

static bool remove_file(const OrphanLook *look, const char *path, GError **error)
{
    Images *images = look->world->images;

    return images->ops->unlink(images, path, NULL, error);
}

static uint64_t allocation_of_tpm(const OrphanLook *look, const char *path)
{
    Images *images = look->world->images;
    g_autoptr(GPtrArray) files = images->ops->read_state_directory(images, path, NULL);

    return files ? state_files_size(files) : 0;
}

static bool remove_tpm(const OrphanLook *look, const char *path, GError **error)
{
    Images *images = look->world->images;

    return images->ops->remove_state_directory(images, path, error);
}

static uint64_t allocation_of_sidecar(const OrphanLook *look, const char *path)
{
    const OrphanSidecar *sidecar = g_hash_table_lookup(look->sidecars, path);

    return sidecar_size(look->world->files, sidecar->home, sidecar->uuid, sidecar->id);
}

static bool remove_sidecar(const OrphanLook *look, const char *path, GError **error)
{
    const OrphanSidecar *sidecar = g_hash_table_lookup(look->sidecars, path);

    return sidecar_remove(look->world->files, sidecar->home, sidecar->uuid, sidecar->id, error);
}

typedef struct {
    bool (*is)(const OrphanLook *look, const char *path);
    uint64_t (*allocation)(const OrphanLook *look, const char *path);
    bool (*remove)(const OrphanLook *look, const char *path, GError **error);
} OrphanKind;

static const OrphanKind kinds[] = {
    {.is = is_overlay, .allocation = allocation_of_file, .remove = remove_file},
    {.is = is_sidecar, .allocation = allocation_of_sidecar, .remove = remove_sidecar},
    {.is = is_store, .allocation = allocation_of_file, .remove = remove_file},
    {.is = is_tpm, .allocation = allocation_of_tpm, .remove = remove_tpm},
};

/* NULL: it is not ours. */
static const OrphanKind *kind_of(const OrphanLook *look, const char *path)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (kinds[i].is(look, path))
            return &kinds[i];
    return NULL;
}

/* ---- looking and removing ---- */

static OrphanView *orphan_new(const OrphanLook *look, const OrphanKind *kind, const char *path,
                              GHashTable *names)
{
    OrphanView *orphan = g_new0(OrphanView, 1);
    g_autofree char *name = g_path_get_basename(path);

    orphan->name =
        g_hash_table_contains(names, name) ? names_untaken(name, names) : g_steal_pointer(&name);
    orphan->path = g_strdup(path);
    orphan->allocation = kind->allocation(look, path);
    g_hash_table_add(names, g_strdup(orphan->name));
    return orphan;
}

static int by_path(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

GPtrArray *orphans_find(const World *world, const GPtrArray *vms, GError **error)
{
    GPtrArray *orphans = g_ptr_array_new_with_free_func((GDestroyNotify)orphan_view_free);
    g_autoptr(GHashTable) names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_auto(OrphanLook) look = orphan_look_new(world);

    if (!orphan_look_around(&look, vms, error)) {
        g_ptr_array_unref(orphans);
        return NULL;
    }
    g_ptr_array_sort(look.paths, by_path);
    for (guint i = 0; i < look.paths->len; i++) {
        const char *path = look.paths->pdata[i];
        const OrphanKind *kind = orphan_look_user(&look, path) ? NULL : kind_of(&look, path);

        if (kind)
            g_ptr_array_add(orphans, orphan_new(&look, kind, path, names));
    }
    return orphans;
}

/* Whatever cannot be seen may need the file. */
static bool refuse_unseen(const char *path, GError *cause /* taken */, GError **error)
{
    g_autoptr(GError) owned = cause;

    if (error_is(cause, ERR_HOST_DOWN))
        g_propagate_error(error, g_steal_pointer(&owned));
    else
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s is left as it is, since not everything that may need it can be seen: %s",
                    path, cause->message);
    return false;
}

/* NULL with @error if @path is none. */
static const OrphanKind *check_orphan(const OrphanLook *look, const char *path, GError **error)
{
    const char *who = orphan_look_user(look, path);
    const OrphanKind *kind = NULL;

    if (!g_ptr_array_find_with_equal_func(look->paths, path, g_str_equal, NULL))
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                    "%s is not there any more, or not where files of ours are", path);
    else if (who)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s is no orphan: it is needed by %s, so it is left as it is", path, who);
    else if (!(kind = kind_of(look, path)))
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s is no file of a snapshot, so it is left as it is", path);
    return kind;
}

bool orphans_remove(const World *world, const GPtrArray *vms, const char *path, GError **error)
{
    g_auto(OrphanLook) look = orphan_look_new(world);
    const OrphanKind *kind;
    GError *cause = NULL;

    if (!orphan_look_around(&look, vms, &cause))
        return refuse_unseen(path, cause, error);
    kind = check_orphan(&look, path, error);
    return kind && kind->remove(&look, path, error);
}
