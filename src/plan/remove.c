/* Removing a snapshot: accepting it, and the next piece of work that accepted removals have left.
 */
#include "plan/planner.h"

#include "plan/checks.h"
#include "plan/labels.h"
#include "plan/matching.h"
#include "plan/merge.h"

/* --- refusals of one lane --- */

/* Our own commit of this very merge goes on after we died: it is adopted (E-5, E-6). A commit
 * inside the chain does not say what it is about; the chain tells when it is over. */
static bool is_own_job(const Merge *merge, const DomainDisk *source)
{
    const BlockJobFacts *job = g_hash_table_lookup(merge->observation->jobs, source->target);
    const char *kind = job ? job->kind : source->mirror_job;

    if (merge->tool == MERGE_ACTIVE)
        return g_strcmp0(kind, "active-commit") == 0 &&
               g_strcmp0(source->mirror_path, merge->base->path) == 0;
    return merge->tool == MERGE_LIVE && !source->mirror_path && g_strcmp0(kind, "commit") == 0;
}

/* libvirt was killed after QEMU began an active commit and before it had noted the mirror. Such a
 * job must be left alone: libvirt 9.0 crashes when it is pivoted or aborted. It ends with QEMU. */
static bool is_stray_job(const Merge *merge, const DomainDisk *source)
{
    const BlockJobFacts *job = g_hash_table_lookup(merge->observation->jobs, source->target);

    return merge->tool == MERGE_ACTIVE && job && !source->mirror_path &&
           g_str_equal(job->kind, "active-commit");
}

/* libvirt that was killed in the end of a merge inside the chain does not let QEMU close the merged
 * layer. A further merge would have QEMU open that file once more, which is gone: the guest would
 * end (measured: libvirt 9.0, QEMU 7.2). */
static bool check_chain(const Merge *merge, GError **error)
{
    if ((merge->tool != MERGE_ACTIVE && merge->tool != MERGE_LIVE) ||
        check_stated_chain(merge->observation, merge->live, NULL))
        return true;
    return refuse(error, ERR_DRIFT,
                  "snapshot %s of VM %s cannot be removed while that runs: libvirt has another "
                  "chain of disk %s than its headers, as after it was killed in a merge, and QEMU "
                  "might end; let the VM be off once",
                  merge_snapshot(merge)->name, observation_name(merge->observation),
                  merge->live->target);
}

static bool check_job(const Merge *merge, bool *out_own, GError **error)
{
    const DomainDisk *source = merge->live;

    *out_own = source && is_own_job(merge, source);
    if (source && is_stray_job(merge, source))
        return refuse(error, ERR_BUSY,
                      "libvirt lost track of a merge that runs on disk %s of VM %s; shut the VM "
                      "down, then remove snapshot %s again",
                      source->target, observation_name(merge->observation),
                      merge_snapshot(merge)->name);
    return !source || *out_own ||
           (check_no_block_job(merge->observation, source, error) && check_chain(merge, error));
}

static bool check_size(const Merge *merge, const Layer *above, const Layer *below, GError **error)
{
    const ImageFacts *top = observation_file(merge->observation, above->path);
    const ImageFacts *base = observation_file(merge->observation, below->path);

    /* A raw file may end inside a sector. */
    if (top->capacity >= base->capacity || base->capacity - top->capacity < 512)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "snapshot %s of VM %s cannot be merged: %s is smaller than %s below it; grow the "
                  "disk first",
                  merge_snapshot(merge)->name, observation_name(merge->observation), above->path,
                  below->path);
}

/* What is smaller than the layer below it hides the end of that one: a merge would not (rule 15).
 */
static bool check_sizes(const Merge *merge, GError **error)
{
    const GPtrArray *run = merge->run;

    for (unsigned i = 1; i < run->len; i++)
        if (!check_size(merge, run->pdata[i], run->pdata[i - 1], error))
            return false;
    return check_size(merge, merge->top, run->pdata[run->len - 1], error);
}

/* A qcow2 overlay that nothing was written to takes less than this, any other one more: one that
 * was taken just before the room went can be removed without any. */
#define OVERLAY_EMPTY (256 * 1024)

static uint64_t content_of(const ImageFacts *facts)
{
    return facts->allocation >= OVERLAY_EMPTY ? facts->allocation : 0;
}

/* The base takes at most what the layers above it have, and never more than a full disk (W27). */
static void add_room(const Merge *merge, GPtrArray *room)
{
    const ImageFacts *top = observation_file(merge->observation, merge->top->path);
    const ImageFacts *base = observation_file(merge->observation, merge->base->path);
    uint64_t left = top->capacity > base->allocation ? top->capacity - base->allocation : 0;
    uint64_t bytes = content_of(top);

    for (unsigned i = 1; i < merge->run->len; i++)
        bytes +=
            content_of(observation_file(merge->observation, ((Layer *)merge->run->pdata[i])->path));
    room_add(room, merge->base->path, MIN(bytes, left));
}

static bool check_users(const Merge *merge, GError **error)
{
    for (unsigned i = 0; i < merge->run->len; i++) {
        const Layer *layer = merge->run->pdata[i];
        const Snapshot *owner = catalog_owner(merge->catalog, merge->disk->id, layer->id);

        if (!check_disk_unused(merge->observation, owner, merge->disk, error))
            return false;
    }
    return true;
}

static bool check_lane(const Merge *merge, GPtrArray *room, GError **error)
{
    bool own = false;

    if (!check_job(merge, &own, error))
        return false;
    /* What is done, or being written already, cannot be spared any more. */
    if (!merge_is_done(merge) && !own && !check_users(merge, error))
        return false;
    if (merge->tool == MERGE_DROP || merge_is_done(merge))
        return true;
    if (!check_sizes(merge, error))
        return false;
    if (!own)
        add_room(merge, room);
    return true;
}

static bool check_vm(const Observation *observation, GError **error)
{
    return check_persistent(observation, error) && check_settled_state(observation, error) &&
           check_no_managed_save(observation, error);
}

/* --- whole snapshots --- */

static GPtrArray *look(const Catalog *catalog, const Observation *observation,
                       const GPtrArray *members)
{
    GPtrArray *merges = g_ptr_array_new_with_free_func((GDestroyNotify)merge_free);

    for (unsigned i = 0; i < catalog->disks->len; i++) {
        GPtrArray *more = pass_merges(catalog, observation, members, catalog->disks->pdata[i]);

        g_ptr_array_extend_and_steal(merges, more);
    }
    return merges;
}

static bool check_merges(const Observation *observation, const GPtrArray *merges, GError **error)
{
    g_autoptr(GPtrArray) room = room_new();

    for (unsigned i = 0; i < merges->len; i++)
        if (!merge_check(merges->pdata[i], error) || !check_lane(merges->pdata[i], room, error))
            return false;
    return check_room(observation, room, error);
}

static unsigned count_layers(const GPtrArray *merges, const Snapshot *snapshot)
{
    unsigned count = 0;

    for (unsigned i = 0; i < merges->len; i++) {
        const Merge *merge = merges->pdata[i];
        const SnapshotDisk *entry = snapshot_disk(snapshot, merge->disk->id);

        for (unsigned j = 0; entry && j < merge->run->len; j++)
            count += g_str_equal(((Layer *)merge->run->pdata[j])->id, entry->layer);
    }
    return count;
}

/* In the order of the catalog: what loses layers, and members that have none left. */
static GPtrArray *touched(const Catalog *catalog, const GPtrArray *members, const GPtrArray *merges)
{
    GPtrArray *snapshots = g_ptr_array_new();

    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (count_layers(merges, snapshot) > 0 ||
            (snapshot->disks->len == 0 && g_ptr_array_find((GPtrArray *)members, snapshot, NULL)))
            g_ptr_array_add(snapshots, snapshot);
    }
    return snapshots;
}

static void add_about(Plan *plan, StepKind kind, const Snapshot *snapshot)
{
    step_set(plan_add(plan, kind), "snapshot", snapshot->id);
}

static void add_end(Plan *plan, const Snapshot *snapshot)
{
    add_about(plan, STEP_RECORD_REMOVED, snapshot);
    if (snapshot->vars || snapshot->tpm)
        add_about(plan, STEP_DROP_SIDECAR, snapshot);
}

/* All are marked before the first byte (rule 4), also those whose removal was accepted before and
 * who are whole until now; those that have lost everything are struck out at the end. */
static Plan *plan_of(const GPtrArray *snapshots, const GPtrArray *merges)
{
    Plan *plan = plan_new(PLAN_MERGE, ((Snapshot *)snapshots->pdata[0])->id);

    for (unsigned i = 0; i < snapshots->len; i++) {
        const Snapshot *snapshot = snapshots->pdata[i];

        if (snapshot->state != SNAPSHOT_REMOVING || snapshot->whole)
            add_about(plan, STEP_RECORD_REMOVING, snapshot);
    }
    for (unsigned i = 0; i < merges->len; i++)
        merge_add_steps(merges->pdata[i], plan);
    for (unsigned i = 0; i < snapshots->len; i++) {
        const Snapshot *snapshot = snapshots->pdata[i];

        if (count_layers(merges, snapshot) == snapshot->disks->len)
            add_end(plan, snapshot);
    }
    return plan;
}

/* Plan the removal of the layers of @members, which count as being removed already. */
static Plan *plan_merge(const Catalog *catalog, const Observation *observation,
                        const GPtrArray *members, GError **error)
{
    g_autoptr(GPtrArray) merges = NULL;
    g_autoptr(GPtrArray) snapshots = NULL;

    if (!check_vm(observation, error))
        return NULL;
    merges = look(catalog, observation, members);
    snapshots = touched(catalog, members, merges);
    return check_merges(observation, merges, error) ? plan_of(snapshots, merges) : NULL;
}

static Plan *plan_alone(const Catalog *catalog, const Observation *observation, Snapshot *snapshot,
                        GError **error)
{
    g_autoptr(GPtrArray) members = g_ptr_array_new();

    g_ptr_array_add(members, snapshot);
    return plan_merge(catalog, observation, members, error);
}

/* --- accepting --- */

static bool has_removing(const Catalog *catalog)
{
    for (unsigned i = 0; i < catalog->snapshots->len; i++)
        if (((Snapshot *)catalog->snapshots->pdata[i])->state == SNAPSHOT_REMOVING)
            return true;
    return false;
}

/* A removal that could not be carried out now is refused while the snapshot is still whole. One
 * that has to wait for another's merge cannot be tried: that merge's own block job is in the way.
 */
static bool check_feasible(const Catalog *catalog, const Observation *observation,
                           const Step *accept, GError **error)
{
    g_autoptr(Catalog) view = NULL;
    g_autoptr(Plan) merge = NULL;

    if (has_removing(catalog))
        return true;
    view = catalog_copy(catalog);
    if (!step_apply(accept, view, error))
        return false;
    merge =
        plan_alone(view, observation, catalog_snapshot(view, step_get(accept, "snapshot")), error);
    return merge != NULL;
}

Plan *plan_remove(const Catalog *catalog, const Observation *observation, const char *snapshot_id,
                  GError **error)
{
    const Snapshot *snapshot = listed_snapshot(catalog, snapshot_id, error);
    g_autoptr(Plan) plan = plan_new(PLAN_REMOVE, snapshot_id);
    bool hide;

    if (!snapshot)
        return NULL;
    if (snapshot_is_held(snapshot)) {
        refuse(error, ERR_BUSY,
               "snapshot %s of VM %s is held; chmod u+w its directory to release it",
               snapshot->name, observation_name(observation));
        return NULL;
    }
    if (!check_sidecar_gates(observation, snapshot, "removed", error))
        return NULL;
    /* Beside a merge the chain is on its way. */
    if (!has_removing(catalog) && !check_chains(catalog, observation, error))
        return NULL;
    hide = catalog_dependants(catalog, snapshot) > 1;
    if (snapshot->state == SNAPSHOT_READY && !hide &&
        !check_unused(catalog, observation, snapshot, error))
        return NULL;
    add_about(plan, hide ? STEP_RECORD_HIDDEN : STEP_RECORD_REMOVING, snapshot);
    if (!hide && snapshot->state == SNAPSHOT_READY)
        step_set(plan->steps->pdata[0], "whole", "yes");
    if (!hide && !check_feasible(catalog, observation, plan->steps->pdata[0], error))
        return NULL;
    return g_steal_pointer(&plan);
}

/* --- the next work --- */

/* With its neighbours in one pass (rule 6); alone where that cannot be: because of one of them, or
 * because a job that began before they came is still on a disk. */
static Plan *plan_pass(const Catalog *catalog, const Observation *observation, Snapshot *snapshot,
                       GError **problem)
{
    g_autoptr(GPtrArray) members = pass_members(catalog, observation, snapshot);
    Plan *plan = plan_merge(catalog, observation, members, *problem ? NULL : problem);

    if (plan || members->len == 1)
        return plan;
    return plan_alone(catalog, observation, snapshot, *problem ? NULL : problem);
}

/* One whose layers came to be needed twice waits, whatever it is called: merging would ruin the
 * others (W0). A hidden one that another VM needs waits likewise (rule 11). */
static Plan *plan_first(const Catalog *catalog, const Observation *observation, bool removing,
                        GError **problem)
{
    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        Snapshot *snapshot = catalog->snapshots->pdata[i];
        Plan *plan;

        if (!pass_is_work(catalog, observation, snapshot) ||
            (snapshot->state == SNAPSHOT_REMOVING) != removing)
            continue;
        plan = plan_pass(catalog, observation, snapshot, problem);
        if (plan)
            return plan;
    }
    return NULL;
}

/* A removal that cannot go on now does not hold up the others; its reason is told when nothing else
 * is left. */
Plan *plan_next(const Catalog *catalog, const Observation *observation, GError **error)
{
    g_autoptr(GError) problem = NULL;
    Plan *plan = plan_first(catalog, observation, true, &problem);

    if (!plan)
        plan = plan_first(catalog, observation, false, &problem);
    if (!plan && problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    return plan;
}

GPtrArray *plan_snapshots(const Plan *plan)
{
    GPtrArray *ids = g_ptr_array_new();

    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (step->kind == STEP_RECORD_REMOVED)
            g_ptr_array_add(ids, (char *)step_get(step, "snapshot"));
    }
    if (ids->len == 0)
        g_ptr_array_add(ids, plan->snapshot);
    return ids;
}
