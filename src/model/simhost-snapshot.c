/* The live snapshot: every disk checked, then all switched. As libvirt with REUSE_EXT it believes
 * the caller about the overlay (QEMU puts it on the present chain whatever its header says); what
 * the header says is kept as misuse if it is wrong. */
#include "model/simhost-priv.h"

static bool is_listed(const GPtrArray *switches, const GPtrArray *excluded, const char *target)
{
    for (unsigned i = 0; i < switches->len; i++)
        if (g_str_equal(((DiskSwitch *)switches->pdata[i])->target, target))
            return true;
    for (unsigned i = 0; excluded && i < excluded->len; i++)
        if (g_str_equal((char *)excluded->pdata[i], target))
            return true;
    return false;
}

/* libvirt takes what is not listed into the snapshot, under a name of its own. */
static bool check_all_listed(SimHost *host, const SimDomain *domain, const GPtrArray *switches,
                             const GPtrArray *excluded, GError **error)
{
    for (unsigned i = 0; i < domain->live->disks->len; i++) {
        const SimDisk *disk = domain->live->disks->pdata[i];
        bool included = g_str_equal(disk->device, "disk") && !disk->readonly && !disk->snapshot_no;

        if (!included || is_listed(switches, excluded, disk->target))
            continue;
        sim_misuse(host, "The snapshot of %s does not list disk %s.", domain->name, disk->target);
        return sim_error(error, ERR_INVALID,
                         "The snapshot of %s fails because disk %s is not listed and has no file.",
                         domain->name, disk->target);
    }
    return true;
}

static void check_overlay(SimHost *host, const SimDisk *disk, const SimImage *overlay)
{
    const SimLink *below = disk->links->pdata[0];
    const SimImage *image = sim_image(host, below->path);

    if (g_strcmp0(overlay->backing, below->path) != 0 ||
        g_strcmp0(overlay->backing_format, below->format) != 0)
        sim_misuse(host, "\"%s\" is put on \"%s\" and its header says \"%s\" (%s).", overlay->path,
                   below->path, overlay->backing, overlay->backing_format);
    else if (overlay->capacity != image->capacity)
        sim_misuse(host, "\"%s\" has another size than \"%s\" that it is put on.", overlay->path,
                   image->path);
    else if (g_hash_table_size(overlay->blocks) > 0)
        sim_misuse(host, "\"%s\" is put on \"%s\" and is not empty.", overlay->path, image->path);
}

static void switch_lost(SimDomain *domain, const DiskSwitch *change)
{
    SimDisk *live = sim_disk(domain->live, change->target);

    live->lost = true;
    g_ptr_array_insert(live->links, 0, sim_link_new(change->path, change->format));
}

static bool die(SimHost *host, SimDomain *domain, const GPtrArray *switches, GError **error)
{
    for (unsigned i = 0; i < switches->len; i++) {
        const DiskSwitch *change = switches->pdata[i];

        if (host->death == SIM_DIES_AFTER_SWITCH)
            switch_lost(domain, change);
        else
            g_hash_table_add(domain->aside, g_strdup(change->path));
    }
    return sim_die(host, error);
}

static bool check_switch(SimHost *host, const SimDomain *domain, const DiskSwitch *change,
                         GError **error)
{
    const SimDisk *disk = sim_disk(domain->live, change->target);
    const SimImage *overlay = sim_image(host, change->path);

    if (!disk)
        return sim_error(error, ERR_NOT_FOUND,
                         "The snapshot of %s fails because it has no disk %s.", domain->name,
                         change->target);
    if (disk->lost)
        sim_misuse(host, "libvirt is asked to snapshot disk %s of %s, which it lost track of.",
                   change->target, domain->name);
    if (g_hash_table_contains(domain->jobs, change->target))
        return sim_error(error, ERR_BUSY,
                         "The snapshot of %s fails because disk %s is already in active block job.",
                         domain->name, change->target);
    if (!overlay || g_strcmp0(overlay->format, change->format) != 0)
        return sim_error(error, ERR_IO,
                         "The snapshot of %s fails because there is no %s file \"%s\" for disk %s.",
                         domain->name, change->format, change->path, change->target);
    if (sim_opener(host, change->path) || g_hash_table_contains(host->locks, change->path))
        return sim_error(error, ERR_BUSY, "The snapshot of %s fails because \"%s\" is in use.",
                         domain->name, change->path);
    check_overlay(host, disk, overlay);
    return true;
}

/* The persistent definition follows if it is on the same file; its stated chain grows by that file.
 */
static void switch_disk(SimHost *host, SimDomain *domain, const DiskSwitch *change)
{
    SimDisk *live = sim_disk(domain->live, change->target);
    SimDisk *inactive = sim_disk(domain->inactive, change->target);
    const char *path = ((SimLink *)live->links->pdata[0])->path;

    if (inactive && !host->forgetful && sim_links_find(inactive->links, path) == 0)
        g_ptr_array_insert(inactive->links, 0, sim_link_new(change->path, change->format));
    g_ptr_array_insert(live->links, 0, sim_link_new(change->path, change->format));
}

bool simhost_snapshot(SimHost *host, const char *uuid, const GPtrArray *switches,
                      const GPtrArray *excluded, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);

    if (!domain)
        return false;
    if (!sim_is_on(domain))
        return sim_error(error, ERR_BUSY,
                         "The live snapshot of %s fails because the VM is not running.",
                         domain->name);
    if (!check_all_listed(host, domain, switches, excluded, error))
        return false;
    for (unsigned i = 0; i < switches->len; i++)
        if (!check_switch(host, domain, switches->pdata[i], error))
            return false;
    if (host->death == SIM_DIES_BEFORE_SWITCH || host->death == SIM_DIES_AFTER_SWITCH)
        return die(host, domain, switches, error);
    for (unsigned i = 0; i < switches->len; i++)
        switch_disk(host, domain, switches->pdata[i]);
    sim_agent_snapshot(domain);
    sim_guest_writes(host, domain);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    return true;
}
