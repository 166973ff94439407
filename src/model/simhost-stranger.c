/* What somebody else does to a VM behind our back: snapshots, commits, pulls, edits. */
#include "model/simhost-priv.h"

#include "base/str.h"

static SimDomain *begin(SimHost *host, const char *uuid)
{
    g_mutex_lock(&host->mutex);
    return sim_known_domain(host, uuid);
}

static void end(SimHost *host, const char *uuid)
{
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    g_mutex_unlock(&host->mutex);
}

/* Do @change to the disk in the persistent definition, and in the live one. */
typedef void (*Change)(SimHost *host, SimDisk *disk, const void *data);

static void change_disk(SimHost *host, SimDomain *domain, const char *target, Change change,
                        const void *data)
{
    if (domain->live)
        change(host, sim_disk(domain->live, target), data);
    change(host, sim_disk(domain->inactive, target), data);
}

static GPtrArray *chain_of(SimHost *host, SimDomain *domain, const char *target)
{
    return sim_disk_chain(host, sim_disk(domain->live ? domain->live : domain->inactive, target));
}

static const SimLink *link_at(const GPtrArray *chain, unsigned at)
{
    g_assert(at < chain->len);
    return chain->pdata[at];
}

/* ---- snapshots ---- */

static void put_overlay(SimHost *host, SimDisk *disk, const void *path)
{
    g_ptr_array_insert(disk->links, 0, sim_link_new(path, "qcow2"));
}

void simhost_stranger_snapshot(SimHost *host, const char *uuid, const char *name,
                               const char *const *targets)
{
    SimDomain *domain = begin(host, uuid);

    for (; *targets; targets++) {
        g_autoptr(GPtrArray) chain = chain_of(host, domain, *targets);
        const SimLink *below = link_at(chain, 0);
        g_autofree char *path = g_strconcat(below->path, ".", name, NULL);

        sim_image_add(host, path, "qcow2", below->path, below->format,
                      sim_image(host, below->path)->capacity);
        change_disk(host, domain, *targets, put_overlay, path);
    }
    end(host, uuid);
}

/* ---- commits and pulls ---- */

typedef struct {
    const char *top, *base; /* links from top to just above base go; base NULL: all to the end */
} Range;

static void cut_range(SimHost *host, SimDisk *disk, const void *data)
{
    const Range *range = data;
    int from = sim_links_find(disk->links, range->top);
    int to = range->base ? sim_links_find(disk->links, range->base) : (int)disk->links->len;

    if (from == 0 && to < 0)
        g_ptr_array_insert(disk->links, 0,
                           sim_link_new(range->base, sim_image(host, range->base)->format));
    if (from == 0 && to < 0)
        g_ptr_array_set_size(disk->links, 1);
    else if (from >= 0)
        g_ptr_array_remove_range(disk->links, (unsigned)from,
                                 (unsigned)(to >= 0 ? to : (int)disk->links->len) - (unsigned)from);
}

/* What is seen through the first @count of @links is written into @image. */
static void write_down(SimHost *host, SimImage *image, const GPtrArray *links, unsigned count)
{
    g_autoptr(GArray) blocks = sim_links_blocks(host, links, count);

    for (unsigned i = 0; i < blocks->len; i++) {
        unsigned block = g_array_index(blocks, unsigned, i);

        g_assert(sim_image_put(host, image, block, sim_links_value(host, links, block), NULL));
    }
}

static void point_at(SimImage *image, const SimLink *below)
{
    str_set(&image->backing, below ? below->path : NULL);
    str_set(&image->backing_format, below ? below->format : NULL);
}

void simhost_stranger_commit(SimHost *host, const char *uuid, const char *target, unsigned from,
                             unsigned into)
{
    SimDomain *domain = begin(host, uuid);
    g_autoptr(GPtrArray) chain = chain_of(host, domain, target);
    g_autoptr(GPtrArray) links = sim_links_copy(chain);
    const SimLink *base = link_at(chain, into);
    const Range range = {link_at(chain, from)->path, base->path};

    if (from > 0)
        g_ptr_array_remove_range(links, 0, from);
    write_down(host, sim_image(host, base->path), links, into - from);
    if (from > 0)
        point_at(sim_image(host, link_at(chain, from - 1)->path), base);
    change_disk(host, domain, target, cut_range, &range);
    end(host, uuid);
}

void simhost_stranger_pull(SimHost *host, const char *uuid, const char *target, unsigned base)
{
    SimDomain *domain = begin(host, uuid);
    g_autoptr(GPtrArray) chain = chain_of(host, domain, target);
    const SimLink *below = base ? link_at(chain, base) : NULL;
    SimImage *image = sim_image(host, link_at(chain, 0)->path);

    write_down(host, image, chain, base ? base : chain->len);
    point_at(image, below);
    if (chain->len > 1) {
        const Range range = {link_at(chain, 1)->path, below ? below->path : NULL};

        change_disk(host, domain, target, cut_range, &range);
    }
    end(host, uuid);
}

/* ---- by hand ---- */

void simhost_stranger_edit(SimHost *host, const char *uuid, const char *target, const char *path,
                           const char *format)
{
    SimDomain *domain = begin(host, uuid);
    SimDisk *disk = sim_disk(domain->inactive, target);

    g_assert(!domain->live);
    g_ptr_array_set_size(disk->links, 0);
    g_ptr_array_add(disk->links, sim_link_new(path, format));
    disk->ended = false;
    end(host, uuid);
}

void simhost_stranger_unlink(SimHost *host, const char *path)
{
    g_mutex_lock(&host->mutex);
    g_hash_table_remove(host->images, path);
    g_mutex_unlock(&host->mutex);
}
