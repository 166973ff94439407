/* A merge has the turn for hours, and whoever removes a second snapshot shall not wait for it.
 * Accepting a removal writes nothing but the catalog, and each record is whole by itself: it is
 * planned on the catalog as it is and recorded in one go under the lock, as labels are, so that no
 * record of the merge comes between. The merge in its turn touches only what it has planned. */
#include "run/vm-beside.h"

#include "run/ledger.h"
#include "run/users.h"

#define TRIES 10

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

typedef enum { BESIDE_REFUSED, BESIDE_DONE, BESIDE_OVERTAKEN } BesideState;

/* A record of the merge may fall between the look and the lock: what was seen is then that of
 * another catalog. */
static BesideState remove_once(Vm *vm, const char *name, int64_t begun, GError **error)
{
    g_autoptr(Catalog) before = vm_catalog(vm);
    g_autoptr(Observation) seen = vm_observe(vm, error);
    g_autoptr(Journal) journal = ledger_load_journal(vm, NULL);
    BesideState state = BESIDE_OVERTAKEN;

    if (!seen || !users_observe(vm, journal ? journal->plan : NULL, begun, seen, error))
        return BESIDE_REFUSED;
    g_mutex_lock(&vm->lock);
    if (vm->catalog->generation == before->generation)
        state = record_removal_locked(vm, name, seen, error) ? BESIDE_DONE : BESIDE_REFUSED;
    g_mutex_unlock(&vm->lock);
    return state;
}

bool vm_remove_beside(Vm *vm, const char *name, const char *operation, bool *out_work,
                      GError **error)
{
    BesideState state = BESIDE_OVERTAKEN;
    int64_t begun = g_get_monotonic_time();

    if (!operation_runs(vm))
        return vm_remove(vm, name, operation, out_work, error);
    for (unsigned tries = 0; state == BESIDE_OVERTAKEN && tries < TRIES; tries++)
        state = remove_once(vm, name, begun, error);
    if (state == BESIDE_OVERTAKEN) {
        g_autofree char *vm_called = vm_name(vm);
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "The merge on VM %s records one step after the other just now; remove snapshot "
                    "%s again in a moment",
                    vm_called, name);
    }
    *out_work |= state == BESIDE_DONE;
    return state == BESIDE_DONE;
}
