/* The XML that libvirt would give for a definition: what domain.h reads and edits, no more. */
#include "model/simhost-priv.h"

#include <libxml/tree.h>

static xmlNode *add(xmlNode *parent, const char *name, const char *text)
{
    return xmlNewTextChild(parent, NULL, BAD_CAST name, BAD_CAST text);
}

static void set(xmlNode *node, const char *name, const char *value)
{
    xmlNewProp(node, BAD_CAST name, BAD_CAST value);
}

static void add_metadata(xmlNode *root, const SimDefinition *definition)
{
    if (!definition->home)
        return;

    g_autofree char *generation = g_strdup_printf("%" G_GUINT64_FORMAT, definition->generation);
    xmlNode *element = add(add(root, "metadata", NULL), "vmsnapfs", NULL);
    xmlNs *space = xmlNewNs(element, BAD_CAST METADATA_URI, BAD_CAST "vmsnapfs");

    xmlSetNs(element, space);
    set(element, "home", definition->home);
    set(element, "generation", generation);
}

static void add_loader(xmlNode *os, const SimDomain *domain)
{
    xmlNode *loader = add(os, "loader", domain->secure ? SIM_SECURE_LOADER : SIM_LOADER_PATH);

    set(loader, "readonly", "yes");
    if (domain->secure)
        set(loader, "secure", "yes");
    set(loader, "type", "pflash");
}

/* As libvirt 9.0: what it chose by itself stands in the live definition only, and then as if
 * somebody had said so. */
static void add_os(xmlNode *root, const SimDomain *domain, const SimDefinition *definition,
                   bool live)
{
    xmlNode *os = add(root, "os", NULL);
    xmlNode *type = add(os, "type", "hvm");

    set(type, "arch", "x86_64");
    set(type, "machine", "q35");
    if (domain->firmware == SIM_BIOS)
        return;
    if (domain->firmware == SIM_EFI && !live)
        set(os, "firmware", "efi");
    else
        add_loader(os, domain);
    if (!definition->nvram)
        return;
    xmlNode *nvram = add(os, "nvram", definition->nvram);
    if (domain->firmware == SIM_EFI && live)
        set(nvram, "template", domain->secure ? SIM_SECURE_TEMPLATE : SIM_TEMPLATE);
}

static const char *source_attribute(const char *type)
{
    return g_str_equal(type, "file")      ? "file"
           : g_str_equal(type, "block")   ? "dev"
           : g_str_equal(type, "network") ? "name"
                                          : "volume";
}

static void add_source(xmlNode *parent, const char *type, const char *path)
{
    xmlNode *source = add(parent, "source", NULL);

    if (g_str_equal(type, "network"))
        set(source, "protocol", "rbd");
    else if (g_str_equal(type, "volume"))
        set(source, "pool", "default");
    set(source, source_attribute(type), path);
}

static void add_backing(xmlNode *parent, const SimDisk *disk)
{
    for (unsigned i = disk->lost ? 2 : 1; i < disk->links->len; i++) {
        const SimLink *link = disk->links->pdata[i];

        parent = add(parent, "backingStore", NULL);
        set(parent, "type", "file");
        set(add(parent, "format", NULL), "type", link->format);
        add_source(parent, "file", link->path);
    }
    if (disk->ended)
        add(parent, "backingStore", NULL);
}

static void add_mirror(xmlNode *parent, const SimJob *job, const SimDisk *disk)
{
    int at = sim_links_find(disk->links, job->base);
    xmlNode *mirror = add(parent, "mirror", NULL);

    set(mirror, "type", "file");
    set(mirror, "job", "active-commit");
    if (job->ready)
        set(mirror, "ready", "yes");
    set(add(mirror, "format", NULL), "type", ((SimLink *)disk->links->pdata[at])->format);
    add_source(mirror, "file", job->base);
}

static const char *bus_of(const char *target)
{
    return g_str_has_prefix(target, "vd")   ? "virtio"
           : g_str_has_prefix(target, "fd") ? "fdc"
                                            : "sata";
}

static void add_disk(xmlNode *devices, const SimDisk *disk, const SimJob *job)
{
    const SimLink *source = disk->links->pdata[disk->lost ? 1 : 0];
    xmlNode *element = add(devices, "disk", NULL);

    set(element, "type", disk->type);
    set(element, "device", disk->device);
    if (disk->snapshot_no)
        set(element, "snapshot", "no");
    xmlNode *driver = add(element, "driver", NULL);
    set(driver, "name", "qemu");
    set(driver, "type", source->format);
    if (source->path)
        add_source(element, disk->type, source->path);
    add_backing(element, disk);
    if (job && job->active)
        add_mirror(element, job, disk);
    xmlNode *target = add(element, "target", NULL);
    set(target, "dev", disk->target);
    set(target, "bus", bus_of(disk->target));
    if (disk->readonly)
        add(element, "readonly", NULL);
    if (disk->shareable)
        add(element, "shareable", NULL);
}

static void add_agent(xmlNode *devices, const SimDomain *domain, bool live)
{
    const char *state = sim_agent_state(domain);

    if (!state)
        return;

    xmlNode *channel = add(devices, "channel", NULL);
    xmlNode *target = add(channel, "target", NULL);
    set(channel, "type", "unix");
    set(target, "type", "virtio");
    set(target, "name", AGENT_CHANNEL);
    if (live)
        set(target, "state", state);
}

static void add_tpm(xmlNode *devices, const SimDomain *domain)
{
    if (!domain->tpm)
        return;

    xmlNode *tpm = add(devices, "tpm", NULL);
    xmlNode *backend = add(tpm, "backend", NULL);
    set(tpm, "model", "tpm-crb");
    set(backend, "type", "emulator");
    set(backend, "version", "2.0");
}

static xmlDoc *make_document(const SimDomain *domain, const SimDefinition *definition,
                             GHashTable *jobs)
{
    xmlDoc *document = xmlNewDoc(BAD_CAST "1.0");
    xmlNode *root = xmlNewNode(NULL, BAD_CAST "domain");

    xmlDocSetRootElement(document, root);
    set(root, "type", "qemu");
    if (jobs)
        set(root, "id", "1");
    add(root, "name", domain->name);
    add(root, "uuid", domain->uuid);
    add_metadata(root, definition);
    set(add(root, "memory", "262144"), "unit", "KiB");
    add(root, "vcpu", "1");
    add_os(root, domain, definition, jobs != NULL);

    xmlNode *devices = add(root, "devices", NULL);
    for (unsigned i = 0; i < definition->disks->len; i++) {
        const SimDisk *disk = definition->disks->pdata[i];

        add_disk(devices, disk, jobs ? g_hash_table_lookup(jobs, disk->target) : NULL);
    }
    add_agent(devices, domain, jobs != NULL);
    add_tpm(devices, domain);
    return document;
}

char *sim_xml(const SimDomain *domain, const SimDefinition *definition, GHashTable *jobs)
{
    xmlDoc *document = make_document(domain, definition, jobs);
    xmlChar *text = NULL;
    int length = 0;

    xmlDocDumpFormatMemoryEnc(document, &text, &length, "UTF-8", 1);
    char *copy = g_strndup((const char *)text, (gsize)length);
    xmlFree(text);
    xmlFreeDoc(document);
    return copy;
}
