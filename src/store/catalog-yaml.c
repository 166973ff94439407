/* catalog.yaml read (docs/catalog-format.md). Shapes and values are checked here, where the line is
 * known; whether they fit together is catalog_check's business. */
#include "store/store.h"

#include "base/str.h"
#include "model/config.h"
#include "model/names.h"
#include <string.h>

/* ---- single fields ---- */

static bool read_text(const YamlNode *map, const char *key, char **out_text, GError **error)
{
    const char *text;

    if (!yaml_text(yaml_need(map, key, error), &text, error))
        return false;
    str_set(out_text, text);
    return true;
}

static bool read_optional_bool(const YamlNode *map, const char *key, bool *out_value,
                               GError **error)
{
    const YamlNode *node = yaml_get(map, key);

    return !node || yaml_bool(node, out_value, error);
}

static bool read_optional_text(const YamlNode *map, const char *key, char **out_text,
                               GError **error)
{
    return !yaml_get(map, key) || read_text(map, key, out_text, error);
}

static bool read_number(const YamlNode *map, const char *key, uint64_t maximum,
                        uint64_t *out_number, GError **error)
{
    const YamlNode *node = yaml_need(map, key, error);
    uint64_t number;

    if (!yaml_u64(node, &number, error))
        return false;
    if (number > maximum)
        return yaml_error(node, error, "the number is too large");
    *out_number = number;
    return true;
}

static bool read_path(const YamlNode *map, const char *key, char **out_path, GError **error)
{
    const YamlNode *node = yaml_need(map, key, error);
    const char *text;
    g_autofree char *path = NULL;

    if (!yaml_text(node, &text, error))
        return false;
    path = text_unescape(text);
    if (!path)
        return yaml_error(node, error,
                          "a backslash in a path begins an octal escape of three digits");
    str_set(out_path, path);
    return true;
}

/* Exactly what the writer writes: "2026-11-21T14:30:05.123456Z". */
static bool parse_time(const char *text, int64_t *out_microseconds)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    g_autoptr(GDateTime) time = NULL;

    if (strlen(text) != strlen(shape))
        return false;
    for (unsigned i = 0; shape[i]; i++)
        if (shape[i] == 'd' ? !g_ascii_isdigit(text[i]) : text[i] != shape[i])
            return false;
    time = g_date_time_new_utc(atoi(text), atoi(text + 5), atoi(text + 8), atoi(text + 11),
                               atoi(text + 14), atoi(text + 17));
    if (!time)
        return false;
    *out_microseconds = g_date_time_to_unix(time) * G_USEC_PER_SEC + atoi(text + 20);
    return true;
}

static bool read_time(const YamlNode *map, const char *key, int64_t *out_time, GError **error)
{
    const YamlNode *node = yaml_need(map, key, error);
    const char *text;

    if (!yaml_text(node, &text, error))
        return false;
    if (!parse_time(text, out_time))
        return yaml_error(node, error,
                          "a time is needed, as \"2026-11-21T14:30:05.123456Z\", not \"%s\"", text);
    return true;
}

static bool read_mode(const YamlNode *map, const char *key, mode_t *out_mode, GError **error)
{
    const YamlNode *node = yaml_need(map, key, error);
    const char *text;
    guint64 mode = 0;

    if (!yaml_text(node, &text, error))
        return false;
    if (strlen(text) != 4 || strspn(text, "01234567") != 4)
        return yaml_error(node, error, "a mode is four octal digits in quotes, not \"%s\"", text);
    mode = g_ascii_strtoull(text, NULL, 8);
    *out_mode = (mode_t)mode;
    return true;
}

static bool read_state(const YamlNode *map, const char *key, SnapshotState *out_state,
                       GError **error)
{
    const YamlNode *node = yaml_need(map, key, error);
    const char *text;

    if (!yaml_text(node, &text, error))
        return false;
    if (!snapshot_state_parse(text, out_state))
        return yaml_error(node, error, "\"%s\" is no state of a snapshot", text);
    return true;
}

/* ---- disks ---- */

static bool read_layer(const YamlNode *map, Disk *disk, GError **error)
{
    static const char *const keys[] = {"id", "parent", "path", "format", "capacity", NULL};
    Layer *layer = layer_new(NULL, NULL, NULL, NULL, 0);

    g_ptr_array_add(disk->layers, layer);
    return yaml_check_keys(map, keys, error) && read_text(map, "id", &layer->id, error) &&
           read_optional_text(map, "parent", &layer->parent, error) &&
           read_path(map, "path", &layer->path, error) &&
           read_text(map, "format", &layer->format, error) &&
           read_number(map, "capacity", G_MAXINT64, &layer->capacity, error);
}

static bool read_layers(const YamlNode *list, Disk *disk, GError **error)
{
    if (!yaml_is_list(list, error))
        return false;
    for (guint i = 0; i < list->items->len; i++)
        if (!read_layer(list->items->pdata[i], disk, error))
            return false;
    return true;
}

static bool read_disk(const YamlNode *map, Catalog *catalog, GError **error)
{
    static const char *const keys[] = {"id",    "target",    "attached", "active",
                                       "pivot", "committed", "layers",   NULL};
    Disk *disk = disk_new(NULL, NULL);

    g_ptr_array_add(catalog->disks, disk);
    return yaml_check_keys(map, keys, error) && read_text(map, "id", &disk->id, error) &&
           read_text(map, "target", &disk->target, error) &&
           yaml_bool(yaml_need(map, "attached", error), &disk->attached, error) &&
           read_text(map, "active", &disk->active, error) &&
           read_optional_text(map, "pivot", &disk->pivot, error) &&
           read_optional_text(map, "committed", &disk->committed, error) &&
           read_layers(yaml_need(map, "layers", error), disk, error);
}

static bool read_disks(const YamlNode *list, Catalog *catalog, GError **error)
{
    if (!yaml_is_list(list, error))
        return false;
    for (guint i = 0; i < list->items->len; i++)
        if (!read_disk(list->items->pdata[i], catalog, error))
            return false;
    return true;
}

/* ---- snapshots ---- */

static bool read_entry(const YamlNode *map, Snapshot *snapshot, GError **error)
{
    static const char *const keys[] = {"disk", "layer", NULL};
    SnapshotDisk *entry = snapshot_disk_new(NULL, NULL);

    g_ptr_array_add(snapshot->disks, entry);
    return yaml_check_keys(map, keys, error) && read_text(map, "disk", &entry->disk, error) &&
           read_text(map, "layer", &entry->layer, error);
}

static bool read_entries(const YamlNode *list, Snapshot *snapshot, GError **error)
{
    if (!yaml_is_list(list, error))
        return false;
    for (guint i = 0; i < list->items->len; i++)
        if (!read_entry(list->items->pdata[i], snapshot, error))
            return false;
    return true;
}

static bool read_sidecar(const YamlNode *map, const char *key, Sidecar **out_sidecar,
                         GError **error)
{
    static const char *const keys[] = {"size", "sha256", "version", "secret", NULL};
    const YamlNode *node = yaml_get(map, key);

    if (!node)
        return true;
    *out_sidecar = sidecar_new(0, NULL, NULL, NULL);
    return yaml_is_map(node, error) && yaml_check_keys(node, keys, error) &&
           read_number(node, "size", G_MAXINT64, &(*out_sidecar)->size, error) &&
           read_text(node, "sha256", &(*out_sidecar)->sha256, error) &&
           read_optional_text(node, "version", &(*out_sidecar)->version, error) &&
           read_optional_text(node, "secret", &(*out_sidecar)->secret, error);
}

static bool read_texts(const YamlNode *map, Snapshot *snapshot, GError **error)
{
    return read_text(map, "consistency", &snapshot->consistency, error) &&
           read_text(map, "description", &snapshot->description, error) &&
           read_text(map, "warnings", &snapshot->warnings, error) &&
           read_text(map, "error", &snapshot->error, error);
}

static bool read_snapshot(const YamlNode *map, Catalog *catalog, GError **error)
{
    static const char *const keys[] = {
        "id",          "name",        "parent",   "state", "hidden", "created",
        "consistency", "description", "warnings", "error", "uid",    "mode",
        "disks",       "vars",        "tpm",      "whole", NULL};
    Snapshot *snapshot = snapshot_new(NULL, NULL);
    uint64_t uid = 0;

    g_ptr_array_add(catalog->snapshots, snapshot);
    if (!yaml_check_keys(map, keys, error) || !read_text(map, "id", &snapshot->id, error) ||
        !read_text(map, "name", &snapshot->name, error) ||
        !read_optional_text(map, "parent", &snapshot->parent, error) ||
        !read_state(map, "state", &snapshot->state, error) ||
        !read_optional_bool(map, "whole", &snapshot->whole, error) ||
        !yaml_bool(yaml_need(map, "hidden", error), &snapshot->hidden, error) ||
        !read_time(map, "created", &snapshot->created, error) ||
        !read_texts(map, snapshot, error) || !read_number(map, "uid", G_MAXUINT32, &uid, error) ||
        !read_mode(map, "mode", &snapshot->mode, error) ||
        !read_sidecar(map, "vars", &snapshot->vars, error) ||
        !read_sidecar(map, "tpm", &snapshot->tpm, error))
        return false;
    snapshot->uid = (uid_t)uid;
    return read_entries(yaml_need(map, "disks", error), snapshot, error);
}

static bool read_snapshots(const YamlNode *list, Catalog *catalog, GError **error)
{
    if (!yaml_is_list(list, error))
        return false;
    for (guint i = 0; i < list->items->len; i++)
        if (!read_snapshot(list->items->pdata[i], catalog, error))
            return false;
    return true;
}

/* ---- the whole ---- */

static bool read_policy(const YamlNode *map, Catalog *catalog, GError **error)
{
    return !map || policy_read(map, catalog->policy, error);
}

static void keep_unknown(const YamlNode *map, Catalog *catalog)
{
    static const char *const known[] = {"version",   "uuid",      "name", "generation",
                                        "current",   "thaw_owed", "vars", "disks",
                                        "snapshots", "policy",    NULL};

    for (guint i = 0; i < map->keys->len; i++) {
        const YamlNode *key = map->keys->pdata[i];
        g_autoptr(YamlWriter) writer = NULL;

        if (g_strv_contains(known, key->text))
            continue;
        writer = yaml_writer_new();
        yaml_writer_node(writer, map->items->pdata[i]);
        g_hash_table_insert(catalog->unknown, g_strdup(key->text), yaml_writer_finish(writer));
    }
}

static bool check_version(const YamlNode *map, GError **error)
{
    const YamlNode *node = yaml_need(map, "version", error);
    uint64_t version;

    if (!yaml_u64(node, &version, error))
        return false;
    if (version > CATALOG_VERSION)
        return yaml_error_code(node, ERR_UNSUPPORTED, error,
                               "this is a catalog of version %" G_GUINT64_FORMAT
                               ", and this program knows %d: use a newer vmsnapfs",
                               version, CATALOG_VERSION);
    if (version < 1)
        return yaml_error(node, error, "there is no version 0");
    return true;
}

Catalog *catalog_from_yaml(const char *text, gsize length, GError **error)
{
    g_autoptr(YamlNode) root = yaml_parse(text, length, error);
    g_autoptr(Catalog) catalog = catalog_new(NULL, NULL);

    if (!yaml_is_map(root, error) || !check_version(root, error) ||
        !read_text(root, "uuid", &catalog->uuid, error) ||
        !read_text(root, "name", &catalog->name, error) ||
        !read_number(root, "generation", G_MAXINT64, &catalog->generation, error) ||
        !read_optional_text(root, "current", &catalog->current, error) ||
        !read_optional_bool(root, "thaw_owed", &catalog->thaw_owed, error) ||
        (yaml_get(root, "vars") && !read_path(root, "vars", &catalog->vars, error)) ||
        !read_disks(yaml_need(root, "disks", error), catalog, error) ||
        !read_snapshots(yaml_need(root, "snapshots", error), catalog, error) ||
        !read_policy(yaml_get(root, "policy"), catalog, error))
        return NULL;
    keep_unknown(root, catalog);
    return catalog_check(catalog, error) ? g_steal_pointer(&catalog) : NULL;
}
