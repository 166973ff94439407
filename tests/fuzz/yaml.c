/* YAML of ours: what is read can be written, and reads back as the same. */
#include "base/yaml.h"
#include "fuzz.h"

#include <string.h>

static char *print(const YamlNode *node)
{
    g_autoptr(YamlWriter) writer = yaml_writer_new();

    yaml_writer_node(writer, node);
    return yaml_writer_finish(writer);
}

static void compare(const YamlNode *a, const YamlNode *b)
{
    fuzz_check(a->kind == b->kind, "a node of kind %d came back as %d", a->kind, b->kind);
    if (a->kind == YAML_IS_SCALAR) {
        const char *text = NULL;
        bool was_text = yaml_text(a, &text, NULL), is_text = yaml_text(b, &text, NULL);

        fuzz_check(was_text == is_text, "a value came or went: \"%s\"", a->text);
        fuzz_check(!was_text || !strcmp(a->text, b->text), "\"%s\" became \"%s\"", a->text,
                   b->text);
        fuzz_check(!a->quoted || b->quoted, "the quotes of \"%s\" are gone", a->text);
        return;
    }
    fuzz_check(a->items->len == b->items->len, "%u nodes became %u", a->items->len, b->items->len);
    for (guint i = 0; i < a->items->len; i++) {
        if (a->kind == YAML_IS_MAP)
            compare(a->keys->pdata[i], b->keys->pdata[i]);
        compare(a->items->pdata[i], b->items->pdata[i]);
    }
}

static void round_trip(const YamlNode *root)
{
    g_autofree char *text = print(root);
    g_autoptr(YamlNode) again = yaml_parse(text, strlen(text), NULL);
    g_autofree char *same = NULL;

    fuzz_check(again, "what was written cannot be read: %s", text);
    compare(root, again);
    same = print(again);
    fuzz_check(!strcmp(text, same), "written twice it differs: %s%s", text, same);
}

/* Any text, as a value. */
static void write_text(const char *value)
{
    g_autoptr(YamlWriter) writer = yaml_writer_new();
    g_autoptr(YamlNode) root = NULL;
    g_autofree char *text = NULL;

    yaml_writer_begin_map(writer);
    yaml_writer_entry(writer, "text", value);
    yaml_writer_key(writer, "block");
    yaml_writer_block(writer, value);
    yaml_writer_end_map(writer);
    text = yaml_writer_finish(writer);
    root = yaml_parse(text, strlen(text), NULL);
    fuzz_check(root, "a text that was written cannot be read: %s", text);
    for (guint i = 0; i < root->items->len; i++) {
        const char *got = NULL;

        fuzz_check(yaml_text(root->items->pdata[i], &got, NULL) && !strcmp(got, value),
                   "a text came back as another: %s", text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(YamlNode) root = yaml_parse((const char *)data, size, &error);
    g_autofree char *text = fuzz_text(data, size);

    if (g_utf8_validate(text, -1, NULL))
        write_text(text);
    if (root) {
        round_trip(root);
    } else {
        fuzz_error(error);
        fuzz_check(g_str_has_prefix(error->message, "line "), "no place: %s", error->message);
    }
    return 0;
}
