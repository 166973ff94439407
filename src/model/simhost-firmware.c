/* Firmware and TPM of simulated domains, and what the host can do for them. */
#include "model/simhost-priv.h"

#include "base/str.h"

static char *default_nvram(const SimDomain *domain)
{
    return g_strdup_printf(SIM_NVRAM_DIRECTORY "/%s_VARS.fd", domain->name);
}

/* libvirt states it in a definition with a loader, and says nothing in one with firmware='efi'. */
char *sim_nvram_defined(const SimDomain *domain, const char *stated)
{
    if (domain->firmware == SIM_BIOS)
        return NULL;
    return stated || domain->firmware == SIM_EFI ? g_strdup(stated) : default_nvram(domain);
}

char *sim_nvram_started(const SimDomain *domain)
{
    if (domain->firmware == SIM_BIOS)
        return NULL;
    return domain->inactive->nvram ? g_strdup(domain->inactive->nvram) : default_nvram(domain);
}

void simhost_set_firmware(SimHost *host, const char *uuid, SimFirmware firmware, bool secure)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    domain->firmware = firmware;
    domain->secure = secure;
    g_clear_pointer(&domain->inactive->nvram, g_free);
    domain->inactive->nvram = sim_nvram_defined(domain, NULL);
    if (domain->live) {
        g_clear_pointer(&domain->live->nvram, g_free);
        domain->live->nvram = sim_nvram_started(domain);
        sim_boot(host, domain);
    }
}

void simhost_set_nvram(SimHost *host, const char *uuid, const char *path)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimDomain *domain = sim_known_domain(host, uuid);

    str_set(&domain->inactive->nvram, path);
    if (domain->live) {
        str_set(&domain->live->nvram, path);
        sim_boot(host, domain);
    }
}

void simhost_set_tpm(SimHost *host, const char *uuid, bool tpm)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    SimDomain *domain = sim_known_domain(host, uuid);

    domain->tpm = tpm;
    if (domain->live)
        sim_boot(host, domain);
}

/* ---- the host ---- */

Capabilities *sim_capabilities_new(bool uefi, bool tpm)
{
    Capabilities *capabilities = capabilities_new();

    capabilities->uefi = capabilities->secure_boot = uefi;
    capabilities->tpm = tpm;
    capabilities->nvram_directory = g_strdup(SIM_NVRAM_DIRECTORY);
    capabilities->tpm_directory = g_strdup(SIM_TPM_DIRECTORY);
    if (!uefi)
        return capabilities;
    capabilities_add_firmware(capabilities, SIM_SECURE_LOADER, SIM_SECURE_TEMPLATE, true, true);
    capabilities_add_firmware(capabilities, SIM_LOADER_PATH, SIM_TEMPLATE, false, false);
    return capabilities;
}

void simhost_set_capabilities(SimHost *host, bool uefi, bool tpm)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    capabilities_unref(host->offered);
    host->offered = sim_capabilities_new(uefi, tpm);
    if (!host->notice || host->down)
        sim_connected(host);
}

void sim_connected(SimHost *host)
{
    capabilities_unref(host->capabilities);
    host->capabilities = capabilities_ref(host->offered);
}

Capabilities *simhost_capabilities(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return capabilities_ref(host->capabilities);
}
