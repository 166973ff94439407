/* The connections on which calls are made. Each is used by one thread at a time.
 *
 * libvirt says that a connection may be shared by threads, and up to 9.4 it must not be: a thread
 * that comes while another waits for its answer leaves behind what that one waited with, which is
 * on its stack, and a third one that finds it crashes. Nor would it be of use: libvirtd works on
 * few calls of one connection at a time. So there are some of them, opened when they are needed;
 * the first one, which hears the events, makes no calls. The embedded driver is in this process and
 * has but one, which may be shared. */
#include "hv/libvirt-private.h"

#define KEPT 2 /* unused ones, for the next calls; each is kept alive, which wakes us */

static bool set_down(const LibvirtHv *hv, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_HOST_DOWN, "%s",
                hv->why_down ? hv->why_down : "libvirt has not answered yet");
    return false;
}

/* A turn for one more call; false with an error. */
static bool wait_for_turn_locked(LibvirtHv *hv, const LibvirtPool *pool, int64_t deadline,
                                 GError **error)
{
    while (hv->main && pool->used >= pool->most && g_get_monotonic_time() < deadline)
        g_cond_wait_until(&hv->changed, &hv->lock, deadline);
    if (!hv->main)
        return set_down(hv, error);
    if (pool->used < pool->most)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT, "libvirt is busy with %u calls that do not end",
                pool->used);
    return false;
}

static virConnectPtr open_another(LibvirtHv *hv, GError **error)
{
    virConnectPtr connection = virConnectOpen(hv->uri);
    g_autoptr(GError) why = NULL;

    if (connection) {
        libvirt_keep_alive(connection);
        return connection;
    }
    libvirt_error_set(&why, NULL, "libvirt at %s cannot be reached", hv->uri);
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_HOST_DOWN, why->message);
    return NULL;
}

static void give_turn_back(LibvirtHv *hv, LibvirtPool *pool)
{
    g_mutex_lock(&hv->lock);
    pool->used--;
    g_cond_broadcast(&hv->changed);
    g_mutex_unlock(&hv->lock);
}

virConnectPtr libvirt_pool_take(LibvirtHv *hv, LibvirtPool *pool, int64_t deadline,
                                guint64 *out_life, GError **error)
{
    virConnectPtr connection = NULL;

    g_mutex_lock(&hv->lock);
    bool mine = wait_for_turn_locked(hv, pool, deadline, error);
    if (mine) {
        *out_life = hv->life;
        pool->used++;
        connection = hv->embedded ? hv->main : g_queue_pop_head(&pool->idle);
    }
    if (connection && hv->embedded)
        virConnectRef(connection);
    g_mutex_unlock(&hv->lock);
    if (!mine || connection)
        return connection;
    connection = open_another(hv, error);
    if (!connection)
        give_turn_back(hv, pool);
    return connection;
}

void libvirt_pool_return(LibvirtHv *hv, LibvirtPool *pool, virConnectPtr connection, guint64 life)
{
    bool alive = !hv->embedded && virConnectIsAlive(connection) == 1;

    g_mutex_lock(&hv->lock);
    bool keep = alive && hv->main && hv->life == life && pool->idle.length < KEPT;
    if (keep)
        g_queue_push_head(&pool->idle, connection);
    g_mutex_unlock(&hv->lock);
    give_turn_back(hv, pool);
    if (!keep)
        virConnectClose(connection);
}

/* A libvirt that hangs does not answer to this either. */
static bool run_close(LibvirtCall *call, GError **error)
{
    virConnectClose(g_steal_pointer(&call->connection));
    return true;
}

void libvirt_pool_empty(LibvirtHv *hv, LibvirtPool *pool)
{
    virConnectPtr connection = NULL;

    do {
        g_mutex_lock(&hv->lock);
        connection = g_queue_pop_head(&pool->idle);
        g_mutex_unlock(&hv->lock);
        if (connection) {
            g_autoptr(LibvirtCall) call = libvirt_call_new("close", NULL, run_close);

            call->connection = connection;
            libvirt_call_push(call);
        }
    } while (connection);
}

guint64 libvirt_life(LibvirtHv *hv)
{
    g_mutex_lock(&hv->lock);
    guint64 life = hv->main ? hv->life : 0;
    g_mutex_unlock(&hv->lock);
    return life;
}
