/* Freezing the guest around a snapshot, and the job that thaws one that was not seen thawed: what a
 * user sees, with every kind of agent. */
#include "engine-bench.h"

#include <string.h>

static Bench *running_with(SimAgent agent)
{
    Bench *bench = bench_new();

    simhost_set_agent(bench->host, WEB, agent);
    bench_start(bench);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    return bench;
}

static void set_policy(Bench *bench, const char *value)
{
    Request *request = bench_request(REQUEST_POLICY, WEB, "quiesce");

    request->text = g_strdup(value);
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
}

static bool says_frozen(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && view->frozen;
}

static bool says_thawed(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && !view->frozen;
}

static EngineJob *first_job(Bench *bench)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    return view->jobs->len ? job_ref(view->jobs->pdata[0]) : NULL;
}

static void assert_snapshot(Bench *bench, const char *name, const char *consistency,
                            const char *warning)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *snapshot = vm_view_named(view, name);

    assert_non_null(snapshot);
    assert_string_equal(snapshot->consistency, consistency);
    if (warning)
        assert_non_null(strstr(snapshot->warnings, warning));
    else
        assert_string_equal(snapshot->warnings, "");
}

/* Nothing of the VM was changed but what the policy file says. */
static void assert_untouched(Bench *bench)
{
    g_autoptr(GPtrArray) images = simhost_images(bench->host);

    assert_listed(bench, WEB, "");
    assert_int_equal(images->len, 3);
}

/* ---- agents that answer ---- */

static void s_2_a_well_agent_freezes_and_thaws(void **state)
{
    Bench *bench = running_with(SIM_AGENT_WELL);

    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "frozen", NULL);
    assert_true(simhost_was_frozen(bench->host, WEB));
    assert_false(simhost_is_frozen(bench->host, WEB));
    assert_true(says_thawed(bench, WEB));
    assert_int_equal(bench_first_job(bench, WEB), 0);
    set_policy(bench, "off");
    assert_string_equal(bench_create(bench, WEB, "s2"), "ok");
    assert_snapshot(bench, "s2", "crash", NULL);
    set_policy(bench, "require");
    assert_string_equal(bench_create(bench, WEB, "s3"), "ok");
    assert_snapshot(bench, "s3", "frozen", NULL);
    bench_free(bench);
}

static void without_an_agent_only_require_refuses(void **state)
{
    static const SimAgent agents[] = {SIM_AGENT_NONE, SIM_AGENT_DISCONNECTED};

    for (guint i = 0; i < G_N_ELEMENTS(agents); i++) {
        Bench *bench = running_with(agents[i]);

        set_policy(bench, "require");
        assert_string_equal(bench_create(bench, WEB, "s1"), "EOPNOTSUPP");
        assert_untouched(bench);
        set_policy(bench, "try");
        assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_snapshot(bench, "s1", "crash", NULL);
        bench_free(bench);
    }
}

/* W30: a freeze of nothing is no freeze. */
static void w_30_an_agent_that_cannot_freeze_is_no_reason_to_stop_but_for_require(void **state)
{
    static const SimAgent agents[] = {SIM_AGENT_FAILS, SIM_AGENT_EMPTY};

    for (guint i = 0; i < G_N_ELEMENTS(agents); i++) {
        Bench *bench = running_with(agents[i]);

        set_policy(bench, "require");
        assert_string_not_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_untouched(bench);
        assert_true(says_thawed(bench, WEB));
        set_policy(bench, "try");
        assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_snapshot(bench, "s1", "crash", "The guest was not frozen");
        assert_true(says_thawed(bench, WEB));
        bench_free(bench);
    }
}

static void s_32_a_freeze_that_cannot_be_verified_is_refused_and_thawed(void **state)
{
    Bench *bench = running_with(SIM_AGENT_LIES);

    assert_string_equal(bench_create(bench, WEB, "s1"), "EIO");
    assert_untouched(bench);
    assert_true(says_thawed(bench, WEB));
    assert_int_equal(bench_first_job(bench, WEB), 0);
    bench_free(bench);
}

static void a_guest_that_thaws_by_itself_was_not_frozen(void **state)
{
    Bench *bench = running_with(SIM_AGENT_WAKES);

    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "crash", "could not be verified");
    bench_free(bench);
}

static void a_guest_that_somebody_else_has_frozen_is_left_frozen(void **state)
{
    Bench *bench = running_with(SIM_AGENT_WELL);

    simhost_set_frozen(bench->host, WEB, true);
    assert_string_equal(bench_create(bench, WEB, "s1"), "EBUSY");
    assert_untouched(bench);
    assert_true(simhost_is_frozen(bench->host, WEB));
    assert_true(says_thawed(bench, WEB));
    set_policy(bench, "off");
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "crash", NULL);
    assert_true(simhost_is_frozen(bench->host, WEB));
    bench_free(bench);
}

static void e_25_u_12_a_paused_vm_is_neither_frozen_nor_resumed(void **state)
{
    Bench *bench = running_with(SIM_AGENT_WELL);

    assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "paused", NULL);
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_PAUSED);
    bench_free(bench);
}

/* ---- agents that do not ---- */

/* It was asked nothing that could still happen. */
static void a_silent_agent_times_out_and_owes_nothing(void **state)
{
    static const char *const policies[] = {"try", "require"};

    for (guint i = 0; i < G_N_ELEMENTS(policies); i++) {
        Bench *bench = running_with(SIM_AGENT_SILENT);

        set_policy(bench, policies[i]);
        assert_string_equal(bench_create(bench, WEB, "s1"), "ETIMEDOUT");
        assert_untouched(bench);
        assert_true(says_thawed(bench, WEB));
        simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
        assert_false(simhost_is_frozen(bench->host, WEB));
        assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_snapshot(bench, "s1", "frozen", NULL);
        bench_free(bench);
    }
}

static Bench *late_freeze(void)
{
    Bench *bench = running_with(SIM_AGENT_STUMBLES);

    assert_string_equal(bench_create(bench, WEB, "s1"), "ETIMEDOUT");
    assert_untouched(bench);
    bench_wait(bench, says_frozen, WEB);
    bench_wait(bench, a_job_runs, WEB);
    return bench;
}

static void assert_thawed_by_the_job(Bench *bench)
{
    bench_wait(bench, says_thawed, WEB);
    bench_wait(bench, no_job_runs, WEB);
    assert_false(simhost_is_frozen(bench->host, WEB));
}

/* The queued freeze happens when the agent wakes up. */
static void a_late_freeze_is_thawed_by_the_job(void **state)
{
    Bench *bench = late_freeze();
    g_autoptr(EngineJob) job = first_job(bench);

    assert_string_equal(engine_job_kind(job), "thaw");
    assert_string_equal(engine_job_target(job), "web");
    bench_wait(bench, has_event, "\"kind\":\"thaw\"");
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    assert_thawed_by_the_job(bench);
    assert_int_equal(engine_job_state(job), JOB_DONE);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "frozen", NULL);
    bench_free(bench);
}

static bool only_s2_is_there(Bench *bench, const char *vm)
{
    g_autofree char *listed = bench_listed(bench, vm);

    return strcmp(listed, "s2") == 0;
}

static void while_a_thaw_is_owed_other_work_goes_on(void **state)
{
    Bench *bench = late_freeze();
    unsigned job = bench_first_job(bench, WEB);

    assert_string_equal(bench_create(bench, WEB, "s1"), "EBUSY");
    assert_string_equal(bench_drop(bench, WEB, job), "EBUSY");
    set_policy(bench, "off");
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "crash", NULL);
    assert_true(says_frozen(bench, WEB));
    assert_string_equal(bench_create(bench, WEB, "s2"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "s1"), "ok");
    bench_wait(bench, only_s2_is_there, WEB);
    assert_true(says_frozen(bench, WEB));
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    assert_thawed_by_the_job(bench);
    assert_listed(bench, WEB, "s2");
    bench_free(bench);
}

static void a_vm_that_goes_off_has_no_guest_to_thaw(void **state)
{
    Bench *bench = late_freeze();

    simhost_stop(bench->host, WEB);
    assert_thawed_by_the_job(bench);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "off", NULL);
    bench_free(bench);
}

static void the_next_daemon_goes_on_with_the_thaw(void **state)
{
    Bench *bench = late_freeze();

    bench_restart(bench);
    bench_wait(bench, a_job_runs, WEB);
    assert_true(says_frozen(bench, WEB));
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    assert_thawed_by_the_job(bench);
    bench_restart(bench);
    assert_true(says_thawed(bench, WEB));
    assert_int_equal(bench_first_job(bench, WEB), 0);
    bench_free(bench);
}

static void a_libvirt_that_was_away_is_asked_again(void **state)
{
    Bench *bench = late_freeze();

    simhost_set_down(bench->host, true);
    bench_wait(bench, is_stale, WEB);
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    assert_true(simhost_is_frozen(bench->host, WEB));
    simhost_set_down(bench->host, false);
    assert_thawed_by_the_job(bench);
    bench_free(bench);
}

/* It froze, said so, and then hung. */
static void u_20_an_agent_that_hangs_once_frozen_is_thawed_by_the_job(void **state)
{
    Bench *bench = running_with(SIM_AGENT_DAZED);

    assert_string_equal(bench_create(bench, WEB, "s1"), "ETIMEDOUT");
    assert_untouched(bench);
    assert_true(simhost_is_frozen(bench->host, WEB));
    bench_wait(bench, says_frozen, WEB);
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    assert_thawed_by_the_job(bench);
    bench_free(bench);
}

static void s_33_u_23_a_thaw_that_fails_loses_no_snapshot(void **state)
{
    Bench *bench = running_with(SIM_AGENT_STUCK);

    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_snapshot(bench, "s1", "frozen", "could not be thawed");
    assert_true(says_frozen(bench, WEB));
    bench_wait(bench, has_event, "\"kind\":\"thaw\"");
    bench_wait(bench, a_job_runs, WEB);
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    assert_thawed_by_the_job(bench);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s_2_a_well_agent_freezes_and_thaws),
        cmocka_unit_test(without_an_agent_only_require_refuses),
        cmocka_unit_test(w_30_an_agent_that_cannot_freeze_is_no_reason_to_stop_but_for_require),
        cmocka_unit_test(s_32_a_freeze_that_cannot_be_verified_is_refused_and_thawed),
        cmocka_unit_test(a_guest_that_thaws_by_itself_was_not_frozen),
        cmocka_unit_test(a_guest_that_somebody_else_has_frozen_is_left_frozen),
        cmocka_unit_test(e_25_u_12_a_paused_vm_is_neither_frozen_nor_resumed),
        cmocka_unit_test(a_silent_agent_times_out_and_owes_nothing),
        cmocka_unit_test(a_late_freeze_is_thawed_by_the_job),
        cmocka_unit_test(while_a_thaw_is_owed_other_work_goes_on),
        cmocka_unit_test(a_vm_that_goes_off_has_no_guest_to_thaw),
        cmocka_unit_test(the_next_daemon_goes_on_with_the_thaw),
        cmocka_unit_test(a_libvirt_that_was_away_is_asked_again),
        cmocka_unit_test(u_20_an_agent_that_hangs_once_frozen_is_thawed_by_the_job),
        cmocka_unit_test(s_33_u_23_a_thaw_that_fails_loses_no_snapshot),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
