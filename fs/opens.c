#include "fs/opens.h"

struct Opens {
    GMutex lock;
    GHashTable *handles; /* handle → OpenClose */
};

Opens *opens_new(void)
{
    Opens *opens = g_new0(Opens, 1);

    g_mutex_init(&opens->lock);
    opens->handles = g_hash_table_new(NULL, NULL);
    return opens;
}

uint64_t opens_add(Opens *opens, void *handle, OpenClose close)
{
    g_mutex_lock(&opens->lock);
    g_hash_table_insert(opens->handles, handle, (void *)(uintptr_t)close);
    g_mutex_unlock(&opens->lock);
    return (uintptr_t)handle;
}

void opens_drop(Opens *opens, Face *face, uint64_t handle)
{
    void *key = (void *)(uintptr_t)handle;
    void *close = NULL;

    g_mutex_lock(&opens->lock);
    g_hash_table_steal_extended(opens->handles, key, NULL, &close);
    g_mutex_unlock(&opens->lock);
    ((OpenClose)(uintptr_t)close)(face, key);
}

void opens_free(Opens *opens, Face *face)
{
    GHashTableIter iter;
    void *handle, *close;

    g_hash_table_iter_init(&iter, opens->handles);
    while (g_hash_table_iter_next(&iter, &handle, &close))
        ((OpenClose)(uintptr_t)close)(face, handle);
    g_hash_table_destroy(opens->handles);
    g_mutex_clear(&opens->lock);
    g_free(opens);
}
