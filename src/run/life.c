/* What requests do to a VM as a whole. */
#include "run/engine-priv.h"

#include "base/str.h"
#include "run/expunged.h"
#include "run/vm-life.h"

#include <unistd.h>

/* libvirt decides; what is known already is refused before anything is changed. */
static bool check_free_name(EngineVm *vm, const char *name, GError **error)
{
    Engine *engine = vm->engine;
    g_autoptr(HostView) view = engine_view(engine);
    const VmView *other = host_view_find(view, name);

    if (!other || g_str_equal(other->uuid, vm->uuid))
        return true;
    g_autofree char *present = engine_vm_name(vm);
    g_set_error(error, VMSNAPFS_ERROR, ERR_EXISTS,
                "VM %s cannot be named %s: there is a VM of that name; give that one another name "
                "first",
                present, name);
    return false;
}

bool life_move(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;
    WorkRunning running = {vm, work};
    const VmHooks hooks = {
        .interrupted = work_is_interrupted, .data = &running, .answer_by = work->answer_by};

    if (!work_check_idle(vm, error) || !check_free_name(vm, request->new_name, error) ||
        !vm_move(vm->vm, request->new_name, request->operation, &hooks, error))
        return false;
    g_mutex_lock(&vm->engine->lock);
    str_set(&vm->name, request->new_name);
    g_mutex_unlock(&vm->engine->lock);
    return true;
}

/* ---- the end ---- */

static bool check_expunge_allowed(EngineVm *vm, GError **error)
{
    Engine *engine = vm->engine;

    g_mutex_lock(&engine->lock);
    bool allowed = engine->config->expunge;
    if (!allowed)
        g_set_error(error, VMSNAPFS_ERROR, ERR_FORBIDDEN,
                    "VM %s is not undefined: rmdir of a VM needs expunge: true in the "
                    "configuration (vmsnapfs.yaml(5)), since its UEFI variables and the state of "
                    "its vTPM go with it",
                    vm->name);
    g_mutex_unlock(&engine->lock);
    return allowed;
}

/* The VM is gone, and its rmdir has succeeded: what stays behind is told, each by its own path, and
 * is an orphan (NV-15, NV-16). */
static void tell_left(EngineVm *vm, const Request *request, const GPtrArray *left, int64_t since)
{
    g_autofree char *name = engine_vm_name(vm);

    for (guint i = 0; i < left->len; i++) {
        const ExpungeLeft *still = left->pdata[i];
        g_autoptr(GError) error = g_error_new(
            VMSNAPFS_ERROR, still->error->code,
            "VM %s is undefined, and %s could not be removed: %s (see .vmsnapfs/orphans)", name,
            still->path, still->error->message);

        errors_operation(vm->engine, vm, request->uid, request->pid, request->operation, error,
                         since);
    }
}

static void set_expunging(EngineVm *vm, bool expunging)
{
    g_mutex_lock(&vm->engine->lock);
    vm->expunging = expunging;
    g_mutex_unlock(&vm->engine->lock);
}

/* *out_left: of ExpungeLeft; yours. */
static bool undefine_and_clean(EngineVm *vm, Work *work, GPtrArray **out_left, GError **error)
{
    WorkRunning running = {vm, work};
    const VmHooks hooks = {
        .interrupted = work_is_interrupted, .data = &running, .answer_by = work->answer_by};

    set_expunging(vm, true);
    bool gone = vm_expunge(vm->vm, work->request->operation, &hooks, out_left, error);
    set_expunging(vm, false);
    return gone;
}

bool life_expunge(EngineVm *vm, Work *work, GError **error)
{
    g_autoptr(GPtrArray) left = NULL;

    if (!check_expunge_allowed(vm, error) || !work_check_idle(vm, error) ||
        !undefine_and_clean(vm, work, &left, error))
        return false;
    if (left->len > 0)
        expunged_note_homes(vm);
    host_lose_vm(vm);
    tell_left(vm, work->request, left, work->since);
    g_mutex_lock(&vm->engine->lock);
    orphans_look_soon_locked(vm->engine);
    g_mutex_unlock(&vm->engine->lock);
    return true;
}
