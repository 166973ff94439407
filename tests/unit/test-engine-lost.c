/* libvirt is killed in the snapshot of a running VM and loses track of its disks (rule 14): what a
 * user sees of that, with and without a new daemon. */
#include "engine-bench.h"

static bool tells_of_lost_track(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && strstr(view->drift, "lost track");
}

static bool tells_nothing(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && !*view->drift && !view->stale;
}

static Bench *killed_in_a_snapshot(void)
{
    Bench *bench = bench_new();

    bench_start(bench);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    simhost_set_death(bench->host, SIM_DIES_AFTER_SWITCH);
    assert_string_equal(bench_create(bench, WEB, "s1"), "EHOSTDOWN");
    return bench;
}

static void check_the_way_out(Bench *bench)
{
    bench_wait(bench, tells_of_lost_track, WEB);
    assert_listed(bench, WEB, "s1");
    assert_string_equal(bench_create(bench, WEB, "s2"), "EUCLEAN");
    assert_string_equal(bench_remove(bench, WEB, "s1"), "EUCLEAN");
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    bench_wait(bench, tells_nothing, WEB);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_create(bench, WEB, "s2"), "ok");
    assert_listed(bench, WEB, "s1 s2");
    assert_null(simhost_misuse(bench->host));
}

static void libvirt_comes_back_under_the_same_daemon(void **state)
{
    Bench *bench = killed_in_a_snapshot();

    simhost_set_down(bench->host, false);
    check_the_way_out(bench);
    bench_free(bench);
}

static void libvirt_and_the_daemon_come_back(void **state)
{
    Bench *bench = killed_in_a_snapshot();

    simhost_set_down(bench->host, false);
    bench_restart(bench);
    bench_wait(bench, is_listed, WEB);
    assert_true(tells_of_lost_track(bench, WEB));
    check_the_way_out(bench);
    bench_free(bench);
}

/* The list was there, the VMs were not looked at: a directory without its snapshots is none. */
static void libvirt_dies_when_the_daemon_has_seen_its_list(void **state)
{
    Bench *bench = bench_new();

    bench_start(bench);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    bench_die_when_asked(bench);
    bench_restart(bench);
    bench_wait(bench, is_not_listed, WEB);

    simhost_set_down(bench->host, false);
    bench_wait(bench, is_listed, WEB);
    assert_listed(bench, WEB, "s1");
    bench_wait(bench, is_fresh, WEB);
    assert_listed(bench, WEB, "s1");
    bench_free(bench);
}

static bool nothing_runs(Bench *bench, const char *vm)
{
    g_mutex_lock(&bench->engine->lock);
    bool runs = ((EngineVm *)g_hash_table_lookup(bench->engine->vms, vm))->main;
    g_mutex_unlock(&bench->engine->lock);
    return !runs;
}

/* Something else has the VM's turn, so that opening it has to wait. */
static void set_busy(Bench *bench, bool busy)
{
    if (busy)
        bench_wait(bench, nothing_runs, WEB);
    g_mutex_lock(&bench->engine->lock);
    EngineVm *vm = g_hash_table_lookup(bench->engine->vms, WEB);
    vm->main = busy;
    if (!busy)
        queue_start_locked(vm);
    g_mutex_unlock(&bench->engine->lock);
}

static bool is_up(Bench *bench, const char *unused)
{
    g_autoptr(HostView) view = engine_view(bench->engine);

    return view->up;
}

/* What is on the disks then is of the snapshot that nobody has written down yet. */
static void what_was_interrupted_is_shown_as_fresh_when_it_was_recovered(void **state)
{
    Bench *bench = killed_in_a_snapshot();
    EngineVm *vm = g_hash_table_lookup(bench->engine->vms, WEB);

    bench_wait(bench, is_stale, WEB);
    set_busy(bench, true);
    simhost_set_down(bench->host, false);
    bench_wait(bench, is_up, NULL);
    refresh_now(vm, true);
    g_autoptr(VmView) seen = bench_view(bench, WEB);
    assert_string_equal(seen->drift, "");
    assert_true(seen->stale);

    set_busy(bench, false);
    bench_wait(bench, is_fresh, WEB);
    assert_listed(bench, WEB, "s1");
    bench_free(bench);
}

static SimHost *doomed;
static bool (*rename_of_the_fake)(Hypervisor *, const char *, const char *, GError **);

static bool rename_and_die(Hypervisor *hv, const char *uuid, const char *new_name, GError **error)
{
    bool done = rename_of_the_fake(hv, uuid, new_name, error);

    simhost_set_down(doomed, true);
    return done;
}

static void check_name(Bench *bench, const char *name)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    assert_string_equal(view->name, name);
}

/* What was seen of it last has its old name. */
static void a_new_name_that_was_answered_is_shown_while_libvirt_is_away(void **state)
{
    Bench *bench = bench_new();

    bench_start(bench);
    doomed = bench->host;
    rename_of_the_fake = bench->hv_ops.rename;
    bench->hv_ops.rename = rename_and_die;
    Request *request = bench_request(REQUEST_MOVE, WEB, NULL);
    request->new_name = g_strdup("shop");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    check_name(bench, "shop");
    bench_wait(bench, is_stale, WEB);
    refresh_now(g_hash_table_lookup(bench->engine->vms, WEB), true);
    check_name(bench, "shop");

    simhost_set_down(bench->host, false);
    bench_wait(bench, is_fresh, WEB);
    check_name(bench, "shop");
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(libvirt_comes_back_under_the_same_daemon),
        cmocka_unit_test(libvirt_and_the_daemon_come_back),
        cmocka_unit_test(libvirt_dies_when_the_daemon_has_seen_its_list),
        cmocka_unit_test(what_was_interrupted_is_shown_as_fresh_when_it_was_recovered),
        cmocka_unit_test(a_new_name_that_was_answered_is_shown_while_libvirt_is_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
