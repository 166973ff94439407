/* Every invariant of a catalog, in linear time: a catalog is read from a file that anything may
 * have written, so no lookup here walks an array, and a circle of parents must not hang us. */
#include "model/catalog.h"

#include "base/error.h"
#include "base/yaml.h"
#include "model/names.h"
#include <string.h>

#define TEXT_MAX   4095 /* bytes of a description */
#define PATH_BYTES 4095 /* PATH_MAX without its NUL */
#define WORD_MAX   64
#define LAST_TIME  (G_GINT64_CONSTANT(253402300800) * G_USEC_PER_SEC) /* the year 10000 */

typedef struct {
    const Catalog *catalog;
    GHashTable *disks;     /* disk id → Disk */
    GHashTable *layers;    /* layer id → Disk; ids are unique over all disks */
    GHashTable *parents;   /* layer id → parent id or NULL */
    GHashTable *paths;     /* path → layer id */
    GHashTable *targets;   /* of attached disks */
    GHashTable *actives;   /* layer id: the active ones */
    GHashTable *snapshots; /* snapshot id → parent id or NULL */
    GHashTable *names;     /* of listed snapshots */
    GHashTable *owners;    /* layer id → snapshot id */
    GError **error;
} Check;

static bool wrong(const Check *check, const char *format, ...) G_GNUC_PRINTF(2, 3);
static bool wrong(const Check *check, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    error_set(check->error, ERR_INVALID, "the catalog is damaged: %s", what);
    return false;
}

/* ---- single values ---- */

/* A word that may stand in a file name, a plan and a YAML key without escapes. */
static bool is_word(const char *text)
{
    size_t length = text ? strlen(text) : 0;

    if (length == 0 || length > WORD_MAX || *text == '-')
        return false;
    for (const char *c = text; *c; c++)
        if (!g_ascii_isalnum(*c) && *c != '-' && *c != '_')
            return false;
    return true;
}

static bool is_utf8(const char *text)
{
    return text && g_utf8_validate(text, -1, NULL);
}

static bool has_control(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return true;
    return false;
}

static bool check_any_path(const Check *check, const char *path, const char *what)
{
    if (!path || path[0] != '/')
        return wrong(check, "the path of %s is not absolute", what);
    if (strlen(path) > PATH_BYTES)
        return wrong(check, "the path of %s is longer than %d bytes", what, PATH_BYTES);
    if (has_control(path))
        return wrong(check, "the path of %s has control characters", what);
    return true;
}

static bool check_path(const Check *check, const Layer *layer)
{
    g_autofree char *what = g_strdup_printf("layer %s", layer->id);

    if (!check_any_path(check, layer->path, what))
        return false;
    if (!g_hash_table_insert(check->paths, layer->path, layer->id))
        return wrong(check, "two layers have the path %s", layer->path);
    return true;
}

static bool is_uuid(const char *text)
{
    for (const char *c = text; c && *c; c++)
        if (g_ascii_isupper(*c))
            return false;
    return text && g_uuid_string_is_valid(text);
}

/* ---- trees ---- */

/* Do the parents in @parents (id → parent or NULL) exist, and does every path end? Each id is
 * walked over once: an id met again on the same walk closes a circle, one met on an earlier walk is
 * known to be good. */
static bool check_tree(const Check *check, GHashTable *parents, const char *what)
{
    g_autoptr(GHashTable) walks = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    void *start;
    guint walk = 0;

    g_hash_table_iter_init(&iter, parents);
    while (g_hash_table_iter_next(&iter, &start, NULL)) {
        const char *id = start;

        for (walk++; id && !g_hash_table_contains(walks, id);) {
            const char *parent = g_hash_table_lookup(parents, id);

            if (parent && !g_hash_table_contains(parents, parent))
                return wrong(check, "the parent %s of %s %s does not exist", parent, what, id);
            g_hash_table_insert(walks, (void *)id, GUINT_TO_POINTER(walk));
            id = parent;
        }
        if (id && GPOINTER_TO_UINT(g_hash_table_lookup(walks, id)) == walk)
            return wrong(check, "the parents of %s %s run in a circle", what, id);
    }
    return true;
}

/* ---- disks ---- */

static bool check_layer(const Check *check, Disk *disk, const Layer *layer)
{
    if (!is_word(layer->id))
        return wrong(check, "a layer of disk %s has no legal id", disk->id);
    if (!g_hash_table_insert(check->layers, layer->id, disk))
        return wrong(check, "two layers have the id %s", layer->id);
    g_hash_table_insert(check->parents, layer->id, layer->parent);
    if (g_strcmp0(layer->format, "qcow2") && g_strcmp0(layer->format, "raw"))
        return wrong(check, "the format of layer %s is neither qcow2 nor raw", layer->id);
    if (layer->parent && strcmp(layer->format, "qcow2"))
        return wrong(check, "layer %s has a parent but is not qcow2", layer->id);
    if (layer->capacity > G_MAXINT64)
        return wrong(check, "the capacity of layer %s is impossible", layer->id);
    return check_path(check, layer);
}

static bool is_below_active(const Check *check, const Disk *disk, const char *layer)
{
    return !layer ||
           (g_hash_table_lookup(check->layers, layer) == disk && !g_str_equal(layer, disk->active));
}

static bool check_disk(const Check *check, Disk *disk)
{
    if (!is_word(disk->id))
        return wrong(check, "a disk has no legal id");
    if (!g_hash_table_insert(check->disks, disk->id, disk))
        return wrong(check, "two disks have the id %s", disk->id);
    if (!is_word(disk->target))
        return wrong(check, "disk %s has no legal target", disk->id);
    if (disk->attached && !g_hash_table_add(check->targets, disk->target))
        return wrong(check, "two attached disks have the target %s", disk->target);
    for (guint i = 0; i < disk->layers->len; i++)
        if (!check_layer(check, disk, disk->layers->pdata[i]))
            return false;
    if (!disk->active || g_hash_table_lookup(check->layers, disk->active) != disk)
        return wrong(check, "disk %s does not have its active layer", disk->id);
    if (!is_below_active(check, disk, disk->pivot))
        return wrong(check, "the pivot of disk %s is to no layer below its active one", disk->id);
    if (!is_below_active(check, disk, disk->committed))
        return wrong(check, "disk %s is committed into no layer below its active one", disk->id);
    g_hash_table_add(check->actives, disk->active);
    return true;
}

/* After all disks are known: parents stay within their disk, nothing depends on an active layer. */
static bool check_parents(const Check *check, const Disk *disk)
{
    for (guint i = 0; i < disk->layers->len; i++) {
        const Layer *layer = disk->layers->pdata[i];

        if (!layer->parent)
            continue;
        if (g_hash_table_lookup(check->layers, layer->parent) != disk)
            return wrong(check, "the parent %s of layer %s is no layer of disk %s", layer->parent,
                         layer->id, disk->id);
        if (g_hash_table_contains(check->actives, layer->parent))
            return wrong(check, "layer %s depends on the active layer %s", layer->id,
                         layer->parent);
    }
    return true;
}

static bool check_disks(const Check *check)
{
    const GPtrArray *disks = check->catalog->disks;

    for (guint i = 0; i < disks->len; i++)
        if (!check_disk(check, disks->pdata[i]))
            return false;
    for (guint i = 0; i < disks->len; i++)
        if (!check_parents(check, disks->pdata[i]))
            return false;
    return check_tree(check, check->parents, "layer");
}

/* ---- snapshots ---- */

static bool check_entry(const Check *check, const Snapshot *snapshot, const SnapshotDisk *entry,
                        GHashTable *seen)
{
    const Disk *disk = entry->disk ? g_hash_table_lookup(check->disks, entry->disk) : NULL;

    if (!disk)
        return wrong(check, "snapshot %s names a disk that does not exist", snapshot->id);
    if (!g_hash_table_add(seen, entry->disk))
        return wrong(check, "snapshot %s names disk %s twice", snapshot->id, disk->id);
    if (!entry->layer || g_hash_table_lookup(check->layers, entry->layer) != disk)
        return wrong(check, "snapshot %s names a layer that disk %s does not have", snapshot->id,
                     disk->id);
    if (g_hash_table_contains(check->actives, entry->layer))
        return wrong(check, "snapshot %s names the active layer %s", snapshot->id, entry->layer);
    if (!g_hash_table_insert(check->owners, entry->layer, snapshot->id))
        return wrong(check, "two snapshots own layer %s", entry->layer);
    return true;
}

static bool check_entries(const Check *check, const Snapshot *snapshot)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < snapshot->disks->len; i++)
        if (!check_entry(check, snapshot, snapshot->disks->pdata[i], seen))
            return false;
    return true;
}

static bool check_texts(const Check *check, const Snapshot *snapshot)
{
    static const char *const consistencies[] = {"off", "paused", "crash", "frozen", NULL};

    if (!snapshot->consistency || !g_strv_contains(consistencies, snapshot->consistency))
        return wrong(check, "the consistency of snapshot %s is no known word", snapshot->id);
    if (!is_utf8(snapshot->description) || !is_utf8(snapshot->warnings) ||
        !is_utf8(snapshot->error))
        return wrong(check, "a text of snapshot %s is not UTF-8", snapshot->id);
    if (strlen(snapshot->description) > TEXT_MAX)
        return wrong(check, "the description of snapshot %s is longer than %d bytes", snapshot->id,
                     TEXT_MAX);
    return true;
}

static bool check_name(const Check *check, const Snapshot *snapshot)
{
    g_autoptr(GError) why = NULL;

    if (!name_check(snapshot->name ? snapshot->name : "", &why))
        return wrong(check, "snapshot %s: %s", snapshot->id, why->message);
    if (snapshot->whole && snapshot->state != SNAPSHOT_REMOVING)
        return wrong(check, "snapshot %s is not being removed", snapshot->id);
    if (!snapshot->hidden && !g_hash_table_add(check->names, snapshot->name))
        return wrong(check, "two snapshots have the name %s", snapshot->name);
    return true;
}

/* @versioned: that of a vTPM. */
static bool check_sidecar(const Check *check, const Snapshot *snapshot, const Sidecar *sidecar,
                          bool versioned)
{
    static const char *const versions[] = {"1.2", "2.0", NULL};
    const char *sum = sidecar ? sidecar->sha256 : NULL;

    if (!sidecar)
        return true;
    if (!sum || strlen(sum) != 64 || strspn(sum, "0123456789abcdef") != 64)
        return wrong(check, "a sidecar of snapshot %s has no SHA-256 checksum", snapshot->id);
    if (sidecar->size > G_MAXINT64)
        return wrong(check, "the size of a sidecar of snapshot %s is impossible", snapshot->id);
    if (versioned ? !sidecar->version || !g_strv_contains(versions, sidecar->version)
                  : sidecar->version || sidecar->secret)
        return wrong(check, "a sidecar of snapshot %s has no version that fits it", snapshot->id);
    if (sidecar->secret && !is_uuid(sidecar->secret))
        return wrong(check, "the secret of snapshot %s's vTPM is no uuid in lower case",
                     snapshot->id);
    return true;
}

static bool check_snapshot(const Check *check, const Snapshot *snapshot)
{
    if (!is_word(snapshot->id))
        return wrong(check, "a snapshot has no legal id");
    if (!g_hash_table_insert(check->snapshots, snapshot->id, snapshot->parent))
        return wrong(check, "two snapshots have the id %s", snapshot->id);
    if ((unsigned)snapshot->state > SNAPSHOT_FAILED)
        return wrong(check, "snapshot %s has no known state", snapshot->id);
    if (snapshot->created < 0 || snapshot->created >= LAST_TIME)
        return wrong(check, "the time of snapshot %s is impossible", snapshot->id);
    if (snapshot->mode & ~(mode_t)07777)
        return wrong(check, "the mode of snapshot %s is no set of permission bits", snapshot->id);
    return check_name(check, snapshot) && check_texts(check, snapshot) &&
           check_sidecar(check, snapshot, snapshot->vars, false) &&
           check_sidecar(check, snapshot, snapshot->tpm, true) && check_entries(check, snapshot);
}

/* A layer that nobody owns and nobody writes is one that would never be freed. */
static bool check_owned(const Check *check, const Disk *disk)
{
    for (guint i = 0; i < disk->layers->len; i++) {
        const Layer *layer = disk->layers->pdata[i];

        if (strcmp(layer->id, disk->active) && !g_hash_table_contains(check->owners, layer->id))
            return wrong(check, "layer %s of disk %s belongs to no snapshot", layer->id, disk->id);
    }
    return true;
}

static bool check_snapshots(const Check *check)
{
    const Catalog *catalog = check->catalog;

    for (guint i = 0; i < catalog->snapshots->len; i++)
        if (!check_snapshot(check, catalog->snapshots->pdata[i]))
            return false;
    for (guint i = 0; i < catalog->disks->len; i++)
        if (!check_owned(check, catalog->disks->pdata[i]))
            return false;
    if (catalog->current && !g_hash_table_contains(check->snapshots, catalog->current))
        return wrong(check, "the current snapshot %s does not exist", catalog->current);
    return check_tree(check, check->snapshots, "snapshot");
}

/* ---- the rest ---- */

static bool check_policy(const Check *check)
{
    GHashTableIter iter;
    void *key, *value;

    g_hash_table_iter_init(&iter, check->catalog->policy);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autoptr(GError) why = NULL;
        g_autofree char *normal = catalog_policy_check(key, value, &why);

        if (!normal)
            return wrong(check, "%s", why->message);
        if (strcmp(normal, value))
            return wrong(check, "the value of policy %s must be written %s", (char *)key, normal);
    }
    return true;
}

/* What a newer program wrote must be such that it can be written back. */
static bool check_unknown(const Check *check)
{
    GHashTableIter iter;
    void *key, *value;

    g_hash_table_iter_init(&iter, check->catalog->unknown);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autoptr(YamlNode) node = yaml_parse(value, strlen(value), NULL);

        if (!is_utf8(key) || !node)
            return wrong(check, "the unknown key %s is not YAML", (char *)key);
    }
    return true;
}

static bool check_identity(const Check *check)
{
    const Catalog *catalog = check->catalog;

    if (!is_uuid(catalog->uuid))
        return wrong(check, "the domain's uuid is not one in lower case");
    /* With control characters, too: libvirt has such names, and this one is for people only. */
    if (!is_utf8(catalog->name) || !*catalog->name)
        return wrong(check, "the domain's name is empty or not UTF-8");
    if (catalog->generation > G_MAXINT64)
        return wrong(check, "the generation is impossible");
    return !catalog->vars || check_any_path(check, catalog->vars, "the UEFI variables");
}

static GHashTable *new_table(void)
{
    return g_hash_table_new(g_str_hash, g_str_equal);
}

bool catalog_check(const Catalog *catalog, GError **error)
{
    g_autoptr(GHashTable) disks = new_table();
    g_autoptr(GHashTable) layers = new_table();
    g_autoptr(GHashTable) parents = new_table();
    g_autoptr(GHashTable) paths = new_table();
    g_autoptr(GHashTable) targets = new_table();
    g_autoptr(GHashTable) actives = new_table();
    g_autoptr(GHashTable) snapshots = new_table();
    g_autoptr(GHashTable) names = new_table();
    g_autoptr(GHashTable) owners = new_table();
    const Check check = {
        .catalog = catalog,
        .disks = disks,
        .layers = layers,
        .parents = parents,
        .paths = paths,
        .targets = targets,
        .actives = actives,
        .snapshots = snapshots,
        .names = names,
        .owners = owners,
        .error = error,
    };

    return check_identity(&check) && check_disks(&check) && check_snapshots(&check) &&
           check_policy(&check) && check_unknown(&check);
}
