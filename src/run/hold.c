#include "run/hold.h"

#include "run/freeze.h"
#include "run/guardian.h"
#include "run/ledger.h"
#include "run/observe.h"

/* It is cheap, and a guest that stays paused is not; but who does not answer is not waited for for
 * ever. */
#define TRIES        4
#define SILENT_TRIES 2

static void set_state(Operation *op, HoldState state)
{
    if ((op->suspension.state == HOLD_HELD) != (state == HOLD_HELD))
        g_atomic_int_inc(&op->vm->suspensions);
    op->suspension.state = state;
}

/* ---- suspending ---- */

/* A guest that has just answered a freeze runs, and does not wait for one more look. */
static bool is_paused_already(Operation *op, bool *out_paused, GError **error)
{
    DomainState state = DOMAIN_RUNNING;

    if (!freeze_is_held(op) && !observe_state(op->vm->world, op->vm->uuid, &state, error))
        return false;
    *out_paused = state == DOMAIN_PAUSED;
    return true;
}

static void let_go(Operation *op, HoldState state)
{
    set_state(op, state);
    guardian_release(op->vm->world->guardian, op->vm->uuid, GUARDIAN_RESUME);
}

bool hold_suspend(Operation *op, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    bool paused = false;
    DomainState state;

    if (!is_paused_already(op, &paused, error))
        return false;
    if (paused)
        return true;
    guardian_hold(op->vm->world->guardian, op->vm->uuid, GUARDIAN_RESUME);
    set_state(op, HOLD_HELD);
    if (hv->ops->suspend(hv, op->vm->uuid, error))
        return true;
    /* An error does not mean that it did not happen; what is seen decides. */
    if (observe_state(op->vm->world, op->vm->uuid, &state, NULL) && state != DOMAIN_PAUSED)
        let_go(op, HOLD_NONE);
    return false;
}

unsigned vm_suspensions(Vm *vm)
{
    return (unsigned)g_atomic_int_get(&vm->suspensions);
}

/* ---- resuming ---- */

/* An error does not mean that it did not happen, and a guest that runs needs no resuming. */
static bool resume_and_see(Operation *op, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    g_autoptr(GError) cause = NULL;
    DomainState state;

    if (hv->ops->resume(hv, op->vm->uuid, &cause) ||
        (observe_state(op->vm->world, op->vm->uuid, &state, NULL) && state != DOMAIN_PAUSED))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static bool resume_at_last(Operation *op, GError **error)
{
    for (unsigned tries = 1;; tries++) {
        g_autoptr(GError) cause = NULL;

        if (resume_and_see(op, &cause))
            return true;
        if (tries >= (error_is(cause, ERR_TIMEOUT) ? SILENT_TRIES : TRIES)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
    }
}

static void resume(Operation *op)
{
    g_autoptr(GError) cause = NULL;

    if (op->suspension.state != HOLD_HELD)
        return;
    if (resume_at_last(op, &cause)) {
        let_go(op, HOLD_OVER);
        ledger_note_kind_done(op, STEP_RESUME);
        return;
    }
    set_state(op, HOLD_LOST);
    op->suspension.warning = g_strdup_printf(
        "The guest may still be paused, since it could not be resumed (%s); that is tried again "
        "until it runs, and whatever else is asked of its snapshots is refused until then (echo "
        "running > state or virsh resume may do it sooner)",
        cause->message);
    ledger_complain(op->vm, "its guest could not be resumed, that is tried again", cause);
}

void hold_release(Operation *op)
{
    resume(op);
    freeze_thaw(op);
}

bool hold_is_held(const Operation *op)
{
    return op->suspension.state == HOLD_HELD || freeze_is_held(op);
}

void hold_fail(Operation *op, bool before)
{
    resume(op);
    freeze_fail(op, before);
}

bool hold_check(const Operation *op, GError **error)
{
    if (op->suspension.state != HOLD_LOST)
        return true;
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_IO, op->suspension.warning);
    return false;
}

/* ---- what is told ---- */

/* The snapshot is there: a warning that cannot be written takes nothing away from it. */
static void record_warning(Operation *op, const char *id, const char *text)
{
    Step *step = step_new(STEP_RECORD_WARNING);
    g_autoptr(GError) cause = NULL;

    step_set(step, "snapshot", id);
    step_set(step, "text", text);
    if (!ledger_record(op->vm, step, &cause))
        ledger_complain(op->vm, "a warning of its new snapshot could not be written", cause);
    step_free(step);
}

static void tell_trouble(Operation *op)
{
    const VmHooks *hooks = op->hooks;
    g_autoptr(GError) trouble = NULL;

    hold_check(op, &trouble);
    if (hooks && hooks->trouble)
        hooks->trouble(trouble, hooks->data);
}

void hold_look_back(Operation *op, DomainState state)
{
    op->suspension.let_go = op->seen && op->seen->state == DOMAIN_PAUSED && state != DOMAIN_PAUSED;
}

void hold_judge(const Operation *op, Step *create)
{
    if (op->suspension.let_go)
        step_set(create, "consistency", "crash");
}

void hold_warn(Operation *op, const Step *create)
{
    const char *id = step_get(create, "snapshot");

    if (op->suspension.let_go &&
        (step_get(create, "vars_sha256") || step_get(create, "tpm_sha256")))
        record_warning(
            op, id,
            "The VM, which was paused, was let go on while this snapshot was taken: its "
            "UEFI variables or vTPM state may be some milliseconds older than its disks");
    if (op->suspension.state == HOLD_LOST) {
        record_warning(op, id, op->suspension.warning);
        tell_trouble(op);
    }
    if (op->freeze.warning)
        record_warning(op, id, op->freeze.warning);
}

/* ---- after a crash ---- */

static bool is_done(const Journal *journal, guint index)
{
    return g_array_index(journal->done, gboolean, index);
}

/* While the guest is held nothing is written. So if it was suspended by us, all is marked that came
 * before, but for what is never marked, and its resuming is not. */
static bool may_be_suspended(const Journal *journal)
{
    const GPtrArray *steps = journal->plan->steps;
    bool prepared = true, suspends = false;

    for (guint i = 0; i < steps->len; i++) {
        StepKind kind = ((Step *)steps->pdata[i])->kind;

        if (kind == STEP_RESUME)
            return suspends && prepared && !is_done(journal, i);
        suspends |= kind == STEP_SUSPEND;
        prepared &= kind != STEP_OVERLAY || is_done(journal, i);
    }
    return false;
}

bool hold_recover(Operation *op, const Journal *journal, GError **error)
{
    DomainState state;

    if (!may_be_suspended(journal))
        return true;
    if (!observe_state(op->vm->world, op->vm->uuid, &state, error) ||
        (state == DOMAIN_PAUSED && !resume_at_last(op, error))) {
        g_prefix_error(error,
                       "The guest of VM %s may still be paused by it; let it run with virsh resume "
                       "%s or echo running > state, or pull its plug, and try again: ",
                       op->vm_name, op->vm_name);
        return false;
    }
    let_go(op, HOLD_OVER);
    return true;
}

void hold_clear(Operation *op)
{
    g_clear_pointer(&op->suspension.warning, g_free);
    freeze_clear(&op->freeze);
}
