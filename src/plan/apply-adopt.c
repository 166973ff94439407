/* The records of an adoption. Each but the first says how things are, not what changes; so doing
 * one twice is doing it once. */
#include "plan/apply.h"

#include "base/str.h"

bool apply_found(const Step *step, Catalog *catalog, GError **error)
{
    const char *id = step_get(step, "snapshot");
    Snapshot *snapshot;

    if (catalog_snapshot(catalog, id))
        return step_misfit(step, error, "there is such a snapshot already");
    if (catalog_named(catalog, step_get(step, "name")))
        return step_misfit(step, error, "its name is taken");
    snapshot = snapshot_new(id, step_get(step, "name"));
    snapshot->state = SNAPSHOT_READY;
    snapshot->created = (int64_t)step_get_number(step, "created");
    str_set(&snapshot->consistency, step_get(step, "consistency"));
    snapshot->uid = (uid_t)step_get_number(step, "uid");
    snapshot->mode = (mode_t)g_ascii_strtoull(step_get(step, "mode"), NULL, 8);
    g_ptr_array_add(catalog->snapshots, snapshot);
    return true;
}

/* --- layers --- */

static bool add_layer(const Step *step, Disk *disk, const char *id, GError **error)
{
    const char *format = step_get_sub(step, "format", id);
    const char *capacity = step_get_sub(step, "capacity", id);

    if (!format || !capacity)
        return step_misfit(step, error, "a layer lacks a parameter");
    g_ptr_array_add(disk->layers,
                    layer_new(id, step_get_sub(step, "parent", id), step_get_sub(step, "path", id),
                              format, g_ascii_strtoull(capacity, NULL, 10)));
    return true;
}

/* The layer that @step gives to @snapshot; NULL if none. */
static const char *layer_of(const Step *step, const GPtrArray *layers, const Snapshot *snapshot)
{
    for (unsigned i = 0; i < layers->len; i++)
        if (g_strcmp0(step_get_sub(step, "owner", layers->pdata[i]), snapshot->id) == 0)
            return layers->pdata[i];
    return NULL;
}

static void set_entry(Snapshot *snapshot, const Disk *disk, const char *layer)
{
    SnapshotDisk *entry = snapshot_disk(snapshot, disk->id);

    if (entry && layer)
        str_set(&entry->layer, layer);
    else if (entry)
        g_ptr_array_remove(snapshot->disks, entry);
    else if (layer)
        g_ptr_array_add(snapshot->disks, snapshot_disk_new(disk->id, layer));
}

bool apply_layers(const Step *step, Catalog *catalog, GError **error)
{
    Disk *disk = catalog_disk(catalog, step_get(step, "disk"));
    g_autoptr(GPtrArray) layers = step_suffixes(step, "path");

    if (!disk)
        return step_misfit(step, error, "there is no such disk");
    g_ptr_array_set_size(disk->layers, 0);
    for (unsigned i = 0; i < layers->len; i++)
        if (!add_layer(step, disk, layers->pdata[i], error))
            return false;
    str_set(&disk->active, step_get(step, "active"));
    str_set(&disk->target, step_get(step, "target"));
    disk->attached = true;
    for (unsigned i = 0; i < catalog->snapshots->len; i++)
        set_entry(catalog->snapshots->pdata[i], disk,
                  layer_of(step, layers, catalog->snapshots->pdata[i]));
    return true;
}

/* --- the tree --- */

bool apply_tree(const Step *step, Catalog *catalog, GError **error)
{
    str_set(&catalog->current, step_get(step, "current"));
    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        Snapshot *snapshot = catalog->snapshots->pdata[i];

        str_set(&snapshot->parent, step_get_sub(step, "parent", snapshot->id));
    }
    return true;
}
