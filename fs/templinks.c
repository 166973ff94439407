#include "fs/templinks.h"

#define LIFETIME (10 * G_TIME_SPAN_SECOND)

typedef struct {
    char *target;
    gint64 dies; /* monotonic */
} Link;

struct TempLinks {
    GMutex lock;
    GHashTable *links; /* "uuid/name" → Link */
};

static void link_free(void *data)
{
    Link *link = data;

    g_free(link->target);
    g_free(link);
}

TempLinks *templinks_new(void)
{
    TempLinks *links = g_new0(TempLinks, 1);

    g_mutex_init(&links->lock);
    links->links = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, link_free);
    return links;
}

void templinks_free(TempLinks *links)
{
    g_hash_table_destroy(links->links);
    g_mutex_clear(&links->lock);
    g_free(links);
}

static gboolean is_over(gpointer key, gpointer value, gpointer now)
{
    return ((Link *)value)->dies <= *(gint64 *)now;
}

/* With the lock held. */
static void drop_old(TempLinks *links)
{
    gint64 now = g_get_monotonic_time();

    g_hash_table_foreach_remove(links->links, is_over, &now);
}

void templinks_add(TempLinks *links, const char *uuid, const char *name, const char *target)
{
    Link *link = g_new0(Link, 1);

    link->target = g_strdup(target);
    link->dies = g_get_monotonic_time() + LIFETIME;
    g_mutex_lock(&links->lock);
    drop_old(links);
    g_hash_table_replace(links->links, g_strdup_printf("%s/%s", uuid, name), link);
    g_mutex_unlock(&links->lock);
}

char *templinks_target(TempLinks *links, const char *uuid, const char *name)
{
    g_autofree char *key = g_strdup_printf("%s/%s", uuid, name);

    g_mutex_lock(&links->lock);
    drop_old(links);
    const Link *link = g_hash_table_lookup(links->links, key);
    char *target = link ? g_strdup(link->target) : NULL;
    g_mutex_unlock(&links->lock);
    return target;
}

void templinks_drop(TempLinks *links, const char *uuid, const char *name)
{
    g_autofree char *key = g_strdup_printf("%s/%s", uuid, name);

    g_mutex_lock(&links->lock);
    g_hash_table_remove(links->links, key);
    g_mutex_unlock(&links->lock);
}
