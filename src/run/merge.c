/* The jobs that removals leave. There is one job per snapshot, from the moment its removal is
 * asked for (a draft, that only the merge sees) to its end; the work itself is one "finish" in the
 * VM's queue that goes on until nothing is left, something needs the lane, or libvirt is gone. */
#include "run/engine-priv.h"

#include "base/str.h"
#include "model/names.h"

#include <string.h>
#include <unistd.h>

#define PROGRESS_INTERVAL_US G_USEC_PER_SEC

typedef struct {
    EngineVm *vm;
    EngineJob *job; /* NULL: it was cancelled before its turn and is only to be brought back */
} Merge;

/* ---- finding and making jobs ---- */

EngineJob *merge_find_locked(EngineVm *vm, const char *target)
{
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *job = vm->jobs->pdata[i];
        if (engine_job_state(job) == JOB_RUNNING && strcmp(engine_job_target(job), target) == 0)
            return job;
    }
    return NULL;
}

EngineJob *merge_running_locked(EngineVm *vm)
{
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *job = vm->jobs->pdata[i];
        if (job_is_shown(job) && engine_job_state(job) == JOB_RUNNING)
            return job;
    }
    return NULL;
}

static EngineJob *add_job(EngineVm *vm, const Catalog *catalog, const char *target,
                          const char *snapshot, const GPtrArray *targets)
{
    uint64_t bandwidth = 0;

    size_parse(catalog_policy(catalog, "bandwidth"), &bandwidth, NULL);
    g_mutex_lock(&vm->engine->lock);
    EngineJob *job = merge_find_locked(vm, target);
    if (!job) {
        job = job_new(++vm->engine->last_job, vm->uuid, target, snapshot, targets, bandwidth);
        job_set_owner(job, getuid(), getpid());
        g_ptr_array_add(vm->jobs, job);
    }
    job_ref(job);
    g_mutex_unlock(&vm->engine->lock);
    return job;
}

static void show_job(EngineVm *vm, EngineJob *job)
{
    if (job_is_shown(job))
        return;
    g_mutex_lock(&vm->engine->lock);
    job_show(job);
    engine_vm_publish_jobs_locked(vm);
    g_autoptr(VmView) view = vm_view_ref(vm->view);
    g_mutex_unlock(&vm->engine->lock);
    engine_emit(vm->engine, CHANGE_JOBS, vm->uuid, event_of_job("job-started", view, job));
}

/* Being removed, or hidden and come down to what can be merged (rule 3). */
static bool waits_for_merge(const Catalog *catalog, const Snapshot *snapshot)
{
    return snapshot->state == SNAPSHOT_REMOVING ||
           (snapshot->hidden && catalog_dependants(catalog, snapshot) <= 1);
}

/* The snapshot that work named @target is about: names of hidden ones need not be unique. */
static const char *removed_snapshot(const Catalog *catalog, const char *target)
{
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        if (waits_for_merge(catalog, snapshot) && strcmp(snapshot->name, target) == 0)
            return snapshot->id;
    }
    return NULL;
}

static EngineJob *obtain_job(EngineVm *vm, const char *target, const GPtrArray *targets)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    EngineJob *job = add_job(vm, catalog, target, removed_snapshot(catalog, target), targets);

    show_job(vm, job);
    return job;
}

void merge_adopt(EngineVm *vm)
{
    g_autoptr(GPtrArray) targets = NULL;
    g_autofree char *name = vm_next(vm->vm, &targets, NULL);

    if (!name)
        return;
    g_autoptr(EngineJob) job = obtain_job(vm, name, targets);
    g_mutex_lock(&vm->engine->lock);
    queue_finish_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
}

static GPtrArray *targets_of(const Catalog *catalog, const Snapshot *snapshot)
{
    GPtrArray *targets = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(catalog, entry->disk);
        if (disk)
            g_ptr_array_add(targets, g_strdup(disk->target));
    }
    return targets;
}

/* Before a job ends, the next one is there: who waits for the VM to have no job is not told too
 * early. */
static void announce_waiting(EngineVm *vm)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        g_mutex_lock(&vm->engine->lock);
        bool cancelled = g_hash_table_contains(vm->cancelled, snapshot->name);
        g_mutex_unlock(&vm->engine->lock);
        if (cancelled || !waits_for_merge(catalog, snapshot))
            continue;
        g_autoptr(GPtrArray) targets = targets_of(catalog, snapshot);
        g_autoptr(EngineJob) job = obtain_job(vm, snapshot->name, targets);
    }
}

/* ---- drafts ---- */

EngineJob *merge_draft(EngineVm *vm, const Request *request)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    const Snapshot *snapshot = catalog_named(catalog, request->name);

    if (!snapshot)
        return NULL;
    g_autoptr(GPtrArray) targets = targets_of(catalog, snapshot);
    EngineJob *job = add_job(vm, catalog, snapshot->name, snapshot->id, targets);
    if (!job_is_shown(job))
        job_set_owner(job, request->uid, request->pid);
    return job;
}

void merge_forget_draft(EngineVm *vm, EngineJob *job)
{
    g_mutex_lock(&vm->engine->lock);
    if (!job_is_shown(job))
        g_ptr_array_remove(vm->jobs, job);
    g_mutex_unlock(&vm->engine->lock);
}

void merge_accept(EngineVm *vm, EngineJob *job)
{
    show_job(vm, job);
    g_mutex_lock(&vm->engine->lock);
    g_hash_table_remove(vm->cancelled, engine_job_target(job));
    queue_finish_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
}

void merge_dismiss_failed(EngineVm *vm, const char *target, const char *snapshot)
{
    bool gone = false;

    g_mutex_lock(&vm->engine->lock);
    for (guint i = vm->jobs->len; i-- > 0;) {
        EngineJob *job = vm->jobs->pdata[i];
        bool same = snapshot && job_snapshot(job) ? strcmp(job_snapshot(job), snapshot) == 0
                                                  : strcmp(engine_job_target(job), target) == 0;
        if (same && engine_job_state(job) == JOB_FAILED) {
            g_ptr_array_remove_index(vm->jobs, i);
            gone = true;
        }
    }
    if (gone)
        engine_vm_publish_jobs_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
    if (gone)
        engine_emit(vm->engine, CHANGE_JOBS, vm->uuid, NULL);
}

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

/* ---- the end of a job ---- */

static void answer_all(EngineVm *vm, GPtrArray *works, const GError *error)
{
    for (guint i = 0; i < works->len; i++)
        work_answer(vm->engine, vm, works->pdata[i], error);
    g_ptr_array_unref(works);
}

static void log_job(EngineVm *vm, EngineJob *job, const VmView *view, const GError *error)
{
    g_autofree char *operation =
        g_strdup_printf("merge %s/snapshots/%s", view->name, engine_job_target(job));

    errors_operation(vm->engine, vm, job_uid(job), job_pid(job), operation, error, job_since(job));
}

/* A job that was cancelled goes from the list at once: whoever asked for that was told so. */
void merge_end(EngineVm *vm, EngineJob *job, JobState state, const GError *error)
{
    Engine *engine = vm->engine;

    if (!job_end(job, state, error))
        return;
    g_mutex_lock(&engine->lock);
    GPtrArray *waiters = job_steal_waiters_locked(job, false);
    GPtrArray *droppers = job_steal_waiters_locked(job, true);
    if (vm->merging == job)
        vm->merging = NULL;
    if (state == JOB_CANCELLED || droppers->len > 0)
        g_ptr_array_remove(vm->jobs, job);
    engine_vm_publish_jobs_locked(vm);
    g_autoptr(VmView) view = vm_view_ref(vm->view);
    g_mutex_unlock(&engine->lock);

    log_job(vm, job, view, error);
    engine_emit(engine, CHANGE_JOBS, vm->uuid, event_of_job("job-ended", view, job));
    answer_all(vm, waiters, error);
    answer_all(vm, droppers, NULL);
}

/* Jobs that run though nothing is left to do: their work went with another's, or it is settled; or
 * it cannot be planned now (@cause), and the hidden snapshot stays as it is. */
static void end_settled(EngineVm *vm, const GError *cause)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);

    g_mutex_lock(&vm->engine->lock);
    for (guint i = 0; i < vm->jobs->len; i++)
        if (job_is_shown(vm->jobs->pdata[i]) && engine_job_state(vm->jobs->pdata[i]) == JOB_RUNNING)
            g_ptr_array_add(jobs, job_ref(vm->jobs->pdata[i]));
    g_mutex_unlock(&vm->engine->lock);

    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    for (guint i = 0; i < jobs->len; i++) {
        const Snapshot *snapshot = catalog_snapshot(catalog, job_snapshot(jobs->pdata[i]));
        if (snapshot && snapshot->state == SNAPSHOT_REMOVING)
            continue;
        g_autoptr(GError) error = NULL;
        if (snapshot && snapshot->state == SNAPSHOT_FAILED)
            error = g_error_new(VMSNAPFS_ERROR, ERR_IO, "%s", snapshot->error);
        else if (snapshot && cause)
            error = g_error_copy(cause);
        merge_end(vm, jobs->pdata[i], error ? JOB_FAILED : JOB_DONE, error);
    }
}

/* ---- one piece of work ---- */

static EngineJob *begin_job(EngineVm *vm, const char *name, const GPtrArray *targets)
{
    g_mutex_lock(&vm->engine->lock);
    bool cancelled = g_hash_table_remove(vm->cancelled, name);
    g_mutex_unlock(&vm->engine->lock);
    if (cancelled)
        return NULL;
    EngineJob *job = obtain_job(vm, name, targets);
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
 * that it could not be. */
static void leave_job(EngineVm *vm, EngineJob *job, const GError *error)
{
    g_mutex_lock(&vm->engine->lock);
    vm->merging = NULL;
    GPtrArray *droppers = job ? job_steal_waiters_locked(job, true) : g_ptr_array_new();
    if (job)
        job_set_cancelled(job, false);
    g_mutex_unlock(&vm->engine->lock);
    answer_all(vm, droppers, error);
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
    announce_waiting(vm);
    merge_dismiss_failed(vm, engine_job_target(job), job_snapshot(job));
    merge_end(vm, job, JOB_DONE, NULL);
}

/* How vm_finish answered; returns whether to look for more. */
static bool conclude(Merge *merge, bool finished, bool done, const GError *error)
{
    bool host_down = error_is(error, ERR_HOST_DOWN);
    bool parked = error_is(error, ERR_INTERRUPTED) && hook_park(merge);

    if (finished && !done)
        end_settled(merge->vm, NULL);
    if (host_down || parked || (finished && !done)) {
        leave_job(merge->vm, merge->job, error);
        if (host_down)
            host_lost(merge->vm->engine, error->message);
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
    merge->job = obtain_job(merge->vm, about, NULL);
}

/* @failed: the name that failed last; the same work failing again at once ends the run. */
static bool merge_step(EngineVm *vm, char **failed)
{
    g_autoptr(GPtrArray) targets = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *about = NULL;
    g_autofree char *name = vm_next(vm->vm, &targets, &error);
    bool done = false;

    if (error_is(error, ERR_HOST_DOWN))
        host_lost(vm->engine, error->message);
    else if (!name)
        end_settled(vm, error);
    if (!name || g_strcmp0(name, *failed) == 0)
        return false;

    Merge merge = {.vm = vm, .job = begin_job(vm, name, targets)};
    const VmHooks hooks = {.stop = hook_stop,
                           .park = hook_park,
                           .progress = hook_progress,
                           .bandwidth = hook_bandwidth,
                           .recorded = hook_recorded,
                           .wait = hook_wait,
                           .data = &merge};
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
