#include "hv/hypervisor.h"

#include "hv/fake.h"

#include <gio/gio.h>

void hv_domain_free(HvDomain *domain)
{
    if (!domain)
        return;
    g_free(domain->uuid);
    g_free(domain->name);
    g_free(domain);
}

Hypervisor *hv_open(const char *uri, GError **error)
{
    return g_str_has_prefix(uri, "fake:") ? hv_fake_open(uri, error) : hv_libvirt_open(uri, error);
}

/* libvirt's rule: DRIVER[+TRANSPORT]://[HOST]/…; no transport and no host is this machine, no
 * transport and a host is TLS. Of the transports only `unix` cannot leave the machine by itself. */
bool hv_is_local(const char *uri)
{
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_NONE, NULL);
    const char *host = parsed ? g_uri_get_host(parsed) : NULL;
    const char *transport = parsed ? strchr(g_uri_get_scheme(parsed), '+') : NULL;

    if (!parsed)
        return false;
    if (transport)
        return g_str_equal(transport, "+unix");
    return !host || !*host;
}
