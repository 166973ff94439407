#include "engine-bench.h"

#include <string.h>

#define DEADLINE_US (60 * G_USEC_PER_SEC)
#define GLANCE_US   (20 * 1000)
#define BLOCKS      8

/* ---- life ---- */

static void note_change(ChangeKind kind, const char *vm_uuid, const char *event, void *data)
{
    Bench *bench = data;

    if (bench->dawdles && event && strstr(event, "\"host-up\""))
        g_usleep(G_USEC_PER_SEC / 5);
    g_mutex_lock(&bench->lock);
    bench->changes++;
    if (event)
        g_ptr_array_add(bench->events, g_strdup(event));
    g_cond_broadcast(&bench->changed);
    g_mutex_unlock(&bench->lock);
}

/* The log is for people who watch a daemon. */
static GLogWriterOutput log_nothing(GLogLevelFlags level, const GLogField *fields, gsize count,
                                    gpointer data)
{
    return G_LOG_WRITER_HANDLED;
}

static void add_disk(Bench *bench, const char *uuid, const char *target, const char *path)
{
    simhost_add_image(bench->host, path, "qcow2", NULL, NULL, (uint64_t)BLOCKS * SIM_BLOCK);
    simhost_add_disk(bench->host, uuid, target, path, "qcow2");
}

static void make_engine(Bench *bench)
{
    bench->engine = engine_new_on(bench->hv, bench->images, bench->files);
    bench->engine->world.job_poll_ms = 1;
    bench->engine->world.lock_wait_ms = 0;
    bench->engine->retry_ms = 1;
    engine_subscribe(bench->engine, note_change, bench);
}

Bench *bench_new(void)
{
    Bench *bench = g_new0(Bench, 1);
    static bool is_quiet;

    if (!is_quiet)
        g_log_set_writer_func(log_nothing, NULL, NULL);
    is_quiet = true;
    g_mutex_init(&bench->lock);
    g_cond_init(&bench->changed);
    bench->events = g_ptr_array_new_with_free_func(g_free);
    bench->host = simhost_new();
    simhost_add_domain(bench->host, WEB, "web", DOMAIN_OFF);
    add_disk(bench, WEB, "vda", "/images/web-a.qcow2");
    add_disk(bench, WEB, "vdb", "/images/web-b.qcow2");
    simhost_add_domain(bench->host, DB, "db", DOMAIN_OFF);
    add_disk(bench, DB, "vda", "/images/db/db.qcow2");
    bench->hv = hv_fake_new(bench->host);
    bench->images = image_fake(bench->host);
    bench_wrap_tables(bench);
    bench->files = files_memory();
    make_engine(bench);
    return bench;
}

void bench_start(Bench *bench)
{
    g_autoptr(GError) error = NULL;

    assert_true(engine_start(bench->engine, &error));
    assert_null(error);
}

void bench_restart(Bench *bench)
{
    engine_free(bench->engine);
    make_engine(bench);
    bench_start(bench);
}

static void assert_only_in_paths(const char *sentence, const char *uuid)
{
    for (const char *at = strstr(sentence, uuid); at; at = strstr(at + 1, uuid))
        assert_true(at > sentence && at[-1] == '/');
}

/* People know their VMs by name; a uuid in a sentence, but for a file's path, is one that nobody
 * reads. */
static void assert_names_no_uuid(const char *sentence)
{
    assert_only_in_paths(sentence, WEB);
    assert_only_in_paths(sentence, DB);
}

void bench_restart_remote(Bench *bench)
{
    engine_free(bench->engine);
    make_engine(bench);
    engine_set_remote(bench->engine);
    bench_start(bench);
}

void bench_free(Bench *bench)
{
    g_autofree char *errors = engine_errors(bench->engine, NULL);

    assert_names_no_uuid(errors);
    engine_free(bench->engine);
    if (simhost_misuse(bench->host))
        print_message("# misuse: %s\n", simhost_misuse(bench->host));
    assert_null(simhost_misuse(bench->host));
    files_free(bench->files);
    images_free(bench->images);
    hv_free(bench->hv);
    simhost_free(bench->host);
    g_ptr_array_unref(bench->events);
    bench_unwrap_tables(bench);
    g_mutex_clear(&bench->lock);
    g_cond_clear(&bench->changed);
    g_free(bench);
}

int bench_set_up(void **state)
{
    *state = bench_new();
    bench_start(*state);
    return 0;
}

int bench_tear_down(void **state)
{
    bench_free(*state);
    return 0;
}

/* ---- waiting ---- */

/* Sleeps until the engine tells of a change or a glance's time is over, since some conditions are
 * numbers of which nobody tells. */
static void wait_for_change(Bench *bench, unsigned seen)
{
    int64_t until = g_get_monotonic_time() + GLANCE_US;

    g_mutex_lock(&bench->lock);
    while (bench->changes == seen && g_cond_wait_until(&bench->changed, &bench->lock, until))
        ;
    g_mutex_unlock(&bench->lock);
}

static unsigned changes_so_far(Bench *bench)
{
    g_mutex_lock(&bench->lock);
    unsigned changes = bench->changes;
    g_mutex_unlock(&bench->lock);
    return changes;
}

void bench_wait(Bench *bench, bool (*is_so)(Bench *bench, const char *what), const char *what)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_US;
    unsigned seen = changes_so_far(bench);

    while (!is_so(bench, what)) {
        assert_true(g_get_monotonic_time() < deadline);
        wait_for_change(bench, seen);
        seen = changes_so_far(bench);
    }
}

/* ---- requests ---- */

Request *bench_request(RequestKind kind, const char *vm, const char *name)
{
    Request *request = request_new(kind, vm);

    request->name = g_strdup(name);
    request->mode = 0750;
    request->uid = 7;
    request->pid = 42;
    return request;
}

static void take_answer(const GError *error, void *data)
{
    Call *call = data;
    Bench *bench = call->bench;

    g_mutex_lock(&bench->lock);
    call->failed = error != NULL;
    call->code = error ? error_code(error) : ERR_IO;
    call->message = error ? g_strdup(error->message) : NULL;
    call->answered = true;
    g_cond_broadcast(&bench->changed);
    g_mutex_unlock(&bench->lock);
}

Call *bench_submit(Bench *bench, Request *request)
{
    Call *call = g_new0(Call, 1);

    call->bench = bench;
    uint64_t ticket = engine_submit(bench->engine, request, take_answer, call);
    call->ticket = ticket;
    return call;
}

bool bench_is_answered(Call *call)
{
    g_mutex_lock(&call->bench->lock);
    bool answered = call->answered;
    g_mutex_unlock(&call->bench->lock);
    return answered;
}

const char *bench_answer(Call *call)
{
    int64_t deadline = g_get_monotonic_time() + DEADLINE_US;

    g_mutex_lock(&call->bench->lock);
    while (!call->answered &&
           g_cond_wait_until(&call->bench->changed, &call->bench->lock, deadline))
        ;
    bool answered = call->answered;
    g_mutex_unlock(&call->bench->lock);
    assert_true(answered);

    g_autoptr(GError) error =
        call->failed ? g_error_new(VMSNAPFS_ERROR, (int)call->code, "%s", call->message) : NULL;
    if (error)
        print_message("# %s\n", error->message);
    if (error)
        assert_names_no_uuid(error->message);
    g_free(call->message);
    g_free(call);
    return error ? errors_name(error) : "ok";
}

static const char *ask(Bench *bench, RequestKind kind, const char *vm, const char *name)
{
    return bench_answer(bench_submit(bench, bench_request(kind, vm, name)));
}

const char *bench_create(Bench *bench, const char *vm, const char *name)
{
    return ask(bench, REQUEST_CREATE, vm, name);
}

const char *bench_remove(Bench *bench, const char *vm, const char *name)
{
    return ask(bench, REQUEST_REMOVE, vm, name);
}

const char *bench_revert(Bench *bench, const char *vm, const char *name)
{
    return ask(bench, REQUEST_REVERT, vm, name);
}

const char *bench_power(Bench *bench, const char *vm, const char *state)
{
    Request *request = bench_request(REQUEST_POWER, vm, NULL);

    request->text = g_strdup(state);
    return bench_answer(bench_submit(bench, request));
}

Call *bench_submit_drop(Bench *bench, const char *vm, unsigned job)
{
    Request *request = bench_request(REQUEST_JOB_DROP, vm, NULL);

    request->job = job;
    return bench_submit(bench, request);
}

const char *bench_drop(Bench *bench, const char *vm, unsigned job)
{
    return bench_answer(bench_submit_drop(bench, vm, job));
}

/* ---- what is shown ---- */

VmView *bench_view(Bench *bench, const char *vm)
{
    g_autoptr(HostView) host = engine_view(bench->engine);
    const VmView *view = host_view_of_uuid(host, vm);

    return view ? vm_view_ref(view) : NULL;
}

char *bench_source(Bench *bench, const char *vm, const char *target)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    for (guint i = 0; i < view->disks->len; i++) {
        const DiskView *disk = view->disks->pdata[i];

        if (g_str_equal(disk->target, target))
            return g_strdup(disk->source);
    }
    return NULL;
}

char *bench_listed(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);
    GString *text = g_string_new(NULL);

    for (guint i = 0; view && i < view->snapshots->len; i++) {
        const SnapshotView *snapshot = view->snapshots->pdata[i];
        g_string_append_printf(text, snapshot->hidden ? "%s[%s]" : "%s%s", text->len ? " " : "",
                               snapshot->name);
    }
    return g_string_free(text, FALSE);
}

char *bench_current(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);
    const SnapshotView *current = vm_view_snapshot(view, view->current);

    return g_strdup(current ? current->name : "");
}

unsigned bench_jobs(Bench *bench, const char *vm, JobState state)
{
    g_autoptr(VmView) view = bench_view(bench, vm);
    unsigned count = 0;

    for (guint i = 0; view && i < view->jobs->len; i++)
        count += engine_job_state(view->jobs->pdata[i]) == state;
    return count;
}

unsigned bench_first_job(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && view->jobs->len ? engine_job_id(view->jobs->pdata[0]) : 0;
}

bool bench_has_event(Bench *bench, const char *part)
{
    bool found = false;

    g_mutex_lock(&bench->lock);
    for (guint i = 0; i < bench->events->len && !found; i++)
        found = strstr(bench->events->pdata[i], part) != NULL;
    g_mutex_unlock(&bench->lock);
    return found;
}

bool no_job_runs(Bench *bench, const char *vm)
{
    return bench_jobs(bench, vm, JOB_RUNNING) == 0;
}

bool a_job_runs(Bench *bench, const char *vm)
{
    return bench_jobs(bench, vm, JOB_RUNNING) > 0;
}

/* A merge has told its first number. */
bool a_job_copies(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    if (!view || view->jobs->len == 0)
        return false;
    g_autoptr(GPtrArray) disks = engine_job_disks(view->jobs->pdata[0]);
    return ((JobDisk *)disks->pdata[0])->total > 0;
}

bool is_stale(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && view->stale;
}

bool is_fresh(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && !view->stale;
}

bool is_running(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && strcmp(view->state, "running") == 0;
}

bool is_off(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && strcmp(view->state, "shutoff") == 0;
}

bool is_listed(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view != NULL;
}

bool is_not_listed(Bench *bench, const char *vm)
{
    return !is_listed(bench, vm);
}

bool has_event(Bench *bench, const char *part)
{
    return bench_has_event(bench, part);
}
