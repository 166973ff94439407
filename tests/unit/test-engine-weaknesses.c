/* Weaknesses of the best known implementation that are of no rule of their own: what a user sees
 * where it went wrong. The numbers are those of the study of disk-only snapshots. */
#include "engine-bench.h"

#include <string.h>

static void write_blocks(Bench *bench, uint64_t value)
{
    for (unsigned block = 0; block < 4; block++)
        simhost_write(bench->host, WEB, "vda", block, value);
}

/* root is hidden and has two children, each with content of its own; web runs on the second. */
static void make_hidden_parent(Bench *bench)
{
    assert_string_equal(bench_create(bench, WEB, "root"), "ok");
    write_blocks(bench, 1);
    assert_string_equal(bench_create(bench, WEB, "left"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "root"), "ok");
    write_blocks(bench, 2);
    assert_string_equal(bench_create(bench, WEB, "right"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "root"), "ok");
    assert_listed(bench, WEB, "[root] left right");
}

/* What the hidden one is to be merged with. */
#define ROOT_FILE "/images/web-a.qcow2"

/* Of web's first disk. */
static char *active_file(Bench *bench)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    return g_strdup(((DiskView *)view->disks->pdata[0])->source);
}

static bool is_finished(Bench *bench, const char *listed)
{
    g_autofree char *now = bench_listed(bench, WEB);

    return strcmp(now, listed) == 0 && no_job_runs(bench, WEB);
}

static bool is_tried_again(Bench *bench, const char *vm)
{
    g_mutex_lock(&bench->engine->lock);
    const EngineVm *found = g_hash_table_lookup(bench->engine->vms, vm);
    bool again = found->retry.failures > 3;
    g_mutex_unlock(&bench->engine->lock);
    return again;
}

static guint times_said(Bench *bench, const char *what)
{
    g_autofree char *errors = engine_errors(bench->engine, WEB);
    g_auto(GStrv) parts = g_strsplit(errors, what, -1);

    return g_strv_length(parts) - 1;
}

/* What cannot be merged yet, since another program has the file of the root open, waits. */
static void e_13_w21_a_removal_works_though_what_follows_fails(void **state)
{
    Bench *bench = *state;

    make_hidden_parent(bench);
    bench_set_busy(bench, ROOT_FILE, FOR_EVER);
    assert_string_equal(bench_remove(bench, WEB, "left"), "ok");
    bench_wait(bench, is_tried_again, WEB);
    assert_listed(bench, WEB, "[root] [left] right");
    assert_int_equal(times_said(bench, "open web EBUSY"), 1);
    bench_set_busy(bench, ROOT_FILE, 0);
    bench_wait(bench, is_finished, "right");
}

static void e_14_w21_a_revert_works_though_what_follows_fails(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "root"), "ok");
    g_autofree char *leaf = active_file(bench);
    write_blocks(bench, 1);
    assert_string_equal(bench_create(bench, WEB, "leaf"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "root"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "root"), "ok");
    assert_listed(bench, WEB, "[root] leaf");
    bench_set_busy(bench, leaf, FOR_EVER);
    assert_string_equal(bench_revert(bench, WEB, "leaf"), "ok");
    assert_listed(bench, WEB, "[root] leaf");
    g_autofree char *current = bench_current(bench, WEB);
    assert_string_equal(current, "leaf");
    bench_set_busy(bench, leaf, 0);
    bench_wait(bench, is_finished, "leaf");
}

static void e_20_w9_what_failed_to_be_made_leaves_no_entry(void **state)
{
    Bench *bench = *state;

    simhost_set_free(bench->host, 0);
    assert_string_equal(bench_create(bench, WEB, "a"), "ENOSPC");
    assert_listed(bench, WEB, "");
    assert_string_equal(bench_remove(bench, WEB, "a"), "ENOENT");
    simhost_set_free(bench->host, (uint64_t)1 << 40);
    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, is_finished, "");
}

static bool is_failed_job(Bench *bench, const char *vm)
{
    return bench_jobs(bench, vm, JOB_FAILED) == 1;
}

static const SnapshotView *listed(const VmView *view, const char *name)
{
    const SnapshotView *snapshot = vm_view_named(view, name);

    assert_non_null(snapshot);
    return snapshot;
}

/* There was room when rmdir was answered, and there is none when its turn has come: nothing was
 * merged, so its point in time is there, and one can go back to it. */
static void w27_what_could_not_begin_for_want_of_room_is_as_it_was(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    write_blocks(bench, 1);
    assert_string_equal(bench_create(bench, WEB, "b"), "ok");
    write_blocks(bench, 2);
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    simhost_set_free(bench->host, 0);
    assert_string_equal(bench_drop(bench, WEB, bench_first_job(bench, WEB)), "ok");
    bench_wait(bench, is_failed_job, WEB);
    bench_wait(bench, is_finished, "a b");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(listed(view, "a")->state, SNAPSHOT_READY);
    assert_string_equal(listed(view, "a")->error, "");
    assert_int_equal(listed(view, "b")->state, SNAPSHOT_FAILED);
    bench_wait(bench, has_event, "\"snapshot-back\"");
    g_autofree char *errors = engine_errors(bench->engine, WEB);
    assert_non_null(strstr(errors, "ENOSPC"));
    assert_non_null(strstr(errors, "is as it was"));
    simhost_set_free(bench->host, (uint64_t)1 << 40);
    simhost_set_job_speed(bench->host, 4);
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "a"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "b"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
    bench_wait(bench, is_finished, "");
}

static void e_33_w26_no_name_is_given_twice(void **state)
{
    Bench *bench = *state;
    Request *rename = bench_request(REQUEST_RENAME, WEB, "b");

    assert_string_equal(bench_create(bench, WEB, "a"), "ok");
    assert_string_equal(bench_create(bench, WEB, "a"), "EEXIST");
    assert_string_equal(bench_create(bench, WEB, "b"), "ok");
    rename->new_name = g_strdup("a");
    assert_string_equal(bench_answer(bench_submit(bench, rename)), "EEXIST");
    assert_listed(bench, WEB, "a b");
}

static void w11_the_quota_counts_what_is_there(void **state)
{
    Bench *bench = *state;
    Request *policy = bench_request(REQUEST_POLICY, WEB, "max_snapshots");

    policy->text = g_strdup("1");
    assert_string_equal(bench_answer(bench_submit(bench, policy)), "ok");
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_string_equal(bench_create(bench, WEB, "a"), "ok");
        assert_string_equal(bench_create(bench, WEB, "b"), "EDQUOT");
        assert_string_equal(bench_remove(bench, WEB, "a"), "ok");
        bench_wait(bench, is_finished, "");
    }
}

static uint64_t allocation_of(Bench *bench, guint index)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    const SnapshotView *snapshot = view->snapshots->pdata[index];
    return ((LayerView *)snapshot->disks->pdata[0])->allocation;
}

static void w32_w34_sizes_are_those_of_the_files(void **state)
{
    Bench *bench = *state;

    make_hidden_parent(bench);
    write_blocks(bench, 3);
    assert_true(allocation_of(bench, 1) >= 4L * SIM_BLOCK);
    uint64_t right = allocation_of(bench, 2);
    assert_string_equal(bench_remove(bench, WEB, "left"), "ok");
    bench_wait(bench, is_finished, "right");
    assert_true(right >= 4L * SIM_BLOCK);
    assert_true(allocation_of(bench, 0) >= right);
}

#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(e_13_w21_a_removal_works_though_what_follows_fails),
        started(e_14_w21_a_revert_works_though_what_follows_fails),
        started(w27_what_could_not_begin_for_want_of_room_is_as_it_was),
        started(e_20_w9_what_failed_to_be_made_leaves_no_entry),
        started(e_33_w26_no_name_is_given_twice),
        started(w11_the_quota_counts_what_is_there),
        started(w32_w34_sizes_are_those_of_the_files),
    };

    return cmocka_run_group_tests_name("engine-weaknesses", tests, NULL, NULL);
}
