/* Who may be answered is decided in one function, serve(), after the request was put among the
 * waiting ones: so a change between looking and waiting cannot be missed. Answers are sent with no
 * lock held.
 *
 * Any signal ends a wait: nothing is undone by that, and the tools ask again where they should. */
#include "fs/blocking.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* Bytes; a reader that is further behind loses some, and is told how many. */
#define EVENTS_KEPT (64 * 1024)

struct Reader {
    char *uuid; /* NULL: events */
    GHashTable
        *seen; /* wait: EngineJob → VmView (a reference that keeps it), the jobs waited for */
    GPtrArray *order;  /* wait: the same jobs, as they came */
    bool idle, failed; /* wait: the outcome is known; it is EIO */
    GString *text;     /* what can be read */
    uint64_t lost;     /* events: not kept since the last one in text */
    struct fuse_pollhandle *poll;
};

typedef struct {
    fuse_req_t req;
    Reader *reader;
    size_t size;
    off_t offset;
} Waiting;

typedef struct {
    fuse_req_t req; /* or, if NULL, */
    struct fuse_pollhandle *poll;
    int err;
    GBytes *bytes;
} Reply;

struct Blocking {
    Face *face;
    GMutex lock;         /* guards all below, the readers' fields included */
    GHashTable *waiting; /* fuse_req_t → Waiting */
    GHashTable *readers; /* set of Reader */
    bool stopping;
    uint64_t lost;
};

/* ---- answers ---- */

static void reply_free(void *data)
{
    Reply *reply = data;

    g_clear_pointer(&reply->bytes, g_bytes_unref);
    g_free(reply);
}

static void send_reply(Reply *reply)
{
    gsize size = 0;
    const char *data = reply->bytes ? g_bytes_get_data(reply->bytes, &size) : NULL;

    if (!reply->req) {
        fuse_lowlevel_notify_poll(reply->poll);
        fuse_pollhandle_destroy(reply->poll);
    } else if (reply->err) {
        fuse_reply_err(reply->req, reply->err);
    } else {
        fuse_reply_buf(reply->req, data, size);
    }
}

static void send_replies(GPtrArray *replies)
{
    for (guint i = 0; i < replies->len; i++)
        send_reply(g_ptr_array_index(replies, i));
}

static GPtrArray *replies_new(void)
{
    return g_ptr_array_new_with_free_func(reply_free);
}

/* ---- wait: is the VM idle, and what came out? With the lock held. ---- */

static void remember(Reader *reader, const VmView *vm, EngineJob *job)
{
    if (g_hash_table_contains(reader->seen, job))
        return;
    g_hash_table_insert(reader->seen, job, vm_view_ref(vm));
    g_ptr_array_add(reader->order, job);
}

static void tell_outcome(Reader *reader, EngineJob *job)
{
    g_autofree char *result = engine_job_result(job);
    JobState state = engine_job_state(job);

    reader->failed |= state == JOB_FAILED;
    if (state == JOB_CANCELLED && !result[0])
        g_string_append_printf(reader->text, "%s %s: cancelled\n", engine_job_kind(job),
                               engine_job_target(job));
    else
        g_string_append_printf(reader->text, "%s %s: %s%s\n", engine_job_kind(job),
                               engine_job_target(job), state == JOB_FAILED ? "failed: " : "",
                               result);
}

/* Jobs are looked at in the view and among those seen: one may have been dismissed before we looked
 * again. */
static void look_at_jobs(Reader *reader, const HostView *host)
{
    const VmView *vm = host_view_of_uuid(host, reader->uuid);
    bool running = false;

    for (guint i = 0; vm && i < vm->jobs->len; i++) {
        EngineJob *job = g_ptr_array_index(vm->jobs, i);
        JobState state = engine_job_state(job);
        if (state == JOB_RUNNING || state == JOB_FAILED)
            remember(reader, vm, job);
    }
    for (guint i = 0; i < reader->order->len; i++)
        running |= engine_job_state(g_ptr_array_index(reader->order, i)) == JOB_RUNNING;
    if (running)
        return;
    reader->idle = true;
    for (guint i = 0; i < reader->order->len; i++)
        tell_outcome(reader, g_ptr_array_index(reader->order, i));
}

/* ---- events. With the lock held. ---- */

static void add_lost(Reader *reader)
{
    if (reader->lost > 0)
        g_string_append_printf(reader->text, "{\"lost\": %" G_GUINT64_FORMAT "}\n", reader->lost);
    reader->lost = 0;
}

static void add_event(Blocking *blocking, Reader *reader, const char *event)
{
    if (reader->text->len + strlen(event) > EVENTS_KEPT) {
        reader->lost++;
        blocking->lost++;
        return;
    }
    add_lost(reader);
    g_string_append_printf(reader->text, "%s\n", event);
}

/* ---- both ---- */

static bool is_ready(Reader *reader, const HostView *host)
{
    if (!reader->uuid) {
        if (reader->text->len == 0)
            add_lost(reader);
        return reader->text->len > 0;
    }
    if (!reader->idle)
        look_at_jobs(reader, host);
    return reader->idle;
}

static GBytes *take_text(Reader *reader, size_t size, off_t offset)
{
    gsize from = reader->uuid ? MIN((gsize)offset, reader->text->len) : 0;
    gsize length = MIN(size, reader->text->len - from);
    GBytes *bytes = g_bytes_new(reader->text->str + from, length);

    if (!reader->uuid)
        g_string_erase(reader->text, 0, (gssize)length);
    return bytes;
}

static Reply *answer_of(Blocking *blocking, const Waiting *waiting, const HostView *host)
{
    Reader *reader = waiting->reader;
    bool ready = is_ready(reader, host);

    if (!ready && !blocking->stopping)
        return NULL;
    Reply *reply = g_new0(Reply, 1);
    reply->req = waiting->req;
    if (!ready)
        reply->err = EINTR;
    else if (reader->uuid && reader->failed && (gsize)waiting->offset >= reader->text->len)
        reply->err = EIO;
    else
        reply->bytes = take_text(reader, waiting->size, waiting->offset);
    return reply;
}

static void serve_readers(Blocking *blocking, const HostView *host, GPtrArray *replies)
{
    GHashTableIter iter;
    void *key;

    g_hash_table_iter_init(&iter, blocking->readers);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Reader *reader = key;
        if (!reader->poll || (!is_ready(reader, host) && !blocking->stopping))
            continue;
        Reply *reply = g_new0(Reply, 1);
        reply->poll = g_steal_pointer(&reader->poll);
        g_ptr_array_add(replies, reply);
    }
}

/* Answer all who can be answered. */
static void serve(Blocking *blocking)
{
    g_autoptr(HostView) host = engine_view(blocking->face->engine);
    g_autoptr(GPtrArray) replies = replies_new();
    GHashTableIter iter;
    void *waiting;

    g_mutex_lock(&blocking->lock);
    g_hash_table_iter_init(&iter, blocking->waiting);
    while (g_hash_table_iter_next(&iter, NULL, &waiting)) {
        Reply *reply = answer_of(blocking, waiting, host);
        if (!reply)
            continue;
        g_ptr_array_add(replies, reply);
        g_hash_table_iter_remove(&iter);
    }
    serve_readers(blocking, host, replies);
    g_mutex_unlock(&blocking->lock);
    send_replies(replies);
}

void blocking_changed(Blocking *blocking, const char *uuid, const char *event)
{
    GHashTableIter iter;
    void *reader;

    g_mutex_lock(&blocking->lock);
    g_hash_table_iter_init(&iter, blocking->readers);
    while (event && g_hash_table_iter_next(&iter, &reader, NULL))
        if (!((Reader *)reader)->uuid)
            add_event(blocking, reader, event);
    bool anybody = g_hash_table_size(blocking->readers) > 0;
    g_mutex_unlock(&blocking->lock);
    if (anybody)
        serve(blocking);
}

static void interrupted(fuse_req_t req, void *data)
{
    Blocking *blocking = data;

    g_mutex_lock(&blocking->lock);
    bool found = g_hash_table_remove(blocking->waiting, req);
    g_mutex_unlock(&blocking->lock);
    if (found)
        fuse_reply_err(req, EINTR);
}

static void read_now(Blocking *blocking, const Waiting *waiting)
{
    g_autoptr(HostView) host = engine_view(blocking->face->engine);
    g_autoptr(GPtrArray) replies = replies_new();

    g_mutex_lock(&blocking->lock);
    Reply *reply = answer_of(blocking, waiting, host);
    g_mutex_unlock(&blocking->lock);
    if (!reply) {
        fuse_reply_err(waiting->req, EAGAIN);
        return;
    }
    g_ptr_array_add(replies, reply);
    send_replies(replies);
}

static void read_later(Blocking *blocking, Waiting *waiting)
{
    fuse_req_t req = waiting->req;

    /* Not with our lock held: libfuse's own is held when it calls interrupted(). */
    fuse_req_interrupt_func(req, interrupted, blocking);
    g_mutex_lock(&blocking->lock);
    bool late = fuse_req_interrupted(req);
    if (!late)
        g_hash_table_insert(blocking->waiting, req, waiting);
    g_mutex_unlock(&blocking->lock);
    if (late) {
        g_free(waiting);
        fuse_reply_err(req, EINTR);
        return;
    }
    serve(blocking);
}

void reader_read(Blocking *blocking, Reader *reader, fuse_req_t req, size_t size, off_t offset,
                 bool nonblocking)
{
    Waiting waiting = {.req = req, .reader = reader, .size = size, .offset = offset};

    if (nonblocking)
        read_now(blocking, &waiting);
    else
        read_later(blocking, g_memdup2(&waiting, sizeof waiting));
}

void reader_poll(Blocking *blocking, Reader *reader, fuse_req_t req, struct fuse_pollhandle *handle)
{
    g_autoptr(HostView) host = engine_view(blocking->face->engine);

    g_mutex_lock(&blocking->lock);
    struct fuse_pollhandle *old = handle ? reader->poll : NULL;
    if (handle)
        reader->poll = handle;
    bool ready = is_ready(reader, host);
    g_mutex_unlock(&blocking->lock);
    if (old)
        fuse_pollhandle_destroy(old);
    fuse_reply_poll(req, ready ? POLLIN | POLLRDNORM : 0);
    if (handle)
        serve(blocking);
}

Reader *reader_open(Blocking *blocking, const char *uuid)
{
    Reader *reader = g_new0(Reader, 1);

    reader->uuid = g_strdup(uuid);
    reader->text = g_string_new(NULL);
    reader->order = g_ptr_array_new();
    reader->seen = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify)vm_view_unref);
    g_mutex_lock(&blocking->lock);
    g_hash_table_add(blocking->readers, reader);
    g_mutex_unlock(&blocking->lock);
    return reader;
}

void reader_close(Blocking *blocking, Reader *reader)
{
    g_mutex_lock(&blocking->lock);
    g_hash_table_remove(blocking->readers, reader);
    g_mutex_unlock(&blocking->lock);
    g_clear_pointer(&reader->poll, fuse_pollhandle_destroy);
    g_hash_table_destroy(reader->seen);
    g_ptr_array_unref(reader->order);
    g_string_free(reader->text, TRUE);
    g_free(reader->uuid);
    g_free(reader);
}

Blocking *blocking_new(Face *face)
{
    Blocking *blocking = g_new0(Blocking, 1);

    blocking->face = face;
    g_mutex_init(&blocking->lock);
    blocking->waiting = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    blocking->readers = g_hash_table_new(NULL, NULL);
    return blocking;
}

uint64_t blocking_lost(Blocking *blocking)
{
    g_mutex_lock(&blocking->lock);
    uint64_t lost = blocking->lost;
    g_mutex_unlock(&blocking->lock);
    return lost;
}

unsigned blocking_readers(Blocking *blocking)
{
    g_mutex_lock(&blocking->lock);
    unsigned readers = g_hash_table_size(blocking->readers);
    g_mutex_unlock(&blocking->lock);
    return readers;
}

void blocking_stop(Blocking *blocking)
{
    g_mutex_lock(&blocking->lock);
    blocking->stopping = true;
    g_mutex_unlock(&blocking->lock);
    serve(blocking);
}

void blocking_free(Blocking *blocking)
{
    g_hash_table_destroy(blocking->waiting);
    g_hash_table_destroy(blocking->readers);
    g_mutex_clear(&blocking->lock);
    g_free(blocking);
}
