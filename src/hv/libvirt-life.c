/* A domain's own life: another name, and its end. */
#include "hv/libvirt-private.h"

static bool refuse_active(LibvirtCall *call, virDomainPtr domain, GError **error)
{
    int active = virDomainIsActive(domain);

    if (active == 0)
        return true;
    if (active < 0)
        return libvirt_call_failed(call, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY, "cannot %s domain %s: it is not off", call->what,
                call->name);
    return false;
}

/* libvirt 9.0 renames such a domain without a word, and loses its notes of the checkpoints. */
static bool refuse_checkpoints(LibvirtCall *call, virDomainPtr domain, GError **error)
{
    int count = virDomainListAllCheckpoints(domain, NULL, 0);

    if (count == 0)
        return true;
    if (count < 0)
        return libvirt_call_failed(call, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "cannot %s domain %s: libvirt would lose its %d checkpoints; delete them first "
                "(virsh checkpoint-delete)",
                call->what, call->name, count);
    return false;
}

static bool run_rename(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain || !refuse_active(call, domain, error) || !refuse_checkpoints(call, domain, error))
        return false;
    return virDomainRename(domain, call->new_name, 0) == 0 ? libvirt_sync_definitions(call, error)
                                                           : libvirt_call_failed(call, error);
}

bool libvirt_rename(Hypervisor *hv, const char *uuid, const char *new_name, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("rename", uuid, run_rename);

    call->new_name = g_strdup(new_name);
    return libvirt_call_effect(hv, call, error);
}

/* Without MANAGED_SAVE and SNAPSHOTS_METADATA: what a person may still want makes libvirt refuse. A
 * running domain would become a transient one. */
static bool run_undefine(LibvirtCall *call, GError **error)
{
    const unsigned flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM |
                           VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain || !refuse_active(call, domain, error))
        return false;
    return virDomainUndefineFlags(domain, flags) == 0 ? libvirt_sync_definitions(call, error)
                                                      : libvirt_call_failed(call, error);
}

bool libvirt_undefine(Hypervisor *hv, const char *uuid, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("undefine", uuid, run_undefine);

    return libvirt_call_effect(hv, call, error);
}
