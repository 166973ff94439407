/* The order of work on one VM.
 *
 * Requests run one at a time as they came. A merge may take hours, so it alone is treated
 * differently: labels and removals run beside it, in a lane of their own and in order among
 * themselves; power requests go ahead of merges that wait and park the one that runs (a live block
 * job goes on in QEMU meanwhile; qemu-img is stopped, since the VM may be about to start). */
#include "run/engine-priv.h"

Work *work_new(WorkKind kind, Request *request, EngineDone done, void *data)
{
    Work *work = g_new0(Work, 1);

    work->kind = kind;
    work->request = request;
    work->done = done;
    work->data = data;
    work->since = g_get_monotonic_time();
    return work;
}

void work_free(Work *work)
{
    request_free(work->request);
    g_clear_error(&work->outcome);
    g_free(work);
}

static bool is_power(const Work *work)
{
    return work->kind == WORK_REQUEST && work->request->kind == REQUEST_POWER;
}

/* May it run beside a merge? */
static bool may_run_beside(const Work *work)
{
    if (work->kind != WORK_REQUEST)
        return false;
    switch (work->request->kind) {
    case REQUEST_RENAME:
    case REQUEST_REMOVE:
    case REQUEST_DESCRIBE:
    case REQUEST_MODE:
    case REQUEST_POLICY:
        return true;
    case REQUEST_CREATE:
    case REQUEST_REVERT:
    case REQUEST_POWER:
    case REQUEST_JOB_DROP:
    case REQUEST_JOB_BANDWIDTH:
    case REQUEST_ADOPT:
    case REQUEST_MOVE:
    case REQUEST_EXPUNGE:
    case REQUEST_RESCAN:
    case REQUEST_FREE:
    case REQUEST_READ:
    case REQUEST_SET_VARS:
    case REQUEST_RESET_VARS:
    case REQUEST_KINDS:
        return false;
    }
    return false;
}

static GList *first_finish(EngineVm *vm)
{
    GList *link = vm->queue.head;

    while (link && ((Work *)link->data)->kind != WORK_FINISH)
        link = link->next;
    return link;
}

/* ---- giving up ---- */

void queue_refuse_locked(EngineVm *vm, Work *work, GError *error)
{
    g_queue_remove(&vm->queue, work);
    work->queued = false;
    work->outcome = error;
    engine_push_locked(vm->engine, work_answer_task, vm, work);
}

void queue_answer_early_locked(Engine *engine, EngineVm *vm, Work *work, GError *error)
{
    Request *request = request_new(work->request->kind, work->request->vm);
    Work *answer = work_new(WORK_REQUEST, request, work->done, work->data);

    request->uid = work->request->uid;
    request->pid = work->request->pid;
    request->operation = g_strdup(work->request->operation);
    answer->since = work->since;
    answer->outcome = error;
    work->answered = true;
    g_atomic_int_set(&work->interrupted, 1);
    g_hash_table_remove(engine->tickets, &work->ticket);
    engine_push_locked(engine, work_answer_task, vm, answer);
}

/* Only what asks before its first effect whether it is still wanted. */
static bool has_not_begun(const EngineVm *vm, const Work *work)
{
    return vm->running == work && !work->begun && !work->answered &&
           (work->request->kind == REQUEST_CREATE || work->request->kind == REQUEST_REVERT ||
            work->request->kind == REQUEST_MOVE || work->request->kind == REQUEST_EXPUNGE);
}

void queue_give_up_locked(EngineVm *vm, Work *work, GError *error)
{
    if (work->queued)
        queue_refuse_locked(vm, work, error);
    else if (has_not_begun(vm, work))
        queue_answer_early_locked(vm->engine, vm, work, error);
    else
        g_error_free(error);
}

void queue_refuse_all_locked(EngineVm *vm, const GError *error)
{
    Work *work = NULL;

    while ((work = g_queue_peek_head(&vm->queue)))
        queue_refuse_locked(vm, work, g_error_copy(error));
    if (vm->running)
        queue_give_up_locked(vm, vm->running, g_error_copy(error));
}

/* ---- who cannot wait long ---- */

static Work *sooner(Work *first, Work *work)
{
    return work->answer_by && (!first || work->answer_by < first->answer_by) ? work : first;
}

/* In the queue, not yet begun, or waiting for a job to stop. */
static Work *first_due(EngineVm *vm)
{
    Work *first = vm->running && has_not_begun(vm, vm->running) ? vm->running : NULL;

    for (GList *link = vm->queue.head; link; link = link->next)
        first = sooner(first, link->data);
    for (guint i = 0; i < vm->jobs->len; i++) {
        const GPtrArray *droppers = job_droppers_locked(vm->jobs->pdata[i]);
        for (guint j = 0; j < droppers->len; j++)
            first = sooner(first, droppers->pdata[j]);
    }
    return first;
}

static GError *waited_error(const EngineVm *vm, const Work *work)
{
    if (work->queued)
        return g_error_new(VMSNAPFS_ERROR, ERR_BUSY,
                           "VM %s was busy with another operation for too long; nothing was "
                           "changed, try again when that has ended",
                           vm->name);
    return g_error_new(VMSNAPFS_ERROR, ERR_TIMEOUT,
                       "VM %s was not changed: libvirt or the VM's storage does not answer; look "
                       "at its status and at libvirt's log, and try again when they do",
                       vm->name);
}

static GError *cancel_error(EngineVm *vm, const Work *work)
{
    return g_error_new(VMSNAPFS_ERROR, ERR_TIMEOUT,
                       "Job %u of VM %s has not stopped in time, libvirt or the storage does not "
                       "answer; it stays asked for, and the job ends as soon as it can",
                       work->request->job, vm->name);
}

static void refuse_due_locked(EngineVm *vm, Work *work)
{
    if (merge_take_waiter_locked(vm, work))
        queue_refuse_locked(vm, work, cancel_error(vm, work));
    else
        queue_give_up_locked(vm, work, waited_error(vm, work));
}

static void watch_queue(Engine *engine, EngineVm *vm, Work *unused)
{
    Work *due = NULL;

    g_mutex_lock(&engine->lock);
    while ((due = first_due(vm)))
        if (g_get_monotonic_time() >= due->answer_by)
            refuse_due_locked(vm, due);
        else
            g_cond_wait_until(&vm->changed, &engine->lock, due->answer_by);
    vm->watching = false;
    g_mutex_unlock(&engine->lock);
}

void queue_watch_locked(EngineVm *vm)
{
    if (vm->watching || !first_due(vm))
        return;
    vm->watching = true;
    engine_push_locked(vm->engine, watch_queue, vm, NULL);
}

/* ---- in and out ---- */

void queue_add_locked(EngineVm *vm, Work *work)
{
    GList *finish = is_power(work) ? first_finish(vm) : NULL;

    work->queued = true;
    if (finish)
        g_queue_insert_before(&vm->queue, finish, work);
    else
        g_queue_push_tail(&vm->queue, work);
    if (vm->main_merges && is_power(work)) {
        vm->yield = true;
        engine_vm_wake_locked(vm);
    }
    queue_start_locked(vm);
    queue_watch_locked(vm);
}

void queue_finish_locked(EngineVm *vm)
{
    if (!first_finish(vm) && !vm->engine->stopping)
        queue_add_locked(vm, work_new(WORK_FINISH, NULL, NULL, NULL));
}

/* The next for the side lane: nothing may overtake what cannot run beside a merge. */
static Work *next_beside(EngineVm *vm)
{
    for (GList *link = vm->queue.head; link; link = link->next) {
        Work *work = link->data;
        if (may_run_beside(work))
            return work;
        if (work->kind != WORK_FINISH)
            return NULL;
    }
    return NULL;
}

static void leave_lane(Engine *engine, EngineVm *vm, bool *lane)
{
    g_mutex_lock(&engine->lock);
    *lane = false;
    if (lane == &vm->main)
        vm->running = NULL; /* one that its job answers */
    vm->main_merges &= vm->main;
    queue_start_locked(vm);
    g_mutex_unlock(&engine->lock);
}

static void run_request(Engine *engine, EngineVm *vm, Work *work)
{
    g_autoptr(GError) error = NULL;

    if (work_run(vm, work, &error))
        work_answer(engine, vm, work, error);
}

static void run_main(Engine *engine, EngineVm *vm, Work *work)
{
    run_request(engine, vm, work);
    leave_lane(engine, vm, &vm->main);
}

static void run_side(Engine *engine, EngineVm *vm, Work *work)
{
    run_request(engine, vm, work);
    leave_lane(engine, vm, &vm->side);
}

static void put_in_lane(EngineVm *vm, Work *work, bool *lane, EngineTask run)
{
    g_queue_remove(&vm->queue, work);
    work->queued = false;
    *lane = true;
    if (lane == &vm->main && work->kind == WORK_REQUEST)
        vm->running = work;
    vm->main_merges |= work->kind == WORK_FINISH;
    engine_push_locked(vm->engine, run, vm, work);
}

void queue_start_locked(EngineVm *vm)
{
    Work *work = NULL;

    if (vm->engine->stopping || vm->side)
        return;
    if (!vm->main && (work = g_queue_peek_head(&vm->queue)))
        put_in_lane(vm, work, &vm->main, run_main);
    if (vm->main_merges && (work = next_beside(vm)))
        put_in_lane(vm, work, &vm->side, run_side);
}
