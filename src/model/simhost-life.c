/* A domain's own life: another name, and its end. */
#include "model/simhost-priv.h"

#include "base/str.h"

/* What libvirt does only with a domain that rests and has nothing hanging on it. */
static SimDomain *resting_domain(SimHost *host, const char *uuid, const char *what, GError **error)
{
    SimDomain *domain = sim_domain(host, uuid, error);
    const char *why = NULL;

    if (!domain)
        return NULL;
    if (sim_is_on(domain) || !domain->inactive)
        why = "it is not off";
    else if (domain->managed_save)
        why = "it has a managed save image";
    else if (domain->snapshots > 0)
        why = "it has snapshots of libvirt's own";
    if (!why)
        return domain;
    sim_error(error, ERR_BUSY, "The VM %s cannot be %s: %s.", domain->name, what, why);
    return NULL;
}

static bool is_taken(const SimHost *host, const char *name)
{
    for (unsigned i = 0; i < host->domains->len; i++)
        if (g_str_equal(((SimDomain *)host->domains->pdata[i])->name, name))
            return true;
    return false;
}

bool simhost_rename(SimHost *host, const char *uuid, const char *new_name, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = resting_domain(host, uuid, "renamed", error);

    if (!domain)
        return false;
    if (is_taken(host, new_name))
        return sim_error(error, ERR_EXISTS, "The VM %s cannot be renamed: there is a VM %s.",
                         domain->name, new_name);
    str_set(&domain->name, new_name);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    return true;
}

bool simhost_undefine(SimHost *host, const char *uuid, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = resting_domain(host, uuid, "undefined", error);

    if (!domain)
        return false;
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
    g_ptr_array_remove(host->domains, domain);
    return true;
}
