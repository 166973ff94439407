/* One VM of the engine's table, and the pointers to what is published. */
#include "run/engine-priv.h"

/* So many finished jobs that went well are kept. */
#define DONE_KEPT 32

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
    vm_configure(vm->vm, engine->config);
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

static void forget_at_locked(Engine *engine, int64_t time)
{
    if (!engine->forget_at || time < engine->forget_at)
        engine->forget_at = time;
}

/* Newest first, so that the count is of the newest. */
static bool forget_old_jobs_locked(EngineVm *vm)
{
    int64_t now = g_get_monotonic_time();
    unsigned kept = 0;
    guint before = vm->jobs->len;

    for (guint i = vm->jobs->len; i-- > 0;) {
        EngineJob *job = vm->jobs->pdata[i];
        if (engine_job_state(job) != JOB_DONE)
            continue;
        int64_t until = job_ended(job) + vm->engine->done_kept_ms * G_TIME_SPAN_MILLISECOND;
        if (++kept > DONE_KEPT || now >= until)
            g_ptr_array_remove_index(vm->jobs, i);
        else
            forget_at_locked(vm->engine, until);
    }
    return vm->jobs->len < before;
}

static void tell_jobs(Engine *engine, EngineVm *vm, Work *unused)
{
    engine_emit(engine, CHANGE_JOBS, vm->uuid, NULL);
}

void engine_forget_jobs_locked(Engine *engine)
{
    GHashTableIter iter;
    gpointer vm;

    if (!engine->forget_at || g_get_monotonic_time() < engine->forget_at || engine->stopping)
        return;
    engine->forget_at = 0;
    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm)) {
        if (!forget_old_jobs_locked(vm))
            continue;
        engine_vm_publish_jobs_locked(vm);
        engine_push_locked(engine, tell_jobs, vm, NULL);
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
    g_clear_pointer(&engine->view, host_view_unref);
}

static HostView *view_everything_locked(Engine *engine)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)vm_view_unref);
    GHashTableIter iter;
    gpointer vm;

    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm))
        if (((EngineVm *)vm)->present && ((EngineVm *)vm)->shown)
            g_ptr_array_add(vms, vm_view_ref(((EngineVm *)vm)->view));
    return view_host(engine, vms);
}

HostView *engine_view_locked(Engine *engine)
{
    if (!engine->view)
        engine->view = view_everything_locked(engine);
    return engine->view;
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
