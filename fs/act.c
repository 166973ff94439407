/* A request travels like this: the FUSE thread sends it and goes away; an engine thread calls
 * done(), which answers.
 *
 * Interrupts. The kernel tells of the first signal only, whatever it is. A stop, a timer or a
 * resized window must not undo a snapshot (design 2.2), so an interrupt only puts the action on a
 * watch list, and a thread of ours reads from /proc whether the caller was asked to give up, now or
 * later, as long as the action lasts.
 *
 * libfuse calls interrupted() with a lock of the request held, and takes that lock in
 * fuse_req_interrupt_func: so that function is never called with ours held, and ours may be taken
 * in interrupted(). */
#include "fs/act.h"

#include "fs/errmap.h"
#include "fs/notify.h"
#include "fs/process.h"
#include "model/names.h"

#define LOOK_AGAIN (200 * G_TIME_SPAN_MILLISECOND)

typedef struct {
    gint references;
    Face *face;
    fuse_req_t req;
    char *uuid;
    pid_t pid;
    Answer answer;
    /* below: under actions->lock */
    uint64_t ticket;
    bool interrupted, passed_on, done;
} Action;

struct Actions {
    Face *face;
    GMutex lock;
    GCond wake;
    GHashTable *pending; /* fuse_req_t → Action, borrowed */
    GThread *watcher;
    bool stopping;
};

static Action *action_ref(Action *action)
{
    g_atomic_int_inc(&action->references);
    return action;
}

static void action_unref(void *data)
{
    Action *action = data;

    if (!g_atomic_int_dec_and_test(&action->references))
        return;
    if (action->answer.free_data)
        action->answer.free_data(action->answer.data);
    g_free(action->uuid);
    g_free(action);
}

/* With the lock held. */
static GPtrArray *interrupted_actions(Actions *actions)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(action_unref);
    GHashTableIter iter;
    void *value;

    g_hash_table_iter_init(&iter, actions->pending);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Action *action = value;
        if (action->interrupted && !action->passed_on)
            g_ptr_array_add(found, action_ref(action));
    }
    return found;
}

static void pass_on(Actions *actions, Action *action)
{
    if (!process_wants_out(action->pid))
        return;
    g_mutex_lock(&actions->lock);
    uint64_t ticket = action->done ? 0 : action->ticket;
    action->passed_on = ticket != 0;
    g_mutex_unlock(&actions->lock);
    if (ticket)
        engine_interrupt(actions->face->engine, ticket);
}

static void *watch(void *data)
{
    Actions *actions = data;

    g_mutex_lock(&actions->lock);
    while (!actions->stopping) {
        g_autoptr(GPtrArray) found = interrupted_actions(actions);
        if (found->len == 0) {
            g_cond_wait(&actions->wake, &actions->lock);
            continue;
        }
        g_mutex_unlock(&actions->lock);
        for (guint i = 0; i < found->len; i++)
            pass_on(actions, g_ptr_array_index(found, i));
        g_mutex_lock(&actions->lock);
        g_cond_wait_until(&actions->wake, &actions->lock, g_get_monotonic_time() + LOOK_AGAIN);
    }
    g_mutex_unlock(&actions->lock);
    return NULL;
}

Actions *actions_new(Face *face)
{
    Actions *actions = g_new0(Actions, 1);

    actions->face = face;
    g_mutex_init(&actions->lock);
    g_cond_init(&actions->wake);
    actions->pending = g_hash_table_new(NULL, NULL);
    actions->watcher = g_thread_new("interrupts", watch, actions);
    return actions;
}

void actions_free(Actions *actions)
{
    g_mutex_lock(&actions->lock);
    actions->stopping = true;
    g_cond_broadcast(&actions->wake);
    g_mutex_unlock(&actions->lock);
    g_thread_join(actions->watcher);
    g_hash_table_destroy(actions->pending);
    g_cond_clear(&actions->wake);
    g_mutex_clear(&actions->lock);
    g_free(actions);
}

Caller act_caller(fuse_req_t req)
{
    const struct fuse_ctx *ctx = fuse_req_ctx(req);

    return (Caller){.pid = ctx->pid, .uid = ctx->uid};
}

static void interrupted(fuse_req_t req, void *data)
{
    Actions *actions = data;

    g_mutex_lock(&actions->lock);
    Action *action = g_hash_table_lookup(actions->pending, req);
    if (action)
        action->interrupted = true;
    g_cond_broadcast(&actions->wake);
    g_mutex_unlock(&actions->lock);
}

static void answer(Action *action, const GError *error)
{
    if (error)
        fuse_reply_err(action->req, action->answer.errno_of ? action->answer.errno_of(error)
                                                            : errmap_errno(error));
    else if (action->answer.reply)
        action->answer.reply(action->face, action->req, action->answer.data);
    else
        fuse_reply_err(action->req, 0);
}

static void done(const GError *error, void *data)
{
    Action *action = data;
    Actions *actions = action->face->actions;

    g_mutex_lock(&actions->lock);
    action->done = true;
    g_hash_table_remove(actions->pending, action->req);
    g_mutex_unlock(&actions->lock);
    if (error && action->answer.arms_guard)
        sweep_refused(action->face->sweep, act_caller(action->req), "");
    answer(action, error);
    if (action->answer.holds_directory)
        notifier_unpark(action->face->notifier, action->uuid);
    if (action->answer.holds_root)
        notifier_unpark(action->face->notifier, "");
    action_unref(action);
}

static void start_pending(Actions *actions, Action *action)
{
    fuse_req_interrupt_func(action->req, interrupted, actions);
    g_mutex_lock(&actions->lock);
    g_hash_table_insert(actions->pending, action->req, action);
    /* A signal may have come before interrupted() could find the action. */
    action->interrupted = fuse_req_interrupted(action->req);
    g_mutex_unlock(&actions->lock);
}

static void set_ticket(Actions *actions, Action *action, uint64_t ticket)
{
    g_mutex_lock(&actions->lock);
    action->ticket = ticket;
    g_cond_broadcast(&actions->wake);
    g_mutex_unlock(&actions->lock);
}

/* The kernel refuses for itself, and without a line in errors; until somebody remounts it. */
static void refuse_read_only(Face *face, fuse_req_t req, Request *request, const char *operation,
                             const Answer *answer)
{
    g_autoptr(GError) error = g_error_new_literal(
        VMSNAPFS_ERROR, ERR_READ_ONLY,
        "The tree was mounted read-only; unmount it and mount it without ro to change anything");

    act_refuse(face, req, request->vm, operation,
               answer->errno_of ? answer->errno_of(error) : errmap_errno(error), error);
    if (answer->free_data)
        answer->free_data(answer->data);
    request_free(request);
}

void act_submit(Face *face, fuse_req_t req, Request *request, char *operation, Answer answer)
{
    if (face->read_only && request->kind != REQUEST_READ) {
        refuse_read_only(face, req, request, operation, &answer);
        g_free(operation);
        return;
    }
    Caller caller = act_caller(req);
    Action *action = g_new0(Action, 1);

    *action = (Action){.references = 2, /* done()'s and ours */
                       .face = face,
                       .req = req,
                       .uuid = g_strdup(request->vm),
                       .pid = caller.pid,
                       .answer = answer};
    request->uid = caller.uid;
    request->pid = caller.pid;
    g_free(request->operation);
    request->operation = operation;
    if (answer.holds_directory)
        notifier_park(face->notifier, action->uuid);
    if (answer.holds_root)
        notifier_park(face->notifier, "");
    start_pending(face->actions, action);
    set_ticket(face->actions, action, engine_submit(face->engine, request, done, action));
    action_unref(action);
}

void act_refuse(Face *face, fuse_req_t req, const char *uuid, const char *operation, int err,
                const GError *error)
{
    Caller caller = act_caller(req);

    engine_report(face->engine, uuid[0] ? uuid : NULL, caller.uid, caller.pid, operation, error);
    fuse_reply_err(req, err);
}

char *act_operation(const char *verb, const Node *node, const Place *place, const char *name)
{
    g_autofree char *path = node_path(node, place);
    g_autofree char *whole =
        name ? g_strconcat(path, path[0] ? "/" : "", name, NULL) : g_strdup(path);
    g_autofree char *escaped = text_escape(whole);

    return g_strconcat(verb, " ", escaped, NULL);
}
