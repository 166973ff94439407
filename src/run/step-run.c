#include "run/step-run.h"

#include "run/compare.h"
#include "run/definition.h"
#include "run/freeze.h"
#include "run/hold.h"
#include "run/keep.h"
#include "run/lane.h"
#include "run/ledger.h"
#include "run/restore.h"
#include "run/users.h"

typedef bool (*StepRun)(Operation *op, const Step *step, GError **error);

static bool run_overlay(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;

    return images->ops->create_overlay(images, step_get(step, "path"), step_get(step, "backing"),
                                       step_get(step, "backing_format"),
                                       step_get_number(step, "capacity"), error);
}

/* Success counts only when the live chain says so, too (rule 14). The guest does not wait for that
 * look, nor for the steps that resume and thaw it. */
static bool run_snapshot(Operation *op, const Step *step, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    g_autoptr(GPtrArray) switches = step_switches(step), excluded = step_suffixes(step, "exclude");
    DomainState state = DOMAIN_OTHER;
    bool has = false;

    bool taken = hv->ops->snapshot(hv, op->vm->uuid, switches, excluded, error);
    hold_release(op);
    keep_note(op);
    if (!taken || !definition_live_has(op, switches, &has, &state, error))
        return false;
    if (!has)
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_IO,
            "libvirt says that VM %s was snapshotted, but its disks are not on the new overlays",
            op->vm_name);
    hold_look_back(op, state);
    return has;
}

static bool run_redefine(Operation *op, const Step *step, GError **error)
{
    g_autoptr(GPtrArray) switches = step_switches(step);
    const DomainChange change = {.switches = switches, .nvram = step_get(step, "nvram")};

    return definition_switch(op, &change, error);
}

static bool run_settle(Operation *op, const Step *step, GError **error)
{
    g_autoptr(GPtrArray) switches = step_switches(step);
    const DomainChange change = {.switches = switches, .nvram = step_get(step, "nvram")};

    return definition_settle(op, &change, error);
}

/* qemu-img needs QEMU's lock itself: ours is lent to it. */
static bool run_repoint(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;
    const char *path = step_get(step, "path");
    bool held = guard_release(op->guard, path);

    if (!images->ops->repoint(images, path, step_get(step, "backing"),
                              step_get(step, "backing_format"), error))
        return false;
    return !held || guard_hold(op->guard, path, error);
}

/* Somebody may have come to use it since it was planned. A file that a QEMU left open is not waited
 * for. */
static bool run_unlink(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;
    const char *path = step_get(step, "path");
    const char *beside = step_get(step, "beside");
    g_autoptr(GPtrArray) paths = g_ptr_array_new();

    g_ptr_array_add(paths, (char *)path);
    return users_check_none(op, paths, error) &&
           (beside || guard_await_free(op->guard, path, error)) &&
           images->ops->unlink(images, path, beside, error);
}

static bool run_undefine(Operation *op, const Step *step, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;

    return hv->ops->undefine(hv, op->vm->uuid, error);
}

static bool run_record(Operation *op, const Step *step, GError **error)
{
    if (!ledger_record(op->vm, step, error))
        return false;
    if (op->hooks && op->hooks->recorded)
        op->hooks->recorded(op->hooks->data);
    return true;
}

static bool run_suspend(Operation *op, const Step *step, GError **error)
{
    return hold_suspend(op, error);
}

/* A step `resume` or `thaw`: whatever is held, in the one order. */
static bool run_release(Operation *op, const Step *step, GError **error)
{
    hold_release(op);
    return true;
}

static bool run_record_freezing(Operation *op, const Step *step, GError **error)
{
    op->freeze.owed = run_record(op, step, error);
    return op->freeze.owed;
}

/* What cannot be written now is written by the thaw job, which looks once more. */
static bool run_record_thawed(Operation *op, const Step *step, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (freeze_is_paid(op) && !run_record(op, step, &cause))
        ledger_complain(op->vm, "that its guest is thawed could not be written, a job does it",
                        cause);
    return true;
}

static bool run_record_create(Operation *op, const Step *step, GError **error)
{
    Step *judged = freeze_judge(op, step);

    hold_judge(op, judged);
    keep_judge(op, judged);
    bool recorded = run_record(op, judged, error);

    if (recorded)
        hold_warn(op, judged);
    step_free(judged);
    return recorded;
}

static const StepRun runs[N_STEP_KINDS] = {
    [STEP_OVERLAY] = run_overlay,
    [STEP_FREEZE] = freeze_guest,
    [STEP_SUSPEND] = run_suspend,
    [STEP_KEEP_VARS] = keep_vars,
    [STEP_KEEP_TPM] = keep_tpm,
    [STEP_SNAPSHOT] = run_snapshot,
    [STEP_RESUME] = run_release,
    [STEP_THAW] = run_release,
    [STEP_SYNC_SIDECAR] = keep_sync,
    [STEP_REDEFINE] = run_redefine,
    [STEP_SETTLE] = run_settle,
    [STEP_COMMIT_ACTIVE] = lane_commit_live,
    [STEP_COMMIT_LIVE] = lane_commit_live,
    [STEP_COMMIT_OFFLINE] = lane_commit_offline,
    [STEP_COMPARE] = compare_merged,
    [STEP_REPOINT] = run_repoint,
    [STEP_UNLINK] = run_unlink,
    [STEP_PLACE_VARS] = restore_place_vars,
    [STEP_STAGE_TPM] = restore_stage_tpm,
    [STEP_EXCHANGE_TPM] = restore_exchange_tpm,
    [STEP_RETURN_TPM] = restore_return_tpm,
    [STEP_DROP_STATE] = restore_drop_state,
    [STEP_DROP_SIDECAR] = restore_drop_sidecar,
    [STEP_UNDEFINE] = run_undefine,
    [STEP_RECORD_FREEZING] = run_record_freezing,
    [STEP_RECORD_THAWED] = run_record_thawed,
    [STEP_RECORD_CREATE] = run_record_create,
    [STEP_RECORD_REVERT] = run_record,
    [STEP_RECORD_RENAME] = run_record,
    [STEP_RECORD_DESCRIBE] = run_record,
    [STEP_RECORD_MODE] = run_record,
    [STEP_RECORD_POLICY] = run_record,
    [STEP_RECORD_REMOVING] = run_record,
    [STEP_RECORD_HIDDEN] = run_record,
    [STEP_RECORD_PIVOT] = run_record,
    [STEP_RECORD_COMMITTED] = run_record,
    [STEP_RECORD_MERGED] = run_record,
    [STEP_RECORD_DROPPED] = run_record,
    [STEP_RECORD_REMOVED] = run_record,
    [STEP_RECORD_FAILED] = run_record,
    [STEP_RECORD_WARNING] = run_record,
    [STEP_RECORD_ATTACHED] = run_record,
    [STEP_RECORD_FOUND] = run_record,
    [STEP_RECORD_LAYERS] = run_record,
    [STEP_RECORD_TREE] = run_record,
    [STEP_RECORD_NVRAM] = run_record,
};

bool step_run(Operation *op, const Step *step, GError **error)
{
    return runs[step->kind](op, step, error);
}
