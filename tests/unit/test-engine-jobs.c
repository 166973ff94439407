/* Removing snapshots through the engine: merge jobs, what waits for them and what does not. */
#include "engine-bench.h"

#include "model/simhost-face.h"

#include <string.h>

static void write_all(Bench *bench, const char *vm, uint64_t value)
{
    for (unsigned block = 0; block < 4; block++)
        simhost_write(bench->host, vm, "vda", block, value + block);
}

/* A running VM with the snapshots a, b, c, each with content of its own. */
static void make_chain(Bench *bench, const char *vm)
{
    static const char *const names[] = {"a", "b", "c"};

    assert_string_equal(bench_power(bench, vm, "running"), "ok");
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        write_all(bench, vm, 10 * i);
        assert_string_equal(bench_create(bench, vm, names[i]), "ok");
    }
    write_all(bench, vm, 100);
}

/* The same, with a merge of b that stands still. */
static void make_stuck_merge(Bench *bench)
{
    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
}

static void assert_content(Bench *bench, uint64_t wanted)
{
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, "vda");

    for (unsigned block = 0; block < 4; block++)
        assert_int_equal(g_array_index(content, guint64, block), wanted + block);
}

/* QEMU goes on with the merge of one disk, unseen. */
static void finish_unseen(Bench *bench, const char *target)
{
    SimJobLook look;

    simhost_set_job_speed(bench->host, 100);
    assert_true(simhost_job_look(bench->host, WEB, target, &look, NULL));
    assert_false(look.exists);
    simhost_set_job_speed(bench->host, 0);
}

/* ---- removing ---- */

static bool has_failed(Bench *bench, const char *vm)
{
    return bench_jobs(bench, vm, JOB_FAILED) == 1;
}

static void what_a_refused_request_took_up_goes_on(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    bench_confuse(bench, true);
    bench_wait(bench, has_failed, WEB);
    finish_unseen(bench, "vda");
    bench_confuse(bench, false);
    assert_string_equal(bench_create(bench, WEB, "a"), "EEXIST");
    assert_listed(bench, WEB, "a [b] c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_RUNNING), 1);
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_content(bench, 100);
}

static void a_job_is_there_when_the_removal_is_answered(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    assert_listed(bench, WEB, "a [b] c");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(view->jobs->len, 1);
    EngineJob *job = view->jobs->pdata[0];
    assert_int_equal(engine_job_state(job), JOB_RUNNING);
    assert_string_equal(engine_job_kind(job), "merge");
    assert_string_equal(engine_job_target(job), "b");
    assert_string_equal(engine_job_vm(job), WEB);
    g_autofree char *result = engine_job_result(job);
    assert_string_equal(result, "");
    g_autoptr(GPtrArray) disks = engine_job_disks(job);
    assert_int_equal(disks->len, 2);
    assert_string_equal(((JobDisk *)disks->pdata[0])->target, "vda");
    bench_wait(bench, has_event, "\"job-started\"");
    bench_wait(bench, has_event, "\"snapshot-removed\"");
}

static void a_merge_goes_through_and_its_job_says_so(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 1);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    g_autofree char *result = engine_job_result(view->jobs->pdata[0]);
    assert_string_equal(result, "ok");
    g_autoptr(GPtrArray) disks = engine_job_disks(view->jobs->pdata[0]);
    assert_true(((JobDisk *)disks->pdata[0])->finished);
    assert_string_equal(view->drift, "");
    bench_wait(bench, has_event, "\"job-ended\"");
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    assert_int_equal(bench_first_job(bench, WEB), 0);
}

static void an_offline_merge_is_a_job_too(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "b c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
}

static void removing_with_sync_answers_when_it_is_merged(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_REMOVE, WEB, "b");

    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 0);
    request->sync = true;
    Call *call = bench_submit(bench, request);
    bench_wait(bench, a_job_copies, WEB);
    assert_false(bench_is_answered(call));
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_answer(call), "ok");
    assert_listed(bench, WEB, "a c");
}

static void what_others_need_is_hidden_without_a_job(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "root"), "ok");
    assert_string_equal(bench_create(bench, WEB, "left"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "root"), "ok");
    assert_string_equal(bench_create(bench, WEB, "right"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "root"), "ok");
    assert_listed(bench, WEB, "[root] left right");
    assert_int_equal(bench_first_job(bench, WEB), 0);

    /* With one branch gone, the hidden one has come down to one dependant and follows. */
    assert_string_equal(bench_remove(bench, WEB, "left"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "right");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 2);
}

static void several_removals_are_done_one_after_another(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    Call *first = bench_submit(bench, bench_request(REQUEST_REMOVE, WEB, "a"));
    Call *second = bench_submit(bench, bench_request(REQUEST_REMOVE, WEB, "b"));
    Call *third = bench_submit(bench, bench_request(REQUEST_REMOVE, WEB, "c"));
    assert_string_equal(bench_answer(first), "ok");
    assert_string_equal(bench_answer(second), "ok");
    assert_string_equal(bench_answer(third), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 3);
    assert_content(bench, 100);
}

/* ---- beside a merge ---- */

static void a_merge_keeps_others_off_the_chain_and_says_why(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_create(bench, WEB, "d"), "EBUSY");
    assert_string_equal(bench_revert(bench, WEB, "a"), "EBUSY");
    g_autofree char *errors = engine_errors(bench->engine, WEB);
    g_autofree char *job = g_strdup_printf("EBUSY: Job %u ", bench_first_job(bench, WEB));
    assert_non_null(strstr(errors, job));
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_string_equal(bench_create(bench, WEB, "d"), "ok");
}

static void labels_do_not_wait_for_a_merge(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_RENAME, WEB, "c");

    make_stuck_merge(bench);
    request->new_name = g_strdup("newest");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    assert_listed(bench, WEB, "a [b] newest");
    assert_true(a_job_runs(bench, WEB));
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a newest");
}

static void a_removal_is_accepted_beside_a_merge(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_remove(bench, WEB, "c"), "ok");
    assert_listed(bench, WEB, "a [b] [c]");
    assert_int_equal(bench_jobs(bench, WEB, JOB_RUNNING), 2);
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a");
    assert_content(bench, 100);
}

static void another_vm_merges_at_the_same_time(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_create(bench, DB, "one"), "ok");
    assert_string_equal(bench_remove(bench, DB, "one"), "ok");
    bench_wait(bench, no_job_runs, DB);
    assert_listed(bench, DB, "");
    assert_true(a_job_runs(bench, WEB));
}

static void power_goes_ahead_of_a_merge_which_goes_on(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_true(a_job_runs(bench, WEB));
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
}

static void pulling_the_plug_lets_the_merge_end_offline(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
}

static void starting_stops_an_offline_merge_which_goes_on_live(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    simhost_set_slow(bench->host, SIM_SLOW_COMMIT, 200);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_true(is_running(bench, WEB));
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
}

/* ---- cancelling and limiting ---- */

static void a_merge_that_stands_still_can_be_cancelled(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    assert_int_equal(bench_first_job(bench, WEB), 0);
    assert_listed(bench, WEB, "a b c");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(vm_view_named(view, "b")->state, SNAPSHOT_FAILED);

    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_content(bench, 100);
}

static void cancelling_ends_a_removal_with_sync(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_REMOVE, WEB, "b");

    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 0);
    request->sync = true;
    Call *call = bench_submit(bench, request);
    bench_wait(bench, a_job_copies, WEB);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    assert_string_equal(bench_answer(call), "EINTR");
}

/* What waits behind one that is cancelled is one pass. Both are told that it was cancelled. */
static void both_of_one_pass_can_be_cancelled_at_once(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "c"), "ok");
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    bench_wait(bench, a_job_copies, WEB);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(view->jobs->len, 2);
    Call *first = bench_submit_drop(bench, WEB, engine_job_id(view->jobs->pdata[0]));
    Call *second = bench_submit_drop(bench, WEB, engine_job_id(view->jobs->pdata[1]));
    assert_string_equal(bench_answer(first), "ok");
    assert_string_equal(bench_answer(second), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_first_job(bench, WEB), 0);
    g_autoptr(VmView) after = bench_view(bench, WEB);
    for (guint i = 0; i < after->snapshots->len; i++)
        assert_int_equal(((SnapshotView *)after->snapshots->pdata[i])->state, SNAPSHOT_FAILED);
}

static void a_merge_whose_turn_has_not_come_can_be_cancelled(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    assert_string_equal(bench_remove(bench, WEB, "c"), "ok");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_string_equal(bench_drop(bench, WEB, engine_job_id(view->jobs->pdata[1])), "ok");
    assert_int_equal(engine_job_state(view->jobs->pdata[1]), JOB_CANCELLED);
    assert_int_equal(bench_jobs(bench, WEB, JOB_RUNNING), 1);
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    bench_wait(bench, has_event, "\"snapshot-back\"");
    assert_listed(bench, WEB, "a c");
    g_autoptr(VmView) after = bench_view(bench, WEB);
    assert_int_equal(vm_view_named(after, "c")->state, SNAPSHOT_READY);
    assert_string_equal(bench_remove(bench, WEB, "c"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a");
}

static void set_policy(Bench *bench, const char *key, const char *value)
{
    Request *request = bench_request(REQUEST_POLICY, WEB, key);

    request->text = g_strdup(value);
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
}

static void a_failed_merge_is_shown_until_the_removal_succeeds(void **state)
{
    Bench *bench = *state;

    make_chain(bench, WEB);
    set_policy(bench, "merge_timeout", "1");
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 1);
    assert_listed(bench, WEB, "a b c");
    bench_wait(bench, has_event, "\"errno\":\"ETIMEDOUT\"");
    g_autofree char *errors = engine_errors(bench->engine, WEB);
    assert_non_null(strstr(errors, "uid=7 pid=42 merge web/snapshots/b ETIMEDOUT: "));

    set_policy(bench, "merge_timeout", "0");
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 0);
    assert_content(bench, 100);
}

static void a_limit_can_be_set_while_a_merge_runs(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_JOB_BANDWIDTH, WEB, NULL);

    make_stuck_merge(bench);
    request->job = bench_first_job(bench, WEB);
    request->number = 50 << 20;
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(engine_job_bandwidth(view->jobs->pdata[0]), 50 << 20);
}

/* ---- the host goes, the daemon goes ---- */

static void a_merge_outlives_a_lost_host(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    simhost_set_job_speed(bench->host, 4);
    simhost_set_down(bench->host, true);
    bench_wait(bench, is_stale, WEB);
    simhost_set_down(bench->host, false);
    bench_wait(bench, no_job_runs, WEB);
    bench_wait(bench, is_fresh, WEB);
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
}

static void a_parked_merge_is_adopted_by_the_next_daemon(void **state)
{
    Bench *bench = *state;

    make_stuck_merge(bench);
    engine_stop(bench->engine);
    assert_listed(bench, WEB, "a [b] c");
    bench_restart(bench);
    assert_true(a_job_runs(bench, WEB));
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a c");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_content(bench, 100);
}

static void stopping_answers_a_removal_with_sync(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_REMOVE, WEB, "b");

    make_chain(bench, WEB);
    simhost_set_job_speed(bench->host, 0);
    request->sync = true;
    Call *call = bench_submit(bench, request);
    bench_wait(bench, a_job_copies, WEB);
    engine_stop(bench->engine);
    assert_true(bench_is_answered(call));
    assert_string_equal(bench_answer(call), "EINTR");
}

static void many_requests_at_once_leave_the_content_whole(void **state)
{
    Bench *bench = *state;
    static const RequestKind kinds[] = {REQUEST_CREATE, REQUEST_REMOVE, REQUEST_RENAME,
                                        REQUEST_POWER, REQUEST_DESCRIBE};
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    Call *calls[200];

    make_chain(bench, WEB);
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autofree char *name = g_strdup_printf("s%d", g_rand_int_range(random, 0, 6));
        Request *request = bench_request(kinds[g_rand_int_range(random, 0, 5)], WEB, name);

        request->new_name = g_strdup_printf("s%d", g_rand_int_range(random, 0, 6));
        request->text = g_strdup(request->kind != REQUEST_POWER   ? "words"
                                 : g_rand_int_range(random, 0, 2) ? "running"
                                                                  : "off");
        calls[i] = bench_submit(bench, request);
        if (i % 7 == 0)
            engine_interrupt(bench->engine, calls[i]->ticket);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        bench_answer(calls[i]);
    bench_wait(bench, no_job_runs, WEB);
    assert_content(bench, 100);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_string_equal(view->drift, "");
}

#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(what_a_refused_request_took_up_goes_on),
        started(a_job_is_there_when_the_removal_is_answered),
        started(a_merge_goes_through_and_its_job_says_so),
        started(an_offline_merge_is_a_job_too),
        started(removing_with_sync_answers_when_it_is_merged),
        started(what_others_need_is_hidden_without_a_job),
        started(several_removals_are_done_one_after_another),
        started(a_merge_keeps_others_off_the_chain_and_says_why),
        started(labels_do_not_wait_for_a_merge),
        started(a_removal_is_accepted_beside_a_merge),
        started(another_vm_merges_at_the_same_time),
        started(power_goes_ahead_of_a_merge_which_goes_on),
        started(pulling_the_plug_lets_the_merge_end_offline),
        started(starting_stops_an_offline_merge_which_goes_on_live),
        started(a_merge_that_stands_still_can_be_cancelled),
        started(cancelling_ends_a_removal_with_sync),
        started(both_of_one_pass_can_be_cancelled_at_once),
        started(a_merge_whose_turn_has_not_come_can_be_cancelled),
        started(a_failed_merge_is_shown_until_the_removal_succeeds),
        started(a_limit_can_be_set_while_a_merge_runs),
        started(a_merge_outlives_a_lost_host),
        started(a_parked_merge_is_adopted_by_the_next_daemon),
        started(stopping_answers_a_removal_with_sync),
        started(many_requests_at_once_leave_the_content_whole),
    };

    return cmocka_run_group_tests_name("engine-jobs", tests, NULL, NULL);
}
