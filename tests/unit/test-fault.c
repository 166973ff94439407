#include "base/confine.h"
#include "base/fault.h"
#include "base/subprocess.h"
#include "scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

/* One call of something decorated: "refused", "lost", "done", or "dead" when the program is. */
static const char *call(Fault *fault, int *effects)
{
    g_autoptr(GError) error = NULL;

    if (!fault_before(fault, "world.change", &error))
        return error_is(error, ERR_INTERRUPTED) ? "dead" : "refused";
    ++*effects;
    if (fault_after(fault, "world.change", &error))
        return "done";
    return error_is(error, ERR_INTERRUPTED) ? "dead" : "lost";
}

static void check_calls(FaultMode mode, const char *const *answers, int effects_wanted, bool dead)
{
    Fault *fault = fault_new();
    int effects = 0;

    fault_arm(fault, mode, 2);
    for (unsigned i = 0; answers[i]; i++)
        assert_string_equal(call(fault, &effects), answers[i]);
    assert_int_equal(effects, effects_wanted);
    assert_int_equal(fault_is_dead(fault), dead);
    fault_free(fault);
}

static void the_second_call_goes_wrong_as_armed(void **state)
{
    static const struct {
        FaultMode mode;
        const char *answers[4];
        int effects;
        bool dead;
    } cases[] = {
        {FAULT_NONE, {"done", "done", "done"}, 3, false},
        {FAULT_FAIL, {"done", "refused", "done"}, 2, false},
        {FAULT_LOST, {"done", "lost", "done"}, 3, false},
        {FAULT_CUT_BEFORE, {"done", "dead", "dead"}, 1, true},
        {FAULT_CUT_AFTER, {"done", "dead", "dead"}, 2, true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        check_calls(cases[i].mode, cases[i].answers, cases[i].effects, cases[i].dead);
}

static void arming_again_counts_from_one_and_revives(void **state)
{
    Fault *fault = fault_new();
    int effects = 0;

    fault_arm(fault, FAULT_CUT_BEFORE, 1);
    assert_string_equal(call(fault, &effects), "dead");
    fault_arm(fault, FAULT_FAIL, 2);
    assert_false(fault_is_dead(fault));
    assert_int_equal(fault_calls(fault), 0);
    assert_string_equal(call(fault, &effects), "done");
    assert_string_equal(call(fault, &effects), "refused");
    assert_int_equal(fault_calls(fault), 2);
    fault_free(fault);
}

static gpointer other_lane(gpointer data)
{
    Fault *fault = data;
    g_autoptr(GError) error = NULL;

    g_assert_true(fault_before(fault, "other.lane", &error));
    g_assert_true(fault_after(fault, "other.lane", &error));
    return NULL;
}

static void the_lost_answer_is_that_of_the_lane_that_called(void **state)
{
    Fault *fault = fault_new();
    g_autoptr(GError) error = NULL;

    fault_arm(fault, FAULT_LOST, 1);
    assert_true(fault_before(fault, "this.lane", &error));
    g_thread_join(g_thread_new("other", other_lane, fault));
    assert_false(fault_after(fault, "this.lane", &error));
    assert_true(error_is(error, ERR_IO));
    fault_free(fault);
}

/* ---- programs ---- */

static void arguments_reach_a_program_as_they_are(void **state)
{
    static const char *const argv[] = {"printf", "%s|", "a b",  "$HOME", "`id`",
                                       "\"'",    "-n",  "x\ny", NULL};
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);

    assert_non_null(result);
    assert_int_equal(result->status, 0);
    assert_string_equal(result->out, "a b|$HOME|`id`|\"'|-n|x\ny|");
}

static void status_output_and_complaint_are_kept_apart(void **state)
{
    static const char *const argv[] = {"sh", "-c",
                                       "echo out; echo first >&2; echo last >&2; exit 7", NULL};
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);
    g_autofree char *last = subprocess_last_line(result->err);

    assert_int_equal(result->status, 7);
    assert_false(result->stopped);
    assert_string_equal(result->out, "out\n");
    assert_string_equal(last, "last");
}

static void a_program_that_is_not_there_is_named(void **state)
{
    static const char *const argv[] = {"no-such-program-anywhere", NULL};
    g_autoptr(GError) error = NULL;

    assert_null(subprocess_run(argv, NULL, NULL, NULL, &error));
    assert_true(error_is(error, ERR_IO));
    assert_non_null(strstr(error->message, "no-such-program-anywhere"));
}

static bool never(const char *piece, void *data)
{
    return false;
}

static void a_program_is_killed_when_the_watch_says_so(void **state)
{
    static const char *const argv[] = {"sleep", "600", NULL};
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, never, NULL, NULL);

    assert_true(result->stopped);
    assert_int_equal(result->status, 128 + SIGKILL);
}

static bool keep_last(const char *piece, void *data)
{
    char **kept = data;

    if (piece) {
        g_free(*kept);
        *kept = g_strdup(piece);
    }
    return true;
}

static void progress_is_what_a_carriage_return_ended(void **state)
{
    static const char *const argv[] = {"printf",
                                       "    (50.00/100%%)\\r    (100.00/100%%)\\runfinished", NULL};
    g_autofree char *last = NULL;
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, keep_last, &last, NULL);

    assert_int_equal(result->status, 0);
    assert_string_equal(last, "    (100.00/100%)");
}

static void endless_output_is_kept_in_bounds(void **state)
{
    static const char *const argv[] = {"sh", "-c", "yes 0123456789 | head -c 1000000; printf END",
                                       NULL};
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);

    assert_int_equal(strlen(result->out), SUBPROCESS_KEPT);
    assert_true(g_str_has_suffix(result->out, "END"));
}

static void the_end_of_a_program_does_not_wait_for_what_it_left_behind(void **state)
{
    static const char *const argv[] = {"sh", "-c", "sleep 600 & echo $!", NULL};
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);
    pid_t left = (pid_t)g_ascii_strtoll(result->out, NULL, 10);

    assert_true(left > 1);
    assert_int_equal(kill(left, SIGKILL), 0);
}

static void programs_inherit_no_descriptor_and_speak_plain_english(void **state)
{
    /* No pipeline: the shell itself holds its ends for a moment. */
    static const char *const argv[] = {
        "sh", "-c",
        "for n in 0 1 2 3 4 5 6 7 8 9; do [ ! -e /proc/$$/fd/$n ] || printf $n; done; echo $LC_ALL",
        NULL};
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);

    assert_string_equal(result->out, "012C\n");
}

static void count_effect(void *data)
{
    ++*(unsigned *)data;
}

static void a_watch_sees_each_effect_before_it_happens(void **state)
{
    Fault *fault = fault_new();
    unsigned seen = 0;

    fault_watch(fault, count_effect, &seen);
    assert_true(fault_before(fault, "one", NULL));
    assert_int_equal(seen, 1);
    assert_true(fault_after(fault, "one", NULL));
    assert_int_equal(seen, 1);
    fault_watch(fault, NULL, NULL);
    assert_true(fault_before(fault, "two", NULL));
    assert_int_equal(seen, 1);
    fault_free(fault);
}

static void programs_have_nothing_of_our_environment_but_the_path(void **state)
{
    static const char *const argv[] = {"env", NULL};
    g_autofree char *expected = g_strdup_printf("LC_ALL=C\nPATH=%s\n", g_getenv("PATH"));

    g_setenv("LD_BIND_NOW", "1", TRUE);
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);
    g_unsetenv("LD_BIND_NOW");
    assert_string_equal(result->out, expected);
}

static void attack_a_program_writes_only_what_it_may(void **state)
{
    g_autofree char *scratch = g_dir_make_tmp("vmsnapfs-confine-XXXXXX", NULL);
    g_autofree char *mine = g_build_filename(scratch, "mine", NULL);
    g_autofree char *other = g_build_filename(scratch, "other", NULL);
    g_autofree char *made = g_build_filename(scratch, "made", NULL);
    g_autofree char *text = NULL;
    const char *const argv[] = {"sh",
                                "-c",
                                "echo a > $1; (echo b >> $2); (: > $2); (echo c > $3); rm $2; "
                                "mv $2 $3; ln $2 $3; mkdir $3; cat $1 $2",
                                "-",
                                mine,
                                other,
                                made,
                                NULL};

    assert_true(g_file_set_contents(mine, "", -1, NULL));
    assert_true(g_file_set_contents(other, "other", -1, NULL));
    int fds[] = {open(mine, O_RDONLY | O_CLOEXEC), -1};
    int rules = confine_new(fds, NULL);
    g_autoptr(SubprocessResult) result = subprocess_run(argv, fds, NULL, NULL, NULL);
    close(fds[0]);
    assert_true(g_file_get_contents(other, &text, NULL, NULL));
    bool was_made = g_file_test(made, G_FILE_TEST_EXISTS);
    remove_tree(scratch);
    if (rules < 0) {
        print_message("# this kernel has no Landlock\n");
        skip();
    }
    close(rules);
    assert_string_equal(result->out, "a\nother");
    assert_string_equal(text, "other");
    assert_false(was_made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_sees_each_effect_before_it_happens),
        cmocka_unit_test(the_second_call_goes_wrong_as_armed),
        cmocka_unit_test(arming_again_counts_from_one_and_revives),
        cmocka_unit_test(the_lost_answer_is_that_of_the_lane_that_called),
        cmocka_unit_test(arguments_reach_a_program_as_they_are),
        cmocka_unit_test(status_output_and_complaint_are_kept_apart),
        cmocka_unit_test(a_program_that_is_not_there_is_named),
        cmocka_unit_test(a_program_is_killed_when_the_watch_says_so),
        cmocka_unit_test(progress_is_what_a_carriage_return_ended),
        cmocka_unit_test(endless_output_is_kept_in_bounds),
        cmocka_unit_test(the_end_of_a_program_does_not_wait_for_what_it_left_behind),
        cmocka_unit_test(programs_inherit_no_descriptor_and_speak_plain_english),
        cmocka_unit_test(programs_have_nothing_of_our_environment_but_the_path),
        cmocka_unit_test(attack_a_program_writes_only_what_it_may),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
