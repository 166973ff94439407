/* UEFI variables and vTPM state in plans of reverts, removals, adoptions and recoveries. */
#include "testing.h"

#include "base/error.h"
#include "base/str.h"
#include "plan/firmware.h"
#include "scene.h"

static Scene *two_snapshots(bool automatic)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_give_state(scene, automatic);
    scene_keep(scene, "s1");
    scene_keep(scene, "s2");
    return scene;
}

static const Step *find(const Plan *plan, StepKind kind, unsigned *out_index)
{
    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (step->kind != kind)
            continue;
        if (out_index)
            *out_index = i;
        return step;
    }
    return NULL;
}

static const Step *unlink_of(const Plan *plan, const char *path)
{
    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (step->kind == STEP_UNLINK && g_str_equal(step_get(step, "path"), path))
            return step;
    }
    return NULL;
}

static Plan *planned(Plan *plan, GError **error)
{
    if (!plan)
        fail_msg("%s", (*error)->message);
    return plan;
}

static void assert_refused(Plan *plan, const GError *error, const char *words)
{
    assert_null(plan);
    assert_true(error_is(error, ERR_UNSUPPORTED));
    if (!strstr(error->message, words))
        fail_msg("\"%s\" does not say \"%s\"", error->message, words);
}

/* --- reverts --- */

/* S-27, S-29, rule 9: everything of the new side before the one redefinition, everything of the old
 * side goes after the record. */
static void s_27_one_redefine_has_disks_and_variables(void **state)
{
    static const StepKind wanted[] = {STEP_OVERLAY,      STEP_PLACE_VARS, STEP_STAGE_TPM,
                                      STEP_EXCHANGE_TPM, STEP_REDEFINE,   STEP_RECORD_REVERT,
                                      STEP_UNLINK,       STEP_UNLINK,     STEP_DROP_STATE};
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = planned(scene_plan_revert(scene, "s1", &error), &error);
    unsigned at = 0;
    const Step *redefine = find(plan, STEP_REDEFINE, &at);
    g_autofree char *store = g_strdup(step_get(redefine, "nvram"));

    assert_int_equal(plan->steps->len, G_N_ELEMENTS(wanted));
    for (unsigned i = 0; i < plan->steps->len; i++)
        assert_int_equal(((Step *)plan->steps->pdata[i])->kind, wanted[i]);
    assert_int_equal(plan->commit, at + 1);
    assert_true(g_str_has_prefix(store, "/nvram/web01_VARS.") && g_str_has_suffix(store, ".fd"));
    assert_string_equal(step_get(find(plan, STEP_PLACE_VARS, NULL), "path"), store);
    assert_string_equal(step_get(find(plan, STEP_PLACE_VARS, NULL), "like"), SCENE_VARS);
    assert_string_equal(step_get(find(plan, STEP_EXCHANGE_TPM, NULL), "path"),
                        "/swtpm/11111111-2222-4333-8444-555555555555/tpm2");
    assert_non_null(unlink_of(plan, SCENE_VARS));
    scene_run(scene, plan);
    assert_string_equal(scene->catalog->vars, store);
    assert_null(observation_file(scene->seen, SCENE_VARS));
}

/* The next one is named for the VM's store, not for the one before. */
static void a_second_revert_moves_the_store_once_more(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autofree char *first = NULL;

    scene_revert(scene, "s1");
    first = g_strdup(scene->seen->inactive->firmware->path);
    scene_revert(scene, "s2");
    assert_string_not_equal(scene->seen->inactive->firmware->path, first);
    assert_int_equal(strlen(scene->seen->inactive->firmware->path), strlen(first));
    assert_null(observation_file(scene->seen, first));
}

/* firmware='efi': the definition gets a path that it did not have. */
static void s_27_automatic_firmware_gets_an_explicit_store(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(true);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = planned(scene_plan_revert(scene, "s2", &error), &error);

    assert_non_null(unlink_of(plan, SCENE_VARS));
    scene_run(scene, plan);
    assert_string_equal(scene->seen->inactive->firmware->path, scene->catalog->vars);
}

/* U-5, U-7: what is not there cannot be unlinked, and gets the looks of a disk. */
static void u_05_missing_variables_come_back(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL;

    g_hash_table_remove(scene->seen->files, SCENE_VARS);
    g_autoptr(Plan) plan = planned(scene_plan_revert(scene, "s2", &error), &error);
    assert_null(unlink_of(plan, SCENE_VARS));
    assert_true(g_str_has_prefix(step_get(find(plan, STEP_PLACE_VARS, NULL), "like"), "/images/"));
}

/* Rule 11. */
static void rule_11_a_store_with_another_user_stays(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    const ImageFacts *facts = scene_file(scene, SCENE_VARS);
    g_autoptr(GError) error = NULL;

    g_hash_table_insert(scene->seen->users, file_key(facts->device, facts->inode),
                        g_strdup("the UEFI variables of VM db (off)"));
    g_autoptr(Plan) plan = planned(scene_plan_revert(scene, "s2", &error), &error);
    assert_null(unlink_of(plan, SCENE_VARS));
    assert_non_null(strstr(step_get(find(plan, STEP_RECORD_WARNING, NULL), "text"), "VM db"));
}

/* --- refusals --- */

static void lose_vars(Scene *scene)
{
    g_clear_pointer(&scene_snapshot(scene, "s1")->vars, sidecar_free);
}

static void lose_tpm(Scene *scene)
{
    g_clear_pointer(&scene_snapshot(scene, "s1")->tpm, sidecar_free);
}

static void become_bios(Scene *scene)
{
    g_autoptr(Domain) plain = domain_parse("<domain><name>web01</name><uuid>11111111-2222-4333-"
                                           "8444-555555555555</uuid></domain>",
                                           NULL);
    Domain *domain = scene->seen->inactive;
    g_autoptr(Domain) rest = domain_new();

    rest->firmware = g_steal_pointer(&domain->firmware);
    g_clear_pointer(&scene_snapshot(scene, "s1")->tpm, sidecar_free);
    rest->tpm = g_steal_pointer(&domain->tpm);
}

static void lose_the_tpm(Scene *scene)
{
    g_autoptr(Domain) rest = domain_new();

    rest->tpm = g_steal_pointer(&scene->seen->inactive->tpm);
}

static void pass_through(Scene *scene)
{
    str_set(&scene->seen->inactive->tpm->backend, "passthrough");
}

static void age_the_tpm(Scene *scene)
{
    str_set(&scene->seen->inactive->tpm->version, "1.2");
}

static void encrypt_the_tpm(Scene *scene)
{
    str_set(&scene->seen->inactive->tpm->secret, "11111111-2222-4333-8444-666666666666");
}

static void name_the_template(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->path, "/firmware/VARS.fd");
}

static void name_the_loader(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->path, "/firmware/CODE.fd");
}

static void use_a_network_store(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->storage, "network");
}

static void use_qcow2(Scene *scene)
{
    str_set(&scene->seen->inactive->firmware->format, "qcow2");
}

static void change_the_firmware(Scene *scene)
{
    scene->seen->vars = g_new0(VarsFacts, 1);
    scene->seen->vars->template_size = 131072;
}

static Capabilities *other_host(Scene *scene)
{
    Capabilities *host = capabilities_new();

    host->nvram_directory = g_strdup("/nvram");
    host->tpm_directory = g_strdup("/swtpm");
    capabilities_unref(scene->seen->capabilities);
    scene->seen->capabilities = host;
    return host;
}

static void lose_ovmf(Scene *scene)
{
    other_host(scene)->tpm = true;
}

static void lose_swtpm(Scene *scene)
{
    other_host(scene)->uefi = true;
}

static const struct {
    const char *id;
    void (*spoil)(Scene *scene);
    const char *words;
} refusals[] = {
    {"S-30, U-3, U-4", lose_vars, "no copy of its UEFI variables"},
    {"the same of a vTPM", lose_tpm, "no copy of its TPM's state"},
    {"BIOS now", become_bios, "had UEFI variables then"},
    {"no TPM now", lose_the_tpm, "had an emulated TPM then"},
    {"passed through now", pass_through, "had an emulated TPM then"},
    {"TPM 1.2 now", age_the_tpm, "another version"},
    {"another secret", encrypt_the_tpm, "another secret"},
    {"the template is nobody's own", name_the_template, "/firmware/VARS.fd, which belongs"},
    {"nor is the firmware", name_the_loader, "/firmware/CODE.fd, which belongs"},
    {"network store", use_a_network_store, "not in a raw file"},
    {"qcow2 store", use_qcow2, "not in a raw file"},
    {"firmware of another size", change_the_firmware, "of another size"},
    {"U-37, S-31", lose_ovmf, "cannot do UEFI firmware"},
    {"U-37, S-31 of a vTPM", lose_swtpm, "cannot do emulated TPMs"},
};

static void s_30_u_37_a_revert_that_might_not_boot_is_refused(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(Scene) scene = two_snapshots(false);
        g_autoptr(GError) error = NULL;

        refusals[i].spoil(scene);
        g_autoptr(Plan) plan = scene_plan_revert(scene, "s1", &error);
        assert_refused(plan, error, refusals[i].words);
    }
}

/* U-31, U-36, S-31: while it is listed; afterwards it waits hidden. */
static void u_36_a_removal_is_refused_where_the_host_lacks_it(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL, other = NULL;

    lose_ovmf(scene);
    g_autoptr(Plan) plan = scene_plan_remove(scene, "s1", &error);
    assert_refused(plan, error, "s1 of VM web01 cannot be removed now");
    lose_swtpm(scene);
    g_autoptr(Plan) again = scene_plan_remove(scene, "s2", &other);
    assert_refused(again, other, "emulated TPMs");
    scene_snapshot(scene, "s1")->hidden = true;
    assert_null(plan_next(scene->catalog, scene->seen, &error));
}

/* --- removals --- */

/* S-28, U-30: right after the record, the removed one's only. */
static void s_28_a_merge_drops_the_sidecar_of_what_was_removed(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autofree char *id = g_strdup(scene_snapshot(scene, "s1")->id);
    g_autoptr(GError) error = NULL;
    unsigned removed = 0, dropped = 0;

    scene_accept(scene, "s1");
    g_autoptr(Plan) plan = planned(plan_next(scene->catalog, scene->seen, &error), &error);
    assert_non_null(find(plan, STEP_RECORD_REMOVED, &removed));
    assert_string_equal(step_get(find(plan, STEP_DROP_SIDECAR, &dropped), "snapshot"), id);
    assert_int_equal(dropped, removed + 1);
    scene_run(scene, plan);
    assert_non_null(scene_snapshot(scene, "s2")->vars);
}

/* Its sidecar is needed when it comes back to nothing but its name. */
static void s_28_a_hidden_snapshot_keeps_its_sidecar_until_it_goes(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL;

    scene_revert(scene, "s1");
    g_autoptr(Plan) plan = planned(scene_plan_remove(scene, "s1", &error), &error);
    assert_non_null(find(plan, STEP_RECORD_HIDDEN, NULL));
    assert_null(find(plan, STEP_DROP_SIDECAR, NULL));
    scene_run(scene, plan);
    assert_non_null(scene_snapshot(scene, "s1")->vars);
    scene_accept(scene, "s2");
    for (unsigned gone = 0; gone < 2; gone++) {
        g_autoptr(Plan) next = planned(plan_next(scene->catalog, scene->seen, &error), &error);

        assert_non_null(find(next, STEP_DROP_SIDECAR, NULL));
        scene_run(scene, next);
    }
}

static void a_snapshot_without_sidecars_drops_none(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL;

    lose_vars(scene);
    lose_tpm(scene);
    scene_accept(scene, "s1");
    g_autoptr(Plan) plan = planned(plan_next(scene->catalog, scene->seen, &error), &error);
    assert_null(find(plan, STEP_DROP_SIDECAR, NULL));
}

/* --- recoveries --- */

static Plan *cut_revert(Scene *scene, unsigned count, char **out_store)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = planned(scene_plan_revert(scene, "s1", &error), &error);

    *out_store = g_strdup(step_get(find(plan, STEP_PLACE_VARS, NULL), "path"));
    for (unsigned i = 0; i < count; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    return planned(plan_recover(scene->catalog, scene->seen, plan, &error), &error);
}

/* Disks and variables are of one side after every cut; the vTPM's is returned before the commit
 * point, whatever was reached. */
static void a_revert_cut_anywhere_ends_on_one_side(void **state)
{
    for (unsigned count = 0; count <= 9; count++) {
        g_autoptr(Scene) scene = two_snapshots(count % 2);
        g_autofree char *store = NULL;
        g_autoptr(Plan) recovery = cut_revert(scene, count, &store);
        bool after = count >= 5;

        assert_int_equal(find(recovery, STEP_RETURN_TPM, NULL) != NULL, !after);
        assert_true(find(recovery, STEP_DROP_STATE, NULL) != NULL);
        scene_run(scene, recovery);
        assert_int_equal(observation_file(scene->seen, store) != NULL, after);
        assert_int_equal(observation_file(scene->seen, SCENE_VARS) != NULL, !after);
        assert_int_equal(g_strcmp0(scene->catalog->vars, store) == 0, after);
        assert_string_equal(scene->catalog->current,
                            scene_snapshot(scene, after ? "s1" : "s2")->id);
    }
}

/* Rule 8: the definition gets back the variables that the VM runs on. */
static void a_revert_overtaken_by_a_start_gives_the_store_back(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = planned(scene_plan_revert(scene, "s1", &error), &error);
    g_autoptr(Domain) old = domain_copy(scene->seen->inactive);

    for (unsigned i = 0; i < plan->commit; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    scene->seen->live = g_steal_pointer(&old);
    scene->seen->state = DOMAIN_RUNNING;
    g_autoptr(Plan) recovery =
        planned(plan_recover(scene->catalog, scene->seen, plan, &error), &error);
    assert_string_equal(step_get(find(recovery, STEP_SETTLE, NULL), "nvram"), SCENE_VARS);
    scene_run(scene, recovery);
    assert_string_equal(scene->seen->inactive->firmware->path, SCENE_VARS);
}

/* A removal that was cut after its record still has the sidecar to drop. */
static void s_28_a_removal_cut_after_its_record_drops_the_sidecar(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    g_autoptr(GError) error = NULL;

    scene_accept(scene, "s1");
    g_autoptr(Plan) plan = planned(plan_next(scene->catalog, scene->seen, &error), &error);
    for (unsigned i = 0; i + 1 < plan->steps->len; i++) {
        g_autoptr(Plan) early =
            planned(plan_recover(scene->catalog, scene->seen, plan, &error), &error);

        assert_null(find(early, STEP_DROP_SIDECAR, NULL));
        scene_run_step(scene, plan->steps->pdata[i]);
    }
    g_autoptr(Plan) recovery =
        planned(plan_recover(scene->catalog, scene->seen, plan, &error), &error);
    assert_non_null(find(recovery, STEP_DROP_SIDECAR, NULL));
}

/* --- adoption --- */

/* Somebody committed a snapshot away: its sidecar goes with it, the others' stay. */
static void an_adopted_chain_drops_the_sidecars_of_what_is_gone(void **state)
{
    g_autoptr(Scene) scene = two_snapshots(false);
    Snapshot *s2 = scene_snapshot(scene, "s2");
    const SnapshotDisk *entry = s2->disks->pdata[0];
    Disk *disk = catalog_disk(scene->catalog, entry->disk);
    const char *path = disk_layer(disk, entry->layer)->path;
    g_autofree char *id = g_strdup(s2->id), *left = g_strdup(disk_active(disk)->path);
    g_autoptr(GError) error = NULL;
    unsigned dropped = 0;

    str_set(&scene_disk(scene, "vda")->path, path);
    g_hash_table_remove(scene->seen->files, left);
    g_autoptr(Plan) plan = planned(scene_plan_adopt(scene, &error), &error);
    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (step->kind == STEP_DROP_SIDECAR) {
            assert_string_equal(step_get(step, "snapshot"), id);
            dropped++;
        }
    }
    assert_int_equal(dropped, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s_27_one_redefine_has_disks_and_variables),
        cmocka_unit_test(a_second_revert_moves_the_store_once_more),
        cmocka_unit_test(s_27_automatic_firmware_gets_an_explicit_store),
        cmocka_unit_test(u_05_missing_variables_come_back),
        cmocka_unit_test(rule_11_a_store_with_another_user_stays),
        cmocka_unit_test(s_30_u_37_a_revert_that_might_not_boot_is_refused),
        cmocka_unit_test(u_36_a_removal_is_refused_where_the_host_lacks_it),
        cmocka_unit_test(s_28_a_merge_drops_the_sidecar_of_what_was_removed),
        cmocka_unit_test(s_28_a_hidden_snapshot_keeps_its_sidecar_until_it_goes),
        cmocka_unit_test(a_snapshot_without_sidecars_drops_none),
        cmocka_unit_test(a_revert_cut_anywhere_ends_on_one_side),
        cmocka_unit_test(a_revert_overtaken_by_a_start_gives_the_store_back),
        cmocka_unit_test(s_28_a_removal_cut_after_its_record_drops_the_sidecar),
        cmocka_unit_test(an_adopted_chain_drops_the_sidecars_of_what_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
