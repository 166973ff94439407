/* Questions about a catalog: lookups, dependants, depth, equality. */
#include "model/catalog.h"

#include <string.h>

Disk *catalog_disk(const Catalog *catalog, const char *disk_id)
{
    for (guint i = 0; disk_id && i < catalog->disks->len; i++) {
        Disk *disk = catalog->disks->pdata[i];

        if (!strcmp(disk->id, disk_id))
            return disk;
    }
    return NULL;
}

Disk *catalog_disk_by_target(const Catalog *catalog, const char *target)
{
    for (guint i = 0; target && i < catalog->disks->len; i++) {
        Disk *disk = catalog->disks->pdata[i];

        if (disk->attached && !strcmp(disk->target, target))
            return disk;
    }
    return NULL;
}

static Layer *layer_of_path(const Disk *disk, const char *path)
{
    for (guint i = 0; i < disk->layers->len; i++) {
        Layer *layer = disk->layers->pdata[i];

        if (!strcmp(layer->path, path))
            return layer;
    }
    return NULL;
}

Disk *catalog_disk_of_path(const Catalog *catalog, const char *path, Layer **out_layer)
{
    for (guint i = 0; path && i < catalog->disks->len; i++) {
        Layer *layer = layer_of_path(catalog->disks->pdata[i], path);

        if (layer && out_layer)
            *out_layer = layer;
        if (layer)
            return catalog->disks->pdata[i];
    }
    return NULL;
}

Layer *disk_layer(const Disk *disk, const char *layer_id)
{
    for (guint i = 0; layer_id && i < disk->layers->len; i++) {
        Layer *layer = disk->layers->pdata[i];

        if (!strcmp(layer->id, layer_id))
            return layer;
    }
    return NULL;
}

Layer *disk_active(const Disk *disk)
{
    return disk_layer(disk, disk->active);
}

Snapshot *catalog_snapshot(const Catalog *catalog, const char *snapshot_id)
{
    for (guint i = 0; snapshot_id && i < catalog->snapshots->len; i++) {
        Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (!strcmp(snapshot->id, snapshot_id))
            return snapshot;
    }
    return NULL;
}

Snapshot *catalog_named(const Catalog *catalog, const char *name)
{
    for (guint i = 0; name && i < catalog->snapshots->len; i++) {
        Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (!snapshot->hidden && !strcmp(snapshot->name, name))
            return snapshot;
    }
    return NULL;
}

SnapshotDisk *snapshot_disk(const Snapshot *snapshot, const char *disk_id)
{
    for (guint i = 0; disk_id && i < snapshot->disks->len; i++) {
        SnapshotDisk *entry = snapshot->disks->pdata[i];

        if (!strcmp(entry->disk, disk_id))
            return entry;
    }
    return NULL;
}

Snapshot *catalog_owner(const Catalog *catalog, const char *disk_id, const char *layer_id)
{
    for (guint i = 0; layer_id && i < catalog->snapshots->len; i++) {
        const SnapshotDisk *entry = snapshot_disk(catalog->snapshots->pdata[i], disk_id);

        if (entry && !strcmp(entry->layer, layer_id))
            return catalog->snapshots->pdata[i];
    }
    return NULL;
}

GPtrArray *disk_dependants(const Disk *disk, const char *layer_id)
{
    GPtrArray *dependants = g_ptr_array_new();

    for (guint i = 0; layer_id && i < disk->layers->len; i++) {
        Layer *layer = disk->layers->pdata[i];

        if (!g_strcmp0(layer->parent, layer_id))
            g_ptr_array_add(dependants, layer);
    }
    return dependants;
}

/* Bounded by the number of layers, so that it also ends on a catalog whose parents run in a circle.
 */
unsigned disk_depth(const Disk *disk, const char *layer_id)
{
    unsigned depth = 0;
    const Layer *layer = disk_layer(disk, layer_id);

    while (layer && depth < disk->layers->len) {
        depth++;
        layer = disk_layer(disk, layer->parent);
    }
    return depth;
}

unsigned catalog_children(const Catalog *catalog, const char *snapshot_id)
{
    unsigned children = 0;

    for (guint i = 0; snapshot_id && i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        children += !g_strcmp0(snapshot->parent, snapshot_id);
    }
    return children;
}

unsigned catalog_dependants(const Catalog *catalog, const Snapshot *snapshot)
{
    unsigned most = 0;

    for (guint i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(catalog, entry->disk);
        g_autoptr(GPtrArray) dependants = disk ? disk_dependants(disk, entry->layer) : NULL;

        if (dependants)
            most = MAX(most, dependants->len);
    }
    return most;
}

bool snapshot_is_held(const Snapshot *snapshot)
{
    return !(snapshot->mode & 0200);
}

static const char *const state_names[] = {
    [SNAPSHOT_READY] = "ready",
    [SNAPSHOT_REMOVING] = "removing",
    [SNAPSHOT_FAILED] = "failed",
};

const char *snapshot_state_name(SnapshotState state)
{
    return state_names[state];
}

bool snapshot_state_parse(const char *text, SnapshotState *out_state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(state_names); i++) {
        if (!strcmp(text, state_names[i])) {
            *out_state = (SnapshotState)i;
            return true;
        }
    }
    return false;
}

/* ---- equality ---- */

static bool layers_equal(const Layer *a, const Layer *b)
{
    return !strcmp(a->id, b->id) && !g_strcmp0(a->parent, b->parent) && !strcmp(a->path, b->path) &&
           !strcmp(a->format, b->format) && a->capacity == b->capacity;
}

static bool disks_equal(const Disk *a, const Disk *b)
{
    if (strcmp(a->id, b->id) || strcmp(a->target, b->target) || a->attached != b->attached ||
        g_strcmp0(a->active, b->active) || g_strcmp0(a->pivot, b->pivot) ||
        g_strcmp0(a->committed, b->committed) || a->layers->len != b->layers->len)
        return false;
    for (guint i = 0; i < a->layers->len; i++)
        if (!layers_equal(a->layers->pdata[i], b->layers->pdata[i]))
            return false;
    return true;
}

static bool sidecars_equal(const Sidecar *a, const Sidecar *b)
{
    if (!a || !b)
        return a == b;
    return a->size == b->size && !strcmp(a->sha256, b->sha256) &&
           !g_strcmp0(a->version, b->version) && !g_strcmp0(a->secret, b->secret);
}

static bool snapshots_equal(const Snapshot *a, const Snapshot *b)
{
    if (strcmp(a->id, b->id) || strcmp(a->name, b->name) || g_strcmp0(a->parent, b->parent) ||
        a->state != b->state || a->whole != b->whole || a->hidden != b->hidden ||
        a->created != b->created || strcmp(a->consistency, b->consistency) ||
        strcmp(a->description, b->description) || strcmp(a->warnings, b->warnings) ||
        strcmp(a->error, b->error) || a->uid != b->uid || a->mode != b->mode ||
        a->disks->len != b->disks->len || !sidecars_equal(a->vars, b->vars) ||
        !sidecars_equal(a->tpm, b->tpm))
        return false;
    for (guint i = 0; i < a->disks->len; i++) {
        const SnapshotDisk *x = a->disks->pdata[i], *y = b->disks->pdata[i];

        if (strcmp(x->disk, y->disk) || strcmp(x->layer, y->layer))
            return false;
    }
    return true;
}

static bool strings_equal(GHashTable *a, GHashTable *b)
{
    GHashTableIter iter;
    void *key, *value;

    if (g_hash_table_size(a) != g_hash_table_size(b))
        return false;
    g_hash_table_iter_init(&iter, a);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (g_strcmp0(g_hash_table_lookup(b, key), value))
            return false;
    return true;
}

bool catalog_equal(const Catalog *a, const Catalog *b)
{
    if (strcmp(a->uuid, b->uuid) || strcmp(a->name, b->name) || g_strcmp0(a->current, b->current) ||
        a->thaw_owed != b->thaw_owed || g_strcmp0(a->vars, b->vars) ||
        a->disks->len != b->disks->len || a->snapshots->len != b->snapshots->len)
        return false;
    for (guint i = 0; i < a->disks->len; i++)
        if (!disks_equal(a->disks->pdata[i], b->disks->pdata[i]))
            return false;
    for (guint i = 0; i < a->snapshots->len; i++)
        if (!snapshots_equal(a->snapshots->pdata[i], b->snapshots->pdata[i]))
            return false;
    return strings_equal(a->policy, b->policy) && strings_equal(a->unknown, b->unknown);
}
