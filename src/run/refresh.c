/* Building a VM's view again: one build at a time per VM, beside its lanes, asking the hypervisor
 * with no lock held. */
#include "run/engine-priv.h"

#include "base/str.h"
#include "run/observe.h"
#include "run/vm-start.h"

#include <unistd.h>

/* The first of a row of failures is told; a VM that is gone is no failure. */
static void look_later(EngineVm *vm, const GError *error)
{
    Engine *engine = vm->engine;
    bool gone = error_is(error, ERR_NOT_FOUND);

    g_mutex_lock(&engine->lock);
    if (gone)
        host_list_locked(engine, false);
    bool tell = !vm->unopened && retry_later_locked(engine, &vm->retry) && !gone;
    g_autofree char *operation = g_strdup_printf("look at %s", vm->name);
    g_mutex_unlock(&engine->lock);
    if (tell)
        errors_operation(engine, vm, getuid(), getpid(), operation, error, g_get_monotonic_time());
}

static void note_failure(EngineVm *vm, const GError *error)
{
    bool down = error_is(error, ERR_HOST_DOWN) && host_lost(vm->engine, error->message);

    if (!down) {
        vm->unseen = g_strdup_printf("%s; the last known state is shown, and it is tried again",
                                     error->message);
        look_later(vm, error);
    }
}

static void note_success(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    if (!vm->unopened)
        retry_well_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
}

/* Drift is the difference between a catalog and a chain seen at one time: where the chain is being
 * changed by us, what was interrupted when libvirt went away was not recovered yet, or the catalog
 * was replaced while we looked, the last answer stands until the build that follows. */
static void judge_drift(EngineVm *vm, const Catalog *before, const Catalog *after)
{
    g_mutex_lock(&vm->engine->lock);
    bool changing = vm->changing || vm->behind;
    g_mutex_unlock(&vm->engine->lock);
    if (changing || before->generation != after->generation)
        return;
    g_autofree char *drift = plan_drift(after, vm->observation);
    str_set(&vm->drift, drift);
}

/* The files of another machine are not to be seen here: those of the same path are others. */
static Observation *look(EngineVm *vm, GError **error)
{
    return vm->engine->remote ? observe_domain(&vm->engine->world, vm->uuid, NULL, error)
                              : vm_observe(vm->vm, error);
}

/* False: it may have been seen suspended by us, which is over in milliseconds; who suspends it
 * looks at the end. */
static bool is_to_stay(EngineVm *vm, unsigned suspensions)
{
    return suspensions % 2 == 0 && vm_suspensions(vm->vm) == suspensions;
}

static void observe(EngineVm *vm)
{
    g_autoptr(Catalog) before = vm_catalog(vm->vm);
    g_autoptr(GError) error = NULL;
    unsigned suspensions = vm_suspensions(vm->vm);
    Observation *seen = look(vm, &error);

    if (seen && vm->observation && !is_to_stay(vm, suspensions)) {
        observation_free(seen);
        return;
    }
    vm->stale = !seen;
    g_clear_pointer(&vm->unseen, g_free);
    if (!seen) {
        note_failure(vm, error);
        return;
    }
    note_success(vm);
    g_autoptr(Catalog) after = vm_catalog(vm->vm);
    g_clear_pointer(&vm->observation, observation_free);
    vm->observation = seen;
    judge_drift(vm, before, after);
}

/* The files of another machine are not here, whatever lies under the same path. */
static char *why_out_of_reach(const EngineVm *vm)
{
    const Domain *domain = vm->observation ? observation_domain(vm->observation) : NULL;
    g_autoptr(GError) error = NULL;

    if (domain && !vm->engine->remote && !observe_check_reach(domain, &error))
        return g_strdup(error->message);
    return NULL;
}

static char *trouble_of(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    char *trouble = g_strdup(vm->unopened ? vm->unopened : vm->unseen);
    g_mutex_unlock(&vm->engine->lock);
    return trouble ? trouble : why_out_of_reach(vm);
}

/* It may have got another one since it was last seen. */
static char *name_of(EngineVm *vm)
{
    const Domain *domain = vm->observation ? observation_domain(vm->observation) : NULL;

    return domain && !vm->stale ? g_strdup(domain->name) : engine_vm_name(vm);
}

static VmView *build(EngineVm *vm, const VmView *previous)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    g_autofree char *home = vm_home(vm->vm);
    g_autofree char *problem =
        vm->engine->remote ? g_strdup(vm->engine->remote) : vm_problem(vm->vm);
    g_autofree char *trouble = trouble_of(vm);
    g_autofree char *name = name_of(vm);

    return view_build(&(ViewFacts){
        .uuid = vm->uuid,
        .name = name,
        .observation = vm->observation,
        .catalog = catalog,
        .home = home,
        .problem = problem,
        .trouble = trouble,
        .drift = vm->drift,
        .files = vm->engine->world.files,
        .previous = previous,
    });
}

static void tell(EngineVm *vm, const VmView *before, const VmView *after, bool first)
{
    Engine *engine = vm->engine;
    g_autoptr(GPtrArray) events =
        first ? g_ptr_array_new_with_free_func(g_free) : events_between(before, after);

    if (g_strcmp0(before->name, after->name) != 0) {
        engine_emit(engine, CHANGE_VMS, NULL, event_make("vm-vanished", before, NULL));
        engine_emit(engine, CHANGE_VMS, NULL, event_make("vm-appeared", after, NULL));
    }
    for (guint i = 0; i < events->len; i++)
        engine_emit(engine, CHANGE_VM, vm->uuid, g_strdup(events->pdata[i]));
    if (events->len == 0)
        engine_emit(engine, CHANGE_VM, vm->uuid, NULL);
}

static void publish(EngineVm *vm, VmView *view, uint64_t upto)
{
    Engine *engine = vm->engine;

    g_mutex_lock(&engine->lock);
    bool first = !vm->loaded;
    vm->loaded = true;
    view->stale = vm->stale || !engine->up || vm->behind || host_is_behind_locked(vm);
    str_set(&vm->name, view->name);
    g_autoptr(VmView) after = vm_view_ref(view);
    g_autoptr(VmView) before = engine_vm_publish_locked(vm, view);
    bool present = vm->present;
    vm->refresh_done = upto;
    vm->refreshing = false;
    g_cond_broadcast(&vm->changed);
    g_mutex_unlock(&engine->lock);
    if (present)
        tell(vm, before, after, first);
}

/* Become the one who builds, unless a build that began after this call did it for us. */
static bool begin(EngineVm *vm, uint64_t *out_upto, bool *out_observe)
{
    uint64_t mine = ++vm->refresh_wanted;

    while (vm->refreshing && vm->refresh_done < mine)
        g_cond_wait(&vm->changed, &vm->engine->lock);
    if (vm->refresh_done >= mine)
        return false;
    vm->refreshing = true;
    vm->behind = host_is_behind_locked(vm);
    *out_upto = vm->refresh_wanted;
    *out_observe = vm->observe_wanted || !vm->observation;
    vm->observe_wanted = false;
    return true;
}

bool refresh_now(EngineVm *vm, bool with_facts)
{
    Engine *engine = vm->engine;
    bool want_facts = false, news = false;
    uint64_t upto = 0;

    g_mutex_lock(&engine->lock);
    vm->observe_wanted |= with_facts;
    bool mine = begin(vm, &upto, &want_facts);
    g_autoptr(VmView) previous = mine ? vm_view_ref(vm->view) : NULL;
    g_mutex_unlock(&engine->lock);
    if (!mine)
        return false;
    if (want_facts)
        observe(vm);
    news = !engine->remote && vm->observation && vm_has_news(vm->vm, vm->observation);
    publish(vm, build(vm, previous), upto);
    return news;
}

/* Somebody else started it, on variables of which the catalog does not know: to open the VM again
 * notes it. Our own start does that by itself. */
static void open_for_news(EngineVm *vm)
{
    Engine *engine = vm->engine;

    g_mutex_lock(&engine->lock);
    if (!vm->running || vm->running->request->kind != REQUEST_POWER)
        host_queue_open_locked(vm);
    g_mutex_unlock(&engine->lock);
}

static void run_refresh(Engine *engine, EngineVm *vm, Work *work)
{
    g_mutex_lock(&engine->lock);
    vm->refresh_queued = false;
    bool wanted = vm->present && !engine->stopping;
    g_mutex_unlock(&engine->lock);
    if (wanted && refresh_now(vm, true))
        open_for_news(vm);
}

void refresh_soon_locked(EngineVm *vm)
{
    if (vm->refresh_queued || vm->engine->stopping)
        return;
    vm->refresh_queued = true;
    engine_push_locked(vm->engine, run_refresh, vm, NULL);
}

/* ---- looking again ---- */

/* What could not be done before need not wait until it is tried again. */
static bool open_now(EngineVm *vm, GError **error)
{
    return vm_open_at_once(vm->vm, error) && (!retry_is_to_open(vm) || host_opened(vm, error));
}

void work_rescan(Engine *engine, EngineVm *vm, Work *work)
{
    g_autoptr(GError) error = NULL;
    uint64_t lost = host_lost_count(engine);
    bool opened = open_now(vm, &error);

    host_note_recovery(vm, lost, error);
    refresh_now(vm, true);
    g_mutex_lock(&engine->lock);
    orphans_look_soon_locked(engine);
    g_mutex_unlock(&engine->lock);
    g_autoptr(VmView) view = engine_vm_view(vm);
    if (opened && view->stale)
        g_set_error(&error, VMSNAPFS_ERROR, engine->up ? ERR_IO : ERR_HOST_DOWN,
                    "VM %s could not be looked at: %s", view->name, view->problem);
    work_answer(engine, vm, work, error);
}
