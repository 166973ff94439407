#include "run/thaw.h"

static HvDomain *look(Hypervisor *hv, const char *uuid, GError **error)
{
    g_autofree char *live = NULL, *inactive = NULL, *foreign = NULL;
    HvDomain *domain = NULL;
    unsigned snapshots = 0;

    return hv->ops->inspect(hv, uuid, &domain, &live, &inactive, &foreign, &snapshots, error)
               ? domain
               : NULL;
}

/* Since the agent answers in order, its answer tells that all is done that it was asked before. */
static bool thaw(Hypervisor *hv, const HvDomain *domain, unsigned seconds, GError **error)
{
    const char *uuid = domain->uuid;
    unsigned count = 0;
    bool frozen = false;

    if (!hv->ops->agent_timeout(hv, uuid, seconds, error) ||
        !hv->ops->frozen(hv, uuid, seconds, &frozen, error))
        return false;
    if (!frozen)
        return true;
    if (!hv->ops->thaw(hv, uuid, &count, error) ||
        !hv->ops->frozen(hv, uuid, seconds, &frozen, error))
        return false;
    if (frozen)
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO,
                    "the guest of VM %s stays frozen, though its agent did not refuse to thaw it",
                    domain->name);
    return !frozen;
}

bool thaw_and_verify(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error)
{
    HvDomain *domain = look(hv, uuid, error);
    bool thawed = domain && (domain->state == DOMAIN_OFF || thaw(hv, domain, seconds, error));

    hv_domain_free(domain);
    return thawed;
}
