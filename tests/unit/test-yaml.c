/* YAML trees: shapes, places, typed values, and the writer. What hostile documents do stands in
 * test-store.c. */
#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static YamlNode *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    YamlNode *node = yaml_parse(text, strlen(text), &error);

    if (!node)
        fail_msg("%s", error->message);
    return node;
}

static void a_tree_has_the_documents_shape_and_places(void **state)
{
    g_autoptr(YamlNode) root = parse("# comment\na: 1\nb:\n  - x\n  - {c: 'y'}\n");
    const YamlNode *list = yaml_get(root, "b");
    const YamlNode *second = list->items->pdata[1];
    const YamlNode *value = yaml_get(second, "c");

    assert_int_equal(root->kind, YAML_IS_MAP);
    assert_int_equal(root->line, 2);
    assert_int_equal(root->keys->len, 2);
    assert_int_equal(list->kind, YAML_IS_LIST);
    assert_int_equal(list->items->len, 2);
    assert_string_equal(value->text, "y");
    assert_true(value->quoted);
    assert_int_equal(value->line, 5);
    assert_int_equal(value->column, 9);
    assert_null(yaml_get(root, "z"));
    assert_null(yaml_get(NULL, "a"));
    assert_null(yaml_get(list, "a"));
}

static void values_have_types(void **state)
{
    g_autoptr(YamlNode) root = parse(
        "number: 18446744073709551615\nyes: true\ntext: no\nquoted: '7'\nempty: ''\nlist: []\n");
    const char *text = NULL;
    uint64_t number = 0;
    bool value = false;

    assert_true(yaml_u64(yaml_get(root, "number"), &number, NULL));
    assert_int_equal(number, G_MAXUINT64);
    assert_true(yaml_bool(yaml_get(root, "yes"), &value, NULL));
    assert_true(value);
    assert_true(yaml_text(yaml_get(root, "text"), &text, NULL));
    assert_string_equal(text, "no");
    assert_true(yaml_text(yaml_get(root, "number"), &text, NULL));
    assert_true(yaml_text(yaml_get(root, "empty"), &text, NULL));
    assert_string_equal(text, "");
    assert_false(yaml_u64(yaml_get(root, "quoted"), &number, NULL));
    assert_false(yaml_bool(yaml_get(root, "text"), &value, NULL));
    assert_false(yaml_text(yaml_get(root, "list"), &text, NULL));
    assert_false(yaml_is_map(yaml_get(root, "list"), NULL));
    assert_false(yaml_is_list(root, NULL));
}

static void what_is_missing_is_reported_once(void **state)
{
    g_autoptr(YamlNode) root = parse("a: 1\n");
    g_autoptr(GError) error = NULL;
    uint64_t number = 7;

    assert_false(yaml_u64(yaml_need(root, "b", &error), &number, &error));
    assert_string_equal(error->message, "line 1, column 1: the key \"b\" is missing");
    assert_int_equal(number, 7);
}

static void an_unknown_key_is_named_with_its_place(void **state)
{
    static const char *const allowed[] = {"a", "b", NULL};
    g_autoptr(YamlNode) good = parse("b: 1\na: 2\n");
    g_autoptr(YamlNode) bad = parse("b: 1\ncolour: 2\n");
    g_autoptr(YamlNode) list = parse("- a\n");
    g_autoptr(GError) error = NULL;

    assert_true(yaml_check_keys(good, allowed, NULL));
    assert_false(yaml_check_keys(list, allowed, NULL));
    assert_false(yaml_check_keys(bad, allowed, &error));
    assert_true(error_is(error, ERR_INVALID));
    assert_string_equal(error->message, "line 2, column 1: unknown key \"colour\"");
}

static void the_writer_writes_what_people_like_to_read(void **state)
{
    g_autoptr(YamlWriter) writer = yaml_writer_new();
    g_autofree char *text = NULL;

    yaml_writer_begin_map(writer);
    yaml_writer_entry(writer, "path", "/a/b-c.qcow2");
    yaml_writer_entry(writer, "word", "off");
    yaml_writer_key(writer, "count");
    yaml_writer_u64(writer, G_MAXUINT64);
    yaml_writer_key(writer, "flag");
    yaml_writer_bool(writer, false);
    yaml_writer_key(writer, "block");
    yaml_writer_block(writer, "one\n\xC3\xA9: two\n");
    yaml_writer_key(writer, "no_block");
    yaml_writer_block(writer, " one\n");
    yaml_writer_key(writer, "list");
    yaml_writer_begin_list(writer);
    yaml_writer_text(writer, "x");
    yaml_writer_end_list(writer);
    yaml_writer_key(writer, "none");
    yaml_writer_begin_list(writer);
    yaml_writer_end_list(writer);
    yaml_writer_end_map(writer);
    text = yaml_writer_finish(writer);
    assert_string_equal(text, "path: /a/b-c.qcow2\nword: \"off\"\ncount: 18446744073709551615\n"
                              "flag: false\nblock: |\n  one\n  \xC3\xA9: two\n"
                              "no_block: \" one\\n\"\nlist:\n- x\nnone: []\n");
}

static void a_block_reads_back_byte_for_byte(void **state)
{
    static const char *const texts[] = {
        "a\n",     "a",     "\n",     "",        "a\n\nb\n",        "a \nb\n",      "# x\n- y\n",
        "a\n\n",   "\ta\n", "%x\n",   "---\n",   "a\rb\n",          "\U0001F600\n", "\xC2\x85\n",
        "a\n b\n", "...\n", "a: |\n", "'\"\\\n", "\342\200\250x\n",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(YamlWriter) writer = yaml_writer_new();
        g_autoptr(YamlNode) root = NULL;
        g_autofree char *text = NULL;

        yaml_writer_begin_map(writer);
        yaml_writer_key(writer, "k");
        yaml_writer_block(writer, texts[i]);
        yaml_writer_end_map(writer);
        text = yaml_writer_finish(writer);
        root = parse(text);
        assert_string_equal(yaml_get(root, "k")->text, texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_has_the_documents_shape_and_places),
        cmocka_unit_test(values_have_types),
        cmocka_unit_test(what_is_missing_is_reported_once),
        cmocka_unit_test(an_unknown_key_is_named_with_its_place),
        cmocka_unit_test(the_writer_writes_what_people_like_to_read),
        cmocka_unit_test(a_block_reads_back_byte_for_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
