/* The one door: making, starting and stopping the engine; taking requests. */
#include "run/engine-priv.h"

#include "base/str.h"
#include "hv/fake.h"
#include "image/fake.h"
#include "model/domain.h"
#include "run/users.h"

#include <string.h>

#define RETRY_MS         1000
#define START_WAIT_MS    20000
#define SHUTDOWN_WAIT_MS 60000
#define REVERT_WAIT_MS   10000 /* the kernel keeps others out of the VM's directory meanwhile */
#define CANCEL_WAIT_MS   10000 /* likewise, of the VM's jobs */
#define DONE_KEPT_MS     (10 * 60 * 1000)
#define ANSWER_WAIT_MS   90000
#define GIVE_UP_WAIT_MS  5000
#define FAKE_POLL_MS     20

/* ---- the pool ---- */

typedef struct {
    EngineTask run;
    EngineVm *vm;
    Work *work;
} Task;

static void run_task(gpointer data, gpointer user_data)
{
    Task *task = data;
    Engine *engine = user_data;

    task->run(engine, task->vm, task->work);
    engine_vm_unref(task->vm);
    g_free(task);
    g_mutex_lock(&engine->lock);
    engine->active--;
    g_cond_broadcast(&engine->changed);
    g_mutex_unlock(&engine->lock);
}

void engine_push_locked(Engine *engine, EngineTask task, EngineVm *vm, Work *work)
{
    Task *new = g_new(Task, 1);

    *new = (Task){task, vm ? engine_vm_ref(vm) : NULL, work};
    engine->active++;
    g_thread_pool_push(engine->pool, new, NULL);
}

void engine_emit(Engine *engine, ChangeKind kind, const char *vm_uuid, char *event)
{
    g_autofree char *text = event;

    engine->stats.events += event != NULL;
    if (engine->change)
        engine->change(kind, vm_uuid, text, engine->change_data);
}

/* ---- life ---- */

static Engine *engine_make(const char *uri)
{
    Engine *engine = g_new0(Engine, 1);

    domain_start_parsing();
    engine->uri = g_strdup(uri);
    engine->errors = errors_new();
    engine->stats.since = g_get_monotonic_time();
    engine->retry_ms = RETRY_MS;
    engine->start_wait_ms = START_WAIT_MS;
    engine->shutdown_wait_ms = SHUTDOWN_WAIT_MS;
    engine->revert_wait_ms = REVERT_WAIT_MS;
    engine->cancel_wait_ms = CANCEL_WAIT_MS;
    engine->done_kept_ms = DONE_KEPT_MS;
    engine->answer_wait_ms = ANSWER_WAIT_MS;
    g_mutex_init(&engine->lock);
    g_cond_init(&engine->changed);
    engine->vms =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)engine_vm_unref);
    engine->tickets = g_hash_table_new(g_int64_hash, g_int64_equal);
    engine->problem = g_strdup("");
    engine->orphans = g_ptr_array_new();
    engine->orphans_problem = g_strdup("not looked for yet");
    engine->expunged_homes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    engine->config = config_new();
    engine->config_problem = g_strdup("");
    world_init_real(&engine->world);
    engine->world.uri = engine->uri;
    engine->world.users = users_new();
    engine_publish_locked(engine);
    return engine;
}

void engine_set_remote(Engine *engine)
{
    engine->remote = g_strdup_printf("%s is another machine, whose image files are on that host; "
                                     "nothing can be changed from here, run vmsnapfs there",
                                     engine->uri);
    str_set(&engine->problem, engine->remote);
    engine_publish_locked(engine);
}

Engine *engine_new_on(Hypervisor *hv, Images *images, Files *files)
{
    Engine *engine = engine_make("fake:");

    engine->world.hv = hv;
    engine->world.images = images;
    engine->world.files = files;
    return engine;
}

static bool open_tables(Engine *engine, GError **error)
{
    World *world = &engine->world;

    world->hv = hv_open(engine->uri, error);
    if (!world->hv)
        return false;
    SimHost *host = hv_fake_host(world->hv);
    world->images = host ? image_fake(host) : image_real();
    world->files = host ? files_memory() : files_real();
    if (host) {
        world->job_poll_ms = FAKE_POLL_MS;
        world->lock_wait_ms = 0;
    }
    engine->owns_tables = true;
    return true;
}

/* libvirt parses a URI when it connects, which may be much later; a path written as it is would be
 * waited for in vain. */
static bool has_blank(const char *uri)
{
    for (; *uri; uri++)
        if (*uri == ' ' || g_ascii_iscntrl(*uri))
            return true;
    return false;
}

/* A connection brings threads, and the caller may still fork: only a simulated host, which has
 * none before it is subscribed to, is opened here. Others are opened by engine_start, and only
 * what can be told without a connection is checked now. */
Engine *engine_new(const char *uri, GError **error)
{
    g_autofree char *scheme = g_uri_parse_scheme(uri);

    if (!scheme) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "\"%s\" is no connection URI; write it as virsh takes it, qemu:///system for "
                    "example",
                    uri);
        return NULL;
    }
    if (strcmp(scheme, "fake") != 0 && has_blank(uri)) {
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_INVALID,
            "\"%s\" holds a space or a control character, which no URI may: write a space as "
            "%%20",
            uri);
        return NULL;
    }
    Engine *engine = engine_make(uri);
    if (!hv_is_local(uri))
        engine_set_remote(engine);
    if (strcmp(scheme, "fake") == 0 && !open_tables(engine, error))
        g_clear_pointer(&engine, engine_free);
    return engine;
}

void engine_subscribe(Engine *engine, EngineChange change, void *data)
{
    engine->change = change;
    engine->change_data = data;
}

static bool all_opened_locked(Engine *engine)
{
    GHashTableIter iter;
    gpointer vm;

    if (!engine->listed)
        return false;
    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm))
        if (((EngineVm *)vm)->present && !((EngineVm *)vm)->opened)
            return false;
    return true;
}

bool engine_guard(Engine *engine, GError **error)
{
    if (engine->world.hv || engine->remote)
        return true;
    engine->world.guardian = guardian_new(engine->uri, error);
    return engine->world.guardian != NULL;
}

bool engine_start(Engine *engine, GError **error)
{
    int64_t deadline = g_get_monotonic_time() + engine->start_wait_ms * G_TIME_SPAN_MILLISECOND;

    if (!engine->world.hv && !open_tables(engine, error))
        return false;
    engine->pool = g_thread_pool_new(run_task, engine, -1, FALSE, NULL);
    Hypervisor *hv = engine->world.hv;
    hv->ops->subscribe(hv, host_event, engine);
    g_mutex_lock(&engine->lock);
    host_list_locked(engine, true);
    while (!all_opened_locked(engine) &&
           g_cond_wait_until(&engine->changed, &engine->lock, deadline))
        ;
    g_mutex_unlock(&engine->lock);
    return true;
}

static GError *stopping_error(void)
{
    return g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                       "The daemon is ending; nothing was changed, ask again when it runs");
}

/* Whoever runs sees stopping through its hooks; whoever waits is woken; the rest is answered. */
static void stop_everybody_locked(Engine *engine)
{
    g_autoptr(GError) error = stopping_error();
    GHashTableIter iter;
    gpointer vm;

    engine->stopping = true;
    g_cond_broadcast(&engine->changed);
    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm)) {
        queue_refuse_all_locked(vm, error);
        engine_vm_wake_locked(vm);
    }
}

/* A removal with sync whose merge is parked: accepted, not merged. */
static void answer_job_waiters(Engine *engine)
{
    g_autoptr(GError) error =
        g_error_new(VMSNAPFS_ERROR, ERR_INTERRUPTED,
                    "The daemon is ending; the removal is accepted and goes on when it runs again");
    GHashTableIter iter;
    gpointer value;

    g_mutex_lock(&engine->lock);
    g_hash_table_iter_init(&iter, engine->tickets);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Work *work = value;
        EngineVm *vm =
            work->request->vm ? g_hash_table_lookup(engine->vms, work->request->vm) : NULL;
        if (!work->outcome) {
            work->outcome = g_error_copy(error);
            engine_push_locked(engine, work_answer_task, vm, work);
        }
    }
    g_mutex_unlock(&engine->lock);
}

static void wait_until_idle(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    while (engine->active > 0)
        g_cond_wait(&engine->changed, &engine->lock);
    g_mutex_unlock(&engine->lock);
}

void engine_stop(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    bool begun = engine->pool && !engine->stopping;
    if (begun)
        stop_everybody_locked(engine);
    g_mutex_unlock(&engine->lock);
    if (!begun)
        return;
    engine->world.hv->ops->subscribe(engine->world.hv, NULL, NULL);
    wait_until_idle(engine);
    answer_job_waiters(engine);
    wait_until_idle(engine);
    g_thread_pool_free(engine->pool, FALSE, TRUE);
}

/* ---- ending without what hangs ---- */

static bool is_worked_on(const EngineVm *vm)
{
    return vm->main || vm->side || vm->refreshing;
}

static char *names_worked_on_locked(Engine *engine)
{
    GString *names = g_string_new(NULL);
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (is_worked_on(value))
            g_string_append_printf(names, "%s%s", names->len ? ", " : "",
                                   ((EngineVm *)value)->name);
    return g_string_free(names, FALSE);
}

static GError *hanging_error(void)
{
    return g_error_new(VMSNAPFS_ERROR, ERR_IO,
                       "The daemon ends, and does not wait any longer for this: libvirt or the "
                       "storage does not answer; look at what became of it when the daemon runs "
                       "again");
}

static void answer_everybody_locked(Engine *engine)
{
    g_autoptr(GList) works = g_hash_table_get_values(engine->tickets);

    for (GList *link = works; link; link = link->next) {
        Work *work = link->data;
        EngineVm *vm =
            work->request->vm ? g_hash_table_lookup(engine->vms, work->request->vm) : NULL;

        if (!work->outcome)
            queue_answer_early_locked(engine, vm, work, hanging_error());
    }
}

char *engine_give_up(Engine *engine)
{
    int64_t deadline = g_get_monotonic_time() + GIVE_UP_WAIT_MS * G_TIME_SPAN_MILLISECOND;

    g_mutex_lock(&engine->lock);
    char *names = names_worked_on_locked(engine);
    unsigned active = engine->active;
    answer_everybody_locked(engine);
    while (engine->active > active && g_cond_wait_until(&engine->changed, &engine->lock, deadline))
        ;
    g_mutex_unlock(&engine->lock);
    return names;
}

void engine_free(Engine *engine)
{
    if (!engine)
        return;
    engine_stop(engine);
    host_view_unref(engine->view);
    g_hash_table_unref(engine->vms);
    g_hash_table_unref(engine->tickets);
    if (engine->owns_tables) {
        files_free(engine->world.files);
        images_free(engine->world.images);
        hv_free(engine->world.hv);
    }
    users_free(engine->world.users);
    guardian_free(engine->world.guardian);
    errors_free(engine->errors);
    g_mutex_clear(&engine->lock);
    g_cond_clear(&engine->changed);
    g_free(engine->problem);
    g_ptr_array_unref(engine->orphans);
    g_free(engine->orphans_problem);
    g_hash_table_unref(engine->expunged_homes);
    config_unref(engine->config);
    g_free(engine->config_problem);
    g_free(engine->remote);
    g_free(engine->uri);
    g_free(engine);
}

/* ---- views and errors ---- */

HostView *engine_view(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    engine_forget_jobs_locked(engine);
    HostView *view = engine_view_locked(engine);
    g_atomic_int_inc(&view->references);
    g_mutex_unlock(&engine->lock);
    return view;
}

static EngineVm *find_vm(Engine *engine, const char *uuid)
{
    g_mutex_lock(&engine->lock);
    EngineVm *vm = uuid ? g_hash_table_lookup(engine->vms, uuid) : NULL;
    if (vm)
        engine_vm_ref(vm);
    g_mutex_unlock(&engine->lock);
    return vm;
}

void engine_report(Engine *engine, const char *vm_uuid, uid_t uid, pid_t pid, const char *operation,
                   const GError *error)
{
    EngineVm *vm = find_vm(engine, vm_uuid);

    errors_operation(engine, vm, uid, pid, operation, error, g_get_monotonic_time());
    engine_vm_unref(vm);
}

char *engine_errors(Engine *engine, const char *vm_uuid)
{
    return errors_text(engine->errors, vm_uuid);
}

uint64_t engine_errors_sequence(Engine *engine, const char *vm_uuid)
{
    return errors_sequence(engine->errors, vm_uuid);
}
