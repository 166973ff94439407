/* What a snapshot keeps besides disks: steps, refusals, and what recovery makes of it. */
#include "testing.h"

#include "base/error.h"
#include "base/str.h"
#include "scene.h"

/* One disk, UEFI variables and a vTPM, both ready; off. */
static Scene *ready(void)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    scene_give_state(scene, false);
    scene_show_state(scene);
    return scene;
}

static Scene *running(void)
{
    Scene *scene = ready();

    scene_start(scene);
    scene->seen->live->agent = AGENT_CONNECTED;
    return scene;
}

static Plan *planned(Scene *scene)
{
    g_autoptr(GError) error = NULL;
    Plan *plan = scene_plan_create(scene, "s1", &error);

    if (!plan)
        fail_msg("%s", error->message);
    return plan;
}

static Step *find(const Plan *plan, StepKind kind)
{
    for (unsigned i = 0; i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->kind == kind)
            return plan->steps->pdata[i];
    return NULL;
}

static void assert_kinds(const Plan *plan, const StepKind *wanted, unsigned count, unsigned commit)
{
    assert_int_equal(plan->steps->len, count);
    for (unsigned i = 0; i < count; i++)
        assert_string_equal(step_kind_name(((Step *)plan->steps->pdata[i])->kind),
                            step_kind_name(wanted[i]));
    assert_int_equal(plan->commit, commit);
}

/* --- steps --- */

static void u_14_u_22_a_running_guest_is_frozen_and_then_suspended(void **state)
{
    static const StepKind wanted[] = {
        STEP_OVERLAY,  STEP_RECORD_FREEZING, STEP_FREEZE,        STEP_SUSPEND, STEP_KEEP_VARS,
        STEP_KEEP_TPM, STEP_SNAPSHOT,        STEP_RESUME,        STEP_THAW,    STEP_SYNC_SIDECAR,
        STEP_SETTLE,   STEP_RECORD_CREATE,   STEP_RECORD_THAWED,
    };
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);

    assert_kinds(plan, wanted, G_N_ELEMENTS(wanted), 7);
    assert_string_equal(step_get(find(plan, STEP_KEEP_VARS), "path"), SCENE_VARS);
    assert_string_equal(step_get(find(plan, STEP_KEEP_TPM), "path"), SCENE_TPM);
    assert_string_equal(step_get(find(plan, STEP_SYNC_SIDECAR), "required"), "no");
    assert_string_equal(step_get(find(plan, STEP_RECORD_CREATE), "nvram"), SCENE_VARS);
}

/* U-12; and who is off has nobody waiting: the copies are durable before anything is changed. */
static void u_12_who_does_not_run_is_not_suspended(void **state)
{
    static const StepKind paused[] = {STEP_OVERLAY,      STEP_KEEP_VARS, STEP_KEEP_TPM,
                                      STEP_SYNC_SIDECAR, STEP_SNAPSHOT,  STEP_SETTLE,
                                      STEP_RECORD_CREATE};
    static const StepKind off[] = {STEP_OVERLAY,      STEP_KEEP_VARS, STEP_KEEP_TPM,
                                   STEP_SYNC_SIDECAR, STEP_REDEFINE,  STEP_RECORD_CREATE};

    for (unsigned i = 0; i < 2; i++) {
        g_autoptr(Scene) scene = i == 0 ? running() : ready();
        if (i == 0)
            scene->seen->state = DOMAIN_PAUSED;
        g_autoptr(Plan) plan = planned(scene);

        assert_kinds(plan, i == 0 ? paused : off, i == 0 ? G_N_ELEMENTS(paused) : G_N_ELEMENTS(off),
                     5);
        assert_string_equal(step_get(find(plan, STEP_SYNC_SIDECAR), "required"), "yes");
    }
}

static void what_is_undone_resumes_before_it_thaws(void **state)
{
    static const StepKind wanted[] = {STEP_DROP_SIDECAR, STEP_DROP_SIDECAR,  STEP_RESUME,
                                      STEP_THAW,         STEP_RECORD_THAWED, STEP_UNLINK};
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);
    unsigned found = 0;

    for (unsigned i = plan->commit; i-- > 0;) {
        Step *undo = step_undo(plan->steps->pdata[i]);

        if (!undo)
            continue;
        assert_int_equal(undo->kind, wanted[found++]);
        if (undo->kind == STEP_DROP_SIDECAR)
            assert_string_equal(step_get(undo, "snapshot"), plan->snapshot);
        step_free(undo);
    }
    assert_int_equal(found, G_N_ELEMENTS(wanted));
}

static void nv_01_a_vm_that_never_ran_has_the_variables_of_its_template(void **state)
{
    g_autoptr(Scene) scene = ready();
    scene->seen->vars->state = VARS_MISSING;
    g_autoptr(Plan) plan = planned(scene);

    assert_string_equal(step_get(find(plan, STEP_KEEP_VARS), "path"), SCENE_TEMPLATE);
    assert_null(step_get(find(plan, STEP_RECORD_CREATE), "nvram"));
}

static void a_tpm_out_of_reach_is_left_out_with_a_warning(void **state)
{
    static const char *const backends[] = {"passthrough", "external"};

    for (unsigned i = 0; i < G_N_ELEMENTS(backends); i++) {
        g_autoptr(Scene) scene = ready();
        str_set(&scene->seen->inactive->tpm->backend, backends[i]);
        g_clear_pointer(&scene->seen->tpm, tpm_facts_free);
        g_autoptr(Plan) plan = planned(scene);

        assert_null(find(plan, STEP_KEEP_TPM));
        assert_non_null(find(plan, STEP_KEEP_VARS));
        assert_non_null(strstr(step_get(find(plan, STEP_RECORD_WARNING), "text"), backends[i]));
    }
}

/* --- refusals --- */

static void lose_store(Scene *scene)
{
    scene->seen->vars->state = VARS_MISSING;
    str_set(&scene->catalog->vars, SCENE_VARS);
}

static void lose_store_while_running(Scene *scene)
{
    scene_start(scene);
    scene->seen->vars->state = VARS_MISSING;
}

static void have_no_template(Scene *scene)
{
    scene->seen->vars->state = VARS_MISSING;
    scene->seen->vars->template_size = 0;
}

static void empty_store(Scene *scene)
{
    scene->seen->vars->state = VARS_EMPTY;
    scene->seen->vars->size = 0;
}

static void wrong_size(Scene *scene)
{
    scene->seen->vars->state = VARS_BADSIZE;
}

static void unreadable(Scene *scene)
{
    scene->seen->vars->state = VARS_EMPTY;
    scene->seen->vars->error = g_strdup("it is a directory");
}

static void on_network(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->storage, "network");
}

static void on_block_device(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->storage, "block");
}

static void say_qcow2(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->format, "qcow2");
}

static void be_qcow2(Scene *scene)
{
    scene->seen->vars->state = VARS_EMPTY;
    scene->seen->vars->qcow2 = true;
}

static void have_no_path(Scene *scene)
{
    g_clear_pointer(&scene->seen->vars->path, g_free);
    scene->seen->vars->state = VARS_MISSING;
}

static void have_no_tpm_state(Scene *scene)
{
    g_clear_pointer(&scene->seen->tpm->sha256, g_free);
}

static void unreadable_tpm(Scene *scene)
{
    have_no_tpm_state(scene);
    scene->seen->tpm->error = g_strdup("it has a directory in it");
}

static void lose_ovmf(Scene *scene)
{
    scene->seen->capabilities->uefi = false;
}

static void lose_swtpm(Scene *scene)
{
    scene->seen->capabilities->tpm = false;
}

typedef struct {
    void (*spoil)(Scene *scene);
    const char *words; /* that the sentence must have */
} Refusal;

static const Refusal refusals[] = {
    {lose_store, "have vanished"},
    {lose_store_while_running, "they end with it"},
    {have_no_template, "start it once"},
    {empty_store, "not ready (empty, 0 bytes)"},
    {wrong_size, "not ready (badsize"},
    {unreadable, "it is a directory"},
    {on_network, "storage of the type network"},
    {on_block_device, "storage of the type block"},
    {say_qcow2, "the format says qcow2, and the file has no qcow2 header"},
    {be_qcow2, "the format says raw, and the file has a qcow2 header"},
    {have_no_path, "is not known"},
    {have_no_tpm_state, "start the VM once"},
    {unreadable_tpm, "it has a directory in it"},
    {lose_ovmf, "install OVMF"},
    {lose_swtpm, "install swtpm"},
};

static void nv_05_nv_09_nv_17_nv_24_u_34_what_cannot_be_kept_is_refused_by_name(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(Scene) scene = ready();
        g_autoptr(GError) error = NULL;

        refusals[i].spoil(scene);
        g_autoptr(Plan) plan = scene_plan_create(scene, "s1", &error);
        assert_null(plan);
        assert_true(error_is(error, ERR_UNSUPPORTED));
        if (!strstr(error->message, refusals[i].words) || !strstr(error->message, "web01"))
            fail_msg("\"%s\" does not say \"%s\"", error->message, refusals[i].words);
    }
}

/* --- records and recovery --- */

static void note_checksums(Plan *plan)
{
    Step *create = find(plan, STEP_RECORD_CREATE);
    g_autofree char *sum = g_strnfill(64, 'b');

    step_set_number(create, "vars_size", SCENE_STORE);
    step_set(create, "vars_sha256", sum);
    step_set_number(create, "tpm_size", 6098);
    step_set(create, "tpm_sha256", sum);
}

static void s_26_what_was_kept_is_recorded(void **state)
{
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);
    const Snapshot *snapshot;

    note_checksums(plan);
    scene_run(scene, plan);
    snapshot = scene_snapshot(scene, "s1");
    assert_int_equal(snapshot->state, SNAPSHOT_READY);
    assert_int_equal(snapshot->vars->size, SCENE_STORE);
    assert_null(snapshot->vars->version);
    assert_string_equal(snapshot->tpm->version, "2.0");
    assert_string_equal(scene->catalog->vars, SCENE_VARS);
}

/* @plan up to and with its commit point, or up to the one before, and then its recovery. */
static Plan *cut(Scene *scene, const Plan *plan, bool switched)
{
    g_autoptr(GError) error = NULL;
    Plan *recovery;

    for (unsigned i = 0; i + !switched < plan->commit; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    recovery = plan_recover(scene->catalog, scene->seen, plan, &error);
    if (!recovery)
        fail_msg("%s", error->message);
    scene_run(scene, recovery);
    return recovery;
}

static void what_did_not_come_to_be_keeps_nothing(void **state)
{
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);
    g_autoptr(Plan) recovery = cut(scene, plan, false);

    assert_string_equal(step_get(find(recovery, STEP_DROP_SIDECAR), "snapshot"), plan->snapshot);
    assert_null(find(recovery, STEP_RECORD_CREATE));
}

/* The program lived to note what it had copied: whether that is still so, the step sees. */
static void what_was_noted_is_compared_and_made_durable(void **state)
{
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);
    note_checksums(plan);
    g_autoptr(Plan) recovery = cut(scene, plan, true);
    const Step *sync = find(recovery, STEP_SYNC_SIDECAR);

    assert_int_equal(step_get_number(sync, "vars_size"), SCENE_STORE);
    assert_int_equal(step_get_number(sync, "tpm_size"), 6098);
    assert_string_equal(step_get(sync, "required"), "no");
    assert_null(find(recovery, STEP_DROP_SIDECAR));
    assert_int_equal(scene_snapshot(scene, "s1")->state, SNAPSHOT_READY);
}

static void what_nobody_noted_is_a_failed_snapshot_without_sidecars(void **state)
{
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);
    g_autoptr(Plan) recovery = cut(scene, plan, true);
    const Snapshot *snapshot = scene_snapshot(scene, "s1");

    assert_non_null(find(recovery, STEP_DROP_SIDECAR));
    assert_null(find(recovery, STEP_SYNC_SIDECAR));
    assert_int_equal(snapshot->state, SNAPSHOT_FAILED);
    assert_non_null(strstr(snapshot->error, "never be reverted to"));
    assert_null(snapshot->vars);
    assert_null(snapshot->tpm);
}

/* Recovery that is cut after its record has nothing more to say. */
static void a_recorded_one_is_left_alone(void **state)
{
    g_autoptr(Scene) scene = running();
    g_autoptr(Plan) plan = planned(scene);
    note_checksums(plan);
    g_autoptr(Plan) first = cut(scene, plan, true);
    g_autoptr(Plan) again = plan_recover(scene->catalog, scene->seen, plan, NULL);

    assert_non_null(again);
    assert_null(find(again, STEP_RECORD_CREATE));
    assert_null(find(again, STEP_SYNC_SIDECAR));
    assert_null(find(again, STEP_DROP_SIDECAR));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(u_14_u_22_a_running_guest_is_frozen_and_then_suspended),
        cmocka_unit_test(u_12_who_does_not_run_is_not_suspended),
        cmocka_unit_test(what_is_undone_resumes_before_it_thaws),
        cmocka_unit_test(nv_01_a_vm_that_never_ran_has_the_variables_of_its_template),
        cmocka_unit_test(a_tpm_out_of_reach_is_left_out_with_a_warning),
        cmocka_unit_test(nv_05_nv_09_nv_17_nv_24_u_34_what_cannot_be_kept_is_refused_by_name),
        cmocka_unit_test(s_26_what_was_kept_is_recorded),
        cmocka_unit_test(what_did_not_come_to_be_keeps_nothing),
        cmocka_unit_test(what_was_noted_is_compared_and_made_durable),
        cmocka_unit_test(what_nobody_noted_is_a_failed_snapshot_without_sidecars),
        cmocka_unit_test(a_recorded_one_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
