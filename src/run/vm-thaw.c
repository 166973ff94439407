#include "run/vm-thaw.h"

#include "run/ledger.h"
#include "run/thaw.h"

#define AGENT_SECONDS 5 /* at most: it will be asked again */

bool vm_owes_thaw(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    bool owed = vm->catalog->thaw_owed;
    g_mutex_unlock(&vm->lock);
    return owed;
}

static unsigned agent_seconds(Vm *vm)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    guint64 seconds = g_ascii_strtoull(catalog_policy(catalog, "quiesce_timeout"), NULL, 10);

    return (unsigned)MIN(seconds, AGENT_SECONDS);
}

/* As a label: whole by itself, so it waits for no operation that has the turn. */
static bool record(Vm *vm, GError **error)
{
    Step *step = step_new(STEP_RECORD_THAWED);
    Operation op;
    bool recorded;

    if (operation_runs(vm)) {
        recorded = ledger_record(vm, step, error);
    } else if ((recorded = operation_begin(&op, vm, "thaw", NULL, error))) {
        recorded = ledger_record(vm, step, error);
        operation_end(&op);
    }
    step_free(step);
    return recorded;
}

/* No freeze can come between: none is begun while a thaw is owed. */
bool vm_thaw(Vm *vm, GError **error)
{
    if (!thaw_and_verify(vm->world->hv, vm->uuid, agent_seconds(vm), error))
        return false;
    guardian_release(vm->world->guardian, vm->uuid, GUARDIAN_THAW);
    return record(vm, error);
}
