/* A merge has the turn for hours, and whoever removes a second snapshot shall not wait for it.
 * Accepting a removal writes nothing but the catalog, and each record is whole by itself: it is
 * planned on the catalog as it is and recorded in one go under the lock, as labels are, so that no
 * record of the merge comes between. The merge in its turn touches only what it has planned. */
#include "run/vm-beside.h"

#include "run/ledger.h"
#include "run/users.h"

static bool record_removal_locked(Vm *vm, const char *name, const Observation *seen, GError **error)
{
    const Snapshot *snapshot = catalog_named(vm->catalog, name);

    if (!snapshot) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no snapshot named %s",
                    vm->name, name);
        return false;
    }
    g_autoptr(Plan) plan = plan_remove(vm->catalog, seen, snapshot->id, error);
    for (guint i = 0; plan && i < plan->steps->len; i++)
        if (!ledger_record_locked(vm, plan->steps->pdata[i], error))
            return false;
    return plan != NULL;
}

bool vm_remove_beside(Vm *vm, const char *name, const char *operation, bool *out_work,
                      GError **error)
{
    int64_t begun = g_get_monotonic_time();

    if (!operation_runs(vm))
        return vm_remove(vm, name, operation, out_work, error);
    g_autoptr(Observation) seen = vm_observe(vm, error);
    g_autoptr(Journal) journal = ledger_load_journal(vm, NULL);
    if (!seen || !users_observe(vm, journal ? journal->plan : NULL, begun, seen, error))
        return false;
    g_mutex_lock(&vm->lock);
    bool accepted = record_removal_locked(vm, name, seen, error);
    g_mutex_unlock(&vm->lock);
    if (accepted)
        *out_work = true;
    return accepted;
}
