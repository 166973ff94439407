/* The work that removals leave: one "finish" in the VM's queue that goes on until nothing is left,
 * something needs the lane, or libvirt is gone. Its jobs: merge-jobs.c. */
#include "run/engine-priv.h"

#include "base/str.h"

#include <string.h>

#define PROGRESS_INTERVAL_US G_USEC_PER_SEC

typedef struct {
    EngineVm *vm;
    EngineJob *job; /* NULL: it was cancelled before its turn and is only to be brought back */
} Merge;

/* ---- hooks ---- */

static bool is_needed_elsewhere(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    bool needed = vm->yield || vm->engine->stopping;
    g_mutex_unlock(&vm->engine->lock);
    return needed;
}

static bool is_cancelled(const Merge *merge)
{
    return !merge->job || job_is_cancelled(merge->job);
}

static bool hook_stop(void *data)
{
    const Merge *merge = data;

    return is_cancelled(merge) || is_needed_elsewhere(merge->vm);
}

static bool hook_park(void *data)
{
    const Merge *merge = data;

    return !is_cancelled(merge) && is_needed_elsewhere(merge->vm);
}

static void hook_progress(const char *target, uint64_t done, uint64_t total, bool finished,
                          void *data)
{
    const Merge *merge = data;
    EngineVm *vm = merge->vm;
    int64_t now = g_get_monotonic_time();

    if (!merge->job)
        return;
    job_set_progress(merge->job, target, done, total, finished);
    g_mutex_lock(&vm->engine->lock);
    bool due = now - vm->progress_at >= PROGRESS_INTERVAL_US;
    if (due)
        vm->progress_at = now;
    g_mutex_unlock(&vm->engine->lock);
    if (due)
        engine_emit(vm->engine, CHANGE_PROGRESS, vm->uuid, NULL);
}

static uint64_t hook_bandwidth(void *data)
{
    const Merge *merge = data;

    return merge->job ? engine_job_bandwidth(merge->job) : 0;
}

static void hook_limited(const char *target, uint64_t bandwidth, void *data)
{
    const Merge *merge = data;

    if (!merge->job || !job_set_limit(merge->job, target, bandwidth))
        return;
    g_mutex_lock(&merge->vm->engine->lock);
    g_cond_broadcast(&merge->vm->changed);
    g_mutex_unlock(&merge->vm->engine->lock);
}

/* vm.c may hold its lock here, so the view is built elsewhere. */
static void hook_recorded(void *data)
{
    const Merge *merge = data;

    g_mutex_lock(&merge->vm->engine->lock);
    refresh_soon_locked(merge->vm);
    g_mutex_unlock(&merge->vm->engine->lock);
}

/* Each lane waits in a thread of its own. An event that came between its last look and this wait
 * must not be missed: the thread remembers the newest event it has returned for. */
static GPrivate seen_event = G_PRIVATE_INIT(NULL);

static void hook_wait(unsigned milliseconds, void *data)
{
    const Merge *merge = data;
    EngineVm *vm = merge->vm;
    int64_t deadline = g_get_monotonic_time() + milliseconds * G_TIME_SPAN_MILLISECOND;
    uint64_t seen = (uint64_t)(uintptr_t)g_private_get(&seen_event);

    g_mutex_lock(&vm->engine->lock);
    while (vm->event <= seen && g_cond_wait_until(&vm->changed, &vm->engine->lock, deadline))
        ;
    seen = vm->engine->last_event;
    g_mutex_unlock(&vm->engine->lock);
    g_private_set(&seen_event, (gpointer)(uintptr_t)seen);
}

static VmHooks hooks_of(Merge *merge)
{
    return (VmHooks){.stop = hook_stop,
                     .park = hook_park,
                     .progress = hook_progress,
                     .bandwidth = hook_bandwidth,
                     .limited = hook_limited,
                     .recorded = hook_recorded,
                     .wait = hook_wait,
                     .data = merge};
}

/* ---- one piece of work ---- */

static EngineJob *begin_job(EngineVm *vm, const char *name, const GPtrArray *targets)
{
    g_mutex_lock(&vm->engine->lock);
    bool cancelled = g_hash_table_remove(vm->cancelled, name);
    g_mutex_unlock(&vm->engine->lock);
    if (cancelled)
        return NULL;
    EngineJob *job = merge_obtain_job(vm, name, targets);
    g_mutex_lock(&vm->engine->lock);
    vm->merging = job;
    g_mutex_unlock(&vm->engine->lock);
    return job;
}

static bool may_go_on(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    bool may = !vm->yield && !vm->engine->stopping && vm->engine->up && vm->present;
    g_mutex_unlock(&vm->engine->lock);
    return may;
}

/* The merge stands still with its job: parked, or libvirt is gone. Who wanted to cancel it is told
 * that it could not be; who was told before that it stays asked for was told the truth. */
static void leave_job(EngineVm *vm, EngineJob *job, const GError *error)
{
    g_mutex_lock(&vm->engine->lock);
    vm->merging = NULL;
    GPtrArray *droppers = job ? job_steal_waiters_locked(job, true) : g_ptr_array_new();
    if (droppers->len > 0) {
        job_set_cancelled(job, false);
        engine_vm_wake_locked(vm);
    }
    g_mutex_unlock(&vm->engine->lock);
    merge_answer_all(vm, droppers, error);
}

static void conclude_failure(EngineVm *vm, EngineJob *job, const GError *error)
{
    g_autoptr(GError) cancelled = NULL;

    refresh_now(vm, true);
    if (!job)
        return;
    if (job_is_cancelled(job) && error_is(error, ERR_INTERRUPTED))
        cancelled = g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                                "The merge of snapshot %s was cancelled; remove it again to finish",
                                engine_job_target(job));
    merge_end(vm, job, cancelled ? JOB_CANCELLED : JOB_FAILED, cancelled ? cancelled : error);
}

static void conclude_success(EngineVm *vm, EngineJob *job)
{
    refresh_now(vm, true);
    if (!job)
        return;
    merge_announce(vm);
    merge_dismiss_failed(vm, engine_job_target(job), job_snapshot(job));
    merge_end(vm, job, JOB_DONE, NULL);
}

/* A host that is down will tell when it is up; one that is up has to be asked again. */
static void wait_for_host(EngineVm *vm, const GError *error)
{
    if (!error_is(error, ERR_HOST_DOWN) || !host_lost(vm->engine, error->message))
        host_open_failed(vm, error, g_get_monotonic_time());
}

/* It could not even be begun, or its end could not be seen: the removal is as accepted as before,
 * and has not failed. */
static bool is_open_still(const Merge *merge)
{
    g_autoptr(Catalog) catalog = vm_catalog(merge->vm->vm);
    const Snapshot *snapshot =
        merge->job ? catalog_snapshot(catalog, job_snapshot(merge->job)) : NULL;

    return snapshot && snapshot->state == SNAPSHOT_REMOVING && !is_cancelled(merge);
}

/* How vm_finish answered; returns whether to look for more. */
static bool conclude(Merge *merge, bool finished, bool done, const GError *error)
{
    bool host_down = error_is(error, ERR_HOST_DOWN);
    bool parked = error_is(error, ERR_INTERRUPTED) && hook_park(merge);
    bool open = !finished && !parked && !host_down && is_open_still(merge);

    if (finished && !done)
        merge_end_settled(merge->vm, NULL);
    if (host_down || parked || open || (finished && !done)) {
        leave_job(merge->vm, merge->job, error);
        if (host_down || open)
            wait_for_host(merge->vm, error);
        return false;
    }
    if (finished)
        conclude_success(merge->vm, merge->job);
    else
        conclude_failure(merge->vm, merge->job, error);
    return true;
}

/* vm_finish may have found other work than vm_next had seen a moment before. */
static void follow_name(Merge *merge, const char *about)
{
    g_autoptr(GError) error = NULL;

    if (!about || !merge->job || strcmp(about, engine_job_target(merge->job)) == 0)
        return;
    error = g_error_new(VMSNAPFS_ERROR, ERR_BUSY,
                        "The merge of snapshot %s had to wait for that of %s; cancel it again",
                        engine_job_target(merge->job), about);
    leave_job(merge->vm, merge->job, error);
    job_unref(merge->job);
    merge->job = merge_obtain_job(merge->vm, about, NULL);
}

/* Jobs whose removal was accepted wait until it can be told how to go on. */
static void cannot_tell_next(EngineVm *vm, const GError *error)
{
    if (error_is(error, ERR_HOST_DOWN)) {
        wait_for_host(vm, error);
        return;
    }
    merge_end_settled(vm, error);
    g_mutex_lock(&vm->engine->lock);
    bool waits = merge_running_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
    if (waits)
        host_open_failed(vm, error, g_get_monotonic_time());
}

/* @failed: the name that failed last; the same work failing again at once ends the run. */
static bool merge_step(EngineVm *vm, char **failed)
{
    g_autoptr(GPtrArray) targets = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *about = NULL;
    g_autofree char *name = vm_next(vm->vm, &targets, &error);
    bool done = false;

    if (error)
        cannot_tell_next(vm, error);
    else if (!name)
        merge_end_settled(vm, NULL);
    if (!name || g_strcmp0(name, *failed) == 0)
        return false;

    Merge merge = {.vm = vm, .job = begin_job(vm, name, targets)};
    const VmHooks hooks = hooks_of(&merge);
    bool finished = vm_finish(vm->vm, &hooks, &done, &about, &error);
    follow_name(&merge, about);
    if (!finished)
        str_set(failed, about ? about : name);
    bool more = conclude(&merge, finished, done, error);
    job_unref(merge.job);
    return more;
}

void merge_run(EngineVm *vm)
{
    g_autofree char *failed = NULL;

    while (may_go_on(vm) && merge_step(vm, &failed))
        ;
    g_mutex_lock(&vm->engine->lock);
    if (vm->yield) {
        vm->yield = false;
        queue_finish_locked(vm);
    }
    g_mutex_unlock(&vm->engine->lock);
}
