/* What is done to a VM as a whole: another name. */
#include "run/vm-life.h"

#include "plan/firmware.h"
#include "plan/life.h"
#include "run/definition.h"
#include "run/ledger.h"
#include "run/observe.h"

bool life_is_given_up(const Operation *op, GError **error)
{
    if (!operation_interrupted(op))
        return operation_is_late(op, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED, "Interrupted before VM %s was changed",
                op->vm_name);
    return true;
}

static bool has_name(Operation *op, const char *name)
{
    g_autofree char *now = NULL;
    g_autoptr(Observation) seen = observe_domain(op->vm->world, op->vm->uuid, &now, NULL);

    return seen && g_strcmp0(now, name) == 0;
}

/* An error does not mean that it did not happen (rule 14). */
static bool give_name(Operation *op, const char *new_name, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    g_autoptr(GError) cause = NULL;

    if (!hv->ops->rename(hv, op->vm->uuid, new_name, &cause) && !has_name(op, new_name)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    vm_learn_name(op->vm, new_name);
    return true;
}

/* The store that the next start would use, of a definition that does not say: where libvirt looks
 * for it, else where it was when it was last known. */
static char *unstated_vars_path(const Operation *op, const Catalog *catalog)
{
    const Observation *seen = op->seen;
    g_autofree char *path = firmware_vars_path(NULL, seen->inactive, seen->capabilities, NULL);
    Images *images = op->vm->world->images;
    g_autoptr(GBytes) content = path ? images->ops->read_state(images, path, NULL) : NULL;

    return content ? g_steal_pointer(&path)
                   : firmware_vars_path(NULL, seen->inactive, seen->capabilities, catalog);
}

static bool follows_the_name(const Domain *domain)
{
    return domain_needs_vars(domain) && !domain->firmware->combined && !domain->firmware->path;
}

/* Where the definition does not say where the variables are (firmware='efi'), they are looked for
 * under the VM's name: so it comes to say where they are now (NV-23). If nothing comes of the new
 * name, that does no harm. A vTPM's state is kept by uuid. */
static bool keep_vars(Operation *op, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    g_autofree char *path = NULL;

    if (!follows_the_name(op->seen->inactive))
        return true;
    path = unstated_vars_path(op, catalog);
    if (path)
        return definition_switch(op, &(DomainChange){.nvram = path}, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                "VM %s cannot be renamed: neither its definition nor libvirt says where its UEFI "
                "variables are, and they would be left behind; state the path with virsh edit",
                op->vm_name);
    return false;
}

bool vm_move(Vm *vm, const char *new_name, const char *operation, const VmHooks *hooks,
             GError **error)
{
    Operation op;

    if (!operation_begin(&op, vm, operation, hooks, error))
        return false;
    op.seen = vm_observe(vm, error);
    bool moved = op.seen && plan_check_rename(op.seen, error) && !life_is_given_up(&op, error) &&
                 keep_vars(&op, error) && give_name(&op, new_name, error);
    if (moved)
        ledger_note_name(vm);
    operation_end(&op);
    return moved;
}
