/* What requests do to a VM as a whole. */
#include "run/engine-priv.h"

#include "run/vm-life.h"

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

    return work_check_idle(vm, error) && check_free_name(vm, request->new_name, error) &&
           vm_move(vm->vm, request->new_name, request->operation, &hooks, error);
}
