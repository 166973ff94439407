/* The end of a VM: undefined, with everything that is nobody's after it but its disks. */
#include "plan/life.h"
#include "run/executor.h"
#include "run/expunged.h"
#include "run/ledger.h"
#include "run/locate.h"
#include "run/step-run.h"
#include "run/vm-life.h"

/* ---- the journal ---- */

static bool names_files(const Plan *plan)
{
    return ((Step *)plan->steps->pdata[0])->keys->len > 1;
}

/* What goes after the domain has to stand somewhere, or nobody would know of it any more. */
static bool need_home(Operation *op, const Plan *plan, GError **error)
{
    g_autofree char *home = vm_home(op->vm);

    if (home || !names_files(plan))
        return true;
    home = locate_new_home(op->seen->inactive);
    return !home || ledger_settle_home(op->vm, home, error);
}

/* @plan is taken. A VM without a disk has no place for a journal: what could not be removed is then
 * told, and no more. */
static bool open_journal(Operation *op, Plan *plan, GError **error)
{
    g_autoptr(Plan) owned = plan;
    g_autoptr(GError) cause = NULL;

    if (!need_home(op, plan, error))
        return false;
    g_autofree char *home = vm_home(op->vm);
    if (!home) {
        op->journal = journal_new(g_steal_pointer(&owned), op->name);
        return true;
    }
    if (ledger_open_journal(op, g_steal_pointer(&owned), error))
        return true;
    if (!ledger_clear_journal(op, &cause))
        ledger_complain(op->vm, "a journal may be left; the next operation looks", cause);
    return false;
}

static void close_journal(Operation *op)
{
    g_autofree char *home = vm_home(op->vm);
    g_autoptr(GError) cause = NULL;

    if (home && !ledger_clear_journal(op, &cause))
        ledger_complain(op->vm, "its journal could not be cleared; the next operation does it",
                        cause);
}

/* ---- undefining ---- */

typedef enum { FATE_GONE, FATE_STAYS, FATE_UNKNOWN } Fate;

/* It was started in the instant in which it was undefined, so libvirt made a transient VM of it:
 * its definition goes back. */
static Fate put_back(Operation *op, const char *before, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;

    if (!hv->ops->define(hv, op->vm->uuid, before, error)) {
        g_prefix_error(error,
                       "VM %s was started while it was being undefined, and could not be defined "
                       "again: ",
                       op->vm_name);
        return FATE_UNKNOWN;
    }
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "VM %s was started while it was being undefined; it is defined again", op->vm_name);
    return FATE_STAYS;
}

static bool read_definitions(Operation *op, char **out_live, char **out_inactive, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    g_autofree char *saved = NULL;

    return hv->ops->definitions(hv, op->vm->uuid, out_live, out_inactive, &saved, error);
}

/* libvirt's answer to undefine says nothing (rule 14): @cause is what it was, NULL: success. */
static Fate find_fate(Operation *op, const char *before, const GError *cause, GError **error)
{
    g_autofree char *live = NULL, *inactive = NULL;
    g_autoptr(GError) why = NULL;

    if (!read_definitions(op, &live, &inactive, &why)) {
        if (error_is(why, ERR_NOT_FOUND))
            return FATE_GONE;
        g_propagate_error(error, g_steal_pointer(&why));
        return FATE_UNKNOWN;
    }
    if (!inactive)
        return put_back(op, before, error);
    if (cause)
        g_propagate_error(error, g_error_copy(cause));
    else
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                    "libvirt says that VM %s was undefined, and it is still there", op->vm_name);
    return FATE_STAYS;
}

static bool undefine(Operation *op, GError **error)
{
    g_autofree char *live = NULL, *before = NULL;
    g_autoptr(GError) cause = NULL;

    if (!read_definitions(op, &live, &before, error)) {
        close_journal(op);
        return false;
    }
    step_run(op, op->journal->plan->steps->pdata[0], &cause);
    switch (find_fate(op, before, cause, error)) {
    case FATE_GONE:
        return true;
    case FATE_STAYS:
        close_journal(op);
        return false;
    case FATE_UNKNOWN:
        g_prefix_error(error, "It is not known whether VM %s was undefined: ", op->vm_name);
        return false;
    }
    return false;
}

/* ---- the whole ---- */

static bool prepare(Operation *op, GError **error)
{
    op->seen = vm_observe(op->vm, error);
    if (!op->seen)
        return false;
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    g_autofree char *host = expunge_host(op->vm->world);
    Plan *plan = plan_expunge(catalog, op->seen, host, error);
    if (!plan)
        return false;
    if (!life_is_given_up(op, error))
        return open_journal(op, plan, error);
    plan_free(plan);
    return false;
}

bool vm_expunge(Vm *vm, const char *operation, const VmHooks *hooks, GPtrArray **out_left,
                GError **error)
{
    Operation op;

    if (!operation_begin(&op, vm, operation, hooks, error))
        return false;
    bool gone = prepare(&op, error) && undefine(&op, error);
    if (gone) {
        g_autofree char *home = vm_home(vm);
        *out_left = expunged_clean(vm->world, home, vm->uuid, op.journal->plan->steps->pdata[0]);
        ledger_forget(vm);
    }
    operation_end(&op);
    return gone;
}

void vm_forget(Vm *vm)
{
    g_mutex_lock(&vm->turn);
    ledger_forget(vm);
    g_mutex_unlock(&vm->turn);
}
