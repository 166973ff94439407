#include "run/recover.h"

#include "run/executor.h"
#include "run/ledger.h"

static bool recover_plan(Operation *op, const Plan *interrupted, GError **error)
{
    g_autoptr(Catalog) catalog = NULL;
    g_autoptr(Plan) plan = NULL;

    if (!operation_look(op, error))
        return false;
    catalog = vm_catalog(op->vm);
    plan = plan_recover(catalog, op->seen, interrupted, error);
    return plan && executor_run_bare(op, plan, error) && ledger_clear_journal(op, error);
}

bool recover_open_journal(Operation *op, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(Journal) journal = ledger_load_journal(op->vm, &cause);

    if (cause) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    if (!journal || recover_plan(op, journal->plan, error))
        return true;
    g_prefix_error(error,
                   "An interrupted operation (%s) of VM %s could not be brought to its end: ",
                   journal->operation, op->vm->uuid);
    return false;
}

bool recover_own_plan(Operation *op, GError **error)
{
    g_autoptr(Plan) interrupted = NULL;
    g_autofree char *text = plan_print(op->journal->plan);

    /* A copy: clearing the journal frees the plan in it. */
    interrupted = plan_parse(text, error);
    return interrupted && recover_plan(op, interrupted, error);
}
