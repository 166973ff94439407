/* Block commits of running VMs. A job is in QEMU: it goes on when libvirtd is gone and ends with
 * the VM. From the first block on, the base is a mixture, also after an abort. It is carried on one
 * portion per look, so that tests decide how far it is. */
#include "model/simhost-priv.h"

#include "base/str.h"

void sim_job_free(SimJob *job)
{
    g_free(job->top);
    g_free(job->base);
    g_array_unref(job->blocks);
    g_array_unref(job->added);
    g_free(job);
}

void sim_job_dirty(SimDomain *domain, const char *target, unsigned block)
{
    SimJob *job = g_hash_table_lookup(domain->jobs, target);

    if (job && job->active)
        g_array_append_val(job->blocks, block);
}

static void notify_job(SimHost *host, const SimDomain *domain, const char *target)
{
    sim_notify(host, SIM_BLOCK_JOB, domain->uuid, target);
}

/* What comes from the links between top and base. */
static bool copy_block(SimHost *host, const SimDisk *disk, const SimJob *job, unsigned block)
{
    int at = sim_links_find(disk->links, job->top);
    g_autoptr(GPtrArray) links = sim_links_copy(disk->links);
    SimImage *base = sim_image(host, job->base);

    if (at > 0)
        g_ptr_array_remove_range(links, 0, (unsigned)at);
    if (!g_hash_table_contains(base->blocks, GUINT_TO_POINTER(block)))
        g_array_append_val(job->added, block);
    return sim_image_put(host, base, block, sim_links_value(host, links, block), NULL);
}

static void tear(SimHost *host, const SimJob *job)
{
    SimImage *base = sim_image(host, job->base);

    base->torn = true;
    for (unsigned i = 0; i < job->added->len; i++)
        g_hash_table_remove(base->blocks, GUINT_TO_POINTER(g_array_index(job->added, unsigned, i)));
}

/* The child now names the base, in its header, and the chains lose what was between. */
static void forget_links(SimDisk *disk, const char *top, const char *base)
{
    int from = disk ? sim_links_find(disk->links, top) : -1;
    int to = disk ? sim_links_find(disk->links, base) : -1;

    if (from >= 0)
        g_ptr_array_remove_range(disk->links, (unsigned)from,
                                 to > from ? (unsigned)(to - from)
                                           : disk->links->len - (unsigned)from);
}

/* libvirtd dies before it takes note: its chain keeps the top, and so does QEMU, aside. */
static void keep_link(SimDomain *domain, SimDisk *live, const SimLink *child, const SimJob *job)
{
    const SimLink *top = live->links->pdata[sim_links_find(live->links, job->top)];

    live->kept = sim_link_new(top->path, top->format);
    live->kept_on = g_strdup(child->path);
    g_hash_table_insert(domain->aside, g_strdup(top->path), NULL);
}

static void finish_commit(SimHost *host, SimDomain *domain, const char *target, const SimJob *job)
{
    SimDisk *live = sim_disk(domain->live, target);
    const SimLink *child = live->links->pdata[sim_links_find(live->links, job->top) - 1];
    const SimLink *base = live->links->pdata[sim_links_find(live->links, job->base)];
    SimImage *image = sim_image(host, child->path);

    str_set(&image->backing, base->path);
    str_set(&image->backing_format, base->format);
    if (host->death == SIM_DIES_AFTER_COMMIT)
        keep_link(domain, live, child, job);
    forget_links(live, job->top, job->base);
    if (!host->forgetful && !host->torn)
        forget_links(sim_disk(domain->inactive, target), job->top, job->base);
    if (host->torn)
        tear(host, job);
}

/* Ends @target's job, which is freed. */
static void end_job(SimHost *host, SimDomain *domain, const char *target)
{
    g_autofree char *name = g_strdup(target);

    g_hash_table_remove(domain->jobs, name);
    notify_job(host, domain, name);
}

/* QEMU gives no reason when the base has no room: the job is just gone, and the VM runs on with its
 * overlay. */
static void advance(SimHost *host, SimDomain *domain, const char *target, SimJob *job,
                    unsigned portion)
{
    const SimDisk *disk = sim_disk(domain->live, target);

    if (portion == 0)
        return;
    for (; portion > 0 && job->done < job->blocks->len; portion--, job->done++)
        if (!copy_block(host, disk, job, g_array_index(job->blocks, unsigned, job->done))) {
            end_job(host, domain, target);
            return;
        }
    if (job->ready || job->done < job->blocks->len)
        return;
    if (job->active) {
        job->ready = true;
        notify_job(host, domain, target);
    } else {
        finish_commit(host, domain, target, job);
        end_job(host, domain, target);
    }
}

void sim_jobs_run(SimHost *host, SimDomain *domain)
{
    g_autoptr(GList) targets = g_hash_table_get_keys(domain->jobs);

    for (GList *item = targets; item; item = item->next)
        advance(host, domain, item->data, g_hash_table_lookup(domain->jobs, item->data), G_MAXUINT);
}

static SimDisk *job_disk(SimHost *host, const char *uuid, const char *target,
                         SimDomain **out_domain, GError **error)
{
    SimDomain *domain = sim_domain(host, uuid, error);
    SimDisk *disk = domain ? sim_disk(domain->live, target) : NULL;

    if (domain && !sim_is_on(domain))
        sim_error(error, ERR_BUSY, "Disk %s has no block job because the VM %s is not running.",
                  target, domain->name);
    else if (domain && !disk)
        sim_error(error, ERR_NOT_FOUND, "The VM %s has no disk %s.", domain->name, target);
    if (disk)
        *out_domain = domain;
    return disk;
}

static bool check_range(const SimDisk *disk, const char *top, const char *base, bool active,
                        GError **error)
{
    int from = sim_links_find(disk->links, top), to = sim_links_find(disk->links, base);

    if (from < 0 || to <= from)
        return sim_error(error, ERR_INVALID,
                         "\"%s\" cannot be committed into \"%s\": could not find image in chain "
                         "for disk %s.",
                         top, base, disk->target);
    if (active != (from == 0))
        return sim_error(error, ERR_INVALID,
                         "\"%s\" cannot be committed: it is%s the active layer of disk %s.", top,
                         active ? " not" : "", disk->target);
    return true;
}

/* QEMU takes the write lock of the base: another VM that reads it stands in the way. */
static bool check_base(SimHost *host, const SimDomain *domain, const char *base, GError **error)
{
    for (unsigned i = 0; i < host->domains->len; i++) {
        const SimDomain *other = host->domains->pdata[i];

        for (unsigned j = 0; other != domain && other->live && j < other->live->disks->len; j++)
            if (sim_links_find(((SimDisk *)other->live->disks->pdata[j])->links, base) >= 0)
                return sim_error(error, ERR_BUSY,
                                 "\"%s\" cannot be committed into: Failed to get \"write\" lock, "
                                 "which the VM %s has.",
                                 base, other->name);
    }
    return true;
}

static SimJob *job_new(SimHost *host, const SimDisk *disk, const char *top, const char *base,
                       bool active)
{
    int from = sim_links_find(disk->links, top), to = sim_links_find(disk->links, base);
    g_autoptr(GPtrArray) links = sim_links_copy(disk->links);
    SimImage *image = sim_image(host, base);
    SimJob *job = g_new0(SimJob, 1);

    if (from > 0)
        g_ptr_array_remove_range(links, 0, (unsigned)from);
    job->top = g_strdup(top);
    job->base = g_strdup(base);
    job->active = active;
    job->capacity = sim_image(host, top)->capacity;
    g_ptr_array_set_size(links, to - from + 1);
    job->blocks = sim_links_blocks(host, links, (unsigned)(to - from));
    job->added = g_array_new(FALSE, FALSE, sizeof(unsigned));
    image->capacity = MAX(image->capacity, job->capacity);
    sim_check_commit(host, links);
    host->commits++;
    return job;
}

bool simhost_job_start(SimHost *host, const char *uuid, const char *target, const char *top,
                       const char *base, bool active, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = NULL;
    const SimDisk *disk = job_disk(host, uuid, target, &domain, error);

    if (!disk)
        return false;
    if (g_hash_table_contains(domain->jobs, target))
        return sim_error(error, ERR_BUSY, "Disk %s of %s is already in active block job.", target,
                         domain->name);
    if (disk->lost)
        sim_misuse(host, "libvirt is asked for a job on disk %s of %s, which it lost track of.",
                   target, domain->name);
    if (disk->kept)
        sim_misuse(host, "A job on disk %s of %s is begun, in whose chain libvirt has \"%s\".",
                   target, domain->name, disk->kept->path);
    if (!check_range(disk, top, base, active, error) || !check_base(host, domain, base, error))
        return false;
    g_hash_table_insert(domain->jobs, g_strdup(target), job_new(host, disk, top, base, active));
    notify_job(host, domain, target);
    return true;
}

/* As QEMU counts: an active commit the blocks to copy, another one how far it has gone through the
 * disk. */
static void tell(const SimJob *job, SimJobLook *out_look)
{
    uint64_t last = job->done ? g_array_index(job->blocks, unsigned, job->done - 1) + 1 : 0;

    *out_look = (SimJobLook){
        .exists = true,
        .active = job->active,
        .ready = job->ready,
        .done = (job->active ? job->done : last) * SIM_BLOCK,
        .total = job->active ? (uint64_t)job->blocks->len * SIM_BLOCK : job->capacity,
    };
}

bool simhost_job_look(SimHost *host, const char *uuid, const char *target, SimJobLook *out_look,
                      GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);
    SimJob *job = domain ? g_hash_table_lookup(domain->jobs, target) : NULL;

    if (!domain)
        return false;
    if (job) {
        advance(host, domain, target, job, host->job_speed);
        job = g_hash_table_lookup(domain->jobs, target);
        if (!job && host->death == SIM_DIES_AFTER_COMMIT)
            return sim_die(host, error);
        if (!job && host->torn) {
            host->torn = false;
            sim_stop(host, domain);
            if (host->started_again)
                sim_start(host, domain, NULL);
        }
    }
    *out_look = (SimJobLook){0};
    if (job)
        tell(job, out_look);
    return true;
}

/* libvirt gets to know that QEMU left @top. */
static void note_pivot(const SimHost *host, SimDomain *domain, const char *target, const char *top)
{
    SimDisk *inactive = sim_disk(domain->inactive, target);
    const SimLink *base = sim_disk(domain->live, target)->links->pdata[0];

    if (host->forgetful || !inactive || sim_links_find(inactive->links, top) != 0)
        return;
    if (sim_links_find(inactive->links, base->path) > 0) {
        forget_links(inactive, top, base->path);
    } else {
        g_ptr_array_set_size(inactive->links, 0);
        g_ptr_array_add(inactive->links, sim_link_new(base->path, base->format));
        inactive->ended = false;
    }
}

void sim_jobs_note(SimHost *host, SimDomain *domain)
{
    for (unsigned i = 0; domain->live && i < domain->live->disks->len; i++) {
        SimDisk *disk = domain->live->disks->pdata[i];

        if (disk->pivoted)
            note_pivot(host, domain, disk->target, disk->pivoted);
        g_clear_pointer(&disk->pivoted, g_free);
    }
}

static bool dies_in_pivot(SimDeath death)
{
    return death == SIM_DIES_IN_PIVOT || death == SIM_DIES_AFTER_PIVOT;
}

/* The disk is now its base; QEMU closes the old file when libvirt, which may be dead, tells it to.
 */
static void pivot(SimHost *host, SimDomain *domain, const char *target, const SimJob *job)
{
    SimDisk *live = sim_disk(domain->live, target);

    forget_links(live, job->top, job->base);
    if (host->death == SIM_DIES_IN_PIVOT)
        str_set(&live->pivoted, job->top);
    else
        note_pivot(host, domain, target, job->top);
    if (dies_in_pivot(host->death))
        g_hash_table_add(domain->aside, g_strdup(job->top));
}

bool simhost_job_pivot(SimHost *host, const char *uuid, const char *target, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = NULL;
    const SimDisk *disk = job_disk(host, uuid, target, &domain, error);
    SimJob *job = disk ? g_hash_table_lookup(domain->jobs, target) : NULL;

    if (!disk)
        return false;
    if (!job || !job->active)
        return sim_error(error, job ? ERR_INVALID : ERR_NOT_FOUND,
                         "Disk %s of %s has no block job that can pivot.", target, domain->name);
    if (!job->ready)
        return sim_error(error, ERR_BUSY, "Disk %s of %s is not ready for pivot yet.", target,
                         domain->name);
    if (host->death == SIM_DIES_BEFORE_PIVOT)
        return sim_die(host, error);
    /* What the guest wrote since READY goes there first. */
    for (; job->done < job->blocks->len; job->done++)
        if (!copy_block(host, disk, job, g_array_index(job->blocks, unsigned, job->done)))
            return sim_error(error, ERR_NO_SPACE, "\"%s\" has no room left for the pivot of %s.",
                             job->base, target);
    pivot(host, domain, target, job);
    bool dies = dies_in_pivot(host->death);
    end_job(host, domain, target);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    return !dies || sim_die(host, error);
}

bool simhost_job_abort(SimHost *host, const char *uuid, const char *target, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);

    if (domain && g_hash_table_contains(domain->jobs, target))
        end_job(host, domain, target);
    return domain != NULL;
}

bool simhost_job_speed(SimHost *host, const char *uuid, const char *target, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = NULL;

    if (!job_disk(host, uuid, target, &domain, error))
        return false;
    if (!g_hash_table_contains(domain->jobs, target))
        return sim_error(error, ERR_NOT_FOUND, "Disk %s of %s has no block job.", target,
                         domain->name);
    return true;
}
