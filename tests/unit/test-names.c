/* Names, ids, overlay paths, times, sizes and escapes. */
#include "model/names.h"

#include "base/error.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_legal_name_is_taken(void **state)
{
    static const char *const names[] = {
        "a",          "before-upgrade",        "with space", "~",     "a.b",
        "x-",         "\"quoted\" & <tagged>", "json:{}",    "Größe", "快照",
        "\U0001F600", "back\\slash",           "found-1",    "a~2"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;

        assert_true(name_check(names[i], &error));
        assert_null(error);
    }
}

static void an_illegal_name_is_refused_and_the_text_is_printable(void **state)
{
    static const char *const names[] = {
        "",     ".",         "..",        ".hidden",      "-rf",     "a/b",
        "/",    "new\nline", "tab\there", "\x01",         "del\x7F", "c1\xC2\x85",
        "\xFF", "half\xC3",  "\xC0\xAF",  "\xED\xA0\x80", "cr\r",    "esc\x1B[2J"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(GError) error = NULL;

        assert_false(name_check(names[i], &error));
        assert_true(error_is(error, ERR_INVALID));
        assert_true(g_utf8_validate(error->message, -1, NULL));
        for (const char *c = error->message; *c; c++)
            assert_false((unsigned char)*c < 0x20);
    }
}

static void names_are_at_most_200_bytes_not_characters(void **state)
{
    g_autofree char *fits = g_strnfill(200, 'x');
    g_autofree char *longer = g_strnfill(201, 'x');
    g_autofree char *half = g_strnfill(199, 'x');
    g_autofree char *wide = g_strconcat(half, "é", NULL);
    g_autoptr(GError) error = NULL;

    assert_true(name_check(fits, NULL));
    assert_false(name_check(wide, NULL));
    assert_false(name_check(longer, &error));
    assert_true(error_is(error, ERR_NAME_TOO_LONG));
}

static void ids_are_ten_letters_and_digits_and_differ(void **state)
{
    static const uint64_t randoms[] = {0, 1, 25, 26, 27, 1000, G_MAXUINT32, G_MAXUINT64 / 7};
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(randoms); i++) {
        char *id = names_make_id(randoms[i]);

        assert_true(names_is_id(id));
        assert_true(g_hash_table_add(seen, id));
    }
    assert_false(names_is_id(""));
    assert_false(names_is_id("abcdefghi"));
    assert_false(names_is_id("abcdefghijk"));
    assert_false(names_is_id("0bcdefghij"));
    assert_false(names_is_id("Abcdefghij"));
    assert_false(names_is_id("abcdefg-ij"));
}

static void an_overlay_lies_beside_what_it_covers(void **state)
{
    static const struct {
        const char *covered, *overlay;
    } cases[] = {
        {"/d/vm.qcow2", "/d/vm.newidnewid.qcow2"},
        {"/d/vm.raw", "/d/vm.newidnewid.qcow2"},
        {"/d/vm", "/d/vm.newidnewid.qcow2"},
        {"/d/vm.abcdefghij.qcow2", "/d/vm.newidnewid.qcow2"},
        {"/d/vm.v2.qcow2", "/d/vm.v2.newidnewid.qcow2"},
        {"/d.x/vm", "/d.x/vm.newidnewid.qcow2"},
        {"/d/.img", "/d/.img.newidnewid.qcow2"},
        {"/d/-rf & <x>:\"y\".img", "/d/-rf & <x>:\"y\".newidnewid.qcow2"},
        {"/vm.img", "/vm.newidnewid.qcow2"},
        {"/d/vm.", "/d/vm.newidnewid.qcow2"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *overlay = names_overlay_path(cases[i].covered, "newidnewid");
        g_autofree char *id = names_overlay_id(overlay);

        assert_string_equal(overlay, cases[i].overlay);
        assert_string_equal(id, "newidnewid");
    }
}

static void other_files_have_no_id_in_their_name(void **state)
{
    static const char *const others[] = {
        "/d/vm.qcow2",
        "/d/vm.newidnewid.img",
        "/d/vm.newidnewi.qcow2",
        "/d/vm.Newidnewid.qcow2",
        "/d/vm.1ewidnewid.qcow2",
        "/d/newidnewid",
        "/d/.qcow2",
        "",
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        g_autofree char *id = names_overlay_id(others[i]);

        assert_null(id);
    }
}

static void a_long_file_name_is_cut_between_characters(void **state)
{
    g_autofree char *narrow = g_strnfill(250, 'x');
    g_autofree char *wide = g_strnfill(237, 'x');
    g_autofree char *first = g_strconcat("/d/", narrow, ".img", NULL);
    g_autofree char *second = g_strconcat("/d/", wide, "éééééé", NULL);
    g_autofree char *cut_narrow = names_overlay_path(first, "newidnewid");
    g_autofree char *cut_wide = names_overlay_path(second, "newidnewid");

    assert_int_equal(strlen(cut_narrow), strlen("/d/") + 255);
    assert_int_equal(strlen(cut_wide), strlen("/d/") + 254);
    assert_true(g_utf8_validate(cut_wide, -1, NULL));
    assert_true(g_str_has_suffix(cut_wide, "x.newidnewid.qcow2"));
}

static void an_untaken_name_is_numbered_and_stays_legal(void **state)
{
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);
    g_autofree char *narrow = g_strnfill(197, 'x');
    g_autofree char *full = g_strconcat(narrow, "é", "y", NULL);
    g_autofree char *first = NULL, *third = NULL, *cut = NULL;

    first = names_untaken("a", taken);
    assert_string_equal(first, "a~2");
    g_hash_table_add(taken, (void *)"a~2");
    g_hash_table_add(taken, (void *)"a~3");
    third = names_untaken("a", taken);
    assert_string_equal(third, "a~4");
    cut = names_untaken(full, taken);
    assert_true(name_check(cut, NULL));
    assert_true(g_str_has_suffix(cut, "x~2"));
}

static void times_are_rfc_3339(void **state)
{
    static const struct {
        int64_t microseconds;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {G_GINT64_CONSTANT(1795271405123456), "2026-11-21T14:30:05Z"},
        {-1, "1970-01-01T00:00:00Z"},
        {G_MAXINT64, "9999-12-31T23:59:59Z"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = time_format(cases[i].microseconds);

        assert_string_equal(text, cases[i].text);
    }
}

static void sizes_read_well(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {512, "512 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {1048575, "1.0 MiB"},
        {G_GUINT64_CONSTANT(1395864371), "1.3 GiB"},
        {G_GUINT64_CONSTANT(3) << 40, "3.0 TiB"},
        {G_MAXUINT64, "16.0 EiB"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = size_format(cases[i].bytes);

        assert_string_equal(text, cases[i].text);
    }
}

static void sizes_are_parsed_and_what_is_none_is_refused(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},          {"4096", 4096},
                {"50M", 52428800}, {"50m", 52428800},
                {"1G", 1 << 30},   {"2T", G_GUINT64_CONSTANT(2) << 40},
                {"1K", 1024},      {"9223372036854775807", G_MAXINT64}};
    static const char *const bad[] = {"",         "M",
                                      "-1",       "+1",
                                      " 1",       "1 ",
                                      "1.5",      "1MB",
                                      "1KK",      "0x1",
                                      "1e3",      "9223372036854775808",
                                      "x",        "99999999999999999999",
                                      "8388608T", "1P"};

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        uint64_t bytes = 1;

        assert_true(size_parse(good[i].text, &bytes, NULL));
        assert_int_equal(bytes, good[i].bytes);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t bytes = 77;

        assert_false(size_parse(bad[i], &bytes, &error));
        assert_true(error_is(error, ERR_INVALID));
        assert_int_equal(bytes, 77);
    }
}

static void any_bytes_survive_escaping(void **state)
{
    char all[256] = "";

    for (unsigned i = 1; i < 256; i++)
        all[i - 1] = (char)i;
    const char *const texts[] = {"", "a b\tc\nd\\e", "é\xFF\xC3", "\\040", "=", all};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *word = text_escape(texts[i]);
        g_autofree char *bytes = text_escape_bytes(texts[i]);
        g_autofree char *from_word = text_unescape(word);
        g_autofree char *from_bytes = text_unescape(bytes);

        assert_true(g_utf8_validate(word, -1, NULL) && g_utf8_validate(bytes, -1, NULL));
        assert_null(strpbrk(word, " \t\n"));
        assert_string_equal(from_word, texts[i]);
        assert_string_equal(from_bytes, texts[i]);
    }
}

static void escapes_are_those_of_proc_mounts(void **state)
{
    g_autofree char *escaped = text_escape("a b\\é\n");

    assert_string_equal(escaped, "a\\040b\\134é\\012");
}

static void a_malformed_escape_is_no_text(void **state)
{
    static const char *const texts[] = {"\\", "\\1", "\\12", "\\08x", "\\400", "\\000", "\\x41"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        assert_null(text_unescape(texts[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_legal_name_is_taken),
        cmocka_unit_test(an_illegal_name_is_refused_and_the_text_is_printable),
        cmocka_unit_test(names_are_at_most_200_bytes_not_characters),
        cmocka_unit_test(ids_are_ten_letters_and_digits_and_differ),
        cmocka_unit_test(an_overlay_lies_beside_what_it_covers),
        cmocka_unit_test(other_files_have_no_id_in_their_name),
        cmocka_unit_test(a_long_file_name_is_cut_between_characters),
        cmocka_unit_test(an_untaken_name_is_numbered_and_stays_legal),
        cmocka_unit_test(times_are_rfc_3339),
        cmocka_unit_test(sizes_read_well),
        cmocka_unit_test(sizes_are_parsed_and_what_is_none_is_refused),
        cmocka_unit_test(any_bytes_survive_escaping),
        cmocka_unit_test(escapes_are_those_of_proc_mounts),
        cmocka_unit_test(a_malformed_escape_is_no_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
