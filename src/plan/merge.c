/* What a removal needs on one disk.
 *
 * The dependant C of the snapshot's layer B is written down into B's file and takes that file over.
 * The order is the same for every tool: commit, then whatever named C's file is made to name B's
 * (headers, definition), then the catalog says so, and only then is C's file unlinked. So each file
 * that something names exists at every moment, and everything before the record may be done again:
 * committing C into B twice is committing it once.
 *
 * That a commit was done shows in what it leaves: the definition runs on B though the catalog says
 * C, or a header of C's dependants names B. Nothing but a finished commit of ours does that. But
 * while the running VM still has C in its chain the commit is done again, since nothing else takes
 * C out of there. */
#include "plan/merge.h"

#include "plan/checks.h"
#include "plan/matching.h"

void merge_clear(Merge *merge)
{
    g_clear_pointer(&merge->dependants, g_ptr_array_unref);
}

/* --- looking --- */

static bool top_is_active(const Merge *merge)
{
    return merge->top && g_str_equal(merge->disk->active, merge->top->id);
}

static bool names(const Merge *merge, const Layer *layer, const char *path)
{
    const ImageFacts *facts = observation_file(merge->observation, layer->path);

    return facts && facts->exists && g_strcmp0(facts->backing, path) == 0;
}

static bool in_chain(const Merge *merge, const DomainDisk *source, const Layer *layer)
{
    return source && observation_chain_has(merge->observation, source->path, layer->path);
}

static bool is_done(const Merge *merge)
{
    if (top_is_active(merge))
        return merge->observation->live ? merge->live && merge->live_merged
                                        : merge->stored && merge->stored_merged;
    for (unsigned i = 0; i < merge->dependants->len; i++)
        if (names(merge, merge->dependants->pdata[i], merge->base->path))
            return true;
    return false;
}

static MergeTool choose_tool(const Merge *merge)
{
    if (!merge->top)
        return MERGE_DROP;
    if (in_chain(merge, merge->live, merge->top))
        return top_is_active(merge) ? MERGE_ACTIVE : MERGE_LIVE;
    return is_done(merge) ? MERGE_DONE : MERGE_OFFLINE;
}

static bool drifted(const Merge *merge, GError **error, const char *path, const char *why)
{
    return refuse(error, ERR_DRIFT, "snapshot %s of VM %s cannot be removed now: %s (disk %s) %s",
                  merge->snapshot->name, observation_name(merge->observation), path,
                  merge->disk->target, why);
}

static bool check_exists(const Merge *merge, const Layer *layer, GError **error)
{
    const ImageFacts *facts = observation_file(merge->observation, layer->path);

    if (!facts || !facts->exists)
        return drifted(merge, error, layer->path, "is missing");
    return !facts->error || drifted(merge, error, layer->path, facts->error);
}

/* Somebody else's disk on one of our layers: it would be ruined. */
static bool check_strangers(const Merge *merge, GError **error)
{
    const Domain *domains[] = {merge->observation->live, merge->observation->inactive};

    for (unsigned i = 0; i < G_N_ELEMENTS(domains); i++) {
        const DomainDisk *stranger =
            match_stranger(merge->catalog, merge->observation, domains[i], merge->disk);

        if (stranger)
            return drifted(merge, error, stranger->path,
                           "is on its layers, but is not its active layer");
    }
    if (merge->observation->live && !merge->live != !merge->stored)
        return drifted(merge, error, disk_active(merge->disk)->path,
                       "is only in one of the running VM and its persistent definition");
    return true;
}

static bool is_known(const Merge *merge, const Layer *layer)
{
    return layer->parent &&
           (layer == merge->top || (merge->top && g_str_equal(layer->parent, merge->top->id)));
}

/* No other header that was looked at may name a file that is written to or goes. */
static bool check_users(const Merge *merge, GError **error)
{
    GHashTableIter iter;
    void *path;
    void *value;

    g_hash_table_iter_init(&iter, merge->observation->files);
    while (g_hash_table_iter_next(&iter, &path, &value)) {
        const ImageFacts *facts = value;
        Layer *layer = NULL;

        catalog_disk_of_path(merge->catalog, path, &layer);
        if (!facts->exists || !facts->backing || (layer && g_str_equal(layer->format, "raw")) ||
            (layer && is_known(merge, layer)))
            continue;
        if (g_str_equal(facts->backing, merge->base->path) ||
            (merge->top && g_str_equal(facts->backing, merge->top->path)))
            return drifted(merge, error, facts->backing,
                           "is also the backing file of another image");
    }
    return true;
}

/* Every header that will be changed or trusted says what the catalog says (rule 7). */
static bool check_headers(const Merge *merge, GError **error)
{
    const ImageFacts *top = observation_file(merge->observation, merge->top->path);

    if (!check_exists(merge, merge->base, error))
        return false;
    for (unsigned i = 0; i < merge->dependants->len; i++) {
        const Layer *layer = merge->dependants->pdata[i];

        if (!check_exists(merge, layer, error))
            return false;
        if (!names(merge, layer, merge->base->path) && !names(merge, layer, merge->top->path))
            return drifted(merge, error, layer->path, "has another backing file than the catalog");
    }
    if (merge->tool == MERGE_DONE)
        return true;
    if (!check_exists(merge, merge->top, error))
        return false;
    if (g_strcmp0(top->backing, merge->base->path) != 0 ||
        g_strcmp0(top->backing_format, merge->base->format) != 0)
        return drifted(merge, error, merge->top->path,
                       "has another backing file or format than the catalog");
    return true;
}

/* The base in the running VM's chain without the top above it is a chain that we do not understand.
 */
static bool check_chain(const Merge *merge, GError **error)
{
    if (merge->tool != MERGE_OFFLINE || !in_chain(merge, merge->live, merge->base))
        return true;
    return drifted(merge, error, merge->live->path, "has another chain than the catalog");
}

bool merge_look(Merge *merge, const Catalog *catalog, const Observation *observation,
                const Snapshot *snapshot, const Disk *disk, GError **error)
{
    const SnapshotDisk *entry = snapshot_disk(snapshot, disk->id);
    g_autoptr(GPtrArray) dependants = disk_dependants(disk, entry->layer);

    *merge = (Merge){.catalog = catalog,
                     .observation = observation,
                     .snapshot = snapshot,
                     .disk = disk,
                     .base = disk_layer(disk, entry->layer)};
    if (dependants->len > 0)
        merge->top = dependants->pdata[0];
    merge->dependants = merge->top ? disk_dependants(disk, merge->top->id) : g_ptr_array_new();
    merge->live = match_in_domain(catalog, observation->live, disk, &merge->live_merged);
    merge->stored = match_in_domain(catalog, observation->inactive, disk, &merge->stored_merged);
    merge->tool = choose_tool(merge);
    if (!check_strangers(merge, error) || !check_users(merge, error))
        return false;
    if (!merge->top)
        return true;
    return check_headers(merge, error) && check_chain(merge, error);
}

/* --- steps --- */

static Step *add_step(const Merge *merge, Plan *plan, StepKind kind)
{
    Step *step = plan_add(plan, kind);

    step->lane = g_strdup(merge->disk->id);
    return step;
}

/* Where libvirt was killed in the end of a job, the running QEMU has left the file and never closes
 * it. */
static void add_unlink(const Merge *merge, Plan *plan, const char *path)
{
    const ImageFacts *facts = observation_file(merge->observation, path);
    Step *step;

    if (facts && !facts->exists)
        return;
    step = add_step(merge, plan, STEP_UNLINK);
    step_set(step, "path", path);
    if (merge->tool == MERGE_DONE && merge->live)
        step_set(step, "beside", merge->live->path);
}

static void add_drop(const Merge *merge, Plan *plan)
{
    Step *step = add_step(merge, plan, STEP_RECORD_DROPPED);

    step_set(step, "snapshot", merge->snapshot->id);
    step_set(step, "disk", merge->disk->id);
    step_set(step, "layer", merge->base->id);
    add_unlink(merge, plan, merge->base->path);
}

static void add_live_commit(const Merge *merge, Plan *plan, StepKind kind)
{
    Step *step = add_step(merge, plan, kind);

    step_set(step, "disk", merge->disk->id);
    step_set(step, "target", merge->live->target);
    step_set(step, "top", merge->top->path);
    step_set(step, "base", merge->base->path);
}

static void add_offline_commit(const Merge *merge, Plan *plan)
{
    Step *step = add_step(merge, plan, STEP_COMMIT_OFFLINE);

    step_set(step, "disk", merge->disk->id);
    step_set(step, "top", merge->top->path);
    step_set(step, "top_format", merge->top->format);
    step_set(step, "base", merge->base->path);
    step_set(step, "base_format", merge->base->format);
}

static void add_commit(const Merge *merge, Plan *plan)
{
    if (merge->tool == MERGE_ACTIVE)
        add_live_commit(merge, plan, STEP_COMMIT_ACTIVE);
    if (merge->tool == MERGE_LIVE)
        add_live_commit(merge, plan, STEP_COMMIT_LIVE);
    if (merge->tool == MERGE_OFFLINE)
        add_offline_commit(merge, plan);
}

/* The one in the running VM's chain is re-pointed by QEMU, as part of the commit. */
static void add_repoints(const Merge *merge, Plan *plan)
{
    for (unsigned i = 0; i < merge->dependants->len; i++) {
        const Layer *layer = merge->dependants->pdata[i];
        Step *step;

        if (names(merge, layer, merge->base->path) || in_chain(merge, merge->live, layer))
            continue;
        step = add_step(merge, plan, STEP_REPOINT);
        step_set(step, "disk", merge->disk->id);
        step_set(step, "path", layer->path);
        step_set(step, "backing", merge->base->path);
        step_set(step, "backing_format", merge->base->format);
    }
}

static void add_switch(const Merge *merge, Plan *plan, StepKind kind, const DomainDisk *source)
{
    Step *step = add_step(merge, plan, kind);
    const Layer *active = top_is_active(merge) ? merge->base : disk_active(merge->disk);

    step_set_sub(step, "switch", source->target, active->path);
    step_set_sub(step, "format", source->target, active->format);
}

/* The persistent definition must not name the top any more, neither as the source nor in a backing
 * chain that it states: libvirt believes that more than the headers. A merge beside the chain
 * concerns no definition. */
static void add_definition(const Merge *merge, Plan *plan)
{
    const DomainDisk *stored = merge->stored;

    if (merge->live) {
        if (in_chain(merge, merge->live, merge->base))
            add_switch(merge, plan, STEP_SETTLE, merge->live);
        return;
    }
    if (merge->observation->live || !stored || merge->stored_merged ||
        !in_chain(merge, stored, merge->base))
        return;
    if (top_is_active(merge) || stored->chain_stated)
        add_switch(merge, plan, STEP_REDEFINE, stored);
}

static uint64_t capacity_of(const Merge *merge, const Layer *layer)
{
    const ImageFacts *facts = observation_file(merge->observation, layer->path);

    return facts && facts->exists ? facts->capacity : 0;
}

/* A merge ends at the newest size (rule 15). */
static void add_record(const Merge *merge, Plan *plan)
{
    Step *step = add_step(merge, plan, STEP_RECORD_MERGED);
    uint64_t capacity = MAX(capacity_of(merge, merge->top), merge->top->capacity);

    if (merge->tool == MERGE_DONE)
        capacity = MAX(capacity, capacity_of(merge, merge->base));
    step_set(step, "snapshot", merge->snapshot->id);
    step_set(step, "disk", merge->disk->id);
    step_set(step, "layer", merge->top->id);
    step_set(step, "into", merge->base->id);
    step_set(step, "format", merge->base->format);
    step_set_number(step, "capacity", capacity);
}

void merge_add_steps(const Merge *merge, Plan *plan)
{
    if (merge->tool == MERGE_DROP) {
        add_drop(merge, plan);
        return;
    }
    add_commit(merge, plan);
    add_repoints(merge, plan);
    add_definition(merge, plan);
    add_record(merge, plan);
    add_unlink(merge, plan, merge->top->path);
}
