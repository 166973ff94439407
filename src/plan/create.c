/* Taking a snapshot.
 *
 * Overlays first, so that nothing has to be made while the disks switch; then one commit point for
 * all disks: libvirt's atomic snapshot of a running VM, its guest frozen (quiesce.h) and suspended
 * around it where there is more to keep than disks (keep.h); one redefinition of one that is off.
 * What libvirt stored is settled before the catalog says that the snapshot exists (rule 14). */
#include "plan/planner.h"

#include <string.h>

#include "model/names.h"
#include "plan/checks.h"
#include "plan/keep.h"
#include "plan/matching.h"
#include "plan/quiesce.h"

#define DEPTH_LIMIT 200 /* libvirt refuses longer chains */
#define SECTOR      512

/* One disk that takes part. */
typedef struct {
    const DomainDisk *source;
    char *disk, *frozen, *active; /* ids */
    char *overlay;                /* path */
    uint64_t capacity;
} Part;

static void part_free(Part *part)
{
    g_free(part->disk);
    g_free(part->frozen);
    g_free(part->active);
    g_free(part->overlay);
    g_free(part);
}

/* --- refusals --- */

static bool check_name(const Catalog *catalog, const Observation *observation, const char *name,
                       GError **error)
{
    if (!name_check(name, error))
        return false;
    if (!catalog_named(catalog, name))
        return true;
    return refuse(error, ERR_EXISTS,
                  "VM %s has a snapshot %s already; choose another name or remove that one",
                  observation_name(observation), name);
}

/* A merge that was done and not recorded must be finished first: its disk runs on another layer
 * than the catalog says. */
static bool check_recorded(const Catalog *catalog, const Observation *observation, GError **error)
{
    for (unsigned i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        if (match_is_merged(catalog, observation, disk))
            return refuse(error, ERR_BUSY,
                          "disk %s of VM %s still has a merge to be finished; wait for it, or "
                          "remove the failed snapshot again",
                          disk->target, observation_name(observation));
    }
    return true;
}

static bool check_busy(const Catalog *catalog, const Observation *observation, GError **error)
{
    const Domain *domain = observation_domain(observation);

    if (!check_settled_state(observation, error))
        return false;
    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (!domain_disk_excluded(disk) && !check_no_block_job(observation, disk, error))
            return false;
    }
    return check_recorded(catalog, observation, error);
}

static bool check_disks(const Observation *observation, GError **error)
{
    const Domain *domain = observation_domain(observation);
    unsigned included = 0;

    if (observation->libvirt_snapshots > 0)
        return refuse(
            error, ERR_UNSUPPORTED,
            "VM %s has %u snapshots managed by libvirt itself; adopt their files with echo "
            "adopt > drift, then let libvirt forget them with virsh snapshot-delete "
            "--metadata (internal ones: without that)",
            observation_name(observation), observation->libvirt_snapshots);
    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (domain_disk_excluded(disk))
            continue;
        if (!check_disk(observation, disk, error))
            return false;
        included++;
    }
    if (included > 0)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s has no disk that can be part of a snapshot; see its disks",
                  observation_name(observation));
}

static uint64_t policy_number(const Catalog *catalog, const char *key)
{
    const char *value = catalog_policy(catalog, key);

    return value ? g_ascii_strtoull(value, NULL, 10) : 0;
}

static bool check_quota(const Catalog *catalog, const Observation *observation, GError **error)
{
    uint64_t limit = policy_number(catalog, "max_snapshots");
    uint64_t count = 0;

    for (unsigned i = 0; i < catalog->snapshots->len; i++)
        if (!((Snapshot *)catalog->snapshots->pdata[i])->hidden)
            count++;
    if (limit == 0 || count < limit)
        return true;
    return refuse(error, ERR_QUOTA,
                  "VM %s has %u snapshots, and policy/max_snapshots allows %u; remove one first",
                  observation_name(observation), (unsigned)count, (unsigned)limit);
}

static uint64_t depth_limit(const Catalog *catalog)
{
    uint64_t limit = policy_number(catalog, "max_depth");

    return limit == 0 ? DEPTH_LIMIT : MIN(limit, DEPTH_LIMIT);
}

/* The deepest chain of the disks that take part, and which disk has it. */
static unsigned deepest(const Observation *observation, const DomainDisk **out_disk)
{
    const Domain *domain = observation_domain(observation);
    unsigned most = 0;

    *out_disk = NULL;
    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];
        g_autoptr(GPtrArray) chain = NULL;

        if (domain_disk_excluded(disk))
            continue;
        chain = observation_chain(observation, disk->path);
        if (chain->len > most) {
            most = chain->len;
            *out_disk = disk;
        }
    }
    return most;
}

static bool check_depth(const Catalog *catalog, const Observation *observation, GError **error)
{
    uint64_t limit = depth_limit(catalog);
    const DomainDisk *disk;
    unsigned depth = deepest(observation, &disk);

    if (depth + 1 <= limit)
        return true;
    return refuse(error, ERR_DEPTH,
                  "disk %s of VM %s has a chain of %u images already, and policy/max_depth (at "
                  "most %u) allows %u; remove snapshots first",
                  disk->target, observation_name(observation), depth, DEPTH_LIMIT, (unsigned)limit);
}

/* Said on the snapshot while there is still time to do something about it. */
static void add_depth_warning(Plan *plan, const Catalog *catalog, const Observation *observation)
{
    uint64_t limit = depth_limit(catalog);
    const DomainDisk *disk;
    unsigned depth = deepest(observation, &disk) + 1;
    g_autofree char *text = NULL;
    Step *step;

    if (depth * 4 < limit * 3)
        return;
    text = g_strdup_printf("disk %s has a chain of %u images since this snapshot, and "
                           "policy/max_depth allows %u: remove snapshots that are not needed",
                           disk->target, depth, (unsigned)limit);
    step = plan_add(plan, STEP_RECORD_WARNING);
    step_set(step, "snapshot", plan->snapshot);
    step_set(step, "text", text);
}

/* The sidecar is at home, which is where the first disk is or was. */
static void add_sidecar_room(const Observation *observation, GPtrArray *room, const char *path)
{
    const VarsFacts *vars = observation->vars;

    if (vars && domain_needs_vars(observation_domain(observation)))
        room_add(room, path, MAX(vars->size, vars->template_size));
}

static bool check_space(const Observation *observation, GError **error)
{
    const Domain *domain = observation_domain(observation);
    g_autoptr(GPtrArray) room = room_new();

    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (domain_disk_excluded(disk))
            continue;
        if (room->len == 0)
            add_sidecar_room(observation, room, disk->path);
        room_add(room, disk->path, OVERLAY_ROOM);
    }
    return check_room(observation, room, error);
}

static bool check_request(const Catalog *catalog, const Observation *observation,
                          const CreateRequest *request, GError **error)
{
    if (catalog_snapshot(catalog, request->snapshot_id))
        return refuse(error, ERR_EXISTS, "VM %s has a snapshot with the id %s already; try again",
                      observation_name(observation), request->snapshot_id);
    return check_name(catalog, observation, request->name, error) &&
           check_persistent(observation, error) && check_no_drift(catalog, observation, error) &&
           check_same_disks(observation, error) && check_busy(catalog, observation, error) &&
           check_no_managed_save(observation, error) && keep_check(catalog, observation, error) &&
           check_disks(observation, error) && check_quota(catalog, observation, error) &&
           check_depth(catalog, observation, error) && check_space(observation, error);
}

/* --- parts --- */

/* QEMU counts in sectors: a raw file that ends inside one is seen up to its end. */
static uint64_t live_capacity(const Observation *observation, const char *path)
{
    uint64_t capacity = observation_file(observation, path)->capacity;

    return (capacity + SECTOR - 1) / SECTOR * SECTOR;
}

static Part *part_new(const Catalog *catalog, const Observation *observation,
                      const DomainDisk *source, IdSource *ids)
{
    const Disk *known = match_in_catalog(catalog, source, NULL);
    Part *part = g_new0(Part, 1);

    part->source = source;
    part->disk = known ? g_strdup(known->id) : ids_next(ids);
    part->frozen = known ? g_strdup(known->active) : ids_next(ids);
    part->active = ids_next_layer(ids, source->path, &part->overlay);
    part->capacity = live_capacity(observation, source->path);
    return part;
}

static GPtrArray *find_parts(const Catalog *catalog, const Observation *observation,
                             const uint64_t *random)
{
    GPtrArray *parts = g_ptr_array_new_with_free_func((GDestroyNotify)part_free);
    const Domain *domain = observation_domain(observation);
    IdSource ids;

    ids_init(&ids, catalog, observation, random);
    for (unsigned i = 0; i < domain->disks->len; i++)
        if (!domain_disk_excluded(domain->disks->pdata[i]))
            g_ptr_array_add(parts, part_new(catalog, observation, domain->disks->pdata[i], &ids));
    ids_clear(&ids);
    return parts;
}

/* --- steps --- */

static void add_overlay(Plan *plan, const Part *part)
{
    Step *step = plan_add(plan, STEP_OVERLAY);

    step_set(step, "target", part->source->target);
    step_set(step, "path", part->overlay);
    step_set(step, "backing", part->source->path);
    step_set(step, "backing_format", part->source->format);
    step_set_number(step, "capacity", part->capacity);
}

static void add_snapshot(Plan *plan, const Domain *domain, const GPtrArray *parts)
{
    Step *step = plan_add(plan, STEP_SNAPSHOT);

    step_set(step, "snapshot", plan->snapshot);
    for (unsigned i = 0; i < parts->len; i++) {
        const Part *part = parts->pdata[i];

        step_set_sub(step, "switch", part->source->target, part->overlay);
    }
    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (domain_disk_excluded(disk))
            step_set_sub(step, "exclude", disk->target, "");
    }
}

static void add_definition(Plan *plan, StepKind kind, const GPtrArray *parts)
{
    Step *step = plan_add(plan, kind);

    for (unsigned i = 0; i < parts->len; i++) {
        const Part *part = parts->pdata[i];

        step_set_sub(step, "switch", part->source->target, part->overlay);
        step_set_sub(step, "format", part->source->target, "qcow2");
    }
}

static void add_part(Step *step, const Part *part)
{
    g_autofree char *capacity = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)part->capacity);

    step_set_sub(step, "disk", part->disk, part->source->target);
    step_set_sub(step, "frozen", part->disk, part->frozen);
    step_set_sub(step, "path", part->disk, part->source->path);
    step_set_sub(step, "format", part->disk, part->source->format);
    step_set_sub(step, "capacity", part->disk, capacity);
    step_set_sub(step, "active", part->disk, part->active);
    step_set_sub(step, "active_path", part->disk, part->overlay);
    step_set_sub(step, "active_capacity", part->disk, capacity);
}

/* Snapshots are dated in the order in which they were taken, whatever the clock did. */
static int64_t creation_time(const Catalog *catalog, int64_t now)
{
    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->created >= now)
            now = snapshot->created + 1;
    }
    return now;
}

/* "frozen" is what came of it, not what was planned: the executor says so. */
static const char *consistency(const Observation *observation)
{
    if (!observation->live)
        return "off";
    return observation->state == DOMAIN_PAUSED ? "paused" : "crash";
}

static void add_record(Plan *plan, const Catalog *catalog, const Observation *observation,
                       const CreateRequest *request, const GPtrArray *parts)
{
    Step *step = plan_add(plan, STEP_RECORD_CREATE);
    g_autofree char *mode = g_strdup_printf("%04o", (unsigned)request->mode & 0777);

    step_set(step, "snapshot", request->snapshot_id);
    step_set(step, "name", request->name);
    if (catalog->current)
        step_set(step, "parent", catalog->current);
    step_set_number(step, "created", (uint64_t)creation_time(catalog, request->now));
    step_set(step, "consistency", consistency(observation));
    step_set(step, "description", request->description ? request->description : "");
    step_set_number(step, "uid", request->uid);
    step_set(step, "mode", mode);
    for (unsigned i = 0; i < parts->len; i++)
        add_part(step, parts->pdata[i]);
    keep_describe(step, observation);
}

/* The catalog as it will be once disks that went away or changed their label are recorded; those
 * steps go to *out_attach. */
static Catalog *attach_first(const Catalog *catalog, const Observation *observation,
                             Plan **out_attach, GError **error)
{
    g_autoptr(Catalog) view = catalog_copy(catalog);
    g_autoptr(Plan) attach = plan_attach(catalog, observation);

    for (unsigned i = 0; attach && i < attach->steps->len; i++)
        if (!step_apply(attach->steps->pdata[i], view, error))
            return NULL;
    *out_attach = g_steal_pointer(&attach);
    return g_steal_pointer(&view);
}

static void move_steps(Plan *plan, Plan *from)
{
    while (from && from->steps->len > 0)
        g_ptr_array_add(plan->steps, g_ptr_array_steal_index(from->steps, 0));
}

/* A plan that the catalog could not record would leave a snapshot without a name. */
static bool check_record(const Plan *plan, const Catalog *catalog, GError **error)
{
    g_autoptr(Catalog) trial = catalog_copy(catalog);

    for (unsigned i = 0; i < plan->steps->len; i++)
        if (!step_apply(plan->steps->pdata[i], trial, error))
            return false;
    return true;
}

Plan *plan_create(const Catalog *catalog, const Observation *observation,
                  const CreateRequest *request, GError **error)
{
    g_autoptr(Plan) plan = plan_new(PLAN_CREATE, request->snapshot_id);
    g_autoptr(Plan) attach = NULL;
    g_autoptr(Catalog) view = NULL;
    g_autoptr(GPtrArray) parts = NULL;
    bool freeze = false;

    if (!check_request(catalog, observation, request, error) ||
        !quiesce_decide(catalog, observation, &freeze, error) ||
        !(view = attach_first(catalog, observation, &attach, error)))
        return NULL;
    parts = find_parts(view, observation, request->random);
    for (unsigned i = 0; i < parts->len; i++)
        add_overlay(plan, parts->pdata[i]);
    if (freeze)
        quiesce_add_freeze(plan, catalog);
    keep_add_copies(plan, catalog, observation);
    if (observation->live)
        add_snapshot(plan, observation->live, parts);
    else
        add_definition(plan, STEP_REDEFINE, parts);
    plan->commit = plan->steps->len;
    keep_add_resume(plan, observation);
    if (freeze)
        quiesce_add_thaw(plan, catalog);
    keep_add_sync(plan, observation);
    if (observation->live)
        add_definition(plan, STEP_SETTLE, parts);
    move_steps(plan, attach);
    add_record(plan, view, observation, request, parts);
    add_depth_warning(plan, catalog, observation);
    keep_add_warning(plan, observation);
    if (freeze)
        plan_add(plan, STEP_RECORD_THAWED);
    return check_record(plan, catalog, error) ? g_steal_pointer(&plan) : NULL;
}
