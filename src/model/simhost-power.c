/* Power: what a start checks and takes, what a stop leaves, and the guest. */
#include "model/simhost-priv.h"

bool sim_uses(const SimDomain *domain, const char *path)
{
    if (domain->live && g_strcmp0(domain->live->nvram, path) == 0)
        return true;
    for (unsigned i = 0; domain->live && i < domain->live->disks->len; i++)
        if (sim_links_find(((SimDisk *)domain->live->disks->pdata[i])->links, path) >= 0)
            return true;
    return false;
}

SimDomain *sim_opener(SimHost *host, const char *path)
{
    for (unsigned i = 0; i < host->domains->len; i++) {
        SimDomain *domain = host->domains->pdata[i];

        if (sim_uses(domain, path) || g_hash_table_contains(domain->aside, path))
            return domain;
    }
    return NULL;
}

/* Does a running VM use @path in a way that @written here cannot stand beside? Readers stand each
 * other. */
static const SimDomain *conflicting(SimHost *host, const char *path, bool written)
{
    for (unsigned i = 0; i < host->domains->len; i++) {
        const SimDomain *domain = host->domains->pdata[i];

        for (unsigned j = 0; domain->live && j < domain->live->disks->len; j++) {
            const SimDisk *disk = domain->live->disks->pdata[j];
            int at = sim_links_find(disk->links, path);

            if (at >= 0 && !disk->shareable && (written || (at == 0 && !disk->readonly)))
                return domain;
        }
    }
    return NULL;
}

static bool check_link(SimHost *host, const SimDomain *domain, const SimLink *link, bool written,
                       GError **error)
{
    const SimImage *image = sim_image(host, link->path);
    const SimDomain *other = conflicting(host, link->path, written);

    if (!image)
        return sim_error(error, ERR_IO,
                         "The VM %s cannot start: Cannot access storage file \"%s\": No such file "
                         "or directory.",
                         domain->name, link->path);
    if (g_strcmp0(link->format, "qcow2") == 0 && g_strcmp0(image->format, "qcow2") != 0)
        return sim_error(error, ERR_IO, "The VM %s cannot start: \"%s\" is not in qcow2 format.",
                         domain->name, link->path);
    if (other || g_hash_table_contains(host->locks, link->path))
        return sim_error(error, ERR_BUSY,
                         "The VM %s cannot start: Failed to get the lock of \"%s\", which %s has.",
                         domain->name, link->path, other ? other->name : "another program");
    return true;
}

static bool check_chain(SimHost *host, const SimDomain *domain, const SimDisk *disk,
                        const GPtrArray *chain, GError **error)
{
    for (unsigned i = 0; i < chain->len; i++) {
        bool written = i == 0 && !disk->readonly && !disk->shareable;

        if (!check_link(host, domain, chain->pdata[i], written, error))
            return false;
    }
    return true;
}

static SimDisk *disk_started(const SimDisk *disk, GPtrArray *chain)
{
    SimDisk *live = g_memdup2(disk, sizeof *disk);

    live->target = g_strdup(disk->target);
    live->device = g_strdup(disk->device);
    live->type = g_strdup(disk->type);
    live->links = chain;
    live->ended = true;
    return live;
}

/* Only images of files are simulated: drives without a medium and disks of other types start as
 * they are. */
static bool has_image(const SimDisk *disk)
{
    return g_strcmp0(disk->type, "file") == 0 && ((SimLink *)disk->links->pdata[0])->path;
}

static SimDefinition *definition_started(SimHost *host, const SimDomain *domain, GError **error)
{
    SimDefinition *live = sim_definition_new();

    live->home = g_strdup(domain->inactive->home);
    live->generation = domain->inactive->generation;
    live->nvram = sim_nvram_started(domain);
    for (unsigned i = 0; i < domain->inactive->disks->len; i++) {
        const SimDisk *disk = domain->inactive->disks->pdata[i];
        g_autoptr(GPtrArray) chain = sim_disk_chain(host, disk);

        if (has_image(disk) && !check_chain(host, domain, disk, chain, error)) {
            sim_definition_free(live);
            return NULL;
        }
        g_ptr_array_add(live->disks, disk_started(disk, g_steal_pointer(&chain)));
    }
    return live;
}

bool sim_start(SimHost *host, SimDomain *domain, GError **error)
{
    if (sim_is_on(domain))
        return sim_error(error, ERR_BUSY, "The VM %s cannot start because it runs already.",
                         domain->name);
    if (!sim_boot_check(host, domain, error))
        return false;
    domain->live = definition_started(host, domain, error);
    if (!domain->live)
        return false;
    domain->state = DOMAIN_RUNNING;
    domain->starts++;
    if (!domain->managed_save)
        sim_boot(host, domain);
    domain->managed_save = false;
    sim_guest_writes(host, domain);
    sim_notify(host, SIM_DOMAIN, domain->uuid, NULL);
    return true;
}

/* Jobs end with their QEMU: the base keeps what was copied, and nobody reports it. A transient
 * domain ends altogether. */
void sim_stop(SimHost *host, SimDomain *domain)
{
    g_autofree char *uuid = g_strdup(domain->uuid);

    g_hash_table_remove_all(domain->jobs);
    g_hash_table_remove_all(domain->aside);
    g_clear_pointer(&domain->live, sim_definition_free);
    domain->state = DOMAIN_OFF;
    sim_agent_reset(domain);
    if (!domain->inactive)
        g_ptr_array_remove(host->domains, domain);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
}

bool simhost_start(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return sim_start(host, sim_known_domain(host, uuid), NULL);
}

void simhost_stop(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    if (sim_is_on(domain))
        sim_stop(host, domain);
}

DomainState simhost_state(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    const SimDomain *domain = sim_domain(host, uuid, NULL);

    return domain ? domain->state : DOMAIN_OFF;
}

void simhost_set_deaf(SimHost *host, const char *uuid, bool deaf)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    sim_known_domain(host, uuid)->deaf = deaf;
}

bool simhost_power_on(SimHost *host, const char *uuid, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);

    return domain && sim_start(host, domain, error);
}

static SimDomain *running_domain(SimHost *host, const char *uuid, GError **error)
{
    SimDomain *domain = sim_domain(host, uuid, error);

    if (domain && !sim_is_on(domain)) {
        sim_error(error, ERR_BUSY, "The VM %s is not running; start it first.", domain->name);
        return NULL;
    }
    return domain;
}

/* A paused guest hears nothing until it goes on. */
bool simhost_shutdown(SimHost *host, const char *uuid, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = running_domain(host, uuid, error);

    if (domain && !domain->deaf && domain->state == DOMAIN_RUNNING)
        sim_stop(host, domain);
    return domain != NULL;
}

bool simhost_destroy(SimHost *host, const char *uuid, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = running_domain(host, uuid, error);

    if (domain)
        sim_stop(host, domain);
    return domain != NULL;
}

bool simhost_pause(SimHost *host, const char *uuid, bool paused, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = running_domain(host, uuid, error);

    if (!domain)
        return false;
    if (!paused && domain->state == DOMAIN_RUNNING)
        return sim_error(error, ERR_BUSY, "The VM %s cannot go on because it runs already.",
                         domain->name);
    domain->state = paused ? DOMAIN_PAUSED : DOMAIN_RUNNING;
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    return true;
}

static const SimDisk *current_disk(SimHost *host, const char *uuid, const char *target)
{
    const SimDomain *domain = sim_known_domain(host, uuid);

    return sim_disk(domain->live ? domain->live : domain->inactive, target);
}

static SimImage *active_image(SimHost *host, const SimDisk *disk)
{
    return sim_image(host, ((SimLink *)disk->links->pdata[0])->path);
}

/* The guest's writes always find room: a guest that stops for want of it is another story. */
static void guest_write(SimHost *host, SimImage *image, unsigned block, uint64_t value)
{
    uint64_t left = host->free_bytes;

    host->free_bytes = G_MAXUINT64;
    sim_image_put(host, image, block, value, NULL);
    host->free_bytes = left;
}

void simhost_write(SimHost *host, const char *uuid, const char *target, unsigned block,
                   uint64_t value)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimImage *image = active_image(host, current_disk(host, uuid, target));

    g_assert(block < sim_blocks(image->capacity));
    guest_write(host, image, block, value);
    sim_job_dirty(sim_known_domain(host, uuid), target, block);
}

static bool is_written(const SimDisk *disk)
{
    return has_image(disk) && g_strcmp0(disk->device, "disk") == 0 && !disk->readonly;
}

void sim_guest_writes(SimHost *host, SimDomain *domain)
{
    for (unsigned i = 0; domain->live && !domain->frozen && i < domain->live->disks->len; i++) {
        const SimDisk *disk = domain->live->disks->pdata[i];
        SimImage *image = is_written(disk) ? active_image(host, disk) : NULL;

        for (unsigned n = 0; image && n < host->guest_writes; n++) {
            uint64_t value = ++host->next_value;
            unsigned block = (unsigned)(value * 7 % sim_blocks(image->capacity));

            guest_write(host, image, block, value);
            sim_job_dirty(domain, disk->target, block);
        }
    }
}

GArray *simhost_read(SimHost *host, const char *uuid, const char *target)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autoptr(GPtrArray) chain = sim_disk_chain(host, current_disk(host, uuid, target));

    return sim_links_content(host, chain);
}

void simhost_grow(SimHost *host, const char *uuid, const char *target, uint64_t capacity)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimImage *image = active_image(host, current_disk(host, uuid, target));

    image->capacity = MAX(image->capacity, capacity);
}
