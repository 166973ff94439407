/* The fake delivers its events from a thread of its own, fed by a queue: the host tells its
 * listener with its mutex held, and a subscriber may do what it likes. The thread lives while there
 * is a subscriber; ending it is waiting for it. */
#include "hv/fake.h"

#include "hv/fake-yaml.h"
#include "model/simhost-face.h"

typedef struct {
    Hypervisor hypervisor;
    SimHost *host;
    bool owns_host;
    GMutex subscribing; /* guards the rest; one subscribe at a time */
    GThread *thread;
    GAsyncQueue *queue; /* of Event; the one without event ends the thread */
    HvEvent event;
    void *data;
} FakeHypervisor;

typedef struct {
    bool last;
    HvEventKind kind;
    char *uuid, *target;
} Event;

static const HvOps fake_ops;

static void event_free(Event *event)
{
    g_free(event->uuid);
    g_free(event->target);
    g_free(event);
}

/* The host, if libvirt can be reached. */
static SimHost *host_up(Hypervisor *hv, GError **error)
{
    SimHost *host = ((FakeHypervisor *)hv)->host;

    hv->calls++;
    if (!simhost_is_down(host))
        return host;
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_HOST_DOWN,
                        "The simulated libvirt cannot be reached; wait until it is back.");
    return NULL;
}

static SimHost *slow_host_up(Hypervisor *hv, SimSlow call, GError **error)
{
    unsigned milliseconds = simhost_slow(((FakeHypervisor *)hv)->host, call);

    if (milliseconds > 0)
        g_usleep(milliseconds * 1000UL);
    return host_up(hv, error);
}

static HvDomain *domain_of_facts(SimFacts *facts)
{
    HvDomain *domain = g_new0(HvDomain, 1);

    domain->uuid = g_steal_pointer(&facts->uuid);
    domain->name = g_steal_pointer(&facts->name);
    domain->state = facts->state;
    domain->persistent = facts->persistent;
    domain->managed_save = facts->managed_save;
    return domain;
}

/* A domain that went between the two questions is not listed. */
static GPtrArray *fake_list(Hypervisor *hv, GError **error)
{
    SimHost *host = host_up(hv, error);

    if (!host)
        return NULL;

    g_autoptr(GPtrArray) uuids = simhost_list(host);
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)hv_domain_free);
    for (unsigned i = 0; i < uuids->len; i++) {
        g_auto(SimFacts) facts = {0};

        if (simhost_glance(host, uuids->pdata[i], &facts))
            g_ptr_array_add(list, domain_of_facts(&facts));
    }
    return list;
}

static bool fake_inspect(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                         char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                         GError **error)
{
    SimHost *host = host_up(hv, error);
    g_auto(SimFacts) facts = {0};

    if (!host || !simhost_inspect(host, uuid, &facts, error))
        return false;
    *out_live = g_steal_pointer(&facts.live);
    *out_inactive = g_steal_pointer(&facts.inactive);
    *out_foreign_job = g_steal_pointer(&facts.foreign_job);
    *out_snapshots = facts.snapshots;
    *out_domain = domain_of_facts(&facts);
    return true;
}

static Capabilities *fake_capabilities(Hypervisor *hv, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host ? simhost_capabilities(host) : NULL;
}

static bool fake_definitions(Hypervisor *hv, const char *uuid, char **out_live, char **out_inactive,
                             char **out_saved, GError **error)
{
    SimHost *host = host_up(hv, error);
    g_auto(SimFacts) facts = {0};

    if (!host || !simhost_inspect(host, uuid, &facts, error))
        return false;
    *out_live = g_steal_pointer(&facts.live);
    *out_inactive = g_steal_pointer(&facts.inactive);
    *out_saved = g_steal_pointer(&facts.saved);
    return true;
}

static bool fake_block_job(Hypervisor *hv, const char *uuid, const char *target,
                           BlockJobFacts **out_job, GError **error)
{
    SimHost *host = host_up(hv, error);
    SimJobLook look;

    if (!host || !simhost_job_look(host, uuid, target, &look, error))
        return false;
    *out_job = NULL;
    if (look.exists) {
        BlockJobFacts *job = g_new0(BlockJobFacts, 1);

        job->target = g_strdup(target);
        job->kind = g_strdup(look.active ? "active-commit" : "commit");
        job->done = look.done;
        job->total = look.total;
        job->ready = look.ready;
        *out_job = job;
    }
    return true;
}

static bool fake_define(Hypervisor *hv, const char *uuid, const char *xml, GError **error)
{
    SimHost *host = slow_host_up(hv, SIM_SLOW_DEFINE, error);

    return host && simhost_define(host, uuid, xml, error);
}

static bool fake_rename(Hypervisor *hv, const char *uuid, const char *new_name, GError **error)
{
    SimHost *host = slow_host_up(hv, SIM_SLOW_DEFINE, error);

    return host && simhost_rename(host, uuid, new_name, error);
}

static bool fake_undefine(Hypervisor *hv, const char *uuid, GError **error)
{
    SimHost *host = slow_host_up(hv, SIM_SLOW_DEFINE, error);

    return host && simhost_undefine(host, uuid, error);
}

static bool fake_snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                          const GPtrArray *excluded, GError **error)
{
    SimHost *host = slow_host_up(hv, SIM_SLOW_SNAPSHOT, error);

    return host && simhost_snapshot(host, uuid, switches, excluded, error);
}

static bool fake_block_commit(Hypervisor *hv, const char *uuid, const char *target, const char *top,
                              const char *base, bool active, uint64_t bandwidth, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_job_start(host, uuid, target, top, base, active, error);
}

static bool fake_block_pivot(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_job_pivot(host, uuid, target, error);
}

static bool fake_block_abort(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_job_abort(host, uuid, target, error);
}

static bool fake_block_speed(Hypervisor *hv, const char *uuid, const char *target,
                             uint64_t bandwidth, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_job_speed(host, uuid, target, error);
}

static bool fake_start(Hypervisor *hv, const char *uuid, GError **error)
{
    SimHost *host = slow_host_up(hv, SIM_SLOW_START, error);

    return host && simhost_power_on(host, uuid, error);
}

static bool fake_shutdown(Hypervisor *hv, const char *uuid, GError **error)
{
    SimHost *host = slow_host_up(hv, SIM_SLOW_SHUTDOWN, error);

    return host && simhost_shutdown(host, uuid, error);
}

static bool fake_destroy(Hypervisor *hv, const char *uuid, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_destroy(host, uuid, error);
}

static bool fake_suspend(Hypervisor *hv, const char *uuid, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_pause(host, uuid, true, error);
}

static bool fake_resume(Hypervisor *hv, const char *uuid, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_pause(host, uuid, false, error);
}

static bool fake_agent_timeout(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_agent_timeout(host, uuid, seconds, error);
}

static bool fake_freeze(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_freeze(host, uuid, out_count, error);
}

static bool fake_thaw(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_thaw(host, uuid, out_count, error);
}

static bool fake_frozen(Hypervisor *hv, const char *uuid, unsigned seconds, bool *out_frozen,
                        GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_ask_frozen(host, uuid, out_frozen, error);
}

static bool fake_set_metadata(Hypervisor *hv, const char *uuid, const char *home,
                              uint64_t generation, GError **error)
{
    SimHost *host = host_up(hv, error);

    return host && simhost_set_metadata(host, uuid, home, generation, error);
}

static void queue_event(SimNoticeKind kind, const char *uuid, const char *target, void *data)
{
    static const HvEventKind kinds[] = {
        [SIM_DOMAIN] = HV_EVENT_DOMAIN,
        [SIM_BLOCK_JOB] = HV_EVENT_BLOCK_JOB,
        [SIM_DOWN] = HV_EVENT_DOWN,
        [SIM_UP] = HV_EVENT_UP,
    };
    Event *event = g_new0(Event, 1);

    event->kind = kinds[kind];
    event->uuid = g_strdup(uuid);
    event->target = g_strdup(target);
    g_async_queue_push(((FakeHypervisor *)data)->queue, event);
}

static gpointer deliver_events(gpointer data)
{
    FakeHypervisor *fake = data;

    for (;;) {
        Event *event = g_async_queue_pop(fake->queue);
        bool last = event->last;

        if (!last)
            fake->event(event->kind, event->uuid, event->target, fake->data);
        event_free(event);
        if (last)
            return NULL;
    }
}

static void end_subscription(FakeHypervisor *fake)
{
    if (!fake->thread)
        return;

    Event *last = g_new0(Event, 1);
    last->last = true;
    simhost_listen(fake->host, NULL, NULL);
    g_async_queue_push_front(fake->queue, last);
    g_thread_join(g_steal_pointer(&fake->thread));
    g_async_queue_unref(fake->queue);
    fake->queue = NULL;
}

static void fake_subscribe(Hypervisor *hv, HvEvent event, void *data)
{
    FakeHypervisor *fake = (FakeHypervisor *)hv;
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&fake->subscribing);

    end_subscription(fake);
    if (!event)
        return;
    fake->event = event;
    fake->data = data;
    fake->queue = g_async_queue_new_full((GDestroyNotify)event_free);
    fake->thread = g_thread_new("fake-events", deliver_events, fake);
    simhost_listen(fake->host, queue_event, fake);
}

static bool fake_is_up(Hypervisor *hv)
{
    return !simhost_is_down(((FakeHypervisor *)hv)->host);
}

static void fake_free(Hypervisor *hv)
{
    FakeHypervisor *fake = (FakeHypervisor *)hv;

    fake_subscribe(hv, NULL, NULL);
    if (fake->owns_host)
        simhost_free(fake->host);
    g_mutex_clear(&fake->subscribing);
    g_free(fake);
}

static const HvOps fake_ops = {
    .list = fake_list,
    .inspect = fake_inspect,
    .definitions = fake_definitions,
    .capabilities = fake_capabilities,
    .block_job = fake_block_job,
    .define = fake_define,
    .rename = fake_rename,
    .undefine = fake_undefine,
    .snapshot = fake_snapshot,
    .block_commit = fake_block_commit,
    .block_pivot = fake_block_pivot,
    .block_abort = fake_block_abort,
    .block_speed = fake_block_speed,
    .start = fake_start,
    .shutdown = fake_shutdown,
    .destroy = fake_destroy,
    .suspend = fake_suspend,
    .resume = fake_resume,
    .agent_timeout = fake_agent_timeout,
    .freeze = fake_freeze,
    .thaw = fake_thaw,
    .frozen = fake_frozen,
    .set_metadata = fake_set_metadata,
    .subscribe = fake_subscribe,
    .is_up = fake_is_up,
    .free = fake_free,
};

Hypervisor *hv_fake_new(SimHost *host)
{
    FakeHypervisor *fake = g_new0(FakeHypervisor, 1);

    fake->hypervisor.ops = &fake_ops;
    fake->host = host;
    g_mutex_init(&fake->subscribing);
    return &fake->hypervisor;
}

Hypervisor *hv_fake_open(const char *uri, GError **error)
{
    SimHost *host = fake_yaml_load(uri, error);

    if (!host)
        return NULL;

    Hypervisor *hv = hv_fake_new(host);
    ((FakeHypervisor *)hv)->owns_host = true;
    return hv;
}

SimHost *hv_fake_host(Hypervisor *hv)
{
    return hv->ops == &fake_ops ? ((FakeHypervisor *)hv)->host : NULL;
}
