/* YAML as our own files use it: the catalog, the journal, the configuration, the fake host's file.
 * libyaml scans and emits; this turns its events into a tree whose every node knows its line and
 * column, so that whoever checks the meaning can say where it is wrong.
 *
 * Only the plain part of YAML is taken: one document of maps with text keys, lists and scalars.
 * Anchors, aliases, tags, directives, duplicate keys, a second document, NUL, bytes that are not
 * UTF-8, more than 16 MiB, more than 32 levels or a million nodes are ERR_INVALID. Any bytes may be
 * given; every error text begins with "line L, column C: ".
 *
 * Reading:
 *     g_autoptr(YamlNode) root = yaml_parse(text, length, error);
 *     static const char *const keys[] = {"version", "name", NULL};
 *     if (!root || !yaml_check_keys(root, keys, error))
 *         return NULL;
 *     if (!yaml_u64(yaml_need(root, "version", error), &version, error))
 *         return NULL;                   // missing or no number: one check serves both
 *     const YamlNode *name = yaml_get(root, "name");        // optional
 *     if (name && !yaml_text(name, &text, error))           // text is borrowed from the tree
 *         return NULL;
 */
#pragma once

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { YAML_IS_SCALAR, YAML_IS_MAP, YAML_IS_LIST } YamlKind;

typedef struct {
    YamlKind kind;
    bool quoted;       /* scalar: it was quoted or a block, so it is text whatever it looks like */
    char *text;        /* scalar */
    GPtrArray *keys;   /* map: of YamlNode scalars, in document order */
    GPtrArray *items;  /* map: the values, parallel to keys; list: the elements. Of YamlNode */
    GHashTable *index; /* map of many keys: key text → value; private */
    unsigned line, column; /* from 1 */
} YamlNode;

YamlNode *yaml_parse(const char *text, gsize length, GError **error);
void yaml_node_free(YamlNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(YamlNode, yaml_node_free)

/* Set ERR_INVALID (or @code) with "line L, column C: " before the sentence. Always returns false.
 */
bool yaml_error(const YamlNode *node, GError **error, const char *format, ...) G_GNUC_PRINTF(3, 4);
bool yaml_error_code(const YamlNode *node, ErrorCode code, GError **error, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The value of @key, borrowed; NULL if @map lacks it or is NULL or no map. */
const YamlNode *yaml_get(const YamlNode *map, const char *key);
/* The same, NULL with an error if it lacks it. */
const YamlNode *yaml_need(const YamlNode *map, const char *key, GError **error);
/* Is @map a map with no other keys than @allowed (NULL-terminated)? The error names the key and its
 * place. */
bool yaml_check_keys(const YamlNode *map, const char *const *allowed, GError **error);

/* Typed values. Each takes a NULL node as "the error is already set" and returns false, so that it
 * can be wrapped around yaml_need. Text is any scalar but an empty unquoted one, null and ~; it is
 * borrowed. Numbers are unquoted decimal digits; a bool is unquoted true or false. */
bool yaml_text(const YamlNode *node, const char **out_text, GError **error);
bool yaml_u64(const YamlNode *node, uint64_t *out_number, GError **error);
bool yaml_bool(const YamlNode *node, bool *out_value, GError **error);
bool yaml_is_map(const YamlNode *node, GError **error);
bool yaml_is_list(const YamlNode *node, GError **error);

/* Writing. Calls follow the structure; in a map each value is preceded by its key. Text is quoted
 * whenever a YAML reader could take it for something else, and reads back byte for byte; it must be
 * UTF-8 without NUL. */
typedef struct YamlWriter YamlWriter;
YamlWriter *yaml_writer_new(void);
void yaml_writer_free(YamlWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(YamlWriter, yaml_writer_free)
void yaml_writer_begin_map(YamlWriter *writer);
void yaml_writer_end_map(YamlWriter *writer);
void yaml_writer_begin_list(YamlWriter *writer);
void yaml_writer_end_list(YamlWriter *writer);
void yaml_writer_key(YamlWriter *writer, const char *key);
void yaml_writer_text(YamlWriter *writer, const char *text);
/* Text of several lines as a literal block ("|"); falls back to quotes where a block cannot hold it
 * exactly. */
void yaml_writer_block(YamlWriter *writer, const char *text);
void yaml_writer_u64(YamlWriter *writer, uint64_t number);
void yaml_writer_bool(YamlWriter *writer, bool value);
/* A whole tree as it was read (its layout is not kept). */
void yaml_writer_node(YamlWriter *writer, const YamlNode *node);
/* "key: value" in a map. */
void yaml_writer_entry(YamlWriter *writer, const char *key, const char *text);
void yaml_writer_entry_u64(YamlWriter *writer, const char *key, uint64_t number);
void yaml_writer_entry_bool(YamlWriter *writer, const char *key, bool value);
/* The document; the writer can only be freed after that. */
char *yaml_writer_finish(YamlWriter *writer);
