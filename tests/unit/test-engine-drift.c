/* Somebody else changes a VM's chain: what a user sees of that, what is refused, and that nothing
 * is lost (pitfall 31). */
#include "engine-bench.h"

static const char *const both[] = {"vda", "vdb", NULL};

static bool drifts(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && *view->drift;
}

static const char *rescan(Bench *bench)
{
    return bench_answer(bench_submit(bench, bench_request(REQUEST_RESCAN, WEB, NULL)));
}

static const char *adopt(Bench *bench)
{
    Request *request = bench_request(REQUEST_ADOPT, WEB, NULL);

    request->mode = 0750;
    return bench_answer(bench_submit(bench, request));
}

static Bench *with_two_snapshots(void)
{
    Bench *bench = bench_new();

    bench_start(bench);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_string_equal(bench_create(bench, WEB, "s2"), "ok");
    return bench;
}

static void a_foreign_overlay_is_seen_told_and_refused(void **state)
{
    Bench *bench = with_two_snapshots();

    simhost_stranger_snapshot(bench->host, WEB, "x", both);
    assert_string_equal(rescan(bench), "ok");
    assert_true(drifts(bench, WEB));
    bench_wait(bench, has_event, "\"type\":\"drift\"");
    assert_string_equal(bench_create(bench, WEB, "s3"), "EUCLEAN");
    assert_string_equal(bench_revert(bench, WEB, "s1"), "EUCLEAN");
    assert_string_equal(bench_remove(bench, WEB, "s2"), "EUCLEAN");
    assert_listed(bench, WEB, "s1 s2");
    assert_string_equal(rescan(bench), "ok");
    bench_free(bench);
}

static void drift_ends_with_its_cause(void **state)
{
    Bench *bench = with_two_snapshots();
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const DiskView *disk = view->disks->pdata[0];

    simhost_stranger_edit(bench->host, WEB, "vda", disk->chain->pdata[1], "qcow2");
    bench_wait(bench, drifts, WEB);
    simhost_stranger_edit(bench->host, WEB, "vda", disk->source, "qcow2");
    assert_string_equal(rescan(bench), "ok");
    assert_false(drifts(bench, WEB));
    bench_wait(bench, has_event, "\"drift\":\"\"");
    assert_string_equal(bench_create(bench, WEB, "s3"), "ok");
    bench_free(bench);
}

static void adopt_takes_what_is_there(void **state)
{
    Bench *bench = with_two_snapshots();

    simhost_stranger_snapshot(bench->host, WEB, "x", both);
    assert_string_equal(adopt(bench), "ok");
    assert_false(drifts(bench, WEB));
    assert_listed(bench, WEB, "s1 s2 found-1");
    g_autofree char *current = bench_current(bench, WEB);
    assert_string_equal(current, "found-1");
    assert_string_equal(adopt(bench), "ok");
    assert_string_equal(bench_create(bench, WEB, "s3"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "found-1"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    bench_restart(bench);
    assert_listed(bench, WEB, "s1 s2 s3");
    bench_free(bench);
}

static void what_was_hidden_is_finished_after_an_adoption(void **state)
{
    Bench *bench = with_two_snapshots();

    assert_string_equal(bench_revert(bench, WEB, "s1"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "s1"), "ok");
    assert_listed(bench, WEB, "[s1] s2");
    for (unsigned i = 0; both[i]; i++)
        simhost_stranger_commit(bench->host, WEB, both[i], 0, 1);
    assert_string_equal(adopt(bench), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_false(drifts(bench, WEB));
    assert_listed(bench, WEB, "s2");
    bench_free(bench);
}

static void a_look_that_fails_says_so(void **state)
{
    Bench *bench = with_two_snapshots();

    simhost_set_down(bench->host, true);
    assert_string_equal(rescan(bench), "EHOSTDOWN");
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_foreign_overlay_is_seen_told_and_refused),
        cmocka_unit_test(drift_ends_with_its_cause),
        cmocka_unit_test(adopt_takes_what_is_there),
        cmocka_unit_test(what_was_hidden_is_finished_after_an_adoption),
        cmocka_unit_test(a_look_that_fails_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
