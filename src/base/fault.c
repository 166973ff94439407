#include "base/fault.h"

struct Fault {
    GMutex lock; /* guards everything below */
    FaultMode mode;
    unsigned call;
    unsigned calls;
    bool dead;
    GThread *hit; /* who made the armed call; lanes run side by side, so its answer is told apart by
                     thread */
    FaultWatch watch;
    void *watch_data;
};

Fault *fault_new(void)
{
    Fault *fault = g_new0(Fault, 1);

    g_mutex_init(&fault->lock);
    return fault;
}

void fault_free(Fault *fault)
{
    if (!fault)
        return;
    g_mutex_clear(&fault->lock);
    g_free(fault);
}

void fault_arm(Fault *fault, FaultMode mode, unsigned call)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    fault->mode = mode;
    fault->call = call;
    fault->calls = 0;
    fault->dead = false;
    fault->hit = NULL;
}

unsigned fault_calls(Fault *fault)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    return fault->calls;
}

bool fault_is_dead(Fault *fault)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    return fault->dead;
}

void fault_watch(Fault *fault, FaultWatch watch, void *data)
{
    fault->watch = watch;
    fault->watch_data = data;
}

static bool fail_dead(const char *what, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED, "The program is dead and cannot call %s",
                what);
    return false;
}

static void tell_watch(const Fault *fault)
{
    if (fault->watch)
        fault->watch(fault->watch_data);
}

bool fault_before(Fault *fault, const char *what, GError **error)
{
    tell_watch(fault);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    if (fault->dead)
        return fail_dead(what, error);
    fault->calls++;
    if (fault->mode == FAULT_NONE || fault->calls != fault->call)
        return true;
    if (fault->mode == FAULT_CUT_BEFORE) {
        fault->dead = true;
        return fail_dead(what, error);
    }
    if (fault->mode == FAULT_FAIL) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "Call %u, %s, was made to fail", fault->calls,
                    what);
        return false;
    }
    fault->hit = g_thread_self();
    return true;
}

bool fault_after(Fault *fault, const char *what, GError **error)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);
    bool hit = fault->hit == g_thread_self();

    if (hit) {
        fault->hit = NULL;
        fault->dead = fault->mode == FAULT_CUT_AFTER;
    }
    if (fault->dead)
        return fail_dead(what, error);
    if (hit) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "Call %u, %s, was done, but its answer was lost",
                    fault->call, what);
        return false;
    }
    return true;
}
