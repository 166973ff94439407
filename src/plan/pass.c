/* Which removals go together (rule 6), and what was done of them already.
 *
 * A commit may have been done, and the program have died before it was recorded; or the removal
 * failed, and a job that could not be ended went on to its end in QEMU. What was merged shows in
 * headers and definitions, whatever is planned now: it is recorded first, and the rest planned
 * anew, because a layer that was merged into another must never be committed there again on the way
 * to a third. */
#include "plan/merge.h"

#include "plan/checks.h"
#include "plan/matching.h"

/* --- members --- */

bool pass_is_work(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot)
{
    if (catalog_dependants(catalog, snapshot) > 1)
        return false;
    return snapshot->state == SNAPSHOT_REMOVING ||
           (snapshot->hidden && check_unused(catalog, observation, snapshot, NULL) &&
            check_sidecar_gates(observation, snapshot, "removed", NULL));
}

static bool is_on(const Catalog *catalog, const Snapshot *above, const Snapshot *below)
{
    for (unsigned i = 0; i < above->disks->len; i++) {
        const SnapshotDisk *entry = above->disks->pdata[i];
        const SnapshotDisk *other = snapshot_disk(below, entry->disk);
        const Layer *layer = disk_layer(catalog_disk(catalog, entry->disk), entry->layer);

        if (other && g_strcmp0(layer->parent, other->layer) == 0)
            return true;
    }
    return false;
}

static bool is_neighbour(const Catalog *catalog, const GPtrArray *members, const Snapshot *snapshot)
{
    for (unsigned i = 0; i < members->len; i++)
        if (is_on(catalog, members->pdata[i], snapshot) ||
            is_on(catalog, snapshot, members->pdata[i]))
            return true;
    return false;
}

GPtrArray *pass_members(const Catalog *catalog, const Observation *observation,
                        const Snapshot *snapshot)
{
    GPtrArray *members = g_ptr_array_new();
    unsigned before = 0;

    g_ptr_array_add(members, (void *)snapshot);
    while (before < members->len) {
        before = members->len;
        for (unsigned i = 0; i < catalog->snapshots->len; i++) {
            Snapshot *other = catalog->snapshots->pdata[i];

            if (pass_is_work(catalog, observation, other) &&
                !g_ptr_array_find(members, other, NULL) && is_neighbour(catalog, members, other))
                g_ptr_array_add(members, other);
        }
    }
    return members;
}

/* --- runs --- */

static Layer *only_dependant(const Disk *disk, const Layer *layer)
{
    g_autoptr(GPtrArray) dependants = disk_dependants(disk, layer->id);

    return dependants->len == 1 ? dependants->pdata[0] : NULL;
}

static bool is_members(const Catalog *catalog, const GPtrArray *members, const Disk *disk,
                       const Layer *layer)
{
    const Snapshot *owner = layer ? catalog_owner(catalog, disk->id, layer->id) : NULL;

    return owner && g_ptr_array_find((GPtrArray *)members, owner, NULL);
}

/* The layers from @base up to what is not the members' any more, or has a side branch. */
static GPtrArray *run_from(const Catalog *catalog, const GPtrArray *members, const Disk *disk,
                           Layer *base)
{
    GPtrArray *run = g_ptr_array_new();

    for (Layer *layer = base; is_members(catalog, members, disk, layer);
         layer = only_dependant(disk, layer))
        g_ptr_array_add(run, layer);
    return run;
}

/* A commit of ours that runs already, or waits for its pivot, is taken up as it is: with its base.
 */
static void cut_at_job(const Observation *observation, const Disk *disk, GPtrArray *run,
                       const Layer *top)
{
    const DomainDisk *live = NULL;

    if (top && observation->live && g_str_equal(top->id, disk->active))
        live = domain_disk_of_path(observation->live, top->path);
    for (unsigned i = 1; live && live->mirror_path && i < run->len; i++)
        if (g_str_equal(((Layer *)run->pdata[i])->path, live->mirror_path)) {
            g_ptr_array_remove_range(run, 0, i);
            return;
        }
}

static void add_run(const Catalog *catalog, const Observation *observation,
                    const GPtrArray *members, const Disk *disk, Layer *base, GPtrArray *merges)
{
    GPtrArray *run = run_from(catalog, members, disk, base);
    const Layer *last = run->pdata[run->len - 1];
    g_autoptr(GPtrArray) dependants = disk_dependants(disk, last->id);
    const Layer *top = dependants->len > 0 ? dependants->pdata[0] : NULL;

    cut_at_job(observation, disk, run, top);
    g_ptr_array_add(merges, merge_new(catalog, observation, disk, run, top));
}

/* --- what is done --- */

/* What @layer is seen to have been merged into, or NULL. */
static Layer *merged_into(const Catalog *catalog, const Observation *observation, const Disk *disk,
                          const Layer *layer)
{
    const Domain *domain = observation_domain(observation);
    g_autoptr(GPtrArray) dependants = disk_dependants(disk, layer->id);
    Layer *into = NULL;

    if (g_str_equal(layer->id, disk->active)) {
        const DomainDisk *source = match_in_domain(catalog, domain, disk, NULL);

        return source ? match_merged_into(catalog, disk, layer, source->path) : NULL;
    }
    for (unsigned i = 0; i < dependants->len && !into; i++) {
        const Layer *above = dependants->pdata[i];
        const ImageFacts *facts = observation_file(observation, above->path);

        if (facts && facts->exists && facts->backing)
            into = match_merged_into(catalog, disk, layer, facts->backing);
    }
    return into;
}

GPtrArray *pass_done(const Catalog *catalog, const Observation *observation, const Disk *disk)
{
    GPtrArray *merges = g_ptr_array_new_with_free_func((GDestroyNotify)merge_free);

    for (unsigned i = 0; i < disk->layers->len; i++) {
        const Layer *top = disk->layers->pdata[i];
        Layer *into = merged_into(catalog, observation, disk, top);
        GPtrArray *run;

        if (!into)
            continue;
        run = g_ptr_array_new();
        for (Layer *layer = into; layer != top; layer = only_dependant(disk, layer))
            g_ptr_array_add(run, layer);
        g_ptr_array_add(merges, merge_new(catalog, observation, disk, run, top));
    }
    return merges;
}

bool plan_check_torn(const Catalog *catalog, const Observation *observation, GError **error)
{
    for (unsigned i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];
        g_autoptr(GPtrArray) merges = pass_done(catalog, observation, disk);

        for (unsigned j = 0; j < merges->len; j++)
            if (((Merge *)merges->pdata[j])->tool == MERGE_OFFLINE)
                return refuse(error, ERR_BUSY,
                              "VM %s must not be started yet: QEMU may have ended before the merge "
                              "of snapshot %s (disk %s) was whole, so it is done again while the "
                              "VM is off; wait for it (cat wait), or remove that snapshot once "
                              "more if it is failed",
                              observation_name(observation), merge_snapshot(merges->pdata[j])->name,
                              disk->target);
    }
    return true;
}

/* Of the members, or next to a layer of theirs, whose headers then say otherwise than the catalog:
 * it may be of a removal that failed. */
static bool concerns(const Merge *merge, const GPtrArray *members)
{
    const Layer *below = merge->base->parent ? disk_layer(merge->disk, merge->base->parent) : NULL;

    for (unsigned i = 0; i < merge->run->len; i++)
        if (is_members(merge->catalog, members, merge->disk, merge->run->pdata[i]))
            return true;
    return is_members(merge->catalog, members, merge->disk, below) ||
           is_members(merge->catalog, members, merge->disk, merge->top);
}

GPtrArray *pass_merges(const Catalog *catalog, const Observation *observation,
                       const GPtrArray *members, const Disk *disk)
{
    GPtrArray *merges = pass_done(catalog, observation, disk);

    for (unsigned i = merges->len; i-- > 0;)
        if (!concerns(merges->pdata[i], members))
            g_ptr_array_remove_index(merges, i);
    if (merges->len > 0)
        return merges;
    for (unsigned i = 0; i < disk->layers->len; i++) {
        Layer *layer = disk->layers->pdata[i];
        const Layer *below = layer->parent ? disk_layer(disk, layer->parent) : NULL;

        if (is_members(catalog, members, disk, layer) &&
            !(is_members(catalog, members, disk, below) && only_dependant(disk, below) == layer))
            add_run(catalog, observation, members, disk, layer, merges);
    }
    return merges;
}
