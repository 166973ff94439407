#include "run/restore.h"

#include "run/ledger.h"
#include "run/observe.h"
#include "store/sidecar.h"

/* ---- sidecars ---- */

static GBytes *read_vars(Operation *op, const Snapshot *snapshot, GError **error)
{
    g_autofree char *home = vm_home(op->vm);

    return sidecar_read_vars(op->vm->world->files, home, op->vm->uuid, snapshot->id,
                             snapshot->vars->size, snapshot->vars->sha256, error);
}

static GPtrArray *read_tpm(Operation *op, const Snapshot *snapshot, GError **error)
{
    g_autofree char *home = vm_home(op->vm);

    return sidecar_read_tpm(op->vm->world->files, home, op->vm->uuid, snapshot->id,
                            snapshot->tpm->size, snapshot->tpm->sha256, error);
}

/* One that is gone is as good as never kept (S-30). @cause is taken. */
static bool refuse_damaged(Operation *op, const Snapshot *snapshot, GError *cause, GError **error)
{
    bool gone = error_is(cause, ERR_NOT_FOUND);

    g_set_error(error, VMSNAPFS_ERROR, gone ? ERR_UNSUPPORTED : cause->code,
                "VM %s was not reverted to %s, nothing was changed: %s%s", op->vm_name,
                snapshot->name, cause->message, gone ? "; put it back from a backup" : "");
    g_error_free(cause);
    return false;
}

bool restore_verify(Operation *op, const Snapshot *snapshot, GError **error)
{
    g_autoptr(GBytes) vars = NULL;
    g_autoptr(GPtrArray) tpm = NULL;
    GError *cause = NULL;

    if (snapshot->vars && !(vars = read_vars(op, snapshot, &cause)))
        return refuse_damaged(op, snapshot, cause, error);
    if (snapshot->tpm && !(tpm = read_tpm(op, snapshot, &cause)))
        return refuse_damaged(op, snapshot, cause, error);
    return true;
}

/* The snapshot that @step is about, of @catalog; it must have the sidecar that is wanted. */
static const Snapshot *snapshot_of(Operation *op, const Catalog *catalog, const Step *step,
                                   GError **error)
{
    const Snapshot *snapshot = catalog_snapshot(catalog, step_get(step, "snapshot"));

    if (snapshot && (step->kind == STEP_PLACE_VARS ? snapshot->vars : snapshot->tpm))
        return snapshot;
    g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                "VM %s has no snapshot %s with a sidecar any more, which %s needs", op->vm_name,
                step_get(step, "snapshot"), step_kind_name(step->kind));
    return NULL;
}

/* ---- bringing back ---- */

bool restore_place_vars(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Snapshot *snapshot = snapshot_of(op, catalog, step, error);
    g_autoptr(GBytes) content = snapshot ? read_vars(op, snapshot, error) : NULL;

    return content && images->ops->write_state(images, step_get(step, "path"), content,
                                               step_get(step, "like"), false, error);
}

bool restore_stage_tpm(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Snapshot *snapshot = snapshot_of(op, catalog, step, error);
    g_autoptr(GPtrArray) files = snapshot ? read_tpm(op, snapshot, error) : NULL;

    return files && images->ops->write_state_directory(images, step_get(step, "path"), files,
                                                       step_get(step, "like"), error);
}

/* The files in @path; *out_there false without error: there is no such directory. */
static bool look_at_state(Operation *op, const char *path, GPtrArray **out_files, bool *out_there,
                          GError **error)
{
    Images *images = op->vm->world->images;
    g_autoptr(GError) cause = NULL;

    *out_files = images->ops->read_state_directory(images, path, &cause);
    *out_there = *out_files != NULL;
    if (*out_files || error_is(cause, ERR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

/* A VM that was never started has no state: an empty directory stands for it. */
bool restore_exchange_tpm(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;
    const char *path = step_get(step, "path"), *staged = step_get(step, "staged");
    g_autoptr(GPtrArray) present = NULL, none = state_files_new();
    bool there;

    return look_at_state(op, path, &present, &there, error) &&
           (there || images->ops->write_state_directory(images, path, none, staged, error)) &&
           images->ops->exchange(images, path, staged, error);
}

/* Whether @path holds exactly what @snapshot keeps; *out_files: what it holds, NULL: nothing. */
static bool holds_kept(Operation *op, const char *path, const Snapshot *snapshot,
                       GPtrArray **out_files, bool *out_kept, GError **error)
{
    g_autofree char *digest = NULL;
    bool there;

    *out_kept = false;
    if (!look_at_state(op, path, out_files, &there, error))
        return false;
    digest = there ? state_files_digest(*out_files) : NULL;
    *out_kept = g_strcmp0(digest, snapshot->tpm->sha256) == 0;
    return true;
}

/* A guest that ran meanwhile has changed the snapshot's state. Exchanged back, it could be told
 * from the VM's own no more, and the next try would exchange once more: so that stays staged until
 * it is copied. @own: what is staged. */
static bool put_back(Operation *op, const Step *step, const Snapshot *snapshot,
                     const GPtrArray *own, GError **error)
{
    Images *images = op->vm->world->images;
    const char *path = step_get(step, "path"), *staged = step_get(step, "staged");
    g_autoptr(GPtrArray) present = NULL;
    bool kept;

    if (holds_kept(op, path, snapshot, &present, &kept, NULL) && kept)
        return images->ops->exchange(images, path, staged, error);
    return images->ops->remove_state_directory(images, path, error) &&
           images->ops->write_state_directory(images, path, own, staged, error);
}

static bool is_off(Operation *op, bool *out_off, GError **error)
{
    g_autoptr(Observation) seen = observe_domain(op->vm->world, op->vm->uuid, NULL, error);

    if (seen)
        *out_off = observation_is_off(seen) && !seen->live;
    return seen != NULL;
}

/* The empty directory that stood for no state. */
static bool drop_if_empty(Operation *op, const char *path, GError **error)
{
    Images *images = op->vm->world->images;
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) cause = NULL;
    bool there;

    if (!look_at_state(op, path, &files, &there, &cause)) {
        if (error_is(cause, ERR_UNSUPPORTED)) /* it holds something, and is not ours */
            return true;
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    return !there || files->len > 0 || images->ops->remove_state_directory(images, path, error);
}

/* While the VM runs its state cannot be taken from it; when it is off, its own is still there. */
bool restore_return_tpm(Operation *op, const Step *step, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Snapshot *snapshot = snapshot_of(op, catalog, step, error);
    g_autoptr(GPtrArray) staged = NULL;
    bool kept, off = false;

    if (!snapshot || !holds_kept(op, step_get(step, "staged"), snapshot, &staged, &kept, error) ||
        !is_off(op, &off, error))
        return false;
    /* What was staged is the snapshot's until the exchange, so anything else is the VM's own. */
    if (staged && !kept && !off) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "VM %s was started in the middle of a revert and runs with the TPM's state of "
                    "the snapshot; its own comes back when it is off: shut it down",
                    op->vm_name);
        return false;
    }
    if (staged && !kept && !put_back(op, step, snapshot, staged, error))
        return false;
    return !off || drop_if_empty(op, step_get(step, "path"), error);
}

/* ---- removing ---- */

bool restore_drop_state(Operation *op, const Step *step, GError **error)
{
    Images *images = op->vm->world->images;

    return images->ops->remove_state_directory(images, step_get(step, "path"), error);
}

bool restore_drop_sidecar(Operation *op, const Step *step, GError **error)
{
    g_autofree char *home = vm_home(op->vm);

    return sidecar_remove(op->vm->world->files, home, op->vm->uuid, step_get(step, "snapshot"),
                          error);
}

/* ---- what is left behind ---- */

/* An image that is in use, or of which libvirt cannot say whether it is, is tried again by the next
 * operation; one that the storage does not let go would keep that from ending for ever. */
static bool may_image_be_left(const GError *failure)
{
    return error_is(failure, ERR_IO) || error_is(failure, ERR_ACCESS) ||
           error_is(failure, ERR_READ_ONLY);
}

static char *left_thing(const Step *step, const GError *failure)
{
    if (step->kind == STEP_DROP_SIDECAR)
        return g_strdup_printf("the sidecar of the removed snapshot %s",
                               step_get(step, "snapshot"));
    if (step->kind == STEP_DROP_STATE ||
        (step->kind == STEP_UNLINK && (step_get(step, "snapshot") || may_image_be_left(failure))))
        return g_strdup(step_get(step, "path"));
    return NULL;
}

/* Who tells of it: the snapshot that the step names, else the current one, else the newest. */
static const char *teller(const Catalog *catalog, const Step *step)
{
    const GPtrArray *snapshots = catalog->snapshots;
    const char *id = step_get(step, "snapshot");

    if (id && catalog_snapshot(catalog, id))
        return id;
    if (catalog->current || snapshots->len == 0)
        return catalog->current;
    return ((Snapshot *)snapshots->pdata[snapshots->len - 1])->id;
}

static bool warn(Operation *op, const Step *step, const char *text)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const char *id = teller(catalog, step);
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    Step *warning;

    if (!id)
        return true;
    warning = step_new(STEP_RECORD_WARNING);
    step_set(warning, "snapshot", id);
    step_set(warning, "text", valid);
    bool recorded = ledger_record(op->vm, warning, NULL);
    step_free(warning);
    return recorded;
}

/* Also where no snapshot is left that could warn. */
static void tell_left(Operation *op, const GError *failure, const char *text)
{
    const VmHooks *hooks = op->hooks;
    g_autoptr(GError) trouble = g_error_new_literal(failure->domain, failure->code, text);

    if (hooks && hooks->trouble)
        hooks->trouble(trouble, hooks->data);
}

/* Without any nothing tells whose overlay an image was, and it would be no orphan. */
static bool keeps_snapshots(Operation *op)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++)
        if (((Snapshot *)catalog->snapshots->pdata[i])->state != SNAPSHOT_REMOVING)
            return true;
    return false;
}

bool restore_may_be_left(Operation *op, const Step *step, const GError *failure)
{
    g_autofree char *thing = left_thing(step, failure), *text = NULL;

    if (!thing || error_is(failure, ERR_INTERRUPTED) || error_is(failure, ERR_HOST_DOWN) ||
        (step->kind == STEP_UNLINK && !step_get(step, "snapshot") && !keeps_snapshots(op)))
        return false;
    text = g_strdup_printf("%s could not be removed, and is in the way of nothing (%s); see "
                           ".vmsnapfs/orphans",
                           thing, failure->message);
    if (!warn(op, step, text))
        return false;
    ledger_complain(op->vm, "something is left behind", failure);
    tell_left(op, failure, text);
    return true;
}
