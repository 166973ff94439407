#include "run/orphans.h"

#include <string.h>

#include "image/overlay.h"
#include "model/names.h"
#include "run/orphans-look.h"
#include "run/users-known.h"

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

static bool is_ours(const OrphanLook *look, const char *path)
{
    g_autofree char *below = NULL;

    if (overlay_is_temporary(path))
        return true;
    below = below_of(look, path);
    return below && is_named_for(path, below) && ends_in_a_layer(look, below);
}

static uint64_t allocation_of(const World *world, const char *path)
{
    ImageFacts *facts = world->images->ops->inspect(world->images, path);
    uint64_t bytes = facts->allocation;

    image_facts_free(facts);
    return bytes;
}

static OrphanView *orphan_new(const World *world, const char *path, GHashTable *names)
{
    OrphanView *orphan = g_new0(OrphanView, 1);
    g_autofree char *name = g_path_get_basename(path);

    orphan->name =
        g_hash_table_contains(names, name) ? names_untaken(name, names) : g_steal_pointer(&name);
    orphan->path = g_strdup(path);
    orphan->allocation = allocation_of(world, path);
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

        if (!orphan_look_user(&look, path) && is_ours(&look, path))
            g_ptr_array_add(orphans, orphan_new(world, path, names));
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

static bool check_orphan(const OrphanLook *look, const char *path, GError **error)
{
    const char *who = orphan_look_user(look, path);
    ImageIdentity identity;
    g_autofree char *key = users_key(look->world, path, &identity);

    if (!key || !g_ptr_array_find_with_equal_func(look->paths, path, g_str_equal, NULL))
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                    "%s is not there any more, or not where overlays are", path);
    else if (who)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s is no orphan: it is needed by %s, so it is left as it is", path, who);
    else if (!is_ours(look, path))
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s is no overlay of a snapshot, so it is left as it is", path);
    else
        return true;
    return false;
}

bool orphans_remove(const World *world, const GPtrArray *vms, const char *path, GError **error)
{
    g_auto(OrphanLook) look = orphan_look_new(world);
    GError *cause = NULL;

    if (!orphan_look_around(&look, vms, &cause))
        return refuse_unseen(path, cause, error);
    return check_orphan(&look, path, error) &&
           world->images->ops->unlink(world->images, path, NULL, error);
}
