/* The edits of rule 7, and the documents of rule 13. What is not named by an edit is written back
 * as it was read. */
#include "model/domain.h"

#include "base/error.h"
#include "model/domain-firmware.h"
#include <string.h>

static xmlNode *find_disk(const xmlNode *root, const char *target)
{
    xmlNode *disk = xml_child(xml_child(root, "devices"), "disk");

    while (disk && !xml_attribute_is(xml_child(disk, "target"), "dev", target))
        disk = xml_next(disk, "disk");
    return disk;
}

static bool check_switch(const DiskSwitch *change, const xmlNode *disk, GError **error)
{
    if (!disk) {
        error_set(error, ERR_NOT_FOUND, "the definition has no disk \"%s\"", change->target);
        return false;
    }
    if (!xml_can_hold(change->path) || !xml_can_hold(change->format)) {
        error_set(error, ERR_INVALID,
                  "the new path of disk \"%s\" cannot be written in XML: it is not UTF-8 or has "
                  "control characters",
                  change->target);
        return false;
    }
    if (!xml_child(disk, "source") || !xml_attribute_is(disk, "type", "file")) {
        error_set(error, ERR_INVALID,
                  "disk \"%s\" of the definition is no file, so it cannot be switched to %s",
                  change->target, change->path);
        return false;
    }
    return true;
}

/* libvirt writes <driver> first in a disk; without one the format would be taken as raw. */
static xmlNode *need_driver(xmlNode *disk)
{
    xmlNode *driver = xml_child(disk, "driver");

    if (driver)
        return driver;
    driver = xmlNewDocNode(disk->doc, NULL, (const xmlChar *)"driver", NULL);
    xml_set_attribute(driver, "name", "qemu");
    return xmlAddPrevSibling(disk->children, driver);
}

static bool apply_switch(xmlNode *root, const DiskSwitch *change, GError **error)
{
    xmlNode *disk = find_disk(root, change->target);

    if (!check_switch(change, disk, error))
        return false;
    xml_set_attribute(need_driver(disk), "type", change->format);
    xml_set_attribute(xml_child(disk, "source"), "file", change->path);
    xml_drop_children(disk, "backingStore");
    return true;
}

static bool apply_change(xmlNode *root, const DomainChange *change, GError **error)
{
    for (guint i = 0; change->switches && i < change->switches->len; i++)
        if (!apply_switch(root, change->switches->pdata[i], error))
            return false;
    return !change->nvram || firmware_move(root, change->nvram, error);
}

/* ---- comparing ---- */

/* What libvirt or we may change between two readings: how it notes chains, and where our own
 * metadata points. */
static void drop_noise(xmlNode *root)
{
    xmlNode *disk = xml_child(xml_child(root, "devices"), "disk");
    xmlNode *metadata = xml_child(root, "metadata");
    xmlNode *own;

    for (; disk; disk = xml_next(disk, "disk"))
        xml_drop_children(disk, "backingStore");
    while ((own = xml_own_metadata(root))) {
        xmlUnlinkNode(own);
        xmlFreeNode(own);
    }
    if (metadata && !xmlFirstElementChild(metadata)) {
        xmlUnlinkNode(metadata);
        xmlFreeNode(metadata);
    }
}

static bool differ(const xmlNode *node, GError **error, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static bool differ(const xmlNode *node, GError **error, const char *format, ...)
{
    xmlChar *where = xmlGetNodePath(node);
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    error_set(error, ERR_DRIFT, "the definition differs at %s: %s",
              where ? (const char *)where : "?", what);
    xmlFree(where);
    return false;
}

static unsigned count_attributes(const xmlNode *node)
{
    unsigned count = 0;

    for (const xmlAttr *attribute = node->properties; attribute; attribute = attribute->next)
        count++;
    return count;
}

static char *attribute_of(const xmlNode *node, const xmlAttr *like)
{
    xmlChar *value = like->ns ? xmlGetNsProp(node, like->name, like->ns->href)
                              : xmlGetNoNsProp(node, like->name);
    char *copy = g_strdup((const char *)value);

    if (value)
        xmlFree(value);
    return copy;
}

static bool same_attributes(const xmlNode *a, const xmlNode *b, GError **error)
{
    for (const xmlAttr *attribute = a->properties; attribute; attribute = attribute->next) {
        g_autofree char *before = attribute_of(a, attribute);
        g_autofree char *after = attribute_of(b, attribute);

        if (g_strcmp0(before, after))
            return differ(a, error, "%s was \"%s\" and is \"%s\"", (const char *)attribute->name,
                          before ? before : "", after ? after : "(absent)");
    }
    if (count_attributes(a) != count_attributes(b))
        return differ(b, error, "it has more attributes than it had");
    return true;
}

static bool same_name(const xmlNode *a, const xmlNode *b)
{
    const xmlChar *space_a = a->ns ? a->ns->href : NULL;
    const xmlChar *space_b = b->ns ? b->ns->href : NULL;

    return xmlStrEqual(a->name, b->name) && xmlStrEqual(space_a, space_b);
}

/* The next node that means something: an element, or text that is not mere layout between elements.
 */
static const xmlNode *meaning(const xmlNode *node, bool among_elements)
{
    while (node && node->type != XML_ELEMENT_NODE &&
           (node->type != XML_TEXT_NODE || (among_elements && xmlIsBlankNode(node))))
        node = node->next;
    return node;
}

static bool same_text(const xmlNode *a, const xmlNode *b, GError **error)
{
    const char *before = a->content ? (const char *)a->content : "";
    const char *after = b->content ? (const char *)b->content : "";

    if (strcmp(before, after))
        return differ(a, error, "the text was \"%s\" and is \"%s\"", before, after);
    return true;
}

/* Recursion is as deep as the document, which libxml2 limits to 256. */
static bool same_element(const xmlNode *a, const xmlNode *b, GError **error)
{
    bool among_a = xmlFirstElementChild((xmlNode *)a) != NULL;
    bool among_b = xmlFirstElementChild((xmlNode *)b) != NULL;
    const xmlNode *x = meaning(a->children, among_a), *y = meaning(b->children, among_b);

    if (!same_name(a, b))
        return differ(a, error, "<%s> became <%s>", (const char *)a->name, (const char *)b->name);
    if (!same_attributes(a, b, error))
        return false;
    while (x && y) {
        if (x->type != y->type)
            return differ(x, error, "text and elements changed places");
        if (x->type == XML_TEXT_NODE ? !same_text(x, y, error) : !same_element(x, y, error))
            return false;
        x = meaning(x->next, among_a);
        y = meaning(y->next, among_b);
    }
    if (x || y)
        return differ(x ? x : y, error, x ? "it is gone" : "it is new");
    return true;
}

bool domain_xml_same(const char *before, const char *after, const DomainChange *change,
                     GError **error)
{
    g_autoptr(xmlDoc) old = xml_read(before, "domain", error);
    g_autoptr(xmlDoc) new = old ? xml_read(after, "domain", error) : NULL;

    if (!new || !apply_change(xmlDocGetRootElement(old), change, error))
        return false;
    drop_noise(xmlDocGetRootElement(old));
    drop_noise(xmlDocGetRootElement(new));
    return same_element(xmlDocGetRootElement(old), xmlDocGetRootElement(new), error);
}

/* libxml2 does not write everything so that it can be read again: names of namespaces are not
 * escaped. */
static bool is_written_back(const char *xml, const char *text, const DomainChange *change,
                            GError **error)
{
    g_autoptr(GError) why = NULL;

    if (domain_xml_same(xml, text, change, &why))
        return true;
    error_set(error, ERR_UNSUPPORTED,
              "the definition cannot be changed, since it cannot be written as it was read: %s",
              why->message);
    return false;
}

char *domain_xml_switch(const char *xml, const DomainChange *change, GError **error)
{
    g_autoptr(xmlDoc) doc = xml_read(xml, "domain", error);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;
    g_autofree char *text = NULL;

    if (!root || !apply_change(root, change, error))
        return NULL;
    text = xml_write(doc, root);
    return is_written_back(xml, text, change, error) ? g_steal_pointer(&text) : NULL;
}

/* ---- documents of ours ---- */

static xmlNode *add(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, (const xmlChar *)name, NULL);
}

static xmlNode *add_disk(xmlNode *disks, const char *target, const char *snapshot)
{
    xmlNode *disk = add(disks, "disk");

    xml_set_attribute(disk, "name", target);
    xml_set_attribute(disk, "snapshot", snapshot);
    return disk;
}

static void add_switch(xmlNode *disks, const DiskSwitch *change)
{
    xmlNode *disk = add_disk(disks, change->target, "external");

    xml_set_attribute(disk, "type", "file");
    xml_set_attribute(add(disk, "driver"), "type", change->format);
    xml_set_attribute(add(disk, "source"), "file", change->path);
}

static xmlNode *new_document(xmlDoc **out_doc, const char *root)
{
    xmlNode *node = xmlNewNode(NULL, (const xmlChar *)root);

    *out_doc = xmlNewDoc((const xmlChar *)"1.0");
    (*out_doc)->encoding = xmlStrdup((const xmlChar *)"UTF-8"); /* else attributes become &#…; */
    xmlDocSetRootElement(*out_doc, node);
    return node;
}

char *domain_snapshot_xml(const char *name, const GPtrArray *switches, const GPtrArray *excluded)
{
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root = new_document(&doc, "domainsnapshot");
    xmlNode *disks = NULL;

    xmlNewTextChild(root, NULL, (const xmlChar *)"name", (const xmlChar *)name);
    disks = add(root, "disks");
    for (guint i = 0; i < switches->len; i++)
        add_switch(disks, switches->pdata[i]);
    for (guint i = 0; excluded && i < excluded->len; i++)
        add_disk(disks, excluded->pdata[i], "no");
    return xml_write(doc, root);
}

char *domain_metadata_xml(const char *home, uint64_t generation)
{
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, generation);
    g_autoptr(xmlDoc) doc = NULL;
    xmlNode *root = new_document(&doc, "vmsnapfs");

    xml_set_attribute(root, "home", home);
    xml_set_attribute(root, "generation", number);
    return xml_write(doc, root);
}
