/* What the host can do for UEFI and TPM: asked once in each life of the connection, since packages
 * come and go between two of them, and never remembered from an earlier one. */
#include "hv/libvirt-private.h"

/* q35 is the one that Secure Boot needs; another architecture has another. */
static char *ask(virConnectPtr connection)
{
    char *xml = virConnectGetDomainCapabilities(connection, NULL, NULL, "q35", NULL, 0);

    return xml ? xml : virConnectGetDomainCapabilities(connection, NULL, NULL, NULL, NULL, 0);
}

/* Once in each life. */
static void say(LibvirtCall *call, const GError *why)
{
    LibvirtHv *hv = call->hv;

    g_mutex_lock(&hv->lock);
    bool said = hv->capabilities_life == call->life;
    hv->capabilities_life = call->life;
    g_clear_pointer(&hv->capabilities, capabilities_unref);
    g_mutex_unlock(&hv->lock);
    if (!said)
        g_message("VMs with UEFI or a TPM are refused: %s", why->message);
}

/* Without an answer there is none, and no reason to refuse VMs that do not need it. */
static bool run_capabilities(LibvirtCall *call, GError **error)
{
    char *xml = ask(call->connection);
    g_autoptr(GError) why = NULL;

    if (!xml)
        libvirt_error_set(&why, call->connection,
                          "what the host can do for UEFI and TPM cannot be found out");
    else
        call->capabilities = capabilities_parse(xml, &why);
    free(xml);
    if (error_is(why, ERR_HOST_DOWN)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    if (why)
        say(call, why);
    return true;
}

/* Where libvirt 9.0 keeps them, by the kind of its connection. */
static void set_directories(const LibvirtHv *hv, Capabilities *capabilities)
{
    g_autofree char *root = libvirt_root(hv->uri);
    g_autoptr(GUri) uri = g_uri_parse(hv->uri, G_URI_FLAGS_NONE, NULL);
    bool session = uri && g_str_equal(g_uri_get_path(uri), "/session");
    g_autofree char *own =
        g_build_filename(root ? root : g_get_user_config_dir(), root ? "lib" : "libvirt", NULL);

    if (root || session) {
        capabilities->nvram_directory = g_build_filename(own, "qemu", "nvram", NULL);
        capabilities->tpm_directory = root ? g_build_filename(own, "swtpm", NULL)
                                           : g_build_filename(own, "qemu", "swtpm", NULL);
        return;
    }
    capabilities->nvram_directory = g_strdup("/var/lib/libvirt/qemu/nvram");
    capabilities->tpm_directory = g_strdup("/var/lib/libvirt/swtpm");
}

/* *out_life: of the connection that answered; 0: it did not, and is to be asked again. */
static Capabilities *read_now(LibvirtHv *hv, guint64 *out_life, GError **error)
{
    g_autoptr(LibvirtCall) call = libvirt_call_new("ask what can be done", NULL, run_capabilities);
    Capabilities *capabilities;

    if (!libvirt_call_query(&hv->base, call, error))
        return NULL;
    if (!call->capabilities)
        return capabilities_new();
    *out_life = call->life;
    capabilities = g_steal_pointer(&call->capabilities);
    if (hv_is_local(hv->uri)) {
        libvirt_firmware_read(capabilities);
        set_directories(hv, capabilities);
    }
    return capabilities;
}

/* What was read in the present life of the connection; NULL. */
static Capabilities *known(LibvirtHv *hv)
{
    Capabilities *capabilities = NULL;

    g_mutex_lock(&hv->lock);
    if (hv->capabilities && hv->main && hv->capabilities_life == hv->life)
        capabilities = capabilities_ref(hv->capabilities);
    g_mutex_unlock(&hv->lock);
    return capabilities;
}

Capabilities *libvirt_capabilities(Hypervisor *base, GError **error)
{
    LibvirtHv *hv = (LibvirtHv *)base;
    Capabilities *capabilities = known(hv);
    guint64 life = 0;

    if (capabilities || !(capabilities = read_now(hv, &life, error)) || life == 0)
        return capabilities;
    g_mutex_lock(&hv->lock);
    capabilities_unref(hv->capabilities);
    hv->capabilities = capabilities_ref(capabilities);
    hv->capabilities_life = life;
    g_mutex_unlock(&hv->lock);
    return capabilities;
}
