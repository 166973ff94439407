/* Looking for orphans, in the background: at the start, when a VM was opened or has gone, when an
 * operation failed, when somebody asks for a new look, and after one was removed. An idle daemon
 * does not. */
#include "run/engine-priv.h"

#include "base/str.h"
#include "run/orphans.h"

static GPtrArray *present_vms_locked(Engine *engine)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func((GDestroyNotify)engine_vm_unref);
    GHashTableIter iter;
    gpointer vm;

    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &vm))
        if (((EngineVm *)vm)->present)
            g_ptr_array_add(vms, engine_vm_ref(vm));
    return vms;
}

static bool check_open_locked(const GPtrArray *vms, GError **error)
{
    for (guint i = 0; i < vms->len; i++) {
        const EngineVm *vm = vms->pdata[i];

        if (vm->opened && !vm->unopened)
            continue;
        if (vm->unopened)
            g_set_error(error, VMSNAPFS_ERROR, ERR_READ_ONLY,
                        "which files VM %s needs is not known: %s", vm->name, vm->unopened);
        else
            g_set_error(error, VMSNAPFS_ERROR, ERR_READ_ONLY, "not every VM has been opened yet");
        return false;
    }
    return true;
}

static bool check_host_locked(const Engine *engine, GError **error)
{
    if (engine->up && engine->listed && !engine->remote)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_HOST_DOWN, "%s",
                engine->problem[0] ? engine->problem : "the VMs are not listed yet");
    return false;
}

/* The engine's VMs if all of them can be looked at; else NULL. */
static GPtrArray *take_vms(Engine *engine, GError **error)
{
    g_mutex_lock(&engine->lock);
    g_autoptr(GPtrArray) vms = present_vms_locked(engine);
    bool all = check_host_locked(engine, error) && check_open_locked(vms, error);
    g_mutex_unlock(&engine->lock);
    return all ? g_steal_pointer(&vms) : NULL;
}

static GPtrArray *vms_of(const GPtrArray *engine_vms)
{
    GPtrArray *vms = g_ptr_array_new();

    for (guint i = 0; i < engine_vms->len; i++)
        g_ptr_array_add(vms, ((EngineVm *)engine_vms->pdata[i])->vm);
    return vms;
}

static bool is_same(const GPtrArray *before, const GPtrArray *now)
{
    bool same = before->len == now->len;

    for (guint i = 0; same && i < now->len; i++) {
        const OrphanView *old = before->pdata[i], *new = now->pdata[i];
        same = g_str_equal(old->path, new->path) && old->allocation == new->allocation;
    }
    return same;
}

static char *event_of(const GPtrArray *orphans)
{
    g_autofree char *number = g_strdup_printf("%u", orphans->len);

    return event_make("orphans", NULL, "number", number, NULL);
}

/* Only news: at the start every VM asks for a look. @orphans is taken. */
static void publish(Engine *engine, GPtrArray *orphans, const char *problem)
{
    g_autoptr(GPtrArray) old = orphans;
    char *event = NULL;

    g_mutex_lock(&engine->lock);
    bool others = !is_same(engine->orphans, orphans);
    bool news = others || !g_str_equal(engine->orphans_problem, problem);
    if (news) {
        event = others ? event_of(orphans) : NULL;
        old = engine->orphans;
        engine->orphans = orphans;
        str_set(&engine->orphans_problem, problem);
        engine_publish_locked(engine);
    }
    g_mutex_unlock(&engine->lock);
    if (news)
        engine_emit(engine, CHANGE_VMS, NULL, event);
}

static void look(Engine *engine)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) engine_vms = take_vms(engine, &error);
    g_autoptr(GPtrArray) vms = engine_vms ? vms_of(engine_vms) : NULL;
    GPtrArray *orphans = vms ? orphans_find(&engine->world, vms, &error) : NULL;

    if (orphans)
        expunged_look(engine, orphans);
    publish(engine, orphans ? orphans : g_ptr_array_new(), error ? error->message : "");
}

static void run_look(Engine *engine, EngineVm *vm, Work *work)
{
    g_mutex_lock(&engine->lock);
    while (engine->orphans_wanted && !engine->stopping) {
        engine->orphans_wanted = false;
        g_mutex_unlock(&engine->lock);
        look(engine);
        g_mutex_lock(&engine->lock);
    }
    engine->orphans_looking = false;
    g_mutex_unlock(&engine->lock);
}

void orphans_look_soon_locked(Engine *engine)
{
    if (engine->stopping)
        return;
    engine->orphans_wanted = true;
    if (engine->orphans_looking)
        return;
    engine->orphans_looking = true;
    engine_push_locked(engine, run_look, NULL, NULL);
}

void orphans_free(Engine *engine, EngineVm *vm, Work *work)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) engine_vms = take_vms(engine, &error);
    g_autoptr(GPtrArray) vms = engine_vms ? vms_of(engine_vms) : NULL;

    if (vms && !expunged_free_path(engine, work->request->text, &error))
        orphans_remove(&engine->world, vms, work->request->text, &error);
    look(engine);
    work_answer(engine, NULL, work, error);
}
