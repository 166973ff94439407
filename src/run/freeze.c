#include "run/freeze.h"

#include "base/str.h"
#include "run/guardian.h"
#include "run/ledger.h"

static void warn(Operation *op, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The first reason is the one that led to the others. */
static void warn(Operation *op, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    if (!op->freeze.warning)
        op->freeze.warning = g_steal_pointer(&text);
}

/* ---- freezing ---- */

/* Asked before, so that a freeze of somebody else's is not thawed by us, and so that an agent that
 * is silent already is not left with a freeze to be done when it wakes. */
static bool check_thawed(Operation *op, unsigned seconds, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    bool frozen = false;

    if (!hv->ops->agent_timeout(hv, op->vm->uuid, seconds, error) ||
        !hv->ops->frozen(hv, op->vm->uuid, seconds, &frozen, error))
        return false;
    if (frozen)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "The guest of VM %s is frozen already, by somebody else; let it be thawed "
                    "there (virsh domfsthaw), or write off to policy/quiesce",
                    op->vm_name);
    return !frozen;
}

static bool freeze_now(Operation *op, unsigned *out_count, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;

    guardian_hold(op->vm->world->guardian, op->vm->uuid, GUARDIAN_THAW);
    op->freeze.state = HOLD_HELD;
    return hv->ops->freeze(hv, op->vm->uuid, out_count, error);
}

/* It said that it froze. */
static bool check_frozen(Operation *op, unsigned seconds, GError **error)
{
    Hypervisor *hv = op->vm->world->hv;

    if (!hv->ops->frozen(hv, op->vm->uuid, seconds, &op->freeze.frozen, error)) {
        g_prefix_error(error,
                       "That the guest of VM %s is frozen cannot be verified: ", op->vm_name);
        return false;
    }
    if (!op->freeze.frozen)
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                    "The guest agent of VM %s says that it froze, and then that it did not; see to "
                    "qemu-guest-agent in the guest, or write off to policy/quiesce",
                    op->vm_name);
    return op->freeze.frozen;
}

/* Did the agent, or its absence, answer? */
static bool is_an_answer(const GError *error)
{
    return error_is(error, ERR_IO) || error_is(error, ERR_UNSUPPORTED);
}

/* A silent agent would be asked in vain once more; who waits for the answer waits long enough. */
static void leave_silent(Operation *op, const GError *cause)
{
    if (op->freeze.state == HOLD_HELD && error_is(cause, ERR_TIMEOUT))
        op->freeze.state = HOLD_LOST;
}

/* It cannot be frozen: go on without, where that is allowed. @cause is taken. */
static bool go_without(Operation *op, const Step *step, GError *cause, GError **error)
{
    bool required = g_strcmp0(step_get(step, "required"), "yes") == 0;

    if (!required && is_an_answer(cause) && op->freeze.state != HOLD_LOST) {
        warn(op, "The guest was not frozen for this snapshot: %s", cause->message);
        g_error_free(cause);
        return true;
    }
    g_propagate_prefixed_error(error, cause,
                               "VM %s was not snapshotted, its guest %s: ", op->vm_name,
                               op->freeze.state == HOLD_LOST ? "may be frozen and a job sees to it"
                                                             : "could not be frozen");
    return false;
}

bool freeze_guest(Operation *op, const Step *step, GError **error)
{
    unsigned seconds = (unsigned)step_get_number(step, "timeout"), count = 0;
    GError *cause = NULL;

    op->freeze.seconds = seconds;
    if (!check_thawed(op, seconds, &cause))
        return go_without(op, step, cause, error);
    if (freeze_now(op, &count, &cause) && count > 0) {
        if (check_frozen(op, seconds, &cause))
            return true;
        leave_silent(op, cause);
        freeze_thaw(op);
        g_propagate_error(error, cause);
        return false;
    }
    if (!cause)
        cause = g_error_new(VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                            "the guest agent of VM %s found no file system to freeze", op->vm_name);
    leave_silent(op, cause);
    freeze_thaw(op);
    return go_without(op, step, cause, error);
}

/* ---- thawing ---- */

/* *out_count: what was thawed, 0 if that is not known. An error that the guest answered a thaw with
 * may only mean that it was not frozen any more: its status decides. */
static bool thaw_and_see(Operation *op, unsigned seconds, unsigned *out_count, bool *out_frozen,
                         GError **error)
{
    Hypervisor *hv = op->vm->world->hv;
    g_autoptr(GError) cause = NULL;

    if (!hv->ops->thaw(hv, op->vm->uuid, out_count, &cause)) {
        *out_count = 0;
        if (!is_an_answer(cause)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
    }
    if (!hv->ops->frozen(hv, op->vm->uuid, seconds, out_frozen, error))
        return false;
    if (*out_frozen)
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "it stays frozen%s%s", cause ? ": " : "",
                    cause ? cause->message : "");
    return !*out_frozen;
}

/* What was verified of the time in which the disks switched: it was frozen before, and either there
 * was something to thaw after it, or it is frozen still. */
static void judge(Operation *op, unsigned thawed, bool still_frozen)
{
    if (!op->freeze.frozen || thawed > 0 || still_frozen)
        return;
    op->freeze.frozen = false;
    warn(op, "That the guest stayed frozen until this snapshot was taken could not be verified");
}

void freeze_thaw(Operation *op)
{
    g_autoptr(GError) cause = NULL;
    unsigned thawed = 0;
    bool still_frozen = false;

    if (op->freeze.state != HOLD_HELD)
        return;
    if (thaw_and_see(op, op->freeze.seconds, &thawed, &still_frozen, &cause)) {
        op->freeze.state = HOLD_OVER;
        guardian_release(op->vm->world->guardian, op->vm->uuid, GUARDIAN_THAW);
    } else {
        op->freeze.state = HOLD_LOST;
        warn(op, "The guest could not be thawed after this snapshot (%s); a job tries again",
             cause->message);
        ledger_complain(op->vm, "its guest could not be thawed, a job tries again", cause);
    }
    judge(op, thawed, still_frozen);
}

bool freeze_is_held(const Operation *op)
{
    return op->freeze.state == HOLD_HELD;
}

void freeze_fail(Operation *op, bool before)
{
    freeze_thaw(op);
    if (before)
        op->freeze.frozen = false;
}

/* ---- what is recorded ---- */

bool freeze_is_paid(const Operation *op)
{
    return op->freeze.owed && op->freeze.state != HOLD_LOST;
}

Step *freeze_judge(const Operation *op, const Step *create)
{
    Step *judged = step_copy(create);

    if (op->freeze.frozen)
        step_set(judged, "consistency", "frozen");
    return judged;
}

void freeze_clear(Freeze *freeze)
{
    g_clear_pointer(&freeze->warning, g_free);
}
