/* The list of merge jobs of a VM. There is one job per snapshot, from the moment its removal is
 * asked for (a draft, that only the merge sees) to its end. */
#include "run/engine-priv.h"

#include "model/names.h"

#include <string.h>
#include <unistd.h>

/* ---- finding and making jobs ---- */

EngineJob *merge_find_locked(EngineVm *vm, const char *target)
{
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *job = vm->jobs->pdata[i];
        if (job_is_merge(job) && engine_job_state(job) == JOB_RUNNING &&
            strcmp(engine_job_target(job), target) == 0)
            return job;
    }
    return NULL;
}

EngineJob *merge_running_locked(EngineVm *vm)
{
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *job = vm->jobs->pdata[i];
        if (job_is_merge(job) && job_is_shown(job) && engine_job_state(job) == JOB_RUNNING)
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
        job = job_new(JOB_MERGE, ++vm->engine->last_job, vm->uuid, target, snapshot, targets,
                      bandwidth);
        job_set_owner(job, getuid(), getpid());
        g_ptr_array_add(vm->jobs, job);
    }
    job_ref(job);
    g_mutex_unlock(&vm->engine->lock);
    return job;
}

void merge_show(EngineVm *vm, EngineJob *job)
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
const char *merge_removed_snapshot(const Catalog *catalog, const char *target)
{
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        if (waits_for_merge(catalog, snapshot) && strcmp(snapshot->name, target) == 0)
            return snapshot->id;
    }
    return NULL;
}

EngineJob *merge_obtain_job(EngineVm *vm, const char *target, const GPtrArray *targets)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    EngineJob *job = add_job(vm, catalog, target, merge_removed_snapshot(catalog, target), targets);

    merge_show(vm, job);
    return job;
}

/* It follows an operation that has just looked and waited. */
bool merge_adopt(EngineVm *vm, GError **error)
{
    g_autoptr(GPtrArray) targets = NULL;
    g_autoptr(GError) cause = NULL;
    g_autofree char *name = vm_next_at_once(vm->vm, &targets, &cause);

    if (cause) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    g_autoptr(EngineJob) job = name ? merge_obtain_job(vm, name, targets) : NULL;
    g_mutex_lock(&vm->engine->lock);
    if (merge_running_locked(vm)) /* also one of which another daemon has left nothing to do */
        queue_finish_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
    return true;
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
void merge_announce(EngineVm *vm)
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
        g_autoptr(EngineJob) job = merge_obtain_job(vm, snapshot->name, targets);
    }
}

static bool has_no_job(EngineVm *vm, const Snapshot *snapshot)
{
    g_mutex_lock(&vm->engine->lock);
    bool none = !g_hash_table_contains(vm->cancelled, snapshot->name) &&
                !merge_find_locked(vm, snapshot->name);
    g_mutex_unlock(&vm->engine->lock);
    return none;
}

void merge_take_up(EngineVm *vm)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    bool taken = false;

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        if (snapshot->state != SNAPSHOT_REMOVING || !has_no_job(vm, snapshot))
            continue;
        taken = true;
        g_autoptr(GPtrArray) targets = targets_of(catalog, snapshot);
        g_autoptr(EngineJob) job = merge_obtain_job(vm, snapshot->name, targets);
        g_mutex_lock(&vm->engine->lock);
        queue_finish_locked(vm);
        g_mutex_unlock(&vm->engine->lock);
    }
    if (taken)
        refresh_now(vm, false);
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
    merge_show(vm, job);
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
        if (job_is_merge(job) && same && engine_job_state(job) == JOB_FAILED) {
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

void merge_limit_locked(EngineVm *vm, EngineJob *job, uint64_t bandwidth)
{
    for (guint i = 0; i < vm->jobs->len; i++)
        if (engine_job_pass(vm->jobs->pdata[i]) == engine_job_pass(job))
            job_set_bandwidth(vm->jobs->pdata[i], bandwidth);
}

/* ---- the end of a job ---- */

void merge_answer_all(EngineVm *vm, GPtrArray *works, const GError *error)
{
    for (guint i = 0; i < works->len; i++)
        work_answer(vm->engine, vm, works->pdata[i], error);
    g_ptr_array_unref(works);
}

bool merge_take_waiter_locked(EngineVm *vm, Work *work)
{
    bool waits = false;

    for (guint i = 0; !waits && i < vm->jobs->len; i++)
        waits = job_take_waiter_locked(vm->jobs->pdata[i], work);
    return waits;
}

static void log_job(EngineVm *vm, EngineJob *job, const GError *error)
{
    g_autofree char *name = engine_vm_name(vm);
    g_autofree char *operation =
        job_is_merge(job) ? g_strdup_printf("merge %s/snapshots/%s", name, engine_job_target(job))
                          : g_strdup_printf("%s %s", engine_job_kind(job), name);

    errors_operation(vm->engine, vm, job_uid(job), job_pid(job), operation, error, job_since(job));
}

/* A job that was cancelled goes from the list at once: whoever asked for that was told so, also if
 * its pass was ended for another one in the same moment. One that failed meanwhile, perhaps because
 * it could not be ended, stays. */
void merge_end(EngineVm *vm, EngineJob *job, JobState state, const GError *error)
{
    Engine *engine = vm->engine;

    if (engine_job_state(job) != JOB_RUNNING)
        return;
    log_job(vm, job, error); /* whoever sees that it has ended may look why */
    if (!job_end(job, state, error))
        return;
    g_mutex_lock(&engine->lock);
    GPtrArray *waiters = job_steal_waiters_locked(job, false);
    GPtrArray *droppers = job_steal_waiters_locked(job, true);
    engine_vm_wake_locked(vm); /* nobody has to be answered in time any more */
    if (state == JOB_FAILED && droppers->len > 0 && error_is(error, ERR_INTERRUPTED))
        state = JOB_CANCELLED;
    if (state == JOB_CANCELLED || (state == JOB_DONE && droppers->len > 0))
        g_ptr_array_remove(vm->jobs, job);
    engine_vm_publish_jobs_locked(vm);
    g_autoptr(VmView) view = vm_view_ref(vm->view);
    g_mutex_unlock(&engine->lock);

    stats_count_job(&engine->stats, job);
    engine_emit(engine, CHANGE_JOBS, vm->uuid, event_of_job("job-ended", view, job));
    merge_answer_all(vm, waiters, error);
    merge_answer_all(vm, droppers, state == JOB_FAILED ? error : NULL);
}

/* Jobs that run though nothing is left to do: their work went with another's, or it is settled; or
 * it cannot be planned now (@cause), and the hidden snapshot stays as it is. */
void merge_end_settled(EngineVm *vm, const GError *cause)
{
    g_autoptr(GPtrArray) jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);

    g_mutex_lock(&vm->engine->lock);
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *job = vm->jobs->pdata[i];
        if (job_is_merge(job) && job_is_shown(job) && engine_job_state(job) == JOB_RUNNING)
            g_ptr_array_add(jobs, job_ref(job));
    }
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
        else if (snapshot && snapshot->state == SNAPSHOT_READY && !snapshot->hidden)
            error = g_error_new(VMSNAPFS_ERROR, ERR_IO,
                                "The merge of snapshot %s was given up by another vmsnapfs, which "
                                "has brought the snapshot back; remove it again",
                                snapshot->name);
        merge_end(vm, jobs->pdata[i], error ? JOB_FAILED : JOB_DONE, error);
    }
}
