/* Adopting: what is refused, by what sentence, and what is said of what could not be kept. */
#include "testing.h"

#include "base/error.h"
#include "base/str.h"
#include "scene.h"

static Scene *drifted(void)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_foreign_overlay(scene, "vda", "x");
    return scene;
}

static void refused(Scene *scene, ErrorCode code, const char *part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = scene_plan_adopt(scene, &error);

    if (plan)
        fail_msg("adopted, though: %s", part);
    if (!error_is(error, code) || !strstr(error->message, part))
        fail_msg("refused with: %s", error->message);
}

static void a_busy_vm_is_refused(void **state)
{
    g_autoptr(Scene) job = drifted();
    g_autoptr(Scene) foreign = drifted();
    g_autoptr(Scene) saved = drifted();

    scene_start(job);
    scene_job(job, "vda", "copy", "/images/copy.raw");
    refused(job, ERR_BUSY, "block job (copy)");
    scene_start(foreign);
    foreign->seen->foreign_job = g_strdup("backup");
    refused(foreign, ERR_BUSY, "(backup)");
    saved->seen->managed_save = true;
    refused(saved, ERR_BUSY, "managed save");
}

static void two_definitions_that_differ_are_refused(void **state)
{
    g_autoptr(Scene) scene = drifted();

    scene_start(scene);
    str_set(&scene_disk(scene, "vda")->path, "/images/other.qcow2");
    refused(scene, ERR_DRIFT, "disk vda of VM web01 is not the same in the running VM");
}

static void what_is_no_chain_of_files_is_refused(void **state)
{
    g_autoptr(Scene) missing = drifted();
    g_autoptr(Scene) internal = drifted();
    g_autoptr(Scene) raw = scene_new();

    g_hash_table_remove(missing->seen->files, "/images/web01-vda.qcow2");
    refused(missing, ERR_UNSUPPORTED, "/images/web01-vda.qcow2 does not exist");
    scene_file(internal, scene_disk(internal, "vda")->path)->internal_snapshots = 1;
    refused(internal, ERR_UNSUPPORTED, "has internal snapshots");
    scene_add_disk(raw, "vda", "qcow2");
    scene_create(raw, "s1");
    str_set(&scene_disk(raw, "vda")->format, "raw");
    refused(raw, ERR_UNSUPPORTED, "is a qcow2 image though it is used as raw");
}

static void a_second_disk_on_the_same_layers_is_refused(void **state)
{
    g_autoptr(Scene) scene = drifted();
    const Disk *disk = scene->catalog->disks->pdata[0];

    scene_add_disk(scene, "vdz", "qcow2");
    str_set(&scene_file(scene, scene_disk(scene, "vdz")->path)->backing,
            ((Layer *)disk->layers->pdata[0])->path);
    str_set(&scene_file(scene, scene_disk(scene, "vdz")->path)->backing_format, "qcow2");
    refused(scene, ERR_DRIFT, "disk vdz is on one of its layers, too");
}

static void without_drift_there_is_nothing_to_adopt(void **state)
{
    g_autoptr(Scene) scene = scene_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = NULL;

    scene_add_disk(scene, "vda", "qcow2");
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    plan = scene_plan_adopt(scene, &error);
    assert_non_null(plan);
    assert_int_equal(plan->steps->len, 0);
}

static void names_of_found_ones_are_free(void **state)
{
    g_autoptr(Scene) scene = drifted();
    g_autoptr(Plan) plan = NULL;

    str_set(&scene_snapshot(scene, "s1")->name, "found-1");
    plan = scene_plan_adopt(scene, NULL);
    assert_non_null(plan);
    scene_run(scene, plan);
    assert_non_null(catalog_named(scene->catalog, "found-2"));
    assert_string_equal(catalog_named(scene->catalog, "found-2")->id, scene->catalog->current);
}

static void what_may_be_spoiled_is_failed_and_says_why(void **state)
{
    g_autoptr(Scene) scene = scene_new();
    g_autoptr(Plan) plan = NULL;
    const Disk *disk;
    g_autofree char *base = NULL;

    scene_add_disk(scene, "vda", "qcow2");
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_create(scene, "s3");
    disk = scene->catalog->disks->pdata[0];
    base = g_strdup(((Layer *)disk->layers->pdata[0])->path);
    str_set(&scene_file(scene, ((Layer *)disk->layers->pdata[2])->path)->backing, base);
    plan = scene_plan_adopt(scene, NULL);
    assert_non_null(plan);
    scene_run(scene, plan);
    assert_int_equal(scene_snapshot(scene, "s1")->state, SNAPSHOT_FAILED);
    assert_non_null(strstr(scene_snapshot(scene, "s1")->error, base));
    assert_int_equal(scene_snapshot(scene, "s2")->state, SNAPSHOT_READY);
    assert_int_equal(scene_snapshot(scene, "s3")->state, SNAPSHOT_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_busy_vm_is_refused),
        cmocka_unit_test(two_definitions_that_differ_are_refused),
        cmocka_unit_test(what_is_no_chain_of_files_is_refused),
        cmocka_unit_test(a_second_disk_on_the_same_layers_is_refused),
        cmocka_unit_test(without_drift_there_is_nothing_to_adopt),
        cmocka_unit_test(names_of_found_ones_are_free),
        cmocka_unit_test(what_may_be_spoiled_is_failed_and_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
