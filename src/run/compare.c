#include "run/compare.h"

typedef struct {
    Operation *op;
    const char *target;
} Comparison;

static bool compare_progress(uint64_t done, uint64_t total, void *data)
{
    const Comparison *comparison = data;

    operation_progress(comparison->op, comparison->target, done, total, false);
    return !operation_stopped(comparison->op, NULL);
}

bool compare_images(Operation *op, const char *target, const char *a, const char *a_format,
                    const char *b, const char *b_format, bool *out_same, GError **error)
{
    Images *images = op->vm->world->images;
    Comparison comparison = {.op = op, .target = target};

    return images->ops->compare(images, a, a_format, b, b_format, compare_progress, &comparison,
                                out_same, error);
}

bool compare_merged(Operation *op, const Step *step, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    const Disk *disk = catalog_disk(catalog, step_get(step, "disk"));
    const char *target = disk ? disk->target : step_get(step, "disk");
    const char *top = step_get(step, "top"), *base = step_get(step, "base");
    bool same = false;

    if (!compare_images(op, target, top, step_get(step, "top_format"), base,
                        step_get(step, "base_format"), &same, error))
        return false;
    if (!same)
        g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                    "QEMU ended before the merge of %s into %s (disk %s of VM %s) was whole, and "
                    "the VM was started since, on a base in which something is missing: nothing "
                    "was removed; shut the VM down and remove the snapshot again, which merges "
                    "what is missing",
                    top, base, target, op->vm_name);
    return same;
}
