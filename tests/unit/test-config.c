/* The configuration: what is taken, what is refused and where, and what comes before what. */
#include "model/config.h"

#include "model/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID "3b1d9f5a-0c7e-4d62-9a55-4f1f0e5f6a01"

static Config *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    Config *config = config_parse("/etc/c.yaml", text, strlen(text), &error);

    if (!config)
        fail_msg("%s", error->message);
    return config;
}

static void every_key_is_taken(void **state)
{
    g_autoptr(Config) config = parse("uri: qemu:///session\n"
                                     "mountpoint: /run/vms\n"
                                     "group: libvirt\n"
                                     "policy: {bandwidth: 50M, max_depth: 20}\n"
                                     "vms:\n"
                                     "  web01: {policy: {max_depth: 30}}\n"
                                     "  db 01: {}\n"
                                     "image_directories: [/srv/images, '/srv/more images']\n");

    assert_string_equal(config->path, "/etc/c.yaml");
    assert_string_equal(config->uri, "qemu:///session");
    assert_string_equal(config->mountpoint, "/run/vms");
    assert_string_equal(config->group, "libvirt");
    assert_string_equal(g_hash_table_lookup(config->policy, "bandwidth"), "52428800");
    assert_int_equal(g_hash_table_size(config->vms), 2);
    assert_int_equal(config->image_directories->len, 2);
    assert_string_equal(config->image_directories->pdata[1], "/srv/more images");
}

static void a_file_of_comments_says_nothing(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# uri: x\n  # more\n", "# no newline"};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(Config) config = parse(texts[i]);
        assert_null(config->uri);
        assert_null(config->mountpoint);
        assert_null(config->group);
        assert_int_equal(g_hash_table_size(config->policy), 0);
    }
}

typedef struct {
    const char *text, *said;
    ErrorCode code;
} Wrong;

static void what_is_wrong_is_told_with_its_place(void **state)
{
    static const Wrong wrong[] = {
        {"urI: x\n", "line 1, column 1: unknown key \"urI\"", ERR_INVALID},
        {"- x\n", "line 1, column 1: a map", ERR_INVALID},
        {"text\n", "line 1, column 1: a map", ERR_INVALID},
        {"uri: [a]\n", "line 1, column 6: a single value", ERR_INVALID},
        {"uri:\n", "line 1, column 5: a value is missing", ERR_INVALID},
        {"uri: ''\n", "line 1, column 6: a value is missing", ERR_INVALID},
        {"uri: a\nuri: b\n", "line 2, column 1: ", ERR_INVALID},
        {"uri: &a x\n", "line 1, column 6: ", ERR_INVALID},
        {"mountpoint: run/vms\n", "line 1, column 13: \"run/vms\" is no absolute path",
         ERR_INVALID},
        {"policy: 3\n", "line 1, column 9: a map", ERR_INVALID},
        {"policy:\n  depth: 3\n", "line 2, column 3: there is no policy \"depth\"", ERR_INVALID},
        {"policy:\n  max_depth: 201\n", "line 2, column 14: policy max_depth takes", ERR_INVALID},
        {"policy:\n  max_depth: [1]\n", "line 2, column 14: a single value", ERR_INVALID},
        {"policy:\n  bandwidth: fast\n", "line 2, column 14: policy bandwidth: ", ERR_INVALID},
        {"vms: []\n", "line 1, column 6: a map", ERR_INVALID},
        {"vms:\n  web01: 1\n", "line 2, column 10: a map", ERR_INVALID},
        {"vms:\n  web01: {police: {}}\n", "line 2, column 11: unknown key \"police\"", ERR_INVALID},
        {"vms:\n  web01: {policy: {start: x}}\n", "line 2, column 27: policy start", ERR_INVALID},
        {"vms:\n  " UUID ": {}\n  3B1D9F5A-0c7e-4d62-9a55-4f1f0e5f6a01: {}\n",
         "line 3, column 3: VM 3B1D9F5A", ERR_INVALID},
        {"image_directories: /srv\n", "line 1, column 20: a list", ERR_INVALID},
        {"image_directories:\n  - srv\n", "line 2, column 5: \"srv\" is no absolute path",
         ERR_INVALID},
        {"uri: x\nhosts: {}\n", "line 2, column 1: \"hosts\" is not supported by this version",
         ERR_UNSUPPORTED},
        {"backup_targets: {}\n", "\"backup_targets\" is not supported", ERR_UNSUPPORTED},
        {"expunge: perhaps\n", "line 1, column 10", ERR_INVALID},
        {"uri: \"a\n", "line 2, column 1: ", ERR_INVALID},
        {"uri: \xff\n", "line 1, column 6: ", ERR_INVALID},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Config) config =
            config_parse("/etc/c.yaml", wrong[i].text, strlen(wrong[i].text), &error);
        assert_null(config);
        if (!g_str_has_prefix(error->message, "/etc/c.yaml, line ") ||
            !strstr(error->message, wrong[i].said) || error_code(error) != wrong[i].code)
            fail_msg("<%s> said: %s", wrong[i].text, error->message);
    }
}

static const char *in_force(const Config *config, const char *name, const char *key)
{
    g_autoptr(Catalog) catalog = catalog_new(UUID, name);

    if (strcmp(name, "own") == 0)
        g_hash_table_insert(catalog->policy, g_strdup("max_depth"), g_strdup("5"));
    if (config)
        catalog->defaults = config_policy(config, UUID, name);
    g_autoptr(Catalog) copy = catalog_copy(catalog);
    assert_true(catalog_equal(copy, catalog));
    return g_intern_string(catalog_policy(copy, key));
}

static void
the_vms_own_value_comes_before_its_entry_before_all_vms_before_the_built_in(void **state)
{
    g_autoptr(Config) config = parse("policy: {max_depth: 20, bandwidth: 1, merge_timeout: 9}\n"
                                     "vms:\n"
                                     "  own: {policy: {max_depth: 30}}\n"
                                     "  web01: {policy: {max_depth: 31, bandwidth: 2}}\n");

    assert_string_equal(in_force(config, "own", "max_depth"), "5");
    assert_string_equal(in_force(config, "web01", "max_depth"), "31");
    assert_string_equal(in_force(config, "db01", "max_depth"), "20");
    assert_string_equal(in_force(NULL, "db01", "max_depth"), "100");
    assert_string_equal(in_force(config, "web01", "merge_timeout"), "9");
    assert_string_equal(in_force(config, "web01", "max_snapshots"), "0");
    assert_string_equal(in_force(config, "own", "bandwidth"), "1");
}

static void an_entry_by_uuid_comes_before_one_by_name(void **state)
{
    g_autoptr(Config) config = parse("vms:\n"
                                     "  3B1D9F5A-0C7E-4D62-9A55-4F1F0E5F6A01:\n"
                                     "    policy: {max_depth: 11}\n"
                                     "  web01: {policy: {max_depth: 12, merge_timeout: 3}}\n");

    assert_string_equal(in_force(config, "web01", "max_depth"), "11");
    assert_string_equal(in_force(config, "web01", "merge_timeout"), "3");
    assert_string_equal(in_force(config, "db01", "max_depth"), "11");
}

/* Whatever the bytes are, there is an error or a configuration, and no crash: the sanitizers see.
 */
static void cut_and_broken_files_are_survived(void **state)
{
    static const char whole[] = "uri: 'a:///'\ngroup: x\npolicy: {max_depth: 3}\n"
                                "vms: {a: {policy: {start: 1}}}\nimage_directories:\n- /a\n";

    for (gsize cut = 0; cut < sizeof whole; cut++)
        for (unsigned byte = 0; byte < 8; byte++) {
            static const char bytes[] = {0, '\n', ':', '{', '-', '\'', '\xff', '#'};
            g_autofree char *text = g_strdup(whole);
            g_autoptr(GError) error = NULL;
            text[cut] = bytes[byte];
            g_autoptr(Config) config = config_parse("f", text, sizeof whole - 1, &error);
            assert_true((config == NULL) == (error != NULL));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_taken),
        cmocka_unit_test(a_file_of_comments_says_nothing),
        cmocka_unit_test(what_is_wrong_is_told_with_its_place),
        cmocka_unit_test(
            the_vms_own_value_comes_before_its_entry_before_all_vms_before_the_built_in),
        cmocka_unit_test(an_entry_by_uuid_comes_before_one_by_name),
        cmocka_unit_test(cut_and_broken_files_are_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
