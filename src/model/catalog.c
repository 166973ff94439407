#include "model/catalog.h"

#include "base/str.h"
#include <string.h>

/* ---- making and freeing ---- */

static void free_layer(void *layer)
{
    layer_free(layer);
}

static void free_disk(void *disk)
{
    disk_free(disk);
}

static void free_snapshot(void *snapshot)
{
    snapshot_free(snapshot);
}

static void free_snapshot_disk(void *entry)
{
    snapshot_disk_free(entry);
}

Layer *layer_new(const char *id, const char *parent, const char *path, const char *format,
                 uint64_t capacity)
{
    Layer *layer = g_new0(Layer, 1);

    layer->id = g_strdup(id);
    layer->parent = g_strdup(parent);
    layer->path = g_strdup(path);
    layer->format = g_strdup(format);
    layer->capacity = capacity;
    return layer;
}

void layer_free(Layer *layer)
{
    if (!layer)
        return;
    g_free(layer->id);
    g_free(layer->parent);
    g_free(layer->path);
    g_free(layer->format);
    g_free(layer);
}

Disk *disk_new(const char *id, const char *target)
{
    Disk *disk = g_new0(Disk, 1);

    disk->id = g_strdup(id);
    disk->target = g_strdup(target);
    disk->attached = true;
    disk->layers = g_ptr_array_new_with_free_func(free_layer);
    return disk;
}

void disk_free(Disk *disk)
{
    if (!disk)
        return;
    g_free(disk->id);
    g_free(disk->target);
    g_free(disk->active);
    g_free(disk->pivot);
    g_free(disk->committed);
    g_ptr_array_unref(disk->layers);
    g_free(disk);
}

/* The weakest consistency and no rights but the owner's, until somebody knows better. */
Snapshot *snapshot_new(const char *id, const char *name)
{
    Snapshot *snapshot = g_new0(Snapshot, 1);

    snapshot->id = g_strdup(id);
    snapshot->name = g_strdup(name);
    snapshot->state = SNAPSHOT_READY;
    snapshot->consistency = g_strdup("crash");
    snapshot->description = g_strdup("");
    snapshot->warnings = g_strdup("");
    snapshot->error = g_strdup("");
    snapshot->mode = 0700;
    snapshot->disks = g_ptr_array_new_with_free_func(free_snapshot_disk);
    return snapshot;
}

void snapshot_free(Snapshot *snapshot)
{
    if (!snapshot)
        return;
    g_free(snapshot->id);
    g_free(snapshot->name);
    g_free(snapshot->parent);
    g_free(snapshot->consistency);
    g_free(snapshot->description);
    g_free(snapshot->warnings);
    g_free(snapshot->error);
    sidecar_free(snapshot->vars);
    sidecar_free(snapshot->tpm);
    g_ptr_array_unref(snapshot->disks);
    g_free(snapshot);
}

Sidecar *sidecar_new(uint64_t size, const char *sha256, const char *version, const char *secret)
{
    Sidecar *sidecar = g_new0(Sidecar, 1);

    sidecar->size = size;
    sidecar->sha256 = g_strdup(sha256);
    sidecar->version = g_strdup(version);
    sidecar->secret = g_strdup(secret);
    return sidecar;
}

Sidecar *sidecar_copy(const Sidecar *sidecar)
{
    return sidecar ? sidecar_new(sidecar->size, sidecar->sha256, sidecar->version, sidecar->secret)
                   : NULL;
}

void sidecar_free(Sidecar *sidecar)
{
    if (!sidecar)
        return;
    g_free(sidecar->sha256);
    g_free(sidecar->version);
    g_free(sidecar->secret);
    g_free(sidecar);
}

SnapshotDisk *snapshot_disk_new(const char *disk, const char *layer)
{
    SnapshotDisk *entry = g_new0(SnapshotDisk, 1);

    entry->disk = g_strdup(disk);
    entry->layer = g_strdup(layer);
    return entry;
}

void snapshot_disk_free(SnapshotDisk *entry)
{
    if (!entry)
        return;
    g_free(entry->disk);
    g_free(entry->layer);
    g_free(entry);
}

Catalog *catalog_new(const char *uuid, const char *name)
{
    Catalog *catalog = g_new0(Catalog, 1);

    catalog->uuid = g_strdup(uuid);
    catalog->name = g_strdup(name);
    catalog->disks = g_ptr_array_new_with_free_func(free_disk);
    catalog->snapshots = g_ptr_array_new_with_free_func(free_snapshot);
    catalog->policy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    catalog->unknown = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return catalog;
}

void catalog_free(Catalog *catalog)
{
    if (!catalog)
        return;
    g_free(catalog->uuid);
    g_free(catalog->name);
    g_free(catalog->current);
    g_free(catalog->vars);
    g_ptr_array_unref(catalog->disks);
    g_ptr_array_unref(catalog->snapshots);
    g_hash_table_unref(catalog->policy);
    g_clear_pointer(&catalog->defaults, g_hash_table_unref);
    g_hash_table_unref(catalog->unknown);
    g_free(catalog);
}

/* ---- copying ---- */

static Disk *disk_copy(const Disk *disk)
{
    Disk *copy = disk_new(disk->id, disk->target);

    copy->attached = disk->attached;
    copy->active = g_strdup(disk->active);
    copy->pivot = g_strdup(disk->pivot);
    copy->committed = g_strdup(disk->committed);
    for (guint i = 0; i < disk->layers->len; i++) {
        const Layer *layer = disk->layers->pdata[i];

        g_ptr_array_add(copy->layers, layer_new(layer->id, layer->parent, layer->path,
                                                layer->format, layer->capacity));
    }
    return copy;
}

static Snapshot *snapshot_copy(const Snapshot *snapshot)
{
    Snapshot *copy = snapshot_new(snapshot->id, snapshot->name);

    copy->parent = g_strdup(snapshot->parent);
    copy->state = snapshot->state;
    copy->whole = snapshot->whole;
    copy->hidden = snapshot->hidden;
    copy->created = snapshot->created;
    str_set(&copy->consistency, snapshot->consistency);
    str_set(&copy->description, snapshot->description);
    str_set(&copy->warnings, snapshot->warnings);
    str_set(&copy->error, snapshot->error);
    copy->uid = snapshot->uid;
    copy->mode = snapshot->mode;
    copy->vars = sidecar_copy(snapshot->vars);
    copy->tpm = sidecar_copy(snapshot->tpm);
    for (guint i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];

        g_ptr_array_add(copy->disks, snapshot_disk_new(entry->disk, entry->layer));
    }
    return copy;
}

static void copy_strings(GHashTable *from, GHashTable *to)
{
    GHashTableIter iter;
    void *key, *value;

    g_hash_table_iter_init(&iter, from);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(to, g_strdup(key), g_strdup(value));
}

Catalog *catalog_copy(const Catalog *catalog)
{
    Catalog *copy = catalog_new(catalog->uuid, catalog->name);

    copy->generation = catalog->generation;
    copy->current = g_strdup(catalog->current);
    copy->thaw_owed = catalog->thaw_owed;
    copy->vars = g_strdup(catalog->vars);
    for (guint i = 0; i < catalog->disks->len; i++)
        g_ptr_array_add(copy->disks, disk_copy(catalog->disks->pdata[i]));
    for (guint i = 0; i < catalog->snapshots->len; i++)
        g_ptr_array_add(copy->snapshots, snapshot_copy(catalog->snapshots->pdata[i]));
    copy_strings(catalog->policy, copy->policy);
    copy->defaults = catalog->defaults ? g_hash_table_ref(catalog->defaults) : NULL;
    copy_strings(catalog->unknown, copy->unknown);
    return copy;
}
