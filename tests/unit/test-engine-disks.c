/* Disks that come and go on a simulated host (rules 2, 3 and 9): what a snapshot knows of them,
 * what a revert does and refuses, and that the catalog's home stays where it is. */
#include "engine-bench.h"

#include <string.h>

#define NEW   "/second/new.qcow2"
#define OLD_B "/images/web-b.qcow2"

static void add_image(Bench *bench, const char *path)
{
    simhost_add_image(bench->host, path, "qcow2", NULL, NULL, (uint64_t)8 * SIM_BLOCK);
}

static void attach(Bench *bench, const char *target, const char *path)
{
    simhost_add_disk(bench->host, WEB, target, path, "qcow2");
}

static void attach_new(Bench *bench, const char *target)
{
    add_image(bench, NEW);
    attach(bench, target, NEW);
}

static void detach(Bench *bench, const char *target)
{
    simhost_remove_disk(bench->host, WEB, target);
}

static void write_block(Bench *bench, const char *target, uint64_t value)
{
    simhost_write(bench->host, WEB, target, 0, value);
}

static void assert_reads(Bench *bench, const char *target, uint64_t value)
{
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, target);

    assert_int_equal(g_array_index(content, guint64, 0), value);
}

static void assert_shows(Bench *bench, const char *path, uint64_t value)
{
    g_autoptr(GArray) content = simhost_image_content(bench->host, path);

    assert_non_null(content);
    assert_int_equal(g_array_index(content, guint64, 0), value);
}

static void assert_created(Bench *bench, const char *name, unsigned disks)
{
    assert_string_equal(bench_create(bench, WEB, name), "ok");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(vm_view_named(view, name)->disks->len, disks);
}

static void assert_removed(Bench *bench, const char *name)
{
    assert_string_equal(bench_remove(bench, WEB, name), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 0);
}

static void assert_revert_refused(Bench *bench, const char *name, const char *why)
{
    assert_string_equal(bench_revert(bench, WEB, name), "EOPNOTSUPP");
    g_autofree char *errors = engine_errors(bench->engine, WEB);
    if (!strstr(errors, why))
        fail_msg("no \"%s\" in: %s", why, errors);
}

static void assert_warns(Bench *bench, const char *name, const char *part)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    if (!strstr(vm_view_named(view, name)->warnings, part))
        fail_msg("no \"%s\" in: %s", part, vm_view_named(view, name)->warnings);
}

/* ---- attached ---- */

static void rule_9_a_disk_attached_since_is_left_as_it_is(void **state)
{
    Bench *bench = *state;

    write_block(bench, "vda", 1);
    assert_created(bench, "first", 2);
    attach_new(bench, "vdc");
    write_block(bench, "vda", 2);
    write_block(bench, "vdc", 3);
    assert_created(bench, "second", 3);
    write_block(bench, "vdc", 4);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_reads(bench, "vda", 1);
    assert_reads(bench, "vdc", 4);
    assert_warns(bench, "first", "vdc");
    assert_string_equal(bench_revert(bench, WEB, "second"), "ok");
    assert_reads(bench, "vda", 2);
    assert_reads(bench, "vdc", 3);
    assert_removed(bench, "first");
    assert_removed(bench, "second");
    assert_reads(bench, "vdc", 3);
    g_autofree char *source = bench_source(bench, WEB, "vdc");
    assert_string_equal(source, NEW);
}

static void a_disk_attached_to_a_running_vm_is_part_of_the_next_snapshot(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_created(bench, "first", 2);
    attach_new(bench, "vdc");
    write_block(bench, "vdc", 3);
    assert_created(bench, "second", 3);
    write_block(bench, "vdc", 4);
    assert_removed(bench, "first");
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "second"), "ok");
    assert_reads(bench, "vdc", 3);
    assert_removed(bench, "second");
}

/* ---- detached ---- */

static void rule_9_a_disk_that_is_gone_refuses_the_revert(void **state)
{
    Bench *bench = *state;

    assert_created(bench, "first", 2);
    g_autofree char *layer = bench_source(bench, WEB, "vdb");
    detach(bench, "vdb");
    assert_revert_refused(bench, "first", "no disk vdb");
    assert_revert_refused(bench, "first", layer);
    attach(bench, "vdb", layer);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_removed(bench, "first");
}

/* Rule 3: a detached active layer is a dependant like any other; what it shows is never lost. */
static void rule_3_a_detached_disk_keeps_what_it_shows(void **state)
{
    Bench *bench = *state;

    write_block(bench, "vdb", 1);
    assert_created(bench, "first", 2);
    write_block(bench, "vdb", 2);
    detach(bench, "vdb");
    assert_created(bench, "second", 1);
    assert_removed(bench, "first");
    assert_shows(bench, OLD_B, 2);
    attach(bench, "vdb", OLD_B);
    assert_created(bench, "third", 2);
    assert_reads(bench, "vdb", 2);
    assert_removed(bench, "second");
    assert_removed(bench, "third");
    assert_reads(bench, "vdb", 2);
}

static void rule_3_a_snapshot_that_a_detached_disk_needs_twice_is_hidden(void **state)
{
    Bench *bench = *state;

    write_block(bench, "vdb", 1);
    assert_created(bench, "first", 2);
    write_block(bench, "vdb", 2);
    assert_created(bench, "second", 2);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    g_autofree char *layer = bench_source(bench, WEB, "vdb");
    detach(bench, "vdb");
    assert_removed(bench, "first");
    assert_listed(bench, WEB, "[first] second");
    attach(bench, "vdb", layer);
    assert_string_equal(bench_revert(bench, WEB, "second"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_reads(bench, "vdb", 2);
    assert_listed(bench, WEB, "second");
}

static void e21_disks_come_and_go_while_only_a_hidden_one_is_left(void **state)
{
    Bench *bench = *state;

    write_block(bench, "vdb", 1);
    assert_created(bench, "first", 2);
    assert_created(bench, "second", 2);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_removed(bench, "first");
    detach(bench, "vdb");
    attach_new(bench, "vdc");
    assert_removed(bench, "second");
    assert_listed(bench, WEB, "");
    assert_shows(bench, OLD_B, 1);
    attach(bench, "vdb", OLD_B);
    assert_created(bench, "third", 3);
    assert_removed(bench, "third");
}

/* ---- exchanged ---- */

static void rule_9_another_disk_under_the_same_target_refuses_the_revert(void **state)
{
    Bench *bench = *state;

    write_block(bench, "vdb", 1);
    assert_created(bench, "first", 2);
    g_autofree char *layer = bench_source(bench, WEB, "vdb");
    detach(bench, "vdb");
    attach_new(bench, "vdb");
    write_block(bench, "vdb", 5);
    assert_revert_refused(bench, "first", "vdb is another disk now (" NEW ")");
    assert_revert_refused(bench, "first", layer);
    assert_created(bench, "second", 2);
    write_block(bench, "vdb", 6);
    assert_string_equal(bench_revert(bench, WEB, "second"), "ok");
    assert_reads(bench, "vdb", 5);
    attach(bench, "vdc", layer);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_reads(bench, "vdc", 1);
    assert_reads(bench, "vdb", 5);
    assert_warns(bench, "first", "vdb");
    assert_removed(bench, "second");
    assert_removed(bench, "first");
    assert_reads(bench, "vdc", 1);
    assert_reads(bench, "vdb", 5);
}

static void rule_2_targets_that_change_places_are_labels(void **state)
{
    Bench *bench = *state;

    write_block(bench, "vda", 1);
    write_block(bench, "vdb", 2);
    assert_created(bench, "first", 2);
    g_autofree char *a = bench_source(bench, WEB, "vda");
    g_autofree char *b = bench_source(bench, WEB, "vdb");
    write_block(bench, "vda", 3);
    detach(bench, "vda");
    detach(bench, "vdb");
    attach(bench, "vda", b);
    attach(bench, "vdb", a);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_reads(bench, "vdb", 1);
    assert_reads(bench, "vda", 2);
    assert_removed(bench, "first");
    assert_reads(bench, "vdb", 1);
}

/* ---- the catalog's home ---- */

static void assert_home(Bench *bench, const char *home)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    assert_string_equal(view->home, home);
    assert_string_equal(view->problem, "");
}

static void lose_metadata(Bench *bench)
{
    assert_true(simhost_set_metadata(bench->host, WEB, "", 0, NULL));
}

/* vda stays in /images, where the home will be; vdb is moved to /second before anything else. */
static void spread(Bench *bench)
{
    detach(bench, "vdb");
    attach_new(bench, "vdb");
    assert_created(bench, "first", 2);
    assert_home(bench, "/images");
}

static void the_home_stays_when_the_first_disk_goes(void **state)
{
    Bench *bench = *state;

    spread(bench);
    detach(bench, "vda");
    assert_created(bench, "second", 1);
    assert_home(bench, "/images");
    bench_restart(bench);
    assert_home(bench, "/images");
    assert_listed(bench, WEB, "first second");
    assert_removed(bench, "second");
    assert_removed(bench, "first");
}

static void the_home_is_found_without_metadata_by_any_disk_that_is_left_there(void **state)
{
    Bench *bench = *state;

    assert_created(bench, "first", 2);
    detach(bench, "vda");
    lose_metadata(bench);
    bench_restart(bench);
    assert_home(bench, "/images");
    assert_listed(bench, WEB, "first");
    assert_created(bench, "second", 1);
    assert_removed(bench, "first");
}

static void the_home_is_found_without_metadata_and_disks_in_a_configured_directory(void **state)
{
    static const char text[] = "image_directories: [/elsewhere, /images]\n";
    g_autoptr(Config) config = config_parse("test", text, strlen(text), NULL);
    Bench *bench = *state;

    spread(bench);
    detach(bench, "vda");
    lose_metadata(bench);
    engine_free(bench->engine);
    bench->engine = engine_new_on(bench->hv, bench->images, bench->files);
    engine_configure(bench->engine, config, "");
    bench_start(bench);
    assert_home(bench, "/images");
    assert_listed(bench, WEB, "first");
}

#define started(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(rule_9_a_disk_attached_since_is_left_as_it_is),
        started(a_disk_attached_to_a_running_vm_is_part_of_the_next_snapshot),
        started(rule_9_a_disk_that_is_gone_refuses_the_revert),
        started(rule_3_a_detached_disk_keeps_what_it_shows),
        started(rule_3_a_snapshot_that_a_detached_disk_needs_twice_is_hidden),
        started(e21_disks_come_and_go_while_only_a_hidden_one_is_left),
        started(rule_9_another_disk_under_the_same_target_refuses_the_revert),
        started(rule_2_targets_that_change_places_are_labels),
        started(the_home_stays_when_the_first_disk_goes),
        started(the_home_is_found_without_metadata_by_any_disk_that_is_left_there),
        started(the_home_is_found_without_metadata_and_disks_in_a_configured_directory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
