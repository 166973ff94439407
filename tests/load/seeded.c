/* seeded MISTAKE: does what the sanitizers are there to find, or, as `none`, does the same rightly.
 * Built as the daemon is, so that a run that finds nothing is known to be able to find. */
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS 4

static GMutex lock, other;
static GCond all_done;
static unsigned counter, done;
static GHashTable *table;
static const char *mistake;

static gboolean is(const char *name)
{
    return strcmp(mistake, name) == 0;
}

static void count(gboolean locked)
{
    if (locked)
        g_mutex_lock(&lock);
    counter++;
    if (locked)
        g_mutex_unlock(&lock);
}

static void look_up(gboolean locked, gpointer key)
{
    if (locked)
        g_mutex_lock(&lock);
    g_hash_table_remove(table, key);
    g_hash_table_lookup(table, key);
    if (locked)
        g_mutex_unlock(&lock);
}

static void lock_both(GMutex *first, GMutex *second)
{
    g_mutex_lock(first);
    g_mutex_lock(second);
    g_mutex_unlock(second);
    g_mutex_unlock(first);
}

/* Each in a thread of its own, and no order of theirs comes from this. */
static void wait_for_all(void)
{
    static unsigned begun;

    __atomic_fetch_add(&begun, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&begun, __ATOMIC_RELAXED) < TASKS)
        g_usleep(100);
}

/* A task of a pool, as the engine's are. */
static void work(gpointer item, gpointer queue)
{
    unsigned *number = item;

    wait_for_all();
    if (is("race"))
        count(FALSE);
    if (is("table"))
        look_up(FALSE, item);
    count(TRUE);
    look_up(TRUE, item);
    (*number)++;
    g_async_queue_push(queue, item);
    g_mutex_lock(&lock);
    done++;
    g_cond_signal(&all_done);
    g_mutex_unlock(&lock);
}

static void run_tasks(void)
{
    GAsyncQueue *queue = g_async_queue_new();
    GThreadPool *pool = g_thread_pool_new(work, queue, -1, FALSE, NULL);

    for (unsigned i = 0; i < TASKS; i++)
        g_thread_pool_push(pool, g_new0(unsigned, 1), NULL);
    g_mutex_lock(&lock);
    while (done < TASKS)
        g_cond_wait(&all_done, &lock);
    g_mutex_unlock(&lock);
    for (unsigned i = 0; i < TASKS; i++) {
        unsigned *number = g_async_queue_pop(queue);
        *number += 1;
        g_free(number);
    }
    g_thread_pool_free(pool, FALSE, TRUE);
    g_async_queue_unref(queue);
}

int main(int argc, char **argv)
{
    mistake = argc > 1 ? argv[1] : "none";
    table = g_hash_table_new(NULL, NULL);
    run_tasks();
    lock_both(&lock, &other);
    if (is("order"))
        lock_both(&other, &lock);
    char *text = g_strdup("text");
    if (is("overflow"))
        printf("%d\n", text[argc + 3]);
    if (is("undefined"))
        printf("%d\n", G_MAXINT - argc + argc + argc);
    if (!is("leak"))
        g_free(text);
    text = NULL;
    g_hash_table_unref(table);
    return 0;
}
