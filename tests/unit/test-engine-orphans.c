/* Orphans: files of ours that nothing refers to any more, and what must never be taken for one. */
#include "engine-bench.h"

#include "base/str.h"
#include "image/overlay.h"
#include "store/sidecar.h"
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
    bench_wait(bench, has_event, "\"type\":\"orphans\",\"number\":\"1\"");
    assert_string_equal(release(bench, ORPHAN), "ok");
    assert_false(simhost_image_exists(bench->host, ORPHAN));
    assert_true(orphans_are(bench, ""));
    bench_wait(bench, has_event, "\"type\":\"orphans\",\"number\":\"0\"");
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

/* All VMs have been opened, and ask for a look, before the list of them counts as there. */
static void a_list_that_is_told_slowly_keeps_none_hidden(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    bench->dawdles = true;
    bench_restart(bench);
    bench_wait(bench, orphans_are, "web-a.k123456789.qcow2");
    bench_free(bench);
}

/* What it needs is not known; then nobody needs anything for it. */
static void a_vm_that_cannot_be_seen_hides_none_when_it_is_gone(void **state)
{
    Bench *bench = with_snapshots();

    put(bench, ORPHAN, "/images/web-a.qcow2");
    bench_garble(bench, DB);
    bench_restart(bench);
    bench_wait(bench, problem_says, "VM db");
    assert_true(orphans_are(bench, ""));
    bench->engine->retry_ms = 60000;
    g_usleep(G_USEC_PER_SEC / 2); /* the next try is far away */
    bench_hide(bench, DB);
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

/* A directory of catalogs that cannot be looked at: chmod g+w, or no memory for it. */
static FilesOps blind_ops;

static GPtrArray *list_nothing(Files *files, const char *directory, GError **error)
{
    g_set_error(error, VMSNAPFS_ERROR, ERR_ACCESS, "%s is not believed", directory);
    return NULL;
}

static void an_undefined_vm_whose_catalog_cannot_be_found_keeps_its_files(void **state)
{
    Bench *bench = with_snapshots();
    const FilesOps *seeing = bench->files->ops;

    put(bench, ORPHAN, "/images/web-a.qcow2");
    blind_ops = *seeing;
    blind_ops.list = list_nothing;
    bench->files->ops = &blind_ops;
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(problem_says(bench, "/images/.vmsnapfs is not believed"));
    assert_string_equal(release(bench, ORPHAN), "EBUSY");
    assert_true(simhost_image_exists(bench->host, ORPHAN));
    bench->files->ops = seeing;
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

/* ---- variables and vTPM state ---- */

#define VARS    "/nvram/web_VARS.fd"
#define NOW     "/nvram/web_VARS.n123456789.fd"
#define TPM     SIM_TPM_DIRECTORY "/" WEB "/tpm2"
#define GONE_ID "k123456789"

static void put_store(Bench *bench, const char *path)
{
    g_autoptr(GBytes) content = simhost_state_content(bench->host, SIM_TEMPLATE);

    simhost_set_state_bytes(bench->host, path, content);
}

static void put_sidecar(Bench *bench, const char *id, bool vars, bool tpm)
{
    g_autoptr(GBytes) content = g_bytes_new_static("variables", 9);
    g_autoptr(GPtrArray) state = state_files_new();

    g_ptr_array_add(state, state_file_new("tpm2-00.permall", content));
    if (vars)
        assert_true(sidecar_put_vars(bench->files, "/images", WEB, id, content, NULL));
    if (tpm)
        assert_true(sidecar_put_tpm(bench->files, "/images", WEB, id, state, NULL));
}

static char *snapshot_id(Bench *bench, const char *name)
{
    g_autoptr(Catalog) catalog = store_load_catalog(bench->files, "/images", WEB, NULL);
    const Snapshot *snapshot = catalog_named(catalog, name);

    assert_non_null(snapshot);
    return g_strdup(snapshot->id);
}

/* web has had UEFI and a vTPM for long, and a revert gave it the store NOW. */
static Bench *with_firmware(void)
{
    Bench *bench = with_snapshots();
    g_autoptr(Catalog) catalog = store_load_catalog(bench->files, "/images", WEB, NULL);

    str_set(&catalog->vars, NOW);
    assert_true(store_save_catalog(bench->files, "/images", catalog, NULL, NULL));
    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, WEB, NOW);
    simhost_set_tpm(bench->host, WEB, true);
    put_store(bench, NOW);
    simhost_set_state_directory(bench->host, TPM, true);
    simhost_set_state(bench->host, TPM "/tpm2-00.permall", "now");
    bench_restart(bench);
    look(bench);
    assert_true(problem_says(bench, ""));
    assert_true(orphans_are(bench, ""));
    return bench;
}

/* NV-16: what a removal could not take away is not lost. */
static void a_sidecar_of_no_snapshot_is_listed_and_freed_NV_16(void **state)
{
    Bench *bench = with_firmware();
    g_autofree char *two = snapshot_id(bench, "two");
    g_autofree char *kept = sidecar_vars_path("/images", WEB, two);
    g_autofree char *gone = sidecar_vars_path("/images", WEB, GONE_ID);
    g_autofree char *tpm = sidecar_tpm_path("/images", WEB, "m123456789");
    g_autoptr(GPtrArray) left = NULL;

    put_sidecar(bench, two, true, true);
    put_sidecar(bench, GONE_ID, true, true);
    put_sidecar(bench, "m123456789", false, true);
    look(bench);
    assert_true(orphans_are(bench, "m123456789 k123456789.fd"));
    assert_string_equal(release(bench, kept), "EBUSY");
    assert_string_equal(release(bench, gone), "ok");
    assert_string_equal(release(bench, tpm), "ok");
    assert_true(orphans_are(bench, ""));
    assert_string_equal(release(bench, gone), "ENOENT");
    left = sidecar_list(bench->files, "/images", WEB);
    assert_int_equal(left->len, 1);
    assert_string_equal(left->pdata[0], two);
    bench_free(bench);
}

static void a_sidecar_that_is_being_made_is_none(void **state)
{
    Bench *bench = with_firmware();
    Plan *plan = plan_new(PLAN_CREATE, NULL);
    g_autoptr(Journal) journal = journal_new(plan, "mkdir web/snapshots/x");

    step_set(plan_add(plan, STEP_DROP_SIDECAR), "snapshot", GONE_ID);
    put_sidecar(bench, GONE_ID, true, true);
    assert_true(store_save_journal(bench->files, "/images", WEB, journal, NULL));
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(store_clear_journal(bench->files, "/images", WEB, NULL));
    look(bench);
    assert_true(orphans_are(bench, "k123456789.fd"));
    bench_free(bench);
}

/* Nobody can tell which of them its snapshots need. */
/* What an operation that ended during the look removed: its journal and the snapshot are gone, too.
 */
static Bench *removing;
static GPtrArray *(*plain_list)(Hypervisor *hv, GError **error);

static GPtrArray *list_and_remove(Hypervisor *hv, GError **error)
{
    Images *images = removing->images;
    g_autofree char *temporary = overlay_temporary_path(ORPHAN);

    assert_true(sidecar_remove(removing->files, "/images", WEB, GONE_ID, NULL));
    assert_true(images->ops->unlink(images, temporary, NULL, NULL));
    assert_true(images->ops->remove_state_directory(images, TPM ".k123456789", NULL));
    return plain_list(hv, error);
}

static void what_goes_during_the_look_is_none(void **state)
{
    Bench *bench = with_snapshots();
    g_autofree char *temporary = overlay_temporary_path(ORPHAN);

    put_sidecar(bench, GONE_ID, true, false);
    put(bench, temporary, NULL);
    simhost_set_state_directory(bench->host, TPM ".k123456789", true);
    removing = bench;
    plain_list = bench->hv_ops.list;
    bench->hv_ops.list = list_and_remove;
    look(bench);
    bench->hv_ops.list = plain_list;
    assert_true(orphans_are(bench, ""));
    assert_true(problem_says(bench, ""));
    bench_free(bench);
}

static void a_sidecar_without_a_catalog_is_none(void **state)
{
    Bench *bench = with_firmware();
    g_autoptr(GBytes) content = g_bytes_new_static("variables", 9);

    assert_true(sidecar_put_vars(bench->files, "/images", OTHER, GONE_ID, content, NULL));
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(problem_says(bench, ""));
    bench_free(bench);
}

/* NV-14: of several candidates the definition's is the VM's, the others are orphans. */
static void of_several_stores_the_one_of_the_definition_counts_NV_14(void **state)
{
    Bench *bench = with_firmware();
    g_autoptr(GBytes) blank = g_bytes_new_static("blank", 5);

    put_store(bench, VARS);
    put_store(bench, "/nvram/web_VARS.m123456789.fd");
    put_store(bench, "/nvram/web_VARS.backup.fd");         /* somebody's copy */
    put_store(bench, "/nvram/web_VARS.m123456789.bak");    /* likewise */
    put_store(bench, "/nvram/web2_VARS.m123456789.fd");    /* of no known VM */
    put_store(bench, "/elsewhere/web_VARS.m123456789.fd"); /* not looked at */
    simhost_set_state_bytes(bench->host, "/nvram/web_VARS.z123456789.fd", blank); /* no store */
    look(bench);
    assert_true(orphans_are(bench, "web_VARS.fd web_VARS.m123456789.fd"));
    assert_string_equal(release(bench, NOW), "EBUSY");
    assert_string_equal(release(bench, "/nvram/web_VARS.backup.fd"), "EBUSY");
    assert_string_equal(release(bench, VARS), "ok");
    assert_string_equal(release(bench, "/nvram/web_VARS.m123456789.fd"), "ok");
    assert_true(orphans_are(bench, ""));
    put_store(bench, VARS);
    simhost_set_nvram(bench->host, WEB, VARS); /* somebody edits the definition */
    look(bench);
    assert_true(orphans_are(bench, "")); /* the catalog still names the other */
    bench_free(bench);
}

static bool is_vars(Bench *bench, const char *path)
{
    g_autoptr(GBytes) content = simhost_state_content(bench->host, path);

    return content != NULL;
}

/* Rule 11, also where libvirt alone knows the path, of a VM that is off. */
static void a_store_that_another_vm_names_is_none(void **state)
{
    Bench *bench = with_firmware();
    const char *other = "/nvram/web_VARS.m123456789.fd";

    put_store(bench, other);
    look(bench);
    assert_true(orphans_are(bench, "web_VARS.m123456789.fd"));
    simhost_set_firmware(bench->host, DB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, DB, other);
    assert_string_equal(release(bench, other), "EBUSY");
    assert_true(is_vars(bench, other));
    look(bench);
    assert_true(orphans_are(bench, ""));
    simhost_set_firmware(bench->host, DB, SIM_BIOS, false);
    look(bench);
    assert_true(orphans_are(bench, "web_VARS.m123456789.fd"));
    bench_free(bench);
}

static void left_vtpm_state_is_listed_and_freed(void **state)
{
    Bench *bench = with_firmware();

    simhost_set_state_directory(bench->host, TPM ".k123456789", true);
    simhost_set_state(bench->host, TPM ".k123456789/tpm2-00.permall", "then");
    simhost_set_state_directory(bench->host, TPM ".m123456789", true);
    simhost_set_state_directory(bench->host, TPM ".m123456789/inner", true);
    simhost_set_state_directory(bench->host, TPM ".mine", true);
    look(bench);
    assert_true(orphans_are(bench, "tpm2.k123456789 tpm2.m123456789"));
    assert_string_equal(release(bench, TPM), "EBUSY");
    assert_string_equal(release(bench, TPM ".mine"), "EBUSY");
    assert_string_equal(release(bench, TPM ".m123456789"), "EOPNOTSUPP");
    assert_string_equal(release(bench, TPM ".k123456789"), "ok");
    assert_true(orphans_are(bench, "tpm2.m123456789"));
    simhost_set_state_directory(bench->host, TPM ".m123456789", false);
    simhost_set_state_directory(bench->host, TPM ".new", true); /* of a program that died */
    simhost_set_state_directory(bench->host, TPM ".m123456789.new", true);
    simhost_set_state_directory(bench->host, TPM ".mine.new", true);
    look(bench);
    assert_true(orphans_are(bench, "tpm2.m123456789.new tpm2.new"));
    assert_string_equal(release(bench, TPM ".new"), "ok");
    assert_string_equal(release(bench, TPM ".m123456789.new"), "ok");
    assert_true(orphans_are(bench, ""));
    assert_true(is_vars(bench, TPM "/tpm2-00.permall"));
    bench_free(bench);
}

static void state_that_is_being_exchanged_is_none(void **state)
{
    Bench *bench = with_firmware();
    Plan *plan = plan_new(PLAN_REVERT, NULL);
    g_autoptr(Journal) journal = journal_new(plan, "ln -s snapshots/one web/current");
    Step *step = plan_add(plan, STEP_EXCHANGE_TPM);

    step_set(step, "snapshot", GONE_ID);
    step_set(step, "path", TPM);
    step_set(step, "staged", TPM ".k123456789");
    step_set(plan_add(plan, STEP_UNLINK), "path", VARS);
    put_store(bench, VARS);
    simhost_set_state_directory(bench->host, TPM ".k123456789", true);
    simhost_set_state_directory(bench->host, TPM ".new", true);
    assert_true(store_save_journal(bench->files, "/images", WEB, journal, NULL));
    look(bench);
    assert_true(orphans_are(bench, ""));
    assert_true(store_clear_journal(bench->files, "/images", WEB, NULL));
    look(bench);
    assert_true(orphans_are(bench, "web_VARS.fd tpm2.k123456789 tpm2.new"));
    bench_free(bench);
}

/* ---- what an operation could not clean up ---- */

/* Snapshot two has kept a store, and vTPM state. */
static void keep_with_two(Bench *bench)
{
    g_autoptr(Catalog) catalog = store_load_catalog(bench->files, "/images", WEB, NULL);
    Snapshot *two = catalog_named(catalog, "two");
    g_autoptr(GBytes) vars = simhost_state_content(bench->host, SIM_TEMPLATE);
    g_autoptr(GPtrArray) tpm = state_files_new();
    g_autofree char *of_vars = state_digest(vars), *of_tpm = NULL;

    g_ptr_array_add(tpm, state_file_new("tpm2-00.permall", vars));
    of_tpm = state_files_digest(tpm);
    two->vars = sidecar_new(g_bytes_get_size(vars), of_vars, NULL, NULL);
    two->tpm = sidecar_new(g_bytes_get_size(vars), of_tpm, "2.0", NULL);
    assert_true(sidecar_put_vars(bench->files, "/images", WEB, two->id, vars, NULL));
    assert_true(sidecar_put_tpm(bench->files, "/images", WEB, two->id, tpm, NULL));
    assert_true(store_save_catalog(bench->files, "/images", catalog, NULL, NULL));
    bench_restart(bench);
}

static bool has_warning(Bench *bench, const char *name, const char *part)
{
    g_autoptr(Catalog) catalog = store_load_catalog(bench->files, "/images", WEB, NULL);
    const Snapshot *snapshot = catalog_named(catalog, name);

    return snapshot->warnings && strstr(snapshot->warnings, part) != NULL;
}

/* Rule 11: what the VM had before a revert may be another VM's by now. */
static void a_store_that_another_vm_names_outlives_a_revert(void **state)
{
    Bench *bench = with_firmware();
    g_autofree char *store = NULL;
    g_autoptr(GBytes) before = NULL, after = NULL;

    keep_with_two(bench);
    simhost_set_firmware(bench->host, DB, SIM_LOADER, false);
    simhost_set_nvram(bench->host, DB, NOW);
    before = simhost_state_content(bench->host, NOW);
    assert_string_equal(bench_revert(bench, WEB, "two"), "ok");
    store = simhost_vars_path(bench->host, WEB);
    assert_string_not_equal(store, NOW);
    after = simhost_state_content(bench->host, NOW);
    assert_true(after && g_bytes_equal(before, after));
    assert_true(has_warning(bench, "two", NOW));
    look(bench);
    assert_true(orphans_are(bench, ""));
    simhost_set_firmware(bench->host, DB, SIM_BIOS, false);
    look(bench);
    assert_true(orphans_are(bench, "web_VARS.n123456789.fd"));
    assert_string_equal(release(bench, NOW), "ok");
    assert_true(is_vars(bench, store));
    assert_null(simhost_misuse(bench->host));
    bench_free(bench);
}

/* In `errors`, that @thing could not be removed? */
static bool says_left(Bench *bench, const char *thing)
{
    g_autofree char *errors = engine_errors(bench->engine, WEB);

    return strstr(errors, "could not be removed") && strstr(errors, thing);
}

/* NV-16, W21: a clean-up that fails is a warning and an orphan, no failed revert. */
static void what_a_revert_could_not_remove_is_an_orphan_NV_16(void **state)
{
    Bench *bench = with_firmware();
    g_autoptr(GPtrArray) files = NULL;

    keep_with_two(bench);
    simhost_set_state_directory(bench->host, TPM "/inner", true); /* it is not flat */
    assert_string_equal(bench_revert(bench, WEB, "two"), "EOPNOTSUPP");
    assert_null(store_load_journal(bench->files, "/images", WEB, NULL)); /* nothing was begun */
    simhost_set_state_directory(bench->host, TPM "/inner", false);
    bench_set_busy(bench, NOW, FOR_EVER);
    assert_string_equal(bench_revert(bench, WEB, "two"), "ok");
    assert_true(has_warning(bench, "two", NOW));
    assert_true(says_left(bench, NOW));
    look(bench);
    assert_true(orphans_are(bench, "web_VARS.n123456789.fd"));
    assert_string_equal(release(bench, NOW), "EBUSY");
    bench_set_busy(bench, NOW, 0);
    assert_string_equal(release(bench, NOW), "ok");
    assert_true(orphans_are(bench, ""));
    files = simhost_state_read_directory(bench->host, TPM, NULL);
    assert_int_equal(files->len, 1);
    bench_free(bench);
}

/* NV-16, S-28: as a removal, which is done all the same. */
static void what_a_removal_could_not_remove_is_an_orphan_NV_16(void **state)
{
    Bench *bench = with_firmware();
    g_autofree char *id = NULL, *path = NULL, *tpm = NULL, *inner = NULL, *file = NULL;

    assert_string_equal(bench_create(bench, WEB, "four"), "ok");
    id = snapshot_id(bench, "four");
    path = sidecar_vars_path("/images", WEB, id);
    inner = g_strdup_printf("/images/.vmsnapfs/" WEB "/tpm/%s/inner", id);
    file = g_build_filename(inner, "file", NULL);
    assert_true(bench->files->ops->exists(bench->files, path));
    assert_true(bench->files->ops->make_directory(bench->files, inner, NULL));
    assert_true(bench->files->ops->put(bench->files, file, "", 0, NULL));
    assert_string_equal(bench_remove(bench, WEB, "four"), "ok");
    bench_wait(bench, no_job_runs, WEB);
    assert_int_equal(bench_jobs(bench, WEB, JOB_FAILED), 0);
    assert_listed(bench, WEB, "[one] two three");
    assert_true(says_left(bench, id));
    look(bench);
    assert_true(orphans_are(bench, id));
    assert_string_equal(release(bench, path), "ENOENT"); /* that went */
    assert_true(bench->files->ops->remove(bench->files, file, NULL));
    tpm = sidecar_tpm_path("/images", WEB, id);
    assert_string_equal(release(bench, tpm), "ok");
    assert_true(orphans_are(bench, ""));
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_names_is_listed_and_freed),
        cmocka_unit_test(the_next_daemon_finds_them_by_itself),
        cmocka_unit_test(a_list_that_is_told_slowly_keeps_none_hidden),
        cmocka_unit_test(a_vm_that_cannot_be_seen_hides_none_when_it_is_gone),
        cmocka_unit_test(a_name_alone_makes_no_orphan),
        cmocka_unit_test(what_a_definition_names_is_none),
        cmocka_unit_test(of_a_chain_of_orphans_only_the_top_is_one),
        cmocka_unit_test(freeing_looks_again),
        cmocka_unit_test(an_undefined_vm_keeps_its_files),
        cmocka_unit_test(an_undefined_vm_whose_catalog_cannot_be_found_keeps_its_files),
        cmocka_unit_test(what_is_being_made_is_none),
        cmocka_unit_test(nothing_is_one_while_something_cannot_be_seen),
        cmocka_unit_test(a_sidecar_of_no_snapshot_is_listed_and_freed_NV_16),
        cmocka_unit_test(a_sidecar_that_is_being_made_is_none),
        cmocka_unit_test(what_goes_during_the_look_is_none),
        cmocka_unit_test(a_sidecar_without_a_catalog_is_none),
        cmocka_unit_test(of_several_stores_the_one_of_the_definition_counts_NV_14),
        cmocka_unit_test(a_store_that_another_vm_names_is_none),
        cmocka_unit_test(left_vtpm_state_is_listed_and_freed),
        cmocka_unit_test(state_that_is_being_exchanged_is_none),
        cmocka_unit_test(a_store_that_another_vm_names_outlives_a_revert),
        cmocka_unit_test(what_a_revert_could_not_remove_is_an_orphan_NV_16),
        cmocka_unit_test(what_a_removal_could_not_remove_is_an_orphan_NV_16),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
