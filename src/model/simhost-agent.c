/* The guest agent of a simulated VM, and the ways in which it fails. */
#include "model/simhost-priv.h"

static bool is_silent(const SimDomain *domain)
{
    return domain->agent == SIM_AGENT_SILENT;
}

/* What it was asked while it was silent it does now, in order. */
static void wake(SimDomain *domain)
{
    if (is_silent(domain))
        return;
    for (unsigned i = 0; i < domain->asked->len; i++)
        domain->frozen = g_array_index(domain->asked, bool, i);
    g_array_set_size(domain->asked, 0);
}

void simhost_set_agent(SimHost *host, const char *uuid, SimAgent agent)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    domain->agent = agent;
    wake(domain);
    sim_notify(host, SIM_DOMAIN, uuid, NULL);
}

bool simhost_is_frozen(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return sim_known_domain(host, uuid)->frozen;
}

void simhost_set_frozen(SimHost *host, const char *uuid, bool frozen)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    sim_known_domain(host, uuid)->frozen = frozen;
}

bool simhost_was_frozen(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return sim_known_domain(host, uuid)->was_frozen;
}

void sim_agent_reset(SimDomain *domain)
{
    g_array_set_size(domain->asked, 0);
    domain->frozen = domain->agent_timed = false;
}

void sim_agent_snapshot(SimDomain *domain)
{
    if (domain->agent == SIM_AGENT_WAKES)
        domain->frozen = false;
    domain->was_frozen = domain->frozen;
}

const char *sim_agent_state(const SimDomain *domain)
{
    if (domain->agent == SIM_AGENT_NONE)
        return NULL;
    return domain->agent == SIM_AGENT_DISCONNECTED ? "disconnected" : "connected";
}

/* The domain if its agent can be talked to. libvirt asks no agent of a paused VM. */
static SimDomain *asked(SimHost *host, const char *uuid, GError **error)
{
    SimDomain *domain = sim_domain(host, uuid, error);

    if (!domain)
        return NULL;
    if (domain->state != DOMAIN_RUNNING) {
        sim_error(error, ERR_BUSY, "The VM %s is not running; let it run first.", domain->name);
        return NULL;
    }
    if (domain->agent == SIM_AGENT_NONE || domain->agent == SIM_AGENT_DISCONNECTED) {
        sim_error(error, ERR_UNSUPPORTED, "The guest agent of %s is not connected.", domain->name);
        return NULL;
    }
    if (!domain->agent_timed)
        sim_misuse(host, "the agent of %s is asked before its timeout was set.", domain->name);
    return domain;
}

static bool be_silent(SimDomain *domain, GError **error)
{
    return sim_error(error, ERR_TIMEOUT, "The guest agent of %s does not answer.", domain->name);
}

/* Done now, or once it is no longer silent. */
static bool command(SimDomain *domain, bool freeze, GError **error)
{
    if (freeze && domain->agent == SIM_AGENT_STUMBLES)
        domain->agent = SIM_AGENT_SILENT;
    if (is_silent(domain)) {
        g_array_append_val(domain->asked, freeze);
        return be_silent(domain, error);
    }
    domain->frozen = freeze && domain->agent != SIM_AGENT_EMPTY && domain->agent != SIM_AGENT_LIES;
    if (freeze && domain->agent == SIM_AGENT_DAZED)
        domain->agent = SIM_AGENT_SILENT;
    return true;
}

bool simhost_agent_timeout(SimHost *host, const char *uuid, unsigned seconds, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_domain(host, uuid, error);

    if (domain)
        domain->agent_timed = seconds > 0;
    return domain != NULL;
}

bool simhost_freeze(SimHost *host, const char *uuid, unsigned *out_count, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = asked(host, uuid, error);

    if (!domain)
        return false;
    if (domain->agent == SIM_AGENT_FAILS || (domain->frozen && !is_silent(domain)))
        return sim_error(error, ERR_IO, "The guest agent of %s answers a freeze with an error.",
                         domain->name);
    *out_count = domain->agent == SIM_AGENT_EMPTY ? 0 : domain->live->disks->len;
    return command(domain, true, error);
}

bool simhost_thaw(SimHost *host, const char *uuid, unsigned *out_count, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = asked(host, uuid, error);

    if (!domain)
        return false;
    if (domain->agent == SIM_AGENT_STUCK)
        return sim_error(error, ERR_IO, "The guest agent of %s answers a thaw with an error.",
                         domain->name);
    *out_count = domain->frozen ? domain->live->disks->len : 0;
    return command(domain, false, error);
}

bool simhost_ask_frozen(SimHost *host, const char *uuid, bool *out_frozen, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = asked(host, uuid, error);

    if (!domain || (is_silent(domain) && !be_silent(domain, error)))
        return false;
    *out_frozen = domain->frozen;
    return true;
}
