#include "run/locate.h"

#include "run/ledger.h"
#include "run/observe.h"

static bool holds_catalog(Vm *vm, const char *home)
{
    static const char *const names[] = {"catalog.yaml", "journal.yaml"};
    Files *files = vm->world->files;
    g_autofree char *directory = store_directory(home, vm->uuid);

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(directory, names[i], NULL);

        if (files->ops->exists(files, path))
            return true;
    }
    return false;
}

/* The first directory among the files seen that holds a catalog of this VM, in the order of the
 * disks' chains. */
static char *search_chains(Vm *vm, const Observation *seen)
{
    const Domain *domain = seen->inactive ? seen->inactive : seen->live;

    for (guint i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];
        g_autoptr(GPtrArray) chain = disk->path ? observation_chain(seen, disk->path) : NULL;

        for (guint j = 0; chain && j < chain->len; j++) {
            g_autofree char *directory = g_path_get_dirname(chain->pdata[j]);

            if (g_path_is_absolute(directory) && holds_catalog(vm, directory))
                return g_steal_pointer(&directory);
        }
    }
    return NULL;
}

/* The disks may all have been moved away from it, and libvirt's metadata be lost. */
static char *search_configured(Vm *vm)
{
    g_autoptr(Config) config = vm_config(vm);

    for (guint i = 0; i < config->image_directories->len; i++)
        if (holds_catalog(vm, config->image_directories->pdata[i]))
            return g_strdup(config->image_directories->pdata[i]);
    return NULL;
}

/* It may be there and not be believed, or not be readable. */
static char *why_missing(const Vm *vm, const char *home)
{
    g_autoptr(GError) cause = NULL;

    if (g_path_is_absolute(home))
        catalog_free(store_load_catalog(vm->world->files, home, vm->uuid, &cause));
    return cause ? g_strdup_printf("the catalog of VM %s in %s cannot be used, so its snapshots "
                                   "are read-only: %s",
                                   vm->name, home, cause->message)
                 : g_strdup_printf("the catalog of VM %s should be in %s and is not there, so its "
                                   "snapshots are read-only; mount that storage or put the "
                                   "directory .vmsnapfs back",
                                   vm->name, home);
}

static bool refuse_missing(Vm *vm, const Domain *domain, GError **error)
{
    g_mutex_lock(&vm->lock);
    g_free(vm->problem);
    vm->problem = why_missing(vm, domain->home);
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_READ_ONLY, vm->problem);
    g_mutex_unlock(&vm->lock);
    return false;
}

/* *out_home: NULL if the VM has no catalog yet. */
static bool find_home(Vm *vm, char **out_home, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(Observation) seen = observe_domain(vm->world, vm->uuid, &name, error);
    g_autoptr(Catalog) empty = NULL;
    const Domain *domain;

    if (!seen)
        return false;
    vm_learn_name(vm, name);
    domain = seen->inactive ? seen->inactive : seen->live;
    if (domain && domain->home && g_path_is_absolute(domain->home) &&
        holds_catalog(vm, domain->home)) {
        *out_home = g_strdup(domain->home);
        return true;
    }
    empty = catalog_new(vm->uuid, name);
    if (!observe_files(vm->world, vm->uuid, empty, seen, error))
        return false;
    *out_home = search_chains(vm, seen);
    if (!*out_home)
        *out_home = search_configured(vm);
    return *out_home || !domain || !domain->home || domain->generation == 0 ||
           refuse_missing(vm, domain, error);
}

bool locate_home(Vm *vm, GError **error)
{
    g_autofree char *known = vm_home(vm), *found = NULL;

    if (known)
        return true;
    if (!find_home(vm, &found, error))
        return false;
    g_mutex_lock(&vm->lock);
    vm->home = g_steal_pointer(&found);
    g_mutex_unlock(&vm->lock);
    return true;
}

char *locate_new_home(const Domain *domain)
{
    for (guint i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (disk->path && g_strcmp0(disk->type, "file") == 0 && !domain_disk_excluded(disk))
            return g_path_get_dirname(disk->path);
    }
    return NULL;
}

void locate_publish(Vm *vm, const Observation *seen)
{
    const World *world = vm->world;
    const Domain *domain = seen ? (seen->inactive ? seen->inactive : seen->live) : NULL;
    g_autofree char *home = vm_home(vm);
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autoptr(GError) error = NULL;

    if (!domain || !home || catalog->generation == 0 || g_strcmp0(domain->home, home) == 0)
        return;
    if (!world->hv->ops->set_metadata(world->hv, vm->uuid, home, catalog->generation, &error))
        ledger_complain(vm, "libvirt could not be told where its catalog is", error);
}
