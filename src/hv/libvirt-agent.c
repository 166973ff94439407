/* The guest agent through libvirt. A call to an agent that does not answer locks the domain until
 * libvirt's own timeout, hence agent_timeout before all others. */
#include "hv/agent-reply.h"
#include "hv/libvirt-private.h"

#include <libvirt/libvirt-qemu.h>

static bool run_timeout(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);

    if (!domain)
        return false;
    return virDomainAgentSetResponseTimeout(domain, (int)call->seconds, 0) == 0 ||
           libvirt_call_failed(call, error);
}

bool libvirt_agent_timeout(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error)
{
    g_autoptr(LibvirtCall) call =
        libvirt_call_new("set the guest agent's timeout of", uuid, run_timeout);

    call->seconds = seconds;
    return libvirt_call_effect(hv, call, error);
}

static bool run_file_systems(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);
    int count;

    if (!domain)
        return false;
    count =
        call->active ? virDomainFSFreeze(domain, NULL, 0, 0) : virDomainFSThaw(domain, NULL, 0, 0);
    call->count = count > 0 ? (unsigned)count : 0;
    return count >= 0 || libvirt_call_failed(call, error);
}

static bool call_file_systems(Hypervisor *hv, const char *what, const char *uuid, bool freeze,
                              unsigned *out_count, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new(what, uuid, run_file_systems);

    call->active = freeze;
    if (!libvirt_call_agent(hv, call, error))
        return false;
    *out_count = call->count;
    return true;
}

bool libvirt_freeze(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    return call_file_systems(hv, "freeze the guest of", uuid, true, out_count, error);
}

bool libvirt_thaw(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    return call_file_systems(hv, "thaw the guest of", uuid, false, out_count, error);
}

static bool run_frozen(LibvirtCall *call, GError **error)
{
    g_autoptr(virDomain) domain = libvirt_call_domain(call, error);
    g_autofree char *reply = NULL;

    if (!domain)
        return false;
    reply = virDomainQemuAgentCommand(domain, "{\"execute\":\"guest-fsfreeze-status\"}",
                                      (int)call->seconds, 0);
    if (!reply)
        return libvirt_call_failed(call, error);
    if (agent_reply_frozen(reply, &call->frozen, error))
        return true;
    g_prefix_error(error, "cannot %s domain %s: ", call->what, call->name);
    return false;
}

bool libvirt_frozen(Hypervisor *hv, const char *uuid, unsigned seconds, bool *out_frozen,
                    GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("ask the guest agent of", uuid, run_frozen);

    call->seconds = seconds;
    if (!libvirt_call_agent(hv, call, error))
        return false;
    *out_frozen = call->frozen;
    return true;
}
