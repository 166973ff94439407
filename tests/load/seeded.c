/* seeded MISTAKE: does what the sanitizers are there to find, or, as `none` and `loop`, does the
 * same rightly. Built as the daemon is, so that a run that finds nothing is known to be able to
 * find. */
#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TASKS   4
#define SOURCES 500

static GMutex lock, other;
static GCond all_done;
static unsigned counter, done, over;
static GHashTable *table;
static GHashTable *keeper; /* frees what it holds */
static unsigned *kept, *own;
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

/* One of the tasks frees what all others read, by itself or by a table's hands. */
static void read_or_free(void)
{
    static unsigned tasks;

    if (__atomic_fetch_add(&tasks, 1, __ATOMIC_RELAXED))
        (void)*(volatile unsigned *)(is("free") ? own : kept);
    else if (is("free"))
        g_free(own);
    else
        g_hash_table_remove_all(keeper);
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

/* What libvirt does with GLib's event loop: sources come from all threads, and one thread runs
 * them. */
static gboolean on_source(gpointer unused)
{
    count(!is("loop-race"));
    return G_SOURCE_REMOVE;
}

static gboolean on_descriptor(int fd, GIOCondition condition, gpointer unused)
{
    return on_source(unused);
}

static void add_source(GSource *source, GSourceFunc callback, gboolean taken_back)
{
    g_source_set_callback(source, callback, NULL, NULL);
    g_source_attach(source, NULL);
    if (taken_back)
        g_source_destroy(source);
    g_source_unref(source);
}

static void use_loop(void)
{
    for (unsigned i = 0; i < SOURCES; i++) {
        add_source(g_timeout_source_new(i % 3), on_source, i % 5 == 0);
        add_source(g_unix_fd_source_new(STDOUT_FILENO, G_IO_OUT), G_SOURCE_FUNC(on_descriptor),
                   i % 4 == 0);
    }
}

static gpointer run_loop(gpointer unused)
{
    while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE))
        g_main_context_iteration(NULL, TRUE);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    return NULL;
}

static void end_loop(GThread *loop)
{
    __atomic_store_n(&over, 1, __ATOMIC_RELEASE);
    g_main_context_wakeup(NULL);
    g_thread_join(loop);
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
    if (is("free") || is("element"))
        read_or_free();
    if (g_str_has_prefix(mistake, "loop"))
        use_loop();
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
    keeper = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    kept = g_new0(unsigned, 1);
    own = g_new0(unsigned, 1);
    g_hash_table_insert(keeper, keeper, kept);
    GThread *loop = g_str_has_prefix(mistake, "loop") ? g_thread_new("loop", run_loop, NULL) : NULL;
    run_tasks();
    if (loop)
        end_loop(loop);
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
    if (!is("free"))
        g_free(own);
    g_hash_table_unref(keeper);
    g_hash_table_unref(table);
    return 0;
}
