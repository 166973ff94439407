/* What model/ needs of libxml2 beyond itself: parsing without network, entities and document types,
 * elements by name, strings that g_free frees. Private to model/. */
#pragma once

#include <glib.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdbool.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* The document if its root is <@root>; ERR_INVALID with the line otherwise. */
xmlDoc *xml_read(const char *text, const char *root, GError **error);
/* The text of @node and what is below it, in UTF-8, without an XML declaration. */
char *xml_write(xmlDoc *doc, xmlNode *node);

bool xml_is(const xmlNode *node, const char *name); /* an element of that name? */
/* The first child, and the next sibling after @child, that is an element <@name>; NULL if there is
 * none or no parent. */
xmlNode *xml_child(const xmlNode *parent, const char *name);
xmlNode *xml_next(const xmlNode *child, const char *name);
/* New string or NULL. */
char *xml_attribute(const xmlNode *node, const char *name);
/* @otherwise if it is absent or empty. */
char *xml_attribute_or(const xmlNode *node, const char *name, const char *otherwise);
char *xml_content(const xmlNode *node);
bool xml_attribute_is(const xmlNode *node, const char *name, const char *value);
void xml_set_attribute(xmlNode *node, const char *name, const char *value);
/* Removes every child element <@name>. */
void xml_drop_children(xmlNode *parent, const char *name);
/* Can @text stand in XML (UTF-8 without control characters)? */
bool xml_can_hold(const char *text);

/* Our metadata element in a <domain>, with whatever prefix; NULL if there is none. */
xmlNode *xml_own_metadata(const xmlNode *domain);
