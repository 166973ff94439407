/* The order matters: what lies in the directories is listed first, then journals, then catalogs,
 * then definitions are read. A file that was there at the first step was made for a journal, which
 * is cleared only when a catalog names the file; so whatever is being made meanwhile is found in
 * use in one of them. */
#include "run/orphans-look.h"

#include "image/overlay.h"
#include "run/users-known.h"

static GHashTable *string_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void orphan_look_clear(OrphanLook *look)
{
    g_hash_table_unref(look->directories);
    g_hash_table_unref(look->layers);
    g_hash_table_unref(look->users);
    g_hash_table_unref(look->walked);
    g_ptr_array_unref(look->paths);
}

OrphanLook orphan_look_new(const World *world)
{
    return (OrphanLook){.world = world,
                        .directories = string_set(),
                        .layers = string_set(),
                        .users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                        .walked = string_set(),
                        .paths = g_ptr_array_new_with_free_func(g_free)};
}

/* ---- marking what is used ---- */

static void mark_word(OrphanLook *look, const char *word, const char *who)
{
    if (!g_hash_table_contains(look->users, word))
        g_hash_table_insert(look->users, g_strdup(word), g_strdup(who));
}

static char *mark(OrphanLook *look, const char *path, const char *who, ImageIdentity *out_identity)
{
    char *key = users_key(look->world, path, out_identity);

    mark_word(look, path, who);
    if (key)
        mark_word(look, key, who);
    return key;
}

static void mark_chain(OrphanLook *look, const char *path, bool raw, const char *who)
{
    g_autofree char *next = g_strdup(path);

    for (unsigned depth = 0; next && depth < CHAIN_LIMIT; depth++) {
        g_autofree char *here = g_steal_pointer(&next);
        ImageIdentity identity;
        g_autofree char *key = mark(look, here, who, &identity);

        if (!key || raw || !g_hash_table_add(look->walked, g_steal_pointer(&key)))
            return;
        next = users_below(look->world, here, &identity, &raw);
    }
}

const char *orphan_look_user(const OrphanLook *look, const char *path)
{
    ImageIdentity identity;
    g_autofree char *key = users_key(look->world, path, &identity);
    const char *who = g_hash_table_lookup(look->users, path);

    return who || !key ? who : g_hash_table_lookup(look->users, key);
}

/* ---- where to look ---- */

static void add_layer(OrphanLook *look, const char *path)
{
    ImageIdentity identity;
    char *key = users_key(look->world, path, &identity);

    g_hash_table_add(look->directories, g_path_get_dirname(path));
    g_hash_table_add(look->layers, g_strdup(path));
    if (key)
        g_hash_table_add(look->layers, key);
}

/* A catalog that is known and not there names files that nobody can tell. */
static bool check_catalog(const OrphanLook *look, const Catalog *catalog, const char *home,
                          GError **error)
{
    Files *files = look->world->files;
    g_autofree char *directory = store_directory(home, catalog->uuid);
    g_autofree char *path = g_build_filename(directory, "catalog.yaml", NULL);

    if (catalog->generation == 0 || files->ops->exists(files, path))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_READ_ONLY,
                "the catalog of VM %s is not in %s any more, so nobody can tell which files it "
                "needs",
                catalog->name, directory);
    return false;
}

static bool add_vm(OrphanLook *look, Vm *vm, GError **error)
{
    g_autofree char *problem = vm_problem(vm), *home = vm_home(vm);
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autoptr(Config) config = vm_config(vm);

    for (guint i = 0; i < config->image_directories->len; i++)
        g_hash_table_add(look->directories, g_strdup(config->image_directories->pdata[i]));
    if (problem) {
        g_set_error_literal(error, VMSNAPFS_ERROR, ERR_READ_ONLY, problem);
        return false;
    }
    if (!home)
        return true;
    g_hash_table_add(look->directories, g_strdup(home));
    for (guint i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++)
            add_layer(look, ((Layer *)disk->layers->pdata[j])->path);
    }
    return check_catalog(look, catalog, home, error);
}

static bool list_directories(OrphanLook *look, GError **error)
{
    Images *images = look->world->images;
    GHashTableIter iter;
    gpointer directory;

    g_hash_table_iter_init(&iter, look->directories);
    while (g_hash_table_iter_next(&iter, &directory, NULL)) {
        GPtrArray *paths = images->ops->list(images, directory, error);

        if (!paths)
            return false;
        g_ptr_array_extend_and_steal(look->paths, paths);
    }
    return true;
}

/* ---- who refers to what ---- */

/* Whatever an open plan touches, it will make, need or remove by itself. */
static void mark_journal(OrphanLook *look, const Journal *journal)
{
    const char *who = "an operation that is not over";
    ImageIdentity identity;

    for (guint i = 0; i < journal->plan->steps->len; i++) {
        const char *path = step_get(journal->plan->steps->pdata[i], "path");

        if (!path)
            continue;
        g_autofree char *temporary = overlay_temporary_path(path);
        g_free(mark(look, path, who, &identity));
        g_free(mark(look, temporary, who, &identity));
    }
}

static void mark_catalog(OrphanLook *look, const Catalog *catalog)
{
    g_autofree char *who = g_strdup_printf("the catalog of VM %s", catalog->name);

    for (guint i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++) {
            const Layer *layer = disk->layers->pdata[j];

            mark_chain(look, layer->path, g_str_equal(layer->format, "raw"), who);
        }
    }
}

static bool mark_ledger(OrphanLook *look, const char *home, const char *uuid, GError **error)
{
    Files *files = look->world->files;
    g_autoptr(GError) cause = NULL;
    g_autoptr(Journal) journal = store_load_journal(files, home, uuid, &cause);
    g_autoptr(Catalog) catalog = cause ? NULL : store_load_catalog(files, home, uuid, &cause);

    if (cause) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    if (journal)
        mark_journal(look, journal);
    if (catalog)
        mark_catalog(look, catalog);
    return true;
}

/* Also those of VMs that are not defined here: they may be again. */
static bool mark_ledgers(OrphanLook *look, GError **error)
{
    Files *files = look->world->files;
    GHashTableIter iter;
    gpointer home;

    g_hash_table_iter_init(&iter, look->directories);
    while (g_hash_table_iter_next(&iter, &home, NULL)) {
        g_autofree char *directory = g_build_filename(home, ".vmsnapfs", NULL);
        g_autoptr(GPtrArray) uuids = files->ops->list(files, directory);

        for (guint i = 0; i < uuids->len; i++)
            if (!mark_ledger(look, home, uuids->pdata[i], error))
                return false;
    }
    return true;
}

static bool mark_domains(OrphanLook *look, GError **error)
{
    Hypervisor *hv = look->world->hv;
    g_autoptr(GPtrArray) domains = hv->ops->list(hv, error);

    for (guint i = 0; domains && i < domains->len; i++) {
        g_autoptr(GPtrArray) uses =
            users_of_domain(look->world, domains->pdata[i], G_MAXINT64, error);

        if (!uses)
            return false;
        for (guint j = 0; j < uses->len; j++) {
            const Use *use = uses->pdata[j];
            mark_chain(look, use->path, use->raw, use->who);
        }
    }
    return domains != NULL;
}

static void mark_images(OrphanLook *look)
{
    for (guint i = 0; i < look->paths->len; i++) {
        const char *path = look->paths->pdata[i];
        ImageIdentity identity;
        g_autofree char *key = users_key(look->world, path, &identity);
        bool raw = false;
        g_autofree char *below = key ? users_below(look->world, path, &identity, &raw) : NULL;
        g_autofree char *who = g_strdup_printf("image %s", path);

        if (below)
            mark_chain(look, below, raw, who);
    }
}

/* ---- one look ---- */

bool orphan_look_around(OrphanLook *look, const GPtrArray *vms, GError **error)
{
    for (guint i = 0; i < vms->len; i++)
        if (!add_vm(look, vms->pdata[i], error))
            return false;
    if (g_hash_table_size(look->layers) == 0)
        return true; /* nothing can be ours, so nobody need be asked */
    if (!list_directories(look, error) || !mark_ledgers(look, error) || !mark_domains(look, error))
        return false;
    mark_images(look);
    return true;
}
