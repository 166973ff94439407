/* Rule 11 on a simulated host: layers that somebody else uses are never merged into, merged away or
 * unlinked. The host itself catches what would ruin somebody (bench_free). */
#include "engine-bench.h"

#include <string.h>

#define CLONE "/clones/clone.qcow2"
#define FIRST "/images/web-a.qcow2" /* the layer of web's first snapshot on vda */
#define MANY  200

static bool (*fake_definitions)(Hypervisor *, const char *, char **, char **, char **, GError **);

static void add_image(Bench *bench, const char *path, const char *backing)
{
    simhost_add_image(bench->host, path, "qcow2", backing, backing ? "qcow2" : NULL,
                      (uint64_t)8 * SIM_BLOCK);
}

/* Another program attaches a disk to db, and libvirt tells. */
static void give_db(Bench *bench, const char *path)
{
    simhost_add_disk(bench->host, DB, "vdb", path, "qcow2");
    host_event(HV_EVENT_DOMAIN, DB, NULL, bench->engine);
}

/* One that is an overlay on @backing. */
static void give_db_a_clone(Bench *bench, const char *backing)
{
    add_image(bench, CLONE, backing);
    give_db(bench, CLONE);
}

static void take_it_from_db(Bench *bench)
{
    simhost_remove_disk(bench->host, DB, "vdb");
    host_event(HV_EVENT_DOMAIN, DB, NULL, bench->engine);
}

static void take_the_clone_from_db(Bench *bench)
{
    take_it_from_db(bench);
    assert_true(simhost_unlink(bench->host, CLONE, NULL, NULL));
}

static void assert_error_says(Bench *bench, const char *part)
{
    g_autofree char *errors = engine_errors(bench->engine, WEB);

    if (!strstr(errors, part))
        fail_msg("no \"%s\" in: %s", part, errors);
}

static void assert_refused(Bench *bench, const char *name, const char *who)
{
    assert_string_equal(bench_remove(bench, WEB, name), "EBUSY");
    assert_error_says(bench, who);
    assert_int_equal(bench_jobs(bench, WEB, JOB_RUNNING), 0);
}

static void assert_removed(Bench *bench, const char *name)
{
    assert_string_equal(bench_remove(bench, WEB, name), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 0);
}

/* ---- who may be a user ---- */

static void e37_a_linked_clone_of_a_vm_that_is_off_protects_its_base(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    give_db_a_clone(bench, FIRST);
    assert_refused(bench, "first", "disk vda) is also used by disk vdb of VM db (off)");
    assert_listed(bench, WEB, "first");
    take_the_clone_from_db(bench);
    assert_removed(bench, "first");
}

static void e37_a_linked_clone_of_a_running_vm_protects_its_base(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    give_db_a_clone(bench, FIRST);
    assert_true(simhost_start(bench->host, DB));
    assert_refused(bench, "first", "disk vdb of VM db (running)");
}

static void e8_what_a_saved_vm_will_resume_on_is_protected(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    give_db_a_clone(bench, FIRST);
    simhost_set_managed_save(bench->host, DB, true);
    take_it_from_db(bench);
    assert_refused(bench, "first", "disk vdb of VM db (saved)");
    simhost_set_managed_save(bench->host, DB, false);
    take_the_clone_from_db(bench);
    assert_removed(bench, "first");
}

static void e22_an_image_in_the_same_directory_protects_its_backing_file(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    add_image(bench, "/images/template.qcow2", FIRST);
    assert_refused(bench, "first", "image /images/template.qcow2");
}

static bool is_configured(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return g_str_equal(g_hash_table_lookup(view->policy, "max_depth"), "50");
}

static void an_image_in_a_configured_directory_protects_its_backing_file(void **state)
{
    static const char text[] = "image_directories: [/clones]\npolicy: {max_depth: 50}\n";
    g_autoptr(Config) config = config_parse("test", text, strlen(text), NULL);
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    add_image(bench, "/clones/middle.qcow2", FIRST);
    add_image(bench, CLONE, "/clones/middle.qcow2");
    engine_configure(bench->engine, config, "");
    bench_wait(bench, is_configured, WEB);
    assert_refused(bench, "first", "image /clones/");
}

/* A golden image below several VMs is never ours; their own layers are. */
static void e22_two_vms_on_one_base_do_not_disturb_each_other(void **state)
{
    Bench *bench = *state;

    add_image(bench, "/golden/base.qcow2", NULL);
    add_image(bench, "/images/web-c.qcow2", "/golden/base.qcow2");
    simhost_add_disk(bench->host, WEB, "vdc", "/images/web-c.qcow2", "qcow2");
    give_db_a_clone(bench, "/golden/base.qcow2");
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_create(bench, DB, "first"), "ok");
    assert_removed(bench, "first");
    assert_string_equal(bench_remove(bench, DB, "first"), "ok");
    bench_wait(bench, no_job_runs, DB);
    assert_true(simhost_image_exists(bench->host, "/golden/base.qcow2"));
}

static void a_disk_of_two_vms_is_not_merged(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autofree char *active = bench_source(bench, WEB, "vda");
    give_db(bench, active);
    assert_refused(bench, "first", "disk vdb of VM db (off)");
}

static void a_detached_disk_that_another_vm_got_is_not_merged(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autofree char *active = bench_source(bench, WEB, "vdb");
    simhost_remove_disk(bench->host, WEB, "vdb");
    give_db(bench, active);
    assert_refused(bench, "first", "disk vdb of VM db (off)");
    take_it_from_db(bench);
    assert_removed(bench, "first");
}

static bool refuse_definitions(Hypervisor *hv, const char *uuid, char **out_live,
                               char **out_inactive, char **out_saved, GError **error)
{
    if (g_str_equal(uuid, WEB))
        return fake_definitions(hv, uuid, out_live, out_inactive, out_saved, error);
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_IO, "its image cannot be read");
    return false;
}

/* Nobody can say what a VM uses whose definition cannot be read. */
static void what_cannot_be_asked_is_no_permission(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    bench_fail(bench, true, false);
    assert_string_equal(bench_remove(bench, WEB, "first"), "ETIMEDOUT");
    bench_fail(bench, false, false);
    fake_definitions = bench->hv_ops.definitions;
    bench->hv_ops.definitions = refuse_definitions;
    assert_string_equal(bench_remove(bench, WEB, "first"), "EIO");
    assert_error_says(bench, "Whether VM db uses the same image files cannot be found out");
    bench->hv_ops.definitions = fake_definitions;
    assert_listed(bench, WEB, "first");
    assert_removed(bench, "first");
}

/* ---- what else is done about it ---- */

static void a_revert_leaves_an_old_layer_that_another_vm_uses(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autofree char *active = bench_source(bench, WEB, "vda");
    g_autofree char *other = bench_source(bench, WEB, "vdb");
    give_db(bench, active);
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_true(simhost_image_exists(bench->host, active));
    assert_false(simhost_image_exists(bench->host, other));
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *snapshot = vm_view_named(view, "first");
    assert_non_null(strstr(snapshot->warnings, active));
    assert_non_null(strstr(snapshot->warnings, "disk vdb of VM db (off)"));
    assert_refused(bench, "first", "disk vdb of VM db (off)");
}

static void a_hidden_one_waits_until_nobody_else_needs_it(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "first"), "ok");
    assert_removed(bench, "first");
    assert_listed(bench, WEB, "[first] second");
    give_db_a_clone(bench, FIRST);
    assert_removed(bench, "second");
    assert_listed(bench, WEB, "[first]");
    take_the_clone_from_db(bench);
    bench_restart(bench);
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "");
}

/* It gets no further until let_it_end(). */
static const char *begin_slow_removal(Bench *bench, const char *name)
{
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 1);
    simhost_write(bench->host, WEB, "vda", 1, 2);
    simhost_set_job_speed(bench->host, 0);
    return bench_remove(bench, WEB, name);
}

static void let_it_end(Bench *bench)
{
    simhost_set_job_speed(bench->host, 4);
    bench_wait(bench, no_job_runs, WEB);
}

/* The first of two snapshots is being merged. */
static void begin_first_of_two(Bench *bench)
{
    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    simhost_write(bench->host, WEB, "vda", 0, 1);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_string_equal(begin_slow_removal(bench, "first"), "ok");
    bench_wait(bench, a_job_copies, WEB);
}

static void beside_a_merge_a_removal_is_refused_likewise(void **state)
{
    Bench *bench = *state;

    begin_first_of_two(bench);
    g_autofree char *active = bench_source(bench, WEB, "vda");
    give_db(bench, active);
    assert_string_equal(bench_remove(bench, WEB, "second"), "EBUSY");
    assert_error_says(bench, "is also used by disk vdb of VM db (off)");
    let_it_end(bench);
    assert_listed(bench, WEB, "second");
}

/* Accepted while nobody else used it, and then its turn comes. */
static void a_user_that_appears_before_the_merge_is_seen(void **state)
{
    Bench *bench = *state;

    begin_first_of_two(bench);
    assert_string_equal(bench_remove(bench, WEB, "second"), "ok");
    g_autofree char *active = bench_source(bench, WEB, "vda");
    give_db(bench, active);
    let_it_end(bench);
    assert_listed(bench, WEB, "second");
    assert_error_says(bench, "is also used by disk vdb of VM db (off)");
    take_it_from_db(bench);
    assert_string_equal(bench_remove(bench, WEB, "second"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_listed(bench, WEB, "");
}

/* Asked again right before the unlink: the merge is done, the file that was merged stays. */
static void a_user_that_appears_in_the_merge_keeps_its_file(void **state)
{
    Bench *bench = *state;

    assert_string_equal(bench_create(bench, WEB, "first"), "ok");
    g_autofree char *active = bench_source(bench, WEB, "vda");
    assert_string_equal(begin_slow_removal(bench, "first"), "ok");
    bench_wait(bench, a_job_copies, WEB);
    give_db(bench, active);
    let_it_end(bench);
    assert_listed(bench, WEB, "");
    assert_true(simhost_image_exists(bench->host, active));
}

/* ---- what it costs ---- */

static gint asked;

static bool count_definitions(Hypervisor *hv, const char *uuid, char **out_live,
                              char **out_inactive, char **out_saved, GError **error)
{
    g_atomic_int_inc(&asked);
    return fake_definitions(hv, uuid, out_live, out_inactive, out_saved, error);
}

static void add_neighbours(Bench *bench)
{
    for (unsigned i = 0; i < MANY; i++) {
        g_autofree char *uuid = g_strdup_printf("bbbbbbbb-0000-4000-8000-%012u", i);
        g_autofree char *name = g_strdup_printf("vm%u", i);
        g_autofree char *path = g_strdup_printf("/neighbours/%u.qcow2", i);

        add_image(bench, path, NULL);
        simhost_add_domain(bench->host, uuid, name, DOMAIN_OFF);
        simhost_add_disk(bench->host, uuid, "vda", path, "qcow2");
    }
}

/* What it costs, for people; and that a removal does not go by what was known before it. */
static void every_removal_asks_all_other_vms(void **state)
{
    Bench *bench = *state;
    int64_t begun;

    add_neighbours(bench);
    fake_definitions = bench->hv_ops.definitions;
    bench->hv_ops.definitions = count_definitions;
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(bench_create(bench, WEB, "first"), "ok");
        g_atomic_int_set(&asked, 0);
        begun = g_get_monotonic_time();
        assert_removed(bench, "first");
        assert_in_range(g_atomic_int_get(&asked), 2 * MANY, G_MAXINT);
        print_message("# %d definitions read, %u ms, for one removal beside %d VMs\n",
                      g_atomic_int_get(&asked),
                      (unsigned)((g_get_monotonic_time() - begun) / G_TIME_SPAN_MILLISECOND), MANY);
    }
}

static const char *set_vars(Bench *bench, GBytes *content)
{
    Request *request = bench_request(REQUEST_SET_VARS, WEB, NULL);

    request->content = g_bytes_ref(content);
    return bench_answer(bench_submit(bench, request));
}

static const char *reset_vars(Bench *bench)
{
    return bench_answer(bench_submit(bench, bench_request(REQUEST_RESET_VARS, WEB, NULL)));
}

/* Also while that VM is off, when no lock is held on it. */
static void a_store_that_another_vm_names_is_neither_replaced_nor_removed(void **state)
{
    static const char store[] = "/nvram/shared.fd";
    Bench *bench = *state;
    g_autoptr(GBytes) content = simhost_state_content(bench->host, SIM_TEMPLATE);
    g_autoptr(GBytes) other = simhost_state_content(bench->host, SIM_SECURE_TEMPLATE);
    g_autoptr(GBytes) now = NULL, replaced = NULL;

    simhost_set_state_bytes(bench->host, store, content);
    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, WEB, store);
    simhost_set_firmware(bench->host, DB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, DB, store);
    assert_string_equal(set_vars(bench, other), "EBUSY");
    assert_string_equal(reset_vars(bench), "EBUSY");
    now = simhost_state_content(bench->host, store);
    assert_true(now && g_bytes_equal(now, content));
    simhost_set_firmware(bench->host, DB, SIM_BIOS, false);
    assert_string_equal(set_vars(bench, other), "ok");
    replaced = simhost_state_content(bench->host, store);
    assert_true(replaced && g_bytes_equal(replaced, other));
    assert_string_equal(reset_vars(bench), "ok");
    assert_null(simhost_state_content(bench->host, store));
}

#define started(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(e37_a_linked_clone_of_a_vm_that_is_off_protects_its_base),
        started(e37_a_linked_clone_of_a_running_vm_protects_its_base),
        started(e8_what_a_saved_vm_will_resume_on_is_protected),
        started(e22_an_image_in_the_same_directory_protects_its_backing_file),
        started(an_image_in_a_configured_directory_protects_its_backing_file),
        started(e22_two_vms_on_one_base_do_not_disturb_each_other),
        started(a_disk_of_two_vms_is_not_merged),
        started(a_detached_disk_that_another_vm_got_is_not_merged),
        started(what_cannot_be_asked_is_no_permission),
        started(a_revert_leaves_an_old_layer_that_another_vm_uses),
        started(a_hidden_one_waits_until_nobody_else_needs_it),
        started(beside_a_merge_a_removal_is_refused_likewise),
        started(a_user_that_appears_before_the_merge_is_seen),
        started(a_user_that_appears_in_the_merge_keeps_its_file),
        started(every_removal_asks_all_other_vms),
        started(a_store_that_another_vm_names_is_neither_replaced_nor_removed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
