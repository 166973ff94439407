/* The tables of a bench: those of the fakes, and before them the troubles that a test asks for. One
 * bench at a time, since a table's functions get no other pointer than the table. */
#include "engine-bench.h"

static Bench *the_bench;
static const HvOps *fake_hv;
static const ImageOps *fake_images;

/* ---- the hypervisor ---- */

static bool is_now(char *const *which, const char *uuid)
{
    g_mutex_lock(&the_bench->lock);
    bool same = g_strcmp0(*which, uuid) == 0;
    g_mutex_unlock(&the_bench->lock);
    return same;
}

static bool list_fails(GError **error)
{
    g_mutex_lock(&the_bench->lock);
    bool fails = the_bench->lists_fail;
    g_mutex_unlock(&the_bench->lock);
    if (fails)
        g_set_error_literal(error, VMSNAPFS_ERROR, ERR_TIMEOUT, "libvirt does not answer");
    return fails;
}

void bench_fail(Bench *bench, bool lists, bool looks)
{
    g_mutex_lock(&bench->lock);
    bench->lists_fail = lists;
    bench->looks_fail = looks;
    g_mutex_unlock(&bench->lock);
}

void bench_confuse(Bench *bench, bool confused)
{
    g_mutex_lock(&bench->lock);
    bench->confused = bench->looks_fail = confused;
    g_mutex_unlock(&bench->lock);
}

void bench_lose_question(Bench *bench, unsigned n)
{
    g_mutex_lock(&bench->lock);
    bench->questions = 0;
    bench->lost_question = n;
    g_mutex_unlock(&bench->lock);
}

void bench_hang(Bench *bench, bool hangs)
{
    g_mutex_lock(&bench->lock);
    bench->hangs = hangs;
    g_cond_broadcast(&bench->changed);
    g_mutex_unlock(&bench->lock);
}

void bench_die_when_asked(Bench *bench)
{
    g_mutex_lock(&bench->lock);
    bench->dies = true;
    g_mutex_unlock(&bench->lock);
}

static void die_if_wanted(void)
{
    g_mutex_lock(&the_bench->lock);
    bool dies = the_bench->dies;
    the_bench->dies = false;
    g_mutex_unlock(&the_bench->lock);
    if (dies)
        simhost_set_down(the_bench->host, true);
}

/* A question about a domain: waits while libvirt hangs; false if its answer is lost. */
static bool ask(GError **error)
{
    g_mutex_lock(&the_bench->lock);
    while (the_bench->hangs)
        g_cond_wait(&the_bench->changed, &the_bench->lock);
    bool lost = ++the_bench->questions == the_bench->lost_question || the_bench->looks_fail;
    ErrorCode code = the_bench->confused ? ERR_IO : ERR_TIMEOUT;
    g_mutex_unlock(&the_bench->lock);
    die_if_wanted();
    if (lost)
        g_set_error_literal(error, VMSNAPFS_ERROR, code, "libvirt does not answer");
    return !lost;
}

static GPtrArray *list(Hypervisor *hv, GError **error)
{
    if (list_fails(error))
        return NULL;
    GPtrArray *list = fake_hv->list(hv, error);

    for (guint i = list ? list->len : 0; i-- > 0;)
        if (is_now(&the_bench->hidden_vm, ((HvDomain *)list->pdata[i])->uuid))
            g_ptr_array_remove_index(list, i);
    return list;
}

static void garble(char **xml)
{
    if (*xml)
        g_free(*xml), *xml = g_strdup("<domain");
}

static bool inspect(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                    char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                    GError **error)
{
    if (!ask(error))
        return false;
    if (is_now(&the_bench->hidden_vm, uuid)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "no such domain");
        return false;
    }
    if (!fake_hv->inspect(hv, uuid, out_domain, out_live, out_inactive, out_foreign_job,
                          out_snapshots, error))
        return false;
    if (is_now(&the_bench->garbled_vm, uuid)) {
        garble(out_live);
        garble(out_inactive);
    }
    return true;
}

void bench_hang_aborts(Bench *bench, bool hang)
{
    g_mutex_lock(&bench->lock);
    bench->aborts_hang = hang;
    g_cond_broadcast(&bench->changed);
    g_mutex_unlock(&bench->lock);
}

static bool block_abort(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    g_mutex_lock(&the_bench->lock);
    while (the_bench->aborts_hang)
        g_cond_wait(&the_bench->changed, &the_bench->lock);
    g_mutex_unlock(&the_bench->lock);
    if (is_now(&the_bench->broken_disk, target)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "the disk %s is broken", target);
        return false;
    }
    return fake_hv->block_abort(hv, uuid, target, error);
}

static bool block_job(Hypervisor *hv, const char *uuid, const char *target, BlockJobFacts **out_job,
                      GError **error)
{
    return ask(error) && fake_hv->block_job(hv, uuid, target, out_job, error);
}

/* The engine has no lock of its own held in a call of the tables. */
static void give_up_if_asked(void)
{
    g_mutex_lock(&the_bench->lock);
    bool late = the_bench->late;
    g_mutex_unlock(&the_bench->lock);
    if (!late)
        return;
    g_mutex_lock(&the_bench->engine->lock);
    uint64_t ticket = the_bench->engine->last_ticket;
    g_mutex_unlock(&the_bench->engine->lock);
    engine_interrupt(the_bench->engine, ticket);
}

static bool define(Hypervisor *hv, const char *uuid, const char *xml, GError **error)
{
    give_up_if_asked();
    return fake_hv->define(hv, uuid, xml, error);
}

/* Two tasks go on: the one that takes the snapshot, and who watches that it is answered in time. */
static bool others_are_busy(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    bool busy = engine->active > 2;
    g_mutex_unlock(&engine->lock);
    return busy;
}

static void tell_if_asked(const char *uuid)
{
    const int64_t deadline = g_get_monotonic_time() + 60 * G_TIME_SPAN_SECOND;

    g_mutex_lock(&the_bench->lock);
    bool asked = the_bench->events_at_commit;
    g_mutex_unlock(&the_bench->lock);
    if (!asked)
        return;
    host_event(HV_EVENT_DOMAIN, uuid, NULL, the_bench->engine);
    while (others_are_busy(the_bench->engine)) {
        assert_true(g_get_monotonic_time() < deadline);
        g_usleep(1000);
    }
}

static bool snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                     const GPtrArray *excluded, GError **error)
{
    give_up_if_asked();
    tell_if_asked(uuid);
    return fake_hv->snapshot(hv, uuid, switches, excluded, error);
}

void bench_interrupt_at_commit(Bench *bench)
{
    g_mutex_lock(&bench->lock);
    bench->late = true;
    g_mutex_unlock(&bench->lock);
}

void bench_tell_at_commit(Bench *bench)
{
    g_mutex_lock(&bench->lock);
    bench->events_at_commit = true;
    g_mutex_unlock(&bench->lock);
}

static bool block_commit(Hypervisor *hv, const char *uuid, const char *target, const char *top,
                         const char *base, bool active, uint64_t bandwidth, GError **error)
{
    if (is_now(&the_bench->broken_disk, target)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "the disk %s is broken", target);
        return false;
    }
    return fake_hv->block_commit(hv, uuid, target, top, base, active, bandwidth, error);
}

static bool block_speed(Hypervisor *hv, const char *uuid, const char *target, uint64_t bandwidth,
                        GError **error)
{
    if (is_now(&the_bench->broken_disk, target)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "the disk %s is broken", target);
        return false;
    }
    return fake_hv->block_speed(hv, uuid, target, bandwidth, error);
}

void bench_lose_events(Bench *bench)
{
    g_mutex_lock(&bench->lock);
    bench->events_lost = true;
    g_mutex_unlock(&bench->lock);
}

static void pass_event(HvEventKind kind, const char *uuid, const char *target, void *data)
{
    Bench *bench = data;

    g_mutex_lock(&bench->lock);
    bool lost = bench->events_lost && kind == HV_EVENT_BLOCK_JOB;
    g_mutex_unlock(&bench->lock);
    if (!lost)
        bench->event(kind, uuid, target, bench->event_data);
}

static void subscribe(Hypervisor *hv, HvEvent event, void *data)
{
    if (event) {
        the_bench->event = event;
        the_bench->event_data = data;
    }
    fake_hv->subscribe(hv, event ? pass_event : NULL, the_bench);
}

static void set_vm(Bench *bench, char **which, const char *uuid)
{
    g_mutex_lock(&bench->lock);
    g_free(*which);
    *which = g_strdup(uuid);
    g_mutex_unlock(&bench->lock);
}

void bench_hide(Bench *bench, const char *uuid)
{
    g_autofree char *about = g_strdup(uuid ? uuid : bench->hidden_vm);

    set_vm(bench, &bench->hidden_vm, uuid);
    host_event(HV_EVENT_DOMAIN, about, NULL, bench->engine);
}

void bench_garble(Bench *bench, const char *uuid)
{
    set_vm(bench, &bench->garbled_vm, uuid);
}

void bench_break_disk(Bench *bench, const char *target)
{
    set_vm(bench, &bench->broken_disk, target);
}

/* ---- image files ---- */

/* The wait is over after @wait_ms, or when the other program has ended. */
static bool wait_until_free(const char *path, unsigned wait_ms)
{
    g_mutex_lock(&the_bench->lock);
    unsigned left = GPOINTER_TO_UINT(g_hash_table_lookup(the_bench->busy, path));
    unsigned waits = MIN(left, wait_ms);
    the_bench->waited_ms += waits;
    g_mutex_unlock(&the_bench->lock);
    g_usleep(waits * 1000UL);
    if (left > 0 && left != FOR_EVER)
        bench_set_busy(the_bench, path, left - waits);
    return left == waits;
}

static ImageLock *lock(Images *images, const char *path, unsigned wait_ms, GError **error)
{
    ImageLock *lock = NULL;

    if (wait_until_free(path, wait_ms))
        lock = fake_images->lock(images, path, 0, error);
    else
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY, "%s is in use by another program", path);
    if (!lock)
        return NULL;
    g_mutex_lock(&the_bench->lock);
    g_hash_table_insert(the_bench->locks, lock, g_strdup(path));
    g_mutex_unlock(&the_bench->lock);
    return lock;
}

static void unlock(Images *images, ImageLock *lock)
{
    g_autofree char *path = NULL;

    g_mutex_lock(&the_bench->lock);
    g_hash_table_steal_extended(the_bench->locks, lock, NULL, (gpointer *)&path);
    bool grabbed = g_hash_table_remove(the_bench->grabbed, path);
    g_mutex_unlock(&the_bench->lock);
    fake_images->unlock(images, lock);
    if (grabbed)
        bench_set_busy(the_bench, path, FOR_EVER);
}

/* Locked at the host too, for who would use or remove the file without waiting. */
void bench_set_busy(Bench *bench, const char *path, unsigned milliseconds)
{
    g_mutex_lock(&bench->lock);
    bool was_busy = g_hash_table_contains(bench->busy, path);
    if (milliseconds > 0)
        g_hash_table_insert(bench->busy, g_strdup(path), GUINT_TO_POINTER(milliseconds));
    else
        g_hash_table_remove(bench->busy, path);
    g_mutex_unlock(&bench->lock);
    if (was_busy && milliseconds == 0)
        simhost_unlock(bench->host, path);
    else if (!was_busy && milliseconds > 0)
        assert_true(simhost_lock(bench->host, path, NULL));
}

void bench_grab(Bench *bench, const char *path)
{
    g_mutex_lock(&bench->lock);
    g_hash_table_add(bench->grabbed, g_strdup(path));
    g_mutex_unlock(&bench->lock);
}

unsigned bench_waited(Bench *bench)
{
    g_mutex_lock(&bench->lock);
    unsigned waited = bench->waited_ms;
    bench->waited_ms = 0;
    g_mutex_unlock(&bench->lock);
    return waited;
}

/* ---- life ---- */

void bench_wrap_tables(Bench *bench)
{
    the_bench = bench;
    fake_hv = bench->hv->ops;
    fake_images = bench->images->ops;
    bench->busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bench->grabbed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bench->locks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    bench->hv_ops = *fake_hv;
    bench->hv_ops.list = list;
    bench->hv_ops.inspect = inspect;
    bench->hv_ops.block_abort = block_abort;
    bench->hv_ops.block_commit = block_commit;
    bench->hv_ops.block_speed = block_speed;
    bench->hv_ops.subscribe = subscribe;
    bench->hv_ops.block_job = block_job;
    bench->hv_ops.define = define;
    bench->hv_ops.snapshot = snapshot;
    bench->hv->ops = &bench->hv_ops;
    bench->image_ops = *fake_images;
    bench->image_ops.lock = lock;
    bench->image_ops.unlock = unlock;
    bench->images->ops = &bench->image_ops;
}

void bench_unwrap_tables(Bench *bench)
{
    g_free(bench->hidden_vm);
    g_free(bench->garbled_vm);
    g_free(bench->broken_disk);
    g_hash_table_unref(bench->busy);
    g_hash_table_unref(bench->grabbed);
    g_hash_table_unref(bench->locks);
}
