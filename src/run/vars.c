/* Requests about UEFI variables and vTPM state. */
#include "run/engine-priv.h"

#include "model/vars.h"
#include "run/observe-firmware.h"
#include "run/vm-vars.h"

#include <string.h>

/* Where they are stands in the view, so that reading asks libvirt nothing. They may be gone since:
 * that is said, with their name (NV-13). */
static GBytes *read_own(EngineVm *vm, GError **error)
{
    g_autoptr(VmView) view = engine_vm_view(vm);
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);
    g_autoptr(GError) cause = NULL;

    if (!view->nvram->path[0]) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no NVRAM", view->name);
        return NULL;
    }
    GBytes *content = observe_vars(&vm->engine->world, view->nvram->path, catalog->vars, &cause);
    if (!content && error_is(cause, ERR_NOT_FOUND))
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                    "NVRAM %s of VM %s is not there; put back a copy (cp snapshots/NAME/vars.fd "
                    "nvram/vars.fd), or rm nvram/vars.fd and have it made anew at the next start",
                    view->nvram->path, view->name);
    else if (!content)
        g_propagate_error(error, g_steal_pointer(&cause));
    return content;
}

void vars_read(Engine *engine, EngineVm *vm, Work *work)
{
    Request *request = work->request;
    g_autoptr(GError) error = NULL;

    request->content = request->name ? vm_read_sidecar(vm->vm, request->name, request->text, &error)
                                     : read_own(vm, &error);
    work_answer(engine, vm, work, error);
}

bool vars_run_set(EngineVm *vm, Work *work, GError **error)
{
    const Request *request = work->request;
    const VmHooks hooks = {.answer_by = work->answer_by};
    g_autofree char *sha256 = state_digest(request->content);
    g_autoptr(VmView) view = engine_vm_view(vm);

    if (!vm_set_vars(vm->vm, request->content, request->operation, &hooks, error))
        return false;
    engine_emit(
        vm->engine, CHANGE_VM, vm->uuid,
        event_make("nvram-replaced", view, "path", view->nvram->path, "sha256", sha256, NULL));
    return true;
}

bool vars_run_reset(EngineVm *vm, Work *work, GError **error)
{
    const VmHooks hooks = {.answer_by = work->answer_by};
    g_autoptr(VmView) view = engine_vm_view(vm);

    if (!vm_reset_vars(vm->vm, work->request->operation, &hooks, error))
        return false;
    engine_emit(vm->engine, CHANGE_VM, vm->uuid,
                event_make("nvram-reset", view, "path", view->nvram->path, NULL));
    return true;
}

bool vm_view_check_vars(const VmView *view, GError **error)
{
    const VarsView *vars = view->nvram;

    if (strcmp(view->state, "shutoff") != 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "VM %s is %s, so its UEFI variables are in use; shut it down first (echo "
                    "shutoff > state)",
                    view->name, view->state);
        return false;
    }
    if (!view->managed_save && (strcmp(vars->needed, "no") != 0 || vars->exists))
        return true;
    if (view->managed_save)
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_BUSY,
            "VM %s has a managed save image, so its UEFI variables are in use; start it, or "
            "drop the image with virsh managedsave-remove",
            view->name);
    else
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "VM %s has no firmware that keeps UEFI variables", view->name);
    return false;
}
