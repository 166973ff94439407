/* What expunged VMs left, looked for wherever the catalogs and disks of VMs are. It is removed
 * whenever orphans are looked for; what cannot be is one of them. */
#include "run/engine-priv.h"

#include "model/names.h"
#include "run/expunged.h"
#include "run/orphans.h"
#include "run/vm-life.h"

static void add_directory(GHashTable *homes, const char *path)
{
    if (g_path_is_absolute(path))
        g_hash_table_add(homes, g_path_get_dirname(path));
}

static void add_homes_of_view(GHashTable *homes, const VmView *view)
{
    for (guint i = 0; i < view->disks->len; i++) {
        const DiskView *disk = view->disks->pdata[i];

        for (guint j = 0; j < disk->chain->len; j++)
            add_directory(homes, disk->chain->pdata[j]);
    }
    if (view->home[0])
        g_hash_table_add(homes, g_strdup(view->home));
}

void expunged_note_homes(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    add_homes_of_view(vm->engine->expunged_homes, vm->view);
    g_mutex_unlock(&vm->engine->lock);
}

static GHashTable *homes_locked(Engine *engine)
{
    GHashTable *homes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    GHashTableIter iter;
    gpointer home;

    const HostView *view = engine_view_locked(engine);

    for (guint i = 0; i < view->vms->len; i++)
        add_homes_of_view(homes, view->vms->pdata[i]);
    for (guint i = 0; i < engine->config->image_directories->len; i++)
        g_hash_table_add(homes, g_strdup(engine->config->image_directories->pdata[i]));
    g_hash_table_iter_init(&iter, engine->expunged_homes);
    while (g_hash_table_iter_next(&iter, &home, NULL))
        g_hash_table_add(homes, g_strdup(home));
    return homes;
}

static GPtrArray *find(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    g_autoptr(GHashTable) homes = homes_locked(engine);
    g_mutex_unlock(&engine->lock);
    return expunged_find(&engine->world, homes);
}

/* One of the table that vanished, since libvirt went away in the middle: should it be defined
 * again, it has no catalog that could be missed. */
static void forget_vm(Engine *engine, const char *uuid)
{
    g_mutex_lock(&engine->lock);
    EngineVm *vm = g_hash_table_lookup(engine->vms, uuid);
    if (vm && !vm->present)
        engine_vm_ref(vm);
    else
        vm = NULL;
    g_mutex_unlock(&engine->lock);
    if (vm)
        vm_forget(vm->vm);
    engine_vm_unref(vm);
}

static bool is_being_expunged(Engine *engine, const char *uuid)
{
    g_mutex_lock(&engine->lock);
    const EngineVm *vm = g_hash_table_lookup(engine->vms, uuid);
    bool being = vm && vm->expunging;
    g_mutex_unlock(&engine->lock);
    return being;
}

static uint64_t allocation_of(Engine *engine, const char *path)
{
    ImageFacts *facts = engine->world.images->ops->inspect(engine->world.images, path);
    uint64_t bytes = facts->allocation;

    image_facts_free(facts);
    return bytes;
}

static void add_orphan(Engine *engine, const ExpungeLeft *left, GPtrArray *orphans,
                       GHashTable *names)
{
    OrphanView *orphan = g_new0(OrphanView, 1);
    g_autofree char *name = g_path_get_basename(left->path);

    orphan->name = g_hash_table_contains(names, name) ? names_untaken(name, names) : g_strdup(name);
    orphan->path = g_strdup(left->path);
    orphan->allocation = allocation_of(engine, left->path);
    g_hash_table_add(names, g_strdup(orphan->name));
    g_ptr_array_add(orphans, orphan);
}

static bool is_listed(const GPtrArray *orphans, const char *path)
{
    for (guint i = 0; i < orphans->len; i++)
        if (g_str_equal(((OrphanView *)orphans->pdata[i])->path, path))
            return true;
    return false;
}

static GHashTable *names_of(const GPtrArray *orphans)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (guint i = 0; i < orphans->len; i++)
        g_hash_table_add(names, g_strdup(((OrphanView *)orphans->pdata[i])->name));
    return names;
}

void expunged_look(Engine *engine, GPtrArray *orphans)
{
    g_autoptr(GPtrArray) all = find(engine);
    g_autoptr(GHashTable) names = names_of(orphans);
    for (guint i = 0; i < all->len; i++) {
        const Expunged *expunged = all->pdata[i];

        if (is_being_expunged(engine, expunged->uuid))
            continue;
        g_autoptr(GPtrArray) left = expunged_finish(&engine->world, expunged);
        for (guint j = 0; j < left->len; j++)
            if (!is_listed(orphans, ((ExpungeLeft *)left->pdata[j])->path))
                add_orphan(engine, left->pdata[j], orphans, names);
        if (left->len == 0)
            forget_vm(engine, expunged->uuid);
    }
}

bool expunged_free_path(Engine *engine, const char *path, GError **error)
{
    g_autoptr(GPtrArray) all = find(engine);

    for (guint i = 0; i < all->len; i++) {
        if (!expunged_names(all->pdata[i], path))
            continue;
        g_autoptr(GPtrArray) left = expunged_finish(&engine->world, all->pdata[i]);
        for (guint j = 0; j < left->len; j++) {
            const ExpungeLeft *still = left->pdata[j];
            if (g_str_equal(still->path, path) && error && !*error)
                *error = g_error_copy(still->error);
        }
        return true;
    }
    return false;
}
