/* Record steps on the catalog.
 *
 * A step is applied to a copy; the copy replaces the catalog only if it passes catalog_check. So a
 * step that does not fit, whatever it says, changes nothing, and no record step can leave a catalog
 * that the loader would refuse. */
#include "plan/apply.h"

#include <string.h>

#include "base/error.h"
#include "base/str.h"

typedef bool (*Apply)(const Step *step, Catalog *catalog, GError **error);

bool step_misfit(const Step *step, GError **error, const char *what)
{
    const char *snapshot = step_get(step, "snapshot");

    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "%s of %s does not fit the catalog: %s",
                step_kind_name(step->kind), snapshot ? snapshot : "the VM", what);
    return false;
}

Snapshot *step_snapshot(const Step *step, const Catalog *catalog, GError **error)
{
    Snapshot *snapshot = catalog_snapshot(catalog, step_get(step, "snapshot"));

    if (!snapshot)
        step_misfit(step, error, "there is no such snapshot");
    return snapshot;
}

Disk *step_disk(const Step *step, const Catalog *catalog, const char *id, GError **error)
{
    Disk *disk = catalog_disk(catalog, id);

    if (!disk)
        step_misfit(step, error, "there is no such disk");
    return disk;
}

static bool is_attached(const Step *step)
{
    const char *attached = step_get(step, "attached");

    return attached && g_str_equal(attached, "yes");
}

/* --- frozen guests --- */

static bool apply_freezing(const Step *step, Catalog *catalog, GError **error)
{
    catalog->thaw_owed = true;
    return true;
}

static bool apply_thawed(const Step *step, Catalog *catalog, GError **error)
{
    catalog->thaw_owed = false;
    return true;
}

/* --- the VM's own variable store --- */

static bool apply_nvram(const Step *step, Catalog *catalog, GError **error)
{
    str_set(&catalog->vars, step_get(step, "path"));
    return true;
}

/* --- create --- */

static uint64_t sub_number(const Step *step, const char *prefix, const char *disk)
{
    const char *text = step_get_sub(step, prefix, disk);

    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

static bool has_all(const Step *step, const char *disk, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (!step_get_sub(step, *prefixes, disk))
            return false;
    return true;
}

/* A disk seen for the first time: its present file is its first layer. */
static Disk *add_disk(const Step *step, Catalog *catalog, const char *id)
{
    Disk *disk = disk_new(id, step_get_sub(step, "disk", id));

    str_set(&disk->active, step_get_sub(step, "frozen", id));
    g_ptr_array_add(disk->layers, layer_new(disk->active, NULL, step_get_sub(step, "path", id),
                                            step_get_sub(step, "format", id), 0));
    g_ptr_array_add(catalog->disks, disk);
    return disk;
}

static bool create_disk(const Step *step, Catalog *catalog, Snapshot *snapshot, const char *id,
                        GError **error)
{
    static const char *const needed[] = {"frozen", "path",        "format",          "capacity",
                                         "active", "active_path", "active_capacity", NULL};
    Disk *disk = catalog_disk(catalog, id);
    Layer *frozen;

    if (!has_all(step, id, needed))
        return step_misfit(step, error, "a disk lacks a parameter");
    if (!disk)
        disk = add_disk(step, catalog, id);
    frozen = disk_active(disk);
    if (!frozen || !g_str_equal(frozen->id, step_get_sub(step, "frozen", id)) ||
        !g_str_equal(frozen->path, step_get_sub(step, "path", id)) ||
        !g_str_equal(frozen->format, step_get_sub(step, "format", id)))
        return step_misfit(step, error, "the frozen layer is not the active one of its disk");
    str_set(&disk->target, step_get_sub(step, "disk", id));
    disk->attached = true;
    frozen->capacity = sub_number(step, "capacity", id);
    g_ptr_array_add(snapshot->disks, snapshot_disk_new(id, frozen->id));
    g_ptr_array_add(disk->layers, layer_new(step_get_sub(step, "active", id), frozen->id,
                                            step_get_sub(step, "active_path", id), "qcow2",
                                            sub_number(step, "active_capacity", id)));
    str_set(&disk->active, step_get_sub(step, "active", id));
    return true;
}

static Snapshot *new_snapshot(const Step *step)
{
    Snapshot *snapshot = snapshot_new(step_get(step, "snapshot"), step_get(step, "name"));

    str_set(&snapshot->parent, step_get(step, "parent"));
    snapshot->state = SNAPSHOT_READY;
    snapshot->hidden = false;
    snapshot->created = (int64_t)step_get_number(step, "created");
    str_set(&snapshot->consistency, step_get(step, "consistency"));
    str_set(&snapshot->description, step_get(step, "description"));
    snapshot->uid = (uid_t)step_get_number(step, "uid");
    snapshot->mode = (mode_t)g_ascii_strtoull(step_get(step, "mode"), NULL, 8);
    return snapshot;
}

static Sidecar *new_sidecar(const Step *step, const char *size, const char *sha256,
                            const char *version, const char *secret)
{
    return step_get(step, sha256)
               ? sidecar_new(step_get_number(step, size), step_get(step, sha256), version, secret)
               : NULL;
}

/* One whose sidecars are not whole can never be reverted to, and says so. */
static void create_sidecars(const Step *step, Snapshot *snapshot)
{
    if (step_get(step, "error")) {
        snapshot->state = SNAPSHOT_FAILED;
        str_set(&snapshot->error, step_get(step, "error"));
        return;
    }
    snapshot->vars = new_sidecar(step, "vars_size", "vars_sha256", NULL, NULL);
    snapshot->tpm = new_sidecar(step, "tpm_size", "tpm_sha256", step_get(step, "tpm_version"),
                                step_get(step, "tpm_secret"));
}

static bool apply_create(const Step *step, Catalog *catalog, GError **error)
{
    g_autoptr(GPtrArray) disks = step_suffixes(step, "disk");
    Snapshot *snapshot;

    if (catalog_snapshot(catalog, step_get(step, "snapshot")))
        return step_misfit(step, error, "there is such a snapshot already");
    if (catalog_named(catalog, step_get(step, "name")))
        return step_misfit(step, error, "its name is taken");
    if (g_strcmp0(catalog->current, step_get(step, "parent")) != 0)
        return step_misfit(step, error, "its parent is not the current snapshot");
    snapshot = new_snapshot(step);
    g_ptr_array_add(catalog->snapshots, snapshot);
    for (unsigned i = 0; i < disks->len; i++)
        if (!create_disk(step, catalog, snapshot, disks->pdata[i], error))
            return false;
    create_sidecars(step, snapshot);
    if (step_get(step, "nvram"))
        str_set(&catalog->vars, step_get(step, "nvram"));
    str_set(&catalog->current, snapshot->id);
    return true;
}

/* --- revert --- */

static bool revert_disk(const Step *step, Catalog *catalog, const Snapshot *snapshot,
                        const char *id, GError **error)
{
    static const char *const needed[] = {"active_path", "active_capacity", NULL};
    Disk *disk = step_disk(step, catalog, id, error);
    SnapshotDisk *entry = snapshot_disk(snapshot, id);
    Layer *old;

    if (!disk)
        return false;
    old = disk_active(disk);
    if (!entry || !old || !has_all(step, id, needed))
        return step_misfit(step, error, "the snapshot has no layer on a disk");
    if (g_str_equal(old->id, step_get_sub(step, "active", id)))
        return step_misfit(step, error, "it is reverted already");
    g_ptr_array_remove(disk->layers, old);
    g_ptr_array_add(disk->layers, layer_new(step_get_sub(step, "active", id), entry->layer,
                                            step_get_sub(step, "active_path", id), "qcow2",
                                            sub_number(step, "active_capacity", id)));
    str_set(&disk->active, step_get_sub(step, "active", id));
    return true;
}

static bool apply_revert(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);
    g_autoptr(GPtrArray) disks = step_suffixes(step, "active");

    if (!snapshot)
        return false;
    if (snapshot->state != SNAPSHOT_READY || snapshot->hidden)
        return step_misfit(step, error, "it is not ready");
    for (unsigned i = 0; i < disks->len; i++)
        if (!revert_disk(step, catalog, snapshot, disks->pdata[i], error))
            return false;
    if (step_get(step, "nvram"))
        str_set(&catalog->vars, step_get(step, "nvram"));
    str_set(&catalog->current, snapshot->id);
    return true;
}

/* --- labels --- */

static bool apply_rename(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);
    Snapshot *taken = catalog_named(catalog, step_get(step, "name"));

    if (!snapshot)
        return false;
    if (taken && taken != snapshot)
        return step_misfit(step, error, "its new name is taken");
    str_set(&snapshot->name, step_get(step, "name"));
    return true;
}

static bool apply_describe(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);

    if (snapshot)
        str_set(&snapshot->description, step_get(step, "description"));
    return snapshot != NULL;
}

static bool apply_mode(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);

    if (snapshot)
        snapshot->mode = (mode_t)g_ascii_strtoull(step_get(step, "mode"), NULL, 8);
    return snapshot != NULL;
}

static bool apply_policy(const Step *step, Catalog *catalog, GError **error)
{
    const char *key = step_get(step, "key");
    const char *given = step_get(step, "value");
    bool drops = catalog_policy_default(key) && catalog_policy_drops(given);

    if (drops) {
        g_hash_table_remove(catalog->policy, key);
        return true;
    }
    char *value = catalog_policy_check(key, given, error);
    if (value)
        g_hash_table_replace(catalog->policy, g_strdup(key), value);
    return value != NULL;
}

/* One sentence a line; a sentence that stands there already is not repeated, so that doing it twice
 * is doing it once. */
static bool apply_warning(const Step *step, Catalog *catalog, GError **error)
{
    Snapshot *snapshot = step_snapshot(step, catalog, error);
    g_auto(GStrv) lines = NULL;
    char *text;

    if (!snapshot)
        return false;
    lines = g_strsplit(snapshot->warnings ? snapshot->warnings : "", "\n", -1);
    if (g_strv_contains((const char *const *)lines, step_get(step, "text")))
        return true;
    if (lines[0] && *lines[0])
        text = g_strconcat(snapshot->warnings, "\n", step_get(step, "text"), NULL);
    else
        text = g_strdup(step_get(step, "text"));
    g_free(snapshot->warnings);
    snapshot->warnings = text;
    return true;
}

static bool apply_attached(const Step *step, Catalog *catalog, GError **error)
{
    Disk *disk = step_disk(step, catalog, step_get(step, "disk"), error);

    if (!disk)
        return false;
    str_set(&disk->target, step_get(step, "target"));
    disk->attached = is_attached(step);
    return true;
}

/* --- all --- */

static const Apply applies[N_STEP_KINDS] = {
    [STEP_RECORD_FREEZING] = apply_freezing, [STEP_RECORD_THAWED] = apply_thawed,
    [STEP_RECORD_CREATE] = apply_create,     [STEP_RECORD_REVERT] = apply_revert,
    [STEP_RECORD_RENAME] = apply_rename,     [STEP_RECORD_DESCRIBE] = apply_describe,
    [STEP_RECORD_MODE] = apply_mode,         [STEP_RECORD_POLICY] = apply_policy,
    [STEP_RECORD_REMOVING] = apply_removing, [STEP_RECORD_HIDDEN] = apply_hidden,
    [STEP_RECORD_MERGED] = apply_merged,     [STEP_RECORD_DROPPED] = apply_dropped,
    [STEP_RECORD_REMOVED] = apply_removed,   [STEP_RECORD_FAILED] = apply_failed,
    [STEP_RECORD_WARNING] = apply_warning,   [STEP_RECORD_ATTACHED] = apply_attached,
    [STEP_RECORD_FOUND] = apply_found,       [STEP_RECORD_LAYERS] = apply_layers,
    [STEP_RECORD_TREE] = apply_tree,         [STEP_RECORD_NVRAM] = apply_nvram,
    [STEP_RECORD_PIVOT] = apply_mark,        [STEP_RECORD_COMMITTED] = apply_mark,
};

static bool is_needed(const Catalog *catalog, const Disk *disk)
{
    if (disk->layers->len > 1 || !disk->attached)
        return true;
    for (unsigned i = 0; i < catalog->snapshots->len; i++)
        if (snapshot_disk(catalog->snapshots->pdata[i], disk->id))
            return true;
    return false;
}

static void forget_disks(Catalog *catalog)
{
    for (unsigned i = catalog->disks->len; i > 0; i--)
        if (!is_needed(catalog, catalog->disks->pdata[i - 1]))
            g_ptr_array_remove_index(catalog->disks, i - 1);
}

static void forget_mark(const Disk *disk, char **mark, bool same)
{
    if (!same || !disk_layer(disk, *mark))
        str_set(mark, NULL);
}

/* They were about what the VM writes, and about a layer that may have gone with the merge. */
static void forget_marks(const Catalog *before, Catalog *catalog)
{
    for (unsigned i = 0; i < catalog->disks->len; i++) {
        Disk *disk = catalog->disks->pdata[i];
        const Disk *old = catalog_disk(before, disk->id);

        bool same = old && g_strcmp0(old->active, disk->active) == 0;
        forget_mark(disk, &disk->pivot, same);
        forget_mark(disk, &disk->committed, same);
    }
}

bool step_apply(const Step *step, Catalog *catalog, GError **error)
{
    g_autoptr(Catalog) copy = NULL;
    Catalog old;

    if (!applies[step->kind])
        return true;
    if (!step_check(step, error))
        return false;
    copy = catalog_copy(catalog);
    if (!applies[step->kind](step, copy, error))
        return false;
    forget_disks(copy);
    forget_marks(catalog, copy);
    if (!catalog_check(copy, error)) {
        g_prefix_error(error, "%s would spoil the catalog: ", step_kind_name(step->kind));
        return false;
    }
    old = *catalog;
    *catalog = *copy;
    *copy = old;
    return true;
}
