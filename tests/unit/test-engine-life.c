/* A VM as a whole on a simulated host: its name. */
#include "engine-bench.h"

static const char *rename_vm(Bench *bench, const char *vm, const char *name)
{
    Request *request = bench_request(REQUEST_MOVE, vm, NULL);

    request->new_name = g_strdup(name);
    return bench_answer(bench_submit(bench, request));
}

static bool has_name(Bench *bench, const char *name)
{
    g_autoptr(HostView) view = engine_view(bench->engine);

    return host_view_find(view, name) != NULL;
}

static void a_vm_is_shown_under_its_new_name_when_that_is_answered(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(rename_vm(bench, WEB, "shop"), "ok");
    assert_true(has_name(bench, "shop"));
    assert_false(has_name(bench, "web"));
    assert_listed(bench, WEB, "first");
    bench_wait(bench, has_event, "\"vm-appeared\",\"vm\":\"shop\"");
    assert_true(bench_has_event(bench, "\"vm-vanished\",\"vm\":\"web\""));
    assert_false(bench_has_event(bench, "\"snapshot-removed\""));
    bench_restart(bench);
    assert_true(has_name(bench, "shop"));
    assert_listed(bench, WEB, "first");
}

static void a_taken_name_is_refused(void **state)
{
    Bench *bench = *state;

    assert_string_equal(rename_vm(bench, WEB, "db"), "EEXIST");
    assert_true(has_name(bench, "web"));
    assert_true(has_name(bench, "db"));
}

static void a_vm_with_work_to_do_keeps_its_name(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(rename_vm(bench, WEB, "shop"), "EBUSY");
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    simhost_set_foreign(bench->host, WEB, "backup", 0);
    assert_string_equal(rename_vm(bench, WEB, "shop"), "EBUSY");
    simhost_set_foreign(bench->host, WEB, NULL, 1);
    assert_string_equal(rename_vm(bench, WEB, "shop"), "EOPNOTSUPP");
    simhost_set_foreign(bench->host, WEB, NULL, 0);
    assert_string_equal(rename_vm(bench, WEB, "shop"), "ok");
}

static void a_merge_that_runs_is_waited_for_by_nobody(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "first"), "ok");
    bench_wait(bench, a_job_runs, WEB);
    assert_string_equal(rename_vm(bench, WEB, "shop"), "EBUSY");
    simhost_set_job_speed(bench->host, 64);
    bench_wait(bench, no_job_runs, WEB);
}

static void another_machines_vm_keeps_its_name(void **state)
{
    Bench *bench = *state;

    bench_restart_remote(bench);
    assert_string_equal(rename_vm(bench, WEB, "shop"), "EROFS");
    assert_true(has_name(bench, "web"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_vm_is_shown_under_its_new_name_when_that_is_answered),
        CASE(a_taken_name_is_refused),
        CASE(a_vm_with_work_to_do_keeps_its_name),
        CASE(a_merge_that_runs_is_waited_for_by_nobody),
        CASE(another_machines_vm_keeps_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
