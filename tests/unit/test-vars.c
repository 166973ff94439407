/* What a state file is worth (model/vars.h). */
#include "model/vars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define SIZE 540672

static void fill_head(char head[VARS_HEAD], const char *signature)
{
    memset(head, 0, VARS_HEAD);
    memcpy(head + 40, signature, 4);
}

static void a_store_is_judged_by_signature_and_size(void **state)
{
    char good[VARS_HEAD], zeros[VARS_HEAD] = {0}, other[VARS_HEAD];

    fill_head(good, "_FVH");
    fill_head(other, "QFI\xfb");
    assert_int_equal(vars_judge(SIZE, good, VARS_HEAD, SIZE), VARS_READY);
    assert_int_equal(vars_judge(SIZE, good, VARS_HEAD, 0), VARS_READY);
    assert_int_equal(vars_judge(SIZE - 1, good, VARS_HEAD, SIZE), VARS_BADSIZE);
    assert_int_equal(vars_judge(0, NULL, 0, SIZE), VARS_EMPTY);
    assert_int_equal(vars_judge(43, good, 43, 43), VARS_EMPTY);
    assert_int_equal(vars_judge(44, good, 44, 44), VARS_READY);
    assert_int_equal(vars_judge(SIZE, zeros, VARS_HEAD, SIZE), VARS_EMPTY);
    assert_int_equal(vars_judge(SIZE, other, VARS_HEAD, SIZE), VARS_EMPTY);
    assert_int_equal(vars_judge(SIZE, good, 10, SIZE), VARS_EMPTY);
}

/* What is somebody's file must not be taken for a store that is spoiled. */
static void attack_only_a_store_or_nothing_is_a_store(void **state)
{
    char good[VARS_HEAD], zeros[SIZE / 8] = {0}, erased[SIZE / 8];

    fill_head(good, "_FVH");
    memset(erased, 0xff, sizeof(erased));
    assert_true(vars_is_store(good, sizeof(good)));
    assert_true(vars_is_store(NULL, 0));
    assert_true(vars_is_store("", 1));
    assert_true(vars_is_store(zeros, sizeof(zeros)));
    assert_true(vars_is_store(erased, sizeof(erased)));
    zeros[sizeof(zeros) - 1] = 1;
    erased[1] = 0;
    assert_false(vars_is_store(zeros, sizeof(zeros)));
    assert_false(vars_is_store(erased, sizeof(erased)));
    assert_false(vars_is_store("root:x:0:0", 10));
    assert_false(vars_is_store("\n\n\n", 3));
    assert_false(vars_is_store("QFI\xfb", 4));
}

static void every_state_has_its_word(void **state)
{
    static const char *const words[] = {"none", "ready", "missing", "empty", "badsize", "unused"};

    for (unsigned i = 0; i < N_VARS_STATE; i++)
        assert_string_equal(vars_state_name((VarsState)i), words[i]);
}

static GPtrArray *files_of(const char *const *pairs)
{
    GPtrArray *files = state_files_new();

    for (; *pairs; pairs += 2) {
        g_autoptr(GBytes) content = g_bytes_new(pairs[1], strlen(pairs[1]));

        g_ptr_array_add(files, state_file_new(pairs[0], content));
    }
    state_files_sort(files);
    return files;
}

static char *digest_of(const char *const *pairs)
{
    g_autoptr(GPtrArray) files = files_of(pairs);

    return state_files_digest(files);
}

static void a_digest_is_that_of_sha256sum(void **state)
{
    g_autoptr(GBytes) content = g_bytes_new_static("abc", 3);
    g_autofree char *digest = state_digest(content);

    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void the_digest_of_a_directory_covers_names_and_contents(void **state)
{
    g_autofree char *one = digest_of((const char *[]){"a", "1", "b", "2", NULL});
    g_autofree char *turned = digest_of((const char *[]){"b", "2", "a", "1", NULL});
    g_autofree char *renamed = digest_of((const char *[]){"a", "1", "c", "2", NULL});
    g_autofree char *changed = digest_of((const char *[]){"a", "1", "b", "3", NULL});
    g_autofree char *swapped = digest_of((const char *[]){"a", "2", "b", "1", NULL});
    g_autofree char *fewer = digest_of((const char *[]){"a", "1", NULL});
    g_autofree char *none = digest_of((const char *[]){NULL});

    assert_string_equal(one, turned);
    assert_string_not_equal(one, renamed);
    assert_string_not_equal(one, changed);
    assert_string_not_equal(one, swapped);
    assert_string_not_equal(one, fewer);
    assert_string_not_equal(fewer, none);
    assert_int_equal(strlen(none), 64);
}

static void sizes_of_files_add_up(void **state)
{
    g_autoptr(GPtrArray) files = files_of((const char *[]){"a", "123", "b", "45", NULL});

    assert_int_equal(state_files_size(files), 5);
}

static void a_name_is_no_path_and_no_lock(void **state)
{
    static const char *const bad[] = {"",  ".",   "..",  ".lock",   "a/b",
                                      "/", "a b", "a\n", "\x1b[2J", "\xc3\xa4"};
    static const char *const good[] = {"tpm2-00.permall", "TMP2-00.volatilestate", ".locks", "~"};
    g_autofree char *longest = g_strnfill(200, 'x');
    g_autofree char *longer = g_strnfill(201, 'x');

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        assert_false(state_name_is_legal(bad[i]));
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++)
        assert_true(state_name_is_legal(good[i]));
    assert_true(state_name_is_legal(longest));
    assert_false(state_name_is_legal(longer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_judged_by_signature_and_size),
        cmocka_unit_test(attack_only_a_store_or_nothing_is_a_store),
        cmocka_unit_test(every_state_has_its_word),
        cmocka_unit_test(a_digest_is_that_of_sha256sum),
        cmocka_unit_test(the_digest_of_a_directory_covers_names_and_contents),
        cmocka_unit_test(sizes_of_files_add_up),
        cmocka_unit_test(a_name_is_no_path_and_no_lock),
    };

    return cmocka_run_group_tests_name("vars", tests, NULL, NULL);
}
