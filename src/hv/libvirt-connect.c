/* The connection thread of one hypervisor: opens the connections, tells the subscriber what
 * happens, notices that they are lost, and opens them again, at first at once, then after 1, 2, 4 …
 * 30 s. It alone changes hv->main.
 *
 * Loss is noticed by libvirt's keepalive (a daemon that hangs) or by the end of the socket (one
 * that died); both call on_closed in libvirt's event thread, which only leaves a note. A note names
 * its life, so one about an earlier life of the connection cannot end the present one. The embedded
 * driver has neither: it lives as long as this process. */
#include "hv/libvirt-private.h"

#define KEEPALIVE_SECONDS    5
#define KEEPALIVE_COUNT      3
#define LONGEST_WAIT_SECONDS 30

static void clear_link(void *data)
{
    LibvirtLink *link = data;

    g_array_unref(link->event_ids);
    libvirt_hv_unref(link->hv);
}

static LibvirtLink *link_new(LibvirtHv *hv)
{
    LibvirtLink *link = g_atomic_rc_box_new0(LibvirtLink);

    link->hv = libvirt_hv_ref(hv);
    link->life = ++hv->lives;
    link->event_ids = g_array_new(FALSE, FALSE, sizeof(int));
    return link;
}

LibvirtLink *libvirt_link_ref(LibvirtLink *link)
{
    return g_atomic_rc_box_acquire(link);
}

void libvirt_link_unref(void *link)
{
    g_atomic_rc_box_release_full(link, clear_link);
}

LibvirtNote *libvirt_note_new(LibvirtNoteKind kind)
{
    LibvirtNote *note = g_new0(LibvirtNote, 1);

    note->kind = kind;
    return note;
}

void libvirt_note_free(LibvirtNote *note)
{
    if (!note)
        return;
    g_free(note->uuid);
    g_free(note->target);
    g_free(note);
}

static void on_closed(virConnectPtr connection, int reason, void *data)
{
    LibvirtLink *link = data;
    LibvirtNote *note = libvirt_note_new(NOTE_CLOSED);

    note->life = link->life;
    g_async_queue_push(link->hv->notes, note);
}

bool libvirt_keep_alive(virConnectPtr connection)
{
    return virConnectSetKeepAlive(connection, KEEPALIVE_SECONDS, KEEPALIVE_COUNT) == 0;
}

/* A driver inside this process has no keepalive and never closes: that is no failure. It must not
 * be given a close callback: libvirt 9 would say that all is well, and neither keep nor free its
 * data. */
static bool watch(virConnectPtr connection, LibvirtLink *link)
{
    if (!libvirt_keep_alive(connection))
        return virGetLastErrorCode() == VIR_ERR_NO_SUPPORT;
    if (virConnectRegisterCloseCallback(connection, on_closed, libvirt_link_ref(link),
                                        libvirt_link_unref) == 0)
        return true;
    libvirt_link_unref(link);
    return false;
}

static bool run_open(LibvirtCall *call, GError **error)
{
    call->connection = virConnectOpen(call->uri);
    return call->connection ||
           libvirt_error_set(error, NULL, "libvirt at %s cannot be reached", call->uri);
}

static unsigned open_seconds(const LibvirtHv *hv)
{
    return hv->embedded ? LIBVIRT_EMBED_SECONDS : LIBVIRT_OPEN_SECONDS;
}

/* A daemon that hangs accepts, and then says nothing, and there is no keepalive yet: hence a call
 * with a deadline. */
static virConnectPtr open_watched(LibvirtHv *hv, LibvirtLink *link, GError **error)
{
    g_autofree char *what = g_strdup_printf("open libvirt at %s", hv->uri);
    g_autoptr(LibvirtCall) call = libvirt_call_new(what, NULL, run_open);

    call->uri = g_strdup(hv->uri);
    if (!libvirt_call_run(call, open_seconds(hv), error))
        return NULL;
    if (watch(call->connection, link))
        return g_steal_pointer(&call->connection);
    libvirt_error_set(error, NULL, "libvirt at %s cannot be watched", hv->uri);
    return NULL;
}

static void close_watched(virConnectPtr connection)
{
    virConnectUnregisterCloseCallback(connection, on_closed);
    virConnectClose(connection);
}

static virConnectPtr open_main(LibvirtHv *hv, LibvirtLink *link, GError **error)
{
    virConnectPtr connection = open_watched(hv, link, error);

    if (!connection || libvirt_events_register(connection, link))
        return connection;
    libvirt_error_set(error, NULL, "libvirt at %s gives no events", hv->uri);
    libvirt_events_unregister(connection, link);
    close_watched(connection);
    return NULL;
}

static void set_state(LibvirtHv *hv, virConnectPtr connection, guint64 life, const char *why)
{
    g_mutex_lock(&hv->lock);
    hv->main = connection;
    hv->life = life;
    g_free(hv->why_down);
    hv->why_down = g_strdup(why);
    g_cond_broadcast(&hv->changed);
    g_mutex_unlock(&hv->lock);
}

/* The link of the new life, or NULL. */
static LibvirtLink *bring_up(LibvirtHv *hv)
{
    LibvirtLink *link = link_new(hv);
    g_autoptr(GError) error = NULL;
    virConnectPtr connection = open_main(hv, link, &error);

    if (!connection) {
        g_debug("%s", error->message);
        set_state(hv, NULL, 0, error->message);
        libvirt_link_unref(link);
        return NULL;
    }
    set_state(hv, connection, link->life, NULL);
    libvirt_deliver(hv, HV_EVENT_UP, NULL, NULL);
    return link;
}

static void bring_down(LibvirtHv *hv, LibvirtLink *link)
{
    virConnectPtr connection = hv->main;
    g_autofree char *why = g_strdup_printf("the connection to libvirt at %s was lost", hv->uri);

    set_state(hv, NULL, 0, why);
    libvirt_pool_empty(hv, &hv->queries);
    libvirt_pool_empty(hv, &hv->effects);
    libvirt_deliver(hv, HV_EVENT_DOWN, NULL, NULL);
    libvirt_events_unregister(connection, link);
    close_watched(connection);
    libvirt_link_unref(link);
}

static void set_flag(LibvirtHv *hv, bool *flag)
{
    g_mutex_lock(&hv->lock);
    *flag = true;
    g_cond_broadcast(&hv->changed);
    g_mutex_unlock(&hv->lock);
}

/* The next note; NULL if @link is down and it is time to try again. */
static LibvirtNote *next_note(LibvirtHv *hv, const LibvirtLink *link, unsigned wait)
{
    return link ? g_async_queue_pop(hv->notes)
                : g_async_queue_timeout_pop(hv->notes, wait * G_TIME_SPAN_SECOND);
}

/* Do what @note says; true: to stop. *link is NULL once it is down. */
static bool obey(LibvirtHv *hv, LibvirtLink **link, const LibvirtNote *note)
{
    switch (note->kind) {
    case NOTE_EVENT:
        libvirt_deliver(hv, note->event, note->uuid, note->target);
        return false;
    case NOTE_CLOSED:
        if (*link && note->life == (*link)->life)
            bring_down(hv, g_steal_pointer(link));
        return false;
    case NOTE_STOP:
        return true;
    }
    return false;
}

/* Until a note says stop. Gives the link that is up then, or NULL. */
static LibvirtLink *keep_connected(LibvirtHv *hv)
{
    LibvirtLink *link = NULL;
    unsigned wait = 0;
    bool try_now = true;

    while (true) {
        if (!link && try_now) {
            link = bring_up(hv);
            wait = link ? 0 : CLAMP(wait * 2, 1, LONGEST_WAIT_SECONDS);
            set_flag(hv, &hv->attempted);
        }
        LibvirtNote *note = next_note(hv, link, wait);
        bool was_up = link;
        bool stop = note && obey(hv, &link, note);

        try_now = !note || (was_up && !link);
        libvirt_note_free(note);
        if (stop)
            return link;
    }
}

static void *run_connection(void *data)
{
    LibvirtHv *hv = data;
    LibvirtLink *link = keep_connected(hv);

    if (link)
        bring_down(hv, link);
    set_flag(hv, &hv->ended);
    libvirt_hv_unref(hv);
    return NULL;
}

static void wait_for(LibvirtHv *hv, const bool *flag, unsigned seconds)
{
    gint64 deadline = g_get_monotonic_time() + seconds * G_TIME_SPAN_SECOND;

    g_mutex_lock(&hv->lock);
    while (!*flag && g_cond_wait_until(&hv->changed, &hv->lock, deadline))
        ;
    g_mutex_unlock(&hv->lock);
}

void libvirt_connection_start(LibvirtHv *hv)
{
    g_thread_unref(g_thread_new("libvirt", run_connection, libvirt_hv_ref(hv)));
    wait_for(hv, &hv->attempted, open_seconds(hv));
}

void libvirt_connection_stop(LibvirtHv *hv)
{
    libvirt_subscribe(&hv->base, NULL, NULL);
    g_async_queue_push_front(hv->notes, libvirt_note_new(NOTE_STOP));
    wait_for(hv, &hv->ended, LIBVIRT_CLOSE_SECONDS);
}

bool libvirt_is_up(Hypervisor *base)
{
    LibvirtHv *hv = (LibvirtHv *)base;
    bool up;

    g_mutex_lock(&hv->lock);
    up = hv->main != NULL;
    g_mutex_unlock(&hv->lock);
    return up;
}
