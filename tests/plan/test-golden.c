/* The text of plans in named situations, compared with golden/NAME.plan. PLAN_REGENERATE=1 writes
 * them anew: read the difference before committing it. */
#include "testing.h"

#include <stdlib.h>

#include "base/str.h"
#include "scene.h"

typedef Plan *(*Situation)(Scene *scene, GError **error);

static Scene *one_disk(void)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    return scene;
}

/* Snapshots of the names in @names, space-separated. */
static void creates(Scene *scene, const char *names)
{
    g_auto(GStrv) words = g_strsplit(names, " ", -1);

    for (char **word = words; *word; word++)
        scene_create(scene, *word);
}

static Plan *next(Scene *scene, GError **error)
{
    return plan_next(scene->catalog, scene->seen, error);
}

static Plan *accepted(Scene *scene, const char *name, GError **error)
{
    scene_accept(scene, name);
    return next(scene, error);
}

/* Run only the first @count steps of @plan, then plan its recovery. */
static Plan *cut(Scene *scene, Plan *plan, unsigned count, GError **error)
{
    Plan *recovery;

    for (unsigned i = 0; i < count; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    recovery = plan_recover(scene->catalog, scene->seen, plan, error);
    plan_free(plan);
    return recovery;
}

static Plan *s_01_create_running(Scene *scene, GError **error)
{
    scene_start(scene);
    return scene_plan_create(scene, "s1", error);
}

static void agent(Scene *scene, AgentState state, const char *policy)
{
    scene_start(scene);
    scene->seen->live->agent = state;
    g_hash_table_insert(scene->catalog->policy, g_strdup("quiesce"), g_strdup(policy));
}

static void keep_state(Scene *scene)
{
    scene_give_state(scene, false);
    scene_show_state(scene);
}

static Plan *s_26_create_with_firmware_state_off(Scene *scene, GError **error)
{
    keep_state(scene);
    return scene_plan_create(scene, "s1", error);
}

static Plan *s_26_create_with_firmware_state_running(Scene *scene, GError **error)
{
    keep_state(scene);
    agent(scene, AGENT_CONNECTED, "try");
    return scene_plan_create(scene, "s1", error);
}

static Plan *u_12_create_with_firmware_state_paused(Scene *scene, GError **error)
{
    keep_state(scene);
    scene_start(scene);
    scene->seen->state = DOMAIN_PAUSED;
    return scene_plan_create(scene, "s1", error);
}

static Plan *e_11_create_with_firmware_state_was_switched(Scene *scene, GError **error)
{
    return cut(scene, s_26_create_with_firmware_state_running(scene, error), 7, error);
}

static Plan *e_11_create_with_firmware_state_was_not_switched(Scene *scene, GError **error)
{
    return cut(scene, s_26_create_with_firmware_state_running(scene, error), 6, error);
}

static Plan *s_02_create_tries_to_freeze(Scene *scene, GError **error)
{
    agent(scene, AGENT_CONNECTED, "try");
    return scene_plan_create(scene, "s1", error);
}

static Plan *s_02_create_has_to_freeze(Scene *scene, GError **error)
{
    scene_add_disk(scene, "vdb", "raw");
    agent(scene, AGENT_CONNECTED, "require");
    g_hash_table_insert(scene->catalog->policy, g_strdup("quiesce_timeout"), g_strdup("3"));
    return scene_plan_create(scene, "s1", error);
}

static Plan *s_02_create_without_a_freeze(Scene *scene, GError **error)
{
    agent(scene, AGENT_CONNECTED, "off");
    return scene_plan_create(scene, "s1", error);
}

static Plan *e_25_paused_is_not_frozen(Scene *scene, GError **error)
{
    agent(scene, AGENT_CONNECTED, "try");
    scene->seen->state = DOMAIN_PAUSED;
    return scene_plan_create(scene, "s1", error);
}

/* The daemon dies before, and right after, the disks switch. The guest is the thaw job's. */
static Plan *e_35_cut_while_frozen(Scene *scene, GError **error)
{
    return cut(scene, s_02_create_tries_to_freeze(scene, error), 3, error);
}

static Plan *e_35_cut_before_the_thaw(Scene *scene, GError **error)
{
    return cut(scene, s_02_create_tries_to_freeze(scene, error), 4, error);
}

static Plan *s_03_create_off_raw_and_qcow2(Scene *scene, GError **error)
{
    scene_add_disk(scene, "vdb", "raw");
    return scene_plan_create(scene, "s1", error);
}

static Plan *s_03_create_excludes_cdrom(Scene *scene, GError **error)
{
    scene_add_disk(scene, "sda", "raw");
    str_set(&scene_disk(scene, "sda")->device, "cdrom");
    scene_start(scene);
    scene->seen->state = DOMAIN_PAUSED;
    return scene_plan_create(scene, "s1", error);
}

static Plan *s_05_revert(Scene *scene, GError **error)
{
    creates(scene, "s1 s2");
    return scene_plan_revert(scene, "s1", error);
}

static Plan *s_05_revert_leaves_new_disk(Scene *scene, GError **error)
{
    creates(scene, "s1");
    scene_add_disk(scene, "vdb", "qcow2");
    creates(scene, "s2");
    return scene_plan_revert(scene, "s1", error);
}

static void s_06(Scene *scene)
{
    creates(scene, "s1 s2");
    scene_revert(scene, "s1");
    creates(scene, "s3");
}

static Plan *s_06_remove_hides(Scene *scene, GError **error)
{
    s_06(scene);
    return scene_plan_remove(scene, "s1", error);
}

static Plan *s_07_leaf_is_dropped(Scene *scene, GError **error)
{
    s_06(scene);
    scene_remove(scene, "s1");
    return accepted(scene, "s2", error);
}

static Plan *s_07_hidden_parent_is_merged(Scene *scene, GError **error)
{
    g_autoptr(Plan) plan = s_07_leaf_is_dropped(scene, error);

    scene_run(scene, plan);
    return next(scene, error);
}

static Plan *s_08_active_merge_off(Scene *scene, GError **error)
{
    creates(scene, "s1");
    return accepted(scene, "s1", error);
}

static Plan *s_08_active_merge_running(Scene *scene, GError **error)
{
    scene_start(scene);
    return s_08_active_merge_off(scene, error);
}

static Plan *s_09_inner_merge_off(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3");
    return accepted(scene, "s1", error);
}

static Plan *s_09_inner_merge_running(Scene *scene, GError **error)
{
    scene_start(scene);
    return s_09_inner_merge_off(scene, error);
}

static Plan *s_09_inner_merge_of_what_ran_before(Scene *scene, GError **error)
{
    scene_start(scene);
    creates(scene, "s1 s2 s3");
    scene_stop(scene);
    /* libvirt stated the chain in the persistent definition when the snapshot was taken (E-19). */
    for (unsigned i = 0; i < scene->seen->inactive->disks->len; i++) {
        DomainDisk *disk = scene->seen->inactive->disks->pdata[i];
        ChainLink *link = g_new0(ChainLink, 1);

        link->path = g_strdup(observation_file(scene->seen, disk->path)->backing);
        link->format = g_strdup("qcow2");
        disk->chain_stated = true;
        g_ptr_array_add(disk->chain, link);
    }
    return accepted(scene, "s1", error);
}

static Plan *s_14_two_disks_side_by_side(Scene *scene, GError **error)
{
    scene_add_disk(scene, "vdb", "raw");
    scene_start(scene);
    creates(scene, "s1 s2");
    return accepted(scene, "s1", error);
}

static Plan *s_19_merge_after_growing(Scene *scene, GError **error)
{
    creates(scene, "s1");
    scene_file(scene, scene_disk(scene, "vda")->path)->capacity = 2 * SCENE_GIB;
    return accepted(scene, "s1", error);
}

static Plan *e_01_second_disk_is_left(Scene *scene, GError **error)
{
    g_autoptr(Plan) plan = s_14_two_disks_side_by_side(scene, error);
    const char *lane = ((Step *)plan->steps->pdata[1])->lane;

    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (i == 0 || g_strcmp0(step->lane, lane) == 0)
            scene_run_step(scene, step);
    }
    return next(scene, error);
}

static Plan *e_05_own_job_is_adopted(Scene *scene, GError **error)
{
    scene_start(scene);
    creates(scene, "s1");
    scene_accept(scene, "s1");
    scene_job(scene, "vda", "active-commit", "/images/web01-vda.qcow2");
    return next(scene, error);
}

/* s1 with the branches s2 → s3 and, active, its own. */
static void side_branch(Scene *scene)
{
    creates(scene, "s1 s2 s3 s4");
    scene_revert(scene, "s1");
}

static Plan *e_07_off_chain_while_running(Scene *scene, GError **error)
{
    side_branch(scene);
    scene_start(scene);
    return accepted(scene, "s2", error);
}

/* Of five snapshots the second to the fourth go in one pass. */
static Plan *rule_06_a_run_off(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3 s4 s5");
    scene_accept(scene, "s3");
    scene_accept(scene, "s4");
    scene_accept(scene, "s2");
    return next(scene, error);
}

static Plan *rule_06_a_run_to_the_active_layer(Scene *scene, GError **error)
{
    scene_start(scene);
    creates(scene, "s1 s2 s3");
    scene_accept(scene, "s2");
    scene_accept(scene, "s3");
    return next(scene, error);
}

/* s2 is needed twice and stays, hidden: s1 goes alone, s3 with s4. */
static Plan *rule_06_a_side_branch_cuts_the_run(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3 s4 s5");
    scene_revert(scene, "s2");
    creates(scene, "s6");
    scene_start(scene);
    scene_accept(scene, "s3");
    scene_accept(scene, "s2");
    scene_accept(scene, "s4");
    return next(scene, error);
}

/* Nothing stands on it: nothing is copied. */
static Plan *rule_06_a_run_without_a_dependant(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3");
    scene_revert(scene, "s1");
    scene_accept(scene, "s2");
    scene_accept(scene, "s3");
    return next(scene, error);
}

/* The commit of three layers was done when the program died. */
static Plan *rule_06_a_run_was_done(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3 s4");
    scene_accept(scene, "s1");
    scene_accept(scene, "s2");
    scene_accept(scene, "s3");
    return cut(scene, next(scene, error), 5, error);
}

static Plan *e_09_after_commit_and_one_repoint(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3");
    scene_revert(scene, "s2");
    scene_accept(scene, "s1");
    return cut(scene, next(scene, error), 3, error);
}

static Plan *e_10_live_with_an_off_chain_dependant(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3");
    scene_revert(scene, "s2");
    scene_start(scene);
    return accepted(scene, "s1", error);
}

static Plan *e_11_create_was_switched(Scene *scene, GError **error)
{
    scene_start(scene);
    return cut(scene, scene_plan_create(scene, "s1", error), 2, error);
}

static Plan *e_11_create_was_not_switched(Scene *scene, GError **error)
{
    scene_start(scene);
    return cut(scene, scene_plan_create(scene, "s1", error), 1, error);
}

/* libvirt was killed in the snapshot: it names the old file whatever QEMU does; the locks tell. */
static Plan *killed_in_create(Scene *scene, bool switched, GError **error)
{
    Plan *plan;
    Plan *recovery;
    const Step *overlay;

    scene_start(scene);
    plan = scene_plan_create(scene, "s1", error);
    overlay = plan->steps->pdata[0];
    scene_run_step(scene, overlay);
    scene_file(scene, step_get(overlay, "path"))->written = true;
    scene_file(scene, step_get(overlay, "backing"))->written = !switched;
    observation_trust_locks(scene->seen, scene->catalog, plan);
    recovery = plan_recover(scene->catalog, scene->seen, plan, error);
    plan_free(plan);
    g_hash_table_remove_all(scene->seen->lost); /* as when the VM was off */
    return recovery;
}

static Plan *e_11_libvirt_killed_after_the_switch(Scene *scene, GError **error)
{
    return killed_in_create(scene, true, error);
}

static Plan *e_11_libvirt_killed_before_the_switch(Scene *scene, GError **error)
{
    return killed_in_create(scene, false, error);
}

static Plan *e_12_revert_before_commit(Scene *scene, GError **error)
{
    creates(scene, "s1 s2");
    return cut(scene, scene_plan_revert(scene, "s1", error), 1, error);
}

static Plan *e_12_revert_after_commit(Scene *scene, GError **error)
{
    creates(scene, "s1 s2");
    return cut(scene, scene_plan_revert(scene, "s1", error), 2, error);
}

/* s1 and s2, both with UEFI variables and vTPM state. */
static void keeps_both(Scene *scene, bool automatic)
{
    creates(scene, "s1 s2");
    scene_give_state(scene, automatic);
    scene_keep(scene, "s1");
    scene_keep(scene, "s2");
}

static Plan *s_27_revert_with_variables_and_vtpm(Scene *scene, GError **error)
{
    keeps_both(scene, false);
    return scene_plan_revert(scene, "s1", error);
}

static Plan *s_27_revert_where_no_definition_says_where(Scene *scene, GError **error)
{
    keeps_both(scene, true);
    return scene_plan_revert(scene, "s2", error);
}

static Plan *s_28_merge_drops_the_sidecar(Scene *scene, GError **error)
{
    keeps_both(scene, false);
    return accepted(scene, "s1", error);
}

static Plan *rule_09_cut_after_the_exchange(Scene *scene, GError **error)
{
    keeps_both(scene, false);
    return cut(scene, scene_plan_revert(scene, "s1", error), 4, error);
}

static Plan *rule_09_cut_after_the_redefinition(Scene *scene, GError **error)
{
    keeps_both(scene, false);
    return cut(scene, scene_plan_revert(scene, "s1", error), 5, error);
}

/* The VM was started on its old files in the moment before the redefinition (rule 8). */
static Plan *e_12_revert_overtaken_by_a_start(Scene *scene, GError **error)
{
    Plan *plan;
    Plan *recovery;

    creates(scene, "s1 s2");
    plan = scene_plan_revert(scene, "s1", error);
    scene_run_step(scene, plan->steps->pdata[0]);
    scene_start(scene);
    str_set(&scene_disk(scene, "vda")->path, step_get(plan->steps->pdata[0], "path"));
    recovery = plan_recover(scene->catalog, scene->seen, plan, error);
    plan_free(plan);
    return recovery;
}

static Plan *e_29_revert_to_current(Scene *scene, GError **error)
{
    creates(scene, "s1");
    return scene_plan_revert(scene, "s1", error);
}

static void e_39(Scene *scene)
{
    creates(scene, "s1 s2");
    scene_revert(scene, "s1");
    creates(scene, "s3");
    scene_revert(scene, "s1");
    scene_remove(scene, "s1");
    scene_remove(scene, "s3");
}

static Plan *e_40_only_the_active_layer_is_left(Scene *scene, GError **error)
{
    g_autoptr(Plan) plan = NULL;

    e_39(scene);
    plan = accepted(scene, "s2", error);
    scene_run(scene, plan);
    return next(scene, error);
}

static Plan *e_41_revert_to_the_sibling(Scene *scene, GError **error)
{
    g_autoptr(Plan) plan = NULL;

    e_39(scene);
    plan = scene_plan_revert(scene, "s2", error);
    scene_run(scene, plan);
    return next(scene, error);
}

static Plan *detached_disk_is_merged_too(Scene *scene, GError **error)
{
    g_autoptr(Plan) attach = NULL;

    scene_add_disk(scene, "vdb", "qcow2");
    creates(scene, "s1");
    g_ptr_array_remove_index(scene->seen->inactive->disks, 1);
    attach = plan_attach(scene->catalog, scene->seen);
    scene_run(scene, attach);
    return accepted(scene, "s1", error);
}

static Plan *create_after_a_disk_was_exchanged(Scene *scene, GError **error)
{
    scene_add_disk(scene, "vdb", "qcow2");
    creates(scene, "s1");
    g_ptr_array_remove_index(scene->seen->inactive->disks, 1);
    str_set(&scene_disk(scene, "vda")->target, "vdc");
    scene_add_disk(scene, "vda", "raw");
    return scene_plan_create(scene, "s2", error);
}

static const char *layer_path(Scene *scene, const char *name)
{
    const SnapshotDisk *entry = scene_snapshot(scene, name)->disks->pdata[0];
    const Disk *disk = scene->catalog->disks->pdata[0];

    return disk_layer(disk, entry->layer)->path;
}

static Plan *adopt_a_foreign_snapshot_of_two_disks(Scene *scene, GError **error)
{
    scene_add_disk(scene, "vdb", "raw");
    creates(scene, "s1");
    scene_start(scene);
    scene_foreign_overlay(scene, "vda", "x");
    scene_foreign_overlay(scene, "vdb", "x");
    return scene_plan_adopt(scene, error);
}

static Plan *adopt_foreign_snapshots_of_one_disk_more(Scene *scene, GError **error)
{
    scene_add_disk(scene, "vdb", "qcow2");
    creates(scene, "s1");
    scene_foreign_overlay(scene, "vda", "x");
    scene_foreign_overlay(scene, "vda", "y");
    scene_foreign_overlay(scene, "vdb", "x");
    return scene_plan_adopt(scene, error);
}

/* virsh blockcommit --active --pivot --delete */
static Plan *adopt_an_active_commit(Scene *scene, GError **error)
{
    g_autofree char *top = NULL;

    creates(scene, "s1 s2");
    top = g_strdup(scene_disk(scene, "vda")->path);
    str_set(&scene_disk(scene, "vda")->path, layer_path(scene, "s2"));
    g_hash_table_remove(scene->seen->files, top);
    return scene_plan_adopt(scene, error);
}

/* virsh blockcommit --top s3 --base s2, or a pull: s3's own file stays whole, s2's is doubtful. */
static Plan *adopt_an_inner_commit(Scene *scene, GError **error)
{
    creates(scene, "s1 s2 s3 s4");
    str_set(&scene_file(scene, layer_path(scene, "s4"))->backing, layer_path(scene, "s2"));
    return scene_plan_adopt(scene, error);
}

static Plan *adopt_an_edit_to_an_older_layer(Scene *scene, GError **error)
{
    creates(scene, "s1 s2");
    scene_revert(scene, "s1");
    creates(scene, "s3");
    str_set(&scene_disk(scene, "vda")->path, layer_path(scene, "s2"));
    return scene_plan_adopt(scene, error);
}

/* clang-format off */
#define SITUATION(name) {#name, name}
/* clang-format on */

static const struct {
    const char *name;
    Situation plan;
} situations[] = {
    SITUATION(s_01_create_running),
    SITUATION(s_02_create_tries_to_freeze),
    SITUATION(s_02_create_has_to_freeze),
    SITUATION(s_02_create_without_a_freeze),
    SITUATION(s_03_create_off_raw_and_qcow2),
    SITUATION(s_03_create_excludes_cdrom),
    SITUATION(s_05_revert),
    SITUATION(s_05_revert_leaves_new_disk),
    SITUATION(s_06_remove_hides),
    SITUATION(s_07_leaf_is_dropped),
    SITUATION(s_07_hidden_parent_is_merged),
    SITUATION(s_08_active_merge_off),
    SITUATION(s_08_active_merge_running),
    SITUATION(s_09_inner_merge_off),
    SITUATION(s_09_inner_merge_running),
    SITUATION(s_09_inner_merge_of_what_ran_before),
    SITUATION(s_14_two_disks_side_by_side),
    SITUATION(s_19_merge_after_growing),
    SITUATION(e_01_second_disk_is_left),
    SITUATION(e_05_own_job_is_adopted),
    SITUATION(e_07_off_chain_while_running),
    SITUATION(rule_06_a_run_off),
    SITUATION(rule_06_a_run_to_the_active_layer),
    SITUATION(rule_06_a_run_was_done),
    SITUATION(rule_06_a_run_without_a_dependant),
    SITUATION(rule_06_a_side_branch_cuts_the_run),
    SITUATION(e_09_after_commit_and_one_repoint),
    SITUATION(e_10_live_with_an_off_chain_dependant),
    SITUATION(e_11_create_was_switched),
    SITUATION(e_11_create_was_not_switched),
    SITUATION(s_26_create_with_firmware_state_off),
    SITUATION(s_26_create_with_firmware_state_running),
    SITUATION(u_12_create_with_firmware_state_paused),
    SITUATION(e_11_create_with_firmware_state_was_switched),
    SITUATION(e_11_create_with_firmware_state_was_not_switched),
    SITUATION(e_11_libvirt_killed_after_the_switch),
    SITUATION(e_11_libvirt_killed_before_the_switch),
    SITUATION(e_12_revert_before_commit),
    SITUATION(e_12_revert_after_commit),
    SITUATION(e_12_revert_overtaken_by_a_start),
    SITUATION(s_27_revert_with_variables_and_vtpm),
    SITUATION(s_27_revert_where_no_definition_says_where),
    SITUATION(s_28_merge_drops_the_sidecar),
    SITUATION(rule_09_cut_after_the_exchange),
    SITUATION(rule_09_cut_after_the_redefinition),
    SITUATION(e_25_paused_is_not_frozen),
    SITUATION(e_35_cut_while_frozen),
    SITUATION(e_35_cut_before_the_thaw),
    SITUATION(e_29_revert_to_current),
    SITUATION(e_40_only_the_active_layer_is_left),
    SITUATION(e_41_revert_to_the_sibling),
    SITUATION(detached_disk_is_merged_too),
    SITUATION(create_after_a_disk_was_exchanged),
    SITUATION(adopt_a_foreign_snapshot_of_two_disks),
    SITUATION(adopt_foreign_snapshots_of_one_disk_more),
    SITUATION(adopt_an_active_commit),
    SITUATION(adopt_an_inner_commit),
    SITUATION(adopt_an_edit_to_an_older_layer),
};

static char *golden_path(const char *name)
{
    g_autofree char *file = g_strdelimit(g_strconcat(name, ".plan", NULL), "_", '-');

    return g_build_filename(GOLDEN, file, NULL);
}

static void compare(const char *name, const char *text)
{
    g_autofree char *path = golden_path(name);
    g_autofree char *wanted = NULL;

    if (getenv("PLAN_REGENERATE")) {
        assert_true(g_file_set_contents(path, text, -1, NULL));
        return;
    }
    if (!g_file_get_contents(path, &wanted, NULL, NULL))
        fail_msg("%s is missing; PLAN_REGENERATE=1 writes it", path);
    assert_string_equal(text, wanted);
}

static void every_situation_has_the_plan_of_its_golden_file(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(situations); i++) {
        g_autoptr(Scene) scene = one_disk();
        g_autoptr(GError) error = NULL;
        g_autoptr(Plan) plan = situations[i].plan(scene, &error);
        g_autofree char *text = NULL;

        if (!plan)
            fail_msg("%s: %s", situations[i].name, error ? error->message : "no plan");
        text = plan_print(plan);
        compare(situations[i].name, text);
        scene_run(scene, plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_situation_has_the_plan_of_its_golden_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
