/* When a snapshot freezes the guest: policy × state × agent, and a thaw that is owed. */
#include "testing.h"

#include "base/error.h"
#include "scene.h"

#define FREEZES  -1 /* in place of an ErrorCode */
#define DOES_NOT -2

static const char *const policies[] = {"off", "try", "require"};
static const AgentState agents[] = {AGENT_NONE, AGENT_DISCONNECTED, AGENT_CONNECTED};

static Scene *with(DomainState state, AgentState agent, const char *policy)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    if (state != DOMAIN_OFF) {
        scene_start(scene);
        scene->seen->state = state;
        scene->seen->live->agent = agent;
    }
    g_hash_table_insert(scene->catalog->policy, g_strdup("quiesce"), g_strdup(policy));
    return scene;
}

static bool has(const Plan *plan, StepKind kind)
{
    for (unsigned i = 0; i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->kind == kind)
            return true;
    return false;
}

static const char *recorded_consistency(const Plan *plan)
{
    for (unsigned i = 0; i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->kind == STEP_RECORD_CREATE)
            return step_get(plan->steps->pdata[i], "consistency");
    return NULL;
}

static int decision(Scene *scene, GError **error)
{
    g_autoptr(Plan) plan = scene_plan_create(scene, "s1", error);
    static const StepKind kinds[] = {STEP_FREEZE, STEP_THAW, STEP_RECORD_FREEZING,
                                     STEP_RECORD_THAWED};
    int frozen;

    if (!plan)
        return (int)error_code(*error);
    frozen = has(plan, STEP_FREEZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++)
        assert_int_equal(has(plan, kinds[i]), frozen);
    assert_string_not_equal(recorded_consistency(plan), "frozen");
    return frozen ? FREEZES : DOES_NOT;
}

static void a_running_guest_is_frozen_as_the_policy_says(void **state)
{
    static const int wanted[3][3] = {
        {DOES_NOT, DOES_NOT, DOES_NOT},
        {DOES_NOT, DOES_NOT, FREEZES},
        {ERR_UNSUPPORTED, ERR_UNSUPPORTED, FREEZES},
    };

    for (unsigned p = 0; p < 3; p++)
        for (unsigned a = 0; a < 3; a++) {
            g_autoptr(Scene) scene = with(DOMAIN_RUNNING, agents[a], policies[p]);
            g_autoptr(GError) error = NULL;

            assert_int_equal(decision(scene, &error), wanted[p][a]);
            assert_true(!error || strstr(error->message, "policy/quiesce"));
        }
}

static void u_12_a_paused_guest_is_not_frozen(void **state)
{
    static const int wanted[3] = {DOES_NOT, DOES_NOT, ERR_UNSUPPORTED};

    for (unsigned p = 0; p < 3; p++) {
        g_autoptr(Scene) scene = with(DOMAIN_PAUSED, AGENT_CONNECTED, policies[p]);
        g_autoptr(GError) error = NULL;

        assert_int_equal(decision(scene, &error), wanted[p]);
    }
}

static void s_3_a_vm_that_is_off_has_nothing_to_freeze(void **state)
{
    for (unsigned p = 0; p < 3; p++) {
        g_autoptr(Scene) scene = with(DOMAIN_OFF, AGENT_NONE, policies[p]);
        g_autoptr(GError) error = NULL;

        scene->catalog->thaw_owed = true;
        assert_int_equal(decision(scene, &error), DOES_NOT);
    }
}

static void while_a_thaw_is_owed_only_a_snapshot_without_a_freeze_is_taken(void **state)
{
    for (unsigned p = 0; p < 3; p++)
        for (unsigned a = 0; a < 3; a++) {
            g_autoptr(Scene) scene = with(DOMAIN_RUNNING, agents[a], policies[p]);
            g_autoptr(GError) error = NULL;

            scene->catalog->thaw_owed = true;
            assert_int_equal(decision(scene, &error), p == 0 ? DOES_NOT : (int)ERR_BUSY);
            assert_true(!error || strstr(error->message, "policy/quiesce"));
        }
}

/* The inverse of each step, in the order in which they are undone: the thaw comes first. */
static void what_is_undone_thaws_first(void **state)
{
    static const StepKind wanted[] = {STEP_THAW, STEP_RECORD_THAWED, STEP_UNLINK};
    g_autoptr(Scene) scene = with(DOMAIN_RUNNING, AGENT_CONNECTED, "try");
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = scene_plan_create(scene, "s1", &error);
    unsigned found = 0;

    assert_non_null(plan);
    for (unsigned i = plan->commit; i-- > 0;) {
        Step *undo = step_undo(plan->steps->pdata[i]);

        if (!undo)
            continue;
        assert_int_equal(undo->kind, wanted[found++]);
        if (undo->kind == STEP_THAW)
            assert_int_equal(step_get_number(undo, "timeout"), 10);
        step_free(undo);
    }
    assert_int_equal(found, G_N_ELEMENTS(wanted));
}

static void what_is_owed_is_noted_and_forgotten(void **state)
{
    g_autoptr(Scene) scene = with(DOMAIN_OFF, AGENT_NONE, "try");
    Step *freezing = step_new(STEP_RECORD_FREEZING);
    Step *thawed = step_new(STEP_RECORD_THAWED);
    g_autoptr(Catalog) before = catalog_copy(scene->catalog);

    assert_true(step_apply(freezing, scene->catalog, NULL));
    assert_true(step_apply(freezing, scene->catalog, NULL));
    assert_true(scene->catalog->thaw_owed);
    assert_false(catalog_equal(before, scene->catalog));
    assert_true(step_apply(thawed, scene->catalog, NULL));
    assert_true(catalog_equal(before, scene->catalog));
    step_free(freezing);
    step_free(thawed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_running_guest_is_frozen_as_the_policy_says),
        cmocka_unit_test(u_12_a_paused_guest_is_not_frozen),
        cmocka_unit_test(s_3_a_vm_that_is_off_has_nothing_to_freeze),
        cmocka_unit_test(while_a_thaw_is_owed_only_a_snapshot_without_a_freeze_is_taken),
        cmocka_unit_test(what_is_undone_thaws_first),
        cmocka_unit_test(what_is_owed_is_noted_and_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
