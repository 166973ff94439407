#include "run/pivot.h"

#include "run/compare.h"
#include "run/ledger.h"

#include <string.h>

/* The two files of a pivot in doubt. */
typedef struct {
    char *target;
    char *top, *top_format;
    char *base, *base_format;
} Doubt;

static void doubt_clear(Doubt *doubt)
{
    g_free(doubt->target);
    g_free(doubt->top);
    g_free(doubt->top_format);
    g_free(doubt->base);
    g_free(doubt->base_format);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Doubt, doubt_clear)

/* ---- the mark ---- */

static bool record(Operation *op, const char *disk_id, const char *into, GError **error)
{
    Step *step = step_new(STEP_RECORD_PIVOT);

    step_set(step, "disk", disk_id);
    if (into)
        step_set(step, "into", into);
    bool recorded = ledger_record(op->vm, step, error);
    step_free(step);
    return recorded;
}

bool pivot_note(Operation *op, const char *disk_id, const char *base, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    Layer *layer = NULL;
    const Disk *disk = catalog_disk_of_path(catalog, base, &layer);

    if (disk && g_strcmp0(disk->pivot, layer->id) == 0)
        return true;
    return record(op, disk_id, layer ? layer->id : NULL, error);
}

void pivot_forget(Operation *op, const char *disk_id)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Disk *disk = catalog_disk(catalog, disk_id);
    g_autoptr(GError) cause = NULL;

    if (disk && disk->pivot && !record(op, disk_id, NULL, &cause))
        ledger_complain(op->vm, "that QEMU did not pivot could not be written", cause);
}

/* ---- what it forbids ---- */

/* Does @path lie between the two, or is it one of them? */
static bool is_between(const Disk *disk, const char *path)
{
    for (const Layer *layer = disk_active(disk); layer;
         layer = g_str_equal(layer->id, disk->pivot) ? NULL : disk_layer(disk, layer->parent))
        if (strcmp(layer->path, path) == 0)
            return true;
    return false;
}

/* False: @step leaves alone what it is about. */
static bool find_doubt(Operation *op, const Step *step, Doubt *out_doubt)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Disk *disk = catalog_disk(catalog, step_get(step, "disk"));

    if (!disk || !disk->pivot ||
        !(is_between(disk, step_get(step, "top")) || is_between(disk, step_get(step, "base"))))
        return false;
    const Layer *top = disk_active(disk), *base = disk_layer(disk, disk->pivot);
    *out_doubt = (Doubt){.target = g_strdup(disk->target),
                         .top = g_strdup(top->path),
                         .top_format = g_strdup(top->format),
                         .base = g_strdup(base->path),
                         .base_format = g_strdup(base->format)};
    return true;
}

bool pivot_check_live(Operation *op, const Step *step, GError **error)
{
    g_auto(Doubt) doubt = {0};

    if (!find_doubt(op, step, &doubt))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                "Whether QEMU went on from %s instead of %s (disk %s of VM %s) was not seen, and "
                "nothing was merged: shut the VM down and remove the snapshot again",
                doubt.base, doubt.top, doubt.target, op->vm_name);
    return false;
}

static bool refuse_different(const Operation *op, const Doubt *doubt, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                "Whether QEMU went on from %s instead of %s (disk %s of VM %s) was not seen, and "
                "they are not the same: the guest wrote last to one of them, so nothing was merged "
                "or removed; look which is newer (qemu-img compare, qemu-nbd --read-only), then "
                "echo adopt > drift for %s, or name %s as its disk (virsh edit, type %s), and "
                "remove the snapshot again",
                doubt->base, doubt->top, doubt->target, op->vm_name, doubt->top, doubt->base,
                doubt->base_format);
    return false;
}

/* qemu-img takes QEMU's locks itself; ours are given up for so long. A VM that is started in
 * between goes on from the top: that is right, too, if they were the same. */
static bool compare_unguarded(Operation *op, const Doubt *doubt, bool *out_same, GError **error)
{
    GuardLoan loan = guard_lend(op->guard, doubt->top, doubt->base);
    bool compared = compare_images(op, doubt->target, doubt->top, doubt->top_format, doubt->base,
                                   doubt->base_format, out_same, error);

    return guard_take_back(op->guard, loan, doubt->top, doubt->base, compared ? error : NULL) &&
           compared;
}

bool pivot_settle(Operation *op, const Step *step, GError **error)
{
    g_auto(Doubt) doubt = {0};
    bool same = false;

    if (!find_doubt(op, step, &doubt))
        return true;
    if (!compare_unguarded(op, &doubt, &same, error))
        return false;
    return same ? record(op, step_get(step, "disk"), NULL, error)
                : refuse_different(op, &doubt, error);
}
