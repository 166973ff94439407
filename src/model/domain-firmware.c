/* UEFI firmware and TPM as libvirt writes them. */
#include "model/domain-firmware.h"

#include "base/error.h"
#include <string.h>

/* ---- reading ---- */

static bool is_automatic(const xmlNode *os)
{
    return xml_attribute_is(os, "firmware", "efi");
}

static bool asks_for_secure_boot(const xmlNode *os)
{
    const xmlNode *feature = xml_child(xml_child(os, "firmware"), "feature");

    while (feature && !xml_attribute_is(feature, "name", "secure-boot"))
        feature = xml_next(feature, "feature");
    return xml_attribute_is(feature, "enabled", "yes");
}

/* <nvram>PATH</nvram>, or <nvram type='file'><source file='PATH'/></nvram>. */
static char *store_path(const xmlNode *nvram)
{
    const xmlNode *source = xml_child(nvram, "source");
    g_autofree char *text = NULL;

    if (source)
        return xml_attribute(source, xml_attribute_is(nvram, "type", "block") ? "dev" : "file");
    text = xml_content(nvram);
    return text && *g_strstrip(text) ? g_steal_pointer(&text) : NULL;
}

Firmware *firmware_read(const xmlNode *domain)
{
    const xmlNode *os = xml_child(domain, "os"), *loader = xml_child(os, "loader");
    const xmlNode *nvram = xml_child(os, "nvram");
    g_autofree char *path = xml_content(loader);
    Firmware *firmware;

    if (!is_automatic(os) && !xml_attribute_is(loader, "type", "pflash"))
        return NULL;
    firmware = g_new0(Firmware, 1);
    firmware->automatic = is_automatic(os);
    firmware->secure = xml_attribute_is(loader, "secure", "yes") || asks_for_secure_boot(os);
    firmware->stateless = xml_attribute_is(loader, "stateless", "yes");
    firmware->combined = !nvram && xml_attribute_is(loader, "readonly", "no");
    firmware->loader = path && *g_strstrip(path) ? g_strdup(path) : NULL;
    firmware->path = store_path(nvram);
    firmware->template = xml_attribute(nvram, "template");
    firmware->storage = xml_attribute_or(nvram, "type", "file");
    firmware->format = xml_attribute_or(nvram, "format", "raw");
    return firmware;
}

/* libvirt allows two of them on some machines only, where one is a proxy without a state. */
static const xmlNode *find_tpm(const xmlNode *domain)
{
    const xmlNode *tpm = xml_child(xml_child(domain, "devices"), "tpm");

    while (tpm && xml_attribute_is(tpm, "model", "spapr-tpm-proxy"))
        tpm = xml_next(tpm, "tpm");
    return tpm;
}

Tpm *tpm_read(const xmlNode *domain)
{
    const xmlNode *element = find_tpm(domain), *backend = xml_child(element, "backend");
    Tpm *tpm;

    if (!element)
        return NULL;
    tpm = g_new0(Tpm, 1);
    tpm->backend = xml_attribute_or(backend, "type", "passthrough");
    tpm->version = xml_attribute_or(backend, "version", "2.0");
    tpm->secret = xml_attribute(xml_child(backend, "encryption"), "secret");
    return tpm;
}

/* ---- data ---- */

Firmware *firmware_copy(const Firmware *firmware)
{
    Firmware *copy;

    if (!firmware)
        return NULL;
    copy = g_new(Firmware, 1);
    *copy = *firmware;
    copy->loader = g_strdup(firmware->loader);
    copy->path = g_strdup(firmware->path);
    copy->template = g_strdup(firmware->template);
    copy->storage = g_strdup(firmware->storage);
    copy->format = g_strdup(firmware->format);
    return copy;
}

void firmware_free(Firmware *firmware)
{
    if (!firmware)
        return;
    g_free(firmware->loader);
    g_free(firmware->path);
    g_free(firmware->template);
    g_free(firmware->storage);
    g_free(firmware->format);
    g_free(firmware);
}

Tpm *tpm_copy(const Tpm *tpm)
{
    Tpm *copy;

    if (!tpm)
        return NULL;
    copy = g_new0(Tpm, 1);
    copy->backend = g_strdup(tpm->backend);
    copy->version = g_strdup(tpm->version);
    copy->secret = g_strdup(tpm->secret);
    return copy;
}

void tpm_free(Tpm *tpm)
{
    if (!tpm)
        return;
    g_free(tpm->backend);
    g_free(tpm->version);
    g_free(tpm->secret);
    g_free(tpm);
}

bool domain_needs_vars(const Domain *domain)
{
    return domain->firmware && !domain->firmware->stateless;
}

bool domain_needs_tpm(const Domain *domain)
{
    return domain->tpm && !strcmp(domain->tpm->backend, "emulator");
}

/* ---- changing ---- */

/* Where libvirt writes it: after the loader, else before what it boots from. */
static xmlNode *add_nvram(xmlNode *os)
{
    static const char *const before[] = {"loader", "firmware", "type"};
    xmlNode *nvram = xmlNewDocNode(os->doc, NULL, (const xmlChar *)"nvram", NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(before); i++)
        if (xml_child(os, before[i]))
            return xmlAddNextSibling(xml_child(os, before[i]), nvram);
    return xmlAddChild(os, nvram);
}

static bool check_movable(const xmlNode *domain, const char *path, GError **error)
{
    Firmware *firmware = firmware_read(domain);
    bool is_file = firmware && !firmware->stateless && !firmware->combined &&
                   !strcmp(firmware->storage, "file");

    firmware_free(firmware);
    if (!is_file)
        error_set(error, ERR_INVALID,
                  "the definition keeps no UEFI variables in a file, so %s cannot become it", path);
    else if (!xml_can_hold(path))
        error_set(error, ERR_INVALID,
                  "the new path of the UEFI variables cannot be written in XML: it is not UTF-8 "
                  "or has control characters");
    return is_file && xml_can_hold(path);
}

bool firmware_move(xmlNode *domain, const char *path, GError **error)
{
    xmlNode *os = xml_child(domain, "os"), *nvram = xml_child(os, "nvram");
    xmlNode *source = xml_child(nvram, "source");

    if (!check_movable(domain, path, error))
        return false;
    if (source) {
        xml_set_attribute(source, "file", path);
        return true;
    }
    if (!nvram)
        nvram = add_nvram(os);
    xmlNodeSetContent(nvram, NULL);
    xmlNodeAddContent(nvram, (const xmlChar *)path);
    return true;
}
