/* Reverting a VM that is off: new overlays on the snapshot's layers, variables and vTPM state from
 * its sidecars, one redefinition as the commit point, and only then do the old active layers, the
 * old variables and the old state go (rule 9). A crash anywhere leaves a VM that
 * starts, whole before or whole after. */
#include "plan/planner.h"

#include "plan/checks.h"
#include "plan/labels.h"
#include "plan/matching.h"
#include "plan/revert-state.h"

typedef struct {
    const Disk *disk;
    const Layer *layer; /* the snapshot's */
    const DomainDisk *source;
    char *active, *overlay;
} Turn;

static void turn_free(Turn *turn)
{
    g_free(turn->active);
    g_free(turn->overlay);
    g_free(turn);
}

/* --- refusals --- */

static bool check_ready(const Observation *observation, const Snapshot *snapshot, GError **error)
{
    if (snapshot->state == SNAPSHOT_READY)
        return true;
    if (snapshot->state == SNAPSHOT_FAILED && *snapshot->error)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot be reverted to %s, which is not whole (%s); remove it",
                      observation_name(observation), snapshot->name, snapshot->error);
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s cannot be reverted to %s: its point in time is gone since its removal "
                  "began; remove it again to finish that",
                  observation_name(observation), snapshot->name);
}

static bool check_off(const Observation *observation, GError **error)
{
    if (!check_no_managed_save(observation, error))
        return false;
    if (observation_is_off(observation) && !observation->live)
        return check_settled_state(observation, error);
    return refuse(error, ERR_BUSY,
                  "VM %s must be off to be reverted; shut it down first (echo shutoff > state)",
                  observation_name(observation));
}

static bool check_turn(const Catalog *catalog, const Observation *observation,
                       const Snapshot *snapshot, const Disk *disk, GError **error)
{
    const char *name = observation_name(observation);
    const DomainDisk *other = domain_disk(observation->inactive, disk->target);
    bool merged = false;
    const DomainDisk *source = match_in_domain(catalog, observation->inactive, disk, &merged);

    if (source && !merged)
        return check_disk(observation, source, error);
    if (source)
        return refuse(error, ERR_BUSY,
                      "disk %s of VM %s still has a merge to be finished; wait for it, or remove "
                      "the failed snapshot again",
                      source->target, name);
    if (other)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot be reverted to %s: %s is another disk now (%s); attach the "
                      "one on %s instead",
                      name, snapshot->name, disk->target, other->path ? other->path : "no file",
                      disk_active(disk)->path);
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s cannot be reverted to %s: it has no disk %s any more; attach %s again",
                  name, snapshot->name, disk->target, disk_active(disk)->path);
}

/* The header of each file below the new overlay must name the next one as the catalog does: libvirt
 * will follow them (rule 7). Below a layer that is being merged away the header may be ahead of the
 * catalog. */
static bool check_below(const Catalog *catalog, const Observation *observation, const Disk *disk,
                        const Layer *layer, GError **error)
{
    while (layer) {
        const ImageFacts *facts = observation_file(observation, layer->path);
        const Layer *below = layer->parent ? disk_layer(disk, layer->parent) : NULL;
        const Layer *into = NULL;

        if (!facts || !facts->exists || facts->error)
            return refuse(error, ERR_DRIFT, "the file %s of disk %s of VM %s %s", layer->path,
                          disk->target, observation_name(observation),
                          facts && facts->error ? facts->error : "is missing");
        if (below)
            into = match_merged_into(catalog, disk, below, facts->backing);
        if (into)
            below = into;
        if (below && (g_strcmp0(facts->backing, below->path) != 0 ||
                      g_strcmp0(facts->backing_format, below->format) != 0))
            return refuse(error, ERR_DRIFT,
                          "the header of %s (disk %s of VM %s) names %s as its backing file, "
                          "not %s in the format %s",
                          layer->path, disk->target, observation_name(observation),
                          facts->backing ? facts->backing : "none", below->path, below->format);
        layer = below;
    }
    return true;
}

/* --- turns --- */

static Turn *turn_new(const Catalog *catalog, const Observation *observation,
                      const SnapshotDisk *entry, IdSource *ids)
{
    Turn *turn = g_new0(Turn, 1);

    turn->disk = catalog_disk(catalog, entry->disk);
    turn->layer = disk_layer(turn->disk, entry->layer);
    turn->source = match_in_domain(catalog, observation->inactive, turn->disk, NULL);
    turn->active = ids_next_layer(ids, turn->layer->path, &turn->overlay);
    return turn;
}

static bool check_turns(const Catalog *catalog, const Observation *observation,
                        const Snapshot *snapshot, GError **error)
{
    g_autoptr(GPtrArray) room = room_new();

    for (unsigned i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(catalog, entry->disk);
        const Layer *layer = disk_layer(disk, entry->layer);

        if (!check_turn(catalog, observation, snapshot, disk, error) ||
            !check_below(catalog, observation, disk, layer, error))
            return false;
        room_add(room, layer->path, OVERLAY_ROOM);
    }
    if (snapshot->vars && observation->vars && observation->vars->path)
        room_add(room, observation->vars->path, snapshot->vars->size);
    return check_room(observation, room, error);
}

static GPtrArray *find_turns(const Catalog *catalog, const Observation *observation,
                             const Snapshot *snapshot, IdSource *ids)
{
    GPtrArray *turns = g_ptr_array_new_with_free_func((GDestroyNotify)turn_free);

    for (unsigned i = 0; i < snapshot->disks->len; i++)
        g_ptr_array_add(turns, turn_new(catalog, observation, snapshot->disks->pdata[i], ids));
    return turns;
}

/* --- steps --- */

static void add_overlay(Plan *plan, const Turn *turn)
{
    Step *step = plan_add(plan, STEP_OVERLAY);

    step_set(step, "target", turn->source->target);
    step_set(step, "path", turn->overlay);
    step_set(step, "backing", turn->layer->path);
    step_set(step, "backing_format", turn->layer->format);
    step_set_number(step, "capacity", turn->layer->capacity);
}

static void add_redefine(Plan *plan, const GPtrArray *turns, const StateTurn *state)
{
    Step *step = plan_add(plan, STEP_REDEFINE);

    for (unsigned i = 0; i < turns->len; i++) {
        const Turn *turn = turns->pdata[i];

        step_set_sub(step, "switch", turn->source->target, turn->overlay);
        step_set_sub(step, "format", turn->source->target, "qcow2");
    }
    if (state->store)
        step_set(step, "nvram", state->store);
}

static void add_record(Plan *plan, const GPtrArray *turns, const StateTurn *state)
{
    Step *step = plan_add(plan, STEP_RECORD_REVERT);

    step_set(step, "snapshot", plan->snapshot);
    for (unsigned i = 0; i < turns->len; i++) {
        const Turn *turn = turns->pdata[i];
        g_autofree char *capacity =
            g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)turn->layer->capacity);

        step_set_sub(step, "active", turn->disk->id, turn->active);
        step_set_sub(step, "active_path", turn->disk->id, turn->overlay);
        step_set_sub(step, "active_capacity", turn->disk->id, capacity);
    }
    if (state->store)
        step_set(step, "nvram", state->store);
}

/* A disk that the snapshot knows nothing of keeps what is on it. */
static void add_warnings(Plan *plan, const Catalog *catalog, const Domain *domain,
                         const Snapshot *snapshot)
{
    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *source = domain->disks->pdata[i];
        const Disk *disk = match_in_catalog(catalog, source, NULL);
        g_autofree char *text = NULL;
        Step *step;

        if (domain_disk_excluded(source) || (disk && snapshot_disk(snapshot, disk->id)))
            continue;
        text = g_strdup_printf("disk %s (%s) is not part of this snapshot: a revert left it as it "
                               "was",
                               source->target, source->path ? source->path : "no file");
        step = plan_add(plan, STEP_RECORD_WARNING);
        step_set(step, "snapshot", snapshot->id);
        step_set(step, "text", text);
    }
}

/* An old active layer that somebody else uses stays, and is nobody's of ours any more (rule 11). */
static void add_farewell(Plan *plan, const Observation *observation, const Turn *turn)
{
    const char *path = disk_active(turn->disk)->path;
    const char *who = observation_user(observation, path);

    if (who)
        g_ptr_array_add(plan->steps, kept_warning(plan->snapshot, path, who));
    else
        step_set(plan_add(plan, STEP_UNLINK), "path", path);
}

static bool check_request(const Catalog *catalog, const Observation *observation,
                          const Snapshot *snapshot, GError **error)
{
    if (snapshot->disks->len == 0)
        return refuse(error, ERR_UNSUPPORTED, "snapshot %s of VM %s has no disk", snapshot->name,
                      observation_name(observation));
    return check_persistent(observation, error) && check_ready(observation, snapshot, error) &&
           check_off(observation, error) && check_no_drift(catalog, observation, error) &&
           check_state(catalog, observation, snapshot, error) &&
           check_turns(catalog, observation, snapshot, error);
}

/* The steps up to the commit point and after it. */
static Plan *plan_turns(const Catalog *catalog, const Observation *observation,
                        const Snapshot *snapshot, const GPtrArray *turns, const StateTurn *state)
{
    Plan *plan = plan_new(PLAN_REVERT, snapshot->id);

    for (unsigned i = 0; i < turns->len; i++)
        add_overlay(plan, turns->pdata[i]);
    state_turn_add_before(state, plan, ((Turn *)turns->pdata[0])->layer->path);
    add_redefine(plan, turns, state);
    plan->commit = plan->steps->len;
    add_record(plan, turns, state);
    add_warnings(plan, catalog, observation->inactive, snapshot);
    for (unsigned i = 0; i < turns->len; i++)
        add_farewell(plan, observation, turns->pdata[i]);
    state_turn_add_farewell(state, observation, plan);
    return plan;
}

Plan *plan_revert(const Catalog *catalog, const Observation *observation, const char *snapshot_id,
                  const uint64_t *random, GError **error)
{
    const Snapshot *snapshot = listed_snapshot(catalog, snapshot_id, error);
    g_autoptr(GPtrArray) turns = NULL;
    g_autoptr(StateTurn) state = NULL;
    IdSource ids;

    if (!snapshot || !check_request(catalog, observation, snapshot, error))
        return NULL;
    ids_init(&ids, catalog, observation, random);
    turns = find_turns(catalog, observation, snapshot, &ids);
    state = state_turn_new(catalog, observation, snapshot, &ids);
    ids_clear(&ids);
    return plan_turns(catalog, observation, snapshot, turns, state);
}
