#include "model/capabilities.h"

#include "base/str.h"
#include "model/xml.h"

static void build_free(void *data)
{
    FirmwareBuild *build = data;

    g_free(build->loader);
    g_free(build->template);
    g_free(build);
}

Capabilities *capabilities_new(void)
{
    Capabilities *capabilities = g_new0(Capabilities, 1);

    capabilities->references = 1;
    capabilities->firmware = g_ptr_array_new_with_free_func(build_free);
    return capabilities;
}

Capabilities *capabilities_ref(const Capabilities *capabilities)
{
    Capabilities *same = (Capabilities *)capabilities;

    g_atomic_int_inc(&same->references);
    return same;
}

void capabilities_unref(Capabilities *capabilities)
{
    if (!capabilities || !g_atomic_int_dec_and_test(&capabilities->references))
        return;
    g_ptr_array_unref(capabilities->firmware);
    g_free(capabilities->nvram_directory);
    g_free(capabilities->tpm_directory);
    g_free(capabilities);
}

void capabilities_add_firmware(Capabilities *capabilities, const char *loader, const char *template,
                               bool secure, bool enrolled)
{
    FirmwareBuild *build = g_new0(FirmwareBuild, 1);

    build->loader = g_strdup(loader);
    build->template = g_strdup(template);
    build->secure = secure;
    build->enrolled = enrolled;
    g_ptr_array_add(capabilities->firmware, build);
}

const FirmwareBuild *capabilities_firmware(const Capabilities *capabilities, const char *loader)
{
    for (guint i = 0; loader && i < capabilities->firmware->len; i++) {
        const FirmwareBuild *build = capabilities->firmware->pdata[i];

        if (!g_strcmp0(build->loader, loader))
            return build;
    }
    return NULL;
}

/* ---- libvirt's document ---- */

/* Does the <enum name=@name> of @parent list @value? */
static bool lists(const xmlNode *parent, const char *name, const char *value)
{
    const xmlNode *list = xml_child(parent, "enum");
    const xmlNode *each;

    while (list && !xml_attribute_is(list, "name", name))
        list = xml_next(list, "enum");
    for (each = xml_child(list, "value"); each; each = xml_next(each, "value")) {
        g_autofree char *text = xml_content(each);

        if (!g_strcmp0(text, value))
            return true;
    }
    return false;
}

/* Loaders that are there. That firmware='efi' is listed, and Secure Boot, says only that there are
 * descriptors: they may be left of firmware that is gone. */
static bool has_uefi(const xmlNode *os)
{
    const xmlNode *loader = xml_child(os, "loader");

    return xml_child(loader, "value") && lists(loader, "type", "pflash");
}

Capabilities *capabilities_parse(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, "domainCapabilities", error);
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    const xmlNode *os = xml_child(root, "os");
    Capabilities *capabilities;

    if (!root)
        return NULL;
    capabilities = capabilities_new();
    capabilities->uefi = has_uefi(os);
    capabilities->secure_boot =
        capabilities->uefi && lists(xml_child(os, "loader"), "secure", "yes");
    capabilities->tpm =
        lists(xml_child(xml_child(root, "devices"), "tpm"), "backendModel", "emulator");
    return capabilities;
}
