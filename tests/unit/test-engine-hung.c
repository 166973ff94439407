/* The engine when libvirt loses answers or does not answer: what was asked for comes to be, and who
 * waits is told in time. */
#include "engine-bench.h"

#include <string.h>

static int tear_down(void **state)
{
    bench_hang(*state, false);
    bench_free(*state);
    return 0;
}

/* ---- lost answers (rule 14) ---- */

static bool is_merged(Bench *bench, const char *vm)
{
    g_autofree char *listed = bench_listed(bench, vm);

    return !*listed && no_job_runs(bench, vm);
}

static Bench *bench_with_a_vm(bool running)
{
    Bench *bench = bench_new();

    bench_start(bench);
    if (running)
        assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 1);
    return bench;
}

static bool was_lost(Bench *bench, unsigned n)
{
    g_mutex_lock(&bench->lock);
    bool lost = bench->questions >= n;
    g_mutex_unlock(&bench->lock);
    return lost;
}

/* A removal from whose beginning on the n-th question is not answered. False: there was no n-th. */
static bool merge_with_a_lost_answer(bool running, unsigned n)
{
    Bench *bench = bench_with_a_vm(running);

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    for (unsigned block = 0; block < 6; block++)
        simhost_write(bench->host, WEB, "vda", block, 2);
    simhost_set_job_speed(bench->host, 1);
    bench_lose_question(bench, n);
    const char *answer = bench_remove(bench, WEB, "first");
    bool accepted = strcmp(answer, "ok") == 0;
    if (accepted)
        bench_wait(bench, is_merged, WEB);
    else
        assert_string_equal(answer, "ETIMEDOUT");
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 0);
    assert_listed(bench, WEB, accepted ? "" : "first");
    bool lost = was_lost(bench, n);
    bench_free(bench);
    return lost;
}

/* The answer and the tree agree, nothing is left over, and the next one works. */
static bool create_with_a_lost_answer(bool running, unsigned n)
{
    Bench *bench = bench_with_a_vm(running);

    bench_lose_question(bench, n);
    const char *answer = bench_create(bench, WEB, "first");
    bool created = strcmp(answer, "ok") == 0;
    if (!created)
        assert_string_equal(answer, "ETIMEDOUT");
    bool lost = was_lost(bench, n);
    bench_lose_question(bench, 0);
    bench_wait(bench, is_fresh, WEB);
    assert_listed(bench, WEB, created ? "first" : "");
    g_autoptr(GPtrArray) images = simhost_images(bench->host);
    assert_int_equal(images->len, created ? 5 : 3);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    bench_free(bench);
    return lost;
}

static bool revert_with_a_lost_answer(unsigned n)
{
    Bench *bench = bench_with_a_vm(false);

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 2);
    bench_lose_question(bench, n);
    const char *answer = bench_revert(bench, WEB, "first");
    bool reverted = strcmp(answer, "ok") == 0;
    if (!reverted)
        assert_string_equal(answer, "ETIMEDOUT");
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, "vda");
    assert_int_equal(g_array_index(content, guint64, 0), reverted ? 1 : 2);
    bool lost = was_lost(bench, n);
    bench_lose_question(bench, 0);
    bench_wait(bench, is_fresh, WEB);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    g_autoptr(GPtrArray) images = simhost_images(bench->host);
    assert_int_equal(images->len, 5);
    bench_free(bench);
    return lost;
}

static void no_single_lost_answer_fails_a_live_merge(void **state)
{
    unsigned n = 1;

    while (merge_with_a_lost_answer(true, n))
        n++;
    assert_true(n > 15);
}

static void no_single_lost_answer_fails_an_offline_merge(void **state)
{
    unsigned n = 1;

    while (merge_with_a_lost_answer(false, n))
        n++;
    assert_true(n > 8);
}

static void a_create_with_a_lost_answer_is_whole_or_not_at_all(void **state)
{
    for (unsigned running = 0; running < 2; running++) {
        unsigned n = 1;

        while (create_with_a_lost_answer(running, n))
            n++;
        assert_true(n > 4);
    }
}

static void a_revert_with_a_lost_answer_is_whole_or_not_at_all(void **state)
{
    unsigned n = 1;

    while (revert_with_a_lost_answer(n))
        n++;
    assert_true(n > 4);
}

/* ---- a libvirt that does not answer ---- */

static Call *ask_while_it_hangs(Bench *bench, RequestKind kind, const char *name)
{
    Request *request = bench_request(kind, WEB, name);

    request->text = g_strdup("off");
    return bench_submit(bench, request);
}

static void assert_nothing_came_of_it(Bench *bench, const char *listed)
{
    bench_hang(bench, false);
    bench->engine->answer_wait_ms = 60000;
    bench->engine->revert_wait_ms = 60000;
    assert_string_equal(bench_create(bench, WEB, "later"), "ok");
    g_autofree char *wanted = g_strconcat(listed, *listed ? " " : "", "later", NULL);
    assert_listed(bench, WEB, wanted);
}

static void an_interrupt_ends_a_wait_for_libvirt(void **state)
{
    Bench *bench = *state;

    bench_hang(bench, true);
    Call *create = ask_while_it_hangs(bench, REQUEST_CREATE, "first");
    engine_interrupt(bench->engine, create->ticket);
    assert_string_equal(bench_answer(create), "EINTR");
    assert_nothing_came_of_it(bench, "");
}

static void an_interrupted_revert_does_not_happen_later(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 7);
    bench_hang(bench, true);
    Call *revert = ask_while_it_hangs(bench, REQUEST_REVERT, "first");
    engine_interrupt(bench->engine, revert->ticket);
    assert_string_equal(bench_answer(revert), "EINTR");
    assert_nothing_came_of_it(bench, "first");
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, "vda");
    assert_int_equal(g_array_index(content, guint64, 0), 7);
}

/* What has begun and what waits behind it. */
static void nobody_waits_for_ever_behind_a_call_that_hangs(void **state)
{
    static const RequestKind behind[] = {REQUEST_CREATE,   REQUEST_RENAME, REQUEST_REMOVE,
                                         REQUEST_DESCRIBE, REQUEST_MODE,   REQUEST_POLICY,
                                         REQUEST_POWER};
    Call *calls[G_N_ELEMENTS(behind)];
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench->engine->answer_wait_ms = 50;
    bench_hang(bench, true);
    Call *create = ask_while_it_hangs(bench, REQUEST_CREATE, "second");
    for (gsize i = 0; i < G_N_ELEMENTS(behind); i++)
        calls[i] = ask_while_it_hangs(bench, behind[i], "first");
    assert_string_equal(bench_answer(create), "ETIMEDOUT");
    for (gsize i = 0; i < G_N_ELEMENTS(behind); i++)
        assert_string_equal(bench_answer(calls[i]), "EBUSY");
    assert_listed(bench, WEB, "first");
    assert_nothing_came_of_it(bench, "first");
}

static void a_revert_that_hangs_is_answered_in_its_time(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench->engine->revert_wait_ms = 50;
    bench_hang(bench, true);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ETIMEDOUT");
    assert_nothing_came_of_it(bench, "first");
}

static bool an_overlay_is_made(Bench *bench, const char *unused)
{
    g_autoptr(GPtrArray) images = simhost_images(bench->host);

    return images->len > 3;
}

/* From its first effect on the answer is what became of it. */
static void what_has_begun_is_undone_before_it_is_answered(void **state)
{
    Bench *bench = *state;

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 200);
    Call *create = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    bench_wait(bench, an_overlay_is_made, NULL);
    engine_interrupt(bench->engine, create->ticket);
    assert_string_equal(bench_answer(create), "EINTR");
    g_autoptr(GPtrArray) images = simhost_images(bench->host);
    assert_int_equal(images->len, 3);
    assert_nothing_came_of_it(bench, "");
}

/* ---- the end, while libvirt does not answer ---- */

static void *stop(void *engine)
{
    engine_stop(engine);
    return NULL;
}

static bool is_stopping(Bench *bench, const char *unused)
{
    g_mutex_lock(&bench->engine->lock);
    bool stopping = bench->engine->stopping;
    g_mutex_unlock(&bench->engine->lock);
    return stopping;
}

static bool is_its_turn(Bench *bench, const char *vm)
{
    g_mutex_lock(&bench->engine->lock);
    const EngineVm *found = g_hash_table_lookup(bench->engine->vms, vm);
    bool runs = found->running && found->running->request->kind == REQUEST_REMOVE;
    g_mutex_unlock(&bench->engine->lock);
    return runs;
}

static void who_has_begun_nothing_is_answered_at_the_end(void **state)
{
    Bench *bench = *state;

    bench_hang(bench, true);
    Call *create = ask_while_it_hangs(bench, REQUEST_CREATE, "first");
    GThread *stopper = g_thread_new("stop", stop, bench->engine);
    assert_string_equal(bench_answer(create), "EINTR");
    bench_hang(bench, false);
    g_thread_join(stopper);
    bench_restart(bench);
    assert_nothing_came_of_it(bench, "");
}

/* Nobody knows what becomes of it; and it comes to its end all the same, since this test does not
 * end the process. */
static void whoever_else_waits_is_answered_when_the_end_has_taken_too_long(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench_hang(bench, true);
    Call *removal = ask_while_it_hangs(bench, REQUEST_REMOVE, "first");
    bench_wait(bench, is_its_turn, WEB);
    GThread *stopper = g_thread_new("stop", stop, bench->engine);
    bench_wait(bench, is_stopping, NULL);
    g_autofree char *names = engine_give_up(bench->engine);
    assert_string_equal(names, "web");
    assert_string_equal(bench_answer(removal), "EIO");
    g_autofree char *errors = engine_errors(bench->engine, NULL);
    assert_non_null(strstr(errors, "The daemon ends, and does not wait any longer"));
    bench_hang(bench, false);
    g_thread_join(stopper);
    g_autofree char *later = engine_give_up(bench->engine);
    assert_string_equal(later, "");
    bench_restart(bench);
    bench_wait(bench, is_merged, WEB);
}

#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_single_lost_answer_fails_a_live_merge),
        cmocka_unit_test(no_single_lost_answer_fails_an_offline_merge),
        cmocka_unit_test(a_create_with_a_lost_answer_is_whole_or_not_at_all),
        cmocka_unit_test(a_revert_with_a_lost_answer_is_whole_or_not_at_all),
        started(an_interrupt_ends_a_wait_for_libvirt),
        started(an_interrupted_revert_does_not_happen_later),
        started(nobody_waits_for_ever_behind_a_call_that_hangs),
        started(a_revert_that_hangs_is_answered_in_its_time),
        started(what_has_begun_is_undone_before_it_is_answered),
        started(who_has_begun_nothing_is_answered_at_the_end),
        started(whoever_else_waits_is_answered_when_the_end_has_taken_too_long),
    };

    return cmocka_run_group_tests_name("engine-hung", tests, NULL, NULL);
}
