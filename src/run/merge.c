/* The work that removals leave: one "finish" in the VM's queue that goes on until nothing is left,
 * something needs the lane, or libvirt is gone. Its jobs: merge-jobs.c. */
#include "run/engine-priv.h"

#include "base/str.h"

#include <string.h>

#define PROGRESS_INTERVAL_US G_USEC_PER_SEC

typedef struct {
    EngineVm *vm;
    GPtrArray *jobs; /* of EngineJob: of all snapshots that go in this pass; set before it begins */
    bool cancelled;  /* one of them was cancelled before its turn and is only to be brought back */
} Merge;

/* ---- hooks ---- */

static bool is_needed_elsewhere(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    bool needed = vm->yield || vm->engine->stopping;
    g_mutex_unlock(&vm->engine->lock);
    return needed;
}

/* Who cancels one of a run stops the pass over the data, which is one for all of them. */
static EngineJob *cancelled_job(const Merge *merge)
{
    for (guint i = 0; i < merge->jobs->len; i++)
        if (job_is_cancelled(merge->jobs->pdata[i]))
            return merge->jobs->pdata[i];
    return NULL;
}

static bool is_cancelled(const Merge *merge)
{
    return merge->cancelled || cancelled_job(merge);
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

    for (guint i = 0; i < merge->jobs->len; i++)
        job_set_progress(merge->jobs->pdata[i], target, done, total, finished);
    g_mutex_lock(&vm->engine->lock);
    bool due = now - vm->progress_at >= PROGRESS_INTERVAL_US;
    if (due)
        vm->progress_at = now;
    g_mutex_unlock(&vm->engine->lock);
    if (due)
        engine_emit(vm->engine, CHANGE_PROGRESS, vm->uuid, NULL);
}

/* All jobs of a pass have the same, see set_about(). */
static uint64_t hook_bandwidth(void *data)
{
    const Merge *merge = data;

    return merge->jobs->len > 0 ? engine_job_bandwidth(merge->jobs->pdata[0]) : 0;
}

static void hook_limited(const char *target, uint64_t bandwidth, void *data)
{
    const Merge *merge = data;
    bool news = false;

    for (guint i = 0; i < merge->jobs->len; i++)
        news |= job_set_limit(merge->jobs->pdata[i], target, bandwidth);
    if (!news)
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

/* ---- the jobs of a pass ---- */

static bool hook_cancelled(const char *name, void *data)
{
    const Merge *merge = data;

    g_mutex_lock(&merge->vm->engine->lock);
    bool cancelled = g_hash_table_contains(merge->vm->cancelled, name);
    g_mutex_unlock(&merge->vm->engine->lock);
    return cancelled;
}

/* The merge stands still with its job: parked, or libvirt is gone. Who wanted to cancel it is told
 * that it could not be; who was told before that it stays asked for was told the truth. */
static void leave_job(EngineVm *vm, EngineJob *job, const GError *error)
{
    g_mutex_lock(&vm->engine->lock);
    GPtrArray *droppers = job_steal_waiters_locked(job, true);
    job_set_begun(job, false);
    job_set_pass(job, engine_job_id(job));
    if (droppers->len > 0) {
        job_set_cancelled(job, false);
        engine_vm_wake_locked(vm);
    }
    g_mutex_unlock(&vm->engine->lock);
    merge_answer_all(vm, droppers, error);
}

/* Planned anew, the work may be about others than a moment before. */
static void leave_others(const Merge *merge, GPtrArray *jobs)
{
    g_autoptr(GError) error = g_error_new(VMSNAPFS_ERROR, ERR_BUSY,
                                          "The merge had to wait for another one; cancel it again");

    for (guint i = 0; i < merge->jobs->len; i++)
        if (!g_ptr_array_find(jobs, merge->jobs->pdata[i], NULL))
            leave_job(merge->vm, merge->jobs->pdata[i], error);
}

static uint64_t strictest_limit(const GPtrArray *jobs)
{
    uint64_t least = 0;

    for (guint i = 0; i < jobs->len; i++) {
        uint64_t limit = engine_job_bandwidth(jobs->pdata[i]);
        if (limit > 0 && (least == 0 || limit < least))
            least = limit;
    }
    return least;
}

/* One pass has one limit. From here on who cancels one of @jobs waits for the answer; who did
 * before is heard as well. */
static void set_about(Merge *merge, GPtrArray *jobs)
{
    EngineVm *vm = merge->vm;

    g_mutex_lock(&vm->engine->lock);
    uint64_t limit = strictest_limit(jobs);
    for (guint i = 0; i < jobs->len; i++) {
        job_set_bandwidth(jobs->pdata[i], limit);
        job_set_begun(jobs->pdata[i], true);
        job_set_pass(jobs->pdata[i], engine_job_id(jobs->pdata[0]));
        if (g_hash_table_remove(vm->cancelled, engine_job_target(jobs->pdata[i])))
            merge->cancelled = true;
    }
    g_mutex_unlock(&vm->engine->lock);
}

static void hook_begin(const GPtrArray *names, const GPtrArray *targets, void *data)
{
    Merge *merge = data;
    EngineVm *vm = merge->vm;
    GPtrArray *jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);

    merge->cancelled = false;
    for (guint i = 0; i < names->len; i++) {
        g_mutex_lock(&vm->engine->lock);
        bool cancelled = g_hash_table_remove(vm->cancelled, names->pdata[i]);
        g_mutex_unlock(&vm->engine->lock);
        if (cancelled)
            merge->cancelled = true;
        else
            g_ptr_array_add(jobs, merge_obtain_job(vm, names->pdata[i], targets));
    }
    set_about(merge, jobs);
    leave_others(merge, jobs);
    g_ptr_array_unref(merge->jobs);
    merge->jobs = jobs;
}

/* The removal is done all the same; a line in `errors` tells. */
static void hook_trouble(const GError *error, void *data)
{
    const Merge *merge = data;
    EngineJob *job = merge->jobs->len > 0 ? merge->jobs->pdata[0] : NULL;
    g_autofree char *name = engine_vm_name(merge->vm);
    g_autofree char *operation =
        job ? g_strdup_printf("merge %s/snapshots/%s", name, engine_job_target(job))
            : g_strdup_printf("merge %s", name);

    errors_operation(merge->vm->engine, merge->vm, job ? job_uid(job) : 0, job ? job_pid(job) : 0,
                     operation, error, job ? job_since(job) : g_get_monotonic_time());
}

static VmHooks hooks_of(Merge *merge)
{
    return (VmHooks){.stop = hook_stop,
                     .park = hook_park,
                     .progress = hook_progress,
                     .bandwidth = hook_bandwidth,
                     .limited = hook_limited,
                     .recorded = hook_recorded,
                     .cancelled = hook_cancelled,
                     .begin = hook_begin,
                     .trouble = hook_trouble,
                     .wait = hook_wait,
                     .data = merge};
}

/* ---- one piece of work ---- */

static bool may_go_on(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    bool may = !vm->yield && !vm->engine->stopping && vm->engine->up && vm->present;
    g_mutex_unlock(&vm->engine->lock);
    return may;
}

/* What became of one of them. */
typedef enum { OUTCOME_GONE, OUTCOME_LEFT, OUTCOME_FAILED } Outcome;

static Outcome outcome_of(const Merge *merge, EngineJob *job, const GError *error)
{
    g_autoptr(Catalog) catalog = vm_catalog(merge->vm->vm);
    const Snapshot *snapshot = catalog_snapshot(catalog, job_snapshot(job));

    if (!snapshot)
        return error && !job_snapshot(job) ? OUTCOME_FAILED : OUTCOME_GONE;
    return error && (snapshot->state != SNAPSHOT_REMOVING || is_cancelled(merge)) ? OUTCOME_FAILED
                                                                                  : OUTCOME_LEFT;
}

static void end_failed(const Merge *merge, EngineJob *job, EngineJob *cancelled,
                       const GError *error)
{
    g_autoptr(GError) why = NULL;

    if (!cancelled || !error_is(error, ERR_INTERRUPTED))
        why = g_error_copy(error);
    else if (job == cancelled)
        why = g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                          "The merge of snapshot %s was cancelled; remove it again to finish",
                          engine_job_target(job));
    else
        why = g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                          "The merge of snapshot %s was one pass with that of %s, which was "
                          "cancelled; remove it again to finish",
                          engine_job_target(job), engine_job_target(cancelled));
    merge_end(merge->vm, job, job_is_cancelled(job) && cancelled ? JOB_CANCELLED : JOB_FAILED, why);
}

/* @error NULL: it succeeded. */
static void conclude_job(const Merge *merge, EngineJob *job, EngineJob *cancelled,
                         const GError *error)
{
    switch (outcome_of(merge, job, error)) {
    case OUTCOME_GONE:
        merge_dismiss_failed(merge->vm, engine_job_target(job), job_snapshot(job));
        merge_end(merge->vm, job, JOB_DONE, NULL);
        return;
    case OUTCOME_LEFT:
        leave_job(merge->vm, job, error);
        return;
    case OUTCOME_FAILED:
        end_failed(merge, job, cancelled, error);
    }
}

/* @about: what failed before it was known what it is about. */
static void conclude_all(Merge *merge, const char *about, const GError *error)
{
    EngineJob *cancelled = error_is(error, ERR_INTERRUPTED) ? cancelled_job(merge) : NULL;

    refresh_now(merge->vm, true);
    if (!error)
        merge_announce(merge->vm);
    else if (merge->jobs->len == 0 && !merge->cancelled)
        g_ptr_array_add(merge->jobs, merge_obtain_job(merge->vm, about, NULL));
    for (guint i = 0; i < merge->jobs->len; i++)
        conclude_job(merge, merge->jobs->pdata[i], cancelled, error);
}

/* A host that is down will tell when it is up; one that is up has to be asked again. */
static void wait_for_host(EngineVm *vm, const GError *error)
{
    if (!error_is(error, ERR_HOST_DOWN) || !host_lost(vm->engine, error->message))
        host_open_failed(vm, error, g_get_monotonic_time());
}

static bool is_accepted(const Catalog *catalog, const char *id)
{
    const Snapshot *snapshot = catalog_snapshot(catalog, id);

    return snapshot && snapshot->state == SNAPSHOT_REMOVING;
}

/* It could not even be begun, or its end could not be seen: the removals are as accepted as before,
 * and have not failed. */
static bool is_open_still(const Merge *merge, const char *about)
{
    g_autoptr(Catalog) catalog = vm_catalog(merge->vm->vm);

    if (is_cancelled(merge))
        return false;
    for (guint i = 0; i < merge->jobs->len; i++)
        if (!is_accepted(catalog, job_snapshot(merge->jobs->pdata[i])))
            return false;
    return merge->jobs->len > 0 || is_accepted(catalog, merge_removed_snapshot(catalog, about));
}

/* How vm_finish answered; returns whether to look for more. */
static bool conclude(Merge *merge, const char *about, bool finished, bool done, const GError *error)
{
    bool host_down = error_is(error, ERR_HOST_DOWN);
    bool parked = error_is(error, ERR_INTERRUPTED) && hook_park(merge);
    bool open = !finished && !parked && !host_down && is_open_still(merge, about);

    if (finished && !done)
        merge_end_settled(merge->vm, NULL);
    if (host_down || parked || open || (finished && !done)) {
        for (guint i = 0; i < merge->jobs->len; i++)
            leave_job(merge->vm, merge->jobs->pdata[i], error);
        if (host_down || open)
            wait_for_host(merge->vm, error);
        return false;
    }
    conclude_all(merge, about, finished ? NULL : error);
    return true;
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

    Merge merge = {.vm = vm, .jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref)};
    const VmHooks hooks = hooks_of(&merge);
    bool finished = vm_finish(vm->vm, &hooks, &done, &about, &error);
    if (!finished)
        str_set(failed, about ? about : name);
    bool more = conclude(&merge, about ? about : name, finished, done, error);
    g_ptr_array_unref(merge.jobs);
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
