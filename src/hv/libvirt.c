#include "hv/libvirt-private.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>

/* Without these the embedded driver, which has no daemon beside it, asks for a log daemon, for
 * cgroups and for users that only an installed libvirtd has. Ownership stays as it is: who runs the
 * program owns its images. */
static const char embedded_conf[] = "user = \"root\"\n"
                                    "group = \"root\"\n"
                                    "dynamic_ownership = 0\n"
                                    "remember_owner = 0\n"
                                    "cgroup_controllers = [ ]\n"
                                    "namespaces = [ ]\n"
                                    "security_driver = \"none\"\n"
                                    "stdio_handler = \"file\"\n";

LibvirtHv *libvirt_hv_ref(LibvirtHv *hv)
{
    g_atomic_ref_count_inc(&hv->refs);
    return hv;
}

void libvirt_hv_unref(LibvirtHv *hv)
{
    if (!g_atomic_ref_count_dec(&hv->refs))
        return;
    g_async_queue_unref(hv->notes);
    g_mutex_clear(&hv->lock);
    g_cond_clear(&hv->changed);
    g_hash_table_unref(hv->names);
    g_free(hv->why_down);
    capabilities_unref(hv->capabilities);
    g_free(hv->uri);
    g_free(hv);
}

void libvirt_hv_learn_name(LibvirtHv *hv, const HvDomain *domain)
{
    g_mutex_lock(&hv->lock);
    g_hash_table_replace(hv->names, g_strdup(domain->uuid), g_strdup(domain->name));
    g_mutex_unlock(&hv->lock);
}

char *libvirt_hv_name(LibvirtHv *hv, const char *uuid)
{
    g_mutex_lock(&hv->lock);
    const char *known = g_hash_table_lookup(hv->names, uuid);
    char *name = g_strdup(known ? known : uuid);
    g_mutex_unlock(&hv->lock);
    return name;
}

static void libvirt_free(Hypervisor *base)
{
    LibvirtHv *hv = (LibvirtHv *)base;

    libvirt_connection_stop(hv);
    libvirt_hv_unref(hv);
}

static const HvOps libvirt_ops = {
    .list = libvirt_list,
    .inspect = libvirt_inspect,
    .definitions = libvirt_definitions,
    .capabilities = libvirt_capabilities,
    .block_job = libvirt_block_job,
    .define = libvirt_define,
    .rename = libvirt_rename,
    .undefine = libvirt_undefine,
    .snapshot = libvirt_snapshot,
    .block_commit = libvirt_block_commit,
    .block_pivot = libvirt_block_pivot,
    .block_abort = libvirt_block_abort,
    .block_speed = libvirt_block_speed,
    .start = libvirt_start,
    .shutdown = libvirt_shutdown,
    .destroy = libvirt_destroy,
    .suspend = libvirt_suspend,
    .resume = libvirt_resume,
    .agent_timeout = libvirt_agent_timeout,
    .freeze = libvirt_freeze,
    .thaw = libvirt_thaw,
    .frozen = libvirt_frozen,
    .set_metadata = libvirt_set_metadata,
    .subscribe = libvirt_subscribe,
    .is_up = libvirt_is_up,
    .free = libvirt_free,
};

static GUri *parse_uri(const char *uri, GError **error)
{
    g_autoptr(GError) why = NULL;
    GUri *parsed = g_uri_parse(uri, G_URI_FLAGS_NONE, &why);

    if (!parsed)
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "%s is no libvirt URI (%s); write one like qemu:///system", uri, why->message);
    return parsed;
}

static char *root_of(GUri *uri)
{
    g_autoptr(GHashTable) params = NULL;

    if (g_uri_get_query(uri))
        params = g_uri_parse_params(g_uri_get_query(uri), -1, "&", G_URI_PARAMS_NONE, NULL);
    return params ? g_strdup(g_hash_table_lookup(params, "root")) : NULL;
}

static bool write_conf(const char *root, GError **error)
{
    g_autofree char *folder = g_build_filename(root, "etc", NULL);
    g_autofree char *conf = g_build_filename(folder, "qemu.conf", NULL);
    g_autoptr(GError) why = NULL;

    if (g_mkdir_with_parents(folder, 0700) < 0) {
        error_set_errno(error, errno, "cannot make %s for libvirt's embedded driver", folder);
        return false;
    }
    if (g_file_test(conf, G_FILE_TEST_EXISTS))
        return true;
    if (g_file_set_contents_full(conf, embedded_conf, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600,
                                 &why))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "cannot write %s: %s", conf, why->message);
    return false;
}

static bool prepare_root(const char *text, GUri *uri, GError **error)
{
    g_autofree char *root = root_of(uri);

    if (root && g_path_is_absolute(root))
        return write_conf(root, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                "%s names no root directory; write qemu:///embed?root=/ABSOLUTE/PATH", text);
    return false;
}

char *libvirt_root(const char *uri)
{
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_NONE, NULL);

    return parsed && g_str_equal(g_uri_get_path(parsed), "/embed") ? root_of(parsed) : NULL;
}

static LibvirtHv *libvirt_hv_new(const char *uri, bool embedded)
{
    LibvirtHv *hv = g_new0(LibvirtHv, 1);

    hv->base.ops = &libvirt_ops;
    g_atomic_ref_count_init(&hv->refs);
    hv->uri = g_strdup(uri);
    hv->embedded = embedded;
    hv->queries = (LibvirtPool){.most = LIBVIRT_QUERIES};
    hv->effects = (LibvirtPool){.most = LIBVIRT_EFFECTS};
    hv->notes = g_async_queue_new_full((GDestroyNotify)libvirt_note_free);
    hv->names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_mutex_init(&hv->lock);
    g_cond_init(&hv->changed);
    return hv;
}

Hypervisor *hv_libvirt_open(const char *uri, GError **error)
{
    g_autoptr(GUri) parsed = parse_uri(uri, error);
    bool embedded;
    LibvirtHv *hv;

    if (!parsed)
        return NULL;
    embedded = g_str_equal(g_uri_get_path(parsed), "/embed");
    if (embedded && !prepare_root(uri, parsed, error))
        return NULL;
    libvirt_events_start();
    hv = libvirt_hv_new(uri, embedded);
    libvirt_connection_start(hv);
    return &hv->base;
}
