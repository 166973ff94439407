/* Layers that somebody else uses (rule 11): never merged into, merged away or unlinked. */
#include "plan/checks.h"

static bool check_layer(const Observation *observation, const Snapshot *snapshot, const Disk *disk,
                        const Layer *layer, GError **error)
{
    const char *who = observation_user(observation, layer->path);

    if (!who)
        return true;
    return refuse(error, ERR_BUSY,
                  "snapshot %s of VM %s cannot be removed: %s (disk %s) is also used by %s, which "
                  "would be ruined; detach or remove that one first",
                  snapshot->name, observation_name(observation), layer->path, disk->target, who);
}

bool check_disk_unused(const Observation *observation, const Snapshot *snapshot, const Disk *disk,
                       GError **error)
{
    const SnapshotDisk *entry = snapshot_disk(snapshot, disk->id);
    g_autoptr(GPtrArray) dependants = disk_dependants(disk, entry->layer);

    if (!check_layer(observation, snapshot, disk, disk_layer(disk, entry->layer), error))
        return false;
    for (unsigned i = 0; i < dependants->len; i++)
        if (!check_layer(observation, snapshot, disk, dependants->pdata[i], error))
            return false;
    return true;
}

bool check_unused(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot,
                  GError **error)
{
    for (unsigned i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];

        if (!check_disk_unused(observation, snapshot, catalog_disk(catalog, entry->disk), error))
            return false;
    }
    return true;
}

Step *kept_warning(const char *id, const char *path, const char *who)
{
    Step *step = step_new(STEP_RECORD_WARNING);
    g_autofree char *text =
        g_strdup_printf("a revert left the file %s where it is: it is also used by %s", path, who);

    step_set(step, "snapshot", id);
    step_set(step, "text", text);
    return step;
}
