#include "hv/libvirt-private.h"

#define SLOW_SECONDS 20

LibvirtCall *libvirt_call_new(const char *what, const char *uuid, LibvirtRun run)
{
    LibvirtCall *call = g_atomic_rc_box_new0(LibvirtCall);

    call->run = run;
    call->what = g_strdup(what);
    call->uuid = g_strdup(uuid);
    g_mutex_init(&call->lock);
    g_cond_init(&call->ended);
    return call;
}

static void clear_question(LibvirtCall *call)
{
    if (call->connection)
        virConnectClose(call->connection);
    if (call->hv)
        libvirt_hv_unref(call->hv);
    g_free(call->what);
    g_free(call->uri);
    g_free(call->uuid);
    g_free(call->name);
    g_free(call->target);
    g_free(call->xml);
    g_free(call->top);
    g_free(call->base);
    g_free(call->new_name);
}

static void clear_answers(LibvirtCall *call)
{
    g_clear_pointer(&call->domains, g_ptr_array_unref);
    g_clear_pointer(&call->domain, hv_domain_free);
    g_clear_pointer(&call->job, block_job_facts_free);
    g_clear_pointer(&call->capabilities, capabilities_unref);
    g_free(call->live);
    g_free(call->inactive);
    g_free(call->saved);
    g_free(call->foreign_job);
    g_clear_error(&call->error);
}

static void clear_call(void *data)
{
    LibvirtCall *call = data;

    clear_question(call);
    clear_answers(call);
    g_mutex_clear(&call->lock);
    g_cond_clear(&call->ended);
}

void libvirt_call_unref(LibvirtCall *call)
{
    g_atomic_rc_box_release_full(call, clear_call);
}

/* "pivot disk vda of domain …", "start domain …", "list the domains"; yours. */
static char *describe(const LibvirtCall *call)
{
    if (call->target)
        return g_strdup_printf("%s disk %s of domain %s", call->what, call->target, call->name);
    if (call->uuid)
        return g_strdup_printf("%s domain %s", call->what, call->name);
    return g_strdup(call->what);
}

/* A call for which its turn comes too late is not made: whoever waited for it has gone on. */
static bool run_pooled(LibvirtCall *call, GError **error)
{
    guint64 life = 0;

    call->connection = libvirt_pool_take(call->hv, call->pool, call->deadline, &life, error);
    if (!call->connection) {
        g_autofree char *what = describe(call);

        g_prefix_error(error, "cannot %s: ", what);
        return false;
    }
    bool in_time = g_get_monotonic_time() < call->deadline;
    if (!in_time)
        g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT, "libvirt could not be asked in time");
    bool ok = in_time && call->run(call, error);
    libvirt_pool_return(call->hv, call->pool, g_steal_pointer(&call->connection), life);
    return ok;
}

static void run_in_helper(void *data, void *unused)
{
    g_autoptr(LibvirtCall) call = data;
    g_autoptr(GError) error = NULL;
    bool ok = call->hv ? run_pooled(call, &error) : call->run(call, &error);

    g_mutex_lock(&call->lock);
    call->ok = ok;
    call->error = g_steal_pointer(&error);
    call->done = true;
    g_cond_signal(&call->ended);
    g_mutex_unlock(&call->lock);
}

/* Unlimited: a call that hangs must not keep others waiting, and no caller has more than one. */
static GThreadPool *helpers(void)
{
    static gsize made;

    if (g_once_init_enter(&made))
        g_once_init_leave(&made, (gsize)g_thread_pool_new(run_in_helper, NULL, -1, FALSE, NULL));
    return (GThreadPool *)made;
}

void libvirt_call_push(LibvirtCall *call)
{
    g_thread_pool_push(helpers(), g_atomic_rc_box_acquire(call), NULL);
}

/* Whoever waits need not wait for a libvirt that is gone: what it does yet is found out when it is
 * back. */
static bool is_lost(const LibvirtCall *call)
{
    return call->hv && libvirt_life(call->hv) != call->life;
}

/* Whoever looks into the log while something hangs finds which call it is. */
static void tell_slow(const char *what)
{
    g_message("libvirt has not answered for %d s: %s", SLOW_SECONDS, what);
}

static bool wait_until_done(LibvirtCall *call, const char *what, bool *out_lost)
{
    int64_t slow = g_get_monotonic_time() + SLOW_SECONDS * G_TIME_SPAN_SECOND;

    g_mutex_lock(&call->lock);
    while (!call->done && !*out_lost && g_get_monotonic_time() < call->deadline) {
        int64_t now = g_get_monotonic_time();

        if (now >= slow) {
            tell_slow(what);
            slow = call->deadline;
        }
        g_cond_wait_until(&call->ended, &call->lock, MIN(now + G_TIME_SPAN_SECOND, call->deadline));
        *out_lost = !call->done && is_lost(call);
    }
    bool done = call->done;
    g_mutex_unlock(&call->lock);
    return done;
}

bool libvirt_call_run(LibvirtCall *call, unsigned seconds, GError **error)
{
    g_autofree char *what = describe(call);
    bool lost = false;

    call->deadline = g_get_monotonic_time() + seconds * G_TIME_SPAN_SECOND;
    libvirt_call_push(call);
    if (!wait_until_done(call, what, &lost)) {
        if (lost)
            g_set_error(error, VMSNAPFS_ERROR, ERR_HOST_DOWN,
                        "cannot %s: the connection to libvirt was lost; it may still do it", what);
        else
            g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT,
                        "cannot %s: libvirt did not answer within %u s; it may still do it", what,
                        seconds);
        return false;
    }
    if (!call->ok)
        g_propagate_error(error, g_steal_pointer(&call->error));
    return call->ok;
}

static bool run_connected(Hypervisor *base, LibvirtCall *call, bool effect, unsigned seconds,
                          GError **error)
{
    LibvirtHv *hv = (LibvirtHv *)base;

    base->calls++;
    call->name = call->uuid ? libvirt_hv_name(hv, call->uuid) : NULL;
    call->hv = libvirt_hv_ref(hv);
    call->pool = effect ? &hv->effects : &hv->queries;
    call->life = libvirt_life(hv);
    return libvirt_call_run(call, seconds, error);
}

bool libvirt_call_query(Hypervisor *hv, LibvirtCall *call, GError **error)
{
    return run_connected(hv, call, false, LIBVIRT_QUERY_SECONDS, error);
}

bool libvirt_call_effect(Hypervisor *hv, LibvirtCall *call, GError **error)
{
    return run_connected(hv, call, true, LIBVIRT_EFFECT_SECONDS, error);
}

bool libvirt_call_agent(Hypervisor *hv, LibvirtCall *call, GError **error)
{
    return run_connected(hv, call, true, LIBVIRT_AGENT_SECONDS, error);
}

virDomainPtr libvirt_call_domain(LibvirtCall *call, GError **error)
{
    virDomainPtr domain = virDomainLookupByUUIDString(call->connection, call->uuid);

    if (!domain)
        libvirt_call_failed(call, error);
    return domain;
}

bool libvirt_call_failed(LibvirtCall *call, GError **error)
{
    g_autofree char *what = describe(call);

    return libvirt_error_set(error, call->connection, "cannot %s", what);
}
