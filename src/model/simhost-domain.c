/* Domains and their definitions: set-up by tests, and what libvirt tells and takes. */
#include "model/simhost-priv.h"

#include "base/str.h"

SimDomain *sim_domain(SimHost *host, const char *uuid, GError **error)
{
    for (unsigned i = 0; i < host->domains->len; i++)
        if (g_strcmp0(((SimDomain *)host->domains->pdata[i])->uuid, uuid) == 0)
            return host->domains->pdata[i];
    sim_error(error, ERR_NOT_FOUND, "There is no VM with the uuid %s.", uuid);
    return NULL;
}

SimDomain *sim_known_domain(SimHost *host, const char *uuid)
{
    SimDomain *domain = sim_domain(host, uuid, NULL);

    g_assert(domain);
    return domain;
}

bool sim_is_on(const SimDomain *domain)
{
    return domain->live != NULL;
}

SimDisk *sim_disk_new(const char *target, const char *path, const char *format)
{
    SimDisk *disk = g_new0(SimDisk, 1);

    disk->target = g_strdup(target);
    disk->device = g_strdup("disk");
    disk->type = g_strdup("file");
    disk->links = g_ptr_array_new_with_free_func((GDestroyNotify)sim_link_free);
    g_ptr_array_add(disk->links, sim_link_new(path, format));
    return disk;
}

void sim_disk_free(SimDisk *disk)
{
    g_free(disk->target);
    g_free(disk->device);
    g_free(disk->type);
    g_free(disk->pivoted);
    g_ptr_array_unref(disk->links);
    g_free(disk->kept_on);
    g_clear_pointer(&disk->kept, sim_link_free);
    g_free(disk);
}

SimDisk *sim_disk(const SimDefinition *definition, const char *target)
{
    for (unsigned i = 0; definition && i < definition->disks->len; i++) {
        SimDisk *disk = definition->disks->pdata[i];

        if (g_strcmp0(disk->target, target) == 0)
            return disk;
    }
    return NULL;
}

GPtrArray *sim_disk_chain(SimHost *host, const SimDisk *disk)
{
    GPtrArray *links = sim_links_copy(disk->links);

    if (!disk->ended)
        sim_links_probe(host, links);
    return links;
}

SimDefinition *sim_definition_new(void)
{
    SimDefinition *definition = g_new0(SimDefinition, 1);

    definition->disks = g_ptr_array_new_with_free_func((GDestroyNotify)sim_disk_free);
    return definition;
}

void sim_definition_free(SimDefinition *definition)
{
    if (!definition)
        return;
    g_free(definition->home);
    g_free(definition->nvram);
    g_ptr_array_unref(definition->disks);
    g_free(definition);
}

void sim_domain_free(SimDomain *domain)
{
    g_free(domain->uuid);
    g_free(domain->name);
    g_free(domain->foreign_job);
    g_free(domain->saved);
    sim_definition_free(domain->live);
    sim_definition_free(domain->inactive);
    g_hash_table_unref(domain->jobs);
    g_hash_table_unref(domain->aside);
    g_array_unref(domain->asked);
    g_free(domain);
}

void simhost_add_domain(SimHost *host, const char *uuid, const char *name, DomainState state)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = g_new0(SimDomain, 1);

    domain->uuid = g_strdup(uuid);
    domain->name = g_strdup(name);
    domain->state = state;
    domain->inactive = sim_definition_new();
    domain->live = state == DOMAIN_OFF ? NULL : sim_definition_new();
    domain->jobs =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)sim_job_free);
    domain->aside = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    domain->asked = g_array_new(FALSE, FALSE, sizeof(bool));
    g_ptr_array_add(host->domains, domain);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
}

void simhost_add_disk(SimHost *host, const char *uuid, const char *target, const char *path,
                      const char *format)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    if (domain->inactive)
        g_ptr_array_add(domain->inactive->disks, sim_disk_new(target, path, format));
    if (domain->live) {
        SimDisk *disk = sim_disk_new(target, path, format);

        sim_links_probe(host, disk->links);
        disk->ended = true;
        g_ptr_array_add(domain->live->disks, disk);
    }
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
}

void simhost_remove_disk(SimHost *host, const char *uuid, const char *target)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    if (domain->inactive)
        g_ptr_array_remove(domain->inactive->disks, sim_disk(domain->inactive, target));
    if (domain->live)
        g_ptr_array_remove(domain->live->disks, sim_disk(domain->live, target));
    g_hash_table_remove(domain->jobs, target);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
}

static void disk_set(SimDisk *disk, const char *device, const char *type, bool readonly,
                     bool shareable)
{
    if (!disk)
        return;
    str_set(&disk->device, device);
    str_set(&disk->type, type);
    disk->readonly = readonly;
    disk->shareable = shareable;
}

void simhost_set_disk(SimHost *host, const char *uuid, const char *target, const char *device,
                      const char *type, bool readonly, bool shareable)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    const SimDomain *domain = sim_known_domain(host, uuid);

    disk_set(sim_disk(domain->live, target), device, type, readonly, shareable);
    disk_set(sim_disk(domain->inactive, target), device, type, readonly, shareable);
}

void simhost_set_transient(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    g_assert(domain->live);
    g_clear_pointer(&domain->inactive, sim_definition_free);
}

void simhost_set_managed_save(SimHost *host, const char *uuid, bool managed_save)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    SimDomain *domain = sim_known_domain(host, uuid);

    domain->managed_save = managed_save;
    g_clear_pointer(&domain->saved, g_free);
    if (managed_save && domain->inactive)
        domain->saved = sim_xml(domain, domain->inactive, NULL);
}

void simhost_set_foreign(SimHost *host, const char *uuid, const char *job, unsigned snapshots)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    str_set(&domain->foreign_job, job);
    domain->snapshots = snapshots;
}

GPtrArray *simhost_list(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    GPtrArray *uuids = g_ptr_array_new_with_free_func(g_free);

    for (unsigned i = 0; i < host->domains->len; i++)
        g_ptr_array_add(uuids, g_strdup(((SimDomain *)host->domains->pdata[i])->uuid));
    return uuids;
}

void sim_facts_clear(SimFacts *facts)
{
    g_free(facts->uuid);
    g_free(facts->name);
    g_free(facts->foreign_job);
    g_free(facts->live);
    g_free(facts->inactive);
    g_free(facts->saved);
    *facts = (SimFacts){0};
}

static SimFacts facts_of(const SimDomain *domain)
{
    return (SimFacts){
        .uuid = g_strdup(domain->uuid),
        .name = g_strdup(domain->name),
        .state = domain->state,
        .persistent = domain->inactive != NULL,
        .managed_save = domain->managed_save,
        .snapshots = domain->snapshots,
        .foreign_job = g_strdup(domain->foreign_job),
    };
}

bool simhost_glance(SimHost *host, const char *uuid, SimFacts *out_facts)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    const SimDomain *domain = sim_domain(host, uuid, NULL);

    if (domain)
        *out_facts = facts_of(domain);
    return domain != NULL;
}

bool simhost_inspect(SimHost *host, const char *uuid, SimFacts *out_facts, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    const SimDomain *domain = sim_domain(host, uuid, error);

    if (!domain)
        return false;
    *out_facts = facts_of(domain);
    out_facts->live = domain->live ? sim_xml(domain, domain->live, domain->jobs) : NULL;
    out_facts->inactive = domain->inactive ? sim_xml(domain, domain->inactive, NULL) : NULL;
    out_facts->saved = domain->managed_save ? g_strdup(domain->saved) : NULL;
    return true;
}

static SimDisk *disk_of_xml(const DomainDisk *from)
{
    SimDisk *disk = sim_disk_new(from->target, from->path, from->format);

    disk_set(disk, from->device, from->type, from->readonly, from->shareable);
    disk->snapshot_no = from->snapshot_no;
    for (unsigned i = 0; i < from->chain->len; i++) {
        const ChainLink *link = from->chain->pdata[i];

        g_ptr_array_add(disk->links, sim_link_new(link->path, link->format));
    }
    return disk;
}

/* An empty <backingStore/> as the only one is all that Domain tells apart from nothing. Ends below
 * named files are not told, so what is below them is probed: the same, unless somebody made an
 * image up. */
static SimDefinition *definition_of_xml(const Domain *domain)
{
    SimDefinition *definition = sim_definition_new();

    definition->home = g_strdup(domain->home);
    definition->generation = domain->generation;
    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *from = domain->disks->pdata[i];
        SimDisk *disk = disk_of_xml(from);

        disk->ended = from->chain_stated && from->chain->len == 0;
        g_ptr_array_add(definition->disks, disk);
    }
    return definition;
}

/* A running VM goes on with its live disks; a persistent definition that names others is what the
 * next start uses. */
static void check_redefined(SimHost *host, const SimDomain *domain)
{
    for (unsigned i = 0; domain->live && i < domain->live->disks->len; i++) {
        const SimDisk *live = domain->live->disks->pdata[i];
        const SimDisk *next = sim_disk(domain->inactive, live->target);
        const char *path = ((SimLink *)live->links->pdata[0])->path;

        if (next && sim_links_find(next->links, path) != 0)
            sim_misuse(host, "Disk %s of %s is redefined away from \"%s\" while the VM runs on it.",
                       live->target, domain->name, path);
    }
}

bool simhost_define(SimHost *host, const char *uuid, const char *xml, GError **error)
{
    g_autoptr(Domain) parsed = domain_parse(xml, error);

    if (!parsed)
        return false;

    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);
    if (!domain)
        return false;
    if (g_strcmp0(parsed->uuid, uuid) != 0 || g_strcmp0(parsed->name, domain->name) != 0)
        return sim_error(error, ERR_INVALID,
                         "The definition of %s cannot be stored because it is that of %s (%s).",
                         domain->name, parsed->name, parsed->uuid);
    sim_definition_free(domain->inactive);
    domain->inactive = definition_of_xml(parsed);
    domain->inactive->nvram =
        sim_nvram_defined(domain, parsed->firmware ? parsed->firmware->path : NULL);
    check_redefined(host, domain);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    return true;
}

static void definition_set_home(SimDefinition *definition, const char *home, uint64_t generation)
{
    if (!definition)
        return;
    str_set(&definition->home, home);
    definition->generation = generation;
}

bool simhost_set_metadata(SimHost *host, const char *uuid, const char *home, uint64_t generation,
                          GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);

    if (!domain)
        return false;
    definition_set_home(domain->live, home, generation);
    definition_set_home(domain->inactive, home, generation);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    return true;
}
