#include "fs/stamps.h"

typedef struct {
    gint64 at[N_STAMPS]; /* 0: never */
} Times;

struct Stamps {
    GMutex lock;
    GHashTable *times; /* uuid → Times */
    gint64 started;
};

Stamps *stamps_new(void)
{
    Stamps *stamps = g_new0(Stamps, 1);

    g_mutex_init(&stamps->lock);
    stamps->times = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    stamps->started = g_get_real_time();
    return stamps;
}

void stamps_free(Stamps *stamps)
{
    g_hash_table_destroy(stamps->times);
    g_mutex_clear(&stamps->lock);
    g_free(stamps);
}

void stamps_touch(Stamps *stamps, const char *uuid, Stamp stamp)
{
    g_mutex_lock(&stamps->lock);
    Times *times = g_hash_table_lookup(stamps->times, uuid);
    if (!times) {
        times = g_new0(Times, 1);
        g_hash_table_insert(stamps->times, g_strdup(uuid), times);
    }
    times->at[stamp] = g_get_real_time();
    g_mutex_unlock(&stamps->lock);
}

int64_t stamps_time(Stamps *stamps, const char *uuid, Stamp stamp)
{
    int64_t result = stamps->started;

    g_mutex_lock(&stamps->lock);
    const Times *times = g_hash_table_lookup(stamps->times, uuid);
    if (times)
        result = MAX(result, MAX(times->at[STAMP_TREE], times->at[stamp]));
    g_mutex_unlock(&stamps->lock);
    return result;
}
