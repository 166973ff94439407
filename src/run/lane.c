#include "run/lane.h"

#include "run/definition.h"
#include "run/pivot.h"
#include "run/users.h"

#include "model/names.h"

#include <string.h>

/* QEMU refuses a pivot for a moment while a mirror catches up. */
#define PIVOT_TRIES 5
/* Bytes: the least that a merge copies. */
#define CLUSTER UINT64_C(65536)
/* Bytes: our own reserve may have been spent a moment ago, for a record of another disk. */
#define FULL_BELOW (UINT64_C(1024) * 1024)
/* One lost answer of a question is no reason to give a merge up. */
#define ASK_TRIES 3

typedef struct {
    Operation *op;
    const Step *step;
    const char *target, *top, *base;
    GPtrArray *between; /* of char *: the files that go with top */
    bool active;
    bool asked;   /* for the pivot, by us: since then libvirt was always there */
    bool adopted; /* the job was there already: whether it is about all of this is not known */
    uint64_t bandwidth; /* as last given to the job */
    uint64_t total;     /* bytes, as last seen; 0: no job was */
    uint64_t left;      /* bytes that it had not copied then */
    unsigned failed_pivots;
} Lane;

typedef enum { LANE_GOES_ON, LANE_DONE, LANE_FAILED } LaneState;

static bool lane_fail(const Lane *lane, ErrorCode code, const char *why, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, (int)code, "The merge of %s into %s on disk %s of VM %s %s",
                lane->top, lane->base, lane->target, lane->op->vm_name, why);
    return false;
}

/* ---- what it is about ---- */

/* The files of the layers that go with @top, as the catalog has them until the merge is recorded.
 */
static GPtrArray *paths_between(Vm *vm, const char *top, const char *base)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    Layer *layer = NULL;

    g_mutex_lock(&vm->lock);
    const Disk *disk = catalog_disk_of_path(vm->catalog, top, &layer);
    while (disk && (layer = disk_layer(disk, layer->parent)) && strcmp(layer->path, base) != 0)
        g_ptr_array_add(paths, g_strdup(layer->path));
    g_mutex_unlock(&vm->lock);
    return paths;
}

/* Nobody else uses any of it (rule 11). */
static bool check_users(Operation *op, const char *top, const GPtrArray *between, const char *base,
                        GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new();

    for (guint i = 0; i < between->len; i++)
        g_ptr_array_add(paths, between->pdata[i]);
    g_ptr_array_add(paths, (char *)top);
    g_ptr_array_add(paths, (char *)base);
    return users_check_none(op, paths, error);
}

/* ---- questions ---- */

typedef bool (*Question)(const Lane *lane, void *answer, GError **error);

/* What failed for a moment only is asked again; a libvirt that is gone, or a merge that is to end,
 * is not. */
static bool lane_ask(const Lane *lane, Question question, void *answer, GError **error)
{
    for (unsigned tries = 1;; tries++) {
        g_autoptr(GError) cause = NULL;

        if (question(lane, answer, &cause))
            return true;
        if (tries == ASK_TRIES || error_is(cause, ERR_HOST_DOWN) ||
            error_is(cause, ERR_INTERRUPTED) || operation_stopped(lane->op, NULL)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        operation_wait(lane->op);
    }
}

static bool question_chain(const Lane *lane, void *answer, GError **error)
{
    return definition_live_chain(lane->op, lane->target, lane->top, lane->between, lane->base,
                                 answer, error);
}

static bool question_job(const Lane *lane, void *answer, GError **error)
{
    Hypervisor *hv = lane->op->vm->world->hv;

    return hv->ops->block_job(hv, lane->op->vm->uuid, lane->target, answer, error);
}

/* The chain decides what became of the merge. True: it is done. */
static bool lane_settled(const Lane *lane, const char *why, GError **error)
{
    ChainState state;

    if (!lane_ask(lane, question_chain, &state, error))
        return false;
    switch (state) {
    case CHAIN_MERGED:
        return true;
    case CHAIN_PARTLY:
        g_atomic_int_set(&lane->op->again, 1);
        return lane_fail(lane, ERR_BUSY,
                         "was done in part by a job that began before; it is planned anew", error);
    case CHAIN_OFF:
        g_atomic_int_set(&lane->op->again, 1);
        return lane_fail(lane, ERR_BUSY,
                         "was broken off because the VM stopped; it is planned anew", error);
    case CHAIN_FOREIGN:
        return lane_fail(
            lane, ERR_DRIFT,
            "cannot go on: the disk's chain holds neither of them any more; look at drift", error);
    case CHAIN_BEFORE:
        break;
    }
    return lane_fail(lane, ERR_IO, why, error);
}

/* ---- starting or adopting the block job ---- */

static const char *lane_job_kind(const Lane *lane)
{
    return lane->active ? "active-commit" : "commit";
}

/* Is a job on the disk that can only be ours? False with an error: a foreign one, or it cannot be
 * asked. */
static bool lane_adopt(const Lane *lane, bool *out_running, GError **error)
{
    BlockJobFacts *job = NULL;

    if (!lane_ask(lane, question_job, &job, error))
        return false;
    *out_running = job && g_strcmp0(job->kind, lane_job_kind(lane)) == 0;
    if (job && !*out_running) {
        g_autofree char *why = g_strdup_printf(
            "cannot start: a block job (%s) is on the disk; end it first", job->kind);

        block_job_facts_free(job);
        return lane_fail(lane, ERR_BUSY, why, error);
    }
    g_clear_pointer(&job, block_job_facts_free);
    return true;
}

/* Busy without a job: libvirt was killed after it had noted one and before it began it. */
static GError *lane_not_started(const Lane *lane, const GError *cause)
{
    const char *lost =
        "; if virsh blockjob shows no job there, libvirt lost track of one: shut the VM "
        "down and remove the snapshot again";

    return g_error_new(
        VMSNAPFS_ERROR, cause->code, "The merge of %s into %s on disk %s did not start: %s%s",
        lane->top, lane->base, lane->target, cause->message, error_is(cause, ERR_BUSY) ? lost : "");
}

static bool lane_start(Lane *lane, GError **error)
{
    Vm *vm = lane->op->vm;
    g_autoptr(GError) cause = NULL;
    bool running = false;

    /* In this order: a limit that is written from now on is waited for. */
    operation_limited(lane->op, lane->target, BANDWIDTH_UNKNOWN);
    lane->bandwidth = operation_bandwidth(lane->op);
    if (!lane_adopt(lane, &running, error))
        return false;
    if (running) {
        lane->adopted = true;
        lane->bandwidth = BANDWIDTH_UNKNOWN; /* the first look sets it */
        return true;
    }
    if (!check_users(lane->op, lane->top, lane->between, lane->base, error) ||
        !pivot_check_live(lane->op, lane->step, error))
        return false;
    if (vm->world->hv->ops->block_commit(vm->world->hv, vm->uuid, lane->target, lane->top,
                                         lane->base, lane->active, lane->bandwidth, &cause))
        return true;
    /* The answer may be lost and the job run, or be over already. */
    if (lane_adopt(lane, &running, NULL) && running)
        return true;
    if (lane_settled(lane, "", NULL))
        return true;
    g_propagate_error(error, lane_not_started(lane, cause));
    return false;
}

/* ---- watching it ---- */

/* libvirt answers, did not pivot, and has the VM on the top: so a pivot that we asked it for is in
 * doubt no more. One that its life before was asked for may be: it may just have lost the job. */
static bool lane_is_before(const Lane *lane)
{
    ChainState state;

    if (!lane_ask(lane, question_chain, &state, NULL) || state != CHAIN_BEFORE)
        return false;
    if (lane->asked)
        pivot_forget(lane->op, step_get(lane->step, "disk"));
    return true;
}

/* Told to stop. A pivot that won the race counts. Parked jobs go on in QEMU and are adopted at the
 * next start. What copies on though it was to end is told as that, and not as stopped. */
static bool lane_stop(const Lane *lane, GError *why, GError **error)
{
    const VmHooks *hooks = lane->op->hooks;
    Vm *vm = lane->op->vm;
    g_autoptr(GError) cause = NULL;

    bool parked = hooks && hooks->park && hooks->park(hooks->data);
    bool left =
        parked || vm->world->hv->ops->block_abort(vm->world->hv, vm->uuid, lane->target, &cause);
    bool merged = lane_settled(lane, "", NULL);
    if (!merged && left && !parked)
        lane_is_before(lane);
    if (!merged && left)
        g_propagate_error(error, g_steal_pointer(&why));
    else if (!merged)
        g_set_error(error, VMSNAPFS_ERROR, cause->code, "%s; the block job could not be ended: %s",
                    why->message, cause->message);
    g_clear_error(&why);
    return merged;
}

/* A limit that cannot be set is tried again at the next look: the merge matters more. */
static void lane_apply_bandwidth(Lane *lane)
{
    Vm *vm = lane->op->vm;
    uint64_t wanted = operation_bandwidth(lane->op);

    if (wanted != lane->bandwidth &&
        vm->world->hv->ops->block_speed(vm->world->hv, vm->uuid, lane->target, wanted, NULL))
        lane->bandwidth = wanted;
    operation_limited(lane->op, lane->target, lane->bandwidth);
}

/* Of others it is not known whether they come before what was asked for. */
static bool is_refusal(const GError *cause)
{
    return !error_is(cause, ERR_HOST_DOWN) && !error_is(cause, ERR_INTERRUPTED) &&
           !error_is(cause, ERR_TIMEOUT);
}

static LaneState lane_pivot(Lane *lane, GError **error)
{
    Vm *vm = lane->op->vm;
    g_autoptr(GError) cause = NULL;

    if (!pivot_note(lane->op, step_get(lane->step, "disk"), lane->base, &cause))
        return lane_stop(lane, g_steal_pointer(&cause), error) ? LANE_DONE : LANE_FAILED;
    lane->asked = true;
    /* libvirt stores the persistent definition with the pivot: not between another lane's reading
     * and storing of it, which would bring this disk's old file back. */
    g_mutex_lock(&vm->definition);
    bool pivoted = vm->world->hv->ops->block_pivot(vm->world->hv, vm->uuid, lane->target, &cause);
    g_mutex_unlock(&vm->definition);
    if (pivoted)
        return lane_settled(lane, "did not take: libvirt says pivoted, the chain says not", error)
                   ? LANE_DONE
                   : LANE_FAILED;
    if (lane_settled(lane, "", NULL))
        return LANE_DONE;
    if (is_refusal(cause))
        lane_is_before(lane);
    if (++lane->failed_pivots < PIVOT_TRIES && !error_is(cause, ERR_HOST_DOWN) &&
        !error_is(cause, ERR_INTERRUPTED))
        return LANE_GOES_ON;
    g_propagate_prefixed_error(error, g_steal_pointer(&cause),
                               "The disk %s of VM %s could not be switched to %s: ", lane->target,
                               lane->op->vm_name, lane->base);
    return LANE_FAILED;
}

static LaneState lane_lost_sight(Lane *lane, GError *cause, GError **error)
{
    if (!error_is(cause, ERR_HOST_DOWN) && !error_is(cause, ERR_INTERRUPTED) &&
        lane_settled(lane, "", NULL)) {
        g_error_free(cause);
        return LANE_DONE;
    }
    g_propagate_error(error, cause);
    return LANE_FAILED;
}

/* QEMU ends a job that finds no room, and libvirt 9.0 does not say why: the room does. The last
 * look is a moment old, and may have said that all is done. */
static void lane_blame_room(const Lane *lane, GError **cause)
{
    Images *images = lane->op->vm->world->images;
    const ImageFacts *top = observation_file(lane->op->seen, lane->top);
    uint64_t seen = lane->total > 0 ? lane->left : top ? top->allocation : 0;
    uint64_t left = MAX(seen, CLUSTER);
    g_autofree char *directory = g_path_get_dirname(lane->base);
    g_autofree char *wanted = size_format(left);
    FreeSpace space;

    if (!error_is(*cause, ERR_IO) || !images->ops->free_space(images, directory, &space, NULL) ||
        space.bytes >= MAX(left, FULL_BELOW))
        return;
    (*cause)->code = ERR_NO_SPACE;
    g_prefix_error(cause, "No space left: up to %s were still to be merged. ", wanted);
}

/* A job that was there already may have been about less; then ours begins. */
static LaneState lane_ended(Lane *lane, GError **error)
{
    GError *cause = NULL;

    if ((lane->active || lane->adopted) && lane_is_before(lane) && lane->adopted) {
        lane->adopted = false;
        return lane_start(lane, error) ? LANE_GOES_ON : LANE_FAILED;
    }
    if (lane_settled(lane, "ended early: QEMU gave its block job up; see libvirt's log", &cause))
        return LANE_DONE;
    lane_blame_room(lane, &cause);
    g_propagate_error(error, cause);
    return LANE_FAILED;
}

static LaneState lane_look(Lane *lane, GError **error)
{
    BlockJobFacts *job = NULL;
    GError *cause = NULL;

    if (!lane_ask(lane, question_job, &job, &cause))
        return lane_lost_sight(lane, cause, error);
    if (!job)
        return lane_ended(lane, error);
    lane->total = job->total;
    lane->left = job->total - MIN(job->done, job->total);
    operation_progress(lane->op, lane->target, job->done, job->total, false);
    bool ready = lane->active && job->ready;
    block_job_facts_free(job);
    lane_apply_bandwidth(lane);
    return ready ? lane_pivot(lane, error) : LANE_GOES_ON;
}

static bool lane_watch(Lane *lane, GError **error)
{
    for (;;) {
        g_autoptr(GError) stop = NULL;
        LaneState state;

        if (operation_stopped(lane->op, &stop))
            return lane_stop(lane, g_steal_pointer(&stop), error);
        state = lane_look(lane, error);
        if (state != LANE_GOES_ON)
            return state == LANE_DONE;
        operation_wait(lane->op);
    }
}

static bool lane_run(Lane *lane, GError **error)
{
    ChainState state;

    if (!lane_ask(lane, question_chain, &state, error))
        return false;
    /* A job inside the chain may be in its end: QEMU still writes then. */
    if (state == CHAIN_MERGED)
        return lane->active || lane_watch(lane, error);
    if (state != CHAIN_BEFORE)
        return lane_settled(lane, "", error);
    bool merged = lane_start(lane, error) && lane_watch(lane, error);
    operation_limited(lane->op, lane->target, BANDWIDTH_NONE);
    return merged;
}

bool lane_commit_live(Operation *op, const Step *step, GError **error)
{
    g_autoptr(GPtrArray) between =
        paths_between(op->vm, step_get(step, "top"), step_get(step, "base"));
    Lane lane = {
        .op = op,
        .step = step,
        .target = step_get(step, "target"),
        .top = step_get(step, "top"),
        .base = step_get(step, "base"),
        .between = between,
        .active = step->kind == STEP_COMMIT_ACTIVE,
    };

    if (!lane_run(&lane, error))
        return false;
    operation_progress(op, lane.target, lane.total, lane.total, true);
    return true;
}

/* ---- qemu-img ---- */

typedef struct {
    Operation *op;
    char *target;
    uint64_t total;     /* bytes, as last seen */
    uint64_t bandwidth; /* that qemu-img was started with */
} OfflineProgress;

static bool offline_progress(uint64_t done, uint64_t total, void *data)
{
    OfflineProgress *progress = data;

    progress->total = total;
    operation_progress(progress->op, progress->target, done, total, false);
    return !operation_stopped(progress->op, NULL) &&
           operation_bandwidth(progress->op) == progress->bandwidth;
}

/* qemu-img cannot be told another limit while it runs: it is started again, since doing it again is
 * always right. Why it was stopped for good is what the caller wants to know. */
static bool commit_at_wanted_speed(OfflineProgress *progress, const Step *step, GError **error)
{
    Images *images = progress->op->vm->world->images;

    for (;;) {
        g_autoptr(GError) failure = NULL;

        operation_limited(progress->op, progress->target, BANDWIDTH_UNKNOWN);
        progress->bandwidth = operation_bandwidth(progress->op);
        operation_limited(progress->op, progress->target, progress->bandwidth);
        if (images->ops->commit(images, step_get(step, "top"), step_get(step, "top_format"),
                                step_get(step, "base"), step_get(step, "base_format"),
                                progress->bandwidth, offline_progress, progress, &failure))
            return true;
        bool stopped = error_is(failure, ERR_INTERRUPTED);
        if (stopped && operation_stopped(progress->op, error))
            return false;
        if (!stopped || operation_bandwidth(progress->op) == progress->bandwidth) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
    }
}

static char *label_of_disk(Vm *vm, const char *disk_id)
{
    g_mutex_lock(&vm->lock);
    const Disk *disk = catalog_disk(vm->catalog, disk_id);
    char *label = g_strdup(disk ? disk->target : disk_id);
    g_mutex_unlock(&vm->lock);
    return label;
}

/* qemu-img takes QEMU's lock itself; ours is given up for so long, and taken again before anything
 * else happens. */
bool lane_commit_offline(Operation *op, const Step *step, GError **error)
{
    const char *top = step_get(step, "top"), *base = step_get(step, "base");
    g_autofree char *target = label_of_disk(op->vm, step_get(step, "disk"));
    OfflineProgress progress = {.op = op, .target = target};
    g_autoptr(GError) why = NULL;

    g_autoptr(GPtrArray) between = paths_between(op->vm, top, base);

    if (operation_stopped(op, error) || !check_users(op, top, between, base, error) ||
        !pivot_settle(op, step, error))
        return false;
    GuardLoan loan = guard_lend(op->guard, top, base);
    bool merged = commit_at_wanted_speed(&progress, step, error);
    operation_limited(op, target, BANDWIDTH_NONE);
    bool held = guard_take_back(op->guard, loan, top, base, &why);
    if (merged && !held) {
        g_propagate_prefixed_error(error, g_steal_pointer(&why),
                                   "VM %s was started when %s was merged: ", op->vm_name, top);
        return false;
    }
    if (merged)
        operation_progress(op, target, progress.total, progress.total, true);
    return merged;
}
