#include "hv/libvirt-private.h"

#include <string.h>

#define METADATA_KEY  "vmsnapfs"
#define NODE_ATTEMPTS 1000 /* more than a VM of many disks that was unlucky several times needs */

/* --- power --- */

static bool run_power(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    return call->power(domain) == 0 || libvirt_call_failed(call, error);
}

static bool power(Hypervisor *hv, const char *what, const char *uuid, int (*function)(virDomainPtr),
                  GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new(what, uuid, run_power);

    call->power = function;
    return libvirt_call_effect(hv, call, error);
}

bool libvirt_start(Hypervisor *hv, const char *uuid, GError **error)
{
    return power(hv, "start", uuid, virDomainCreate, error);
}

bool libvirt_shutdown(Hypervisor *hv, const char *uuid, GError **error)
{
    return power(hv, "shut down", uuid, virDomainShutdown, error);
}

bool libvirt_destroy(Hypervisor *hv, const char *uuid, GError **error)
{
    return power(hv, "power off", uuid, virDomainDestroy, error);
}

bool libvirt_suspend(Hypervisor *hv, const char *uuid, GError **error)
{
    return power(hv, "suspend", uuid, virDomainSuspend, error);
}

bool libvirt_resume(Hypervisor *hv, const char *uuid, GError **error)
{
    return power(hv, "resume", uuid, virDomainResume, error);
}

/* --- definitions --- */

/* libvirt would make a new domain of another uuid without a word. */
static bool check_uuid(LibvirtCall *call, GError **error)
{
    g_autoptr(Domain) parsed = domain_parse(call->xml, error);

    if (!parsed)
        return false;
    if (parsed->uuid && g_ascii_strcasecmp(parsed->uuid, call->uuid) == 0)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                "cannot redefine domain %s: the definition is that of %s", call->name,
                parsed->uuid ? parsed->uuid : "no uuid");
    return false;
}

static bool run_define(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);
    g_autoptr(virDomain) defined = NULL;

    if (!domain || !check_uuid(call, error))
        return false;
    defined = virDomainDefineXMLFlags(call->connection, call->xml, 0);
    return defined ? libvirt_sync_definitions(call, error) : libvirt_call_failed(call, error);
}

bool libvirt_define(Hypervisor *hv, const char *uuid, const char *xml, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("redefine", uuid, run_define);

    call->xml = g_strdup(xml);
    return libvirt_call_effect(hv, call, error);
}

static int set_metadata(LibvirtCall *call, virDomainPtr domain)
{
    unsigned flags = VIR_DOMAIN_AFFECT_CONFIG;

    if (virDomainIsActive(domain) == 1)
        flags |= VIR_DOMAIN_AFFECT_LIVE;
    return virDomainSetMetadata(domain, VIR_DOMAIN_METADATA_ELEMENT, call->xml, METADATA_KEY,
                                METADATA_URI, flags);
}

static bool run_set_metadata(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    if (set_metadata(call, domain) == 0)
        return true;
    /* It may have stopped since it was asked whether it runs. */
    if (virGetLastErrorCode() == VIR_ERR_OPERATION_INVALID && set_metadata(call, domain) == 0)
        return true;
    return libvirt_call_failed(call, error);
}

bool libvirt_set_metadata(Hypervisor *hv, const char *uuid, const char *home, uint64_t generation,
                          GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("mark", uuid, run_set_metadata);

    call->xml = domain_metadata_xml(home, generation);
    return libvirt_call_effect(hv, call, error);
}

/* --- disks --- */

/* libvirt that was killed in a snapshot numbers QEMU's block nodes again from before it, and QEMU
 * has some of these already. Nothing has happened then, and the next attempt takes the next
 * numbers. */
static bool has_taken_node_names(void)
{
    return strstr(virGetLastErrorMessage(), "Duplicate nodes") != NULL;
}

static bool run_snapshot(LibvirtCall *call, GError **error)
{
    const unsigned flags =
        VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC |
        VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA;
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);
    virDomainSnapshotPtr snapshot;
    unsigned attempts = 0;

    if (!domain)
        return false;
    do
        snapshot = virDomainSnapshotCreateXML(domain, call->xml, flags);
    while (!snapshot && has_taken_node_names() && ++attempts < NODE_ATTEMPTS);
    if (!snapshot)
        return libvirt_call_failed(call, error);
    virDomainSnapshotFree(snapshot);
    return true;
}

bool libvirt_snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                      const GPtrArray *excluded, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("take a snapshot of", uuid, run_snapshot);

    call->xml = domain_snapshot_xml("vmsnapfs", switches, excluded);
    return libvirt_call_effect(hv, call, error);
}

static bool run_block_commit(LibvirtCall *call, GError **error)
{
    unsigned flags = VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES;
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    if (call->active)
        flags |= VIR_DOMAIN_BLOCK_COMMIT_ACTIVE;
    return virDomainBlockCommit(domain, call->target, call->base, call->top, call->bandwidth,
                                flags) == 0 ||
           libvirt_call_failed(call, error);
}

bool libvirt_block_commit(Hypervisor *hv, const char *uuid, const char *target, const char *top,
                          const char *base, bool active, uint64_t bandwidth, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("commit", uuid, run_block_commit);

    call->target = g_strdup(target);
    call->top = g_strdup(top);
    call->base = g_strdup(base);
    call->active = active;
    call->bandwidth = bandwidth;
    return libvirt_call_effect(hv, call, error);
}

static bool run_block_end(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    return virDomainBlockJobAbort(domain, call->target, call->flags) == 0 ||
           libvirt_call_failed(call, error);
}

static bool end_job(Hypervisor *hv, const char *what, const char *uuid, const char *target,
                    unsigned flags, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new(what, uuid, run_block_end);

    call->target = g_strdup(target);
    call->flags = flags;
    return libvirt_call_effect(hv, call, error);
}

bool libvirt_block_pivot(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    return end_job(hv, "pivot", uuid, target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT, error);
}

/* Nothing to abort is as good as aborted, also because the domain is off; that there is no such
 * domain or disk is not. */
bool libvirt_block_abort(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    g_autoptr(GError) why = NULL;
    BlockJobFacts *job = NULL;

    if (end_job(hv, "abort the block job of", uuid, target, 0, &why))
        return true;
    if ((error_is(why, ERR_NOT_FOUND) || error_is(why, ERR_BUSY)) &&
        libvirt_block_job(hv, uuid, target, &job, NULL) && !job)
        return true;
    g_clear_pointer(&job, block_job_facts_free);
    g_propagate_error(error, g_steal_pointer(&why));
    return false;
}

static bool run_block_speed(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    return virDomainBlockJobSetSpeed(domain, call->target, call->bandwidth,
                                     VIR_DOMAIN_BLOCK_JOB_SPEED_BANDWIDTH_BYTES) == 0 ||
           libvirt_call_failed(call, error);
}

bool libvirt_block_speed(Hypervisor *hv, const char *uuid, const char *target, uint64_t bandwidth,
                         GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("limit the block job of", uuid, run_block_speed);

    call->target = g_strdup(target);
    call->bandwidth = bandwidth;
    return libvirt_call_effect(hv, call, error);
}
