/* A snapshot of a VM with UEFI variables and a vTPM: what is asked of the guest, in which order,
 * and what is left when one of it fails (table 4.3 of the study, U-11 to U-25). */
#include "engine-bench-calls.h"

#include "model/simhost-face.h"
#include "store/sidecar.h"
#include "store/store.h"

#include <string.h>

#define HOME "/images"

static Bench *with_firmware(SimAgent agent, const char *policy)
{
    Bench *bench = bench_new();

    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    simhost_set_tpm(bench->host, WEB, true);
    simhost_set_agent(bench->host, WEB, agent);
    bench_watch(bench);
    bench_start(bench);
    Request *request = bench_request(REQUEST_POLICY, WEB, "quiesce");
    request->text = g_strdup(policy);
    assert_string_equal(bench_answer(bench_submit(bench, request)), "ok");
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    g_free(bench_calls());
    return bench;
}

static Bench *frozen_firmware(void)
{
    return with_firmware(SIM_AGENT_WELL, "try");
}

static void end(Bench *bench)
{
    bench_free(bench);
    bench_unwatch();
}

static void assert_calls(const char *wanted)
{
    g_autofree char *calls = bench_calls();

    assert_string_equal(calls, wanted);
}

/* ---- what is there ---- */

static void assert_sidecars(Bench *bench, guint wanted)
{
    g_autoptr(GPtrArray) ids = sidecar_list(bench->files, HOME, WEB);

    assert_int_equal(ids->len, wanted);
}

static void assert_goes_on(Bench *bench)
{
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_RUNNING);
    assert_false(simhost_is_frozen(bench->host, WEB));
}

/* Nothing came to be, and nothing is left of it. */
static void assert_nothing_left(Bench *bench)
{
    g_autoptr(GPtrArray) images = simhost_images(bench->host);

    assert_goes_on(bench);
    assert_listed(bench, WEB, "");
    assert_int_equal(images->len, 3);
    assert_sidecars(bench, 0);
}

static const SnapshotView *snapshot_of(const VmView *view, const char *name)
{
    const SnapshotView *snapshot = vm_view_named(view, name);

    assert_non_null(snapshot);
    return snapshot;
}

static void assert_warned(Bench *bench, const char *name, const char *warning)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);
    const SnapshotView *snapshot = snapshot_of(view, name);

    if (warning)
        assert_non_null(strstr(snapshot->warnings, warning));
    else
        assert_string_equal(snapshot->warnings, "");
}

static bool has_error(Bench *bench, const char *text)
{
    g_autofree char *errors = engine_errors(bench->engine, WEB);

    return strstr(errors, text) != NULL;
}

/* The copies of @name are what the VM has now. */
static void assert_kept(Bench *bench, const char *name)
{
    g_autoptr(Catalog) catalog = store_load_catalog(bench->files, HOME, WEB, NULL);
    const Snapshot *snapshot = catalog_named(catalog, name);
    g_autofree char *path = simhost_vars_path(bench->host, WEB);
    g_autofree char *directory = simhost_tpm_path(bench->host, WEB);
    g_autoptr(GBytes) vars = simhost_state_read(bench->host, path, NULL);
    g_autoptr(GPtrArray) tpm = simhost_state_read_directory(bench->host, directory, NULL);
    g_autofree char *vars_digest = state_digest(vars), *tpm_digest = state_files_digest(tpm);
    g_autoptr(GBytes) kept = sidecar_read_vars(bench->files, HOME, WEB, snapshot->id,
                                               snapshot->vars->size, vars_digest, NULL);
    g_autoptr(GPtrArray) state = sidecar_read_tpm(bench->files, HOME, WEB, snapshot->id,
                                                  snapshot->tpm->size, tpm_digest, NULL);

    assert_string_equal(snapshot->vars->sha256, vars_digest);
    assert_string_equal(snapshot->tpm->sha256, tpm_digest);
    assert_true(g_bytes_equal(kept, vars));
    assert_non_null(state);
    assert_string_equal(snapshot->tpm->version, "2.0");
    assert_string_equal(catalog->vars, path);
}

/* ---- the order ---- */

#define BEFORE "write frozen freeze frozen "
#define HELD   "suspend vars tpm snapshot resume "

/* Nothing is written between the freeze and the thaw but the copies, and they are durable before
 * the snapshot is recorded. */
static void u_14_u_16_s_26_all_is_asked_in_order_and_kept(void **state)
{
    Bench *bench = frozen_firmware();

    simhost_write_variable(bench->host, WEB, 7);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_calls(BEFORE HELD "thaw frozen write sync write");
    assert_goes_on(bench);
    assert_true(simhost_was_frozen(bench->host, WEB));
    assert_warned(bench, "s1", NULL);
    assert_kept(bench, "s1");
    end(bench);
}

static void u_13_without_a_freeze_the_guest_is_suspended_all_the_same(void **state)
{
    Bench *bench = with_firmware(SIM_AGENT_WELL, "off");

    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_calls("write " HELD "write sync write");
    assert_goes_on(bench);
    assert_kept(bench, "s1");
    end(bench);
}

/* Of a VM without such state nobody stops the CPUs. */
static void a_bios_vm_is_not_suspended(void **state)
{
    Bench *bench = frozen_firmware();

    assert_string_equal(bench_power(bench, DB, "running"), "ok");
    g_free(bench_calls());
    assert_string_equal(bench_create(bench, DB, "s1"), "ok");
    assert_calls("sync write snapshot write"); /* the first: of its directories, once */
    end(bench);
}

static void u_11_u_12_a_vm_that_its_owner_paused_stays_so(void **state)
{
    Bench *bench = frozen_firmware();

    assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
    g_free(bench_calls());
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_calls("write vars write tpm write sync write snapshot write");
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_PAUSED);
    assert_kept(bench, "s1");
    end(bench);
}

static bool (*watched_snapshot)(Hypervisor *, const char *, const GPtrArray *, const GPtrArray *,
                                GError **);
static SimHost *host_of_owner;

static bool resume_and_snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                                const GPtrArray *excluded, GError **error)
{
    simhost_pause(host_of_owner, uuid, false, NULL);
    return watched_snapshot(hv, uuid, switches, excluded, error);
}

/* Between the copies and the disks: no more is said than is so. */
static void a_vm_that_its_owner_lets_go_on_meanwhile_is_no_paused_one(void **state)
{
    Bench *bench = frozen_firmware();

    watched_snapshot = bench->hv_ops.snapshot;
    host_of_owner = bench->host;
    bench->hv_ops.snapshot = resume_and_snapshot;
    assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_warned(bench, "s1", "was let go on while this snapshot was taken");
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_string_equal(snapshot_of(view, "s1")->consistency, "crash");
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_RUNNING);
    assert_string_equal(bench_power(bench, DB, "running"), "ok");
    assert_string_equal(bench_power(bench, DB, "paused"), "ok");
    assert_string_equal(bench_create(bench, DB, "s1"), "ok");
    g_autoptr(VmView) bios = bench_view(bench, DB);
    assert_string_equal(snapshot_of(bios, "s1")->consistency, "crash");
    assert_string_equal(snapshot_of(bios, "s1")->warnings, "");
    end(bench);
}

static void s_3_a_vm_that_is_off_is_kept_before_it_is_redefined(void **state)
{
    Bench *bench = frozen_firmware();

    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    g_free(bench_calls());
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_calls("write vars write tpm write sync write");
    assert_kept(bench, "s1");
    end(bench);
}

/* ---- table 4.3: before the commit point ---- */

typedef struct {
    const char *call;
    unsigned times;
    bool happens;
    const char *calls; /* what is asked then */
} Row;

static void check_row(const Row *row)
{
    Bench *bench = frozen_firmware();

    bench_break_call(row->call, row->times, row->happens);
    assert_string_equal(bench_create(bench, WEB, "s1"), "EIO");
    assert_calls(row->calls);
    assert_nothing_left(bench);
    assert_true(has_error(bench, row->call));
    bench_break_call(row->call, 0, false);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_kept(bench, "s1");
    end(bench);
}

/* Rows "suspend", "NVRAM source missing / copy I/O error" and "snapshot call"; U-22. */
static void u_2_u_22_what_fails_before_the_snapshot_leaves_nothing(void **state)
{
    static const Row rows[] = {
        {"suspend", 1, false, BEFORE "suspend thaw frozen write"},
        {"suspend", 1, true, BEFORE "suspend resume thaw frozen write"},
        {"read", 100, false, BEFORE "suspend resume thaw frozen write"},
        {"vars", 1, false, BEFORE "suspend vars resume thaw frozen write"},
        {"vars", 1, true, BEFORE "suspend vars resume thaw frozen write"},
        {"tpm", 1, false, BEFORE "suspend vars tpm resume thaw frozen write"},
        {"snapshot", 1, false, BEFORE HELD "thaw frozen write"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(rows); i++)
        check_row(&rows[i]);
}

/* Rows "freeze" and "verify": the guest is not suspended at all. */
static void u_17_u_19_s_32_without_a_freeze_that_is_asked_for_nobody_is_suspended(void **state)
{
    static const SimAgent agents[] = {SIM_AGENT_FAILS, SIM_AGENT_LIES};
    static const char *const calls[] = {"write frozen freeze thaw frozen write",
                                        BEFORE "thaw frozen write"};

    for (guint i = 0; i < G_N_ELEMENTS(agents); i++) {
        Bench *bench = with_firmware(agents[i], "require");

        assert_string_equal(bench_create(bench, WEB, "s1"), "EIO");
        assert_calls(calls[i]);
        assert_nothing_left(bench);
        end(bench);
    }
}

/* Row "resume/thaw, after failure": the answer says both, and the next operation sees to it. */
static void a_guest_that_cannot_be_resumed_after_a_failure_is_resumed_by_the_next(void **state)
{
    static const char *const calls[] = {"tpm", "snapshot"};
    static const unsigned resumes[] = {4, 8}; /* whether the snapshot was taken is looked at, too */

    for (guint i = 0; i < G_N_ELEMENTS(calls); i++) {
        Bench *bench = with_firmware(SIM_AGENT_NONE, "try");

        bench_break_call(calls[i], 1, false);
        bench_break_call("resume", resumes[i], false);
        assert_string_equal(bench_create(bench, WEB, "s1"), "EIO");
        assert_true(has_error(bench, calls[i]));
        assert_true(has_error(bench, "may still be paused"));
        assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_goes_on(bench);
        assert_kept(bench, "s1");
        assert_sidecars(bench, 1);
        end(bench);
    }
}

/* ---- table 4.3: after it ---- */

/* Row "snapshot call", of which only the answer was lost: the chain decides. */
static void a_snapshot_whose_answer_was_lost_keeps_its_sidecars(void **state)
{
    Bench *bench = frozen_firmware();

    bench_break_call("snapshot", 1, true);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_goes_on(bench);
    assert_kept(bench, "s1");
    assert_sidecars(bench, 1);
    end(bench);
}

static void a_resume_that_fails_once_is_tried_again(void **state)
{
    static const bool happens[] = {false, true};

    for (guint i = 0; i < G_N_ELEMENTS(happens); i++) {
        Bench *bench = frozen_firmware();

        bench_break_call("resume", 1, happens[i]);
        assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_goes_on(bench);
        assert_warned(bench, "s1", NULL);
        end(bench);
    }
}

static bool runs(Bench *bench, const char *vm)
{
    return simhost_state(bench->host, vm) == DOMAIN_RUNNING;
}

static bool has_no_problem(Bench *bench, const char *vm)
{
    g_autoptr(VmView) view = bench_view(bench, vm);

    return view && !*view->problem;
}

static bool has_problem(Bench *bench, const char *vm)
{
    return !has_no_problem(bench, vm);
}

/* However often it fails, and whatever became of the snapshot: nobody has to ask for it. */
static void u_24_a_resume_is_tried_until_the_guest_runs(void **state)
{
    static const char *const calls[] = {"", "tpm", "snapshot"}; /* that fails before it */

    for (unsigned fails = 1; fails <= 12; fails++) {
        const char *call = calls[fails % G_N_ELEMENTS(calls)];
        Bench *bench = frozen_firmware();

        bench_break_call(call, 1, false);
        bench_break_call("resume", fails, false);
        assert_string_equal(bench_create(bench, WEB, "s1"), *call ? "EIO" : "ok");
        bench_wait(bench, runs, WEB);
        bench_wait(bench, no_job_runs, WEB);
        bench_wait(bench, has_no_problem, WEB);
        assert_goes_on(bench);
        if (*call)
            assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        assert_kept(bench, "s1");
        assert_sidecars(bench, 1);
        end(bench);
    }
}

/* The daemon ends before it could be done. */
static void u_24_the_next_daemon_resumes_what_the_last_one_could_not(void **state)
{
    Bench *bench = frozen_firmware();

    bench_break_call("resume", G_MAXUINT, false);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_PAUSED);
    bench_restart(bench);
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_PAUSED);
    assert_string_equal(bench_create(bench, WEB, "s2"), "EIO");
    assert_true(has_error(bench, "may still be paused by it; let it run with virsh resume web"));
    bench_break_call("resume", 0, false);
    bench_wait(bench, runs, WEB);
    bench_wait(bench, no_job_runs, WEB);
    assert_kept(bench, "s1");
    end(bench);
}

/* What he does then with the VM is his: it is not resumed once more. */
static void u_24_its_owner_may_be_faster(void **state)
{
    static const char *const words[] = {"running", "off"};

    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        Bench *bench = frozen_firmware();

        bench_break_call("resume", G_MAXUINT, false);
        assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
        bench_wait(bench, has_problem, WEB);
        if (i == 0)
            assert_true(simhost_pause(bench->host, WEB, false, NULL));
        else
            assert_string_equal(bench_power(bench, WEB, words[i]), "ok");
        bench_wait(bench, has_no_problem, WEB);
        bench_wait(bench, no_job_runs, WEB);
        bench_break_call("resume", 0, false);
        if (i == 0)
            assert_string_equal(bench_power(bench, WEB, "paused"), "ok");
        assert_string_equal(bench_create(bench, WEB, "s2"), "ok");
        assert_int_equal(simhost_state(bench->host, WEB), i == 0 ? DOMAIN_PAUSED : DOMAIN_OFF);
        end(bench);
    }
}

/* The thaw is tried all the same, and is owed then. */
static void s_34_u_24_u_38_a_resume_that_fails_loses_no_snapshot(void **state)
{
    Bench *bench = frozen_firmware();

    bench_break_call("resume", G_MAXUINT, false);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    g_autofree char *calls = bench_calls();
    assert_true(g_str_has_prefix(calls, BEFORE HELD "thaw write sync write"));
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_PAUSED);
    assert_warned(bench, "s1", "may still be paused");
    assert_warned(bench, "s1", "could not be thawed");
    bench_wait(bench, has_event, "snapshot-warned");
    assert_true(has_error(bench, "may still be paused"));
    assert_kept(bench, "s1");
    bench_break_call("resume", 0, false);
    bench_wait(bench, no_job_runs, WEB);
    assert_goes_on(bench);
    end(bench);
}

static void s_33_u_18_u_23_a_thaw_that_fails_loses_no_snapshot(void **state)
{
    Bench *bench = with_firmware(SIM_AGENT_STUCK, "try");

    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_RUNNING);
    assert_warned(bench, "s1", "could not be thawed");
    bench_wait(bench, has_event, "snapshot-warned");
    assert_kept(bench, "s1");
    simhost_set_agent(bench->host, WEB, SIM_AGENT_WELL);
    bench_wait(bench, no_job_runs, WEB);
    assert_goes_on(bench);
    end(bench);
}

/* ---- sidecars that are not durable ---- */

/* The disks are switched; what is lost is that it could be reverted to. */
static void a_snapshot_whose_sidecar_cannot_be_made_durable_is_failed(void **state)
{
    Bench *bench = frozen_firmware();

    bench_break_call("sync", 1, false);
    assert_string_equal(bench_create(bench, WEB, "s1"), "EIO");
    assert_goes_on(bench);
    assert_sidecars(bench, 0);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_int_equal(snapshot_of(view, "s1")->state, SNAPSHOT_FAILED);
    assert_non_null(strstr(snapshot_of(view, "s1")->error, "could not be kept"));
    bench_wait(bench, has_event, "snapshot-failed");
    assert_string_equal(bench_create(bench, WEB, "s2"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "s1"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_kept(bench, "s2");
    end(bench);
}

/* Of a VM that is off it is found out before anything is changed. */
static void of_a_vm_that_is_off_nothing_comes_to_be_then(void **state)
{
    Bench *bench = frozen_firmware();

    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
    bench_break_call("sync", 1, false);
    assert_string_equal(bench_create(bench, WEB, "s1"), "EIO");
    assert_listed(bench, WEB, "");
    assert_sidecars(bench, 0);
    assert_string_equal(bench_create(bench, WEB, "s1"), "ok");
    assert_kept(bench, "s1");
    end(bench);
}

/* ---- libvirt goes away ---- */

/* It is back, and nobody asks for anything. */
static void a_guest_that_libvirt_left_suspended_is_resumed_when_it_is_back(void **state)
{
    static const SimDeath deaths[] = {SIM_DIES_BEFORE_SWITCH, SIM_DIES_AFTER_SWITCH};

    for (guint i = 0; i < G_N_ELEMENTS(deaths); i++) {
        Bench *bench = frozen_firmware();

        simhost_set_death(bench->host, deaths[i]);
        assert_string_equal(bench_create(bench, WEB, "s1"), "EHOSTDOWN");
        assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_PAUSED);
        simhost_set_down(bench->host, false);
        bench_wait(bench, runs, WEB);
        bench_wait(bench, no_job_runs, WEB);
        assert_goes_on(bench);
        end(bench);
    }
}

/* ---- gates ---- */

static void s_31_u_34_u_35_a_host_that_lost_its_firmware_refuses_and_asks_nothing(void **state)
{
    static const bool uefi[] = {false, true};
    static const char *const words[] = {"OVMF", "swtpm"};

    for (guint i = 0; i < G_N_ELEMENTS(uefi); i++) {
        Bench *bench = frozen_firmware();

        simhost_set_capabilities(bench->host, uefi[i], !uefi[i]);
        simhost_set_down(bench->host, true);
        bench_wait(bench, is_stale, WEB);
        simhost_set_down(bench->host, false);
        bench_wait(bench, is_fresh, WEB);
        g_free(bench_calls());
        assert_string_equal(bench_create(bench, WEB, "s1"), "EOPNOTSUPP");
        assert_calls("");
        assert_true(has_error(bench, words[i]));
        assert_nothing_left(bench);
        end(bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(u_14_u_16_s_26_all_is_asked_in_order_and_kept),
        cmocka_unit_test(u_13_without_a_freeze_the_guest_is_suspended_all_the_same),
        cmocka_unit_test(a_bios_vm_is_not_suspended),
        cmocka_unit_test(u_11_u_12_a_vm_that_its_owner_paused_stays_so),
        cmocka_unit_test(a_vm_that_its_owner_lets_go_on_meanwhile_is_no_paused_one),
        cmocka_unit_test(s_3_a_vm_that_is_off_is_kept_before_it_is_redefined),
        cmocka_unit_test(u_2_u_22_what_fails_before_the_snapshot_leaves_nothing),
        cmocka_unit_test(u_17_u_19_s_32_without_a_freeze_that_is_asked_for_nobody_is_suspended),
        cmocka_unit_test(a_guest_that_cannot_be_resumed_after_a_failure_is_resumed_by_the_next),
        cmocka_unit_test(a_snapshot_whose_answer_was_lost_keeps_its_sidecars),
        cmocka_unit_test(a_resume_that_fails_once_is_tried_again),
        cmocka_unit_test(u_24_a_resume_is_tried_until_the_guest_runs),
        cmocka_unit_test(u_24_the_next_daemon_resumes_what_the_last_one_could_not),
        cmocka_unit_test(u_24_its_owner_may_be_faster),
        cmocka_unit_test(s_34_u_24_u_38_a_resume_that_fails_loses_no_snapshot),
        cmocka_unit_test(s_33_u_18_u_23_a_thaw_that_fails_loses_no_snapshot),
        cmocka_unit_test(a_snapshot_whose_sidecar_cannot_be_made_durable_is_failed),
        cmocka_unit_test(of_a_vm_that_is_off_nothing_comes_to_be_then),
        cmocka_unit_test(a_guest_that_libvirt_left_suspended_is_resumed_when_it_is_back),
        cmocka_unit_test(s_31_u_34_u_35_a_host_that_lost_its_firmware_refuses_and_asks_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
