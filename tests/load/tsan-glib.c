/* What ThreadSanitizer has to know of GLib, which is not built with it: linked into the daemon's
 * TSan build, before the library.
 *
 * GLib's mutexes and conditions are futexes that TSan does not see, so here they are pthread's.
 * Where GLib hands something from thread to thread by locks of its own (thread pools, queues,
 * reference counts, g_once), that order is told. And since what GLib's containers do to themselves
 * is not seen either, each call on one counts as a read or a write of it: two threads that use a
 * table without a lock are found. */
#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <stdlib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);
void __tsan_read8_pc(void *address, void *pc);
void __tsan_write8_pc(void *address, void *pc);

#define READS(object)  __tsan_read8_pc((void *)(object), __builtin_return_address(0))
#define WRITES(object) __tsan_write8_pc((void *)(object), __builtin_return_address(0))

const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
    return "race:g_queue_pop_tail\n"           /* the links of GAsyncQueue, which are its own */
           "race:g_log_writer_format_fields\n" /* GLib's log takes localtime() without a lock */
           "race:g_rw_lock_\n" /* made when first used, in an order that is not seen */;
}

static void *real(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);

    if (!function)
        abort();
    return function;
}

/* A function of GLib with something before it. */
#define VALUE(type, name, parameters, arguments, before)                                           \
    type(name) parameters                                                                          \
    {                                                                                              \
        type(*function) parameters = (type(*) parameters)real(#name);                              \
        before;                                                                                    \
        return function arguments;                                                                 \
    }
#define VOID(name, parameters, arguments, before, after)                                           \
    void(name) parameters                                                                          \
    {                                                                                              \
        void(*function) parameters = (void(*) parameters)real(#name);                              \
        before;                                                                                    \
        function arguments;                                                                        \
        after;                                                                                     \
    }

/* ---- mutexes and conditions: made when first used, as static ones are zeros ---- */

static void *made(gpointer *place, size_t size, void (*init)(void *))
{
    void *found = __atomic_load_n(place, __ATOMIC_ACQUIRE);

    if (found)
        return found;
    void *fresh = malloc(size);
    init(fresh);
    if (__atomic_compare_exchange_n(place, &found, fresh, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        return fresh;
    free(fresh);
    return found;
}

static void init_mutex(void *mutex)
{
    pthread_mutex_init(mutex, NULL);
}

static void init_cond(void *cond)
{
    pthread_condattr_t clock;

    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &clock);
}

static pthread_mutex_t *mutex_of(GMutex *mutex)
{
    return made(&mutex->p, sizeof(pthread_mutex_t), init_mutex);
}

static pthread_cond_t *cond_of(GCond *cond)
{
    return made(&cond->p, sizeof(pthread_cond_t), init_cond);
}

static void must(int error)
{
    if (error)
        abort();
}

void g_mutex_init(GMutex *mutex)
{
    mutex->p = NULL;
}

void g_mutex_clear(GMutex *mutex)
{
    must(pthread_mutex_destroy(mutex_of(mutex)));
    free(mutex->p);
}

void g_mutex_lock(GMutex *mutex)
{
    must(pthread_mutex_lock(mutex_of(mutex)));
}

gboolean g_mutex_trylock(GMutex *mutex)
{
    return pthread_mutex_trylock(mutex_of(mutex)) == 0;
}

void g_mutex_unlock(GMutex *mutex)
{
    must(pthread_mutex_unlock(mutex_of(mutex)));
}

void g_cond_init(GCond *cond)
{
    cond->p = NULL;
}

void g_cond_clear(GCond *cond)
{
    must(pthread_cond_destroy(cond_of(cond)));
    free(cond->p);
}

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    must(pthread_cond_wait(cond_of(cond), mutex_of(mutex)));
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end)
{
    struct timespec at = {end / G_USEC_PER_SEC, end % G_USEC_PER_SEC * 1000};
    int error = pthread_cond_timedwait(cond_of(cond), mutex_of(mutex), &at);

    must(error == ETIMEDOUT ? 0 : error);
    return error == 0;
}

void g_cond_signal(GCond *cond)
{
    must(pthread_cond_signal(cond_of(cond)));
}

void g_cond_broadcast(GCond *cond)
{
    must(pthread_cond_broadcast(cond_of(cond)));
}

/* What we free, by ourselves or by the hands of a container, is freed here, and not in GLib, of
 * whose own memory nothing is looked at where libvirt has its event loop (tsan-libvirt.supp). */
void g_free(gpointer memory)
{
    free(memory);
}

/* ---- from thread to thread ---- */

typedef struct {
    GFunc function;
    gpointer data;
} PoolTask;

static void run_task(gpointer item, gpointer data)
{
    PoolTask *task = data;

    __tsan_acquire(item);
    task->function(item, task->data);
    __tsan_release(task);
}

GThreadPool *g_thread_pool_new(GFunc function, gpointer data, gint threads, gboolean exclusive,
                               GError **error)
{
    GThreadPool *(*make)(GFunc, gpointer, gint, gboolean, GError **) = real("g_thread_pool_new");
    PoolTask *task = malloc(sizeof *task);

    *task = (PoolTask){function, data};
    return make(run_task, task, threads, exclusive, error);
}

/* Not looked at itself: the last worker frees the pool. */
__attribute__((no_sanitize("thread"))) void g_thread_pool_free(GThreadPool *pool,
                                                               gboolean immediate, gboolean wait)
{
    void (*end)(GThreadPool *, gboolean, gboolean) = real("g_thread_pool_free");
    PoolTask *task = pool->user_data;

    end(pool, immediate, wait);
    __tsan_acquire(task);
    free(task);
}

VALUE(gboolean, g_thread_pool_push, (GThreadPool * pool, gpointer item, GError **error),
      (pool, item, error), __tsan_release(item))
VOID(g_async_queue_push, (GAsyncQueue * queue, gpointer item), (queue, item), __tsan_release(item),
     (void)0)
VOID(g_async_queue_push_front, (GAsyncQueue * queue, gpointer item), (queue, item),
     __tsan_release(item), (void)0)

static gpointer popped(gpointer item)
{
    if (item)
        __tsan_acquire(item);
    return item;
}

gpointer g_async_queue_pop(GAsyncQueue *queue)
{
    return popped(((gpointer(*)(GAsyncQueue *))real("g_async_queue_pop"))(queue));
}

gpointer g_async_queue_timeout_pop(GAsyncQueue *queue, guint64 timeout)
{
    gpointer (*pop)(GAsyncQueue *, guint64) = real("g_async_queue_timeout_pop");

    return popped(pop(queue, timeout));
}

/* After the value was stored: who sees it sees what was done before. */
VOID(g_once_init_leave, (volatile void *place, gsize value), (place, value), (void)0,
     __atomic_fetch_or((gsize *)place, 0, __ATOMIC_ACQ_REL))

/* Who drops the last reference frees after all the others: where that can be seen, it is told then,
 */
static __thread GDestroyNotify clear_box;

static void clear_last(gpointer box)
{
    GDestroyNotify clear = clear_box;

    __tsan_acquire(box);
    clear(box);
}

void g_atomic_rc_box_release_full(gpointer box, GDestroyNotify clear)
{
    void (*release)(gpointer, GDestroyNotify) = real("g_atomic_rc_box_release_full");

    __tsan_release(box);
    clear_box = clear;
    release(box, clear_last);
}

gboolean g_atomic_ref_count_dec(gatomicrefcount *count)
{
    gboolean (*dec)(gatomicrefcount *) = real("g_atomic_ref_count_dec");

    __tsan_release(count);
    gboolean last = dec(count);
    if (last)
        __tsan_acquire(count);
    return last;
}

/* and else before. */
#define LAST(object) (__tsan_release(object), __tsan_acquire(object))
VOID(g_bytes_unref, (GBytes * bytes), (bytes), if (bytes) LAST(bytes), (void)0)
VOID(g_ptr_array_unref, (GPtrArray * array), (array), LAST(array), (void)0)
VOID(g_hash_table_unref, (GHashTable * table), (table), LAST(table), (void)0)
VOID(g_async_queue_unref, (GAsyncQueue * queue), (queue), LAST(queue), (void)0)

/* ---- containers ---- */

VALUE(gpointer, g_hash_table_lookup, (GHashTable * table, gconstpointer key), (table, key),
      READS(table))
VALUE(gboolean, g_hash_table_contains, (GHashTable * table, gconstpointer key), (table, key),
      READS(table))
VALUE(guint, g_hash_table_size, (GHashTable * table), (table), READS(table))
VOID(g_hash_table_iter_init, (GHashTableIter * iter, GHashTable *table), (iter, table),
     READS(table), (void)0)
VALUE(gboolean, g_hash_table_iter_next, (GHashTableIter * iter, gpointer *key, gpointer *value),
      (iter, key, value), READS(iter->dummy1))
VOID(g_hash_table_iter_remove, (GHashTableIter * iter), (iter), WRITES(iter->dummy1), (void)0)
VOID(g_hash_table_iter_replace, (GHashTableIter * iter, gpointer value), (iter, value),
     WRITES(iter->dummy1), (void)0)
VALUE(gboolean, g_hash_table_insert, (GHashTable * table, gpointer key, gpointer value),
      (table, key, value), WRITES(table))
VALUE(gboolean, g_hash_table_replace, (GHashTable * table, gpointer key, gpointer value),
      (table, key, value), WRITES(table))
VALUE(gboolean, g_hash_table_add, (GHashTable * table, gpointer key), (table, key), WRITES(table))
VALUE(gboolean, g_hash_table_remove, (GHashTable * table, gconstpointer key), (table, key),
      WRITES(table))
VOID(g_hash_table_remove_all, (GHashTable * table), (table), WRITES(table), (void)0)
VALUE(guint, g_hash_table_foreach_remove, (GHashTable * table, GHRFunc test, gpointer data),
      (table, test, data), WRITES(table))
VOID(g_ptr_array_add, (GPtrArray * array, gpointer item), (array, item), WRITES(array), (void)0)
VALUE(gboolean, g_ptr_array_remove, (GPtrArray * array, gpointer item), (array, item),
      WRITES(array))
VALUE(gpointer, g_ptr_array_remove_index, (GPtrArray * array, guint index), (array, index),
      WRITES(array))
VOID(g_ptr_array_sort, (GPtrArray * array, GCompareFunc compare), (array, compare), WRITES(array),
     (void)0)
VOID(g_queue_push_tail, (GQueue * queue, gpointer item), (queue, item), WRITES(queue), (void)0)
VOID(g_queue_push_head, (GQueue * queue, gpointer item), (queue, item), WRITES(queue), (void)0)
VALUE(gpointer, g_queue_pop_head, (GQueue * queue), (queue), WRITES(queue))
VALUE(gboolean, g_queue_remove, (GQueue * queue, gconstpointer item), (queue, item), WRITES(queue))
