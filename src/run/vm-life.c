/* What is done to a VM as a whole: another name. */
#include "run/vm-life.h"

#include "plan/life.h"
#include "run/ledger.h"
#include "run/observe.h"

/* The last moment at which nothing has happened. */
static bool is_given_up(const Operation *op, GError **error)
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

bool vm_move(Vm *vm, const char *new_name, const char *operation, const VmHooks *hooks,
             GError **error)
{
    Operation op;

    if (!operation_begin(&op, vm, operation, hooks, error))
        return false;
    op.seen = vm_observe(vm, error);
    bool moved = op.seen && plan_check_rename(op.seen, error) && !is_given_up(&op, error) &&
                 give_name(&op, new_name, error);
    if (moved)
        ledger_note_name(vm);
    operation_end(&op);
    return moved;
}
