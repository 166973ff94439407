/* Record steps: what they change, and that what does not fit changes nothing. */
#include "testing.h"

#include "base/error.h"
#include "scene.h"

static Scene *two_snapshots(void)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    return scene;
}

static Disk *first_disk(Scene *scene)
{
    return scene->catalog->disks->pdata[0];
}

/* The step of a kind with key, value … NULL. */
static Step *make(StepKind kind, ...) G_GNUC_NULL_TERMINATED;
static Step *make(StepKind kind, ...)
{
    Step *step = step_new(kind);
    const char *key;
    va_list args;

    va_start(args, kind);
    while ((key = va_arg(args, const char *)))
        step_set(step, key, va_arg(args, const char *));
    va_end(args);
    return step;
}

static void apply_taken(Scene *scene, Step *step)
{
    scene_run_step(scene, step);
    step_free(step);
}

static void refuse_taken(Scene *scene, Step *step)
{
    g_autoptr(Catalog) before = catalog_copy(scene->catalog);
    g_autoptr(GError) error = NULL;
    g_autofree char *line = step_print(step);

    if (step_apply(step, scene->catalog, &error))
        fail_msg("accepted: %s", line);
    assert_true(error_is(error, ERR_INVALID));
    assert_true(catalog_equal(before, scene->catalog));
    step_free(step);
}

static void creating_freezes_the_active_layer(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    const Snapshot *s1 = scene_snapshot(scene, "s1");
    const Snapshot *s2 = scene_snapshot(scene, "s2");
    const Disk *disk = first_disk(scene);

    assert_string_equal(scene->catalog->current, s2->id);
    assert_string_equal(s2->parent, s1->id);
    assert_true(s2->created > s1->created);
    assert_int_equal(disk->layers->len, 3);
    assert_string_equal(disk_active(disk)->parent, snapshot_disk(s2, disk->id)->layer);
}

static void steps_that_are_no_records_change_nothing(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    g_autoptr(Catalog) before = catalog_copy(scene->catalog);
    Step *step = make(STEP_UNLINK, "path", "/images/web01-vda.qcow2", NULL);

    assert_true(step_apply(step, scene->catalog, NULL));
    assert_true(catalog_equal(before, scene->catalog));
    step_free(step);
}

static void labels_change_only_themselves(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    const char *id = scene_snapshot(scene, "s1")->id;

    apply_taken(scene, make(STEP_RECORD_RENAME, "snapshot", id, "name", "new name", NULL));
    id = scene_snapshot(scene, "new name")->id;
    apply_taken(scene, make(STEP_RECORD_DESCRIBE, "snapshot", id, "description", "a\nb", NULL));
    apply_taken(scene, make(STEP_RECORD_MODE, "snapshot", scene_snapshot(scene, "new name")->id,
                            "mode", "0550", NULL));
    apply_taken(scene, make(STEP_RECORD_POLICY, "key", "max_depth", "value", "7", NULL));
    assert_string_equal(scene_snapshot(scene, "new name")->description, "a\nb");
    assert_true(snapshot_is_held(scene_snapshot(scene, "new name")));
    assert_string_equal(catalog_policy(scene->catalog, "max_depth"), "7");
    apply_taken(scene, make(STEP_RECORD_POLICY, "key", "max_depth", "value", "default", NULL));
    assert_string_equal(catalog_policy(scene->catalog, "max_depth"), "100");
    assert_int_equal(g_hash_table_size(scene->catalog->policy), 0);
}

static void the_store_that_was_seen_is_known_until_it_is_reset(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();

    apply_taken(scene, make(STEP_RECORD_NVRAM, "path", "/i/web_VARS.fd", NULL));
    assert_string_equal(scene->catalog->vars, "/i/web_VARS.fd");
    apply_taken(scene, make(STEP_RECORD_NVRAM, NULL));
    assert_null(scene->catalog->vars);
}

/* They are about the layer that the VM writes now, and about one that is still there. */
static void a_pivot_and_a_commit_count_until_they_are_taken_back_or_recorded(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    const Disk *disk = scene->catalog->disks->pdata[0];
    g_autofree char *id = g_strdup(disk->id);
    g_autofree char *below = g_strdup(disk_active(disk)->parent);

    apply_taken(scene, make(STEP_RECORD_PIVOT, "disk", id, "into", below, NULL));
    apply_taken(scene, make(STEP_RECORD_COMMITTED, "disk", id, "into", below, NULL));
    disk = catalog_disk(scene->catalog, id);
    assert_string_equal(disk->pivot, below);
    assert_string_equal(disk->committed, below);
    apply_taken(scene, make(STEP_RECORD_PIVOT, "disk", id, NULL));
    assert_null(((Disk *)catalog_disk(scene->catalog, id))->pivot);
    apply_taken(scene, make(STEP_RECORD_COMMITTED, "disk", id, NULL));
    assert_null(((Disk *)catalog_disk(scene->catalog, id))->committed);
    apply_taken(scene, make(STEP_RECORD_COMMITTED, "disk", id, "into", below, NULL));
    scene_create(scene, "s3");
    assert_null(((Disk *)catalog_disk(scene->catalog, id))->committed);
}

static void a_warning_stands_once(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    const char *const texts[] = {"one", "two", "one"};

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        apply_taken(scene, make(STEP_RECORD_WARNING, "snapshot", scene_snapshot(scene, "s1")->id,
                                "text", texts[i], NULL));
    assert_string_equal(scene_snapshot(scene, "s1")->warnings, "one\ntwo");
}

static void a_failed_removal_gives_way_to_a_name_taken_meanwhile(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();

    scene_accept(scene, "s1");
    apply_taken(scene, make(STEP_RECORD_RENAME, "snapshot", scene_snapshot(scene, "s2")->id, "name",
                            "s1", NULL));
    apply_taken(scene, make(STEP_RECORD_FAILED, "snapshot",
                            ((Snapshot *)scene->catalog->snapshots->pdata[0])->id, "error",
                            "no space", NULL));
    assert_int_equal(scene_snapshot(scene, "s1~2")->state, SNAPSHOT_FAILED);
    assert_string_equal(scene_snapshot(scene, "s1~2")->error, "no space");
    assert_false(scene_snapshot(scene, "s1~2")->hidden);
}

static void merging_gives_the_dependant_the_file_below(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    const Disk *disk = first_disk(scene);
    g_autofree char *base = g_strdup(((Layer *)disk->layers->pdata[0])->id);
    g_autofree char *top = g_strdup(((Layer *)disk->layers->pdata[1])->id);
    g_autofree char *s1 = g_strdup(scene_snapshot(scene, "s1")->id);

    scene_accept(scene, "s1");
    apply_taken(scene,
                make(STEP_RECORD_MERGED, "snapshot", s1, "disk", first_disk(scene)->id, "layer",
                     top, "into", base, "format", "qcow2", "capacity", "2048", NULL));
    disk = first_disk(scene);
    assert_null(disk_layer(disk, base));
    assert_string_equal(disk_layer(disk, top)->path, "/images/web01-vda.qcow2");
    assert_int_equal(disk_layer(disk, top)->capacity, 2048);
    assert_null(disk_layer(disk, top)->parent);
    assert_int_equal(scene_snapshot(scene, "s1")->disks->len, 0);
    apply_taken(scene, make(STEP_RECORD_REMOVED, "snapshot", s1, NULL));
    assert_null(scene_snapshot(scene, "s2")->parent);
}

static void disks_that_no_snapshot_needs_are_forgotten(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();

    scene_remove(scene, "s1");
    assert_int_equal(scene->catalog->disks->len, 1);
    scene_remove(scene, "s2");
    assert_int_equal(scene->catalog->disks->len, 0);
    assert_null(scene->catalog->current);
}

static void what_does_not_fit_changes_nothing(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    const char *s1 = scene_snapshot(scene, "s1")->id;
    const char *s2 = scene_snapshot(scene, "s2")->id;
    const Disk *disk = first_disk(scene);
    const char *base = ((Layer *)disk->layers->pdata[0])->id;
    const char *top = ((Layer *)disk->layers->pdata[1])->id;
    Step *steps[] = {
        make(STEP_RECORD_RENAME, "snapshot", "nosuchone0", "name", "x", NULL),
        make(STEP_RECORD_RENAME, "snapshot", s1, "name", "s2", NULL),
        make(STEP_RECORD_RENAME, "snapshot", s1, NULL),
        make(STEP_RECORD_RENAME, "snapshot", s1, "name", "../x", NULL),
        make(STEP_RECORD_MODE, "snapshot", s1, "mode", "9", NULL),
        make(STEP_RECORD_REMOVED, "snapshot", s1, NULL),
        make(STEP_RECORD_DROPPED, "snapshot", s1, "disk", disk->id, "layer", base, NULL),
        make(STEP_RECORD_DROPPED, "snapshot", s1, "disk", "nosuchone0", "layer", base, NULL),
        make(STEP_RECORD_MERGED, "snapshot", s1, "disk", disk->id, "layer", top, "into", base,
             "format", "qcow2", "capacity", "1", NULL), /* not being removed */
        make(STEP_RECORD_MERGED, "snapshot", s2, "disk", disk->id, "layer", top, "into", base,
             "format", "qcow2", "capacity", "1", NULL),
        make(STEP_RECORD_REVERT, "snapshot", s1, NULL),
        make(STEP_RECORD_REVERT, "snapshot", "nosuchone0", NULL),
        make(STEP_RECORD_ATTACHED, "disk", "nosuchone0", "target", "vda", "attached", "no", NULL),
        make(STEP_RECORD_HIDDEN, "snapshot", "nosuchone0", NULL),
        make(STEP_RECORD_CREATE, "snapshot", "bbbbbbbbbb", NULL),
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++)
        refuse_taken(scene, steps[i]);
}

/* Every step of a life, done at the wrong time: each is refused or leaves a catalog that passes its
 * check. */
static void no_record_of_another_time_spoils_the_catalog(void **state)
{
    g_autoptr(Scene) scene = two_snapshots();
    g_autoptr(Scene) other = two_snapshots();
    g_autoptr(Plan) create = scene_plan_create(scene, "s3", NULL);
    g_autoptr(Plan) revert = scene_plan_revert(scene, "s1", NULL);
    g_autoptr(Plan) merge = NULL;
    Plan *plans[3];

    scene_accept(scene, "s1");
    merge = plan_next(scene->catalog, scene->seen, NULL);
    plans[0] = create;
    plans[1] = revert;
    plans[2] = merge;
    for (unsigned i = 0; i < 9; i++) {
        Plan *plan = plans[(i * 2) % 3];

        for (unsigned j = 0; j < plan->steps->len; j++) {
            g_autoptr(GError) error = NULL;

            step_apply(plan->steps->pdata[j], other->catalog, &error);
            assert_true(catalog_check(other->catalog, NULL));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(creating_freezes_the_active_layer),
        cmocka_unit_test(steps_that_are_no_records_change_nothing),
        cmocka_unit_test(labels_change_only_themselves),
        cmocka_unit_test(the_store_that_was_seen_is_known_until_it_is_reset),
        cmocka_unit_test(a_pivot_and_a_commit_count_until_they_are_taken_back_or_recorded),
        cmocka_unit_test(a_warning_stands_once),
        cmocka_unit_test(a_failed_removal_gives_way_to_a_name_taken_meanwhile),
        cmocka_unit_test(merging_gives_the_dependant_the_file_below),
        cmocka_unit_test(disks_that_no_snapshot_needs_are_forgotten),
        cmocka_unit_test(what_does_not_fit_changes_nothing),
        cmocka_unit_test(no_record_of_another_time_spoils_the_catalog),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
