/* Domain XML: nothing outside of it is read; what is read can be switched to new files, and differs
 * in nothing else then. */
#include "fuzz.h"
#include "model/domain.h"

#include <libxml/parser.h>
#include <libxml/xmlIO.h>
#include <string.h>

#define NEW_DISK  "/images/new & \"quoted\".qcow2"
#define NEW_NVRAM "/nvram/new <one>.fd"

static xmlParserInput *load_nothing(const char *url, const char *id, xmlParserCtxt *parser)
{
    fuzz_fail(__FILE__, __LINE__, "the parser opens %s", url ? url : id);
}

static void read_snapshot_xml(const Domain *domain, const GPtrArray *switches)
{
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();
    g_autofree char *text = NULL;
    xmlDoc *doc;

    for (guint i = 0; i < domain->disks->len; i++)
        g_ptr_array_add(excluded, ((DomainDisk *)domain->disks->pdata[i])->target);
    text = domain_snapshot_xml("s", switches, excluded);
    doc = xmlReadDoc((const xmlChar *)text, NULL, NULL, XML_PARSE_NONET | XML_PARSE_NOERROR);
    fuzz_check(doc, "what was written for libvirt is no XML: %s", text);
    xmlFreeDoc(doc);
}

/* Everything of @after is as in @before, but what @change says. */
static void check_switched(const Domain *before, const Domain *after, const DomainChange *change)
{
    fuzz_check(!strcmp(before->name, after->name) && !strcmp(before->uuid, after->uuid),
               "it is another VM");
    fuzz_check(before->disks->len == after->disks->len, "disks came or went");
    for (guint i = 0; i < before->disks->len; i++) {
        const DomainDisk *old = before->disks->pdata[i], *new = after->disks->pdata[i];
        bool switched = false;

        for (guint k = 0; k < change->switches->len; k++)
            if (!strcmp(((DiskSwitch *)change->switches->pdata[k])->target, old->target))
                switched = true;
        fuzz_check(!strcmp(old->target, new->target), "the disks changed places");
        fuzz_check(!g_strcmp0(new->path, switched ? NEW_DISK : old->path), "disk %s has %s",
                   new->target, new->path);
        fuzz_check(!strcmp(new->format, switched ? "qcow2" : old->format), "disk %s is %s",
                   new->target, new->format);
        fuzz_check(!switched || !new->chain_stated, "disk %s keeps its chain", new->target);
    }
    fuzz_check(!change->nvram || !g_strcmp0(after->firmware->path, NEW_NVRAM), "the store is at %s",
               after->firmware->path);
}

static void switch_to(const char *xml, const Domain *domain, const DomainChange *change)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = domain_xml_switch(xml, change, &error);
    g_autoptr(Domain) after = NULL;

    if (!text) {
        fuzz_error(error);
        return;
    }
    after = domain_parse(text, &error);
    fuzz_check(after, "what was switched cannot be read: %s: %s", error->message, text);
    check_switched(domain, after, change);
    fuzz_check(domain_xml_same(xml, text, change, &error), "%s", error->message);
    read_snapshot_xml(domain, change->switches);
}

static GPtrArray *switches_of(const Domain *domain)
{
    GPtrArray *switches = g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);

    for (guint i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];
        g_autofree char *unsupported = domain_disk_unsupported(disk);

        if (!domain_disk_excluded(disk) && !unsupported)
            g_ptr_array_add(switches, disk_switch_new(disk->target, NEW_DISK, "qcow2"));
    }
    return switches;
}

static void check(const char *xml, const Domain *domain)
{
    g_autoptr(GPtrArray) switches = switches_of(domain), none = g_ptr_array_new();
    g_autoptr(Domain) copy = domain_copy(domain);
    const DomainChange nothing = {.switches = none};
    const DomainChange disks = {.switches = switches};
    const DomainChange all = {.switches = switches, .nvram = NEW_NVRAM};

    fuzz_check(!domain->home || *domain->home == '/', "the home is relative: %s", domain->home);
    fuzz_check(g_uuid_string_is_valid(domain->uuid), "no uuid: %s", domain->uuid);
    switch_to(xml, domain, &nothing);
    switch_to(xml, copy, &disks);
    switch_to(xml, domain, &all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *xml = fuzz_text(data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Domain) domain = NULL;

    xmlSetExternalEntityLoader(load_nothing);
    domain = domain_parse(xml, &error);
    if (domain)
        check(xml, domain);
    else
        fuzz_error(error);
    return 0;
}
