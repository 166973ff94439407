#include "run/vm-vars.h"

#include "model/vars.h"
#include "plan/vars.h"
#include "run/ledger.h"
#include "run/users.h"
#include "store/sidecar.h"

/* ---- what snapshots keep ---- */

static GBytes *take_file(const GPtrArray *files, const char *name)
{
    for (guint i = 0; files && i < files->len; i++) {
        const StateFile *file = files->pdata[i];
        if (g_strcmp0(file->name, name) == 0)
            return g_bytes_ref(file->content);
    }
    return NULL;
}

static GBytes *read_sidecar(Vm *vm, const char *home, const Snapshot *snapshot, const char *file,
                            GError **error)
{
    const Sidecar *sidecar = file ? snapshot->tpm : snapshot->vars;
    Files *files = vm->world->files;

    if (!file)
        return sidecar_read_vars(files, home, vm->uuid, snapshot->id, sidecar->size,
                                 sidecar->sha256, error);
    g_autoptr(GPtrArray) state = sidecar_read_tpm(files, home, vm->uuid, snapshot->id,
                                                  sidecar->size, sidecar->sha256, error);
    GBytes *content = take_file(state, file);
    if (state && !content)
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                    "The vTPM state that snapshot %s keeps has no file %s", snapshot->name, file);
    return content;
}

GBytes *vm_read_sidecar(Vm *vm, const char *id, const char *file, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autofree char *home = vm_home(vm);
    const Snapshot *snapshot = catalog_snapshot(catalog, id);
    const Sidecar *sidecar = !snapshot ? NULL : file ? snapshot->tpm : snapshot->vars;

    if (sidecar && home)
        return read_sidecar(vm, home, snapshot, file, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "Snapshot %s keeps no %s",
                snapshot ? snapshot->name : id, file ? "vTPM state" : "UEFI variables");
    return NULL;
}

/* ---- the VM's own ---- */

/* Begin, and look at the VM with its image locks held, so that nobody starts it meanwhile. */
static bool begin(Operation *op, Vm *vm, const char *name, const VmHooks *hooks, GError **error)
{
    if (!operation_begin(op, vm, name, hooks, error))
        return false;
    if (operation_look(op, error) && plan_check_vars(op->seen, error))
        return true;
    operation_end(op);
    return false;
}

static bool record_vars(Vm *vm, const char *path, GError **error)
{
    Step *step = step_new(STEP_RECORD_NVRAM);

    if (path)
        step_set(step, "path", path);
    bool recorded = ledger_record(vm, step, error);
    step_free(step);
    return recorded;
}

/* Rule 11: another VM's definition may name the same file. */
static bool check_unshared(Operation *op, const char *path, GError **error)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new();

    g_ptr_array_add(paths, (char *)path);
    return users_check_none(op, paths, error);
}

/* From now on it is known where they are, if there is a catalog that could know. They are replaced
 * already, so what fails here is only told. */
static void remember(Vm *vm, const Catalog *catalog, const char *path)
{
    g_autofree char *home = vm_home(vm);
    g_autoptr(GError) error = NULL;

    if (home && g_strcmp0(catalog->vars, path) != 0 && !record_vars(vm, path, &error))
        ledger_complain(vm, "where the UEFI variables are could not be recorded", error);
}

static bool replace(Operation *op, GBytes *content, GError **error)
{
    Images *images = op->vm->world->images;
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);

    if (!plan_check_new_vars(op->seen, content, error))
        return false;
    const char *path = op->seen->vars->path;
    if (!check_unshared(op, path, error) ||
        !images->ops->write_state(images, path, content, path, true, error))
        return false;
    remember(op->vm, catalog, path);
    return true;
}

bool vm_set_vars(Vm *vm, GBytes *content, const char *operation, const VmHooks *hooks,
                 GError **error)
{
    Operation op;

    if (!begin(&op, vm, operation, hooks, error))
        return false;
    bool replaced = replace(&op, content, error);
    operation_end(&op);
    return replaced;
}

/* The mark goes first: a store that is there and not known is as good as any, one that is known and
 * not there keeps the VM from starting. */
static bool reset(Operation *op, GError **error)
{
    Images *images = op->vm->world->images;
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const VarsFacts *facts = op->seen->vars;

    if (!facts || !facts->path) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "VM %s has no NVRAM that could be reset",
                    op->vm_name);
        return false;
    }
    if (facts->error) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "The UEFI variables of VM %s were not removed: %s", op->vm_name, facts->error);
        return false;
    }
    return check_unshared(op, facts->path, error) &&
           (!catalog->vars || record_vars(op->vm, NULL, error)) &&
           images->ops->unlink(images, facts->path, NULL, error);
}

bool vm_reset_vars(Vm *vm, const char *operation, const VmHooks *hooks, GError **error)
{
    Operation op;

    if (!begin(&op, vm, operation, hooks, error))
        return false;
    bool removed = reset(&op, error);
    operation_end(&op);
    return removed;
}
