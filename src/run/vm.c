/* The operations of one VM: each begins (turn, lock, load, recover), looks, plans, runs, and ends.
 */
#include "run/executor.h"
#include "run/keep.h"
#include "run/ledger.h"
#include "run/locate.h"
#include "run/restore.h"
#include "run/room.h"
#include "run/users.h"
#include "model/names.h"

/* A snapshot by name as it is now; a copy of its id. */
static char *find_named(Vm *vm, const char *name, GError **error)
{
    g_mutex_lock(&vm->lock);
    const Snapshot *snapshot = catalog_named(vm->catalog, name);
    char *id = snapshot ? g_strdup(snapshot->id) : NULL;
    if (!id)
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no snapshot named %s",
                    vm->name, name);
    g_mutex_unlock(&vm->lock);
    return id;
}

/* Begin, and look at the VM with its image locks held while it is off. */
static bool begin_and_look(Operation *op, Vm *vm, const char *name, const VmHooks *hooks,
                           GError **error)
{
    if (!operation_begin(op, vm, name, hooks, error))
        return false;
    if (operation_look(op, error) && operation_attach(op, error))
        return true;
    operation_end(op);
    return false;
}

/* The first thing ever written about a VM needs a place: chosen now, and never moved. */
bool operation_ensure_home(Operation *op, GError **error)
{
    g_autofree char *home = vm_home(op->vm);

    if (home)
        return true;
    home = locate_new_home(observation_domain(op->seen));
    if (home)
        return ledger_settle_home(op->vm, home, error);
    g_set_error(
        error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
        "VM %s has no disk that takes part in snapshots, so there is no place for its catalog",
        op->vm_name);
    return false;
}

/* ---- create ---- */

static Plan *plan_new_snapshot(Operation *op, const char *name, const char *description, uid_t uid,
                               mode_t mode, GError **error)
{
    const World *world = op->vm->world;
    g_autofree char *id = names_make_id(world_random(world));
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    CreateRequest request = {
        .name = (char *)name,
        .description = (char *)(description ? description : ""),
        .uid = uid,
        .mode = mode,
        .snapshot_id = id,
        .now = world_now(world),
    };

    for (guint i = 0; i < G_N_ELEMENTS(request.random); i++)
        request.random[i] = world_random(world);
    return plan_create(catalog, op->seen, &request, error);
}

bool vm_create(Vm *vm, const char *name, const char *description, uid_t uid, mode_t mode,
               const char *operation, const VmHooks *hooks, GError **error)
{
    Operation op;
    bool created = false;

    if (!begin_and_look(&op, vm, operation, hooks, error))
        return false;
    Plan *plan = plan_new_snapshot(&op, name, description, uid, mode, error);
    if (plan && operation_ensure_home(&op, error) && keep_prepare(&op, plan, error))
        created = executor_run(&op, g_steal_pointer(&plan), error);
    plan_free(plan);
    if (created)
        locate_publish(vm, op.seen);
    bool whole = created && keep_check_whole(&op, name, error);
    operation_end(&op);
    return whole;
}

/* ---- revert ---- */

bool vm_revert(Vm *vm, const char *name, const char *operation, const VmHooks *hooks,
               GError **error)
{
    uint64_t random[64];
    Operation op;

    if (!begin_and_look(&op, vm, operation, hooks, error))
        return false;
    for (guint i = 0; i < G_N_ELEMENTS(random); i++)
        random[i] = world_random(vm->world);
    g_autofree char *id = find_named(vm, name, error);
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    Plan *plan = id && users_observe(vm, NULL, op.begun, op.seen, error)
                     ? plan_revert(catalog, op.seen, id, random, error)
                     : NULL;
    bool whole = plan && restore_verify(&op, catalog_snapshot(catalog, id), error);
    bool reverted = whole && executor_run(&op, g_steal_pointer(&plan), error);
    plan_free(plan);
    if (reverted)
        locate_publish(vm, op.seen);
    operation_end(&op);
    return reverted;
}

/* ---- adopt ---- */

bool vm_adopt(Vm *vm, uid_t uid, mode_t mode, const char *operation, const VmHooks *hooks,
              GError **error)
{
    AdoptRequest request = {.uid = uid, .mode = mode, .now = world_now(vm->world)};
    Operation op;

    if (!begin_and_look(&op, vm, operation, hooks, error))
        return false;
    for (guint i = 0; i < G_N_ELEMENTS(request.random); i++)
        request.random[i] = world_random(vm->world);
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    Plan *plan = plan_adopt(catalog, op.seen, &request, error);
    bool adopted = plan && executor_run(&op, plan, error);
    if (adopted)
        locate_publish(vm, op.seen);
    operation_end(&op);
    return adopted;
}

/* ---- labels ---- */

typedef struct {
    const char *name; /* of a snapshot, or the policy's key */
    const char *text;
    mode_t mode;
} Label;

typedef Plan *(*LabelPlanner)(const Catalog *catalog, const char *snapshot_id, const Label *label,
                              GError **error);

static Plan *plan_label_name(const Catalog *catalog, const char *id, const Label *label,
                             GError **error)
{
    return plan_rename(catalog, id, label->text, error);
}

static Plan *plan_label_description(const Catalog *catalog, const char *id, const Label *label,
                                    GError **error)
{
    return plan_describe(catalog, id, label->text, error);
}

static Plan *plan_label_mode(const Catalog *catalog, const char *id, const Label *label,
                             GError **error)
{
    return plan_mode(catalog, id, label->mode, error);
}

static Plan *plan_label_policy(const Catalog *catalog, const char *id, const Label *label,
                               GError **error)
{
    return plan_policy(catalog, label->name, label->text, error);
}

/* Plan and record in one go under the lock: a record of a merge cannot come between. */
static bool apply_label_locked(Vm *vm, LabelPlanner planner, const Label *label, GError **error)
{
    const Snapshot *snapshot = catalog_named(vm->catalog, label->name);

    if (!snapshot && planner != plan_label_policy) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no snapshot named %s",
                    vm->name, label->name);
        return false;
    }
    g_autoptr(Plan) plan = planner(vm->catalog, snapshot ? snapshot->id : NULL, label, error);
    for (guint i = 0; plan && i < plan->steps->len; i++)
        if (!ledger_record_locked(vm, plan->steps->pdata[i], error))
            return false;
    return plan != NULL;
}

static bool apply_label(Vm *vm, LabelPlanner planner, const Label *label, GError **error)
{
    g_autoptr(GError) cause = NULL;

    g_mutex_lock(&vm->lock);
    bool applied = apply_label_locked(vm, planner, label, &cause);
    g_mutex_unlock(&vm->lock);
    room_tell(vm, &cause);
    if (!applied)
        g_propagate_error(error, g_steal_pointer(&cause));
    return applied;
}

/* A merge has the turn for long, and labels do not wait for it: each record is whole by itself.
 * Otherwise a label is an operation like the others. */
static bool change_label(Vm *vm, LabelPlanner planner, const Label *label, const char *operation,
                         GError **error)
{
    Operation op;

    if (operation_runs(vm))
        return apply_label(vm, planner, label, error);
    if (!operation_begin(&op, vm, operation, NULL, error))
        return false;
    g_autofree char *home = vm_home(vm);
    bool placed = home || planner != plan_label_policy || catalog_policy_drops(label->text) ||
                  ((op.seen = vm_observe(vm, error)) != NULL && operation_ensure_home(&op, error));
    bool changed = placed && apply_label(vm, planner, label, error);
    if (changed && !home && op.seen)
        locate_publish(vm, op.seen);
    operation_end(&op);
    return changed;
}

bool vm_rename(Vm *vm, const char *name, const char *new_name, const char *operation,
               GError **error)
{
    return change_label(vm, plan_label_name, &(Label){.name = name, .text = new_name}, operation,
                        error);
}

bool vm_describe(Vm *vm, const char *name, const char *text, const char *operation, GError **error)
{
    return change_label(vm, plan_label_description, &(Label){.name = name, .text = text}, operation,
                        error);
}

bool vm_set_mode(Vm *vm, const char *name, mode_t mode, const char *operation, GError **error)
{
    return change_label(vm, plan_label_mode, &(Label){.name = name, .mode = mode}, operation,
                        error);
}

bool vm_set_policy(Vm *vm, const char *key, const char *value, const char *operation,
                   GError **error)
{
    return change_label(vm, plan_label_policy, &(Label){.name = key, .text = value}, operation,
                        error);
}
