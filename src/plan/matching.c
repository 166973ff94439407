#include "plan/matching.h"

#include "plan/checks.h"

/* Its snapshot is being removed, or that failed, and not only accepted: its merge may have begun;
 * and nothing but one layer depends on it. */
static bool may_be_merged_over(const Catalog *catalog, const Disk *disk, const Layer *layer)
{
    const Snapshot *owner = catalog_owner(catalog, disk->id, layer->id);
    g_autoptr(GPtrArray) dependants = NULL;

    if (!owner || owner->state == SNAPSHOT_READY || owner->whole)
        return false;
    dependants = disk_dependants(disk, layer->id);
    return dependants->len == 1;
}

Layer *match_merged_into(const Catalog *catalog, const Disk *disk, const Layer *layer,
                         const char *path)
{
    Layer *below = layer && layer->parent ? disk_layer(disk, layer->parent) : NULL;

    for (; below && may_be_merged_over(catalog, disk, below);
         below = below->parent ? disk_layer(disk, below->parent) : NULL)
        if (g_strcmp0(below->path, path) == 0)
            return below;
    return NULL;
}

/* Neither QEMU nor a definition was made to go on from a layer of which the catalog does not say
 * so before. */
static bool is_announced(const Disk *disk, const Layer *into)
{
    return into &&
           (g_strcmp0(into->id, disk->pivot) == 0 || g_strcmp0(into->id, disk->committed) == 0);
}

static bool is_disk(const Catalog *catalog, const Disk *disk, const DomainDisk *source,
                    bool *out_merged)
{
    const Layer *active = disk_active(disk);
    bool merged = is_announced(disk, match_merged_into(catalog, disk, active, source->path));

    if (!active || (!merged && g_strcmp0(source->path, active->path) != 0))
        return false;
    if (out_merged)
        *out_merged = merged;
    return true;
}

const DomainDisk *match_in_domain(const Catalog *catalog, const Domain *domain, const Disk *disk,
                                  bool *out_merged)
{
    for (unsigned i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *source = domain->disks->pdata[i];

        if (source->path && is_disk(catalog, disk, source, out_merged))
            return source;
    }
    return NULL;
}

bool match_is_merged(const Catalog *catalog, const Observation *observation, const Disk *disk)
{
    bool live = false, stored = false;

    match_in_domain(catalog, observation->live, disk, &live);
    match_in_domain(catalog, observation->inactive, disk, &stored);
    return live || stored;
}

Disk *match_in_catalog(const Catalog *catalog, const DomainDisk *source, bool *out_merged)
{
    for (unsigned i = 0; source->path && i < catalog->disks->len; i++) {
        Disk *disk = catalog->disks->pdata[i];

        if (is_disk(catalog, disk, source, out_merged))
            return disk;
    }
    return NULL;
}

static bool touches(const Observation *observation, const DomainDisk *source, const Disk *disk)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, source->path);

    for (unsigned i = 0; i < chain->len; i++)
        for (unsigned j = 0; j < disk->layers->len; j++)
            if (g_str_equal(chain->pdata[i], ((Layer *)disk->layers->pdata[j])->path))
                return true;
    return false;
}

/* It has the label of @disk, and what it stands on cannot be read now. */
static bool may_touch(const Observation *observation, const DomainDisk *source, const Disk *disk)
{
    return disk->attached && g_strcmp0(source->target, disk->target) == 0 &&
           match_unreadable(observation, source);
}

const ImageFacts *match_unreadable(const Observation *observation, const DomainDisk *source)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, source->path);
    const ImageFacts *last = observation_file(observation, chain->pdata[chain->len - 1]);

    return last && last->error ? last : NULL;
}

const DomainDisk *match_stranger(const Catalog *catalog, const Observation *observation,
                                 const Domain *domain, const Disk *disk)
{
    for (unsigned i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *source = domain->disks->pdata[i];

        if (source->path && !is_disk(catalog, disk, source, NULL) &&
            (touches(observation, source, disk) || may_touch(observation, source, disk)))
            return source;
    }
    return NULL;
}
