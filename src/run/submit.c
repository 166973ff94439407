/* Taking requests: what is refused at once, what goes into a VM's queue, what runs beside it. */
#include "run/engine-priv.h"

Request *request_new(RequestKind kind, const char *vm_uuid)
{
    Request *request = g_new0(Request, 1);

    request->kind = kind;
    request->vm = g_strdup(vm_uuid);
    return request;
}

void request_free(Request *request)
{
    if (!request)
        return;
    g_free(request->vm);
    g_free(request->name);
    g_free(request->new_name);
    g_free(request->text);
    g_free(request->operation);
    g_clear_pointer(&request->content, g_bytes_unref);
    g_free(request);
}

const char *request_kind_name(RequestKind kind)
{
    static const char *const names[] = {
        [REQUEST_CREATE] = "create",
        [REQUEST_RENAME] = "rename",
        [REQUEST_REMOVE] = "remove",
        [REQUEST_REVERT] = "revert",
        [REQUEST_DESCRIBE] = "describe",
        [REQUEST_MODE] = "mode",
        [REQUEST_POLICY] = "policy",
        [REQUEST_POWER] = "power",
        [REQUEST_JOB_DROP] = "job_drop",
        [REQUEST_JOB_BANDWIDTH] = "job_bandwidth",
        [REQUEST_RESCAN] = "rescan",
        [REQUEST_ADOPT] = "adopt",
        [REQUEST_FREE] = "free",
        [REQUEST_MOVE] = "move",
        [REQUEST_READ] = "read",
        [REQUEST_SET_VARS] = "set_vars",
        [REQUEST_RESET_VARS] = "reset_vars",
        [REQUEST_EXPUNGE] = "expunge",
    };

    G_STATIC_ASSERT(G_N_ELEMENTS(names) == REQUEST_KINDS);
    return names[kind];
}

/* For a caller who does not say what he calls it. */
static char *describe_locked(EngineVm *vm, const Request *request)
{
    return g_strdup_printf("%s %s%s%s", request_kind_name(request->kind), vm ? vm->name : "(no VM)",
                           request->name ? " " : "", request->name ? request->name : "");
}

/* What runs beside everything else: it changes no chain. NULL: it goes into the VM's queue. */
static EngineTask task_beside(const Work *work)
{
    RequestKind kind = work->request->kind;

    return kind == REQUEST_JOB_DROP        ? work_drop_job
           : kind == REQUEST_JOB_BANDWIDTH ? work_set_bandwidth
           : kind == REQUEST_RESCAN        ? work_rescan
           : kind == REQUEST_FREE          ? orphans_free
           : kind == REQUEST_READ          ? vars_read
                                           : NULL;
}

static bool waits_for_no_job(RequestKind kind)
{
    return kind == REQUEST_CREATE || kind == REQUEST_REVERT || kind == REQUEST_ADOPT ||
           kind == REQUEST_MOVE || kind == REQUEST_EXPUNGE || kind == REQUEST_SET_VARS ||
           kind == REQUEST_RESET_VARS;
}

static GError *refuse_busy_locked(EngineVm *vm, const Work *work)
{
    EngineJob *job = merge_running_locked(vm);

    if (!job || !waits_for_no_job(work->request->kind))
        return NULL;
    return g_error_new(
        VMSNAPFS_ERROR, ERR_BUSY,
        "Job %u of VM %s is merging snapshot %s; wait for it (cat wait) or cancel it",
        engine_job_id(job), vm->name, engine_job_target(job));
}

/* What needs no waiting to be refused; NULL if the request can be taken. */
static GError *refuse_locked(Engine *engine, EngineVm *vm, const Work *work)
{
    if (engine->stopping || !engine->pool)
        return g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                           "The daemon does not take requests %s; ask again when it runs",
                           engine->stopping ? "any more" : "yet");
    if (work->request->kind == REQUEST_FREE)
        return engine->up && !engine->remote
                   ? NULL
                   : g_error_new(VMSNAPFS_ERROR, engine->remote ? ERR_READ_ONLY : ERR_HOST_DOWN,
                                 "%s cannot be removed: %s", work->request->text, engine->problem);
    if (!vm)
        return g_error_new(VMSNAPFS_ERROR, ERR_NOT_FOUND, "There is no VM with uuid %s",
                           work->request->vm ? work->request->vm : "(none)");
    if (!vm->present)
        return g_error_new(VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s is not there any more", vm->name);
    if (engine->remote)
        return g_error_new(VMSNAPFS_ERROR, ERR_READ_ONLY, "VM %s cannot be changed: %s", vm->name,
                           engine->remote);
    if (work->request->kind == REQUEST_READ)
        return NULL;
    if (!engine->up && work->request->kind != REQUEST_JOB_DROP)
        return g_error_new(VMSNAPFS_ERROR, ERR_HOST_DOWN,
                           "VM %s cannot be changed while libvirt cannot be reached: %s", vm->name,
                           engine->problem);
    return refuse_busy_locked(vm, work);
}

/* Meanwhile the kernel holds a directory in which much is looked up (design 2.4). */
static bool has_to_be_quick(RequestKind kind)
{
    return kind == REQUEST_REVERT || kind == REQUEST_MOVE || kind == REQUEST_EXPUNGE;
}

static void take_locked(Engine *engine, EngineVm *vm, Work *work)
{
    unsigned wait_ms =
        has_to_be_quick(work->request->kind) ? engine->revert_wait_ms : engine->answer_wait_ms;

    work->answer_by = work->since + wait_ms * G_TIME_SPAN_MILLISECOND;
    g_hash_table_insert(engine->tickets, &work->ticket, work);
    if (task_beside(work))
        engine_push_locked(engine, task_beside(work), vm, work);
    else
        queue_add_locked(vm, work);
}

uint64_t engine_submit(Engine *engine, Request *request, EngineDone done, void *data)
{
    Work *work = work_new(WORK_REQUEST, request, done, data);

    g_mutex_lock(&engine->lock);
    uint64_t ticket = work->ticket = ++engine->last_ticket;
    EngineVm *vm = request->vm ? g_hash_table_lookup(engine->vms, request->vm) : NULL;
    if (!request->operation)
        request->operation = describe_locked(vm, request);
    g_autoptr(GError) refusal = refuse_locked(engine, vm, work);
    if (vm)
        engine_vm_ref(vm);
    if (!refusal)
        take_locked(engine, vm, work);
    g_mutex_unlock(&engine->lock);

    if (refusal)
        work_answer(engine, vm, work, refusal);
    engine_vm_unref(vm);
    return ticket;
}

/* The removal is accepted, and nothing of it is undone; who gave up waiting for its merge (sync) is
 * told that it worked, and the merge goes on. */
static bool stop_waiting_locked(EngineVm *vm, Work *work)
{
    if (work->request->kind != REQUEST_REMOVE || !merge_take_waiter_locked(vm, work))
        return false;
    g_autofree char *operation = g_steal_pointer(&work->request->operation);
    work->request->operation =
        g_strconcat(operation, " (interrupted; its merge goes on as a job)", NULL);
    queue_refuse_locked(vm, work, NULL);
    return true;
}

void engine_interrupt(Engine *engine, uint64_t ticket)
{
    g_mutex_lock(&engine->lock);
    Work *work = g_hash_table_lookup(engine->tickets, &ticket);
    EngineVm *vm = work ? g_hash_table_lookup(engine->vms, work->request->vm) : NULL;
    if (work)
        g_atomic_int_set(&work->interrupted, 1);
    if (vm && !stop_waiting_locked(vm, work))
        queue_give_up_locked(vm, work,
                             g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                                         "The caller was interrupted before anything was changed "
                                         "on VM %s",
                                         vm->name));
    if (vm)
        engine_vm_wake_locked(vm);
    g_mutex_unlock(&engine->lock);
}
