#include "hv-contract-tools.h"

const HvContract *contract;
Hypervisor *hv;

/* --- what was told --- */

typedef struct {
    HvEventKind kind;
    char *uuid, *target;
} Told;

static GMutex told_lock;
static GCond told_changed;
static GPtrArray *told; /* of Told, guarded by told_lock */

static void told_free(void *data)
{
    Told *event = data;

    g_free(event->uuid);
    g_free(event->target);
    g_free(event);
}

void hear(HvEventKind kind, const char *uuid, const char *target, void *data)
{
    Told *event = g_new0(Told, 1);

    event->kind = kind;
    event->uuid = g_strdup(uuid);
    event->target = g_strdup(target);
    g_mutex_lock(&told_lock);
    g_ptr_array_add(told, event);
    g_cond_broadcast(&told_changed);
    g_mutex_unlock(&told_lock);
}

void forget_events(void)
{
    g_mutex_lock(&told_lock);
    g_ptr_array_set_size(told, 0);
    g_mutex_unlock(&told_lock);
}

static bool was_told(HvEventKind kind, const char *uuid, const char *target)
{
    for (guint i = 0; i < told->len; i++) {
        const Told *event = told->pdata[i];

        if (event->kind == kind && g_strcmp0(event->uuid, uuid) == 0 &&
            (!target || g_strcmp0(event->target, target) == 0))
            return true;
    }
    return false;
}

bool heard(HvEventKind kind, const char *uuid, const char *target)
{
    bool found;

    g_mutex_lock(&told_lock);
    found = was_told(kind, uuid, target);
    g_mutex_unlock(&told_lock);
    return found;
}

void listen_begin(void)
{
    told = g_ptr_array_new_with_free_func(told_free);
}

void listen_end(void)
{
    g_clear_pointer(&told, g_ptr_array_unref);
}

static gint64 deadline(void)
{
    return g_get_monotonic_time() + HV_CONTRACT_SECONDS * G_TIME_SPAN_SECOND;
}

void assert_told(HvEventKind kind, const char *uuid, const char *target)
{
    gint64 until = deadline();
    bool found;

    g_mutex_lock(&told_lock);
    while (!(found = was_told(kind, uuid, target)) &&
           g_cond_wait_until(&told_changed, &told_lock, until))
        ;
    g_mutex_unlock(&told_lock);
    assert_true(found);
}

/* --- asking --- */

void assert_worked(bool ok, GError *error)
{
    if (!ok)
        fail_msg("%s", error ? error->message : "failed without an error");
    assert_null(error);
}

void assert_refused(bool ok, GError *error, ErrorCode code)
{
    assert_false(ok);
    assert_non_null(error);
    if (!error_is(error, code))
        fail_msg("code %d instead of %d: %s", error->code, code, error->message);
    g_error_free(error);
}

void facts_clear(Facts *facts)
{
    hv_domain_free(facts->domain);
    g_free(facts->live_xml);
    g_free(facts->inactive_xml);
    g_free(facts->foreign_job);
    g_clear_pointer(&facts->live, domain_free);
    g_clear_pointer(&facts->inactive, domain_free);
}

static Domain *parse(const char *xml)
{
    GError *error = NULL;
    Domain *domain = xml ? domain_parse(xml, &error) : NULL;

    assert_worked(!xml || domain, error);
    return domain;
}

Facts inspect(const char *uuid)
{
    GError *error = NULL;
    Facts facts = {0};
    bool ok = hv->ops->inspect(hv, uuid, &facts.domain, &facts.live_xml, &facts.inactive_xml,
                               &facts.foreign_job, &facts.snapshots, &error);

    assert_worked(ok, error);
    facts.live = parse(facts.live_xml);
    facts.inactive = parse(facts.inactive_xml);
    return facts;
}

void assert_state(const char *uuid, DomainState state)
{
    g_auto(Facts) facts = inspect(uuid);

    assert_string_equal(domain_state_name(facts.domain->state), domain_state_name(state));
}

static char *live_path(const char *uuid, const char *target)
{
    g_auto(Facts) facts = inspect(uuid);

    assert_non_null(facts.live);
    return g_strdup(domain_disk(facts.live, target)->path);
}

char *inactive_path(const char *uuid, const char *target)
{
    g_auto(Facts) facts = inspect(uuid);

    assert_non_null(facts.inactive);
    return g_strdup(domain_disk(facts.inactive, target)->path);
}

void assert_live(const char *uuid, const char *target, const char *path)
{
    g_autofree char *now = live_path(uuid, target);

    assert_string_equal(now, path);
}

void assert_inactive(const char *uuid, const char *target, const char *path)
{
    g_autofree char *now = inactive_path(uuid, target);

    assert_string_equal(now, path);
}

static BlockJobFacts *block_job(const char *uuid, const char *target)
{
    GError *error = NULL;
    BlockJobFacts *job = NULL;
    bool ok = hv->ops->block_job(hv, uuid, target, &job, &error);

    assert_worked(ok, error);
    return job;
}

bool has_no_job(const char *uuid, const char *target)
{
    BlockJobFacts *job = block_job(uuid, target);

    if (!job)
        return true;
    block_job_facts_free(job);
    return false;
}

bool job_is_ready(const char *uuid, const char *target)
{
    BlockJobFacts *job = block_job(uuid, target);
    bool ready;

    assert_non_null(job);
    assert_string_equal(job->kind, "active-commit");
    assert_string_equal(job->target, target);
    assert_true(job->done <= job->total);
    ready = job->ready;
    block_job_facts_free(job);
    return ready;
}

void wait_until(bool (*is_so)(const char *, const char *), const char *uuid, const char *target)
{
    gint64 until = deadline();

    while (!is_so(uuid, target)) {
        assert_true(g_get_monotonic_time() < until);
        g_usleep(10000);
    }
}

/* --- doing --- */

void power(Power function, const char *uuid)
{
    GError *error = NULL;
    bool ok = function(hv, uuid, &error);

    assert_worked(ok, error);
}

/* Running, then paused at once: no case needs what the guest would do. */
void start_paused(const char *uuid)
{
    power(hv->ops->start, uuid);
    power(hv->ops->suspend, uuid);
}

GPtrArray *switches_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
}

void snapshot(const char *uuid, const char *target, const char *overlay)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) switches = switches_new();
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();
    bool ok;

    g_ptr_array_add(switches, disk_switch_new(target, overlay, "qcow2"));
    ok = hv->ops->snapshot(hv, uuid, switches, excluded, &error);
    assert_worked(ok, error);
}

void commit(const char *uuid, const char *target, const char *top, const char *base, bool active)
{
    GError *error = NULL;
    bool ok = hv->ops->block_commit(hv, uuid, target, top, base, active, 0, &error);

    assert_worked(ok, error);
}

char *overlay_of(const char *backing)
{
    return contract->make_overlay(contract->host, backing);
}

char *make_vm(void **state, unsigned n_disks)
{
    static unsigned made;
    g_autofree char *name = g_strdup_printf("contract-%u", ++made);

    *state = contract->make_vm(contract->host, name, n_disks);
    assert_non_null(*state);
    return *state;
}
