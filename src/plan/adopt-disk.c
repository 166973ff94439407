/* What became of one disk's layers.
 *
 * Formats and backing files are what the definition and the headers state, never probed. Whether
 * somebody wrote to a frozen file cannot be seen, so it is told from how the chain changed: where a
 * layer that was above others now stands on a lower one, those between were committed into that one
 * or pulled up, and the headers look the same. The lower one then counts as written. What the layer
 * above it shows is the same in both cases. */
#include "plan/adopt.h"

#include "base/str.h"

#define SECTOR 512

static void found_layer_free(FoundLayer *layer)
{
    g_free(layer->id);
    g_free(layer->path);
    g_free(layer->format);
    g_free(layer);
}

static void lost_layer_free(LostLayer *lost)
{
    g_free(lost->why);
    g_free(lost);
}

void found_disk_free(FoundDisk *found)
{
    if (!found)
        return;
    g_ptr_array_unref(found->layers);
    g_ptr_array_unref(found->lost);
    g_free(found);
}

static FoundLayer *layer_at(const FoundDisk *found, unsigned i)
{
    return i < found->layers->len ? found->layers->pdata[i] : NULL;
}

FoundLayer *found_disk_layer(const FoundDisk *found, const char *id)
{
    for (unsigned i = 0; id && i < found->layers->len; i++)
        if (g_str_equal(layer_at(found, i)->id, id))
            return layer_at(found, i);
    return NULL;
}

static Layer *layer_of_path(const Disk *disk, const char *path)
{
    for (unsigned i = 0; i < disk->layers->len; i++)
        if (g_strcmp0(((Layer *)disk->layers->pdata[i])->path, path) == 0)
            return disk->layers->pdata[i];
    return NULL;
}

static bool is_active(const Disk *disk, const Layer *layer)
{
    return layer && g_str_equal(layer->id, disk->active);
}

/* Was @below anywhere below @above? */
static bool was_below(const Disk *disk, const Layer *above, const Layer *below)
{
    while (above->parent && (above = disk_layer(disk, above->parent)))
        if (above == below)
            return true;
    return false;
}

/* --- the chain --- */

/* How many images of @chain are the disk's: down to the last that the catalog knows. What is below
 * never was ours. */
static unsigned count_ours(const Disk *disk, const GPtrArray *chain)
{
    unsigned count = 0;

    for (unsigned i = 0; i < chain->len; i++)
        if (layer_of_path(disk, chain->pdata[i]))
            count = i + 1;
    return count;
}

static uint64_t capacity_of(const Observation *observation, const char *path)
{
    return (observation_file(observation, path)->capacity + SECTOR - 1) / SECTOR * SECTOR;
}

static FoundLayer *add_layer(FoundDisk *found, const Catalog *catalog, const char *path,
                             const char *format, IdSource *ids)
{
    FoundLayer *layer = g_new0(FoundLayer, 1);
    const Snapshot *owner;

    layer->known = layer_of_path(found->disk, path);
    layer->id = layer->known ? g_strdup(layer->known->id) : ids_next(ids);
    layer->path = g_strdup(path);
    layer->format = g_strdup(format);
    owner = layer->known ? catalog_owner(catalog, found->disk->id, layer->id) : NULL;
    layer->owner = owner ? owner->id : NULL;
    g_ptr_array_add(found->layers, layer);
    return layer;
}

static bool check_chain_layer(const Catalog *catalog, const Observation *observation,
                              const FoundDisk *found, const char *path, const char *format,
                              GError **error)
{
    const Disk *other = catalog_disk_of_path(catalog, path, NULL);

    if (other && other != found->disk)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot adopt disk %s: it is on %s, which is a layer of disk %s",
                      observation_name(observation), found->source->target, path, other->target);
    if (g_strcmp0(format, "qcow2") == 0 || g_strcmp0(format, "raw") == 0)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s cannot adopt disk %s: %s is %s, and only qcow2 and raw can be kept",
                  observation_name(observation), found->source->target, path,
                  format ? format : "of no stated format");
}

static bool add_chain(FoundDisk *found, const Catalog *catalog, const Observation *observation,
                      IdSource *ids, GError **error)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, found->source->path);
    unsigned count = count_ours(found->disk, chain);
    const char *format = found->source->format;

    for (unsigned i = 0; i < count; i++) {
        const char *path = chain->pdata[i];

        if (!check_chain_layer(catalog, observation, found, path, format, error))
            return false;
        add_layer(found, catalog, path, format, ids)->in_chain = true;
        format = observation_file(observation, path)->backing_format;
    }
    for (unsigned i = 0; i + 1 < count; i++)
        layer_at(found, i)->parent = layer_at(found, i + 1)->id;
    return true;
}

/* --- what happened to it --- */

static void judge_link(FoundDisk *found, FoundLayer *above, FoundLayer *below)
{
    const Layer *known = above->known;
    bool same = known && g_strcmp0(known->parent, below ? below->id : NULL) == 0;
    bool skips = known && below && below->known && was_below(found->disk, known, below->known);
    FoundLayer *skipped;

    above->bent = known && !is_active(found->disk, known) && !same && !skips;
    if (below && below->known && !is_active(found->disk, below->known) && !same)
        below->written = true;
    skipped = skips && !same ? found_disk_layer(found, known->parent) : NULL;
    if (skipped)
        skipped->kept = true;
}

static void judge_layer(FoundDisk *found, FoundLayer *layer)
{
    const Layer *known = layer->known;
    bool active = layer == layer_at(found, 0);

    if (active) {
        layer->owner = NULL;
        layer->written = !known || !is_active(found->disk, known);
    } else if (known && g_strcmp0(known->format, layer->format) != 0) {
        layer->written = true;
    }
    layer->found = !active && !layer->owner;
}

static void judge(FoundDisk *found, const Observation *observation)
{
    for (unsigned i = 0; i < found->layers->len; i++) {
        FoundLayer *layer = layer_at(found, i);

        judge_layer(found, layer);
        layer->kept |= layer->in_chain;
        judge_link(found, layer, found_disk_layer(found, layer->parent));
    }
    for (unsigned i = 0; i < found->layers->len; i++) {
        FoundLayer *layer = layer_at(found, i);
        bool as_it_was = layer->known && !layer->written && !layer->found;

        layer->capacity =
            as_it_was ? layer->known->capacity : capacity_of(observation, layer->path);
    }
}

bool found_layer_is_whole(const FoundDisk *found, const FoundLayer *layer)
{
    bool kept = layer->kept;

    if (layer->written || layer->bent)
        return false;
    while ((layer = found_disk_layer(found, layer->parent))) {
        if (layer->bent || (layer->written && !kept))
            return false;
        kept |= layer->kept;
    }
    return true;
}

/* --- the others --- */

/* The layer that @layer stands on now, if that is one that others may stand on. */
static FoundLayer *stands_on(const FoundDisk *found, const Observation *observation,
                             const Layer *layer)
{
    const ImageFacts *facts = observation_file(observation, layer->path);

    for (unsigned i = 1; i < found->layers->len; i++) {
        FoundLayer *below = layer_at(found, i);

        if (g_strcmp0(facts->backing, below->path) == 0 &&
            g_strcmp0(facts->backing_format, below->format) == 0)
            return below;
    }
    return NULL;
}

static bool is_there(const Observation *observation, const Layer *layer)
{
    const ImageFacts *facts = observation_file(observation, layer->path);

    return facts && facts->exists && !facts->error;
}

/* Add @layer of the catalog if it is in no chain and what it stands on has been added. */
static bool add_other(FoundDisk *found, const Catalog *catalog, const Observation *observation,
                      const Layer *layer)
{
    const FoundLayer *below = NULL;

    if (found_disk_layer(found, layer->id) || !is_there(observation, layer))
        return false;
    if (layer->parent && !(below = stands_on(found, observation, layer)))
        return false;
    add_layer(found, catalog, layer->path, layer->format, NULL)->parent = below ? below->id : NULL;
    return true;
}

static void add_others(FoundDisk *found, const Catalog *catalog, const Observation *observation)
{
    bool more = true;

    while (more) {
        more = false;
        for (unsigned i = 0; i < found->disk->layers->len; i++)
            more |= add_other(found, catalog, observation, found->disk->layers->pdata[i]);
    }
}

/* --- what is lost --- */

static char *why_lost(const FoundDisk *found, const Observation *observation, const Layer *layer,
                      bool *out_gone)
{
    const ImageFacts *facts = observation_file(observation, layer->path);
    const FoundLayer *active = layer_at(found, 0);
    const char *target = found->source->target;

    *out_gone = true;
    if (!facts || !facts->exists)
        return g_strdup_printf("its file %s (disk %s) is gone", layer->path, target);
    if (active->known == layer)
        return g_strdup_printf("the VM writes to its file %s (disk %s)", layer->path, target);
    *out_gone = false;
    if (active->known && was_below(found->disk, layer, active->known))
        return g_strdup_printf("the VM writes to %s, which its file %s (disk %s) stands on",
                               active->path, layer->path, target);
    return g_strdup_printf("what its file %s (disk %s) stands on was changed", layer->path, target);
}

static LostLayer *lost_layer_new(const FoundDisk *found, const Observation *observation,
                                 const Layer *layer)
{
    LostLayer *lost = g_new0(LostLayer, 1);

    lost->layer = layer;
    lost->why = why_lost(found, observation, layer, &lost->gone);
    return lost;
}

static void find_lost(FoundDisk *found, const Observation *observation)
{
    for (unsigned i = 0; i < found->disk->layers->len; i++) {
        const Layer *layer = found->disk->layers->pdata[i];
        const FoundLayer *there = found_disk_layer(found, layer->id);
        bool taken = there && there == layer_at(found, 0) && !is_active(found->disk, layer);

        if (!there || taken)
            g_ptr_array_add(found->lost, lost_layer_new(found, observation, layer));
    }
}

static bool is_same(const FoundLayer *layer)
{
    const Layer *known = layer->known;

    return known && g_strcmp0(known->parent, layer->parent) == 0 &&
           g_str_equal(known->format, layer->format) && known->capacity == layer->capacity;
}

static bool has_changed(const FoundDisk *found)
{
    bool changed = found->lost->len > 0 || !is_active(found->disk, layer_at(found, 0)->known) ||
                   g_strcmp0(found->source->target, found->disk->target) != 0 ||
                   !found->disk->attached;

    for (unsigned i = 0; !changed && i < found->layers->len; i++)
        changed = !is_same(layer_at(found, i));
    return changed;
}

FoundDisk *found_disk_new(const Catalog *catalog, const Observation *observation, const Disk *disk,
                          const DomainDisk *source, IdSource *ids, GError **error)
{
    g_autoptr(FoundDisk) found = g_new0(FoundDisk, 1);

    found->disk = disk;
    found->source = source;
    found->layers = g_ptr_array_new_with_free_func((GDestroyNotify)found_layer_free);
    found->lost = g_ptr_array_new_with_free_func((GDestroyNotify)lost_layer_free);
    if (!check_disk(observation, source, error) ||
        !add_chain(found, catalog, observation, ids, error))
        return NULL;
    add_others(found, catalog, observation);
    judge(found, observation);
    find_lost(found, observation);
    found->changed = has_changed(found);
    return g_steal_pointer(&found);
}
