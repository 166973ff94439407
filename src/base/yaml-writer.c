/* The emitter fails only on a wrong order of calls, on bytes that are not UTF-8 or without memory:
 * the first two are the caller's promise, so there is nothing to report. */
#include "base/yaml.h"

#include <string.h>
#include <yaml.h>

struct YamlWriter {
    yaml_emitter_t emitter;
    GString *text;
};

static int append(void *data, unsigned char *buffer, size_t size)
{
    g_string_append_len(data, (const char *)buffer, (gssize)size);
    return 1;
}

static void emit(YamlWriter *writer, yaml_event_t *event, int initialized)
{
    int emitted = initialized ? yaml_emitter_emit(&writer->emitter, event) : 0;

    g_assert(emitted);
}

YamlWriter *yaml_writer_new(void)
{
    YamlWriter *writer = g_new0(YamlWriter, 1);
    yaml_event_t event;
    int initialized = yaml_emitter_initialize(&writer->emitter);

    g_assert(initialized);
    writer->text = g_string_new(NULL);
    yaml_emitter_set_output(&writer->emitter, append, writer->text);
    yaml_emitter_set_unicode(&writer->emitter, 1);
    yaml_emitter_set_width(&writer->emitter, -1);
    emit(writer, &event, yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING));
    emit(writer, &event, yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1));
    return writer;
}

void yaml_writer_free(YamlWriter *writer)
{
    if (!writer)
        return;
    yaml_emitter_delete(&writer->emitter);
    g_string_free(writer->text, TRUE);
    g_free(writer);
}

void yaml_writer_begin_map(YamlWriter *writer)
{
    yaml_event_t event;

    emit(writer, &event,
         yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE));
}

void yaml_writer_end_map(YamlWriter *writer)
{
    yaml_event_t event;

    emit(writer, &event, yaml_mapping_end_event_initialize(&event));
}

void yaml_writer_begin_list(YamlWriter *writer)
{
    yaml_event_t event;

    emit(writer, &event,
         yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE));
}

void yaml_writer_end_list(YamlWriter *writer)
{
    yaml_event_t event;

    emit(writer, &event, yaml_sequence_end_event_initialize(&event));
}

static void scalar(YamlWriter *writer, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;

    emit(writer, &event,
         yaml_scalar_event_initialize(&event, NULL, NULL, (const yaml_char_t *)text,
                                      (int)strlen(text), 1, 1, style));
}

/* Plain only what no YAML reader, of 1.1 or 1.2, takes for a number, a bool, null or syntax. */
static bool is_plain(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n",   NULL};
    g_autofree char *lower = g_ascii_strdown(text, -1);

    if (!g_ascii_isalpha(text[0]) && text[0] != '/')
        return false;
    for (const char *c = text; *c; c++)
        if (!g_ascii_isalnum(*c) && !strchr("/._-", *c))
            return false;
    return !g_strv_contains(words, lower);
}

/* NEL, LS and PS are line breaks to YAML, and would come back as newlines from a block. */
static bool has_odd_break(const char *text)
{
    return strstr(text, "\xC2\x85") || strstr(text, "\xE2\x80\xA8") || strstr(text, "\xE2\x80\xA9");
}

/* What a "|" block holds exactly: lines without spaces at either end, no empty line, one newline at
 * the end. */
static bool is_block(const char *text)
{
    gsize length = strlen(text);

    if (length < 2 || text[length - 1] != '\n' || text[length - 2] == '\n' || has_odd_break(text))
        return false;
    for (const char *c = text; *c; c++) {
        if (*c != '\n' && (unsigned char)*c < 0x20)
            return false;
        if ((*c == ' ' || *c == '\n') && (c == text || c[-1] == '\n' || c[1] == '\n'))
            return false;
    }
    return true;
}

void yaml_writer_text(YamlWriter *writer, const char *text)
{
    scalar(writer, text,
           is_plain(text) ? YAML_PLAIN_SCALAR_STYLE : YAML_DOUBLE_QUOTED_SCALAR_STYLE);
}

void yaml_writer_block(YamlWriter *writer, const char *text)
{
    if (is_block(text))
        scalar(writer, text, YAML_LITERAL_SCALAR_STYLE);
    else
        yaml_writer_text(writer, text);
}

void yaml_writer_key(YamlWriter *writer, const char *key)
{
    yaml_writer_text(writer, key);
}

void yaml_writer_u64(YamlWriter *writer, uint64_t number)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, number);

    scalar(writer, text, YAML_PLAIN_SCALAR_STYLE);
}

void yaml_writer_bool(YamlWriter *writer, bool value)
{
    scalar(writer, value ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
}

void yaml_writer_entry(YamlWriter *writer, const char *key, const char *text)
{
    yaml_writer_key(writer, key);
    yaml_writer_text(writer, text);
}

void yaml_writer_entry_u64(YamlWriter *writer, const char *key, uint64_t number)
{
    yaml_writer_key(writer, key);
    yaml_writer_u64(writer, number);
}

void yaml_writer_entry_bool(YamlWriter *writer, const char *key, bool value)
{
    yaml_writer_key(writer, key);
    yaml_writer_bool(writer, value);
}

/* Recursive, but yaml_parse has bounded the depth. An unquoted scalar stays unquoted, since it may
 * be a number, and nothing at all becomes ~, which is the same. Single quotes are what the emitter
 * itself takes where it cannot leave one unquoted: so a second round changes nothing. */
void yaml_writer_node(YamlWriter *writer, const YamlNode *node)
{
    switch (node->kind) {
    case YAML_IS_SCALAR:
        scalar(writer, node->quoted || *node->text ? node->text : "~",
               node->quoted ? YAML_SINGLE_QUOTED_SCALAR_STYLE : YAML_PLAIN_SCALAR_STYLE);
        return;
    case YAML_IS_MAP:
        yaml_writer_begin_map(writer);
        for (guint i = 0; i < node->items->len; i++) {
            yaml_writer_node(writer, node->keys->pdata[i]);
            yaml_writer_node(writer, node->items->pdata[i]);
        }
        yaml_writer_end_map(writer);
        return;
    case YAML_IS_LIST:
        yaml_writer_begin_list(writer);
        for (guint i = 0; i < node->items->len; i++)
            yaml_writer_node(writer, node->items->pdata[i]);
        yaml_writer_end_list(writer);
        return;
    }
}

char *yaml_writer_finish(YamlWriter *writer)
{
    yaml_event_t event;

    emit(writer, &event, yaml_document_end_event_initialize(&event, 1));
    emit(writer, &event, yaml_stream_end_event_initialize(&event));
    return g_strdup(writer->text->str);
}
