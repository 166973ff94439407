#include "run/guard.h"

struct Guard {
    const World *world;
    int64_t answer_by; /* monotonic µs; 0: whenever */
    bool patient;
    GMutex lock;      /* guards what follows */
    int64_t patience; /* µs for which locks may still be waited */
    GHashTable *held; /* path → ImageLock */
};

Guard *guard_new(const World *world, int64_t answer_by)
{
    Guard *guard = g_new0(Guard, 1);

    guard->world = world;
    guard->answer_by = answer_by;
    guard->patience = world->lock_wait_ms * G_TIME_SPAN_MILLISECOND;
    g_mutex_init(&guard->lock);
    guard->held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    return guard;
}

void guard_free(Guard *guard)
{
    if (!guard)
        return;
    guard_release_all(guard);
    g_hash_table_unref(guard->held);
    g_mutex_clear(&guard->lock);
    g_free(guard);
}

void guard_be_patient(Guard *guard)
{
    guard->patient = true;
}

/* ---- waiting ---- */

static unsigned wait_ms(Guard *guard, int64_t now)
{
    g_mutex_lock(&guard->lock);
    int64_t left = guard->patience;
    g_mutex_unlock(&guard->lock);
    if (guard->patient)
        return guard->world->lock_wait_ms;
    if (guard->answer_by)
        left = MIN(left, guard->answer_by - now);
    return (unsigned)(MAX(left, 0) / G_TIME_SPAN_MILLISECOND);
}

static ImageLock *take(Guard *guard, const char *path, GError **error)
{
    Images *images = guard->world->images;
    int64_t since = g_get_monotonic_time();
    ImageLock *lock = images->ops->lock(images, path, wait_ms(guard, since), error);

    g_mutex_lock(&guard->lock);
    guard->patience -= g_get_monotonic_time() - since;
    g_mutex_unlock(&guard->lock);
    return lock;
}

/* ---- holding ---- */

static bool guard_has(Guard *guard, const char *path)
{
    g_mutex_lock(&guard->lock);
    bool has = g_hash_table_contains(guard->held, path);
    g_mutex_unlock(&guard->lock);
    return has;
}

/* A layer of one disk is touched by one lane only, so nobody else can take @path between the
 * question and the lock. */
bool guard_hold(Guard *guard, const char *path, GError **error)
{
    if (guard_has(guard, path))
        return true;
    ImageLock *lock = take(guard, path, error);
    if (!lock)
        return false;
    g_mutex_lock(&guard->lock);
    g_hash_table_insert(guard->held, g_strdup(path), lock);
    g_mutex_unlock(&guard->lock);
    return true;
}

bool guard_release(Guard *guard, const char *path)
{
    Images *images = guard->world->images;
    g_autofree char *key = NULL;
    gpointer lock = NULL;

    g_mutex_lock(&guard->lock);
    bool held = g_hash_table_steal_extended(guard->held, path, (gpointer *)&key, &lock);
    g_mutex_unlock(&guard->lock);
    if (held)
        images->ops->unlock(images, lock);
    return held;
}

bool guard_await_free(Guard *guard, const char *path, GError **error)
{
    Images *images = guard->world->images;
    g_autoptr(GError) cause = NULL;

    if (guard_release(guard, path) || guard->patient)
        return true;
    ImageLock *lock = take(guard, path, &cause);
    if (lock)
        images->ops->unlock(images, lock);
    if (lock || !error_is(cause, ERR_BUSY))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

GuardLoan guard_lend(Guard *guard, const char *top, const char *base)
{
    GuardLoan loan = {.top = guard_release(guard, top)};

    loan.base = guard_release(guard, base);
    return loan;
}

bool guard_take_back(Guard *guard, GuardLoan loan, const char *top, const char *base,
                     GError **error)
{
    return (!loan.top || guard_hold(guard, top, error)) &&
           (!loan.base || guard_hold(guard, base, error));
}

void guard_release_all(Guard *guard)
{
    Images *images = guard->world->images;
    GHashTableIter iter;
    gpointer lock;

    g_mutex_lock(&guard->lock);
    g_hash_table_iter_init(&iter, guard->held);
    while (g_hash_table_iter_next(&iter, NULL, &lock)) {
        images->ops->unlock(images, lock);
        g_hash_table_iter_remove(&iter);
    }
    g_mutex_unlock(&guard->lock);
}
