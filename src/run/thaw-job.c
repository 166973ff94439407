/* The job of a guest that was frozen, or may still come to be, and was not seen thawed. It runs
 * beside whatever is done with the VM, and looks again when something happens to the VM and after a
 * while. */
#include "run/engine-priv.h"

#include "run/vm-thaw.h"

#include <string.h>
#include <unistd.h>

#define LONGEST_MS 10000 /* a guest that wakes up and freezes shall not stand still for long */

static EngineJob *running_locked(EngineVm *vm)
{
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *job = vm->jobs->pdata[i];
        if (!job_is_merge(job) && engine_job_state(job) == JOB_RUNNING)
            return job;
    }
    return NULL;
}

/* The first failure is told; that it goes on, `status` and the job say. */
static void note_failure(EngineVm *vm, const GError *error, unsigned failures)
{
    g_autofree char *name = engine_vm_name(vm);
    g_autofree char *operation = g_strdup_printf("thaw %s", name);

    if (error_is(error, ERR_HOST_DOWN))
        host_lost(vm->engine, error->message);
    if (failures == 0)
        errors_operation(vm->engine, vm, getuid(), getpid(), operation, error,
                         g_get_monotonic_time());
}

/* Until something happens to the VM, at most for a while. False: it is not to be asked again. */
static bool wait_for_next(EngineVm *vm, unsigned failures)
{
    Engine *engine = vm->engine;
    uint64_t wait = MIN((uint64_t)engine->retry_ms << MIN(failures, 16), LONGEST_MS);
    int64_t until = g_get_monotonic_time() + (int64_t)wait * G_TIME_SPAN_MILLISECOND;

    g_mutex_lock(&engine->lock);
    uint64_t seen = vm->event;
    while (!engine->stopping && vm->present && vm->event == seen &&
           g_cond_wait_until(&vm->changed, &engine->lock, until))
        ;
    bool again = !engine->stopping && vm->present;
    g_mutex_unlock(&engine->lock);
    return again;
}

static bool thaw_at_last(EngineVm *vm)
{
    for (unsigned failures = 0;; failures++) {
        g_autoptr(GError) error = NULL;

        if (vm_thaw(vm->vm, &error))
            return true;
        note_failure(vm, error, failures);
        if (!wait_for_next(vm, failures))
            return false;
    }
}

/* A VM that is gone has no guest; if it comes back, its catalog still says what is owed. */
static void end_gone(EngineVm *vm, EngineJob *job)
{
    g_autoptr(GError) error =
        g_error_new(VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s is not defined in libvirt any more",
                    engine_job_target(job));

    merge_end(vm, job, JOB_CANCELLED, error);
}

/* A daemon that ends leaves it to the next one. */
static void run_job(Engine *engine, EngineVm *vm, Work *unused)
{
    g_mutex_lock(&engine->lock);
    g_autoptr(EngineJob) job = job_ref(running_locked(vm));
    g_mutex_unlock(&engine->lock);
    bool thawed = thaw_at_last(vm);

    g_mutex_lock(&engine->lock);
    bool stopping = engine->stopping;
    g_mutex_unlock(&engine->lock);
    if (thawed) {
        refresh_now(vm, false);
        merge_end(vm, job, JOB_DONE, NULL);
    } else if (!stopping) {
        end_gone(vm, job);
    }
}

void thaw_watch(EngineVm *vm)
{
    Engine *engine = vm->engine;
    g_autoptr(EngineJob) job = NULL;

    if (engine->remote || !vm_owes_thaw(vm->vm))
        return;
    g_mutex_lock(&engine->lock);
    if (!running_locked(vm) && !engine->stopping) {
        job = job_new(JOB_THAW, ++engine->last_job, vm->uuid, vm->name, NULL, NULL, 0);
        job_set_owner(job, getuid(), getpid());
        g_ptr_array_add(vm->jobs, job_ref(job));
        engine_push_locked(engine, run_job, vm, NULL);
    }
    g_mutex_unlock(&engine->lock);
    if (job)
        merge_show(vm, job);
}

static bool would_freeze(EngineVm *vm)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    g_autoptr(VmView) view = engine_vm_view(vm);

    return strcmp(view->state, "running") == 0 &&
           strcmp(catalog_policy(catalog, "quiesce"), "off") != 0;
}

bool thaw_check(EngineVm *vm, GError **error)
{
    bool freeze = would_freeze(vm);

    g_mutex_lock(&vm->engine->lock);
    EngineJob *job = freeze ? running_locked(vm) : NULL;
    if (job)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "Job %u of VM %s has to thaw the guest before it can be frozen again; wait for "
                    "it (cat wait), or write off to policy/quiesce",
                    engine_job_id(job), vm->name);
    g_mutex_unlock(&vm->engine->lock);
    return !job;
}
