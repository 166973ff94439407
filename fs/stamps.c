#include "fs/stamps.h"

struct Stamps {
    GMutex lock;
    GHashTable *times; /* uuid → gint64 */
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

void stamps_touch(Stamps *stamps, const char *uuid)
{
    gint64 now = g_get_real_time();

    g_mutex_lock(&stamps->lock);
    g_hash_table_replace(stamps->times, g_strdup(uuid), g_memdup2(&now, sizeof now));
    g_mutex_unlock(&stamps->lock);
}

int64_t stamps_time(Stamps *stamps, const char *uuid)
{
    g_mutex_lock(&stamps->lock);
    const gint64 *time = g_hash_table_lookup(stamps->times, uuid);
    int64_t result = time ? *time : stamps->started;
    g_mutex_unlock(&stamps->lock);
    return result;
}
