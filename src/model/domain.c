/* Domains as data: freeing, copying, lookups, and rule 10 (which disks are left out, which are
 * refused). */
#include "model/domain.h"

#include "model/domain-firmware.h"

#include <string.h>

const char *domain_state_name(DomainState state)
{
    static const char *const names[] = {
        [DOMAIN_RUNNING] = "running",
        [DOMAIN_PAUSED] = "paused",
        [DOMAIN_OFF] = "shutoff",
        [DOMAIN_OTHER] = "other",
    };

    return names[state];
}

static ChainLink *chain_link_copy(const ChainLink *link)
{
    ChainLink *copy = g_new0(ChainLink, 1);

    copy->path = g_strdup(link->path);
    copy->format = g_strdup(link->format);
    return copy;
}

void chain_link_free(ChainLink *link)
{
    if (!link)
        return;
    g_free(link->path);
    g_free(link->format);
    g_free(link);
}

static void free_link(void *link)
{
    chain_link_free(link);
}

DomainDisk *domain_disk_new(void)
{
    DomainDisk *disk = g_new0(DomainDisk, 1);

    disk->chain = g_ptr_array_new_with_free_func(free_link);
    return disk;
}

void domain_disk_free(DomainDisk *disk)
{
    if (!disk)
        return;
    g_free(disk->target);
    g_free(disk->device);
    g_free(disk->type);
    g_free(disk->path);
    g_free(disk->format);
    g_free(disk->mirror_path);
    g_free(disk->mirror_job);
    g_ptr_array_unref(disk->chain);
    g_free(disk);
}

static void free_disk(void *disk)
{
    domain_disk_free(disk);
}

Domain *domain_new(void)
{
    Domain *domain = g_new0(Domain, 1);

    domain->disks = g_ptr_array_new_with_free_func(free_disk);
    return domain;
}

void domain_free(Domain *domain)
{
    if (!domain)
        return;
    g_free(domain->uuid);
    g_free(domain->name);
    g_free(domain->run);
    g_free(domain->home);
    firmware_free(domain->firmware);
    tpm_free(domain->tpm);
    g_ptr_array_unref(domain->disks);
    g_free(domain);
}

/* The flags come with the struct; what it owns is copied anew. */
static DomainDisk *domain_disk_copy(const DomainDisk *disk)
{
    DomainDisk *copy = g_new(DomainDisk, 1);

    *copy = *disk;
    copy->target = g_strdup(disk->target);
    copy->device = g_strdup(disk->device);
    copy->type = g_strdup(disk->type);
    copy->path = g_strdup(disk->path);
    copy->format = g_strdup(disk->format);
    copy->mirror_path = g_strdup(disk->mirror_path);
    copy->mirror_job = g_strdup(disk->mirror_job);
    copy->chain = g_ptr_array_new_with_free_func(free_link);
    for (guint i = 0; i < disk->chain->len; i++)
        g_ptr_array_add(copy->chain, chain_link_copy(disk->chain->pdata[i]));
    return copy;
}

Domain *domain_copy(const Domain *domain)
{
    Domain *copy = domain_new();

    copy->uuid = g_strdup(domain->uuid);
    copy->name = g_strdup(domain->name);
    copy->run = g_strdup(domain->run);
    copy->agent = domain->agent;
    copy->firmware = firmware_copy(domain->firmware);
    copy->tpm = tpm_copy(domain->tpm);
    copy->home = g_strdup(domain->home);
    copy->generation = domain->generation;
    for (guint i = 0; i < domain->disks->len; i++)
        g_ptr_array_add(copy->disks, domain_disk_copy(domain->disks->pdata[i]));
    return copy;
}

DomainDisk *domain_disk(const Domain *domain, const char *target)
{
    for (guint i = 0; target && i < domain->disks->len; i++) {
        DomainDisk *disk = domain->disks->pdata[i];

        if (!strcmp(disk->target, target))
            return disk;
    }
    return NULL;
}

DomainDisk *domain_disk_of_path(const Domain *domain, const char *path)
{
    for (guint i = 0; path && i < domain->disks->len; i++) {
        DomainDisk *disk = domain->disks->pdata[i];

        if (!g_strcmp0(disk->path, path))
            return disk;
    }
    return NULL;
}

static bool is_empty(const DomainDisk *disk)
{
    return !disk->path && (!strcmp(disk->type, "file") || !strcmp(disk->type, "block"));
}

const char *domain_disk_excluded(const DomainDisk *disk)
{
    if (!strcmp(disk->device, "cdrom"))
        return "it is a CD-ROM drive";
    if (!strcmp(disk->device, "floppy"))
        return "it is a floppy drive";
    if (disk->readonly)
        return "it is read-only";
    if (disk->shareable)
        return "it is shareable";
    if (disk->snapshot_no)
        return "its definition says snapshot='no'";
    if (is_empty(disk))
        return "it is empty";
    return NULL;
}

static bool has_control(const char *path)
{
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7F)
            return true;
    return false;
}

static char *unsupported_source(const DomainDisk *disk)
{
    if (!strcmp(disk->type, "network"))
        return g_strdup("is a network disk");
    if (!strcmp(disk->type, "block"))
        return g_strdup("is a block device");
    if (strcmp(disk->type, "file"))
        return g_strdup_printf("has a source of type \"%s\", not a file", disk->type);
    if (!disk->path)
        return g_strdup("has no source file");
    if (disk->path[0] != '/')
        return g_strdup_printf("has the relative path \"%s\"", disk->path);
    if (has_control(disk->path))
        return g_strdup("has control characters in its path");
    return NULL;
}

char *domain_disk_unsupported(const DomainDisk *disk)
{
    char *source;

    if (!strcmp(disk->device, "lun"))
        return g_strdup("is a SCSI LUN passed through (device='lun')");
    source = unsupported_source(disk);
    if (source)
        return source;
    if (strcmp(disk->format, "qcow2") && strcmp(disk->format, "raw"))
        return g_strdup_printf("has the format \"%s\", neither qcow2 nor raw", disk->format);
    if (disk->encrypted)
        return g_strdup("is encrypted");
    if (disk->has_slices)
        return g_strdup("is a slice of a file");
    if (disk->has_data_store)
        return g_strdup("keeps its data in an external data file");
    if (disk->transient)
        return g_strdup("is transient (its changes are thrown away)");
    if (disk->snapshot_internal)
        return g_strdup("asks for internal snapshots (snapshot='internal')");
    return NULL;
}

DiskSwitch *disk_switch_new(const char *target, const char *path, const char *format)
{
    DiskSwitch *change = g_new0(DiskSwitch, 1);

    change->target = g_strdup(target);
    change->path = g_strdup(path);
    change->format = g_strdup(format);
    return change;
}

void disk_switch_free(DiskSwitch *change)
{
    if (!change)
        return;
    g_free(change->target);
    g_free(change->path);
    g_free(change->format);
    g_free(change);
}
