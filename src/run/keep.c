#include "run/keep.h"

#include "run/hold.h"
#include "run/ledger.h"
#include "run/observe-firmware.h"
#include "store/sidecar.h"

/* ---- copying ---- */

bool keep_prepare(Operation *op, const Plan *plan, GError **error)
{
    g_autofree char *home = vm_home(op->vm);

    return sidecar_prepare(op->vm->world->files, home, op->vm->uuid,
                           plan_find(plan, STEP_KEEP_VARS) != NULL,
                           plan_find(plan, STEP_KEEP_TPM) != NULL, error);
}

static void note_unless_held(Operation *op)
{
    if (!hold_is_held(op))
        keep_note(op);
}

bool keep_vars(Operation *op, const Step *step, GError **error)
{
    const World *world = op->vm->world;
    g_autofree char *home = vm_home(op->vm);

    op->kept.vars = world->images->ops->read_state(world->images, step_get(step, "path"), error);
    if (!op->kept.vars || !sidecar_put_vars(world->files, home, op->vm->uuid,
                                            step_get(step, "snapshot"), op->kept.vars, error))
        return false;
    note_unless_held(op);
    return true;
}

bool keep_tpm(Operation *op, const Step *step, GError **error)
{
    const World *world = op->vm->world;
    g_autofree char *home = vm_home(op->vm);

    op->kept.tpm = observe_tpm_state(world, step_get(step, "path"), error);
    if (!op->kept.tpm || !sidecar_put_tpm(world->files, home, op->vm->uuid,
                                          step_get(step, "snapshot"), op->kept.tpm, error))
        return false;
    note_unless_held(op);
    return true;
}

/* ---- checksums ---- */

static void note(Operation *op, const char *prefix, uint64_t size, char *digest)
{
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, (guint64)size);
    g_autofree char *sha256 = digest;

    ledger_note_value(op, STEP_RECORD_CREATE, prefix, "size", number);
    ledger_note_value(op, STEP_RECORD_CREATE, prefix, "sha256", sha256);
}

void keep_note(Operation *op)
{
    Kept *kept = &op->kept;

    if (kept->vars)
        note(op, "vars", g_bytes_get_size(kept->vars), state_digest(kept->vars));
    if (kept->tpm)
        note(op, "tpm", state_files_size(kept->tpm), state_files_digest(kept->tpm));
    g_clear_pointer(&kept->vars, g_bytes_unref);
    g_clear_pointer(&kept->tpm, g_ptr_array_unref);
}

/* ---- durability ---- */

/* Where it is stated what they must be: not by whom they were copied. */
static bool check_stated(Operation *op, const char *home, const Step *step, GError **error)
{
    const World *world = op->vm->world;
    const char *id = step_get(step, "snapshot"), *uuid = op->vm->uuid;
    const char *vars = step_get(step, "vars_sha256"), *tpm = step_get(step, "tpm_sha256");
    g_autoptr(GBytes) content = NULL;
    g_autoptr(GPtrArray) state = NULL;

    if (vars)
        content = sidecar_read_vars(world->files, home, uuid, id,
                                    step_get_number(step, "vars_size"), vars, error);
    if (vars && !content)
        return false;
    if (tpm)
        state = sidecar_read_tpm(world->files, home, uuid, id, step_get_number(step, "tpm_size"),
                                 tpm, error);
    return !tpm || state;
}

static void drop_spoiled(Operation *op, const char *home, const char *id)
{
    g_autoptr(GError) cause = NULL;

    if (!sidecar_remove(op->vm->world->files, home, op->vm->uuid, id, &cause))
        ledger_complain(op->vm, "a sidecar that is not whole stays, as an orphan", cause);
}

bool keep_sync(Operation *op, const Step *step, GError **error)
{
    const char *id = step_get(step, "snapshot");
    g_autofree char *home = vm_home(op->vm);
    g_autoptr(GError) cause = NULL;

    if (check_stated(op, home, step, &cause) &&
        sidecar_sync(op->vm->world->files, home, op->vm->uuid, id, &cause))
        return true;
    if (g_str_equal(step_get(step, "required"), "yes")) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    op->kept.problem = g_strdup_printf(
        "The UEFI variables or the vTPM state of this snapshot could not be kept (%s); it can "
        "never be reverted to: remove it, and take another",
        cause->message);
    drop_spoiled(op, home, id);
    return true;
}

/* ---- what is recorded ---- */

void keep_judge(const Operation *op, Step *create)
{
    if (op->kept.problem)
        step_set(create, "error", op->kept.problem);
}

bool keep_check_whole(const Operation *op, const char *name, GError **error)
{
    if (!op->kept.problem)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "Snapshot %s of VM %s is listed as failed: %s", name,
                op->vm_name, op->kept.problem);
    return false;
}

void keep_clear(Kept *kept)
{
    g_clear_pointer(&kept->vars, g_bytes_unref);
    g_clear_pointer(&kept->tpm, g_ptr_array_unref);
    g_clear_pointer(&kept->problem, g_free);
}
