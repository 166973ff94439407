/* One VM of the engine's table, and the pointers to what is published. */
#include "run/engine-priv.h"

/* Finished jobs that went well are kept this long, and this many of them. */
#define DONE_KEPT_US (10 * 60 * G_USEC_PER_SEC)
#define DONE_KEPT    32

EngineVm *engine_vm_new(Engine *engine, const char *uuid, const char *name)
{
    EngineVm *vm = g_new0(EngineVm, 1);

    vm->references = 1;
    vm->engine = engine;
    vm->uuid = g_strdup(uuid);
    vm->name = g_strdup(name);
    vm->vm = vm_new(&engine->world, uuid, name);
    vm->jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);
    vm->cancelled = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_queue_init(&vm->queue);
    g_cond_init(&vm->changed);
    return vm;
}

EngineVm *engine_vm_ref(EngineVm *vm)
{
    g_atomic_int_inc(&vm->references);
    return vm;
}

void engine_vm_unref(EngineVm *vm)
{
    if (!vm || !g_atomic_int_dec_and_test(&vm->references))
        return;
    g_queue_clear_full(&vm->queue, (GDestroyNotify)work_free);
    vm_view_unref(vm->view);
    g_ptr_array_unref(vm->jobs);
    g_hash_table_unref(vm->cancelled);
    g_clear_pointer(&vm->observation, observation_free);
    vm_free(vm->vm);
    g_cond_clear(&vm->changed);
    g_free(vm->drift);
    g_free(vm->unseen);
    g_free(vm->unopened);
    g_free(vm->uuid);
    g_free(vm->name);
    g_free(vm);
}

char *engine_vm_name(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    char *name = g_strdup(vm->name);
    g_mutex_unlock(&vm->engine->lock);
    return name;
}

VmView *engine_vm_view(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    VmView *view = vm_view_ref(vm->view);
    g_mutex_unlock(&vm->engine->lock);
    return view;
}

void engine_vm_wake_locked(EngineVm *vm)
{
    vm->event = ++vm->engine->last_event;
    g_cond_broadcast(&vm->changed);
}

/* Newest first, so that the count is of the newest. There is no timer for this: an old job goes
 * with the next change of its VM. */
static void forget_old_jobs_locked(EngineVm *vm)
{
    int64_t now = g_get_monotonic_time();
    unsigned kept = 0;

    for (guint i = vm->jobs->len; i-- > 0;) {
        EngineJob *job = vm->jobs->pdata[i];
        if (engine_job_state(job) != JOB_DONE)
            continue;
        if (++kept > DONE_KEPT || now - job_ended(job) > DONE_KEPT_US)
            g_ptr_array_remove_index(vm->jobs, i);
    }
}

static GPtrArray *shown_jobs_locked(EngineVm *vm)
{
    GPtrArray *jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);

    forget_old_jobs_locked(vm);
    for (guint i = 0; i < vm->jobs->len; i++)
        if (job_is_shown(vm->jobs->pdata[i]))
            g_ptr_array_add(jobs, job_ref(vm->jobs->pdata[i]));
    return jobs;
}

void engine_publish_locked(Engine *engine)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_view_unref);
    HostView *old = engine->view;
    GHashTableIter iter;
    gpointer vm;

    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm))
        if (((EngineVm *)vm)->present && ((EngineVm *)vm)->shown)
            g_ptr_array_add(vms, vm_view_ref(((EngineVm *)vm)->view));
    engine->view = view_host(engine->uri, engine->up, engine->problem, vms);
    host_view_unref(old);
}

VmView *engine_vm_publish_locked(EngineVm *vm, VmView *view)
{
    VmView *old = vm->view;

    view_set_jobs(view, shown_jobs_locked(vm));
    vm->view = view;
    engine_publish_locked(vm->engine);
    return old;
}

void engine_vm_publish_jobs_locked(EngineVm *vm)
{
    vm_view_unref(engine_vm_publish_locked(vm, view_copy(vm->view)));
}
