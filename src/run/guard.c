#include "run/guard.h"

struct Guard {
    const World *world;
    GMutex lock;
    GHashTable *held; /* path → ImageLock */
};

Guard *guard_new(const World *world)
{
    Guard *guard = g_new0(Guard, 1);

    guard->world = world;
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
    Images *images = guard->world->images;

    if (guard_has(guard, path))
        return true;
    ImageLock *lock = images->ops->lock(images, path, guard->world->lock_wait_ms, error);
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
