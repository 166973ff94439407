/* The tree is built with an explicit stack, so that depth is bounded by a number of ours and not by
 * the C stack, and every limit is checked before anything is allocated for what exceeds it. */
#include "base/yaml.h"

#include <stdarg.h>
#include <string.h>
#include <yaml.h>

#define MAX_BYTES ((gsize)16 << 20)
#define MAX_DEPTH 32
#define MAX_NODES 1000000
#define MANY_KEYS 16 /* from so many on a map has an index: fewer are found as fast without */

typedef struct {
    yaml_parser_t parser;
    const char *text;
    YamlNode *stack[MAX_DEPTH];   /* borrowed: the open maps and lists */
    YamlNode *pending[MAX_DEPTH]; /* owned: the key of an open map that waits for its value */
    unsigned depth, nodes;
    YamlNode *root; /* owned */
} Builder;

void yaml_node_free(YamlNode *node)
{
    if (!node)
        return;
    g_free(node->text);
    g_clear_pointer(&node->index, g_hash_table_unref);
    g_clear_pointer(&node->keys, g_ptr_array_unref);
    g_clear_pointer(&node->items, g_ptr_array_unref);
    g_free(node);
}

static void free_node(void *node)
{
    yaml_node_free(node);
}

static bool error_at(unsigned line, unsigned column, GError **error, const char *what)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "line %u, column %u: %s", line, column, what);
    return false;
}

static bool error_at_mark(yaml_mark_t mark, GError **error, const char *what)
{
    return error_at((unsigned)mark.line + 1, (unsigned)mark.column + 1, error, what);
}

/* Columns are characters, as libyaml counts them; all bytes before @offset are valid UTF-8. */
static bool error_at_offset(const char *text, gsize offset, GError **error, const char *what)
{
    unsigned line = 1, column = 1;

    for (gsize i = 0; i < offset; i++) {
        if (text[i] == '\n')
            line++, column = 1;
        else if (((unsigned char)text[i] & 0xC0) != 0x80)
            column++;
    }
    return error_at(line, column, error, what);
}

static bool check_bytes(const char *text, gsize length, GError **error)
{
    const char *end = NULL;

    if (length > MAX_BYTES)
        return error_at(1, 1, error, "the file is larger than 16 MiB");
    if (length == 0 || g_utf8_validate_len(text, length, &end))
        return true;
    return error_at_offset(text, (gsize)(end - text), error,
                           *end ? "a byte that is not UTF-8" : "a NUL byte");
}

static bool parser_error(Builder *builder, GError **error)
{
    const yaml_parser_t *parser = &builder->parser;
    const char *problem = parser->problem ? parser->problem : "not YAML";

    if (parser->error == YAML_READER_ERROR)
        return error_at_offset(builder->text, parser->problem_offset, error, problem);
    return error_at_mark(parser->problem_mark, error, problem);
}

static YamlNode *node_new(Builder *builder, const yaml_event_t *event, YamlKind kind)
{
    YamlNode *node = g_new0(YamlNode, 1);

    node->kind = kind;
    node->line = (unsigned)event->start_mark.line + 1;
    node->column = (unsigned)event->start_mark.column + 1;
    if (kind != YAML_IS_SCALAR)
        node->items = g_ptr_array_new_with_free_func(free_node);
    if (kind == YAML_IS_MAP)
        node->keys = g_ptr_array_new_with_free_func(free_node);
    builder->nodes++;
    return node;
}

/* Is @node, as the next key of @map, one that we take? */
static bool check_key(const YamlNode *map, const YamlNode *node, GError **error)
{
    const char *text = NULL;

    if (node->kind != YAML_IS_SCALAR)
        return yaml_error(node, error, "a key must be a single value");
    if (!yaml_text(node, &text, NULL)) /* null, of which there are many spellings */
        return yaml_error(node, error, "a key is missing");
    if (yaml_get(map, text))
        return yaml_error(node, error, "the key \"%s\" stands twice", text);
    return true;
}

static void add_entry(YamlNode *map, YamlNode *key, YamlNode *value)
{
    g_ptr_array_add(map->items, value);
    g_ptr_array_add(map->keys, key);
    if (map->keys->len < MANY_KEYS)
        return;
    if (!map->index)
        map->index = g_hash_table_new(g_str_hash, g_str_equal);
    for (guint i = g_hash_table_size(map->index); i < map->keys->len; i++)
        g_hash_table_insert(map->index, ((YamlNode *)map->keys->pdata[i])->text,
                            map->items->pdata[i]);
}

/* Puts @node (taken) where the document has it: a list's next element, a map's next key or value,
 * else the root. */
static bool place(Builder *builder, YamlNode *node, GError **error)
{
    g_autoptr(YamlNode) owned = node;
    YamlNode *parent = builder->depth ? builder->stack[builder->depth - 1] : NULL;
    YamlNode **pending = builder->depth ? &builder->pending[builder->depth - 1] : NULL;

    if (!parent) {
        builder->root = g_steal_pointer(&owned);
    } else if (parent->kind == YAML_IS_LIST) {
        g_ptr_array_add(parent->items, g_steal_pointer(&owned));
    } else if (!*pending) {
        if (!check_key(parent, node, error))
            return false;
        *pending = g_steal_pointer(&owned);
    } else {
        add_entry(parent, g_steal_pointer(pending), g_steal_pointer(&owned));
    }
    return true;
}

static bool open_node(Builder *builder, const yaml_event_t *event, YamlKind kind, GError **error)
{
    const yaml_char_t *anchor =
        kind == YAML_IS_MAP ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    const yaml_char_t *tag =
        kind == YAML_IS_MAP ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    YamlNode *node;

    if (anchor || tag)
        return error_at_mark(event->start_mark, error, "anchors and tags are not allowed here");
    if (builder->depth == MAX_DEPTH)
        return error_at_mark(event->start_mark, error, "nested deeper than 32 levels");
    node = node_new(builder, event, kind);
    if (!place(builder, node, error))
        return false;
    builder->stack[builder->depth++] = node;
    return true;
}

static bool add_scalar(Builder *builder, const yaml_event_t *event, GError **error)
{
    const char *value = (const char *)event->data.scalar.value;
    gsize length = event->data.scalar.length;
    YamlNode *node;

    if (event->data.scalar.anchor || event->data.scalar.tag)
        return error_at_mark(event->start_mark, error, "anchors and tags are not allowed here");
    if (memchr(value, '\0', length))
        return error_at_mark(event->start_mark, error, "a NUL character in a text");
    node = node_new(builder, event, YAML_IS_SCALAR);
    node->text = g_strndup(value, length);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    return place(builder, node, error);
}

static bool start_document(Builder *builder, const yaml_event_t *event, GError **error)
{
    if (builder->root)
        return error_at_mark(event->start_mark, error, "a second document begins here");
    if (event->data.document_start.version_directive ||
        event->data.document_start.tag_directives.start !=
            event->data.document_start.tag_directives.end)
        return error_at_mark(event->start_mark, error, "directives (%) are not allowed here");
    return true;
}

static bool take_event(Builder *builder, const yaml_event_t *event, GError **error)
{
    if (builder->nodes >= MAX_NODES)
        return error_at_mark(event->start_mark, error, "more than a million nodes");
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return start_document(builder, event, error);
    case YAML_MAPPING_START_EVENT:
        return open_node(builder, event, YAML_IS_MAP, error);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(builder, event, YAML_IS_LIST, error);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        builder->depth--;
        return true;
    case YAML_SCALAR_EVENT:
        return add_scalar(builder, event, error);
    case YAML_ALIAS_EVENT:
        return error_at_mark(event->start_mark, error, "aliases (*) are not allowed here");
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return true;
    }
    return true;
}

static bool build(Builder *builder, GError **error)
{
    bool ok = true, ended = false;

    while (ok && !ended) {
        yaml_event_t event;

        if (!yaml_parser_parse(&builder->parser, &event))
            return parser_error(builder, error);
        ended = event.type == YAML_STREAM_END_EVENT;
        ok = take_event(builder, &event, error);
        yaml_event_delete(&event);
    }
    if (ok && !builder->root)
        return error_at(1, 1, error, "the file is empty");
    return ok;
}

YamlNode *yaml_parse(const char *text, gsize length, GError **error)
{
    Builder builder = {.text = text};
    bool ok;

    if (!check_bytes(text, length, error))
        return NULL;
    g_assert(yaml_parser_initialize(&builder.parser)); /* fails only without memory, as GLib does */
    yaml_parser_set_encoding(&builder.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&builder.parser, (const unsigned char *)text, length);
    ok = build(&builder, error);
    yaml_parser_delete(&builder.parser);
    for (unsigned i = 0; i < MAX_DEPTH; i++)
        yaml_node_free(builder.pending[i]);
    if (!ok)
        g_clear_pointer(&builder.root, yaml_node_free);
    return builder.root;
}
