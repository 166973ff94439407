/* The records of a removal. */
#include "plan/apply.h"

#include "base/str.h"
#include "model/names.h"

bool apply_removing(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);

    if (!snapshot)
        return false;
    snapshot->state = SNAPSHOT_REMOVING;
    snapshot->whole = g_strcmp0(step_get(step, "whole"), "yes") == 0;
    snapshot->hidden = true;
    str_set(&snapshot->error, "");
    return true;
}

bool apply_hidden(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);

    if (!snapshot)
        return false;
    if (snapshot->state == SNAPSHOT_REMOVING)
        return step_misfit(step, error, "it is being removed");
    snapshot->hidden = true;
    return true;
}

static void remove_layer(Disk *disk, const char *id)
{
    for (unsigned i = 0; i < disk->layers->len; i++) {
        Layer *layer = disk->layers->pdata[i];

        if (g_str_equal(layer->id, id)) {
            g_ptr_array_remove_index(disk->layers, i);
            return;
        }
    }
}

/* The entry of @snapshot that a merge or a drop ends, with its disk; NULL if it names another
 * layer. */
static SnapshotDisk *ending_entry(const Step *step, const Catalog *catalog,
                                  const Snapshot *snapshot, const char *layer, Disk **out_disk,
                                  GError **error)
{
    Disk *disk = step_disk(step, catalog, step_get(step, "disk"), error);
    SnapshotDisk *entry;

    if (!disk)
        return NULL;
    entry = snapshot_disk(snapshot, disk->id);
    if (!entry || !g_str_equal(entry->layer, layer)) {
        step_misfit(step, error, "the layer is not the snapshot's");
        return NULL;
    }
    if (snapshot->state != SNAPSHOT_REMOVING) {
        step_misfit(step, error, "it is not being removed");
        return NULL;
    }
    *out_disk = disk;
    return entry;
}

/* The layer right below @layer goes; it must be a removed snapshot's, and show through @layer only.
 */
static bool take_out_below(const Step *step, Catalog *catalog, Disk *disk, Layer *layer,
                           GError **error)
{
    const Layer *below = layer->parent ? disk_layer(disk, layer->parent) : NULL;
    Snapshot *owner = below ? catalog_owner(catalog, disk->id, below->id) : NULL;
    g_autoptr(GPtrArray) dependants = below ? disk_dependants(disk, below->id) : NULL;
    g_autofree char *id = NULL;

    if (!owner || dependants->len != 1)
        return step_misfit(step, error, "the layer is not the only one that depends on it");
    if (owner->state != SNAPSHOT_REMOVING)
        return step_misfit(step, error, "a snapshot between the two is not being removed");
    id = g_strdup(below->id);
    str_set(&layer->path, below->path);
    str_set(&layer->parent, below->parent);
    g_ptr_array_remove(owner->disks, snapshot_disk(owner, disk->id));
    remove_layer(disk, id);
    return true;
}

bool apply_merged(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);
    const char *into = step_get(step, "into");
    Disk *disk;
    Layer *layer;

    if (!snapshot || !ending_entry(step, catalog, snapshot, into, &disk, error))
        return false;
    layer = disk_layer(disk, step_get(step, "layer"));
    if (!layer)
        return step_misfit(step, error, "there is no such layer");
    while (disk_layer(disk, into))
        if (!take_out_below(step, catalog, disk, layer, error))
            return false;
    str_set(&layer->format, step_get(step, "format"));
    layer->capacity = step_get_number(step, "capacity");
    return true;
}

bool apply_mark(const Step *step, Catalog *catalog, GError **error)
{
    Disk *disk = step_disk(step, catalog, step_get(step, "disk"), error);
    const char *into = step_get(step, "into");

    if (!disk)
        return false;
    if (into && !disk_layer(disk, into))
        return step_misfit(step, error, "there is no such layer");
    str_set(step->kind == STEP_RECORD_PIVOT ? &disk->pivot : &disk->committed, into);
    return true;
}

bool apply_dropped(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);
    const char *layer = step_get(step, "layer");
    g_autoptr(GPtrArray) dependants = NULL;
    SnapshotDisk *entry;
    Disk *disk;

    if (!snapshot || !(entry = ending_entry(step, catalog, snapshot, layer, &disk, error)))
        return false;
    dependants = disk_dependants(disk, layer);
    if (dependants->len > 0)
        return step_misfit(step, error, "another layer depends on it");
    g_ptr_array_remove(snapshot->disks, entry);
    remove_layer(disk, layer);
    return true;
}

bool apply_removed(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);

    if (!snapshot)
        return false;
    if (snapshot->disks->len > 0 || snapshot->state != SNAPSHOT_REMOVING)
        return step_misfit(step, error, "it still has layers");
    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        Snapshot *child = catalog->snapshots->pdata[i];

        if (g_strcmp0(child->parent, snapshot->id) == 0)
            str_set(&child->parent, snapshot->parent);
    }
    if (g_strcmp0(catalog->current, snapshot->id) == 0)
        str_set(&catalog->current, snapshot->parent);
    g_ptr_array_remove(catalog->snapshots, snapshot);
    return true;
}

bool apply_failed(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *name = NULL;

    if (!snapshot)
        return false;
    for (unsigned i = 0; i < catalog->snapshots->len; i++) {
        Snapshot *other = catalog->snapshots->pdata[i];

        if (other != snapshot && !other->hidden)
            g_hash_table_add(taken, other->name);
    }
    name = g_hash_table_contains(taken, snapshot->name) ? names_untaken(snapshot->name, taken)
                                                        : g_strdup(snapshot->name);
    str_set(&snapshot->name, name);
    snapshot->whole = false;
    snapshot->hidden = false;
    if (g_strcmp0(step_get(step, "whole"), "yes") == 0) {
        snapshot->state = SNAPSHOT_READY;
        return true;
    }
    snapshot->state = SNAPSHOT_FAILED;
    str_set(&snapshot->error, step_get(step, "error"));
    return true;
}
