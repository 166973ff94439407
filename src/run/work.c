/* What a work does once it is its turn, and how it is answered. */
#include "run/engine-priv.h"

#include "run/vm-beside.h"

#include <string.h>
#include <unistd.h>

/* ---- answering ---- */

/* From here on nobody finds it any more. True: its caller was told already. */
static bool forget_ticket(Engine *engine, EngineVm *vm, Work *work)
{
    g_mutex_lock(&engine->lock);
    bool answered = work->answered;
    g_hash_table_remove(engine->tickets, &work->ticket);
    if (vm && vm->running == work)
        vm->running = NULL;
    if (vm && vm->watching)
        g_cond_broadcast(&vm->changed);
    g_mutex_unlock(&engine->lock);
    return answered;
}

void work_answer(Engine *engine, EngineVm *vm, Work *work, const GError *error)
{
    if (work->kind == WORK_REQUEST && !forget_ticket(engine, vm, work)) {
        const Request *request = work->request;

        if (error || request->kind != REQUEST_READ)
            errors_operation(engine, vm, request->uid, request->pid, request->operation, error,
                             work->since);
        stats_count_request(&engine->stats, request->kind, error != NULL);
        if (work->done)
            work->done(error, work->data);
    }
    work_free(work);
}

void work_answer_task(Engine *engine, EngineVm *vm, Work *work)
{
    g_autoptr(GError) outcome = g_steal_pointer(&work->outcome);

    work_answer(engine, vm, work, outcome);
}

/* ---- snapshots ---- */

/* No refusal does, and no disorder that is over before the first effect. */
static bool may_leave_something(const GError *error)
{
    return error_is(error, ERR_IO) || error_is(error, ERR_NO_SPACE) || error_is(error, ERR_TIMEOUT);
}

static void note_failure(EngineVm *vm, const GError *error)
{
    if (error_is(error, ERR_HOST_DOWN))
        host_lost(vm->engine, error->message);
    retry_unusable(vm, error);
    if (may_leave_something(error))
        refresh_now(vm, false); /* a snapshot that is failed is listed when its mkdir is answered */
    g_mutex_lock(&vm->engine->lock);
    refresh_soon_locked(vm);
    if (may_leave_something(error))
        orphans_look_soon_locked(vm->engine);
    g_mutex_unlock(&vm->engine->lock);
}

bool work_is_interrupted(void *data)
{
    const WorkRunning *running = data;
    Engine *engine = running->vm->engine;

    g_mutex_lock(&engine->lock);
    bool interrupted = engine->stopping || g_atomic_int_get(&running->work->interrupted);
    running->work->begun |= !interrupted;
    g_mutex_unlock(&engine->lock);
    return interrupted;
}

static void set_changing(EngineVm *vm, bool changing)
{
    g_mutex_lock(&vm->engine->lock);
    vm->changing = changing;
    g_mutex_unlock(&vm->engine->lock);
}

bool work_check_idle(EngineVm *vm, GError **error)
{
    g_mutex_lock(&vm->engine->lock);
    EngineJob *job = merge_running_locked(vm);
    if (job)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "Job %u of VM %s is merging snapshot %s; wait for it (cat wait) or cancel it",
                    engine_job_id(job), vm->name, engine_job_target(job));
    g_mutex_unlock(&vm->engine->lock);
    return !job;
}

static void hook_trouble(const GError *error, void *data)
{
    const WorkRunning *running = data;
    const Request *request = running->work->request;

    errors_operation(running->vm->engine, running->vm, request->uid, request->pid,
                     request->operation, error, running->work->since);
}

static bool run_create(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;
    WorkRunning running = {vm, work};
    const VmHooks hooks = {
        .interrupted = work_is_interrupted, .trouble = hook_trouble, .data = &running};

    if (!work_check_idle(vm, error) || !thaw_check(vm, error))
        return false;
    set_changing(vm, true);
    bool created = vm_create(vm->vm, request->name, request->text, request->uid, request->mode,
                             request->operation, &hooks, error);
    set_changing(vm, false);
    thaw_watch(vm);
    return created;
}

static void tell_reverted(EngineVm *vm, const char *name)
{
    g_autoptr(VmView) view = engine_vm_view(vm);

    engine_emit(vm->engine, CHANGE_VM, vm->uuid,
                event_make("reverted", view, "snapshot", name, NULL));
}

/* policy/start: the revert is answered, as always, when the VM can start; its start is a request of
 * its own, which comes next and whose failure is told in `errors`. */
static void start_reverted(EngineVm *vm, const Request *revert)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    g_autofree char *name = engine_vm_name(vm);

    if (strcmp(catalog_policy(catalog, "start"), "1") != 0)
        return;
    Request *request = request_new(REQUEST_POWER, vm->uuid);
    request->text = g_strdup("running");
    request->uid = revert->uid;
    request->pid = revert->pid;
    request->operation = g_strdup_printf("start %s after its revert", name);
    engine_submit(vm->engine, request, NULL, NULL);
}

static bool run_revert(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;
    WorkRunning running = {vm, work};
    const VmHooks hooks = {.interrupted = work_is_interrupted,
                           .trouble = hook_trouble,
                           .data = &running,
                           .answer_by = work->answer_by};
    g_autoptr(GError) cause = NULL;

    if (!work_check_idle(vm, error))
        return false;
    set_changing(vm, true);
    bool reverted = vm_revert(vm->vm, request->name, request->operation, &hooks, error);
    set_changing(vm, false);
    if (!reverted)
        return false;
    if (!merge_adopt(vm, &cause))
        host_open_failed(vm, cause, work->since);
    refresh_now(vm, true);
    tell_reverted(vm, request->name);
    start_reverted(vm, request);
    return true;
}

/* ---- adopting ---- */

static bool run_adopt(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;
    WorkRunning running = {vm, work};
    const VmHooks hooks = {.interrupted = work_is_interrupted, .data = &running};
    g_autoptr(GError) cause = NULL;

    if (!work_check_idle(vm, error) ||
        !vm_adopt(vm->vm, request->uid, request->mode, request->operation, &hooks, error))
        return false;
    /* Hidden snapshots may have come to be needed no more. */
    if (!merge_adopt(vm, &cause))
        host_open_failed(vm, cause, work->since);
    return true;
}

/* ---- removing ---- */

static bool is_being_removed(EngineVm *vm, EngineJob *job)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    const Snapshot *snapshot = catalog_snapshot(catalog, job_snapshot(job));

    return !snapshot || snapshot->state == SNAPSHOT_REMOVING;
}

static void queue_finish(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    queue_finish_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
}

/* Wait for @job with the answer; false if it has ended already, with its error, or if the caller
 * cannot wait. */
static bool wait_for_job(EngineVm *vm, EngineJob *job, Work *work, GError **error)
{
    g_mutex_lock(&vm->engine->lock);
    bool runs = engine_job_state(job) == JOB_RUNNING;
    bool stays = runs && !g_atomic_int_get(&work->interrupted);
    if (stays)
        job_add_waiter_locked(job, work, false);
    g_mutex_unlock(&vm->engine->lock);
    GError *ended = runs ? NULL : job_error(job);
    if (ended)
        g_propagate_error(error, ended);
    return stays;
}

/* The snapshot is gone from the list: hidden by need, or on its way out with @job. Returns whether
 * the answer is the job's. */
static bool removal_accepted(EngineVm *vm, EngineJob *job, Work *work, bool has_work,
                             GError **error)
{
    bool has_job = job && has_work && is_being_removed(vm, job);

    /* Who waits from now on waits for this attempt, and is not told of those before it. */
    merge_dismiss_failed(vm, work->request->name, job ? job_snapshot(job) : NULL);
    if (has_job) {
        merge_accept(vm, job);
    } else {
        if (job)
            merge_forget_draft(vm, job);
        if (has_work)
            queue_finish(vm);
    }
    refresh_now(vm, false);
    return has_job && work->request->sync && wait_for_job(vm, job, work, error);
}

static bool run_remove(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;
    g_autoptr(EngineJob) job = merge_draft(vm, request);
    g_autoptr(GError) failure = NULL;
    bool has_work = false;

    if (vm_remove_beside(vm->vm, request->name, request->operation, &has_work, &failure))
        return !removal_accepted(vm, job, work, has_work, error);
    if (job)
        merge_forget_draft(vm, job);
    note_failure(vm, failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    merge_take_up(vm);
    return true;
}

/* ---- the rest ---- */

static bool run_rename(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;

    return vm_rename(vm->vm, request->name, request->new_name, request->operation, error);
}

static bool run_describe(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;

    return vm_describe(vm->vm, request->name, request->text, request->operation, error);
}

static bool run_mode(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;

    return vm_set_mode(vm->vm, request->name, request->mode, request->operation, error);
}

static bool run_policy(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;

    return vm_set_policy(vm->vm, request->name, request->text, request->operation, error);
}

/* What each kind is: the rest of the kinds never comes into a queue. */
static const struct {
    bool (*run)(EngineVm *vm, Work *work, GError **error);
    bool observe; /* what it changes is seen only by asking libvirt again */
} kinds[] = {
    [REQUEST_CREATE] = {run_create, true},
    [REQUEST_RENAME] = {run_rename, false},
    [REQUEST_REVERT] = {run_revert, true},
    [REQUEST_DESCRIBE] = {run_describe, false},
    [REQUEST_MODE] = {run_mode, false},
    [REQUEST_POLICY] = {run_policy, false},
    [REQUEST_POWER] = {power_run, true},
    [REQUEST_ADOPT] = {run_adopt, true},
    [REQUEST_MOVE] = {life_move, true},
    [REQUEST_SET_VARS] = {vars_run_set, true},
    [REQUEST_RESET_VARS] = {vars_run_reset, true},
    [REQUEST_EXPUNGE] = {life_expunge, false},
};

static void run_simple(EngineVm *vm, Work *work, GError **error)
{
    g_autoptr(GError) failure = NULL;
    RequestKind kind = work->request->kind;

    bool done = kinds[kind].run(vm, work, &failure);

    retry_left(vm, failure);
    if (done) {
        if (kind != REQUEST_REVERT && kind != REQUEST_EXPUNGE)
            refresh_now(vm, kinds[kind].observe);
        return;
    }
    note_failure(vm, failure);
    g_propagate_error(error, g_steal_pointer(&failure));
}

static bool run_request(EngineVm *vm, Work *work, GError **error)
{
    if (g_atomic_int_get(&work->interrupted)) {
        g_autofree char *name = engine_vm_name(vm);
        g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED,
                    "The caller was interrupted before anything was changed on VM %s", name);
        return true;
    }
    if (work->request->kind == REQUEST_REMOVE)
        return run_remove(vm, work, error);
    run_simple(vm, work, error);
    merge_take_up(vm);
    return true;
}

bool work_run(EngineVm *vm, Work *work, GError **error)
{
    switch (work->kind) {
    case WORK_OPEN:
        host_open_vm(vm);
        return true;
    case WORK_FINISH:
        merge_run(vm);
        return true;
    case WORK_REQUEST:
        return run_request(vm, work, error);
    }
    return true;
}

/* ---- job requests ---- */

static EngineJob *find_job_locked(EngineVm *vm, unsigned id, GError **error)
{
    for (guint i = 0; i < vm->jobs->len; i++)
        if (job_is_shown(vm->jobs->pdata[i]) && engine_job_id(vm->jobs->pdata[i]) == id)
            return job_ref(vm->jobs->pdata[i]);
    g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no job %u", vm->name, id);
    return NULL;
}

typedef enum { DROP_REFUSED, DROP_DISMISSED, DROP_UNBEGUN, DROP_WAITS } DropResult;

static DropResult drop_locked(EngineVm *vm, EngineJob *job, Work *work, GError **error)
{
    if (engine_job_state(job) != JOB_RUNNING) {
        g_ptr_array_remove(vm->jobs, job);
        engine_vm_publish_jobs_locked(vm);
        return DROP_DISMISSED;
    }
    if (!job_is_merge(job)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "Job %u of VM %s cannot be cancelled: it ends when the guest was seen thawed, "
                    "or the VM is off",
                    engine_job_id(job), vm->name);
        return DROP_REFUSED;
    }
    if (!vm->engine->up) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_HOST_DOWN,
                    "Job %u of VM %s cannot be cancelled while libvirt cannot be reached: %s",
                    engine_job_id(job), vm->name, vm->engine->problem);
        return DROP_REFUSED;
    }
    if (!job_is_begun(job)) {
        g_hash_table_add(vm->cancelled, g_strdup(engine_job_target(job)));
        return DROP_UNBEGUN;
    }
    work->answer_by = g_get_monotonic_time() + vm->engine->cancel_wait_ms * G_TIME_SPAN_MILLISECOND;
    job_set_cancelled(job, true);
    job_add_waiter_locked(job, work, true);
    queue_watch_locked(vm);
    engine_vm_wake_locked(vm);
    return DROP_WAITS;
}

static void end_unbegun(EngineVm *vm, EngineJob *job)
{
    g_autoptr(GError) error =
        g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                    "The merge of snapshot %s was cancelled before it began; the snapshot comes "
                    "back when its turn comes",
                    engine_job_target(job));

    merge_end(vm, job, JOB_CANCELLED, error);
}

static void tell_job(EngineVm *vm, const char *type, EngineJob *job)
{
    g_autoptr(VmView) view = engine_vm_view(vm);

    engine_emit(vm->engine, CHANGE_JOBS, vm->uuid, event_of_job(type, view, job));
}

void work_drop_job(Engine *engine, EngineVm *vm, Work *work)
{
    g_autoptr(GError) error = NULL;
    DropResult result = DROP_REFUSED;

    g_mutex_lock(&engine->lock);
    g_autoptr(EngineJob) job = find_job_locked(vm, work->request->job, &error);
    if (job)
        result = drop_locked(vm, job, work, &error);
    g_mutex_unlock(&engine->lock);
    if (result == DROP_UNBEGUN)
        end_unbegun(vm, job);
    if (result == DROP_DISMISSED)
        tell_job(vm, "job-dismissed", job);
    if (result != DROP_WAITS)
        work_answer(engine, vm, work, error);
}

static bool waits_for_limit(const EngineVm *vm, EngineJob *job)
{
    return !vm->engine->stopping && engine_job_state(job) == JOB_RUNNING && job_is_begun(job) &&
           !job_is_limited(job);
}

/* Who wrote a limit is answered when it is in force. A merge that has not begun begins with it. */
static void wait_until_limited_locked(EngineVm *vm, EngineJob *job, GError **error)
{
    int64_t deadline =
        g_get_monotonic_time() + vm->engine->cancel_wait_ms * G_TIME_SPAN_MILLISECOND;

    while (waits_for_limit(vm, job))
        if (!g_cond_wait_until(&vm->changed, &vm->engine->lock, deadline))
            break;
    if (waits_for_limit(vm, job))
        g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT,
                    "Job %u of VM %s does not keep to the new limit yet, libvirt does not answer; "
                    "it stays asked for",
                    engine_job_id(job), vm->name);
}

void work_set_bandwidth(Engine *engine, EngineVm *vm, Work *work)
{
    g_autoptr(GError) error = NULL;

    g_mutex_lock(&engine->lock);
    g_autoptr(EngineJob) job = find_job_locked(vm, work->request->job, &error);
    if (job && engine_job_state(job) != JOB_RUNNING)
        g_set_error(&error, VMSNAPFS_ERROR, ERR_INVALID, "Job %u of VM %s has ended",
                    engine_job_id(job), vm->name);
    if (job && !error && !job_is_merge(job))
        g_set_error(&error, VMSNAPFS_ERROR, ERR_INVALID,
                    "Job %u of VM %s moves no data and has no bandwidth", engine_job_id(job),
                    vm->name);
    if (job && !error) {
        merge_limit_locked(vm, job, work->request->number);
        engine_vm_wake_locked(vm);
        wait_until_limited_locked(vm, job, &error);
    }
    g_mutex_unlock(&engine->lock);
    if (!error)
        tell_job(vm, "job-limited", job);
    work_answer(engine, vm, work, error);
}
