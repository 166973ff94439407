#include "run/observe.h"

#include "base/walk.h"
#include "plan/firmware.h"
#include "run/observe-firmware.h"
#include "run/users-known.h"

/* The definitions as parsed; a text that cannot be parsed is libvirt's answer gone wrong. */
static bool parse_definitions(const World *world, const char *uuid, const char *live,
                              const char *inactive, Observation *observation, GError **error)
{
    if (live && !(observation->live = users_definition(world, uuid, true, live, error)))
        return false;
    return !inactive ||
           (observation->inactive = users_definition(world, uuid, false, inactive, error));
}

bool observe_state(const World *world, const char *uuid, DomainState *out_state, GError **error)
{
    g_autofree char *live = NULL, *inactive = NULL, *foreign = NULL;
    HvDomain *domain = NULL;
    unsigned snapshots = 0;

    if (!world->hv->ops->inspect(world->hv, uuid, &domain, &live, &inactive, &foreign, &snapshots,
                                 error))
        return false;
    *out_state = domain->state;
    hv_domain_free(domain);
    return true;
}

Observation *observe_domain(const World *world, const char *uuid, char **out_name, GError **error)
{
    g_autoptr(Observation) observation = observation_new();
    g_autofree char *live = NULL, *inactive = NULL, *foreign = NULL;
    g_autoptr(Capabilities) capabilities = world->hv->ops->capabilities(world->hv, error);
    HvDomain *domain = NULL;
    unsigned snapshots = 0;

    if (!capabilities)
        return NULL;
    if (!world->hv->ops->inspect(world->hv, uuid, &domain, &live, &inactive, &foreign, &snapshots,
                                 error))
        return NULL;
    capabilities_unref(observation->capabilities);
    observation->capabilities = g_steal_pointer(&capabilities);
    observation->state = domain->state;
    observation->persistent = domain->persistent;
    observation->managed_save = domain->managed_save;
    observation->foreign_job = g_steal_pointer(&foreign);
    observation->libvirt_snapshots = snapshots;
    bool parsed = parse_definitions(world, uuid, live, inactive, observation, error);
    if (!parsed)
        g_prefix_error(error, "The definition of VM %s cannot be read: ", domain->name);
    if (out_name)
        *out_name = g_strdup(domain->name);
    hv_domain_free(domain);
    return parsed ? g_steal_pointer(&observation) : NULL;
}

bool observe_check_reach(const Domain *domain, GError **error)
{
    g_autoptr(GError) cause = NULL;

    for (guint i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (!disk->path || g_strcmp0(disk->type, "file") != 0 || walk_check(disk->path, &cause))
            continue;
        error_set(error, ERR_UNSUPPORTED, "Disk %s of VM %s is out of reach: %s", disk->target,
                  domain->name, cause->message);
        return false;
    }
    return true;
}

/* Look at @path and at everything below it by header. */
static void observe_chain(const World *world, Observation *observation, const char *path)
{
    g_autofree char *next = g_strdup(path);

    for (unsigned depth = 0; next && depth < CHAIN_LIMIT; depth++) {
        if (g_hash_table_contains(observation->files, next))
            return;
        ImageFacts *facts = world->images->ops->inspect(world->images, next);
        g_hash_table_insert(observation->files, g_steal_pointer(&next), facts);
        next = facts->exists ? g_strdup(facts->backing) : NULL;
    }
}

/* Files of a definition. A block device or a network disk has no header of ours to read: the
 * planner refuses those. */
static void observe_definition(const World *world, Observation *observation, const Domain *domain)
{
    for (guint i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (!disk->path || g_strcmp0(disk->type, "file") != 0)
            continue;
        observe_chain(world, observation, disk->path);
        for (guint j = 0; j < disk->chain->len; j++)
            observe_chain(world, observation, ((ChainLink *)disk->chain->pdata[j])->path);
    }
}

static void observe_catalog(const World *world, Observation *observation, const Catalog *catalog)
{
    for (guint i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++)
            observe_chain(world, observation, ((Layer *)disk->layers->pdata[j])->path);
    }
}

/* Its header says nothing; who it is, and who else uses it, counts. */
static void observe_store(const World *world, Observation *observation, const Catalog *catalog)
{
    g_autofree char *path = firmware_vars_path(observation->live, observation->inactive,
                                               observation->capabilities, catalog);

    if (path && !g_hash_table_contains(observation->files, path)) {
        ImageFacts *facts = world->images->ops->inspect(world->images, path);

        g_hash_table_insert(observation->files, g_steal_pointer(&path), facts);
    }
}

/* While somebody else's job is on the VM nothing is planned, and libvirt might let this wait. */
static bool observe_jobs(const World *world, const char *uuid, Observation *observation,
                         GError **error)
{
    const Domain *live = observation->foreign_job ? NULL : observation->live;

    for (guint i = 0; live && i < live->disks->len; i++) {
        const DomainDisk *disk = live->disks->pdata[i];
        BlockJobFacts *job = NULL;

        if (!disk->path || domain_disk_excluded(disk))
            continue;
        if (!world->hv->ops->block_job(world->hv, uuid, disk->target, &job, error))
            return false;
        if (job)
            g_hash_table_insert(observation->jobs, g_strdup(disk->target), job);
    }
    return true;
}

/* A directory whose space cannot be asked is left out: the planner then does not count on it. */
static void observe_space(const World *world, Observation *observation)
{
    GHashTableIter iter;
    gpointer path;

    g_hash_table_iter_init(&iter, observation->files);
    while (g_hash_table_iter_next(&iter, &path, NULL)) {
        g_autofree char *directory = g_path_get_dirname(path);
        FreeSpace space;

        if (g_hash_table_contains(observation->free_space, directory) ||
            !world->images->ops->free_space(world->images, directory, &space, NULL))
            continue;
        g_hash_table_insert(observation->free_space, g_steal_pointer(&directory),
                            g_memdup2(&space, sizeof(space)));
    }
}

bool observe_files(const World *world, const char *uuid, const Catalog *catalog,
                   Observation *observation, GError **error)
{
    observe_definition(world, observation, observation->live);
    observe_definition(world, observation, observation->inactive);
    observe_catalog(world, observation, catalog);
    observe_store(world, observation, catalog);
    observe_space(world, observation);
    observe_firmware(world, catalog, observation);
    observation_trust_locks(observation, catalog, NULL);
    return observe_jobs(world, uuid, observation, error);
}
