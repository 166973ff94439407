#include "plan/planner.h"

#include "plan/checks.h"

#define CHAIN_MAX 300

ImageFacts *image_facts_new(void)
{
    return g_new0(ImageFacts, 1);
}

void image_facts_free(ImageFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->probed);
    g_free(facts->backing);
    g_free(facts->backing_format);
    g_free(facts->error);
    g_free(facts);
}

void block_job_facts_free(BlockJobFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->target);
    g_free(facts->kind);
    g_free(facts);
}

Observation *observation_new(void)
{
    Observation *observation = g_new0(Observation, 1);

    observation->state = DOMAIN_OFF;
    observation->files =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)image_facts_free);
    observation->jobs = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify)block_job_facts_free);
    observation->free_space = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    observation->users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    observation->lost = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    observation->capabilities = capabilities_new();
    return observation;
}

void vars_facts_free(VarsFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->path);
    g_free(facts->template);
    g_free(facts->error);
    g_free(facts);
}

void tpm_facts_free(TpmFacts *facts)
{
    if (!facts)
        return;
    g_free(facts->path);
    g_free(facts->sha256);
    g_free(facts->error);
    g_free(facts);
}

void observation_free(Observation *observation)
{
    if (!observation)
        return;
    g_free(observation->foreign_job);
    domain_free(observation->live);
    domain_free(observation->inactive);
    g_hash_table_unref(observation->files);
    g_hash_table_unref(observation->jobs);
    g_hash_table_unref(observation->free_space);
    g_hash_table_unref(observation->users);
    g_hash_table_unref(observation->lost);
    capabilities_unref(observation->capabilities);
    vars_facts_free(observation->vars);
    tpm_facts_free(observation->tpm);
    g_free(observation);
}

const ImageFacts *observation_file(const Observation *observation, const char *path)
{
    return path ? g_hash_table_lookup(observation->files, path) : NULL;
}

char *file_key(uint64_t device, uint64_t inode)
{
    return g_strdup_printf("%" G_GINT64_MODIFIER "x:%" G_GINT64_MODIFIER "x", (guint64)device,
                           (guint64)inode);
}

const char *observation_user(const Observation *observation, const char *path)
{
    const ImageFacts *facts = observation_file(observation, path);
    g_autofree char *key = NULL;

    if (!facts || !facts->exists || g_hash_table_size(observation->users) == 0)
        return NULL;
    key = file_key(facts->device, facts->inode);
    return g_hash_table_lookup(observation->users, key);
}

const Domain *observation_domain(const Observation *observation)
{
    return observation->live ? observation->live : observation->inactive;
}

bool observation_is_off(const Observation *observation)
{
    return observation->state == DOMAIN_OFF && !observation->managed_save;
}

const char *observation_name(const Observation *observation)
{
    const Domain *domain = observation_domain(observation);

    return domain && domain->name ? domain->name : "?";
}

/* A raw disk has no header: whatever stands at its beginning, the guest wrote it (rule 12). */
static bool is_raw(const Domain *domain, const char *path)
{
    const DomainDisk *disk = domain ? domain_disk_of_path(domain, path) : NULL;

    return disk && g_strcmp0(disk->format, "raw") == 0;
}

static bool is_in(GPtrArray *paths, const char *path)
{
    return g_ptr_array_find_with_equal_func(paths, path, g_str_equal, NULL);
}

GPtrArray *observation_chain(const Observation *observation, const char *path)
{
    GPtrArray *chain = g_ptr_array_new_with_free_func(g_free);
    bool raw = is_raw(observation->live, path) || is_raw(observation->inactive, path);

    while (path && chain->len < CHAIN_MAX && !is_in(chain, path)) {
        const ImageFacts *facts = observation_file(observation, path);

        g_ptr_array_add(chain, g_strdup(path));
        if (raw || !facts || !facts->exists)
            break;
        raw = g_strcmp0(facts->backing_format, "raw") == 0;
        path = facts->backing;
    }
    return chain;
}

bool observation_chain_is_endless(const Observation *observation, const char *path)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, path);
    const char *last = chain->len > 0 ? chain->pdata[chain->len - 1] : NULL;
    const char *above = chain->len > 1 ? chain->pdata[chain->len - 2] : NULL;
    const ImageFacts *facts = last ? observation_file(observation, last) : NULL;
    bool raw = above ? g_strcmp0(observation_file(observation, above)->backing_format, "raw") == 0
                     : is_raw(observation->live, path) || is_raw(observation->inactive, path);

    return facts && facts->exists && facts->backing && !raw;
}

bool observation_chain_has(const Observation *observation, const char *path, const char *file)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, path);

    return is_in(chain, file);
}

/* --- what libvirt lost track of --- */

static bool is_written(const Observation *observation, const char *path)
{
    const ImageFacts *facts = observation_file(observation, path);

    return facts && facts->exists && facts->written;
}

static const char *overlay_of_journal(const Plan *journal, const DomainDisk *disk)
{
    for (unsigned i = 0; journal && i < journal->steps->len; i++) {
        const Step *step = journal->steps->pdata[i];

        if (step->kind == STEP_OVERLAY && g_strcmp0(step_get(step, "target"), disk->target) == 0 &&
            g_strcmp0(step_get(step, "backing"), disk->path) == 0)
            return step_get(step, "path");
    }
    return NULL;
}

static const char *overlay_of_catalog(const Catalog *catalog, const DomainDisk *disk)
{
    Layer *below = NULL;
    const Disk *known = catalog_disk_of_path(catalog, disk->path, &below);
    const Layer *active = known ? disk_active(known) : NULL;

    return active && g_strcmp0(active->parent, below->id) == 0 ? active->path : NULL;
}

static void put_on(Observation *observation, DomainDisk *disk, const char *overlay)
{
    ChainLink *below = g_new0(ChainLink, 1);

    g_hash_table_replace(observation->lost, g_strdup(disk->target), g_strdup(disk->path));
    below->path = g_steal_pointer(&disk->path);
    below->format = g_steal_pointer(&disk->format);
    if (disk->chain_stated)
        g_ptr_array_insert(disk->chain, 0, below);
    else
        chain_link_free(below);
    disk->path = g_strdup(overlay);
    disk->format = g_strdup("qcow2");
}

void observation_trust_locks(Observation *observation, const Catalog *catalog, const Plan *journal)
{
    const Domain *live = observation->live;

    for (unsigned i = 0; live && i < live->disks->len; i++) {
        DomainDisk *disk = live->disks->pdata[i];
        const char *overlay;

        if (domain_disk_excluded(disk) || is_written(observation, disk->path))
            continue;
        overlay = overlay_of_journal(journal, disk);
        if (!overlay)
            overlay = overlay_of_catalog(catalog, disk);
        if (overlay && is_written(observation, overlay))
            put_on(observation, disk, overlay);
    }
}

char *observation_lost_disk(const Observation *observation, const DomainDisk *disk)
{
    const char *named = g_hash_table_lookup(observation->lost, disk->target);

    if (!named)
        return NULL;
    return g_strdup_printf("libvirt was killed in a snapshot and lost track of disk %s, which it "
                           "names %s while QEMU runs on %s; nothing is lost, but the VM must be "
                           "shut down and started again",
                           disk->target, named, disk->path);
}
