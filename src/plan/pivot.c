/* Pivots that nobody has seen the end of. Up to its pivot a guest writes to the top of a live
 * merge, and from then on to the base; both files are there until the merge is recorded. While QEMU
 * lives, libvirt says which it is. If libvirt was lost in that moment and QEMU ended before it was
 * back, only the files are left, and they do not tell which is newer, unless they are the same. */
#include "plan/planner.h"

#include "plan/checks.h"
#include "plan/matching.h"

/* A definition that names the base says that QEMU went on there: who stores it knows. While a job
 * is on the running disk, QEMU has not. */
static bool is_in_doubt(const Catalog *catalog, const Observation *observation, const Disk *disk)
{
    bool merged = false;
    const DomainDisk *source =
        match_in_domain(catalog, observation_domain(observation), disk, &merged);

    if (!disk->pivot || !source || merged)
        return false;
    return !observation->live ||
           !(source->mirror_path || g_hash_table_contains(observation->jobs, source->target));
}

char *plan_doubt(const Catalog *catalog, const Observation *observation, const Disk *disk)
{
    const Layer *into = disk_layer(disk, disk->pivot);
    const char *top = disk_active(disk)->path;

    if (!is_in_doubt(catalog, observation, disk))
        return NULL;
    return g_strdup_printf(
        "whether QEMU went on from %s instead of %s (disk %s) was not seen, so the guest may have "
        "written last to either; with the VM off, rmdir of snapshot %s compares them, and goes on "
        "if they are the same; else look which is newer (qemu-img compare, qemu-nbd --read-only): "
        "echo adopt > drift goes on with %s, and naming the other one as its disk (virsh edit, "
        "type %s) with that",
        into->path, top, disk->target, catalog_owner(catalog, disk->id, into->id)->name, top,
        into->format);
}

bool plan_check_pivots(const Catalog *catalog, const Observation *observation, GError **error)
{
    for (unsigned i = 0; i < catalog->disks->len; i++) {
        g_autofree char *doubt = plan_doubt(catalog, observation, catalog->disks->pdata[i]);

        if (doubt)
            return refuse(error, ERR_DRIFT, "VM %s must not be changed yet: %s",
                          observation_name(observation), doubt);
    }
    return true;
}
