/* The contract, against real QEMU through libvirt's embedded driver in a root of its own: no
 * daemon, nothing of the system's is touched. The machines have no guest (the firmware finds
 * nothing to boot). */
#include "hv-contract.h"

#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
    char *root;
    virConnectPtr connection; /* to the same driver, for what a Hypervisor cannot do */
    unsigned n_files;
} Host;

static bool run(const char *const *argv)
{
    g_autoptr(GError) error = NULL;
    int status = 0;

    if (g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL,
                     NULL, NULL, NULL, NULL, &status, &error) &&
        g_spawn_check_wait_status(status, &error))
        return true;
    fprintf(stderr, "# %s: %s\n", argv[0], error->message);
    return false;
}

static char *new_file(Host *host)
{
    return g_strdup_printf("%s/images/%u.qcow2", host->root, ++host->n_files);
}

static char *make_image(Host *host)
{
    g_autofree char *size = g_strdup_printf("%d", HV_CONTRACT_CAPACITY);
    char *path = new_file(host);
    const char *argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", path, size, NULL};

    return run(argv) ? path : NULL;
}

static char *make_overlay(void *data, const char *backing)
{
    char *path = new_file(data);
    const char *argv[] = {"qemu-img", "create", "-q",    "-f", "qcow2", "-b",
                          backing,    "-F",     "qcow2", path, NULL};

    return run(argv) ? path : NULL;
}

static void remove_file(void *data, const char *path)
{
    g_unlink(path);
}

static char *disks_xml(Host *host, unsigned n_disks)
{
    GString *xml = g_string_new(NULL);

    for (unsigned i = 0; i < n_disks; i++) {
        g_autofree char *path = make_image(host);

        g_string_append_printf(xml,
                               "<disk type='file' device='disk'>"
                               "<driver name='qemu' type='qcow2'/><source file='%s'/>"
                               "<target dev='vd%c' bus='virtio'/></disk>",
                               path, 'a' + i);
    }
    return g_string_free(xml, FALSE);
}

static char *make_vm(void *data, const char *name, unsigned n_disks)
{
    Host *host = data;
    g_autofree char *disks = disks_xml(host, n_disks);
    g_autofree char *xml = g_strdup_printf(
        "<domain type='qemu'><name>%s</name><memory unit='MiB'>16</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64' machine='pc'>hvm</type></os>"
        "<cpu mode='custom' match='exact' check='none'>"
        "<model fallback='forbid'>qemu64</model></cpu><devices>"
        "<emulator>/usr/bin/qemu-system-x86_64</emulator>%s"
        "<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
        name, disks);
    virDomainPtr domain = virDomainDefineXML(host->connection, xml);
    char uuid[VIR_UUID_STRING_BUFLEN];

    if (!domain)
        return NULL;
    virDomainGetUUIDString(domain, uuid);
    virDomainFree(domain);
    return g_strdup(uuid);
}

static void save(void *data, const char *uuid)
{
    Host *host = data;
    virDomainPtr domain = virDomainLookupByUUIDString(host->connection, uuid);

    virDomainCreateWithFlags(domain, VIR_DOMAIN_START_PAUSED);
    virDomainManagedSave(domain, 0);
    virDomainFree(domain);
}

static void drop_save(void *data, const char *uuid)
{
    Host *host = data;
    virDomainPtr domain = virDomainLookupByUUIDString(host->connection, uuid);

    virDomainManagedSaveRemove(domain, 0);
    virDomainFree(domain);
}

/* Each case powers its machine off; this is for what a failed one left. */
static void power_all_off(Host *host)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(host->connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    for (int i = 0; i < n; i++) {
        virDomainDestroy(domains[i]);
        virDomainFree(domains[i]);
    }
    free(domains);
}

static bool host_open(Host *host)
{
    g_autofree char *images = NULL;

    host->root = g_dir_make_tmp("hv-libvirt-XXXXXX", NULL);
    if (!host->root)
        return false;
    images = g_build_filename(host->root, "images", NULL);
    return g_mkdir(images, 0700) == 0;
}

static void host_remove(Host *host)
{
    const char *argv[] = {"rm", "-rf", "--one-file-system", host->root, NULL};

    run(argv);
    g_free(host->root);
}

/* ---- durable definitions ---- */

static char *synced; /* what our own code synced last */

/* The linker calls this for fsync in src/, not in libvirt (meson.build). */
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
    g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);

    g_free(synced);
    synced = g_file_read_link(link, NULL);
    return __real_fsync(fd);
}

/* libvirt renames the file that it wrote, and leaves it at that. */
static bool definitions_are_durable(Host *host, Hypervisor *hv)
{
    g_autofree char *uuid = make_vm(host, "durable", 1), *live = NULL, *xml = NULL, *job = NULL;
    g_autofree char *directory = g_build_filename(host->root, "etc", "qemu", NULL);
    HvDomain *domain = NULL;
    unsigned snapshots;
    bool durable = uuid && hv->ops->inspect(hv, uuid, &domain, &live, &xml, &job, &snapshots, NULL);

    g_clear_pointer(&domain, hv_domain_free);
    g_clear_pointer(&synced, g_free);
    durable = durable && hv->ops->define(hv, uuid, xml, NULL) && !g_strcmp0(synced, directory);
    g_clear_pointer(&synced, g_free);
    durable =
        durable && hv->ops->rename(hv, uuid, "durable-2", NULL) && !g_strcmp0(synced, directory);
    g_clear_pointer(&synced, g_free);
    durable = durable && hv->ops->undefine(hv, uuid, NULL) && !g_strcmp0(synced, directory);
    printf("1..1\n%s 1 - a_definition_is_durable_when_it_was_changed\n", durable ? "ok" : "not ok");
    return durable;
}

static int run_contract(Host *host, const char *uri, Hypervisor *hv)
{
    HvContract contract = {.hv = hv,
                           .host = host,
                           .make_vm = make_vm,
                           .make_overlay = make_overlay,
                           .remove_file = remove_file,
                           .save = save,
                           .drop_save = drop_save};
    int failed;

    host->connection = virConnectOpen(uri);
    if (!host->connection)
        return 1;
    failed = hv_contract_run("real QEMU through libvirt", &contract);
    failed += !definitions_are_durable(host, hv);
    power_all_off(host);
    virConnectClose(host->connection);
    return failed;
}

int main(void)
{
    g_autoptr(Hypervisor) hv = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree char *uri = NULL;
    Host host = {0};
    int failed = 1;

    if (!host_open(&host))
        return 1;
    uri = g_strdup_printf("qemu:///embed?root=%s", host.root);
    hv = hv_libvirt_open(uri, &error);
    if (!hv)
        fprintf(stderr, "# %s\n", error->message);
    else if (!hv->ops->is_up(hv))
        fprintf(stderr, "# libvirt's embedded driver does not open (QEMU and libvirt needed)\n");
    else
        failed = run_contract(&host, uri, hv);
    host_remove(&host);
    return failed;
}
