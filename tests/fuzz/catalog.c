/* The catalog: what is read passes every check, answers every question, and is written as it was.
 */
#include "fuzz.h"
#include "store/store.h"

#include <string.h>

static void ask_disk(const Catalog *catalog, const Disk *disk)
{
    for (guint i = 0; i < disk->layers->len; i++) {
        const Layer *layer = disk->layers->pdata[i];
        g_autoptr(GPtrArray) dependants = disk_dependants(disk, layer->id);
        const Snapshot *owner = catalog_owner(catalog, disk->id, layer->id);

        fuzz_check(disk_depth(disk, layer->id) <= disk->layers->len, "layer %s is too deep",
                   layer->id);
        fuzz_check(dependants->len < disk->layers->len, "too many depend on layer %s", layer->id);
        fuzz_check((owner == NULL) == !strcmp(disk->active, layer->id), "layer %s is nobody's",
                   layer->id);
    }
}

static void ask(const Catalog *catalog)
{
    g_autoptr(GError) error = NULL;

    fuzz_check(catalog_check(catalog, &error), "it was read, and is damaged: %s", error->message);
    for (guint i = 0; i < catalog->disks->len; i++)
        ask_disk(catalog, catalog->disks->pdata[i]);
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        catalog_dependants(catalog, snapshot);
        fuzz_check(snapshot->hidden || catalog_named(catalog, snapshot->name) == snapshot,
                   "snapshot %s is not found by its name", snapshot->id);
        fuzz_check(catalog_children(catalog, snapshot->id) < catalog->snapshots->len,
                   "snapshot %s has too many children", snapshot->id);
    }
}

static void round_trip(const Catalog *catalog)
{
    g_autofree char *text = catalog_to_yaml(catalog);
    g_autoptr(GError) error = NULL;
    g_autoptr(Catalog) again = catalog_from_yaml(text, strlen(text), &error);
    g_autoptr(Catalog) copy = catalog_copy(catalog);
    g_autofree char *same = NULL;

    fuzz_check(again, "what was written cannot be read: %s: %s", error->message, text);
    fuzz_check(catalog_equal(catalog, again) && catalog->generation == again->generation,
               "it came back as another: %s", text);
    fuzz_check(catalog_equal(catalog, copy), "its copy is another: %s", text);
    same = catalog_to_yaml(again);
    fuzz_check(!strcmp(text, same), "written twice it differs: %s%s", text, same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Catalog) catalog = catalog_from_yaml((const char *)data, size, &error);

    if (!catalog) {
        fuzz_error(error);
        return 0;
    }
    ask(catalog);
    round_trip(catalog);
    return 0;
}
