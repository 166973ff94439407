/* The order matters: what lies in the directories is listed first, then journals, then catalogs,
 * then definitions are read. A file that was there at the first step was made for a journal, which
 * is cleared only when a catalog names the file; so whatever is being made meanwhile is found in
 * use in one of them. */
#include "run/orphans-look.h"

#include <string.h>

#include "model/names.h"
#include "run/users-known.h"
#include "store/sidecar.h"

static GHashTable *string_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void sidecar_of_free(OrphanSidecar *sidecar)
{
    g_free(sidecar->home);
    g_free(sidecar->uuid);
    g_free(sidecar->id);
    g_free(sidecar);
}

void orphan_look_clear(OrphanLook *look)
{
    g_hash_table_unref(look->directories);
    g_hash_table_unref(look->layers);
    g_hash_table_unref(look->users);
    g_hash_table_unref(look->walked);
    g_hash_table_unref(look->raws);
    g_hash_table_unref(look->stores);
    g_hash_table_unref(look->tpms);
    g_hash_table_unref(look->sidecars);
    g_free(look->tpm_directory);
    g_ptr_array_unref(look->paths);
}

OrphanLook orphan_look_new(const World *world)
{
    return (OrphanLook){.world = world,
                        .directories = string_set(),
                        .layers = string_set(),
                        .users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                        .walked = string_set(),
                        .raws = string_set(),
                        .stores = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free),
                        .tpms = string_set(),
                        .sidecars = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                          (GDestroyNotify)sidecar_of_free),
                        .paths = g_ptr_array_new_with_free_func(g_free)};
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

char *orphan_store_stem(const char *path, bool *out_id)
{
    g_autofree char *stem = NULL;
    char *dot;

    if (!g_str_has_suffix(path, ".fd"))
        return NULL;
    stem = g_strndup(path, strlen(path) - strlen(".fd"));
    dot = strrchr(stem, '.');
    *out_id = dot && names_is_id(dot + 1);
    if (*out_id)
        *dot = '\0';
    return g_steal_pointer(&stem);
}

/* One that a revert gave the VM is named with an id, and the one that it had before may have been
 * left under its old name. */
static void add_store(OrphanLook *look, const char *path)
{
    bool moved = false;
    char *stem = path ? orphan_store_stem(path, &moved) : NULL;

    if (!stem)
        return;
    g_hash_table_add(look->directories, g_path_get_dirname(path));
    if (moved || !g_hash_table_contains(look->stores, stem))
        g_hash_table_insert(look->stores, stem, g_strdup(moved ? "moved" : ""));
    else
        g_free(stem);
}

static void add_tpm(OrphanLook *look, const char *uuid)
{
    char *directory;

    if (!look->tpm_directory)
        return;
    directory = g_build_filename(look->tpm_directory, uuid, NULL);
    g_hash_table_add(look->directories, g_strdup(directory));
    g_hash_table_add(look->tpms, directory);
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
    add_store(look, catalog->vars);
    add_tpm(look, catalog->uuid);
    for (guint i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++)
            add_layer(look, ((Layer *)disk->layers->pdata[j])->path);
    }
    return check_catalog(look, catalog, home, error);
}

/* Those of one VM, under one name for each id. */
static void add_sidecars(OrphanLook *look, const char *home, const char *uuid)
{
    Files *files = look->world->files;
    g_autoptr(GPtrArray) ids = sidecar_list(files, home, uuid);

    for (guint i = 0; i < ids->len; i++) {
        OrphanSidecar *sidecar = g_new0(OrphanSidecar, 1);
        g_autofree char *vars = sidecar_vars_path(home, uuid, ids->pdata[i]);

        sidecar->home = g_strdup(home);
        sidecar->uuid = g_strdup(uuid);
        sidecar->id = g_strdup(ids->pdata[i]);
        if (!files->ops->exists(files, vars)) {
            g_free(vars);
            vars = sidecar_tpm_path(home, uuid, sidecar->id);
        }
        g_ptr_array_add(look->paths, g_strdup(vars));
        g_hash_table_replace(look->sidecars, g_steal_pointer(&vars), sidecar);
    }
}

static void list_sidecars(OrphanLook *look, const char *home)
{
    Files *files = look->world->files;
    g_autofree char *directory = g_build_filename(home, ".vmsnapfs", NULL);
    g_autoptr(GPtrArray) uuids = files->ops->list(files, directory, NULL);

    for (guint i = 0; uuids && i < uuids->len; i++)
        add_sidecars(look, home, uuids->pdata[i]);
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
        list_sidecars(look, directory);
    }
    return true;
}

/* ---- one look ---- */

static bool ask_host(OrphanLook *look, GError **error)
{
    Hypervisor *hv = look->world->hv;
    g_autoptr(Capabilities) capabilities = hv->ops->capabilities(hv, error);

    if (capabilities)
        look->tpm_directory = g_strdup(capabilities->tpm_directory);
    return capabilities != NULL;
}

bool orphan_look_around(OrphanLook *look, const GPtrArray *vms, GError **error)
{
    if (vms->len > 0 && !ask_host(look, error))
        return false;
    for (guint i = 0; i < vms->len; i++)
        if (!add_vm(look, vms->pdata[i], error))
            return false;
    if (g_hash_table_size(look->layers) == 0)
        return true; /* nothing can be ours, so nobody need be asked */
    if (!list_directories(look, error) || !orphan_mark_ledgers(look, error) ||
        !orphan_mark_domains(look, error))
        return false;
    orphan_mark_images(look);
    return true;
}
