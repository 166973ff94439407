#include "base/fault.h"

#include <string.h>

struct Fault {
    GMutex lock; /* guards everything below */
    FaultMode mode;
    unsigned call;
    unsigned calls;
    FaultTarget target;  /* member NULL: any effect, by mode and call */
    GHashTable *members; /* name → GUINT_TO_POINTER(calls) */
    bool dead;
    GThread *hit; /* who made the armed call; lanes run side by side, so its answer is told apart by
                     thread */
    FaultWatch watch;
    void *watch_data;
    void (*hang)(void *data);
    void *hang_data;
};

Fault *fault_new(void)
{
    Fault *fault = g_new0(Fault, 1);

    g_mutex_init(&fault->lock);
    fault->members = g_hash_table_new(g_str_hash, g_str_equal);
    return fault;
}

void fault_free(Fault *fault)
{
    if (!fault)
        return;
    g_hash_table_unref(fault->members);
    g_mutex_clear(&fault->lock);
    g_free(fault);
}

static void arm(Fault *fault, FaultMode mode, unsigned call, const FaultTarget *target)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    fault->mode = mode;
    fault->call = call;
    fault->target = *target;
    fault->calls = 0;
    fault->dead = false;
    fault->hit = NULL;
    g_hash_table_remove_all(fault->members);
}

void fault_arm(Fault *fault, FaultMode mode, unsigned call)
{
    arm(fault, mode, call, &(FaultTarget){.code = ERR_IO});
}

void fault_arm_member(Fault *fault, const FaultTarget *target)
{
    arm(fault, target->mode, target->call, target);
}

void fault_on_hang(Fault *fault, void (*hang)(void *data), void *data)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    fault->hang = hang;
    fault->hang_data = data;
}

unsigned fault_calls(Fault *fault)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    return fault->calls;
}

unsigned fault_member_calls(Fault *fault, const char *member)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    return GPOINTER_TO_UINT(g_hash_table_lookup(fault->members, member));
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

/* The names are those of functions, constants of who decorates. */
static unsigned count_member_locked(Fault *fault, const char *what)
{
    unsigned n = GPOINTER_TO_UINT(g_hash_table_lookup(fault->members, what)) + 1;

    g_hash_table_insert(fault->members, (char *)what, GUINT_TO_POINTER(n));
    return n;
}

/* Is this the armed call? @calls: its number among all effects, 0 for a question. */
static bool is_armed_locked(Fault *fault, const char *what, unsigned calls)
{
    const FaultTarget *target = &fault->target;
    unsigned n = count_member_locked(fault, what);

    if (fault->mode == FAULT_NONE)
        return false;
    if (!target->member)
        return calls > 0 && calls == fault->call;
    return strcmp(target->member, what) == 0 && n >= target->call &&
           (target->stays || n < target->call + MAX(target->times, 1));
}

/* Lets time pass if the armed call hangs. */
static void hang(Fault *fault)
{
    g_mutex_lock(&fault->lock);
    bool hangs = fault->target.hangs || fault->mode == FAULT_SLOW;
    void (*callback)(void *data) = hangs ? fault->hang : NULL;
    void *data = fault->hang_data;
    g_mutex_unlock(&fault->lock);
    if (callback)
        callback(data);
}

static bool fail_armed(Fault *fault, const char *what, const char *how, GError **error)
{
    hang(fault);
    g_set_error(error, VMSNAPFS_ERROR, (int)fault->target.code, "Call %u, %s, %s", fault->call,
                what, how);
    return false;
}

/* What becomes of an effect before it happens. */
typedef enum { GOES_ON, FAILS, IS_DEAD, IS_SLOW } Fate;

static Fate judge_effect(Fault *fault, const char *what)
{
    tell_watch(fault);
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    if (fault->dead)
        return IS_DEAD;
    if (!is_armed_locked(fault, what, ++fault->calls))
        return GOES_ON;
    fault->dead = fault->mode == FAULT_CUT_BEFORE;
    if (fault->dead)
        return IS_DEAD;
    if (fault->mode == FAULT_FAIL)
        return FAILS;
    if (fault->mode == FAULT_SLOW)
        return IS_SLOW;
    fault->hit = g_thread_self();
    return GOES_ON;
}

static Fate judge_question(Fault *fault, const char *what)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fault->lock);

    if (fault->dead)
        return IS_DEAD;
    if (!is_armed_locked(fault, what, 0))
        return GOES_ON;
    return fault->mode == FAULT_SLOW ? IS_SLOW : FAILS;
}

static bool meet(Fault *fault, const char *what, Fate fate, GError **error)
{
    switch (fate) {
    case GOES_ON:
        return true;
    case FAILS:
        return fail_armed(fault, what, "was made to fail", error);
    case IS_DEAD:
        return fail_dead(what, error);
    case IS_SLOW:
        hang(fault);
        return true;
    }
    return true;
}

bool fault_before(Fault *fault, const char *what, GError **error)
{
    return meet(fault, what, judge_effect(fault, what), error);
}

bool fault_question(Fault *fault, const char *what, GError **error)
{
    return meet(fault, what, judge_question(fault, what), error);
}

bool fault_after(Fault *fault, const char *what, GError **error)
{
    g_mutex_lock(&fault->lock);
    bool hit = fault->hit == g_thread_self();
    if (hit) {
        fault->hit = NULL;
        fault->dead = fault->mode == FAULT_CUT_AFTER;
    }
    bool dead = fault->dead;
    g_mutex_unlock(&fault->lock);

    if (dead)
        return fail_dead(what, error);
    return !hit || fail_armed(fault, what, "was done, but its answer was lost", error);
}
