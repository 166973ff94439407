#include "run/recover.h"

#include <string.h>

#include "run/executor.h"
#include "run/hold.h"
#include "run/keep.h"
#include "run/ledger.h"
#include "run/users.h"

/* What an interrupted plan made may be known to nobody else: look at every file that it names. */
static void look_at_plan(Operation *op, const Plan *plan)
{
    const World *world = op->vm->world;

    for (guint i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        for (guint j = 0; j < step->values->len; j++) {
            const char *path = step->values->pdata[j];

            if (g_path_is_absolute(path) && !observation_file(op->seen, path))
                g_hash_table_insert(op->seen->files, g_strdup(path),
                                    world->images->ops->inspect(world->images, path));
        }
    }
}

static bool recover_plan(Operation *op, const Journal *journal, GError **error)
{
    const Plan *interrupted = journal->plan;
    g_autoptr(Catalog) catalog = NULL;
    g_autoptr(Plan) plan = NULL;

    if (!hold_recover(op, journal, error) || !operation_look(op, error))
        return false;
    look_at_plan(op, interrupted);
    if (!users_observe(op->vm, interrupted, op->begun, op->seen, error))
        return false;
    catalog = vm_catalog(op->vm);
    observation_trust_locks(op->seen, catalog, interrupted);
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
    bool recovered = !journal || recover_plan(op, journal, error);
    /* What was seen was seen before the recovery, and what is wrong with the snapshot that came to
     * be by it is nothing that the operation which begins now has to answer for. */
    g_clear_pointer(&op->seen, observation_free);
    keep_clear(&op->kept);
    if (recovered)
        return true;
    g_prefix_error(error,
                   "An interrupted operation (%s) of VM %s could not be brought to its end: ",
                   journal->operation, op->vm_name);
    return false;
}

bool recover_own_plan(Operation *op, GError **error)
{
    g_autofree char *text = journal_to_yaml(op->journal);
    /* A copy: clearing the journal frees the plan in it. */
    g_autoptr(Journal) journal = journal_from_yaml(text, strlen(text), error);

    return journal && recover_plan(op, journal, error);
}
