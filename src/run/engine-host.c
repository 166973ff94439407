/* The list of VMs and the hypervisor's events. An event says only that it is time to look again;
 * what is true is asked for. */
#include "run/engine-priv.h"

#include "base/str.h"
#include "run/users.h"

#include <string.h>
#include <unistd.h>

/* ---- changes to be told once no lock is held ---- */

typedef struct {
    bool host;         /* CHANGE_VMS without an event */
    GPtrArray *events; /* of CHANGE_VMS */
    GPtrArray *vms;    /* uuids: CHANGE_VM without an event */
} News;

static News news_new(void)
{
    return (News){.events = g_ptr_array_new_with_free_func(g_free),
                  .vms = g_ptr_array_new_with_free_func(g_free)};
}

static void news_tell(Engine *engine, News *news)
{
    if (news->host)
        engine_emit(engine, CHANGE_VMS, NULL, NULL);
    for (guint i = 0; i < news->events->len; i++)
        engine_emit(engine, CHANGE_VMS, NULL, g_strdup(news->events->pdata[i]));
    for (guint i = 0; i < news->vms->len; i++)
        engine_emit(engine, CHANGE_VM, news->vms->pdata[i], NULL);
    g_ptr_array_unref(news->events);
    g_ptr_array_unref(news->vms);
}

/* ---- down ---- */

static void make_stale_locked(EngineVm *vm)
{
    VmView *view = view_copy(vm->view);

    view->stale = true;
    vm_view_unref(vm->view);
    vm->view = view;
    engine_vm_wake_locked(vm);
}

static void host_down(Engine *engine, const char *why)
{
    News news = news_new();
    GHashTableIter iter;
    gpointer vm;

    g_mutex_lock(&engine->lock);
    bool was_up = engine->up || !engine->up_known;
    engine->up = false;
    engine->up_known = true;
    engine->lost += was_up;
    str_set(&engine->problem, why);
    g_hash_table_iter_init(&iter, engine->vms);
    while (was_up && g_hash_table_iter_next(&iter, NULL, &vm)) {
        make_stale_locked(vm);
        if (((EngineVm *)vm)->present && ((EngineVm *)vm)->shown)
            g_ptr_array_add(news.events,
                            event_make("stale", ((EngineVm *)vm)->view, "stale", "1", NULL));
        g_ptr_array_add(news.vms, g_strdup(((EngineVm *)vm)->uuid));
    }
    engine_publish_locked(engine);
    if (was_up)
        g_ptr_array_add(news.events,
                        event_make("host-down", NULL, "uri", engine->uri, "message", why, NULL));
    g_mutex_unlock(&engine->lock);
    news_tell(engine, &news);
}

bool host_lost(Engine *engine, const char *why)
{
    Hypervisor *hv = engine->world.hv;

    if (hv->ops->is_up(hv))
        return false;
    host_down(engine, why);
    if (hv->ops->is_up(hv)) { /* since just now, and its event may have come before that */
        g_mutex_lock(&engine->lock);
        host_list_locked(engine, true);
        g_mutex_unlock(&engine->lock);
    }
    return true;
}

/* ---- listing ---- */

void host_queue_open_locked(EngineVm *vm)
{
    for (GList *link = vm->queue.head; link; link = link->next)
        if (((Work *)link->data)->kind == WORK_OPEN)
            return;
    if (!vm->engine->stopping)
        queue_add_locked(vm, work_new(WORK_OPEN, NULL, NULL, NULL));
}

static EngineVm *obtain_vm_locked(Engine *engine, const HvDomain *domain)
{
    EngineVm *vm = g_hash_table_lookup(engine->vms, domain->uuid);

    if (!vm) {
        vm = engine_vm_new(engine, domain->uuid, domain->name);
        g_hash_table_insert(engine->vms, vm->uuid, vm);
    }
    return vm;
}

static bool differs(const VmView *view, const HvDomain *domain)
{
    return g_strcmp0(view->name, domain->name) != 0 ||
           g_strcmp0(view->state, domain_state_name(domain->state)) != 0;
}

static void take_domain_locked(Engine *engine, const HvDomain *domain, bool reopen)
{
    EngineVm *vm = obtain_vm_locked(engine, domain);
    bool appeared = !vm->present;

    if (appeared) {
        vm->present = true;
        vm->loaded = vm->shown = vm->opened = false;
        g_clear_pointer(&vm->unopened, g_free);
        retry_not_locked(&vm->retry);
        vm_view_unref(vm->view);
        vm->view = view_first(domain);
        str_set(&vm->name, domain->name);
    }
    if (appeared || reopen)
        host_queue_open_locked(vm);
    else if (differs(vm->view, domain))
        refresh_soon_locked(vm);
}

/* The directory goes, nothing else: the VM may be defined again. */
static void lose_domain_locked(EngineVm *vm, News *news)
{
    g_autoptr(GError) error = g_error_new(VMSNAPFS_ERROR, ERR_NOT_FOUND,
                                          "VM %s is not defined in libvirt any more", vm->name);

    vm->present = false;
    queue_refuse_all_locked(vm, error);
    engine_vm_wake_locked(vm);
    orphans_look_soon_locked(vm->engine);
    if (vm->shown)
        g_ptr_array_add(news->events, event_make("vm-vanished", vm->view, NULL));
}

void host_lose_vm(EngineVm *vm)
{
    Engine *engine = vm->engine;
    News news = news_new();

    g_mutex_lock(&engine->lock);
    if (vm->present)
        lose_domain_locked(vm, &news);
    engine_publish_locked(engine);
    g_mutex_unlock(&engine->lock);
    news_tell(engine, &news);
}

static void lose_others_locked(Engine *engine, GHashTable *seen, News *news)
{
    GHashTableIter iter;
    gpointer uuid, vm;

    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, &uuid, &vm))
        if (((EngineVm *)vm)->present && !g_hash_table_contains(seen, uuid))
            lose_domain_locked(vm, news);
}

static void apply_list(Engine *engine, const GPtrArray *domains, bool reopen)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    News news = news_new();

    g_mutex_lock(&engine->lock);
    if (engine->up_known && !engine->up)
        reopen = true;
    if (!engine->up)
        g_ptr_array_add(news.events, event_make("host-up", NULL, "uri", engine->uri, NULL));
    const char *problem = engine->remote ? engine->remote : "";
    news.host = strcmp(engine->problem, problem) != 0;
    engine->up = engine->up_known = true;
    str_set(&engine->problem, problem);
    retry_not_locked(&engine->retry);
    for (guint i = 0; i < domains->len; i++) {
        const HvDomain *domain = domains->pdata[i];
        g_hash_table_add(seen, domain->uuid);
        take_domain_locked(engine, domain, reopen);
    }
    lose_others_locked(engine, seen, &news);
    engine_publish_locked(engine);
    g_mutex_unlock(&engine->lock);
    news_tell(engine, &news);
}

/* Why nothing may come of waiting for an event: libvirt is there, and does not tell. */
static void list_failed(Engine *engine, bool reopen, const GError *error)
{
    g_autofree char *problem = g_strdup_printf(
        "The VMs cannot be listed: %s; what is known is shown, and it is tried again",
        error->message);

    g_mutex_lock(&engine->lock);
    engine->reopen_wanted |= reopen;
    str_set(&engine->problem, problem);
    bool first = retry_later_locked(engine, &engine->retry);
    engine_publish_locked(engine);
    g_mutex_unlock(&engine->lock);
    if (first)
        errors_operation(engine, NULL, getuid(), getpid(), "list VMs", error,
                         g_get_monotonic_time());
    engine_emit(engine, CHANGE_VMS, NULL, NULL);
}

static void list_once(Engine *engine, bool reopen)
{
    Hypervisor *hv = engine->world.hv;
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) domains = hv->ops->list(hv, &error);

    if (domains)
        apply_list(engine, domains, reopen);
    else if (!error_is(error, ERR_HOST_DOWN) || !host_lost(engine, error->message))
        list_failed(engine, reopen, error);
}

static void run_list(Engine *engine, EngineVm *vm, Work *work)
{
    g_mutex_lock(&engine->lock);
    while (engine->list_wanted && !engine->stopping) {
        bool reopen = engine->reopen_wanted;
        engine->list_wanted = engine->reopen_wanted = false;
        g_mutex_unlock(&engine->lock);
        list_once(engine, reopen);
        g_mutex_lock(&engine->lock);
        if (!engine->listed) /* all VMs may be open already */
            orphans_look_soon_locked(engine);
        engine->listed = true;
        g_cond_broadcast(&engine->changed);
    }
    engine->listing = false;
    g_mutex_unlock(&engine->lock);
}

void host_list_locked(Engine *engine, bool reopen)
{
    if (engine->stopping)
        return;
    engine->list_wanted = true;
    engine->reopen_wanted |= reopen;
    if (!engine->listing) {
        engine->listing = true;
        engine_push_locked(engine, run_list, NULL, NULL);
    }
}

/* ---- opening ---- */

static void show(EngineVm *vm)
{
    Engine *engine = vm->engine;

    g_mutex_lock(&engine->lock);
    bool appears = vm->present && !vm->shown;
    vm->loaded &= !appears;
    g_mutex_unlock(&engine->lock);
    refresh_now(vm, true);
    if (!appears)
        return;
    g_mutex_lock(&engine->lock);
    vm->shown = true;
    engine_publish_locked(engine);
    g_autoptr(VmView) view = vm_view_ref(vm->view);
    g_mutex_unlock(&engine->lock);
    engine_emit(engine, CHANGE_VMS, NULL, event_make("vm-appeared", view, NULL));
}

bool host_opened(EngineVm *vm, GError **error)
{
    if (!merge_adopt(vm, error))
        return false;
    g_mutex_lock(&vm->engine->lock);
    g_clear_pointer(&vm->unopened, g_free);
    retry_well_locked(vm);
    g_mutex_unlock(&vm->engine->lock);
    return true;
}

/* A host that is down will say when it is up. Nobody says so of a catalog that a person mends. */
static bool is_worth_a_retry(Engine *engine, const GError *error)
{
    return !error_is(error, ERR_INTERRUPTED) &&
           !(error_is(error, ERR_HOST_DOWN) && host_lost(engine, error->message));
}

bool host_open_again(EngineVm *vm, const GError *error)
{
    Engine *engine = vm->engine;
    bool again = is_worth_a_retry(engine, error);

    g_mutex_lock(&engine->lock);
    g_free(vm->unopened);
    vm->unopened = again ? g_strdup_printf("%s; it is tried again", error->message) : NULL;
    bool first = !again || retry_later_locked(engine, &vm->retry);
    g_mutex_unlock(&engine->lock);
    return first;
}

void host_open_failed(EngineVm *vm, const GError *error, int64_t since)
{
    g_autofree char *name = engine_vm_name(vm);
    g_autofree char *operation = g_strdup_printf("open %s", name);

    if (host_open_again(vm, error))
        errors_operation(vm->engine, vm, getuid(), getpid(), operation, error, since);
}

/* Trying it again keeps no request waiting for an image lock: the next try will come. */
static bool open_again(EngineVm *vm, GError **error)
{
    return retry_is_to_open(vm) ? vm_open_at_once(vm->vm, error) : vm_open(vm->vm, error);
}

/* Catalog and journal of another machine's VM are not here, whatever lies under the same path. */
static bool open_if_here(EngineVm *vm, GError **error)
{
    return vm->engine->remote || (open_again(vm, error) && host_opened(vm, error));
}

/* A VM is listed when its snapshots are known, not before: who sees its directory sees them all. If
 * libvirt went away before they could be looked for, it is opened again when libvirt is back; it
 * may be seen alive before that. */
static bool is_to_be_shown(EngineVm *vm, const GError *error)
{
    g_mutex_lock(&vm->engine->lock);
    bool shown = vm->shown;
    g_mutex_unlock(&vm->engine->lock);
    return shown || !error_is(error, ERR_HOST_DOWN);
}

uint64_t host_lost_count(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    uint64_t lost = engine->lost;
    g_mutex_unlock(&engine->lock);
    return lost;
}

void host_note_recovery(EngineVm *vm, uint64_t lost, const GError *error)
{
    g_mutex_lock(&vm->engine->lock);
    if (!error_is(error, ERR_HOST_DOWN))
        vm->lost = lost;
    g_mutex_unlock(&vm->engine->lock);
}

bool host_is_behind_locked(const EngineVm *vm)
{
    return !vm->engine->remote && vm->lost != vm->engine->lost && !vm->main_merges;
}

void host_open_vm(EngineVm *vm)
{
    Engine *engine = vm->engine;
    int64_t since = g_get_monotonic_time();
    uint64_t lost = host_lost_count(engine);
    g_autoptr(GError) error = NULL;

    if (!open_if_here(vm, &error))
        host_open_failed(vm, error, since);
    host_note_recovery(vm, lost, error);
    thaw_watch(vm);
    if (is_to_be_shown(vm, error))
        show(vm);
    g_mutex_lock(&engine->lock);
    vm->opened = true;
    orphans_look_soon_locked(engine);
    g_cond_broadcast(&engine->changed);
    g_mutex_unlock(&engine->lock);
}

/* ---- events ---- */

/* That we suspend and resume it is no news, and to look would keep the guest waiting: who suspends
 * it looks at the end. */
static void domain_changed(Engine *engine, const char *uuid)
{
    g_mutex_lock(&engine->lock);
    EngineVm *vm = g_hash_table_lookup(engine->vms, uuid);
    if (vm && vm->present) {
        engine_vm_wake_locked(vm);
        if (vm->unopened)
            host_queue_open_locked(vm);
        else if (vm_suspensions(vm->vm) % 2 == 0)
            refresh_soon_locked(vm);
    } else {
        host_list_locked(engine, false);
    }
    g_mutex_unlock(&engine->lock);
}

/* Where none of ours runs, somebody else's may just have changed the chain. */
static void block_job_changed(Engine *engine, const char *uuid)
{
    g_mutex_lock(&engine->lock);
    EngineVm *vm = g_hash_table_lookup(engine->vms, uuid);
    if (vm) {
        engine_vm_wake_locked(vm);
        if (vm->present && !vm->main_merges)
            refresh_soon_locked(vm);
    }
    g_mutex_unlock(&engine->lock);
}

void host_event(HvEventKind kind, const char *uuid, const char *target, void *data)
{
    Engine *engine = data;

    users_changed(engine->world.users, uuid);
    switch (kind) {
    case HV_EVENT_DOMAIN:
        domain_changed(engine, uuid);
        return;
    case HV_EVENT_BLOCK_JOB:
        block_job_changed(engine, uuid);
        return;
    case HV_EVENT_DOWN:
        host_down(engine, "the connection was lost; the last known state is shown, and it is tried "
                          "again until it is back");
        return;
    case HV_EVENT_UP:
        g_mutex_lock(&engine->lock);
        host_list_locked(engine, true);
        g_mutex_unlock(&engine->lock);
        return;
    }
}
