/* The engine on a simulated host: requests, views, errors, life. Jobs: test-engine-jobs.c. */
#include "engine-bench.h"

#include <glib/gstdio.h>
#include <string.h>

static int set_up(void **state)
{
    *state = bench_new();
    return 0;
}

/* ---- list and views ---- */

static void starting_lists_every_vm_with_its_disks(void **state)
{
    Bench *bench = *state;

    bench_start(bench);
    g_autoptr(HostView) view = engine_view(bench->engine);
    assert_true(view->up);
    assert_int_equal(view->vms->len, 2);
    const VmView *web = host_view_find(view, "web");
    assert_non_null(web);
    assert_ptr_equal(view->vms->pdata[1], web);
    assert_string_equal(web->uuid, WEB);
    assert_string_equal(web->state, "shutoff");
    assert_false(web->stale);
    assert_int_equal(web->disks->len, 2);
    const DiskView *disk = web->disks->pdata[0];
    assert_string_equal(disk->target, "vda");
    assert_string_equal(disk->source, "/images/web-a.qcow2");
    assert_true(disk->included);
    assert_true(disk->capacity > 0);
    assert_int_equal(disk->chain->len, 1);
    assert_string_equal(g_hash_table_lookup(web->policy, "max_depth"), "100");
}

static void a_snapshot_is_in_the_view_when_it_is_answered(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_CREATE, WEB, "first");

    request->text = g_strdup("as it was");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *snapshot = vm_view_named(view, "first");
    assert_non_null(snapshot);
    assert_string_equal(view->current, snapshot->id);
    assert_string_equal(snapshot->description, "as it was");
    assert_string_equal(snapshot->consistency, "off");
    assert_int_equal(snapshot->uid, 7);
    assert_int_equal(snapshot->mode, 0750);
    assert_int_equal(snapshot->disks->len, 2);
    assert_string_equal(((LayerView *)snapshot->disks->pdata[0])->file, "/images/web-a.qcow2");
    assert_int_equal(((DiskView *)view->disks->pdata[0])->chain->len, 2);
    assert_string_equal(view->drift, "");
    bench_wait(bench, has_event, "\"snapshot-created\"");
}

static void a_taken_view_stays_as_it_was(void **state)
{
    Bench *bench = *state;
    g_autoptr(VmView) before = bench_view(bench, WEB);

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_int_equal(before->snapshots->len, 0);
    assert_listed(bench, WEB, "first");
}

static void labels_change_what_is_shown(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_RENAME, WEB, "first");

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    request->new_name = g_strdup("second");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    assert_listed(bench, WEB, "second");
    bench_wait(bench, has_event, "\"snapshot-renamed\"");

    request = bench_request(REQUEST_DESCRIBE, WEB, "second");
    request->text = g_strdup("what it is\nfor");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    request = bench_request(REQUEST_MODE, WEB, "second");
    request->mode = 0550;
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    request = bench_request(REQUEST_POLICY, WEB, "max_snapshots");
    request->text = g_strdup("1");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");

    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *snapshot = vm_view_named(view, "second");
    assert_string_equal(snapshot->description, "what it is\nfor");
    assert_int_equal(snapshot->mode, 0550);
    assert_string_equal(g_hash_table_lookup(view->policy, "max_snapshots"), "1");
    assert_string_equal(bench_create(bench, WEB, "third"), "EDQUOT");
    assert_string_equal(bench_remove(bench, WEB, "second"), "EBUSY");
}

static void reverting_brings_the_old_content_back(void **state)
{
    Bench *bench = *state;

    simhost_write(bench->host, WEB, "vda", 0, 1);
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 2);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    g_autoptr(GArray) content = simhost_read(bench->host, WEB, "vda");
    assert_int_equal(g_array_index(content, guint64, 0), 1);
    g_autofree char *current = bench_current(bench, WEB);
    assert_string_equal(current, "first");
    bench_wait(bench, has_event, "\"reverted\"");
}

static void a_running_vm_is_not_reverted(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "first"), "EBUSY");
}

static void what_is_not_there_is_refused_at_once(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, "no-such-vm", "first"), "ENOENT");
    assert_string_equal(bench_remove(bench, WEB, "none"), "ENOENT");
    assert_string_equal(bench_revert(bench, WEB, "none"), "ENOENT");
    assert_string_equal(bench_drop(bench, WEB, 17), "ENOENT");
    assert_string_equal(bench_create(bench, WEB, ".hidden"), "EINVAL");
    assert_string_equal(bench_create(bench, WEB, "twice"), "ok");
    assert_string_equal(bench_create(bench, WEB, "twice"), "EEXIST");
}

static void snapshots_are_found_again_by_the_next_daemon(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench_restart(bench);
    assert_listed(bench, WEB, "first");
    assert_false(bench_has_event(bench, "\"snapshot-removed\""));
}

static const char *hold(Bench *bench, const char *name, mode_t mode)
{
    Request *request = bench_request(REQUEST_MODE, WEB, name);

    request->mode = mode;
    return bench_answer(bench_submit(bench, request));
}

static void a_hold_outlives_the_daemon(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_string_equal(hold(bench, "first", 0555), "ok");
    bench_restart(bench);
    assert_string_equal(bench_remove(bench, WEB, "first"), "EBUSY");
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "second"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "first"), "EBUSY");
    assert_string_equal(hold(bench, "first", 0755), "ok");
    assert_string_equal(bench_remove(bench, WEB, "first"), "ok");
}

/* ---- power ---- */

static void the_state_file_moves_a_vm_through_its_states(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_power(bench, WEB, "paused"), "EOPNOTSUPP");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_true(is_running(bench, WEB));
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
    assert_string_equal(bench_power(bench, WEB, "shutoff"), "EBUSY");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_power(bench, WEB, "shutoff"), "ok");
    assert_true(is_off(bench, WEB));
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_power(bench, WEB, "sleeping"), "EINVAL");
    bench_wait(bench, has_event, "\"type\":\"state\"");
}

static void a_guest_that_does_not_shut_down_is_a_timeout(void **state)
{
    Bench *bench = *state;

    bench->engine->shutdown_wait_ms = 50;
    simhost_set_deaf(bench->host, WEB, true);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_power(bench, WEB, "shutoff"), "ETIMEDOUT");
    assert_true(is_running(bench, WEB));
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_true(is_off(bench, WEB));
}

static void waiting_for_a_shutdown_ends_when_the_guest_is_off(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_POWER, WEB, NULL);

    simhost_set_deaf(bench->host, WEB, true);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    request->text = g_strdup("shutoff");
    Call *call = bench_submit(bench, request);
    simhost_stop(bench->host, WEB);
    assert_string_equal(bench_answer(call), "ok");
}

static void waiting_for_a_shutdown_can_be_interrupted(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_POWER, WEB, NULL);

    simhost_set_deaf(bench->host, WEB, true);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    request->text = g_strdup("shutoff");
    Call *call = bench_submit(bench, request);
    engine_interrupt(bench->engine, call->ticket);
    assert_string_equal(bench_answer(call), "EINTR");
}

static void a_change_behind_our_back_is_seen(void **state)
{
    Bench *bench = *state;

    assert_true(simhost_start(bench->host, WEB));
    bench_wait(bench, is_running, WEB);
    simhost_stop(bench->host, WEB);
    bench_wait(bench, is_off, WEB);
}

/* ---- order, interruption, parallel VMs ---- */

static void an_interrupted_request_that_waits_ends_without_effect(void **state)
{
    Bench *bench = *state;

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 300);
    Call *first = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    Call *second = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "second"));
    engine_interrupt(bench->engine, second->ticket);
    assert_string_equal(bench_answer(second), "EINTR");
    assert_string_equal(bench_answer(first), "ok");
    assert_listed(bench, WEB, "first");
}

static void an_interrupted_create_is_undone(void **state)
{
    Bench *bench = *state;
    g_autoptr(GPtrArray) before = simhost_images(bench->host);

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 300);
    Call *call = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    engine_interrupt(bench->engine, call->ticket);
    assert_string_equal(bench_answer(call), "EINTR");
    assert_listed(bench, WEB, "");
    g_autoptr(GPtrArray) after = simhost_images(bench->host);
    assert_int_equal(after->len, before->len);
}

/* Pitfall 25. */
static void an_interrupt_at_the_point_of_no_return_comes_too_late(void **state)
{
    Bench *bench = *state;

    bench_interrupt_at_commit(bench);
    assert_string_equal(bench_create(bench, WEB, "off"), "ok");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_create(bench, WEB, "live"), "ok");
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "off"), "ok");
    assert_listed(bench, WEB, "off live");
    g_autofree char *current = bench_current(bench, WEB);
    assert_string_equal(current, "off");
}

static void an_unknown_ticket_interrupts_nothing(void **state)
{
    Bench *bench = *state;

    engine_interrupt(bench->engine, 4711);
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
}

static void requests_on_one_vm_run_in_order(void **state)
{
    Bench *bench = *state;
    Call *calls[20];

    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autofree char *name = g_strdup_printf("s%02u", i);
        calls[i] = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, name));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        assert_string_equal(bench_answer(calls[i]), "ok");
    assert_listed(bench, WEB,
                  "s00 s01 s02 s03 s04 s05 s06 s07 s08 s09 s10 s11 s12 s13 s14 s15 s16 s17 s18 "
                  "s19");
}

static void a_slow_vm_does_not_hold_up_another(void **state)
{
    Bench *bench = *state;

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 500);
    Call *slow = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    assert_string_equal(bench_power(bench, DB, "running"), "ok");
    assert_false(bench_is_answered(slow));
    assert_string_equal(bench_answer(slow), "ok");
}

/* ---- the host ---- */

static void a_lost_host_leaves_the_last_state_readable(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_set_down(bench->host, true);
    bench_wait(bench, is_stale, WEB);
    g_autoptr(HostView) view = engine_view(bench->engine);
    assert_false(view->up);
    assert_true(*view->problem != 0);
    assert_listed(bench, WEB, "first");
    assert_string_equal(bench_create(bench, WEB, "second"), "EHOSTDOWN");
    bench_wait(bench, has_event, "\"host-down\"");

    simhost_set_down(bench->host, false);
    bench_wait(bench, is_fresh, WEB);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    bench_wait(bench, has_event, "\"host-up\"");
}

static void a_host_that_is_down_at_the_start_comes_later(void **state)
{
    Bench *bench = *state;

    simhost_set_down(bench->host, true);
    bench_start(bench);
    assert_false(is_listed(bench, WEB));
    g_autoptr(HostView) view = engine_view(bench->engine);
    assert_false(view->up);
    assert_true(*view->problem != 0);

    simhost_set_down(bench->host, false);
    bench_wait(bench, is_listed, WEB);
    bench_wait(bench, is_fresh, WEB);
    bench_wait(bench, has_event, "\"vm-appeared\"");
}

static void an_undefined_vm_loses_its_directory_and_nothing_else(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autoptr(GPtrArray) before = simhost_images(bench->host);
    bench_hide(bench, WEB);
    bench_wait(bench, is_not_listed, WEB);
    assert_string_equal(bench_create(bench, WEB, "second"), "ENOENT");
    bench_wait(bench, has_event, "\"vm-vanished\"");
    g_autoptr(GPtrArray) after = simhost_images(bench->host);
    assert_int_equal(after->len, before->len);

    bench_hide(bench, NULL);
    bench_wait(bench, is_listed, WEB);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_listed(bench, WEB, "first second");
}

static void a_new_vm_appears(void **state)
{
    Bench *bench = *state;
    const char *uuid = "aaaaaaaa-0000-4000-8000-000000000003";

    simhost_add_domain(bench->host, uuid, "new", DOMAIN_OFF);
    host_event(HV_EVENT_DOMAIN, uuid, NULL, bench->engine);
    bench_wait(bench, is_listed, uuid);
}

/* ---- errors ---- */

static void each_refusal_is_a_line_of_both_rings(void **state)
{
    Bench *bench = *state;
    Request *request = bench_request(REQUEST_REMOVE, WEB, "none");
    uint64_t before = engine_errors_sequence(bench->engine, WEB);

    request->operation = g_strdup("rmdir web/snapshots/no\nne");
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ENOENT");
    g_autofree char *lines = engine_errors(bench->engine, WEB);
    g_autofree char *all = engine_errors(bench->engine, NULL);
    g_autofree char *other = engine_errors(bench->engine, DB);
    assert_non_null(g_regex_match_simple(
                        "^[0-9]+ [-0-9]+T[:0-9]+Z uid=7 pid=42 rmdir web/snapshots/no\\\\012ne "
                        "ENOENT: [^\\n]+\\n$",
                        lines, 0, 0)
                        ? lines
                        : NULL);
    assert_string_equal(lines, all);
    assert_string_equal(other, "");
    assert_true(engine_errors_sequence(bench->engine, WEB) > before);
    bench_wait(bench, has_event, "\"errno\":\"ENOENT\"");
}

static void the_rings_keep_256_lines(void **state)
{
    Bench *bench = *state;
    g_autoptr(GError) error = g_error_new(VMSNAPFS_ERROR, ERR_FORBIDDEN, "No such thing here");

    for (unsigned i = 0; i < 300; i++)
        engine_report(bench->engine, WEB, 0, 1, "mkdir x", error);
    g_autofree char *text = engine_errors(bench->engine, WEB);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    assert_int_equal(g_strv_length(lines), 257);
    assert_non_null(strstr(lines[255], "mkdir x EPERM: No such thing here"));
}

/* ---- the end ---- */

static void stopping_answers_everybody(void **state)
{
    Bench *bench = *state;
    Call *calls[5];

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 200);
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        g_autofree char *name = g_strdup_printf("s%u", i);
        calls[i] = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, name));
    }
    engine_stop(bench->engine);
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++) {
        assert_true(bench_is_answered(calls[i]));
        assert_string_equal(bench_answer(calls[i]), "EINTR");
    }
    assert_string_equal(bench_create(bench, WEB, "late"), "EINTR");
    assert_listed(bench, WEB, "");
}

static void an_engine_that_never_started_takes_nothing(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "EINTR");
}

/* As the program does it: the host comes from a file that the URI names. */
static void a_simulated_host_is_opened_by_its_uri(void **state)
{
    static const char description[] = "vms:\n"
                                      "  - name: web01\n"
                                      "    uuid: " WEB "\n"
                                      "    disks:\n"
                                      "      - {target: vda, path: vda.qcow2, capacity: 524288}\n"
                                      "slow_ms: {overlay: 10}\n";
    g_autoptr(GError) error = NULL;
    g_autofree char *directory = g_dir_make_tmp("engine-XXXXXX", &error);
    g_autofree char *path = g_build_filename(directory, "host.yaml", NULL);
    g_autofree char *uri = g_strdup_printf("fake://%s", path);

    assert_true(g_file_set_contents(path, description, -1, &error));
    g_autoptr(Engine) engine = engine_new(uri, &error);
    assert_non_null(engine);
    assert_true(engine_start(engine, &error));
    g_autoptr(HostView) view = engine_view(engine);
    assert_string_equal(view->uri, uri);
    assert_non_null(host_view_find(view, "web01"));
    assert_int_equal(g_unlink(path), 0);
    assert_int_equal(g_rmdir(directory), 0);
}

static void a_malformed_uri_is_refused(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_null(engine_new("not a uri", &error));
    assert_true(error_is(error, ERR_INVALID));
}

#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)
#define made(test)    cmocka_unit_test_setup_teardown(test, set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        made(starting_lists_every_vm_with_its_disks),
        started(a_snapshot_is_in_the_view_when_it_is_answered),
        started(a_taken_view_stays_as_it_was),
        started(labels_change_what_is_shown),
        started(reverting_brings_the_old_content_back),
        started(a_running_vm_is_not_reverted),
        started(what_is_not_there_is_refused_at_once),
        started(snapshots_are_found_again_by_the_next_daemon),
        started(a_hold_outlives_the_daemon),
        started(the_state_file_moves_a_vm_through_its_states),
        started(a_guest_that_does_not_shut_down_is_a_timeout),
        started(waiting_for_a_shutdown_ends_when_the_guest_is_off),
        started(waiting_for_a_shutdown_can_be_interrupted),
        started(a_change_behind_our_back_is_seen),
        started(an_interrupted_request_that_waits_ends_without_effect),
        started(an_interrupted_create_is_undone),
        started(an_interrupt_at_the_point_of_no_return_comes_too_late),
        started(an_unknown_ticket_interrupts_nothing),
        started(requests_on_one_vm_run_in_order),
        started(a_slow_vm_does_not_hold_up_another),
        started(a_lost_host_leaves_the_last_state_readable),
        made(a_host_that_is_down_at_the_start_comes_later),
        started(an_undefined_vm_loses_its_directory_and_nothing_else),
        started(a_new_vm_appears),
        started(each_refusal_is_a_line_of_both_rings),
        started(the_rings_keep_256_lines),
        started(stopping_answers_everybody),
        made(an_engine_that_never_started_takes_nothing),
        cmocka_unit_test(a_simulated_host_is_opened_by_its_uri),
        cmocka_unit_test(a_malformed_uri_is_refused),
    };

    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
