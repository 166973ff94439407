/* What QEMU does to a disk: the block job of a target.
 *
 * Whether it is ready is read from the definition alone. libvirt sets ready='yes' there before it
 * sends the READY event, so the event adds nothing; and kept in a table, the event of a former job
 * could be taken for the present one's. */
#include "hv/libvirt-private.h"

/* By virDomainBlockJobType. */
static const char *const kinds[] = {
    [VIR_DOMAIN_BLOCK_JOB_TYPE_UNKNOWN] = "unknown",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_PULL] = "pull",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_COPY] = "copy",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT] = "commit",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP] = "backup",
    [VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT] = "active-commit",
};

static const char *kind_name(int type)
{
    return type >= 0 && type < (int)G_N_ELEMENTS(kinds) && kinds[type] ? kinds[type] : kinds[0];
}

static bool read_ready(LibvirtCall *call, virDomainPtr domain, bool *out_ready, GError **error)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    g_autoptr(Domain) parsed = NULL;
    const DomainDisk *disk;

    if (!xml)
        return libvirt_call_failed(call, error);
    parsed = domain_parse(xml, error);
    free(xml);
    if (!parsed)
        return false;
    disk = domain_disk(parsed, call->target);
    *out_ready = disk && disk->mirror_ready;
    return true;
}

static bool run_block_job(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);
    virDomainBlockJobInfo info;
    bool ready = false;
    int n;

    if (!domain)
        return false;
    n = virDomainGetBlockJobInfo(domain, call->target, &info, 0);
    if (n == 0 || (n < 0 && virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID /* it is off */))
        return true;
    if (n < 0)
        return libvirt_call_failed(call, error);
    if (!read_ready(call, domain, &ready, error))
        return false;
    call->job = g_new0(BlockJobFacts, 1);
    call->job->target = g_strdup(call->target);
    call->job->kind = g_strdup(kind_name(info.type));
    call->job->done = info.cur;
    call->job->total = info.end;
    call->job->ready = ready;
    return true;
}

bool libvirt_block_job(Hypervisor *hv, const char *uuid, const char *target,
                       BlockJobFacts **out_job, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("ask for the block job of", uuid, run_block_job);

    call->target = g_strdup(target);
    if (!libvirt_call_query(hv, call, error))
        return false;
    *out_job = g_steal_pointer(&call->job);
    return true;
}
