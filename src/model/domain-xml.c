/* Domain XML as libvirt writes it, read into a Domain. */
#include "model/domain.h"

#include "base/error.h"
#include "base/str.h"
#include "model/domain-firmware.h"
#include "model/xml.h"
#include <string.h>

/* The path of a <source>, <mirror>'s or <backingStore>'s alike. Yours; NULL if it has no path
 * (network, volume). */
static char *source_path(const xmlNode *source)
{
    static const char *const attributes[] = {"file", "dev", "dir"};

    for (unsigned i = 0; i < G_N_ELEMENTS(attributes); i++) {
        char *path = xml_attribute(source, attributes[i]);

        if (path && *path)
            return path;
        g_free(path);
    }
    return NULL;
}

/* Each <backingStore> holds the next one; an empty one ends the chain. A link without a path (a
 * network image) has "". */
static void read_chain(const xmlNode *element, DomainDisk *disk)
{
    const xmlNode *store = xml_child(element, "backingStore");

    disk->chain_stated = store != NULL;
    while (store && xml_child(store, "source")) {
        ChainLink *link = g_new0(ChainLink, 1);

        link->path = source_path(xml_child(store, "source"));
        if (!link->path)
            link->path = g_strdup("");
        link->format = xml_attribute_or(xml_child(store, "format"), "type", "raw");
        g_ptr_array_add(disk->chain, link);
        store = xml_child(store, "backingStore");
    }
}

/* libvirt writes <mirror><source file=/></mirror>, and the older <mirror file=/> beside it. */
static void read_mirror(const xmlNode *element, DomainDisk *disk)
{
    const xmlNode *mirror = xml_child(element, "mirror");

    if (!mirror)
        return;
    disk->mirror_path = source_path(xml_child(mirror, "source"));
    if (!disk->mirror_path)
        disk->mirror_path = xml_attribute_or(mirror, "file", "");
    disk->mirror_job = xml_attribute_or(mirror, "job", "copy");
    disk->mirror_ready = xml_attribute_is(mirror, "ready", "yes");
}

static void read_flags(const xmlNode *element, const xmlNode *source, DomainDisk *disk)
{
    disk->readonly = xml_child(element, "readonly") != NULL;
    disk->shareable = xml_child(element, "shareable") != NULL;
    disk->transient = xml_child(element, "transient") != NULL;
    disk->encrypted = xml_child(element, "encryption") || xml_child(source, "encryption");
    disk->has_slices = xml_child(source, "slices") != NULL;
    disk->has_data_store = xml_child(element, "dataStore") || xml_child(source, "dataStore");
    /* "manual" asks that nobody but the administrator takes snapshots of it. */
    disk->snapshot_no = xml_attribute_is(element, "snapshot", "no") ||
                        xml_attribute_is(element, "snapshot", "manual");
    disk->snapshot_internal = xml_attribute_is(element, "snapshot", "internal");
}

static DomainDisk *read_disk(const xmlNode *element)
{
    const xmlNode *source = xml_child(element, "source");
    DomainDisk *disk = domain_disk_new();

    disk->target = xml_attribute(xml_child(element, "target"), "dev");
    disk->device = xml_attribute_or(element, "device", "disk");
    disk->type = xml_attribute_or(element, "type", "file");
    disk->path = source_path(source);
    disk->format = xml_attribute_or(xml_child(element, "driver"), "type", "raw");
    read_flags(element, source, disk);
    read_chain(element, disk);
    read_mirror(element, disk);
    return disk;
}

static bool check_target(const Domain *domain, const DomainDisk *disk, GError **error)
{
    if (!disk->target || !*disk->target) {
        error_set(error, ERR_INVALID, "the definition of \"%s\" has a disk without a target",
                  domain->name);
        return false;
    }
    if (domain_disk(domain, disk->target)) {
        error_set(error, ERR_INVALID,
                  "the definition of \"%s\" has two disks with the target \"%s\"", domain->name,
                  disk->target);
        return false;
    }
    return true;
}

static bool read_disks(const xmlNode *root, Domain *domain, GError **error)
{
    const xmlNode *element = xml_child(xml_child(root, "devices"), "disk");

    for (; element; element = xml_next(element, "disk")) {
        DomainDisk *disk = read_disk(element);

        if (!check_target(domain, disk, error)) {
            domain_disk_free(disk);
            return false;
        }
        g_ptr_array_add(domain->disks, disk);
    }
    return true;
}

static bool read_identity(const xmlNode *root, Domain *domain, GError **error)
{
    g_autofree char *uuid = xml_content(xml_child(root, "uuid"));

    domain->name = xml_content(xml_child(root, "name"));
    domain->uuid = uuid ? g_ascii_strdown(g_strstrip(uuid), -1) : NULL;
    if (!domain->name || !*domain->name) {
        error_set(error, ERR_INVALID, "a domain definition has no <name>");
        return false;
    }
    if (!domain->uuid || !g_uuid_string_is_valid(domain->uuid)) {
        error_set(error, ERR_INVALID, "the definition of \"%s\" has no <uuid>", domain->name);
        return false;
    }
    return true;
}

/* A definition may have several channels, and only one of this name. */
static AgentState agent_state(const xmlNode *root)
{
    const xmlNode *channel = xml_child(xml_child(root, "devices"), "channel");

    for (; channel; channel = xml_next(channel, "channel")) {
        const xmlNode *target = xml_child(channel, "target");

        if (xml_attribute_is(target, "name", AGENT_CHANNEL))
            return xml_attribute_is(target, "state", "connected") ? AGENT_CONNECTED
                                                                  : AGENT_DISCONNECTED;
    }
    return AGENT_NONE;
}

/* Anybody can write metadata: what makes no sense is as good as absent. */
static void read_metadata(const xmlNode *root, Domain *domain)
{
    const xmlNode *own = xml_own_metadata(root);
    g_autofree char *home = xml_attribute(own, "home");
    g_autofree char *generation = xml_attribute(own, "generation");
    guint64 number = 0;

    if (!home || home[0] != '/')
        return;
    domain->home = g_steal_pointer(&home);
    if (generation && g_ascii_string_to_unsigned(generation, 10, 0, G_MAXINT64, &number, NULL))
        domain->generation = number;
}

void domain_start_parsing(void)
{
    xmlInitParser();
}

Domain *domain_parse(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, "domain", error);
    g_autoptr(Domain) domain = domain_new();
    const xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (!root || !read_identity(root, domain, error) || !read_disks(root, domain, error))
        return NULL;
    domain->run = xml_attribute(root, "id");
    domain->agent = agent_state(root);
    domain->firmware = firmware_read(root);
    domain->tpm = tpm_read(root);
    read_metadata(root, domain);
    return g_steal_pointer(&domain);
}
