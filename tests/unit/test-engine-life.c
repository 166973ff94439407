/* A VM as a whole on a simulated host: its name and its end. */
#include "engine-bench.h"

#include <string.h>

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
    bench_wait(bench, has_event, "\"vm-vanished\",\"vm\":\"web\"");
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

/* ---- the end ---- */

static void allow_expunge(Bench *bench)
{
    static const char text[] = "expunge: true\nimage_directories: [/images]\n";
    g_autoptr(Config) config = config_parse("test.yaml", text, strlen(text), NULL);

    assert_non_null(config);
    engine_configure(bench->engine, config, "");
}

static const char *expunge(Bench *bench, const char *vm)
{
    return bench_answer(bench_submit(bench, bench_request(REQUEST_EXPUNGE, vm, NULL)));
}

static void an_expunged_vm_is_gone_when_that_is_answered_and_its_disks_are_not(void **state)
{
    Bench *bench = *state;
    g_autofree char *disk = bench_source(bench, WEB, "vda");

    allow_expunge(bench);
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(expunge(bench, WEB), "EBUSY");
    assert_string_equal(bench_remove(bench, WEB, "first"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_string_equal(expunge(bench, WEB), "ok");
    assert_false(has_name(bench, "web"));
    assert_true(has_name(bench, "db"));
    assert_true(simhost_image_exists(bench->host, disk));
    bench_wait(bench, has_event, "\"vm-vanished\",\"vm\":\"web\"");
    assert_string_equal(expunge(bench, WEB), "ENOENT");
    bench_restart(bench);
    assert_false(has_name(bench, "web"));
}

static void without_a_word_in_the_configuration_no_vm_is_undefined(void **state)
{
    Bench *bench = *state;

    assert_string_equal(expunge(bench, WEB), "EPERM");
    assert_true(has_name(bench, "web"));
    allow_expunge(bench);
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_string_equal(expunge(bench, WEB), "EBUSY");
    assert_true(has_name(bench, "web"));
}

static void a_vm_of_the_same_uuid_begins_anew(void **state)
{
    Bench *bench = *state;

    allow_expunge(bench);
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "first"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    g_autofree char *disk = bench_source(bench, WEB, "vda");
    assert_string_equal(expunge(bench, WEB), "ok");
    simhost_add_domain(bench->host, WEB, "again", DOMAIN_OFF);
    simhost_add_disk(bench->host, WEB, "vda", disk, "qcow2");
    bench_wait(bench, is_listed, WEB);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_listed(bench, WEB, "second");
}

#define TPM_HOME SIM_TPM_DIRECTORY "/" WEB

static void give_odd_tpm(Bench *bench)
{
    simhost_set_tpm(bench->host, WEB, true);
    simhost_set_state_directory(bench->host, TPM_HOME, true);
    simhost_set_state_directory(bench->host, TPM_HOME "/tpm2", true);
    simhost_set_state_directory(bench->host, TPM_HOME "/tpm2/odd", true);
}

static bool has_orphans(Bench *bench, const char *number)
{
    g_autoptr(HostView) view = engine_view(bench->engine);

    return view->orphans->len == (guint)g_ascii_strtoull(number, NULL, 10);
}

static const char *free_orphan(Bench *bench, const char *path)
{
    Request *request = request_new(REQUEST_FREE, "");

    request->text = g_strdup(path);
    return bench_answer(bench_submit(bench, request));
}

/* NV-15, NV-16: the VM is gone, and what is left of it is told, listed, found by the next daemon,
 * and freed by hand. */
static void what_is_left_is_an_orphan_until_it_can_be_removed_NV_16(void **state)
{
    Bench *bench = *state;

    allow_expunge(bench);
    give_odd_tpm(bench);
    assert_string_equal(expunge(bench, WEB), "ok");
    assert_false(has_name(bench, "web"));
    bench_wait(bench, has_orphans, "1");
    g_autofree char *errors = engine_errors(bench->engine, NULL);
    assert_non_null(strstr(errors, TPM_HOME "/tpm2 could not be removed"));
    bench_restart(bench);
    /* No VM has a file in /images any more, so it has to be named. */
    allow_expunge(bench);
    assert_string_equal(bench_answer(bench_submit(bench, bench_request(REQUEST_RESCAN, DB, NULL))),
                        "ok");
    bench_wait(bench, has_orphans, "1");
    assert_string_equal(free_orphan(bench, TPM_HOME "/tpm2"), "EOPNOTSUPP");
    simhost_set_state_directory(bench->host, TPM_HOME "/tpm2/odd", false);
    assert_string_equal(free_orphan(bench, TPM_HOME "/tpm2"), "ok");
    bench_wait(bench, has_orphans, "0");
}

static FilesOps looking_ops;
static const FilesOps *plain_ops;
static Bench *looking;
static unsigned listed_meanwhile, looks;

/* As when libvirt's event says that the VM is gone while its rmdir still removes what it had. */
static bool list_and_look(Files *files, const char *path, GError **error)
{
    g_mutex_lock(&looking->engine->lock);
    orphans_look_soon_locked(looking->engine);
    while (looking->engine->orphans_looking)
        g_cond_wait(&looking->engine->changed, &looking->engine->lock);
    g_mutex_unlock(&looking->engine->lock);
    looks++;
    listed_meanwhile += !has_orphans(looking, "0");
    return plain_ops->remove(files, path, error);
}

static void what_is_being_removed_is_no_orphan(void **state)
{
    Bench *bench = *state;

    allow_expunge(bench);
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "first"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    looking = bench;
    plain_ops = bench->files->ops;
    looking_ops = *plain_ops;
    looking_ops.remove = list_and_look;
    bench->files->ops = &looking_ops;
    assert_string_equal(expunge(bench, WEB), "ok");
    bench->files->ops = plain_ops;
    assert_true(looks > 0);
    assert_int_equal(listed_meanwhile, 0);
    assert_true(has_orphans(bench, "0"));
}

/* A definition may name the firmware's own template as its store. */
static void the_firmwares_own_files_stay_when_a_vm_goes(void **state)
{
    Bench *bench = *state;
    g_autoptr(GBytes) template = g_bytes_new_static("t", 1);

    allow_expunge(bench);
    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, WEB, SIM_TEMPLATE);
    simhost_set_state_bytes(bench->host, SIM_TEMPLATE, template);
    assert_string_equal(expunge(bench, WEB), "ok");
    assert_false(has_name(bench, "web"));
    g_autoptr(GBytes) left = simhost_state_content(bench->host, SIM_TEMPLATE);
    assert_non_null(left);
}

/* Nor does what is no store at all. */
static void attack_a_file_that_is_no_store_stays_when_a_vm_goes(void **state)
{
    Bench *bench = *state;

    allow_expunge(bench);
    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, WEB, "/etc/passwd");
    simhost_set_state(bench->host, "/etc/passwd", "root:x:0:0");
    assert_string_equal(expunge(bench, WEB), "ok");
    assert_false(has_name(bench, "web"));
    g_autoptr(GBytes) left = simhost_state_content(bench->host, "/etc/passwd");
    assert_non_null(left);
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
        CASE(an_expunged_vm_is_gone_when_that_is_answered_and_its_disks_are_not),
        CASE(without_a_word_in_the_configuration_no_vm_is_undefined),
        CASE(a_vm_of_the_same_uuid_begins_anew),
        CASE(the_firmwares_own_files_stay_when_a_vm_goes),
        CASE(attack_a_file_that_is_no_store_stays_when_a_vm_goes),
        CASE(what_is_being_removed_is_no_orphan),
        CASE(what_is_left_is_an_orphan_until_it_can_be_removed_NV_16),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
