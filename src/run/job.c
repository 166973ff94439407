/* One job: its numbers are live and have a lock of their own, so that a view can be old and its
 * jobs still tell the truth. */
#include "run/engine-priv.h"

#include <string.h>

/* A rate is looked at this often at most, and each look counts this much. */
#define RATE_INTERVAL_US 500000
#define RATE_WEIGHT      0.3

typedef struct {
    JobDisk shown;
    uint64_t limit;  /* in force; BANDWIDTH_NONE: nothing copies */
    int64_t sampled; /* monotonic µs; 0 = never */
    uint64_t sample;
} DiskProgress;

struct EngineJob {
    gint references;
    unsigned id;
    const char *kind;
    char *vm, *target, *snapshot;
    int64_t created, since;
    gint shown, begun, cancelled; /* atomic */
    guint pass;                   /* atomic */
    uid_t uid;
    pid_t pid;
    GPtrArray *waiters, *droppers; /* of Work; engine->lock */

    GMutex lock;
    JobState state;
    GError *error;
    int64_t ended;
    uint64_t bandwidth;
    GPtrArray *disks; /* of DiskProgress */
};

static void disk_progress_free(DiskProgress *disk)
{
    g_free(disk->shown.target);
    g_free(disk);
}

static DiskProgress *add_disk(EngineJob *job, const char *target)
{
    DiskProgress *disk = g_new0(DiskProgress, 1);

    disk->shown.target = g_strdup(target);
    disk->limit = BANDWIDTH_NONE;
    g_ptr_array_add(job->disks, disk);
    return disk;
}

EngineJob *job_new(const char *kind, unsigned id, const char *vm_uuid, const char *target,
                   const char *snapshot, const GPtrArray *disk_targets, uint64_t bandwidth)
{
    EngineJob *job = g_new0(EngineJob, 1);

    job->references = 1;
    job->kind = kind;
    job->id = id;
    job->pass = id;
    job->since = g_get_monotonic_time();
    job->vm = g_strdup(vm_uuid);
    job->target = g_strdup(target);
    job->snapshot = g_strdup(snapshot);
    job->created = g_get_real_time();
    job->bandwidth = bandwidth;
    job->waiters = g_ptr_array_new();
    job->droppers = g_ptr_array_new();
    job->disks = g_ptr_array_new_with_free_func((GDestroyNotify)disk_progress_free);
    g_mutex_init(&job->lock);
    for (guint i = 0; disk_targets && i < disk_targets->len; i++)
        add_disk(job, disk_targets->pdata[i]);
    return job;
}

EngineJob *job_ref(EngineJob *job)
{
    g_atomic_int_inc(&job->references);
    return job;
}

void job_unref(EngineJob *job)
{
    if (!job || !g_atomic_int_dec_and_test(&job->references))
        return;
    g_free(job->vm);
    g_free(job->target);
    g_free(job->snapshot);
    g_clear_error(&job->error);
    g_ptr_array_unref(job->waiters);
    g_ptr_array_unref(job->droppers);
    g_ptr_array_unref(job->disks);
    g_mutex_clear(&job->lock);
    g_free(job);
}

unsigned engine_job_id(const EngineJob *job)
{
    return job->id;
}

const char *engine_job_kind(const EngineJob *job)
{
    return job->kind;
}

const char *engine_job_vm(const EngineJob *job)
{
    return job->vm;
}

const char *engine_job_target(const EngineJob *job)
{
    return job->target;
}

int64_t engine_job_created(const EngineJob *job)
{
    return job->created;
}

JobState engine_job_state(EngineJob *job)
{
    g_mutex_lock(&job->lock);
    JobState state = job->state;
    g_mutex_unlock(&job->lock);
    return state;
}

char *engine_job_result(EngineJob *job)
{
    g_mutex_lock(&job->lock);
    char *result = g_strdup(job->state == JOB_RUNNING ? ""
                            : job->error              ? job->error->message
                                                      : "ok");
    g_mutex_unlock(&job->lock);
    return result;
}

uint64_t engine_job_bandwidth(EngineJob *job)
{
    g_mutex_lock(&job->lock);
    uint64_t bandwidth = job->bandwidth;
    g_mutex_unlock(&job->lock);
    return bandwidth;
}

void job_disk_free(JobDisk *disk)
{
    g_free(disk->target);
    g_free(disk);
}

GPtrArray *engine_job_disks(EngineJob *job)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func((GDestroyNotify)job_disk_free);

    g_mutex_lock(&job->lock);
    for (guint i = 0; i < job->disks->len; i++) {
        const DiskProgress *disk = job->disks->pdata[i];
        JobDisk *copy = g_new(JobDisk, 1);

        *copy = disk->shown;
        copy->target = g_strdup(disk->shown.target);
        g_ptr_array_add(disks, copy);
    }
    g_mutex_unlock(&job->lock);
    return disks;
}

bool job_is_merge(const EngineJob *job)
{
    return g_str_equal(job->kind, JOB_MERGE);
}

const char *job_snapshot(const EngineJob *job)
{
    return job->snapshot;
}

void job_set_owner(EngineJob *job, uid_t uid, pid_t pid)
{
    job->uid = uid;
    job->pid = pid;
}

uid_t job_uid(const EngineJob *job)
{
    return job->uid;
}

pid_t job_pid(const EngineJob *job)
{
    return job->pid;
}

void job_show(EngineJob *job)
{
    g_atomic_int_set(&job->shown, 1);
}

bool job_is_shown(EngineJob *job)
{
    return g_atomic_int_get(&job->shown);
}

void job_set_begun(EngineJob *job, bool begun)
{
    g_atomic_int_set(&job->begun, begun);
}

bool job_is_begun(EngineJob *job)
{
    return g_atomic_int_get(&job->begun);
}

void job_set_pass(EngineJob *job, unsigned pass)
{
    g_atomic_int_set(&job->pass, pass);
}

unsigned engine_job_pass(EngineJob *job)
{
    return g_atomic_int_get(&job->pass);
}

void job_set_cancelled(EngineJob *job, bool cancelled)
{
    g_atomic_int_set(&job->cancelled, cancelled);
}

bool job_is_cancelled(EngineJob *job)
{
    return g_atomic_int_get(&job->cancelled);
}

void job_set_bandwidth(EngineJob *job, uint64_t bandwidth)
{
    g_mutex_lock(&job->lock);
    job->bandwidth = bandwidth;
    g_mutex_unlock(&job->lock);
}

static DiskProgress *disk_of_target(EngineJob *job, const char *target)
{
    for (guint i = 0; i < job->disks->len; i++) {
        DiskProgress *disk = job->disks->pdata[i];
        if (strcmp(disk->shown.target, target) == 0)
            return disk;
    }
    return add_disk(job, target);
}

bool job_set_limit(EngineJob *job, const char *target, uint64_t bandwidth)
{
    g_mutex_lock(&job->lock);
    DiskProgress *disk = disk_of_target(job, target);
    bool news = disk->limit != bandwidth;
    disk->limit = bandwidth;
    g_mutex_unlock(&job->lock);
    return news;
}

bool job_is_limited(EngineJob *job)
{
    bool limited = true;

    g_mutex_lock(&job->lock);
    for (guint i = 0; i < job->disks->len; i++) {
        uint64_t limit = ((const DiskProgress *)job->disks->pdata[i])->limit;
        limited &= limit == job->bandwidth || limit == BANDWIDTH_NONE;
    }
    g_mutex_unlock(&job->lock);
    return limited;
}

/* A merge that began anew (parked, or redone offline) starts a new series. */
static void take_sample(DiskProgress *disk, uint64_t done)
{
    int64_t now = g_get_monotonic_time();
    int64_t passed = now - disk->sampled;

    if (!disk->sampled || done < disk->sample) {
        disk->shown.rate = 0;
    } else if (passed < RATE_INTERVAL_US) {
        return;
    } else {
        double rate = (double)(done - disk->sample) * G_USEC_PER_SEC / (double)passed;
        double before = (double)disk->shown.rate;
        disk->shown.rate = (uint64_t)(before > 0 ? before + RATE_WEIGHT * (rate - before) : rate);
    }
    disk->sampled = now;
    disk->sample = done;
}

void job_set_progress(EngineJob *job, const char *target, uint64_t done, uint64_t total,
                      bool finished)
{
    g_mutex_lock(&job->lock);
    DiskProgress *disk = disk_of_target(job, target);
    take_sample(disk, done);
    disk->shown.total = MAX(total, done);
    disk->shown.done = finished ? disk->shown.total : done;
    disk->shown.finished = finished;
    if (finished)
        disk->shown.rate = 0;
    g_mutex_unlock(&job->lock);
}

static void finish_disks(EngineJob *job)
{
    for (guint i = 0; i < job->disks->len; i++) {
        DiskProgress *disk = job->disks->pdata[i];
        disk->shown.finished = true;
        disk->shown.done = disk->shown.total;
        disk->shown.rate = 0;
    }
}

bool job_end(EngineJob *job, JobState state, const GError *error)
{
    g_mutex_lock(&job->lock);
    bool first = job->state == JOB_RUNNING;
    if (first) {
        job->state = state;
        job->error = error ? g_error_copy(error) : NULL;
        job->ended = g_get_monotonic_time();
        if (state == JOB_DONE)
            finish_disks(job);
    }
    g_mutex_unlock(&job->lock);
    return first;
}

GError *job_error(EngineJob *job)
{
    g_mutex_lock(&job->lock);
    GError *error = job->error ? g_error_copy(job->error) : NULL;
    g_mutex_unlock(&job->lock);
    return error;
}

int64_t job_since(const EngineJob *job)
{
    return job->since;
}

int64_t job_ended(EngineJob *job)
{
    g_mutex_lock(&job->lock);
    int64_t ended = job->ended;
    g_mutex_unlock(&job->lock);
    return ended;
}

void job_add_waiter_locked(EngineJob *job, Work *work, bool drop)
{
    g_ptr_array_add(drop ? job->droppers : job->waiters, work);
}

const GPtrArray *job_droppers_locked(const EngineJob *job)
{
    return job->droppers;
}

bool job_take_waiter_locked(EngineJob *job, Work *work)
{
    return g_ptr_array_remove(job->waiters, work) || g_ptr_array_remove(job->droppers, work);
}

GPtrArray *job_steal_waiters_locked(EngineJob *job, bool drop)
{
    GPtrArray **waiters = drop ? &job->droppers : &job->waiters;
    GPtrArray *stolen = *waiters;

    *waiters = g_ptr_array_new();
    return stolen;
}
