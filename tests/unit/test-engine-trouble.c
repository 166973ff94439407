/* The engine when its host makes trouble: what is said, how long is waited, what is tried again. */
#include "engine-bench.h"

#include "run/ledger.h"

#include <string.h>

#define JOURNAL "/images/.vmsnapfs/" WEB "/journal.yaml"

static int set_up_made(void **state)
{
    *state = bench_new();
    return 0;
}

/* The last line of @vm's errors holds @part. */
static void assert_said(Bench *bench, const char *vm, const char *part)
{
    g_autofree char *text = engine_errors(bench->engine, vm);

    if (!strstr(text, part))
        fail_msg("\"%s\" is not said:\n%s", part, text);
}

/* ---- what is said ---- */

static void an_interrupted_caller_is_told_the_vms_name(void **state)
{
    Bench *bench = *state;

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 300);
    Call *call = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    engine_interrupt(bench->engine, call->ticket);
    assert_string_equal(bench_answer(call), "EINTR");
    assert_said(bench, WEB, "VM web");
}

static void a_definition_that_cannot_be_read_is_that_of_a_name(void **state)
{
    Bench *bench = *state;

    bench_garble(bench, WEB);
    assert_string_equal(bench_create(bench, WEB, "first"), "EINVAL");
    assert_said(bench, WEB, "The definition of VM web cannot be read: ");
}

static bool has_journal(Bench *bench, const char *path)
{
    return bench->files->ops->exists(bench->files, path);
}

/* The disks as after a create that was cut before its journal was cleared. */
static void leave_journal_open(Bench *bench)
{
    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 300);
    Call *call = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    bench_wait(bench, has_journal, JOURNAL);
    g_autofree char *text = bench->files->ops->read(bench->files, JOURNAL, NULL, NULL);
    assert_non_null(text);
    assert_string_equal(bench_answer(call), "ok");
    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 0);
    assert_true(bench->files->ops->replace(bench->files, JOURNAL, text, -1, NULL));
}

/* The files that web's disks are on now. */
static GPtrArray *actives(Bench *bench)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < view->disks->len; i++)
        g_ptr_array_add(paths, g_strdup(((DiskView *)view->disks->pdata[i])->source));
    return paths;
}

static void set_busy(Bench *bench, const GPtrArray *paths, unsigned milliseconds)
{
    for (guint i = 0; i < paths->len; i++)
        bench_set_busy(bench, paths->pdata[i], milliseconds);
}

static void an_operation_that_cannot_be_ended_is_that_of_a_name(void **state)
{
    Bench *bench = *state;

    leave_journal_open(bench);
    g_autoptr(GPtrArray) paths = actives(bench);
    set_busy(bench, paths, FOR_EVER);
    assert_string_equal(bench_create(bench, WEB, "second"), "EBUSY");
    assert_said(bench, WEB, "of VM web could not be brought to its end: ");
    set_busy(bench, paths, 0);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_listed(bench, WEB, "first second");
}

/* ---- how long is waited ---- */

/* One disk's lock comes after 60 ms, the other's would after another 60. */
static void all_locks_of_an_operation_are_waited_for_together(void **state)
{
    Bench *bench = *state;
    g_autoptr(GPtrArray) paths = actives(bench);

    bench->engine->world.lock_wait_ms = 100;
    set_busy(bench, paths, 60);
    assert_string_equal(bench_create(bench, WEB, "first"), "EBUSY");
    assert_true(bench_waited(bench) <= 100);
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
}

/* What a revert leaves is unlinked after the commit point; a reader of it holds up neither the
 * revert nor what follows for longer than one operation waits. */
static void files_that_a_reader_holds_are_waited_for_once_an_operation(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autoptr(GPtrArray) paths = actives(bench);
    bench_grab(bench, paths->pdata[0]);
    bench_grab(bench, paths->pdata[1]);
    bench->engine->world.lock_wait_ms = 100;
    bench->engine->retry_ms = 60000;
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    unsigned waited = bench_waited(bench);
    assert_in_range(waited, 1, 100);
    assert_true(has_journal(bench, JOURNAL));

    assert_string_equal(bench_create(bench, WEB, "second"), "EBUSY");
    waited = bench_waited(bench);
    assert_in_range(waited, 1, 100);
    set_busy(bench, paths, 0);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_false(has_journal(bench, JOURNAL));
    g_autoptr(GPtrArray) images = simhost_images(bench->host);
    assert_false(g_ptr_array_find_with_equal_func(images, paths->pdata[0], g_str_equal, NULL));
}

static void a_revert_that_is_late_is_undone(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autoptr(GPtrArray) before = simhost_images(bench->host);
    bench->engine->revert_wait_ms = 50;
    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 100);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ETIMEDOUT");
    g_autoptr(GPtrArray) after = simhost_images(bench->host);
    assert_int_equal(after->len, before->len);
    assert_false(has_journal(bench, JOURNAL));
}

static void a_revert_does_not_wait_long_for_its_turn(void **state)
{
    Bench *bench = *state;
    Request *shutoff = bench_request(REQUEST_POWER, WEB, NULL);

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_set_deaf(bench->host, WEB, true);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    shutoff->text = g_strdup("shutoff");
    Call *call = bench_submit(bench, shutoff);
    bench->engine->revert_wait_ms = 50;
    assert_string_equal(bench_revert(bench, WEB, "first"), "EBUSY");
    assert_false(bench_is_answered(call));
    simhost_stop(bench->host, WEB);
    assert_string_equal(bench_answer(call), "ok");
    bench->engine->revert_wait_ms = 60000;
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
}

/* ---- what is tried again ---- */

static bool host_says(Bench *bench, const char *part)
{
    g_autoptr(HostView) view = engine_view(bench->engine);

    return *part ? strstr(view->problem, part) != NULL : !*view->problem;
}

static bool web_says(Bench *bench, const char *part)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    return view && (*part ? strstr(view->problem, part) != NULL : !*view->problem);
}

/* What files-real.c makes of a directory that others can write to: it is not read. */
static FilesOps wary_ops;

static bool exists_not(Files *files, const char *path)
{
    return false;
}

static char *read_not(Files *files, const char *path, gsize *out_length, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS, "%s is not believed", path);
    return NULL;
}

static void a_catalog_that_is_not_believed_is_not_called_missing(void **state)
{
    Bench *bench = *state;
    const FilesOps *trusting = bench->files->ops;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    wary_ops = *trusting;
    wary_ops.exists = exists_not;
    wary_ops.read = read_not;
    bench->files->ops = &wary_ops;
    bench_restart(bench);
    assert_string_equal(bench_create(bench, WEB, "second"), "EROFS");
    bench_wait(bench, web_says, "/catalog.yaml is not believed");
    bench->files->ops = trusting;
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_listed(bench, WEB, "first second");
}

static unsigned lines_of(Bench *bench, const char *vm)
{
    g_autofree char *text = engine_errors(bench->engine, vm);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    return g_strv_length(lines) - 1;
}

static void a_list_that_fails_is_asked_for_again(void **state)
{
    Bench *bench = *state;

    bench_fail(bench, true, false);
    bench_start(bench);
    assert_true(host_says(bench, "The VMs cannot be listed: libvirt does not answer; "));
    bench_fail(bench, false, false);
    bench_wait(bench, is_listed, WEB);
    assert_true(host_says(bench, ""));
    assert_int_equal(lines_of(bench, NULL), 1);
}

static void a_list_that_fails_later_leaves_the_known_vms(void **state)
{
    Bench *bench = *state;

    bench_fail(bench, true, false);
    host_event(HV_EVENT_UP, NULL, NULL, bench->engine);
    bench_wait(bench, host_says, "cannot be listed");
    assert_true(is_listed(bench, WEB));
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench_fail(bench, false, false);
    bench_wait(bench, host_says, "");
}

static void a_vm_that_cannot_be_looked_at_is_looked_at_again(void **state)
{
    Bench *bench = *state;

    bench_fail(bench, false, true);
    host_event(HV_EVENT_DOMAIN, WEB, NULL, bench->engine);
    bench_wait(bench, is_stale, WEB);
    bench_wait(bench, web_says, "libvirt does not answer; the last known state is shown");
    simhost_start(bench->host, WEB);
    bench_fail(bench, false, false);
    bench_wait(bench, is_fresh, WEB);
    assert_true(is_running(bench, WEB));
    assert_true(web_says(bench, ""));
    assert_int_equal(lines_of(bench, WEB), 1);
}

static void a_vm_that_cannot_be_opened_is_opened_later(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench_fail(bench, false, true);
    bench_restart(bench);
    bench_wait(bench, web_says, "libvirt does not answer; it is tried again");
    bench_fail(bench, false, false);
    bench_wait(bench, web_says, "");
    assert_listed(bench, WEB, "first");
    assert_int_equal(lines_of(bench, WEB), 1);
}

static void a_journal_that_cannot_be_ended_is_taken_up_when_it_can(void **state)
{
    Bench *bench = *state;

    leave_journal_open(bench);
    g_autoptr(GPtrArray) paths = actives(bench);
    set_busy(bench, paths, FOR_EVER);
    bench_restart(bench);
    bench_wait(bench, web_says, "could not be brought to its end");
    assert_true(has_journal(bench, JOURNAL));
    set_busy(bench, paths, 0);
    bench_wait(bench, web_says, "");
    assert_false(has_journal(bench, JOURNAL));
}

static bool every_disk_copies(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);
    g_autoptr(GPtrArray) disks = engine_job_disks(view->jobs->pdata[0]);
    bool copies = true;

    for (guint i = 0; i < disks->len; i++)
        copies &= ((JobDisk *)disks->pdata[i])->total > 0;
    return copies;
}

static void merge_that_stands_still(Bench *bench)
{
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 1);
    simhost_write(bench->host, WEB, "vdb", 0, 1);
    simhost_set_job_speed(bench->host, 0);
    assert_string_equal(bench_remove(bench, WEB, "first"), "ok");
    bench_wait(bench, every_disk_copies, WEB);
}

/* The merge is parked for the power request, and then libvirt does not tell how it stands. */
static void a_merge_whose_next_step_is_not_known_goes_on_later(void **state)
{
    Bench *bench = *state;

    merge_that_stands_still(bench);
    bench_fail(bench, false, true);
    assert_string_equal(bench_power(bench, WEB, "paused"), "ETIMEDOUT");
    bench_wait(bench, web_says, "libvirt does not answer");
    assert_true(a_job_runs(bench, WEB));
    simhost_set_job_speed(bench->host, 4);
    bench_fail(bench, false, false);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "");
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
}

/* ---- rescan: what was mended counts at once ---- */

/* And nothing works on it before that. */
static bool is_tried_late(Bench *bench, const char *vm)
{
    g_mutex_lock(&bench->engine->lock);
    EngineVm *found = g_hash_table_lookup(bench->engine->vms, vm);
    bool late = found->retry.at > g_get_monotonic_time() + 10 * G_TIME_SPAN_SECOND &&
                !found->main && !found->side && found->queue.length == 0;
    g_mutex_unlock(&bench->engine->lock);
    return late;
}

static const char *rescan(Bench *bench)
{
    return bench_answer(bench_submit(bench, bench_request(REQUEST_RESCAN, WEB, NULL)));
}

static void a_rescan_ends_what_was_said_of_a_vm_that_could_not_be_opened(void **state)
{
    Bench *bench = *state;

    leave_journal_open(bench);
    g_autoptr(GPtrArray) paths = actives(bench);
    set_busy(bench, paths, FOR_EVER);
    bench_restart(bench);
    bench->engine->retry_ms = 60000;
    bench_wait(bench, is_tried_late, WEB);
    assert_string_equal(rescan(bench), "EBUSY");
    assert_true(web_says(bench, "could not be brought to its end"));
    set_busy(bench, paths, 0);
    assert_string_equal(rescan(bench), "ok");
    assert_true(web_says(bench, ""));
    assert_false(has_journal(bench, JOURNAL));
}

/* Nothing is in its way any more, and it waits all the same. */
static void merge_that_is_tried_late(Bench *bench)
{
    merge_that_stands_still(bench);
    bench->engine->retry_ms = 60000;
    bench_fail(bench, false, true);
    assert_string_equal(bench_power(bench, WEB, "paused"), "ETIMEDOUT");
    bench_wait(bench, is_tried_late, WEB);
    simhost_set_job_speed(bench->host, 4);
    bench_fail(bench, false, false);
}

static void a_rescan_lets_a_merge_go_on(void **state)
{
    Bench *bench = *state;

    merge_that_is_tried_late(bench);
    assert_string_equal(rescan(bench), "ok");
    assert_true(web_says(bench, ""));
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "");
}

/* A daemon of the same storage, which takes up what it finds and ends when nothing is left. */
static void let_another_daemon_finish(Bench *bench)
{
    g_autoptr(Engine) other = engine_new_on(bench->hv, bench->images, bench->files);
    g_autoptr(GError) error = NULL;
    bool done = false;

    other->world.job_poll_ms = 1;
    assert_true(engine_start(other, &error));
    for (unsigned tries = 0; !done && tries < 10000; tries++) {
        g_autoptr(HostView) view = engine_view(other);
        const VmView *vm = host_view_of_uuid(view, WEB);

        done = vm && vm->jobs->len > 0 && engine_job_state(vm->jobs->pdata[0]) == JOB_DONE;
        g_usleep(1000);
    }
    assert_true(done);
    engine_stop(other);
    bench->hv->ops->subscribe(bench->hv, host_event, bench->engine);
}

static void a_merge_that_another_daemon_has_done_is_done(void **state)
{
    Bench *bench = *state;

    merge_that_is_tried_late(bench);
    let_another_daemon_finish(bench);
    assert_string_equal(rescan(bench), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_DONE), 1);
    assert_listed(bench, WEB, "");
}

/* What a daemon of the same storage records where its user has cancelled what had not begun. */
static void let_another_daemon_bring_it_back(Bench *bench)
{
    g_autoptr(Vm) vm = vm_new(&bench->engine->world, WEB, "web");
    g_autoptr(GError) error = NULL;

    assert_true(vm_open_at_once(vm, &error));
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    Step *step = step_new(STEP_RECORD_FAILED);
    step_set(step, "snapshot", ((Snapshot *)catalog->snapshots->pdata[0])->id);
    step_set(step, "error", "");
    step_set(step, "whole", "yes");
    assert_true(ledger_record(vm, step, &error));
    step_free(step);
}

/* No job of ours may say that it was removed. */
static void a_merge_that_another_daemon_has_given_up_is_failed(void **state)
{
    Bench *bench = *state;

    merge_that_is_tried_late(bench);
    let_another_daemon_bring_it_back(bench);
    assert_string_equal(rescan(bench), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "first");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    EngineJob *job = view->jobs->pdata[0];
    g_autofree char *result = engine_job_result(job);
    assert_int_equal(engine_job_state(job), JOB_FAILED);
    assert_non_null(strstr(result, "was given up by another vmsnapfs"));
}

/* ---- a hypervisor on another machine ---- */

static void a_uri_of_another_machine_makes_a_mount_that_is_read_only(void **state)
{
    static const char *const uris[] = {"qemu+ssh://root@other/system", "qemu+tls://other/system",
                                       "qemu+tcp://other/system"};

    for (gsize i = 0; i < G_N_ELEMENTS(uris); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Engine) engine = engine_new(uris[i], &error);
        g_autoptr(HostView) view = engine_view(engine);

        assert_non_null(strstr(view->problem, "image files are on that host"));
    }
}

static void assert_all_refused(Bench *bench)
{
    static const RequestKind kinds[] = {REQUEST_CREATE,        REQUEST_RENAME,   REQUEST_REMOVE,
                                        REQUEST_REVERT,        REQUEST_DESCRIBE, REQUEST_MODE,
                                        REQUEST_POLICY,        REQUEST_POWER,    REQUEST_JOB_DROP,
                                        REQUEST_JOB_BANDWIDTH, REQUEST_ADOPT,    REQUEST_RESCAN};

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        Request *request = bench_request(kinds[i], WEB, "first");

        request->text = g_strdup("off");
        assert_string_equal(bench_answer(bench_submit(bench, request)), "EROFS");
    }
}

static void vms_of_another_machine_are_shown_and_left_alone(void **state)
{
    Bench *bench = *state;

    leave_journal_open(bench);
    engine_stop(bench->engine);
    bench_restart_remote(bench);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_true(view->read_only);
    assert_false(view->stale);
    assert_non_null(strstr(view->problem, "run vmsnapfs there"));
    assert_string_equal(view->state, "shutoff");
    assert_int_equal(view->disks->len, 2);
    assert_int_equal(((DiskView *)view->disks->pdata[0])->capacity, 0);
    assert_true(host_says(bench, "run vmsnapfs there"));
    assert_all_refused(bench);
    assert_said(bench, WEB, "EROFS: VM web ");
    assert_true(has_journal(bench, JOURNAL));
    simhost_start(bench->host, WEB);
    bench_wait(bench, is_running, WEB);
}

#define made(test)    cmocka_unit_test_setup_teardown(test, set_up_made, bench_tear_down)
#define started(test) cmocka_unit_test_setup_teardown(test, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(an_interrupted_caller_is_told_the_vms_name),
        started(a_definition_that_cannot_be_read_is_that_of_a_name),
        started(an_operation_that_cannot_be_ended_is_that_of_a_name),
        started(all_locks_of_an_operation_are_waited_for_together),
        started(files_that_a_reader_holds_are_waited_for_once_an_operation),
        started(a_revert_that_is_late_is_undone),
        started(a_revert_does_not_wait_long_for_its_turn),
        made(a_list_that_fails_is_asked_for_again),
        started(a_list_that_fails_later_leaves_the_known_vms),
        started(a_vm_that_cannot_be_looked_at_is_looked_at_again),
        started(a_vm_that_cannot_be_opened_is_opened_later),
        started(a_journal_that_cannot_be_ended_is_taken_up_when_it_can),
        started(a_merge_whose_next_step_is_not_known_goes_on_later),
        started(a_rescan_ends_what_was_said_of_a_vm_that_could_not_be_opened),
        started(a_rescan_lets_a_merge_go_on),
        started(a_merge_that_another_daemon_has_done_is_done),
        started(a_merge_that_another_daemon_has_given_up_is_failed),
        started(a_catalog_that_is_not_believed_is_not_called_missing),
        cmocka_unit_test(a_uri_of_another_machine_makes_a_mount_that_is_read_only),
        started(vms_of_another_machine_are_shown_and_left_alone),
    };

    return cmocka_run_group_tests_name("engine-trouble", tests, NULL, NULL);
}
