/* Counters since the start, for `.vmsnapfs/stats`. Each is one atomic number; what can be counted
 * from the view is. */
#include "run/engine-priv.h"

void stats_count_request(Stats *stats, RequestKind kind, bool failed)
{
    stats->requests[kind]++;
    stats->failures[kind] += failed;
}

void stats_count_job(Stats *stats, EngineJob *job)
{
    g_autoptr(GPtrArray) disks = engine_job_disks(job);

    stats->jobs[engine_job_state(job)]++;
    /* The jobs of one pass show the same bytes. */
    for (guint i = 0; i < disks->len && engine_job_pass(job) == engine_job_id(job); i++)
        stats->bytes_merged += ((const JobDisk *)disks->pdata[i])->done;
}

static void add(GArray *stats, const char *key, uint64_t value)
{
    EngineStat stat = {.value = value};

    g_strlcpy(stat.key, key, sizeof stat.key);
    g_array_append_val(stats, stat);
}

typedef struct {
    unsigned snapshots, hidden, jobs;
} Counts;

static Counts count(const HostView *host)
{
    Counts counts = {0};

    for (guint i = 0; i < host->vms->len; i++) {
        const VmView *vm = host->vms->pdata[i];
        for (guint j = 0; j < vm->snapshots->len; j++)
            if (((const SnapshotView *)vm->snapshots->pdata[j])->hidden)
                counts.hidden++;
            else
                counts.snapshots++;
        for (guint j = 0; j < vm->jobs->len; j++)
            counts.jobs += engine_job_state(vm->jobs->pdata[j]) == JOB_RUNNING;
    }
    return counts;
}

static void add_requests(GArray *array, Stats *stats)
{
    for (RequestKind kind = 0; kind < REQUEST_KINDS; kind++) {
        g_autofree char *failed = g_strconcat(request_kind_name(kind), "_failed", NULL);
        add(array, request_kind_name(kind), stats->requests[kind]);
        add(array, failed, stats->failures[kind]);
    }
}

GArray *engine_stats(Engine *engine)
{
    GArray *array = g_array_new(FALSE, FALSE, sizeof(EngineStat));
    g_autoptr(HostView) host = engine_view(engine);
    Stats *stats = &engine->stats;
    Counts counts = count(host);

    g_mutex_lock(&engine->lock);
    unsigned waiting = g_hash_table_size(engine->tickets);
    g_mutex_unlock(&engine->lock);
    add(array, "uptime", (uint64_t)(g_get_monotonic_time() - stats->since) / G_USEC_PER_SEC);
    add(array, "vms", host->vms->len);
    add(array, "snapshots", counts.snapshots);
    add(array, "hidden", counts.hidden);
    add(array, "requests_waiting", waiting);
    add(array, "jobs_running", counts.jobs);
    add(array, "jobs_done", stats->jobs[JOB_DONE]);
    add(array, "jobs_failed", stats->jobs[JOB_FAILED]);
    add(array, "jobs_cancelled", stats->jobs[JOB_CANCELLED]);
    add(array, "bytes_merged", stats->bytes_merged);
    add(array, "libvirt_calls", engine->world.hv ? hv_calls(engine->world.hv) : 0);
    add(array, "errors", stats->errors);
    add(array, "events", stats->events);
    add_requests(array, stats);
    return array;
}
