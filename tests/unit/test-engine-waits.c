/* Who waits for a job and for how long: cancelling, limits, removals with sync, jobs that fail or
 * are over. */
#include "engine-bench.h"

#include <string.h>

/* A running VM with the snapshots a and b, whose merges stand still. */
static void make_chain(Bench *bench)
{
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    for (unsigned block = 0; block < 6; block++)
        simhost_write(bench->host, WEB, "vda", block, 11);
    assert_string_equal(bench_create(bench, WEB, "b"), "ok");
    simhost_write(bench->host, WEB, "vda", 2, 12);
    simhost_set_job_speed(bench->host, 0);
}

static Call *remove_with_sync(Bench *bench, const char *name)
{
    Request *request = bench_request(REQUEST_REMOVE, WEB, name);

    request->sync = true;
    Call *call = bench_submit(bench, request);
    bench_wait(bench, a_job_copies, WEB);
    return call;
}

static void assert_error_says(Bench *bench, const char *text)
{
    g_autofree char *errors = engine_errors(bench->engine, WEB);

    if (!strstr(errors, text))
        print_message("# errors: %s\n", errors);
    assert_non_null(strstr(errors, text));
}

static SnapshotState state_of(Bench *bench, const char *name)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    return vm_view_named(view, name)->state;
}

static void set_policy(Bench *bench, const char *key, const char *value)
{
    Request *request = bench_request(REQUEST_POLICY, WEB, key);

    request->text = g_strdup(value);
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
}

/* ---- cancelling ---- */

/* Design 2.4: the kernel keeps others out of jobs/ meanwhile. */
static void cancelling_is_answered_in_time_though_libvirt_hangs(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    bench->engine->cancel_wait_ms = 50;
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    bench_hang_aborts(bench, true);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ETIMEDOUT");
    assert_error_says(bench, "of VM web has not stopped in time");
    assert_true(a_job_runs(bench, WEB));

    /* What was asked for happens, late. */
    bench_hang_aborts(bench, false);
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_first_job(bench, WEB), 0);
    assert_int_equal(state_of(bench, "b"), SNAPSHOT_FAILED);
    bench_wait(bench, has_event, "\"cancelled\"");
}

static void assert_removed_at_last(Bench *bench)
{
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a");
}

/* It copies on, and nobody says that it was cancelled. */
static void a_job_that_cannot_be_ended_is_not_called_cancelled(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    bench_break_disk(bench, "vda");
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "EIO");
    assert_error_says(bench, "the block job could not be ended: the disk vda is broken");
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 1);
    assert_int_equal(state_of(bench, "b"), SNAPSHOT_FAILED);
    bench_break_disk(bench, NULL);
    assert_removed_at_last(bench);
}

static void what_was_to_be_cancelled_when_libvirt_went_is_when_it_is_back(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    bench->engine->cancel_wait_ms = 50;
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    bench_hang_aborts(bench, true);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ETIMEDOUT");
    simhost_set_down(bench->host, true);
    bench_hang_aborts(bench, false);
    bench_wait(bench, is_stale, WEB);
    assert_true(a_job_runs(bench, WEB));
    simhost_set_down(bench->host, false);
    bench_wait(bench, no_job_runs, WEB);
    bench_wait(bench, has_event, "\"cancelled\"");
    bench_wait(bench, is_fresh, WEB);
    assert_int_equal(state_of(bench, "b"), SNAPSHOT_FAILED);
    assert_removed_at_last(bench);
}

static void two_may_cancel_the_same_job(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    bench_hang_aborts(bench, true);
    Call *calls[2];
    for (unsigned i = 0; i < 2; i++) {
        Request *request = bench_request(REQUEST_JOB_DROP, WEB, NULL);
        request->job = bench_first_job(bench, WEB);
        calls[i] = bench_submit(bench, request);
    }
    assert_false(bench_is_answered(calls[0]));
    bench_hang_aborts(bench, false);
    assert_string_equal(bench_answer(calls[0]), "ok");
    const char *second = bench_answer(calls[1]); /* it may have come when the job was gone */
    assert_true(g_str_equal(second, "ok") || g_str_equal(second, "ENOENT"));
}

static void an_offline_merge_can_be_cancelled(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    simhost_set_slow(bench->host, SIM_SLOW_COMMIT, 200);
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    assert_int_equal(state_of(bench, "a"), SNAPSHOT_FAILED);
    simhost_set_slow(bench->host, SIM_SLOW_COMMIT, 0);
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "b");
}

/* ---- the time limit ---- */

/* S-15, S-16, W2, W6: it is in seconds, and what it ends is the work itself. */
static void the_limit_ends_an_offline_merge_too(void **state)
{
    Bench *bench = *state;
    int64_t before = g_get_monotonic_time();

    make_chain(bench);
    set_policy(bench, "merge_timeout", "1");
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    simhost_set_slow(bench->host, SIM_SLOW_COMMIT, 400);
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_true(g_get_monotonic_time() - before >= G_USEC_PER_SEC);
    assert_int_equal(state_of(bench, "a"), SNAPSHOT_FAILED);
    assert_error_says(bench, "ETIMEDOUT: The merge on VM web took longer than policy/merge_timeout "
                             "allows; raise it and remove the snapshot again");
    simhost_set_slow(bench->host, SIM_SLOW_COMMIT, 0);
    set_policy(bench, "merge_timeout", "0");
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "b");
}

/* ---- bandwidth ---- */

static const char *limit_first_job(Bench *bench, uint64_t bandwidth)
{
    Request *request = bench_request(REQUEST_JOB_BANDWIDTH, WEB, NULL);

    request->job = bench_first_job(bench, WEB);
    request->number = bandwidth;
    return bench_answer(bench_submit(bench, request));
}

static void a_limit_is_answered_when_it_is_in_force(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    assert_string_equal(limit_first_job(bench, 7 << 20), "ok");
    bench->engine->cancel_wait_ms = 100;
    bench_break_disk(bench, "vda");
    assert_string_equal(limit_first_job(bench, 5 << 20), "ETIMEDOUT");
    assert_error_says(bench, "does not keep to the new limit yet");
    bench_break_disk(bench, NULL);
    bench->engine->cancel_wait_ms = 10000;
    assert_string_equal(limit_first_job(bench, 5 << 20), "ok");
}

/* ---- what fails, and what is not told ---- */

static uint64_t block_of(Bench *bench, const char *target, unsigned block)
{
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, target);

    return g_array_index(content, guint64, block);
}

/* W1: each disk is recorded when it is done. */
static void one_disk_is_done_though_the_other_fails_W1(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    simhost_set_job_speed(bench->host, 4);
    bench_break_disk(bench, "vdb");
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(state_of(bench, "b"), SNAPSHOT_FAILED);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *b = vm_view_named(view, "b");
    assert_int_equal(b->disks->len, 1);
    assert_string_equal(((LayerView *)b->disks->pdata[0])->target, "vdb");
    assert_error_says(bench, "the disk vdb is broken");

    /* The VM starts, from files that are there, and removing it again does the rest. */
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_int_equal(block_of(bench, "vda", 2), 12);
    bench_break_disk(bench, NULL);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a");
    assert_int_equal(block_of(bench, "vda", 2), 12);
}

/* W4: it is what is true on disk, and not what was asked for, that others have to wait for. */
static void a_failed_removal_blocks_nothing_W4(void **state)
{
    Bench *bench = *state;
    Request *rename = bench_request(REQUEST_RENAME, WEB, "b");

    make_chain(bench);
    bench_break_disk(bench, "vdb");
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    bench_break_disk(bench, NULL);
    rename->new_name = g_strdup("broken");
    assert_string_equal(bench_answer(bench_submit(bench, rename)), "ok");
    assert_string_equal(bench_create(bench, WEB, "c"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "c"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "a"), "ok");
    assert_string_equal(bench_create(bench, WEB, "d"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "broken"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a d");
}

/* E-4, W5: the result is asked for, and no event is waited for. */
static void a_lost_event_keeps_no_merge_from_its_end_E_4(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    bench_lose_events(bench);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_int_equal(block_of(bench, "vda", 2), 12);
    assert_int_equal(block_of(bench, "vda", 1), 11);
}

/* ---- removals with sync ---- */

static void an_interrupted_removal_with_sync_has_worked_and_its_merge_goes_on(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    Call *call = remove_with_sync(bench, "b");
    engine_interrupt(bench->engine, call->ticket);
    assert_string_equal(bench_answer(call), "ok");
    assert_true(a_job_runs(bench, WEB));
    assert_listed(bench, WEB, "a [b]");
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
}

static void a_removal_with_sync_that_fails_says_so_and_is_back(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    set_policy(bench, "merge_timeout", "1");
    assert_string_equal(bench_answer(remove_with_sync(bench, "b")), "ETIMEDOUT");
    assert_listed(bench, WEB, "a b");
    assert_int_equal(state_of(bench, "b"), SNAPSHOT_FAILED);
    set_policy(bench, "merge_timeout", "0");
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_answer(remove_with_sync(bench, "b")), "ok");
    assert_listed(bench, WEB, "a");
}

/* ---- jobs that are over ---- */

static bool no_job_is_shown(Bench *bench, const char *vm)
{
    return bench_first_job(bench, vm) == 0;
}

static void a_done_job_goes_after_a_while_though_nothing_happens(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    bench->engine->done_kept_ms = 300;
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, no_job_is_shown, WEB);
}

static void a_failed_job_stays(void **state)
{
    Bench *bench = *state;

    make_chain(bench);
    bench->engine->done_kept_ms = 0;
    set_policy(bench, "merge_timeout", "1");
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 1);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    assert_int_equal(bench_first_job(bench, WEB), 0);
}

static void so_many_done_jobs_are_kept_and_no_more(void **state)
{
    Bench *bench = *state;

    for (unsigned i = 0; i < 34; i++) {
        assert_string_equal(bench_create(bench, WEB, "one"), "ok");
        assert_string_equal(bench_remove(bench, WEB, "one"), "ok");
        bench_wait(bench, no_job_runs, WEB);
    }
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 32);
    assert_int_not_equal(bench_first_job(bench, WEB), 1);
}

#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(cancelling_is_answered_in_time_though_libvirt_hangs),
        started(a_job_that_cannot_be_ended_is_not_called_cancelled),
        started(what_was_to_be_cancelled_when_libvirt_went_is_when_it_is_back),
        started(two_may_cancel_the_same_job),
        started(an_offline_merge_can_be_cancelled),
        started(the_limit_ends_an_offline_merge_too),
        started(a_limit_is_answered_when_it_is_in_force),
        started(one_disk_is_done_though_the_other_fails_W1),
        started(a_failed_removal_blocks_nothing_W4),
        started(a_lost_event_keeps_no_merge_from_its_end_E_4),
        started(an_interrupted_removal_with_sync_has_worked_and_its_merge_goes_on),
        started(a_removal_with_sync_that_fails_says_so_and_is_back),
        started(a_done_job_goes_after_a_while_though_nothing_happens),
        started(a_failed_job_stays),
        started(so_many_done_jobs_are_kept_and_no_more),
    };

    return cmocka_run_group_tests_name("engine-waits", tests, NULL, NULL);
}
