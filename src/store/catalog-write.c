/* catalog.yaml written. Maps without an order of their own are sorted, so that the same catalog is
 * the same text. */
#include "store/store.h"

#include "base/yaml.h"
#include "model/names.h"
#include <string.h>

static void write_optional(YamlWriter *writer, const char *key, const char *text)
{
    if (text)
        yaml_writer_entry(writer, key, text);
}

static void write_layer(YamlWriter *writer, const Layer *layer)
{
    g_autofree char *path = text_escape_bytes(layer->path);

    yaml_writer_begin_map(writer);
    yaml_writer_entry(writer, "id", layer->id);
    write_optional(writer, "parent", layer->parent);
    yaml_writer_entry(writer, "path", path);
    yaml_writer_entry(writer, "format", layer->format);
    yaml_writer_entry_u64(writer, "capacity", layer->capacity);
    yaml_writer_end_map(writer);
}

static void write_disk(YamlWriter *writer, const Disk *disk)
{
    yaml_writer_begin_map(writer);
    yaml_writer_entry(writer, "id", disk->id);
    yaml_writer_entry(writer, "target", disk->target);
    yaml_writer_entry_bool(writer, "attached", disk->attached);
    yaml_writer_entry(writer, "active", disk->active);
    write_optional(writer, "pivot", disk->pivot);
    write_optional(writer, "committed", disk->committed);
    yaml_writer_key(writer, "layers");
    yaml_writer_begin_list(writer);
    for (guint i = 0; i < disk->layers->len; i++)
        write_layer(writer, disk->layers->pdata[i]);
    yaml_writer_end_list(writer);
    yaml_writer_end_map(writer);
}

static void write_entries(YamlWriter *writer, const GPtrArray *entries)
{
    yaml_writer_begin_list(writer);
    for (guint i = 0; i < entries->len; i++) {
        const SnapshotDisk *entry = entries->pdata[i];

        yaml_writer_begin_map(writer);
        yaml_writer_entry(writer, "disk", entry->disk);
        yaml_writer_entry(writer, "layer", entry->layer);
        yaml_writer_end_map(writer);
    }
    yaml_writer_end_list(writer);
}

/* time_format has whole seconds; here nothing may be lost. */
static void write_time(YamlWriter *writer, const char *key, int64_t microseconds)
{
    g_autofree char *seconds = time_format(microseconds);
    g_autofree char *text = g_strdup_printf("%.*s.%06uZ", (int)strlen(seconds) - 1, seconds,
                                            (unsigned)(microseconds % G_USEC_PER_SEC));

    yaml_writer_entry(writer, key, text);
}

static void write_sidecar(YamlWriter *writer, const char *key, const Sidecar *sidecar)
{
    if (!sidecar)
        return;
    yaml_writer_key(writer, key);
    yaml_writer_begin_map(writer);
    yaml_writer_entry_u64(writer, "size", sidecar->size);
    yaml_writer_entry(writer, "sha256", sidecar->sha256);
    write_optional(writer, "version", sidecar->version);
    write_optional(writer, "secret", sidecar->secret);
    yaml_writer_end_map(writer);
}

static void write_snapshot(YamlWriter *writer, const Snapshot *snapshot)
{
    g_autofree char *mode = g_strdup_printf("%04o", (unsigned)snapshot->mode);

    yaml_writer_begin_map(writer);
    yaml_writer_entry(writer, "id", snapshot->id);
    yaml_writer_entry(writer, "name", snapshot->name);
    write_optional(writer, "parent", snapshot->parent);
    yaml_writer_entry(writer, "state", snapshot_state_name(snapshot->state));
    if (snapshot->whole)
        yaml_writer_entry_bool(writer, "whole", true);
    yaml_writer_entry_bool(writer, "hidden", snapshot->hidden);
    write_time(writer, "created", snapshot->created);
    yaml_writer_entry(writer, "consistency", snapshot->consistency);
    yaml_writer_entry(writer, "description", snapshot->description);
    yaml_writer_entry(writer, "warnings", snapshot->warnings);
    yaml_writer_entry(writer, "error", snapshot->error);
    yaml_writer_entry_u64(writer, "uid", snapshot->uid);
    yaml_writer_entry(writer, "mode", mode);
    yaml_writer_key(writer, "disks");
    write_entries(writer, snapshot->disks);
    write_sidecar(writer, "vars", snapshot->vars);
    write_sidecar(writer, "tpm", snapshot->tpm);
    yaml_writer_end_map(writer);
}

static GList *sorted_keys(GHashTable *table)
{
    return g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);
}

static void write_policy(YamlWriter *writer, GHashTable *policy)
{
    g_autoptr(GList) keys = sorted_keys(policy);

    yaml_writer_begin_map(writer);
    for (const GList *key = keys; key; key = key->next)
        yaml_writer_entry(writer, key->data, g_hash_table_lookup(policy, key->data));
    yaml_writer_end_map(writer);
}

/* catalog_check has seen that each value is YAML. */
static void write_unknown(YamlWriter *writer, GHashTable *unknown)
{
    g_autoptr(GList) keys = sorted_keys(unknown);

    for (const GList *key = keys; key; key = key->next) {
        const char *value = g_hash_table_lookup(unknown, key->data);
        g_autoptr(YamlNode) node = yaml_parse(value, strlen(value), NULL);

        g_assert(node);
        yaml_writer_key(writer, key->data);
        yaml_writer_node(writer, node);
    }
}

static void write_lists(YamlWriter *writer, const Catalog *catalog)
{
    yaml_writer_key(writer, "disks");
    yaml_writer_begin_list(writer);
    for (guint i = 0; i < catalog->disks->len; i++)
        write_disk(writer, catalog->disks->pdata[i]);
    yaml_writer_end_list(writer);
    yaml_writer_key(writer, "snapshots");
    yaml_writer_begin_list(writer);
    for (guint i = 0; i < catalog->snapshots->len; i++)
        write_snapshot(writer, catalog->snapshots->pdata[i]);
    yaml_writer_end_list(writer);
}

char *catalog_to_yaml(const Catalog *catalog)
{
    g_autoptr(YamlWriter) writer = yaml_writer_new();

    yaml_writer_begin_map(writer);
    yaml_writer_entry_u64(writer, "version", CATALOG_VERSION);
    yaml_writer_entry(writer, "uuid", catalog->uuid);
    yaml_writer_entry(writer, "name", catalog->name);
    yaml_writer_entry_u64(writer, "generation", catalog->generation);
    write_optional(writer, "current", catalog->current);
    if (catalog->thaw_owed)
        yaml_writer_entry_bool(writer, "thaw_owed", true);
    if (catalog->vars) {
        g_autofree char *vars = text_escape_bytes(catalog->vars);

        yaml_writer_entry(writer, "vars", vars);
    }
    write_lists(writer, catalog);
    yaml_writer_key(writer, "policy");
    write_policy(writer, catalog->policy);
    write_unknown(writer, catalog->unknown);
    yaml_writer_end_map(writer);
    return yaml_writer_finish(writer);
}
