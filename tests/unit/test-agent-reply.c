/* What a guest agent answers is the guest's word: anything may come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "hv/agent-reply.h"

static void the_two_words_are_understood(void **state)
{
    bool frozen = false;

    assert_true(agent_reply_frozen("{\"return\":\"frozen\"}", &frozen, NULL));
    assert_true(frozen);
    assert_true(agent_reply_frozen(" {\"return\" : \"thawed\", \"id\": 7}\n", &frozen, NULL));
    assert_false(frozen);
}

static void refuse(const char *reply)
{
    g_autoptr(GError) error = NULL;
    bool frozen = true;

    if (agent_reply_frozen(reply, &frozen, &error))
        fail_msg("taken for an answer: %s", reply);
    assert_true(frozen); /* written on success only */
    assert_true(error_is(error, ERR_IO));
    assert_true(strlen(error->message) > 40);
}

static void u_19_u_21_anything_else_is_no_answer(void **state)
{
    static const char *const replies[] = {
        "",
        "frozen",
        "{\"return\":\"froz",
        "{\"return\":\"frozen\"",
        "{\"return\":\"Frozen\"}",
        "{\"return\":\"\"}",
        "{\"return\":null}",
        "{\"return\":1}",
        "{\"return\":true}",
        "{\"return\":[\"frozen\"]}",
        "{\"return\":{\"status\":\"frozen\"}}",
        "{\"status\":\"frozen\"}",
        "{}",
        "[]",
        "[\"frozen\"]",
        "\"frozen\"",
        "null",
        "7",
        "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\"}}",
        "{\"return\":\"frozen\",\"error\":{}}",
        "\xff\xfe",
    };

    for (guint i = 0; i < G_N_ELEMENTS(replies); i++)
        refuse(replies[i]);
    refuse(NULL);
}

static void what_is_huge_or_deep_is_no_answer(void **state)
{
    g_autofree char *deep = g_strnfill(1000000, '[');
    g_autofree char *less_deep = g_strnfill(4000, '[');
    g_autofree char *spaces = g_strnfill(10000, ' ');
    g_autofree char *long_word = g_strdup_printf("{\"return\":\"frozen\"%s}", spaces);

    refuse(deep);
    refuse(less_deep);
    refuse(long_word);
}

static void attack_a_hundred_megabytes_are_not_looked_at(void **state)
{
    g_autofree char *spaces = g_strnfill(100 * 1024 * 1024, ' ');
    g_autofree char *reply = g_strdup_printf("{\"return\":\"frozen\"%s}", spaces);
    gint64 before = g_get_monotonic_time();

    for (unsigned i = 0; i < 1000; i++)
        refuse(reply);
    assert_true(g_get_monotonic_time() - before < 30 * G_USEC_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_words_are_understood),
        cmocka_unit_test(u_19_u_21_anything_else_is_no_answer),
        cmocka_unit_test(what_is_huge_or_deep_is_no_answer),
        cmocka_unit_test(attack_a_hundred_megabytes_are_not_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
