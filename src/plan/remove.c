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

static bool check_job(const Merge *merge, bool *out_own, GError **error)
{
    const DomainDisk *source = merge->live;

    *out_own = source && is_own_job(merge, source);
    if (source && is_stray_job(merge, source))
        return refuse(error, ERR_BUSY,
                      "libvirt lost track of a merge that runs on disk %s of VM %s; shut the VM "
                      "down, then remove snapshot %s again",
                      source->target, observation_name(merge->observation), merge->snapshot->name);
    return !source || *out_own || check_no_block_job(merge->observation, source, error);
}

static bool check_sizes(const Merge *merge, GError **error)
{
    const ImageFacts *top = observation_file(merge->observation, merge->top->path);
    const ImageFacts *base = observation_file(merge->observation, merge->base->path);

    /* A raw file may end inside a sector. */
    if (top->capacity >= base->capacity || base->capacity - top->capacity < 512)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "snapshot %s of VM %s cannot be merged: %s is smaller than %s below it; grow the "
                  "disk first",
                  merge->snapshot->name, observation_name(merge->observation), merge->top->path,
                  merge->base->path);
}

/* The base takes at most what the top has, and never more than a full disk. */
static void add_room(const Merge *merge, GPtrArray *room)
{
    const ImageFacts *top = observation_file(merge->observation, merge->top->path);
    const ImageFacts *base = observation_file(merge->observation, merge->base->path);
    uint64_t left = top->capacity > base->allocation ? top->capacity - base->allocation : 0;

    room_add(room, merge->base->path, MIN(top->allocation, left));
}

static bool check_lane(const Merge *merge, GPtrArray *room, GError **error)
{
    bool own = false;

    if (!check_job(merge, &own, error))
        return false;
    /* What is done, or being written already, cannot be spared any more. */
    if (merge->tool != MERGE_DONE && !own &&
        !check_disk_unused(merge->observation, merge->snapshot, merge->disk, error))
        return false;
    if (merge->tool == MERGE_DROP || merge->tool == MERGE_DONE)
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

/* --- a whole snapshot --- */

static bool add_lane(Plan *plan, const Catalog *catalog, const Observation *observation,
                     const Snapshot *snapshot, const Disk *disk, GPtrArray *room, GError **error)
{
    Merge merge;
    bool good = merge_look(&merge, catalog, observation, snapshot, disk, error) &&
                check_lane(&merge, room, error);

    if (good)
        merge_add_steps(&merge, plan);
    merge_clear(&merge);
    return good;
}

static void add_about(Plan *plan, StepKind kind)
{
    step_set(plan_add(plan, kind), "snapshot", plan->snapshot);
}

Plan *plan_merge(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot,
                 GError **error)
{
    g_autoptr(Plan) plan = plan_new(PLAN_MERGE, snapshot->id);
    g_autoptr(GPtrArray) room = room_new();

    if (!check_vm(observation, error))
        return NULL;
    if (snapshot->state != SNAPSHOT_REMOVING)
        add_about(plan, STEP_RECORD_REMOVING);
    for (unsigned i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(catalog, entry->disk);

        if (!add_lane(plan, catalog, observation, snapshot, disk, room, error))
            return NULL;
    }
    if (!check_room(observation, room, error))
        return NULL;
    add_about(plan, STEP_RECORD_REMOVED);
    return g_steal_pointer(&plan);
}

/* --- accepting --- */

static bool is_work(const Snapshot *snapshot)
{
    return snapshot->state == SNAPSHOT_REMOVING || snapshot->hidden;
}

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
        plan_merge(view, observation, catalog_snapshot(view, step_get(accept, "snapshot")), error);
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
    /* Beside a merge the chain is on its way. */
    if (!has_removing(catalog) && !check_no_drift(catalog, observation, error))
        return NULL;
    hide = catalog_dependants(catalog, snapshot) > 1;
    if (snapshot->state == SNAPSHOT_READY && !hide &&
        !check_unused(catalog, observation, snapshot, error))
        return NULL;
    add_about(plan, hide ? STEP_RECORD_HIDDEN : STEP_RECORD_REMOVING);
    if (!hide && !check_feasible(catalog, observation, plan->steps->pdata[0], error))
        return NULL;
    return g_steal_pointer(&plan);
}

/* --- the next work --- */

/* One whose layers came to be needed twice waits, whatever it is called: merging would ruin the
 * others (W0). A hidden one that another VM needs waits likewise (rule 11). */
static Plan *plan_first(const Catalog *catalog, const Observation *observation, bool removing,
                        GError **problem)
{
    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        Plan *plan;

        if (!is_work(snapshot) || (snapshot->state == SNAPSHOT_REMOVING) != removing ||
            catalog_dependants(catalog, snapshot) > 1 ||
            (!removing && !check_unused(catalog, observation, snapshot, NULL)))
            continue;
        plan = plan_merge(catalog, observation, snapshot, *problem ? NULL : problem);
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
