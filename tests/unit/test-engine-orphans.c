/* Orphans: files of ours that nothing refers to any more, and what must never be taken for one. */
#include "engine-bench.h"

#include "base/str.h"
#include "store/store.h"

#define OTHER  "bbbbbbbb-0000-4000-8000-000000000003"
#define ORPHAN "/images/web-a.k123456789.qcow2"

static void put(Bench *bench, const char *path, const char *backing)
{
    simhost_add_image(bench->host, path, "qcow2", backing, backing ? "qcow2" : NULL,
                      UINT64_C(16) * SIM_BLOCK);
}

static bool orphans_are(Bench *bench, const char *names)
{
    g_autoptr(HostView) host = engine_view(bench->engine);
    g_autoptr(GString) found = g_string_new(NULL);

    for (guint i = 0; i < host->orphans->len; i++)
        g_string_append_printf(found, "%s%s", i > 0 ? " " : "",
                               ((OrphanView *)host->orphans->pdata[i])->name);
    return strcmp(found->str, names) == 0;
}

static bool problem_says(Bench *bench, const char *part)
{
    g_autoptr(HostView) host = engine_view(bench->engine);

    return strstr(host->orphans_problem, part) != NULL;
}

static bool looks_no_more(Bench *bench, const char *what)
{
    g_mutex_lock(&bench->engine->lock);
    bool looking = bench->engine->orphans_looking;
    g_mutex_unlock(&bench->engine->lock);
    return !looking;
}

/* Look again and wait for the result. */
static void look(Bench *bench)
{
    g_mutex_lock(&bench->engine->lock);
    orphans_look_soon_locked(bench->engine);
    g_mutex_unlock(&bench->engine->lock);
    while (!looks_no_more(bench, NULL))
        g_usleep(1000);
}

static const char *release(Bench *bench, const char *path)
{
    Request *request = request_new(REQUEST_FREE, "");

    request->text = g_strdup(path);
    return bench_answer(bench_submit(bench, request));
}

/* Two snapshots of web, so that it has a catalog; a hidden one; db has none. */
static Bench *with_snapshots(void)
{
    Bench *bench = bench_new();

    bench_start(bench);
    assert_string_equal(bench_create(bench, WEB, "one"), "ok");
    assert_string_equal(bench_create(bench, WEB, "two"), "ok");
    assert_string_equal(bench_revert(bench, WEB, "one"), "ok");
    assert_string_equal(bench_create(bench, WEB, "three"), "ok");
    assert_string_equal(bench_remove(bench, WEB, "one"), "ok");
    assert_listed(bench, WEB, "[one] two three");
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(problem_says(bench, ""));
    return bench;
}

static void what_nobody_names_is_listed_and_freed(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    look(bench);
    assert_true(orphans_are(bench, "web-a.k123456789.qcow2"));
    assert_true(bench_has_event(bench, "\"type\":\"orphans\",\"number\":\"1\""));
    assert_string_equal(release(bench, ORPHAN), "ok");
    assert_false(simhost_image_exists(bench->host, ORPHAN));
    assert_true(orphans_are(bench, ""));
    assert_true(bench_has_event(bench, "\"type\":\"orphans\",\"number\":\"0\""));
    assert_string_equal(release(bench, ORPHAN), "ENOENT");
    bench_free(bench);
}

static void the_next_daemon_finds_them_by_itself(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    bench_restart(bench);
    bench_wait(bench, orphans_are, "web-a.k123456789.qcow2");
    bench_free(bench);
}

static void a_name_alone_makes_no_orphan(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, "/images/web-a.production.qcow2", NULL);
    put(bench, "/images/golden.qcow2", NULL);
    put(bench, "/images/golden.k123456789.qcow2", "/images/golden.qcow2"); /* no layer of ours */
    put(bench, "/images/clone.k123456789.qcow2", "/images/web-a.qcow2");   /* not named for it */
    put(bench, "/images/web-a.copy.qcow2", "/images/web-a.qcow2");
    put(bench, "/elsewhere/web-a.k123456789.qcow2", "/images/web-a.qcow2"); /* not looked at */
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_string_equal(release(bench, "/images/golden.k123456789.qcow2"), "EBUSY");
    assert_true(simhost_image_exists(bench->host, "/images/golden.k123456789.qcow2"));
    bench_free(bench);
}

static void what_a_definition_names_is_none(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    simhost_add_disk(bench->host, DB, "vdb", ORPHAN, "qcow2");
    look(bench);
    assert_true(orphans_are(bench, ""));
    simhost_remove_disk(bench->host, DB, "vdb");
    look(bench);
    assert_true(orphans_are(bench, "web-a.k123456789.qcow2"));
    bench_free(bench);
}

static void of_a_chain_of_orphans_only_the_top_is_one(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    put(bench, "/images/web-a.z123456789.qcow2", ORPHAN);
    look(bench);
    assert_true(orphans_are(bench, "web-a.z123456789.qcow2"));
    assert_string_equal(release(bench, ORPHAN), "EBUSY");
    assert_string_equal(release(bench, "/images/web-a.z123456789.qcow2"), "ok");
    assert_true(orphans_are(bench, "web-a.k123456789.qcow2"));
    bench_free(bench);
}

static void freeing_looks_again(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    look(bench);
    simhost_add_disk(bench->host, DB, "vdb", ORPHAN, "qcow2"); /* between listing and rm */
    assert_string_equal(release(bench, ORPHAN), "EBUSY");
    simhost_remove_disk(bench->host, DB, "vdb");
    assert_true(simhost_lock(bench->host, ORPHAN, NULL));
    assert_string_equal(release(bench, ORPHAN), "EBUSY");
    assert_true(simhost_image_exists(bench->host, ORPHAN));
    simhost_unlock(bench->host, ORPHAN);
    assert_string_equal(release(bench, ORPHAN), "ok");
    bench_free(bench);
}

static void an_undefined_vm_keeps_its_files(void **state)
{
    Bench *bench = with_snapshots();
    g_autoptr(Catalog) catalog = catalog_new(OTHER, "gone");
    g_autoptr(GError) error = NULL;
    g_autofree char *path = NULL;
    Disk *disk = disk_new("aaaaaaaaaa", "vda");
    Layer *layer = layer_new("bbbbbbbbbb", NULL, ORPHAN, "qcow2", 1048576);

    put(bench, ORPHAN, "/images/web-a.qcow2");
    g_ptr_array_add(disk->layers, layer);
    str_set(&disk->active, layer->id);
    g_ptr_array_add(catalog->disks, disk);
    assert_true(store_save_catalog(bench->files, "/images", catalog, NULL, &error));
    look(bench);
    assert_true(orphans_are(bench, ""));
    path = g_build_filename("/images/.vmsnapfs", OTHER, "catalog.yaml", NULL);
    assert_true(bench->files->ops->replace(bench->files, path, "no catalog", -1, NULL));
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(problem_says(bench, path));
    assert_string_equal(release(bench, ORPHAN), "EBUSY");
    assert_true(bench->files->ops->remove(bench->files, path, NULL));
    look(bench);
    assert_true(orphans_are(bench, "web-a.k123456789.qcow2"));
    bench_free(bench);
}

static void what_is_being_made_is_none(void **state)
{
    Bench *bench = with_snapshots();
    Plan *plan = plan_new(PLAN_CREATE, NULL);
    g_autoptr(Journal) journal = NULL;
    Step *step = plan_add(plan, STEP_OVERLAY);

    step_set(step, "path", ORPHAN);
    step_set(step, "target", "vda");
    step_set(step, "backing", "/images/web-a.qcow2");
    step_set(step, "backing_format", "qcow2");
    step_set(step, "capacity", "1048576");
    journal = journal_new(plan, "mkdir gone/snapshots/x");
    put(bench, ORPHAN, "/images/web-a.qcow2");
    assert_true(bench->files->ops->make_directory(bench->files, "/images/.vmsnapfs/" OTHER, NULL));
    assert_true(store_save_journal(bench->files, "/images", OTHER, journal, NULL));
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(store_clear_journal(bench->files, "/images", OTHER, NULL));
    look(bench);
    assert_true(orphans_are(bench, "web-a.k123456789.qcow2"));
    bench_free(bench);
}

static void nothing_is_one_while_something_cannot_be_seen(void **state)
{
    static const char catalog[] = "/images/.vmsnapfs/" WEB "/catalog.yaml";
    Bench *bench = with_snapshots();
    g_autofree char *text = bench->files->ops->read(bench->files, catalog, NULL, NULL);

    put(bench, ORPHAN, "/images/web-a.qcow2");
    assert_true(bench->files->ops->remove(bench->files, catalog, NULL));
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(problem_says(bench, "the catalog of VM web is not in"));
    assert_true(bench->files->ops->replace(bench->files, catalog, text, -1, NULL));
    bench_fail(bench, true, false);
    look(bench);
    assert_true(orphans_are(bench, ""));
    bench_fail(bench, false, false);
    look(bench);
    assert_true(orphans_are(bench, "web-a.k123456789.qcow2"));
    simhost_set_down(bench->host, true);
    bench_wait(bench, is_stale, WEB);
    assert_true(orphans_are(bench, ""));
    assert_string_equal(release(bench, ORPHAN), "EHOSTDOWN");
    simhost_set_down(bench->host, false);
    bench_wait(bench, orphans_are, "web-a.k123456789.qcow2");
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_names_is_listed_and_freed),
        cmocka_unit_test(the_next_daemon_finds_them_by_itself),
        cmocka_unit_test(a_name_alone_makes_no_orphan),
        cmocka_unit_test(what_a_definition_names_is_none),
        cmocka_unit_test(of_a_chain_of_orphans_only_the_top_is_one),
        cmocka_unit_test(freeing_looks_again),
        cmocka_unit_test(an_undefined_vm_keeps_its_files),
        cmocka_unit_test(what_is_being_made_is_none),
        cmocka_unit_test(nothing_is_one_while_something_cannot_be_seen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
