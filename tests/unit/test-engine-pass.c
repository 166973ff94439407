/* Several removals that wait together are one pass over the data (rule 6): its jobs, how they are
 * cancelled, and what another daemon makes of it. */
#include "engine-bench.h"

#include <string.h>

#define DISKS 2 /* of web */

static void write_all(Bench *bench, uint64_t value)
{
    for (unsigned block = 0; block < 4; block++)
        simhost_write(bench->host, WEB, "vda", block, value + block);
}

static void assert_content(Bench *bench, uint64_t wanted)
{
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, "vda");

    for (unsigned block = 0; block < 4; block++)
        assert_int_equal(g_array_index(content, guint64, block), wanted + block);
}

/* The running job of a snapshot; a reference, or NULL. */
static EngineJob *running_job(Bench *bench, const char *name)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    for (guint i = 0; view && i < view->jobs->len; i++)
        if (engine_job_state(view->jobs->pdata[i]) == JOB_RUNNING &&
            strcmp(engine_job_target(view->jobs->pdata[i]), name) == 0)
            return job_ref(view->jobs->pdata[i]);
    return NULL;
}

static unsigned running_id(Bench *bench, const char *name)
{
    g_autoptr(EngineJob) job = running_job(bench, name);

    return job ? engine_job_id(job) : 0;
}

/* Is the last of the space-separated names part of a pass that the first one leads? */
static bool is_one_pass(Bench *bench, const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    g_autoptr(EngineJob) last = running_job(bench, list[g_strv_length(list) - 1]);

    return last && job_is_begun(last) && engine_job_pass(last) == running_id(bench, list[0]);
}

static void remove_all(Bench *bench, const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, " ", -1);

    for (unsigned i = 0; list[i]; i++)
        assert_string_equal(bench_remove(bench, WEB, list[i]), "ok");
}

/* A running VM with the snapshots a to f, and a merge of a that stands still. */
static void make_stuck(Bench *bench)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};

    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        write_all(bench, 10 * i);
        assert_string_equal(bench_create(bench, WEB, names[i]), "ok");
    }
    write_all(bench, 100);
    simhost_set_job_speed(bench->host, 0);
    remove_all(bench, "a");
    bench_wait(bench, a_job_copies, WEB);
}

/* One pass over @names stands still: the merge before it is cancelled. */
static void make_stuck_pass(Bench *bench, const char *names)
{
    make_stuck(bench);
    remove_all(bench, names);
    assert_string_equal(bench_drop(bench, WEB, running_id(bench, "a")), "ok");
    bench_wait(bench, is_one_pass, names);
    bench_wait(bench, a_job_copies, WEB);
}

static void let_go(Bench *bench)
{
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
}

static void what_waits_together_is_one_commit_a_disk_rule_6(void **state)
{
    Bench *bench = *state;

    make_stuck(bench);
    remove_all(bench, "e d c");
    let_go(bench);
    assert_listed(bench, WEB, "b f");
    assert_int_equal(simhost_commits(bench->host), 2 * DISKS);
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 4);
    assert_content(bench, 100);
}

static void what_stays_between_cuts_the_run_rule_6(void **state)
{
    Bench *bench = *state;

    make_stuck(bench);
    remove_all(bench, "c e f");
    let_go(bench);
    assert_listed(bench, WEB, "b d");
    assert_int_equal(simhost_commits(bench->host), 3 * DISKS);
    assert_content(bench, 100);
}

static void the_jobs_of_a_pass_show_the_same_numbers(void **state)
{
    Bench *bench = *state;

    make_stuck_pass(bench, "d e f");
    simhost_set_job_speed(bench->host, 1);
    bench_wait(bench, no_job_runs, WEB);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    for (guint i = 0; i < view->jobs->len; i++) {
        g_autoptr(GPtrArray) disks = engine_job_disks(view->jobs->pdata[i]);
        assert_int_equal(disks->len, DISKS);
        assert_int_equal(((JobDisk *)disks->pdata[0])->done, 4 * SIM_BLOCK);
    }
    assert_listed(bench, WEB, "a b c");
}

static void cancelling_one_of_a_pass_brings_all_of_it_back(void **state)
{
    Bench *bench = *state;

    make_stuck_pass(bench, "d e");
    g_autoptr(EngineJob) other = running_job(bench, "d");
    assert_string_equal(bench_drop(bench, WEB, running_id(bench, "e")), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "a b c d e f");
    assert_int_equal(engine_job_state(other), JOB_FAILED);
    g_autofree char *result = engine_job_result(other);
    assert_string_equal(result, "The merge of snapshot d was one pass with that of e, which was "
                                "cancelled; remove it again to finish");
    remove_all(bench, "d e a");
    let_go(bench);
    assert_listed(bench, WEB, "b c f");
    assert_content(bench, 100);
}

static void what_is_cancelled_before_the_pass_is_not_part_of_it(void **state)
{
    Bench *bench = *state;

    make_stuck(bench);
    remove_all(bench, "c d e");
    assert_string_equal(bench_drop(bench, WEB, running_id(bench, "d")), "ok");
    let_go(bench);
    bench_wait(bench, has_event, "\"snapshot-back\"");
    assert_listed(bench, WEB, "b d f");
    assert_int_equal(simhost_commits(bench->host), 3 * DISKS);
    remove_all(bench, "d");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "b f");
    assert_content(bench, 100);
}

static void a_parked_pass_is_adopted_as_it_is(void **state)
{
    Bench *bench = *state;

    make_stuck_pass(bench, "e f");
    bench_restart(bench);
    bench_wait(bench, is_one_pass, "e f");
    let_go(bench);
    assert_listed(bench, WEB, "a b c d");
    assert_true(simhost_commits(bench->host) <= 2 * DISKS);
    assert_content(bench, 100);
}

/* The pass that runs in QEMU is about less than what is planned by the next daemon. */
static void a_removal_accepted_meanwhile_does_not_confuse_adoption(void **state)
{
    static const char *const passes[] = {"d e", "e f"}; /* inner, and with the active layer */
    static const char *const more[] = {"c", "d"};
    static const char *const left[] = {"a b f", "a b c"};

    for (unsigned i = 0; i < G_N_ELEMENTS(passes); i++) {
        Bench *bench = bench_new();

        bench_start(bench);
        make_stuck_pass(bench, passes[i]);
        remove_all(bench, more[i]);
        bench_restart(bench);
        bench_wait(bench, a_job_copies, WEB);
        let_go(bench);
        assert_listed(bench, WEB, left[i]);
        assert_content(bench, 100);
        assert_null(simhost_misuse(bench->host));
        g_autoptr(VmView) view = bench_view(bench, WEB);
        assert_string_equal(view->drift, "");
        bench_free(bench);
    }
}

#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(what_waits_together_is_one_commit_a_disk_rule_6),
        started(what_stays_between_cuts_the_run_rule_6),
        started(the_jobs_of_a_pass_show_the_same_numbers),
        started(cancelling_one_of_a_pass_brings_all_of_it_back),
        started(what_is_cancelled_before_the_pass_is_not_part_of_it),
        started(a_parked_pass_is_adopted_as_it_is),
        cmocka_unit_test(a_removal_accepted_meanwhile_does_not_confuse_adoption),
    };

    return cmocka_run_group_tests_name("engine-pass", tests, NULL, NULL);
}
