/* What one pass over the data of one disk needs.
 *
 * The run of layers that goes is written down into the first of them, B, which is the oldest: with
 * one block commit of the layer C that survives and of everything between the two. C then takes
 * B's file over. The order is the same for every tool: commit, then whatever named C's file is made
 * to name B's (headers, definition), then the catalog says so, and only then are the other files
 * unlinked. So each file that something names exists at every moment, and everything before the
 * record may be done again: committing C into B twice is committing it once.
 *
 * That a commit was done shows in what it leaves: the definition runs on B though the catalog says
 * C, or a header of C's dependants names B. A finished commit of ours does that, and is taken to be
 * the only one that does; but that the definition will name B is announced in the catalog before
 * (plan/matching.h), since anybody may put an old one back. And while the running VM still has C in
 * its chain the commit is done again, since nothing else takes C out of there; and inside a chain
 * of a VM that is off, since QEMU may have been killed in its end. Where somebody has started the
 * VM since, B is compared with C before that goes. */
#include "plan/merge.h"

#include "plan/checks.h"
#include "plan/matching.h"

void merge_free(Merge *merge)
{
    g_ptr_array_unref(merge->run);
    g_ptr_array_unref(merge->dependants);
    g_free(merge);
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

static bool runs_on_base(const Merge *merge, const DomainDisk *source)
{
    return source && g_strcmp0(source->path, merge->base->path) == 0;
}

static bool is_done(const Merge *merge)
{
    if (top_is_active(merge))
        return runs_on_base(merge, merge->observation->live ? merge->live : merge->stored);
    for (unsigned i = 0; i < merge->dependants->len; i++)
        if (names(merge, merge->dependants->pdata[i], merge->base->path))
            return true;
    return false;
}

/* The files from the top down to the base are there, each on the next. */
static bool is_left(const Merge *merge)
{
    const Layer *above = merge->top;

    for (unsigned i = merge->run->len; i-- > 0; above = merge->run->pdata[i])
        if (!names(merge, above, ((Layer *)merge->run->pdata[i])->path))
            return false;
    return true;
}

/* QEMU 7.2 ends a merge inside a chain by naming the base in the header above it, and writes the
 * base's own tables after that, and then the job is over. One that was killed in between left a
 * base in which something is missing; the one that runs now may be another. */
static MergeTool tool_of_done(const Merge *merge)
{
    if (top_is_active(merge))
        return MERGE_DONE;
    if (merge->live && g_hash_table_contains(merge->observation->jobs, merge->live->target))
        return MERGE_LIVE;
    if (!is_left(merge))
        return MERGE_DONE;
    if (!merge->observation->live)
        return MERGE_OFFLINE;
    return in_chain(merge, merge->live, merge->base) ? MERGE_COMPARE : MERGE_DONE;
}

static MergeTool choose_tool(const Merge *merge)
{
    if (!merge->top)
        return MERGE_DROP;
    if (in_chain(merge, merge->live, merge->top))
        return top_is_active(merge) ? MERGE_ACTIVE : MERGE_LIVE;
    return is_done(merge) ? tool_of_done(merge) : MERGE_OFFLINE;
}

const Snapshot *merge_snapshot(const Merge *merge)
{
    return catalog_owner(merge->catalog, merge->disk->id, merge->base->id);
}

static bool drifted(const Merge *merge, GError **error, const char *path, const char *why)
{
    return refuse(error, ERR_DRIFT, "snapshot %s of VM %s cannot be removed now: %s (disk %s) %s",
                  merge_snapshot(merge)->name, observation_name(merge->observation), path,
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
    return layer == merge->top || g_ptr_array_find(merge->dependants, layer, NULL) ||
           (layer != merge->base && g_ptr_array_find(merge->run, layer, NULL));
}

/* Is it a file that is written to or goes? */
static bool is_concerned(const Merge *merge, const char *path)
{
    for (unsigned i = 0; i < merge->run->len; i++)
        if (g_str_equal(((Layer *)merge->run->pdata[i])->path, path))
            return true;
    return merge->top && g_str_equal(merge->top->path, path);
}

/* No other header that was looked at may name such a file. */
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
        if (is_concerned(merge, facts->backing))
            return drifted(merge, error, facts->backing,
                           "is also the backing file of another image");
    }
    return true;
}

/* A merge would lose the internal snapshots of what goes, and damage others. */
static bool check_supported(const Merge *merge, const Layer *layer, GError **error)
{
    const ImageFacts *facts = observation_file(merge->observation, layer->path);
    const char *why = g_str_equal(layer->format, "raw") ? NULL : image_unsupported(facts);

    return !why || refuse(error, ERR_UNSUPPORTED,
                          "snapshot %s of VM %s cannot be removed now: %s (disk %s) %s",
                          merge_snapshot(merge)->name, observation_name(merge->observation),
                          layer->path, merge->disk->target, why);
}

/* qemu-img opens all that is below, too, which a QEMU that runs has open already: nothing whose
 * format it would have to guess. What is in a raw file says nothing. */
static bool check_below(const Merge *merge, GError **error)
{
    const Observation *observation = merge->observation;
    g_autoptr(GPtrArray) chain = observation_chain(observation, merge->base->path);
    const char *format = merge->base->format;

    if (merge->tool != MERGE_OFFLINE || g_str_equal(format, "raw"))
        return true;
    for (unsigned i = 0; i < chain->len; i++) {
        const ImageFacts *facts = observation_file(observation, chain->pdata[i]);
        bool raw = g_strcmp0(format, "raw") == 0;
        const char *why = !facts || !facts->exists                  ? "is missing"
                          : facts->error && !(raw && facts->probed) ? facts->error
                          : raw                                     ? NULL
                                                                    : image_problem(facts, format);

        if (why)
            return drifted(merge, error, chain->pdata[i], why);
        format = facts->backing_format;
    }
    return !observation_chain_is_endless(observation, merge->base->path) ||
           drifted(merge, error, merge->base->path, "is on backing files that form a circle");
}

/* @layer is written down: it must be there, and on @below. */
static bool check_link(const Merge *merge, const Layer *layer, const Layer *below, GError **error)
{
    const ImageFacts *facts = observation_file(merge->observation, layer->path);

    if (!check_exists(merge, layer, error) || !check_supported(merge, layer, error))
        return false;
    if (g_strcmp0(facts->backing, below->path) != 0 ||
        g_strcmp0(facts->backing_format, below->format) != 0)
        return drifted(merge, error, layer->path,
                       "has another backing file or format than the catalog");
    return true;
}

/* Every header that will be changed or trusted says what the catalog says (rule 7). */
static bool check_headers(const Merge *merge, GError **error)
{
    if (!check_exists(merge, merge->base, error))
        return false;
    for (unsigned i = 0; i < merge->dependants->len; i++) {
        const Layer *layer = merge->dependants->pdata[i];

        if (!check_exists(merge, layer, error))
            return false;
        if (!names(merge, layer, merge->base->path) && !names(merge, layer, merge->top->path))
            return drifted(merge, error, layer->path, "has another backing file than the catalog");
    }
    if (merge_is_done(merge))
        return true;
    if (!check_supported(merge, merge->base, error) || !check_below(merge, error))
        return false;
    for (unsigned i = 1; i < merge->run->len; i++)
        if (!check_link(merge, merge->run->pdata[i], merge->run->pdata[i - 1], error))
            return false;
    return check_link(merge, merge->top, merge->run->pdata[merge->run->len - 1], error);
}

/* A layer of the run in the running VM's chain without the top above it is a chain that we do not
 * understand. */
static bool check_chain(const Merge *merge, GError **error)
{
    for (unsigned i = 0; merge->tool == MERGE_OFFLINE && i < merge->run->len; i++)
        if (in_chain(merge, merge->live, merge->run->pdata[i]))
            return drifted(merge, error, merge->live->path, "has another chain than the catalog");
    return true;
}

Merge *merge_new(const Catalog *catalog, const Observation *observation, const Disk *disk,
                 GPtrArray *run, const Layer *top)
{
    Merge *merge = g_new0(Merge, 1);

    merge->catalog = catalog;
    merge->observation = observation;
    merge->disk = disk;
    merge->run = run;
    merge->base = run->pdata[0];
    merge->top = top;
    merge->dependants = top ? disk_dependants(disk, top->id) : g_ptr_array_new();
    merge->live = match_in_domain(catalog, observation->live, disk, NULL);
    merge->stored = match_in_domain(catalog, observation->inactive, disk, NULL);
    merge->tool = choose_tool(merge);
    return merge;
}

bool merge_is_done(const Merge *merge)
{
    return merge->tool == MERGE_DONE || merge->tool == MERGE_COMPARE;
}

bool merge_check(const Merge *merge, GError **error)
{
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
    if (merge_is_done(merge) && merge->live)
        step_set(step, "beside", merge->live->path);
}

/* The newest first: nothing depends on it. */
static void add_drops(const Merge *merge, Plan *plan)
{
    for (unsigned i = merge->run->len; i-- > 0;) {
        const Layer *layer = merge->run->pdata[i];
        Step *step = add_step(merge, plan, STEP_RECORD_DROPPED);

        step_set(step, "snapshot", catalog_owner(merge->catalog, merge->disk->id, layer->id)->id);
        step_set(step, "disk", merge->disk->id);
        step_set(step, "layer", layer->id);
        add_unlink(merge, plan, layer->path);
    }
}

static void add_live_commit(const Merge *merge, Plan *plan, StepKind kind)
{
    Step *step = add_step(merge, plan, kind);

    step_set(step, "disk", merge->disk->id);
    step_set(step, "target", merge->live->target);
    step_set(step, "top", merge->top->path);
    step_set(step, "base", merge->base->path);
}

/* Of commit-offline and compare. */
static void add_with_formats(const Merge *merge, Plan *plan, StepKind kind)
{
    Step *step = add_step(merge, plan, kind);

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
        add_with_formats(merge, plan, STEP_COMMIT_OFFLINE);
    if (merge->tool == MERGE_COMPARE)
        add_with_formats(merge, plan, STEP_COMPARE);
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
    bool base = top_is_active(merge);

    step_set_sub(step, "switch", source->target, base ? merge->base->path : source->path);
    step_set_sub(step, "format", source->target, base ? merge->base->format : source->format);
}

/* docs/decisions/0026 */
static void add_committed(const Merge *merge, Plan *plan)
{
    Step *step = add_step(merge, plan, STEP_RECORD_COMMITTED);

    step_set(step, "disk", merge->disk->id);
    step_set(step, "into", merge->base->id);
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
    if (merge->observation->live || !stored || runs_on_base(merge, stored) ||
        !in_chain(merge, stored, merge->base))
        return;
    if (top_is_active(merge))
        add_committed(merge, plan);
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

    if (merge_is_done(merge))
        capacity = MAX(capacity, capacity_of(merge, merge->base));
    step_set(step, "snapshot", merge_snapshot(merge)->id);
    step_set(step, "disk", merge->disk->id);
    step_set(step, "layer", merge->top->id);
    step_set(step, "into", merge->base->id);
    step_set(step, "format", merge->base->format);
    step_set_number(step, "capacity", capacity);
}

void merge_add_steps(const Merge *merge, Plan *plan)
{
    if (merge->tool == MERGE_DROP) {
        add_drops(merge, plan);
        return;
    }
    add_commit(merge, plan);
    add_repoints(merge, plan);
    add_definition(merge, plan);
    add_record(merge, plan);
    add_unlink(merge, plan, merge->top->path);
    for (unsigned i = merge->run->len; i-- > 1;)
        add_unlink(merge, plan, ((Layer *)merge->run->pdata[i])->path);
}
