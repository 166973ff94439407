/* Removing snapshots: accepting it, and the work that follows (rules 3 to 6). */
#include "run/executor.h"
#include "run/ledger.h"
#include "run/locate.h"
#include "run/users.h"

#define FINISH_TRIES                                                                               \
    3 /* how often the VM may be started or stopped under one merge before it counts as failed */

/* The snapshot that plan_next would speak about: one being removed, else a hidden one that has come
 * down. */
static const Snapshot *pending_snapshot(const Catalog *catalog)
{
    const Snapshot *hidden = NULL;

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->state == SNAPSHOT_REMOVING)
            return snapshot;
        if (!hidden && snapshot->hidden && catalog_dependants(catalog, snapshot) <= 1)
            hidden = snapshot;
    }
    return hidden;
}

/* Asked first, since finding out that nothing is to do should cost no call of libvirt. */
static bool has_pending(Vm *vm)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);

    return pending_snapshot(catalog) != NULL;
}

/* ---- accepting ---- */

/* What is listed as @name; yours, NULL: nothing is. */
static char *listed_id(Vm *vm, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    const Snapshot *snapshot = catalog_named(catalog, name);

    return snapshot ? g_strdup(snapshot->id) : NULL;
}

/* The operation began with the recovery of an earlier removal of @id, which goes on or is done. */
static bool was_taken_up(const Catalog *catalog, const char *id)
{
    const Snapshot *snapshot = id ? catalog_snapshot(catalog, id) : NULL;

    return id && (!snapshot || snapshot->state == SNAPSHOT_REMOVING);
}

/* @id: what was listed as @name before. */
static bool accept_removal(Operation *op, const char *name, const char *id, bool *out_work,
                           GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Snapshot *snapshot = catalog_named(catalog, name);
    Plan *plan = NULL;

    if (!snapshot && was_taken_up(catalog, id)) {
        *out_work = has_pending(op->vm);
        return true;
    }
    if (!snapshot) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no snapshot named %s",
                    op->vm_name, name);
        return false;
    }
    if (!users_observe(op->vm, NULL, op->begun, op->seen, error))
        return false;
    plan = plan_remove(catalog, op->seen, snapshot->id, error);
    if (!plan || !executor_run(op, plan, error))
        return false;
    *out_work = has_pending(op->vm);
    return true;
}

/* Nothing is touched but the catalog, so no image lock is needed. */
bool vm_remove(Vm *vm, const char *name, const char *operation, bool *out_work, GError **error)
{
    g_autofree char *id = listed_id(vm, name);
    Operation op;
    bool accepted = false;

    if (!operation_begin(&op, vm, operation, NULL, error))
        return false;
    op.seen = vm_observe(vm, error);
    if (op.seen && operation_attach(&op, error))
        accepted = accept_removal(&op, name, id, out_work, error);
    operation_end(&op);
    return accepted;
}

/* ---- finishing ---- */

static int64_t merge_deadline(Vm *vm, const Catalog *catalog)
{
    gint64 seconds = g_ascii_strtoll(catalog_policy(catalog, "merge_timeout"), NULL, 10);

    return seconds > 0 ? world_now(vm->world) + seconds * G_USEC_PER_SEC : 0;
}

/* A parked merge goes on by itself, and one whose libvirt is gone is looked at again when it is
 * back. */
static bool failure_is_final(const Operation *op, const GError *failure)
{
    const VmHooks *hooks = op->hooks;

    return !error_is(failure, ERR_HOST_DOWN) && !(hooks && hooks->park && hooks->park(hooks->data));
}

static void mark_one(Operation *op, const Snapshot *snapshot, const GError *failure)
{
    g_autoptr(GError) cause = NULL;
    Step *step = step_new(STEP_RECORD_FAILED);

    if (snapshot->whole)
        step_set(step, "whole", "yes");
    step_set(step, "snapshot", snapshot->id);
    step_set(step, "error", failure->message);
    if (!ledger_record(op->vm, step, &cause))
        ledger_complain(op->vm, "a failed removal could not be recorded", cause);
    step_free(step);
}

/* Only what was marked before the first byte comes back as failed (rule 4): a snapshot whose merge
 * has not begun is whole. If it was hidden it stays so; if its removal was accepted, it comes back
 * as it was. What has lost all its layers is only to be struck out. */
static void mark_failed(Operation *op, const GPtrArray *ids, const GError *failure)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);

    for (guint i = 0; failure_is_final(op, failure) && i < ids->len; i++) {
        const Snapshot *snapshot = catalog_snapshot(catalog, ids->pdata[i]);

        if (snapshot && snapshot->state == SNAPSHOT_REMOVING &&
            (snapshot->disks->len > 0 || ids->len == 1))
            mark_one(op, snapshot, failure);
    }
}

/* @about: what could not be planned, or not begun. */
static void tell_whole(Operation *op, const GPtrArray *about, GError **failure)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Snapshot *snapshot = about->len ? catalog_snapshot(catalog, about->pdata[0]) : NULL;

    if (snapshot && snapshot->state == SNAPSHOT_READY && !snapshot->hidden)
        g_prefix_error(failure,
                       "Snapshot %s of VM %s is as it was, since its merge could not begin: ",
                       snapshot->name, op->vm_name);
}

static bool all_struck_out(const Catalog *catalog, const GPtrArray *ids)
{
    for (guint i = 0; i < ids->len; i++) {
        const Snapshot *snapshot = catalog_snapshot(catalog, ids->pdata[i]);

        if (snapshot && snapshot->disks->len > 0)
            return false;
    }
    return true;
}

/* Is it worth planning again at once? An answer was lost, the VM was started or stopped under the
 * merge, a job of before has changed the chain, or all that is left to do is to strike the
 * snapshots out. */
static bool situation_changed(Operation *op, const GPtrArray *ids, bool was_off,
                              const GError *failure)
{
    if (error_is(failure, ERR_TIMEOUT) && !operation_stopped(op, NULL))
        return true;
    g_autoptr(Observation) now = vm_observe(op->vm, NULL);
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);

    return g_atomic_int_get(&op->again) || all_struck_out(catalog, ids) ||
           (now && observation_is_off(now) != was_off);
}

typedef enum { FINISH_NOTHING, FINISH_DONE, FINISH_FAILED, FINISH_AGAIN } FinishState;

static FinishState run_merge(Operation *op, Plan *plan, const GPtrArray *ids, bool may_repeat,
                             GError **error)
{
    bool was_off = observation_is_off(op->seen);
    g_autoptr(GError) failure = NULL;

    if (executor_run(op, plan, &failure))
        return FINISH_DONE;
    FinishState state = FINISH_FAILED;
    if (may_repeat && failure_is_final(op, failure) && !error_is(failure, ERR_INTERRUPTED) &&
        situation_changed(op, ids, was_off, failure))
        state = FINISH_AGAIN;
    else
        mark_failed(op, ids, failure);
    tell_whole(op, ids, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return state;
}

/* ---- what a piece of work is about ---- */

static void add_label(const Catalog *catalog, const char *disk_id, GPtrArray *targets)
{
    const Disk *disk = catalog_disk(catalog, disk_id);

    if (disk && !g_ptr_array_find_with_equal_func(targets, disk->target, g_str_equal, NULL))
        g_ptr_array_add(targets, g_strdup(disk->target));
}

/* The disks that the work is about: its lanes; those of the snapshot where there is none. */
static GPtrArray *work_targets(const Catalog *catalog, const Plan *plan, const Snapshot *snapshot)
{
    GPtrArray *targets = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; plan && i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->lane)
            add_label(catalog, ((Step *)plan->steps->pdata[i])->lane, targets);
    for (guint i = 0; targets->len == 0 && snapshot && i < snapshot->disks->len; i++)
        add_label(catalog, ((SnapshotDisk *)snapshot->disks->pdata[i])->disk, targets);
    return targets;
}

/* The ids that the plan, or what could not be planned, is about; yours. */
static GPtrArray *work_ids(const Plan *plan, const Snapshot *snapshot)
{
    GPtrArray *ids = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) planned = plan ? plan_snapshots(plan) : NULL;

    for (guint i = 0; planned && i < planned->len; i++)
        g_ptr_array_add(ids, g_strdup(planned->pdata[i]));
    if (!planned && snapshot)
        g_ptr_array_add(ids, g_strdup(snapshot->id));
    return ids;
}

static GPtrArray *names_of(const Catalog *catalog, const GPtrArray *ids)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < ids->len; i++) {
        const Snapshot *snapshot = catalog_snapshot(catalog, ids->pdata[i]);

        if (snapshot)
            g_ptr_array_add(names, g_strdup(snapshot->name));
    }
    return names;
}

/* *out_name: the first one's. */
static void announce(Operation *op, const Catalog *catalog, const Plan *plan, const GPtrArray *ids,
                     char **out_name)
{
    const VmHooks *hooks = op->hooks;
    g_autoptr(GPtrArray) names = names_of(catalog, ids);
    const Snapshot *first = ids->len ? catalog_snapshot(catalog, ids->pdata[0]) : NULL;
    g_autoptr(GPtrArray) targets = work_targets(catalog, plan, first);

    g_free(*out_name);
    *out_name = g_strdup(first ? first->name : "");
    if (hooks && hooks->begin)
        hooks->begin(names, targets, hooks->data);
}

/* One whose removal was cancelled before its work began, and nothing of it can be in QEMU: it comes
 * back without a merge. */
static const Snapshot *cancelled_snapshot(const Operation *op, const Catalog *catalog)
{
    const VmHooks *hooks = op->hooks;

    if (!hooks || !hooks->cancelled || g_hash_table_size(op->seen->jobs) > 0)
        return NULL;
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->state == SNAPSHOT_REMOVING && hooks->cancelled(snapshot->name, hooks->data))
            return snapshot;
    }
    return NULL;
}

static FinishState bring_back(Operation *op, const Catalog *catalog, const Snapshot *snapshot,
                              char **out_name, GError **error)
{
    g_autoptr(GPtrArray) ids = work_ids(NULL, snapshot);
    GError *failure = g_error_new(
        VMSNAPFS_ERROR, ERR_INTERRUPTED,
        "The merge of snapshot %s was cancelled before it began; remove it again to finish",
        snapshot->name);

    announce(op, catalog, NULL, ids, out_name);
    mark_failed(op, ids, failure);
    g_propagate_error(error, failure);
    return FINISH_FAILED;
}

static FinishState finish_piece(Operation *op, bool may_repeat, char **out_name, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Snapshot *cancelled = cancelled_snapshot(op, catalog);
    g_autoptr(GError) failure = NULL;

    if (cancelled)
        return bring_back(op, catalog, cancelled, out_name, error);
    Plan *plan = plan_next(catalog, op->seen, &failure);

    if (!plan && !failure)
        return FINISH_NOTHING;
    g_autoptr(GPtrArray) ids = work_ids(plan, pending_snapshot(catalog));
    announce(op, catalog, plan, ids, out_name);
    op->deadline = merge_deadline(op->vm, catalog);
    if (plan)
        return run_merge(op, plan, ids, may_repeat, error);
    mark_failed(op, ids, failure);
    tell_whole(op, ids, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return FINISH_FAILED;
}

static FinishState finish_once(Vm *vm, const VmHooks *hooks, bool may_repeat, char **out_name,
                               GError **error)
{
    FinishState state = FINISH_FAILED;
    Operation op;

    if (!operation_begin(&op, vm, "merge", hooks, error))
        return FINISH_FAILED;
    guard_be_patient(op.guard);
    if (!has_pending(vm))
        state = FINISH_NOTHING;
    else if (operation_look(&op, error) && operation_attach(&op, error) &&
             users_observe(vm, NULL, op.begun, op.seen, error))
        state = finish_piece(&op, may_repeat, out_name, error);
    operation_end(&op);
    return state;
}

bool vm_finish(Vm *vm, const VmHooks *hooks, bool *out_done, char **out_name, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) failure = NULL;
    FinishState state = FINISH_AGAIN;

    for (unsigned tries = 0; state == FINISH_AGAIN && tries < FINISH_TRIES; tries++) {
        g_clear_error(&failure);
        state = finish_once(vm, hooks, tries + 1 < FINISH_TRIES, &name, &failure);
    }
    *out_done = state == FINISH_DONE || (state == FINISH_NOTHING && name);
    if (out_name)
        *out_name = g_steal_pointer(&name);
    if (!failure)
        return true;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* ---- what comes next ---- */

/* A removal that cannot be planned now is work all the same: vm_finish says why it fails. */
static char *next_work(Vm *vm, GPtrArray **out_targets, GError **error)
{
    g_autoptr(Observation) seen = NULL;
    g_autoptr(GError) failure = NULL;

    if (!(seen = vm_observe(vm, error)) ||
        (has_pending(vm) && !users_observe(vm, NULL, 0, seen, error)))
        return NULL;
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autoptr(Plan) plan = plan_next(catalog, seen, &failure);
    const Snapshot *snapshot = plan && plan->snapshot ? catalog_snapshot(catalog, plan->snapshot)
                                                      : pending_snapshot(catalog);

    if (failure && (!snapshot || snapshot->state != SNAPSHOT_REMOVING)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    if (!plan && !failure)
        return NULL;
    *out_targets = work_targets(catalog, plan, snapshot);
    return g_strdup(snapshot ? snapshot->name : "");
}

char *vm_next(Vm *vm, GPtrArray **out_targets, GError **error)
{
    return vm_open(vm, error) ? next_work(vm, out_targets, error) : NULL;
}

char *vm_next_at_once(Vm *vm, GPtrArray **out_targets, GError **error)
{
    return vm_open_at_once(vm, error) ? next_work(vm, out_targets, error) : NULL;
}
