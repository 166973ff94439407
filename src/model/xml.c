#include "model/xml.h"

#include "base/error.h"
#include "model/domain.h"
#include <string.h>

static void set_parse_error(xmlParserCtxt *parser, const char *root, GError **error)
{
    const xmlError *last = xmlCtxtGetLastError(parser);
    g_autofree char *what = g_strdup(last && last->message ? last->message : "not XML");

    error_set(error, ERR_INVALID, "the <%s> document cannot be read: line %d: %s", root,
              last ? last->line : 1, g_strchomp(what));
}

/* A document type could declare entities; libvirt never writes one. */
static bool check_document(xmlDoc *doc, const char *root, GError **error)
{
    const xmlNode *node = xmlDocGetRootElement(doc);

    if (!doc->intSubset && !doc->extSubset && node && xml_is(node, root))
        return true;
    error_set(error, ERR_INVALID,
              doc->intSubset ? "the <%s> document has a document type, which is not taken"
                             : "the document is no <%s>",
              root);
    return false;
}

xmlDoc *xml_read(const char *text, const char *root, GError **error)
{
    const int options =
        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_NOCDATA;
    xmlParserCtxt *parser = NULL;
    g_autoptr(xmlDoc) doc = NULL;

    if (strlen(text) > G_MAXINT) {
        error_set(error, ERR_INVALID, "the <%s> document is too long", root);
        return NULL;
    }
    parser = xmlNewParserCtxt();
    doc = xmlCtxtReadMemory(parser, text, (int)strlen(text), NULL, "UTF-8", options);
    if (!doc)
        set_parse_error(parser, root, error);
    xmlFreeParserCtxt(parser);
    return doc && check_document(doc, root, error) ? g_steal_pointer(&doc) : NULL;
}

char *xml_write(xmlDoc *doc, xmlNode *node)
{
    xmlBuffer *buffer = xmlBufferCreate();
    char *text = NULL;

    xmlNodeDump(buffer, doc, node, 0, 0);
    text = g_strdup((const char *)xmlBufferContent(buffer));
    xmlBufferFree(buffer);
    return text;
}

bool xml_is(const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && !strcmp((const char *)node->name, name);
}

static xmlNode *first_from(xmlNode *node, const char *name)
{
    while (node && !xml_is(node, name))
        node = node->next;
    return node;
}

xmlNode *xml_child(const xmlNode *parent, const char *name)
{
    return parent ? first_from(parent->children, name) : NULL;
}

xmlNode *xml_next(const xmlNode *child, const char *name)
{
    return first_from(child->next, name);
}

static char *take(xmlChar *text)
{
    char *copy = g_strdup((const char *)text);

    if (text)
        xmlFree(text);
    return copy;
}

char *xml_attribute(const xmlNode *node, const char *name)
{
    return node ? take(xmlGetNoNsProp(node, (const xmlChar *)name)) : NULL;
}

char *xml_attribute_or(const xmlNode *node, const char *name, const char *otherwise)
{
    char *value = xml_attribute(node, name);

    if (value && *value)
        return value;
    g_free(value);
    return g_strdup(otherwise);
}

char *xml_content(const xmlNode *node)
{
    return node ? take(xmlNodeGetContent(node)) : NULL;
}

bool xml_attribute_is(const xmlNode *node, const char *name, const char *value)
{
    g_autofree char *present = xml_attribute(node, name);

    return !g_strcmp0(present, value);
}

void xml_set_attribute(xmlNode *node, const char *name, const char *value)
{
    xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value);
}

static void drop(xmlNode *node)
{
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

void xml_drop_children(xmlNode *parent, const char *name)
{
    xmlNode *child;

    while ((child = xml_child(parent, name)))
        drop(child);
}

bool xml_can_hold(const char *text)
{
    if (!g_utf8_validate(text, -1, NULL))
        return false;
    for (const char *c = text; *c; c = g_utf8_next_char(c)) {
        gunichar character = g_utf8_get_char(c);

        if (g_unichar_iscntrl(character) || character == 0xFFFE || character == 0xFFFF)
            return false;
    }
    return true;
}

xmlNode *xml_own_metadata(const xmlNode *domain)
{
    xmlNode *own = xml_child(xml_child(domain, "metadata"), "vmsnapfs");

    while (own && (!own->ns || strcmp((const char *)own->ns->href, METADATA_URI)))
        own = xml_next(own, "vmsnapfs");
    return own;
}
