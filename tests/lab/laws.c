/* The laws of design 5, checked on a lab. */
#include "firmware.h"

static bool same_content(const GArray *a, const GArray *b)
{
    return a && b && a->len == b->len && memcmp(a->data, b->data, a->len * sizeof(guint64)) == 0;
}

static unsigned index_of(const char *target)
{
    return target[2] - 'a';
}

static const GArray *model_of(Lab *lab, const char *snapshot, const char *target)
{
    const GPtrArray *contents = g_hash_table_lookup(lab->contents, snapshot);

    return contents ? contents->pdata[index_of(target)] : NULL;
}

/* ---- contents ---- */

static char *check_snapshot_contents(Lab *lab, const Catalog *catalog, const Snapshot *snapshot)
{
    for (guint i = 0; snapshot->state == SNAPSHOT_READY && i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(catalog, entry->disk);
        const Layer *layer = disk_layer(disk, entry->layer);
        g_autoptr(GArray) content = simhost_image_content(lab->host, layer->path);

        if (!same_content(content, model_of(lab, snapshot->id, disk->target)))
            return g_strdup_printf("%s does not hold on %s what it was taken of (%s)",
                                   snapshot->name, disk->target, layer->path);
    }
    return NULL;
}

static char *check_contents(Lab *lab, const Catalog *catalog)
{
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        char *why = check_snapshot_contents(lab, catalog, snapshot);

        if (why)
            return why;
        if (snapshot->state == SNAPSHOT_READY && snapshot->disks->len != lab->disks &&
            !g_str_has_prefix(snapshot->name, "found-"))
            return g_strdup_printf("%s is ready and has lost a disk", snapshot->name);
    }
    for (unsigned i = 0; i < lab->disks; i++) {
        char target[] = {'v', 'd', (char)('a' + i), 0};
        g_autoptr(GArray) content = simhost_read(lab->host, LAB_UUID, target);

        if (!same_content(content, lab->active->pdata[i]))
            return g_strdup_printf("the guest does not read on %s what it wrote", target);
    }
    return NULL;
}

/* ---- chains and tree ---- */

static char *check_chain(const Observation *seen, const Disk *disk, const Domain *domain)
{
    const DomainDisk *there = domain_disk(domain, disk->target);
    const Layer *layer = disk_active(disk);

    if (!there)
        return g_strdup_printf("%s is gone from the definition", disk->target);
    g_autoptr(GPtrArray) chain = observation_chain(seen, there->path);
    for (guint i = 0; i < chain->len || layer; i++) {
        if (!layer || i >= chain->len || strcmp(layer->path, chain->pdata[i]) != 0)
            return g_strdup_printf("the chain of %s differs from the catalog at place %u",
                                   disk->target, i);
        layer = disk_layer(disk, layer->parent);
    }
    return NULL;
}

/* Going down from a snapshot's layer, the next owner is the snapshot's parent; from the active
 * layer it is current. */
static char *check_owner_below(const Catalog *catalog, const Disk *disk, const Layer *layer,
                               const char *expected)
{
    const Snapshot *owner = layer->parent ? catalog_owner(catalog, disk->id, layer->parent) : NULL;

    if (g_strcmp0(owner ? owner->id : NULL, expected) == 0)
        return NULL;
    return g_strdup_printf("the layer below %s belongs to %s, the tree says %s", layer->path,
                           owner ? owner->name : "none", expected ? expected : "none");
}

static char *check_tree(Lab *lab, const Catalog *catalog)
{
    char *why = NULL;

    if (lab->crooked)
        return NULL;
    for (guint i = 0; !why && i < catalog->disks->len; i++)
        why = check_owner_below(catalog, catalog->disks->pdata[i],
                                disk_active(catalog->disks->pdata[i]), catalog->current);
    for (guint i = 0; !why && i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        for (guint j = 0; !why && j < snapshot->disks->len; j++) {
            const SnapshotDisk *entry = snapshot->disks->pdata[j];
            const Disk *disk = catalog_disk(catalog, entry->disk);

            why =
                check_owner_below(catalog, disk, disk_layer(disk, entry->layer), snapshot->parent);
        }
    }
    return why;
}

static char *check_chains(const Catalog *catalog, const Observation *seen)
{
    char *why = NULL;

    for (guint i = 0; !why && i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        why = check_chain(seen, disk, seen->inactive);
        if (!why && seen->live)
            why = check_chain(seen, disk, seen->live);
    }
    if (!why)
        why = plan_drift(catalog, seen);
    return why;
}

/* ---- what is left over ---- */

/* A disk of which the catalog knows nothing is its own file only. */
static bool is_plain_disk(const Observation *seen, const char *path)
{
    return seen->inactive && domain_disk_of_path(seen->inactive, path);
}

static char *check_layers_exist(Lab *lab, const Disk *disk)
{
    for (guint i = 0; i < disk->layers->len; i++) {
        const Layer *layer = disk->layers->pdata[i];

        if (!simhost_image_exists(lab->host, layer->path))
            return g_strdup_printf("the catalog has %s, which is not there", layer->path);
    }
    return NULL;
}

static char *check_files(Lab *lab, const Catalog *catalog, const Observation *seen)
{
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    char *why = NULL;

    for (guint i = 0; !why && i < catalog->disks->len; i++)
        why = check_layers_exist(lab, catalog->disks->pdata[i]);
    for (guint i = 0; !why && i < images->len; i++)
        if (!catalog_disk_of_path(catalog, images->pdata[i], NULL) &&
            !is_plain_disk(seen, images->pdata[i]))
            why = g_strdup_printf("%s is left over", (char *)images->pdata[i]);
    return why;
}

/* A guest that stays frozen by us is somebody's business. */
static char *check_guest(Lab *lab, const Catalog *catalog)
{
    if (simhost_is_frozen(lab->host, LAB_UUID) && !catalog->thaw_owed)
        return g_strdup("the guest is frozen, and nobody is to thaw it");
    if (simhost_state(lab->host, LAB_UUID) == DOMAIN_PAUSED && !lab->paused)
        return g_strdup("the guest is suspended, and nobody is to resume it");
    return NULL;
}

/* The same text is read as the same catalog: it is parsed again only when it has changed. */
static const Catalog *stored_catalog(Lab *lab, const char *directory, GError **error)
{
    g_autofree char *path = g_build_filename(directory, "catalog.yaml", NULL);
    gsize length = 0;
    g_autofree char *text = lab->memory->ops->read(lab->memory, path, &length, NULL);

    if (text && g_strcmp0(text, lab->stored_text) == 0)
        return lab->stored;
    g_clear_pointer(&lab->stored, catalog_free);
    g_clear_pointer(&lab->stored_text, g_free);
    lab->stored = store_load_catalog(lab->memory, LAB_HOME, LAB_UUID, error);
    lab->stored_text = lab->stored ? g_steal_pointer(&text) : NULL;
    return lab->stored;
}

static char *check_rest(Lab *lab, const Catalog *catalog)
{
    g_autofree char *directory = store_directory(LAB_HOME, LAB_UUID);
    g_autofree char *journal = g_build_filename(directory, "journal.yaml", NULL);
    g_autoptr(GError) error = NULL;

    if (simhost_misuse(lab->host))
        return g_strdup_printf("misuse: %s", simhost_misuse(lab->host));
    if (lab->memory->ops->exists(lab->memory, journal))
        return g_strdup("a journal is left open");
    const Catalog *stored = stored_catalog(lab, directory, &error);
    if (error || (stored && !catalog_equal(stored, catalog)) ||
        (!stored && catalog->generation > 0))
        return g_strdup_printf("the catalog in the store is another one: %s",
                               error ? error->message : "it differs");
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->hidden && snapshot->state == SNAPSHOT_READY &&
            catalog_dependants(catalog, snapshot) < 2)
            return g_strdup_printf("%s is hidden and not needed", snapshot->name);
    }
    return NULL;
}

char *lab_broken_law(Lab *lab)
{
    g_autoptr(Observation) seen = vm_observe(lab->vm, NULL);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(GError) error = NULL;
    char *why = NULL;

    if (!seen)
        return g_strdup("the VM cannot be observed");
    if (!catalog_check(catalog, &error))
        return g_strdup(error->message);
    why = check_rest(lab, catalog);
    if (!why)
        why = check_guest(lab, catalog);
    if (!why)
        why = lab_firmware_broken_law(lab, catalog);
    if (!why)
        why = check_files(lab, catalog, seen);
    if (!why)
        why = check_chains(catalog, seen);
    if (!why)
        why = check_tree(lab, catalog);
    if (!why)
        why = check_contents(lab, catalog);
    return why;
}

/* ---- after a break ---- */

static const Snapshot *unknown_snapshot(Lab *lab, const Catalog *catalog)
{
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (!g_hash_table_contains(lab->contents, snapshot->id))
            return snapshot;
    }
    return NULL;
}

static bool guest_reads(Lab *lab, const GPtrArray *contents)
{
    for (unsigned i = 0; contents && i < lab->disks; i++) {
        char target[] = {'v', 'd', (char)('a' + i), 0};
        g_autoptr(GArray) content = simhost_read(lab->host, LAB_UUID, target);

        if (!same_content(content, contents->pdata[i]))
            return false;
    }
    return contents != NULL;
}

static GPtrArray *copy_of(const GPtrArray *contents)
{
    GPtrArray *copy = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint i = 0; i < contents->len; i++)
        g_ptr_array_add(copy, g_array_copy(contents->pdata[i]));
    return copy;
}

char *lab_false_claim(Lab *lab, const Snapshot *snapshot)
{
    if (g_str_equal(snapshot->consistency, "frozen") && !simhost_was_frozen(lab->host, LAB_UUID))
        return g_strdup_printf("%s says that the guest was frozen, and it was not", snapshot->name);
    return NULL;
}

char *lab_follow(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Snapshot *made = unknown_snapshot(lab, catalog);
    const GPtrArray *reverted;

    if (made) {
        char *false_claim = lab_false_claim(lab, made);

        if (false_claim)
            return false_claim;
        g_hash_table_insert(lab->contents, g_strdup(made->id), copy_of(lab->active));
        lab_firmware_remember(lab, made->id);
    }
    if (guest_reads(lab, lab->active))
        return NULL;
    reverted = catalog->current ? g_hash_table_lookup(lab->contents, catalog->current) : NULL;
    if (!guest_reads(lab, reverted))
        return g_strdup("the guest reads neither what it wrote nor what current holds");
    GPtrArray *active = copy_of(reverted);
    g_ptr_array_unref(lab->active);
    lab->active = active;
    lab_firmware_revert(lab, catalog->current);
    return NULL;
}

/* ---- for people ---- */

static int place_of(const Catalog *catalog, const char *id)
{
    for (guint i = 0; id && i < catalog->snapshots->len; i++)
        if (strcmp(((Snapshot *)catalog->snapshots->pdata[i])->id, id) == 0)
            return (int)i;
    return -1;
}

char *lab_shape(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        g_string_append_printf(
            text, "%d%s%s ", place_of(catalog, snapshot->parent), snapshot->hidden ? "h" : "",
            snapshot->state == SNAPSHOT_READY ? "" : snapshot_state_name(snapshot->state));
    }
    g_string_append_printf(text, "at %d", place_of(catalog, catalog->current));
    return g_string_free(text, FALSE);
}

char *lab_describe(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    g_autofree char *yaml = catalog_to_yaml(catalog);
    GString *text = g_string_new(yaml);

    for (guint i = 0; i < images->len; i++)
        g_string_append_printf(text, "# image %s\n", (char *)images->pdata[i]);
    return g_string_free(text, FALSE);
}
