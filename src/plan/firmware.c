#include "plan/firmware.h"

#include <string.h>

static const char *stated_path(const Domain *domain)
{
    return domain && domain->firmware ? domain->firmware->path : NULL;
}

/* libvirt keeps it under the name that the domain has at its start. */
static char *default_path(const Domain *domain, const Capabilities *capabilities)
{
    g_autofree char *file = g_strdup_printf("%s_VARS.fd", domain->name);

    return capabilities->nvram_directory
               ? g_build_filename(capabilities->nvram_directory, file, NULL)
               : NULL;
}

char *firmware_vars_path(const Domain *live, const Domain *inactive,
                         const Capabilities *capabilities, const Catalog *catalog)
{
    const Domain *domain = live ? live : inactive;
    const char *stated = stated_path(live) ? stated_path(live) : stated_path(inactive);

    if (!domain || !domain_needs_vars(domain) || domain->firmware->combined)
        return NULL;
    if (stated)
        return g_strdup(stated);
    if (catalog && catalog->vars)
        return g_strdup(catalog->vars);
    return default_path(domain, capabilities);
}

static const char *stated_template(const Domain *domain)
{
    return domain && domain->firmware ? domain->firmware->template : NULL;
}

static const char *template_of_loader(const Domain *domain, const Capabilities *capabilities)
{
    const FirmwareBuild *build = domain && domain->firmware
                                     ? capabilities_firmware(capabilities, domain->firmware->loader)
                                     : NULL;

    return build ? build->template : NULL;
}

const char *firmware_template(const Domain *live, const Domain *inactive,
                              const Capabilities *capabilities)
{
    if (stated_template(live))
        return stated_template(live);
    if (stated_template(inactive))
        return stated_template(inactive);
    return template_of_loader(live ? live : inactive, capabilities);
}

static bool is_same(const char *a, const char *b)
{
    return a && !g_strcmp0(a, b);
}

bool firmware_is_shared(const Domain *domain, const Capabilities *capabilities, const char *path)
{
    const Firmware *firmware = domain->firmware;

    if (firmware && (is_same(firmware->loader, path) || is_same(firmware->template, path)))
        return true;
    for (guint i = 0; i < capabilities->firmware->len; i++) {
        const FirmwareBuild *build = capabilities->firmware->pdata[i];

        if (is_same(build->loader, path) || is_same(build->template, path))
            return true;
    }
    return false;
}

char *firmware_tpm_path(const Domain *domain, const Capabilities *capabilities)
{
    const char *name;

    if (!domain_needs_tpm(domain) || !capabilities->tpm_directory)
        return NULL;
    name = strcmp(domain->tpm->version, "1.2") ? "tpm2" : "tpm1.2";
    return g_build_filename(capabilities->tpm_directory, domain->uuid, name, NULL);
}

const char *firmware_need(const Domain *domain)
{
    if (!domain_needs_vars(domain))
        return "no";
    if (domain->firmware->secure)
        return "secure-boot";
    return domain->tpm ? "tpm" : "uefi";
}
