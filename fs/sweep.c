#include "fs/sweep.h"

#include "fs/process.h"

#define WINDOW        (10 * G_TIME_SPAN_SECOND)
#define MANY_SWEEPERS 256

/* What one process did. Keys: "uuid", "uuid/list" or "uuid/list/id"; values: when it stops to count
 * (monotonic), or was done. */
typedef struct {
    ProcessKey process;
    GHashTable *armed;  /* uuid ("" all VMs), or uuid/list/id → until */
    GHashTable *lists;  /* uuid/list → when it was last opened */
    GHashTable *opened; /* uuid/list/id → when it was last opened as a directory */
    GHashTable *read;   /* uuid/list/id → when a file of it was opened for reading */
    GHashTable *moves;  /* uuid/name → until: where it was not allowed to move a snapshot to */
} Sweeper;

struct Sweep {
    GMutex lock;
    GHashTable *sweepers; /* "pid GROUP STARTED PROGRAM" or "uid UID" → Sweeper */
};

static GHashTable *times_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static void sweeper_free(void *data)
{
    Sweeper *sweeper = data;

    g_hash_table_destroy(sweeper->armed);
    g_hash_table_destroy(sweeper->lists);
    g_hash_table_destroy(sweeper->opened);
    g_hash_table_destroy(sweeper->read);
    g_hash_table_destroy(sweeper->moves);
    g_free(sweeper);
}

Sweep *sweep_new(void)
{
    Sweep *sweep = g_new0(Sweep, 1);

    g_mutex_init(&sweep->lock);
    sweep->sweepers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, sweeper_free);
    return sweep;
}

void sweep_free(Sweep *sweep)
{
    g_hash_table_destroy(sweep->sweepers);
    g_mutex_clear(&sweep->lock);
    g_free(sweep);
}

static void times_set(GHashTable *times, const char *key, gint64 value)
{
    g_hash_table_replace(times, g_strdup(key), g_memdup2(&value, sizeof value));
}

static gint64 times_get(GHashTable *times, const char *key)
{
    const gint64 *value = g_hash_table_lookup(times, key);

    return value ? *value : G_MININT64;
}

static gboolean has_ended(gpointer key, gpointer value, gpointer data)
{
    const Sweeper *sweeper = value;
    ProcessKey now;

    return sweeper->process.group > 0 &&
           (!process_key(sweeper->process.group, &now) || now.started != sweeper->process.started);
}

/* With the lock held (reading /proc does not sleep for long, and only when there are many). */
static Sweeper *sweeper_of(Sweep *sweep, const char *name, ProcessKey process)
{
    Sweeper *sweeper = g_hash_table_lookup(sweep->sweepers, name);

    if (sweeper)
        return sweeper;
    if (g_hash_table_size(sweep->sweepers) >= MANY_SWEEPERS)
        g_hash_table_foreach_remove(sweep->sweepers, has_ended, NULL);
    sweeper = g_new0(Sweeper, 1);
    sweeper->process = process;
    sweeper->armed = times_new();
    sweeper->lists = times_new();
    sweeper->opened = times_new();
    sweeper->read = times_new();
    sweeper->moves = times_new();
    g_hash_table_insert(sweep->sweepers, g_strdup(name), sweeper);
    return sweeper;
}

/* Find the caller's record and take the lock. */
static Sweeper *sweep_lock(Sweep *sweep, Caller caller)
{
    ProcessKey process = {0};
    g_autofree char *name = NULL;

    if (process_key(caller.pid, &process))
        /* Another program is another one, in whatever process: "sh -c 'rm -rf snapshots/x*'" is the
         * shell that looks the names up, and then rm. */
        name = g_strdup_printf("pid %d %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT,
                               (int)process.group, process.started, process.program);
    else
        name = g_strdup_printf("uid %u", (unsigned)caller.uid);
    g_mutex_lock(&sweep->lock);
    return sweeper_of(sweep, name, process);
}

static void sweep_unlock(Sweep *sweep)
{
    g_mutex_unlock(&sweep->lock);
}

static char *entry_key(const char *uuid, const char *list, const char *id)
{
    return g_strconcat(uuid, "/", list, "/", id, NULL);
}

void sweep_refused(Sweep *sweep, Caller caller, const char *uuid)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);

    times_set(sweeper->armed, uuid, g_get_monotonic_time() + WINDOW);
    sweep_unlock(sweep);
}

/* (b) holds from the moment when both are open. */
static void arm_if_both(Sweeper *sweeper, const char *list, const char *key)
{
    if (times_get(sweeper->lists, list) != G_MININT64 &&
        times_get(sweeper->opened, key) != G_MININT64)
        times_set(sweeper->armed, key, g_get_monotonic_time() + WINDOW);
}

static void opened_list(Sweeper *sweeper, const char *list)
{
    g_autofree char *prefix = g_strconcat(list, "/", NULL);
    GHashTableIter iter;
    void *key;

    times_set(sweeper->lists, list, g_get_monotonic_time());
    g_hash_table_iter_init(&iter, sweeper->opened);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        if (g_str_has_prefix(key, prefix))
            arm_if_both(sweeper, list, key);
}

void sweep_opened(Sweep *sweep, Caller caller, const char *uuid, const char *list, const char *id)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);
    g_autofree char *list_key = g_strconcat(uuid, "/", list, NULL);
    g_autofree char *key = id ? entry_key(uuid, list, id) : NULL;

    if (key) {
        times_set(sweeper->opened, key, g_get_monotonic_time());
        arm_if_both(sweeper, list_key, key);
    } else {
        opened_list(sweeper, list_key);
    }
    sweep_unlock(sweep);
}

void sweep_read(Sweep *sweep, Caller caller, const char *uuid, const char *list, const char *id)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);
    g_autofree char *key = entry_key(uuid, list, id);

    times_set(sweeper->read, key, g_get_monotonic_time());
    sweep_unlock(sweep);
}

/* Is one of the three reasons in force? It is renewed then. */
static bool is_armed(Sweeper *sweeper, const char *uuid, const char *key)
{
    const char *const reasons[] = {"", uuid, key};
    gint64 now = g_get_monotonic_time();
    bool armed = false;

    for (gsize i = 0; i < G_N_ELEMENTS(reasons); i++)
        if (times_get(sweeper->armed, reasons[i]) > now) {
            times_set(sweeper->armed, reasons[i], now + WINDOW);
            armed = true;
        }
    return armed;
}

bool sweep_allows_unlink(Sweep *sweep, Caller caller, const char *uuid, const char *list,
                         const char *id)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);
    g_autofree char *key = entry_key(uuid, list, id);

    if (g_hash_table_remove(sweeper->read, key))
        times_set(sweeper->armed, key, g_get_monotonic_time() + WINDOW);
    bool allowed = !is_armed(sweeper, uuid, key);
    sweep_unlock(sweep);
    return allowed;
}

bool sweep_allows_rmdir(Sweep *sweep, Caller caller, const char *uuid, const char *list,
                        const char *id)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);
    g_autofree char *key = entry_key(uuid, list, id);
    bool allowed = !is_armed(sweeper, uuid, key);

    sweep_unlock(sweep);
    return allowed;
}

void sweep_refused_move(Sweep *sweep, Caller caller, const char *uuid, const char *name)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);
    g_autofree char *key = g_strconcat(uuid, "/", name, NULL);

    times_set(sweeper->moves, key, g_get_monotonic_time() + WINDOW);
    sweep_unlock(sweep);
}

bool sweep_allows_mkdir(Sweep *sweep, Caller caller, const char *uuid, const char *name)
{
    Sweeper *sweeper = sweep_lock(sweep, caller);
    g_autofree char *key = g_strconcat(uuid, "/", name, NULL);
    bool allowed = times_get(sweeper->moves, key) <= g_get_monotonic_time();

    sweep_unlock(sweep);
    return allowed;
}
