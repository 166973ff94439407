#include "hv/libvirt-private.h"

#include <signal.h>

typedef struct {
    int id;
    virConnectDomainEventGenericCallback callback;
} EventKind;

/* Events that libvirt's own loop failed to wait for would make it spin. */
#define LOOP_PAUSE_US 100000

static void *run_events(void *unused)
{
    while (true)
        if (virEventRunDefaultImpl() < 0)
            g_usleep(LOOP_PAUSE_US);
    return NULL;
}

void libvirt_events_start(void)
{
    static gsize started;

    if (!g_once_init_enter(&started))
        return;
    libvirt_error_silence();
    signal(SIGPIPE, SIG_IGN); /* libvirt writes to the socket of a daemon that died */
    /* Read once, when libvirt starts. The embedded driver warns on stderr at each start of a
     * machine that QEMU runs as root; who wants that sets the variable. */
    g_setenv("LIBVIRT_DEBUG", "error", FALSE);
    virEventRegisterDefaultImpl();
    g_thread_unref(g_thread_new("libvirt-events", run_events, NULL));
    g_once_init_leave(&started, 1);
}

/* libvirt's event thread only notes; the connection thread tells. */
static void note_event(LibvirtLink *link, HvEventKind kind, virDomainPtr domain, const char *target)
{
    char uuid[VIR_UUID_STRING_BUFLEN];
    LibvirtNote *note;

    if (virDomainGetUUIDString(domain, uuid) < 0)
        return;
    note = libvirt_note_new(NOTE_EVENT);
    note->event = kind;
    note->uuid = g_strdup(uuid);
    note->target = g_strdup(target);
    g_async_queue_push(link->hv->notes, note);
}

static void on_lifecycle(virConnectPtr connection, virDomainPtr domain, int event, int detail,
                         void *link)
{
    note_event(link, HV_EVENT_DOMAIN, domain, NULL);
}

static void on_block_job(virConnectPtr connection, virDomainPtr domain, const char *target,
                         int type, int status, void *link)
{
    note_event(link, HV_EVENT_BLOCK_JOB, domain, target);
}

static void on_device(virConnectPtr connection, virDomainPtr domain, const char *alias, void *link)
{
    note_event(link, HV_EVENT_DOMAIN, domain, NULL);
}

static void on_metadata(virConnectPtr connection, virDomainPtr domain, int type, const char *uri,
                        void *link)
{
    note_event(link, HV_EVENT_DOMAIN, domain, NULL);
}

/* A backup, migration or dump is over. */
static void on_job_completed(virConnectPtr connection, virDomainPtr domain,
                             virTypedParameterPtr params, int n_params, void *link)
{
    note_event(link, HV_EVENT_DOMAIN, domain, NULL);
}

static void on_agent(virConnectPtr connection, virDomainPtr domain, int state, int reason,
                     void *link)
{
    note_event(link, HV_EVENT_DOMAIN, domain, NULL);
}

/* BLOCK_JOB_2 and not BLOCK_JOB: the path that the latter names changes with the pivot. */
static const EventKind event_kinds[] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle)},
    {VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2, VIR_DOMAIN_EVENT_CALLBACK(on_block_job)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device)},
    {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata)},
    {VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent)},
    {VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, VIR_DOMAIN_EVENT_CALLBACK(on_job_completed)},
};

bool libvirt_events_register(virConnectPtr connection, LibvirtLink *link)
{
    for (size_t i = 0; i < G_N_ELEMENTS(event_kinds); i++) {
        int id = virConnectDomainEventRegisterAny(connection, NULL, event_kinds[i].id,
                                                  event_kinds[i].callback, libvirt_link_ref(link),
                                                  libvirt_link_unref);

        if (id < 0) {
            libvirt_link_unref(link);
            return false;
        }
        g_array_append_val(link->event_ids, id);
    }
    return true;
}

void libvirt_events_unregister(virConnectPtr connection, LibvirtLink *link)
{
    for (guint i = 0; i < link->event_ids->len; i++)
        virConnectDomainEventDeregisterAny(connection, g_array_index(link->event_ids, int, i));
    g_array_set_size(link->event_ids, 0);
}

void libvirt_deliver(LibvirtHv *hv, HvEventKind kind, const char *uuid, const char *target)
{
    HvEvent event;
    void *data;

    g_mutex_lock(&hv->lock);
    event = hv->event;
    data = hv->event_data;
    hv->delivering++;
    g_mutex_unlock(&hv->lock);
    if (event)
        event(kind, uuid, target, data);
    g_mutex_lock(&hv->lock);
    hv->delivering--;
    g_cond_broadcast(&hv->changed);
    g_mutex_unlock(&hv->lock);
}

void libvirt_subscribe(Hypervisor *base, HvEvent event, void *data)
{
    LibvirtHv *hv = (LibvirtHv *)base;

    g_mutex_lock(&hv->lock);
    hv->event = event;
    hv->event_data = data;
    while (hv->delivering)
        g_cond_wait(&hv->changed, &hv->lock);
    g_mutex_unlock(&hv->lock);
}
