/* What the planner refuses, what it chooses, and that a plan cut anywhere is recovered. */
#include "testing.h"

#include "base/error.h"
#include "base/str.h"
#include "scene.h"

static Scene *one_disk(void)
{
    Scene *scene = scene_new();

    scene_add_disk(scene, "vda", "qcow2");
    return scene;
}

/* --- refusals --- */

typedef void (*Spoil)(Scene *scene);

static const char *active_path(Scene *scene)
{
    return scene_disk(scene, "vda")->path;
}

static ImageFacts *active_file(Scene *scene)
{
    return scene_file(scene, active_path(scene));
}

static void take_s1(Scene *scene)
{
    scene_create(scene, "s1");
}

static void hold_s1(Scene *scene)
{
    take_s1(scene);
    scene_snapshot(scene, "s1")->mode = 0550;
}

static void fail_s1(Scene *scene)
{
    take_s1(scene);
    scene_snapshot(scene, "s1")->state = SNAPSHOT_FAILED;
}

static void be_transient(Scene *scene)
{
    scene->seen->persistent = false;
}

static void run(Scene *scene)
{
    scene_start(scene);
}

static void save(Scene *scene)
{
    scene->seen->managed_save = true;
}

static void crash(Scene *scene)
{
    scene_start(scene);
    scene->seen->state = DOMAIN_OTHER;
}

static void back_up(Scene *scene)
{
    scene->seen->foreign_job = g_strdup("backup");
}

static void copy_disk(Scene *scene)
{
    scene_start(scene);
    scene_job(scene, "vda", "copy", "/images/copy.qcow2");
}

static void add_uefi(Scene *scene)
{
    scene->seen->inactive->firmware = g_new0(Firmware, 1);
}

static void add_tpm(Scene *scene)
{
    scene->seen->inactive->tpm = g_new0(Tpm, 1);
    scene->seen->inactive->tpm->backend = g_strdup("emulator");
}

static void take_libvirt_snapshot(Scene *scene)
{
    scene->seen->libvirt_snapshots = 1;
}

static void use_network(Scene *scene)
{
    str_set(&scene_disk(scene, "vda")->type, "network");
}

static void be_readonly(Scene *scene)
{
    scene_disk(scene, "vda")->readonly = true;
}

static void lie_about_raw(Scene *scene)
{
    str_set(&scene_disk(scene, "vda")->format, "raw");
}

static void lie_about_qcow2(Scene *scene)
{
    str_set(&active_file(scene)->probed, "raw");
}

static void lose_file(Scene *scene)
{
    active_file(scene)->exists = false;
}

static void spoil_header(Scene *scene)
{
    active_file(scene)->error = g_strdup("its header is cut off");
}

static void add_internal(Scene *scene)
{
    active_file(scene)->internal_snapshots = 1;
}

static void add_internal_below(Scene *scene)
{
    ImageFacts *golden = scene_file(scene, "/images/golden.qcow2");

    golden->internal_snapshots = 2;
    str_set(&active_file(scene)->backing, "/images/golden.qcow2");
    str_set(&active_file(scene)->backing_format, "qcow2");
}

static void encrypt(Scene *scene)
{
    active_file(scene)->encrypted = true;
}

static void add_data_file(Scene *scene)
{
    active_file(scene)->data_file = true;
}

static void share_file(Scene *scene)
{
    scene_add_disk(scene, "vdb", "qcow2");
    scene_file(scene, scene_disk(scene, "vdb")->path)->inode = active_file(scene)->inode;
}

static void differ(Scene *scene)
{
    scene_start(scene);
    scene_add_disk(scene, "vdb", "qcow2");
    g_ptr_array_remove_index(scene->seen->inactive->disks, 1);
}

static void state_other_chain(Scene *scene)
{
    scene_disk(scene, "vda")->chain_stated = true;
    str_set(&active_file(scene)->backing, "/images/golden.qcow2");
    str_set(&active_file(scene)->backing_format, "qcow2");
    scene_file(scene, "/images/golden.qcow2");
}

static void set_room(Scene *scene, uint64_t room)
{
    FreeSpace *space = g_new0(FreeSpace, 1);

    space->bytes = room;
    g_hash_table_replace(scene->seen->free_space, g_strdup("/images"), space);
}

static void fill(Scene *scene)
{
    set_room(scene, 0);
}

static void limit_count(Scene *scene)
{
    take_s1(scene);
    g_hash_table_insert(scene->catalog->policy, g_strdup("max_snapshots"), g_strdup("1"));
}

static void limit_depth(Scene *scene)
{
    take_s1(scene);
    g_hash_table_insert(scene->catalog->policy, g_strdup("max_depth"), g_strdup("2"));
}

static void foreign_overlay(Scene *scene)
{
    take_s1(scene);
    ImageFacts *facts = scene_file(scene, "/images/foreign.qcow2");

    str_set(&facts->backing, active_path(scene));
    str_set(&facts->backing_format, "qcow2");
    str_set(&scene_disk(scene, "vda")->path, "/images/foreign.qcow2");
}

static void foreign_backing(Scene *scene)
{
    take_s1(scene);
    scene_file(scene, "/images/other.qcow2");
    str_set(&active_file(scene)->backing, "/images/other.qcow2");
}

static void wrong_backing_format(Scene *scene)
{
    take_s1(scene);
    str_set(&active_file(scene)->backing_format, "raw");
}

static void lose_layer(Scene *scene)
{
    take_s1(scene);
    scene_file(scene, "/images/web01-vda.qcow2")->exists = false;
}

static void shrink(Scene *scene)
{
    take_s1(scene);
    active_file(scene)->capacity /= 2;
}

static void internal_after_s1(Scene *scene)
{
    take_s1(scene);
    active_file(scene)->internal_snapshots = 1;
}

static void internal_in_s1(Scene *scene)
{
    ImageFacts *base = active_file(scene);

    take_s1(scene);
    base->internal_snapshots = 1;
}

static void encrypt_s1(Scene *scene)
{
    ImageFacts *base = active_file(scene);

    take_s1(scene);
    base->encrypted = true;
}

static void data_file_after_s1(Scene *scene)
{
    take_s1(scene);
    active_file(scene)->data_file = true;
}

static ImageFacts *put_golden_below_s1(Scene *scene)
{
    ImageFacts *base = active_file(scene);

    take_s1(scene);
    str_set(&base->backing, "/images/golden.qcow2");
    str_set(&base->backing_format, "qcow2");
    return scene_file(scene, "/images/golden.qcow2");
}

static void pipe_below_s1(Scene *scene)
{
    put_golden_below_s1(scene)->error = g_strdup("is not a regular file");
}

static void nothing_below_s1(Scene *scene)
{
    put_golden_below_s1(scene)->exists = false;
}

static void no_format_below_s1(Scene *scene)
{
    ImageFacts *base = active_file(scene);

    put_golden_below_s1(scene);
    str_set(&base->backing_format, NULL);
}

static void circle_below_s1(Scene *scene)
{
    ImageFacts *golden = put_golden_below_s1(scene);

    str_set(&golden->backing, "/images/golden.qcow2");
    str_set(&golden->backing_format, "qcow2");
}

static void circle(Scene *scene)
{
    ImageFacts *golden = scene_file(scene, "/images/golden.qcow2");

    str_set(&active_file(scene)->backing, "/images/golden.qcow2");
    str_set(&active_file(scene)->backing_format, "qcow2");
    str_set(&golden->backing, scene_disk(scene, "vda")->path);
    str_set(&golden->backing_format, "qcow2");
}

static void fill_after_s1(Scene *scene)
{
    take_s1(scene);
    active_file(scene)->allocation = SCENE_GIB / 2;
    fill(scene);
}

static void run_after_s1(Scene *scene)
{
    take_s1(scene);
    scene_start(scene);
}

static void save_after_s1(Scene *scene)
{
    take_s1(scene);
    save(scene);
}

static void copy_after_s1(Scene *scene)
{
    take_s1(scene);
    copy_disk(scene);
}

static void backup_after_s1(Scene *scene)
{
    take_s1(scene);
    back_up(scene);
}

static void uefi_after_s1(Scene *scene)
{
    take_s1(scene);
    add_uefi(scene);
}

static void detach_after_s1(Scene *scene)
{
    take_s1(scene);
    g_ptr_array_set_size(scene->seen->inactive->disks, 0);
}

static void exchange_after_s1(Scene *scene)
{
    detach_after_s1(scene);
    scene_add_disk(scene, "vda", "raw");
}

static void hide_s1(Scene *scene)
{
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_revert(scene, "s1");
    scene_remove(scene, "s1");
}

static void foreign_job_of_our_kind(Scene *scene)
{
    run_after_s1(scene);
    scene_job(scene, "vda", "active-commit", "/images/elsewhere.qcow2");
}

/* libvirt died between beginning a merge and noting its mirror. */
static void job_that_libvirt_lost(Scene *scene)
{
    run_after_s1(scene);
    scene_job(scene, "vda", "active-commit", NULL);
}

/* libvirt died between noting a mirror and beginning the merge, or in its end. */
static void mirror_of_no_job(Scene *scene)
{
    foreign_job_of_our_kind(scene);
    g_hash_table_remove_all(scene->seen->jobs);
}

static void clone_of_s1(Scene *scene)
{
    take_s1(scene);
    ImageFacts *facts = scene_file(scene, "/images/clone.qcow2");

    str_set(&facts->backing, "/images/web01-vda.qcow2");
    str_set(&facts->backing_format, "qcow2");
}

/* Another VM has an overlay on the file @path, which it knows by another name. */
static void be_used(Scene *scene, const char *path)
{
    const ImageFacts *facts = scene_file(scene, path);

    g_hash_table_replace(scene->seen->users, file_key(facts->device, facts->inode),
                         g_strdup("disk vdx of VM other (off)"));
}

static void base_used_by_another(Scene *scene)
{
    take_s1(scene);
    be_used(scene, "/images/web01-vda.qcow2");
}

static void active_used_by_another(Scene *scene)
{
    take_s1(scene);
    be_used(scene, active_path(scene));
}

static void used_by_another_and_failed(Scene *scene)
{
    base_used_by_another(scene);
    scene_snapshot(scene, "s1")->state = SNAPSHOT_FAILED;
}

static void only_live_after_s1(Scene *scene)
{
    run_after_s1(scene);
    g_ptr_array_set_size(scene->seen->inactive->disks, 0);
}

typedef struct {
    const char *what;
    Spoil spoil;
    ErrorCode code;
    const char *word; /* that the sentence must have */
} Refusal;

static void check_refusal(const Refusal *refusal, Plan *plan, GError *error)
{
    if (plan || !error)
        fail_msg("%s: it was not refused", refusal->what);
    if (!error_is(error, refusal->code) || !strstr(error->message, refusal->word))
        fail_msg("%s: refused with %d: %s", refusal->what, error->code, error->message);
    g_error_free(error);
}

static void creating_is_refused_with_the_right_reason(void **state)
{
    static const Refusal refusals[] = {
        {"name taken", take_s1, ERR_EXISTS, "s1"},
        {"transient", be_transient, ERR_UNSUPPORTED, "transient"},
        {"foreign overlay", foreign_overlay, ERR_DRIFT, "foreign.qcow2"},
        {"wrong backing", foreign_backing, ERR_DRIFT, "other.qcow2"},
        {"wrong backing format", wrong_backing_format, ERR_DRIFT, "header"},
        {"lost layer", lose_layer, ERR_DRIFT, "missing"},
        {"live and persistent differ", differ, ERR_DRIFT, "vdb"},
        {"stated chain differs", state_other_chain, ERR_DRIFT, "vda"},
        {"crashed", crash, ERR_BUSY, "web01"},
        {"backup", back_up, ERR_BUSY, "backup"},
        {"block job (E-27)", copy_disk, ERR_BUSY, "vda"},
        {"managed save", save, ERR_BUSY, "managed save"},
        {"UEFI", add_uefi, ERR_UNSUPPORTED, "UEFI"},
        {"TPM", add_tpm, ERR_UNSUPPORTED, "TPM"},
        {"libvirt's snapshots (E-18)", take_libvirt_snapshot, ERR_UNSUPPORTED, "libvirt"},
        {"network disk", use_network, ERR_UNSUPPORTED, "network"},
        {"no disk", be_readonly, ERR_UNSUPPORTED, "no disk"},
        {"qcow2 used as raw", lie_about_raw, ERR_UNSUPPORTED, "used as raw"},
        {"raw used as qcow2", lie_about_qcow2, ERR_UNSUPPORTED, "not a qcow2"},
        {"lost file", lose_file, ERR_UNSUPPORTED, "does not exist"},
        {"unreadable header", spoil_header, ERR_UNSUPPORTED, "cut off"},
        {"internal snapshots", add_internal, ERR_UNSUPPORTED, "internal"},
        {"a circle", circle, ERR_UNSUPPORTED, "circle"},
        {"internal snapshots below", add_internal_below, ERR_UNSUPPORTED, "golden"},
        {"encrypted (E-17)", encrypt, ERR_UNSUPPORTED, "encrypted"},
        {"data file", add_data_file, ERR_UNSUPPORTED, "data file"},
        {"one file twice", share_file, ERR_UNSUPPORTED, "same file"},
        {"quota", limit_count, ERR_QUOTA, "max_snapshots"},
        {"depth", limit_depth, ERR_DEPTH, "max_depth"},
        {"no room", fill, ERR_NO_SPACE, "/images"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(Scene) scene = one_disk();
        g_autoptr(Plan) plan = NULL;
        GError *error = NULL;

        refusals[i].spoil(scene);
        plan = scene_plan_create(scene, i == 0 ? "s1" : "new", &error);
        check_refusal(&refusals[i], plan, error);
    }
}

static void reverting_is_refused_with_the_right_reason(void **state)
{
    static const Refusal refusals[] = {
        {"unknown", be_readonly, ERR_NOT_FOUND, "s1"},
        {"hidden", hide_s1, ERR_NOT_FOUND, "s1"},
        {"failed", fail_s1, ERR_UNSUPPORTED, "point in time"},
        {"running (S-4)", run_after_s1, ERR_BUSY, "off"},
        {"managed save", save_after_s1, ERR_BUSY, "managed save"},
        {"backup", backup_after_s1, ERR_BUSY, "backup"},
        {"drift", foreign_overlay, ERR_DRIFT, "foreign.qcow2"},
        {"lost layer", lose_layer, ERR_DRIFT, "missing"},
        {"UEFI", uefi_after_s1, ERR_UNSUPPORTED, "UEFI"},
        {"disk gone", detach_after_s1, ERR_UNSUPPORTED, "vda"},
        {"another disk", exchange_after_s1, ERR_UNSUPPORTED, "another disk"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(Scene) scene = one_disk();
        g_autoptr(Plan) plan = NULL;
        GError *error = NULL;

        refusals[i].spoil(scene);
        plan = scene_plan_revert(scene, "s1", &error);
        check_refusal(&refusals[i], plan, error);
    }
}

static void removing_is_refused_with_the_right_reason(void **state)
{
    static const Refusal refusals[] = {
        {"unknown", be_readonly, ERR_NOT_FOUND, "s1"},
        {"hidden", hide_s1, ERR_NOT_FOUND, "s1"},
        {"held", hold_s1, ERR_BUSY, "held"},
        {"managed save", save_after_s1, ERR_BUSY, "managed save"},
        {"backup", backup_after_s1, ERR_BUSY, "backup"},
        {"block job", copy_after_s1, ERR_BUSY, "copy"},
        {"a commit elsewhere", foreign_job_of_our_kind, ERR_BUSY, "active-commit"},
        {"a lost merge (E-5)", job_that_libvirt_lost, ERR_BUSY, "lost track"},
        {"a mirror of no job (E-5)", mirror_of_no_job, ERR_BUSY, "lost track"},
        {"drift", foreign_overlay, ERR_DRIFT, "foreign.qcow2"},
        {"wrong backing", foreign_backing, ERR_DRIFT, "backing"},
        {"wrong backing format", wrong_backing_format, ERR_DRIFT, "qcow2"},
        {"lost layer", lose_layer, ERR_DRIFT, "missing"},
        {"only in the running VM", only_live_after_s1, ERR_DRIFT, "not in its persistent"},
        {"linked clone (E-37)", clone_of_s1, ERR_DRIFT, "another image"},
        {"base used by another VM (rule 11, E-37)", base_used_by_another, ERR_BUSY,
         "VM other (off)"},
        {"active used by another VM", active_used_by_another, ERR_BUSY, "VM other (off)"},
        {"a failed one that another VM uses", used_by_another_and_failed, ERR_BUSY,
         "VM other (off)"},
        {"shrunk", shrink, ERR_UNSUPPORTED, "smaller"},
        {"internal snapshots", internal_after_s1, ERR_UNSUPPORTED, "internal"},
        {"internal snapshots in what is kept", internal_in_s1, ERR_UNSUPPORTED, "internal"},
        {"encrypted", encrypt_s1, ERR_UNSUPPORTED, "encrypted"},
        {"a pipe below", pipe_below_s1, ERR_DRIFT, "golden.qcow2"},
        {"a circle below", circle_below_s1, ERR_DRIFT, "circle"},
        {"no format below (rule 12)", no_format_below_s1, ERR_DRIFT, "without its format"},
        {"nothing below", nothing_below_s1, ERR_DRIFT, "missing"},
        {"external data", data_file_after_s1, ERR_UNSUPPORTED, "external data file"},
        {"no room", fill_after_s1, ERR_NO_SPACE, "/images"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_autoptr(Scene) scene = one_disk();
        g_autoptr(Plan) plan = NULL;
        GError *error = NULL;

        refusals[i].spoil(scene);
        plan = scene_plan_remove(scene, "s1", &error);
        check_refusal(&refusals[i], plan, error);
    }
}

static void every_spoiled_scene_was_good_before(void **state)
{
    g_autoptr(Scene) scene = one_disk();

    run(scene);
    scene_create(scene, "s1");
    scene_stop(scene);
    scene_revert(scene, "s1");
    scene_remove(scene, "s1");
    assert_int_equal(scene->catalog->snapshots->len, 0);
    assert_int_equal(scene->catalog->disks->len, 0);
}

static void labels_are_refused_with_the_right_reason(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autofree char *long_text = g_strnfill(4096, 'x');
    g_autofree char *long_name = g_strnfill(201, 'x');
    GError *error = NULL;
    const char *id;

    scene_create(scene, "s1");
    scene_create(scene, "s2");
    id = scene_snapshot(scene, "s1")->id;
    assert_null(plan_rename(scene->catalog, id, "s2", &error));
    assert_true(error_is(error, ERR_EXISTS));
    g_clear_error(&error);
    assert_null(plan_rename(scene->catalog, id, "-rf", &error));
    assert_true(error_is(error, ERR_INVALID));
    g_clear_error(&error);
    assert_null(plan_rename(scene->catalog, id, long_name, &error));
    assert_true(error_is(error, ERR_NAME_TOO_LONG));
    g_clear_error(&error);
    assert_null(plan_rename(scene->catalog, "nosuchone0", "x", &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    assert_null(plan_describe(scene->catalog, id, long_text, &error));
    assert_true(error_is(error, ERR_INVALID));
    g_clear_error(&error);
    assert_null(plan_describe(scene->catalog, id, "\xff", &error));
    assert_true(error_is(error, ERR_INVALID));
    g_clear_error(&error);
    assert_null(plan_mode(scene->catalog, id, 04755, &error));
    assert_true(error_is(error, ERR_INVALID));
    g_clear_error(&error);
    assert_null(plan_policy(scene->catalog, "nosuchkey", "1", &error));
    assert_non_null(error);
    g_clear_error(&error);
    assert_null(plan_policy(scene->catalog, "nosuchkey", "default", &error));
    assert_non_null(error);
    g_clear_error(&error);
}

static void a_policy_is_dropped_only_where_it_was_set(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    static const char *const words[] = {"", "default"};

    for (gsize i = 0; i < G_N_ELEMENTS(words); i++) {
        g_autoptr(Plan) nothing = plan_policy(scene->catalog, "start", words[i], NULL);
        assert_int_equal(nothing->steps->len, 0);
        g_hash_table_insert(scene->catalog->policy, g_strdup("start"), g_strdup("3"));
        g_autoptr(Plan) dropped = plan_policy(scene->catalog, "start", words[i], NULL);
        assert_int_equal(dropped->steps->len, 1);
        assert_string_equal(step_get(dropped->steps->pdata[0], "value"), "default");
        g_hash_table_remove_all(scene->catalog->policy);
    }
}

/* --- choices --- */

static bool has_kind(const Plan *plan, StepKind kind)
{
    for (unsigned i = 0; plan && i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->kind == kind)
            return true;
    return false;
}

static void w0_a_hidden_current_snapshot_keeps_what_its_children_need(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = NULL;

    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_revert(scene, "s1");
    scene_create(scene, "s3");
    scene_revert(scene, "s1");
    scene_remove(scene, "s1");
    scene_remove(scene, "s3");
    assert_true(scene_snapshot(scene, "s1")->hidden);
    plan = plan_next(scene->catalog, scene->seen, &error);
    assert_null(plan);
    assert_null(error);
    scene_remove(scene, "s2");
    assert_int_equal(scene->catalog->snapshots->len, 0);
    assert_string_equal(active_path(scene), "/images/web01-vda.qcow2");
}

static void s_11_the_long_story_ends_with_one_file(void **state)
{
    for (unsigned running = 0; running < 2; running++) {
        g_autoptr(Scene) scene = one_disk();

        scene_create(scene, "s1");
        scene_create(scene, "s2");
        scene_create(scene, "s3");
        scene_revert(scene, "s2");
        scene_create(scene, "s4");
        scene_remove(scene, "s2");
        assert_true(scene_snapshot(scene, "s2")->hidden);
        if (running)
            scene_start(scene);
        scene_remove(scene, "s3");
        assert_null(scene_snapshot(scene, "s2"));
        scene_create(scene, "s5");
        if (running)
            scene_stop(scene);
        scene_revert(scene, "s4");
        scene_remove(scene, "s4");
        assert_true(scene_snapshot(scene, "s4")->hidden);
        if (running)
            scene_start(scene);
        scene_remove(scene, "s5");
        assert_string_equal(scene->catalog->current, scene_snapshot(scene, "s1")->id);
        scene_remove(scene, "s1");
        assert_int_equal(g_hash_table_size(scene->seen->files), 1);
        assert_string_equal(active_path(scene), "/images/web01-vda.qcow2");
    }
}

static void s_12_and_s_24_hidden_snapshots_count_as_dependants(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Scene) other = one_disk();

    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_revert(scene, "s1");
    scene_remove(scene, "s1");
    scene_revert(scene, "s2");
    assert_null(scene_snapshot(scene, "s1"));
    scene_create(other, "s1");
    scene_create(other, "s2");
    scene_create(other, "s3");
    scene_revert(other, "s2");
    scene_create(other, "s4");
    scene_remove(other, "s2");
    scene_remove(other, "s1");
    assert_null(scene_snapshot(other, "s1"));
    scene_revert(other, "s3");
}

static void e_31_twenty_children_end_in_one_merge(void **state)
{
    g_autoptr(Scene) scene = one_disk();

    scene_create(scene, "base");
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("c%u", i);

        scene_create(scene, name);
        scene_revert(scene, "base");
    }
    scene_remove(scene, "base");
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("c%u", i);

        assert_non_null(scene_snapshot(scene, "base"));
        scene_remove(scene, name);
    }
    assert_int_equal(scene->catalog->snapshots->len, 0);
}

static const Step *find_step(const Plan *plan, StepKind kind)
{
    for (unsigned i = 0; i < plan->steps->len; i++)
        if (((Step *)plan->steps->pdata[i])->kind == kind)
            return plan->steps->pdata[i];
    return NULL;
}

/* Rule 11: it is nobody's of ours any more, and it stays. */
static void a_revert_keeps_an_old_layer_that_another_vm_uses(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Plan) plan = NULL;

    active_used_by_another(scene);
    plan = scene_plan_revert(scene, "s1", NULL);
    assert_non_null(plan);
    assert_null(find_step(plan, STEP_UNLINK));
    assert_non_null(
        strstr(step_get(find_step(plan, STEP_RECORD_WARNING), "text"), active_path(scene)));
}

/* The user came after the revert had begun: its recovery keeps the file likewise. */
static void a_recovered_revert_keeps_an_old_layer_that_another_vm_uses(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Plan) plan = NULL, recovery = NULL;

    take_s1(scene);
    plan = scene_plan_revert(scene, "s1", NULL);
    be_used(scene, active_path(scene));
    for (unsigned i = 0; i < plan->commit; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    recovery = plan_recover(scene->catalog, scene->seen, plan, NULL);
    assert_non_null(find_step(recovery, STEP_RECORD_REVERT));
    assert_null(find_step(recovery, STEP_UNLINK));
    assert_non_null(find_step(recovery, STEP_RECORD_WARNING));
}

/* A user counts as a dependant: the hidden one waits, and nothing has failed. */
static void a_hidden_one_that_another_vm_uses_is_no_work(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = NULL;

    hide_s1(scene);
    be_used(scene, "/images/web01-vda.qcow2");
    scene_remove(scene, "s2");
    assert_non_null(scene_snapshot(scene, "s1"));
    assert_null(plan_next(scene->catalog, scene->seen, &error));
    assert_null(error);
    g_hash_table_remove_all(scene->seen->users);
    plan = plan_next(scene->catalog, scene->seen, &error);
    assert_non_null(plan);
    scene_run(scene, plan);
    assert_int_equal(scene->catalog->snapshots->len, 0);
}

/* Pitfall 17: it is said while there is still time. */
static void a_deep_chain_is_warned_of_before_it_is_refused(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(GError) error = NULL;

    g_hash_table_insert(scene->catalog->policy, g_strdup("max_depth"), g_strdup("8"));
    for (unsigned depth = 2; depth <= 8; depth++) {
        g_autofree char *name = g_strdup_printf("s%u", depth);

        scene_create(scene, name);
        if (depth < 6)
            assert_string_equal(scene_snapshot(scene, name)->warnings, "");
        else
            assert_non_null(strstr(scene_snapshot(scene, name)->warnings, "policy/max_depth"));
    }
    assert_null(scene_plan_create(scene, "s9", &error));
    assert_true(error_is(error, ERR_DEPTH));
}

/* libvirt's own limit stands above every policy. */
static void no_chain_grows_beyond_libvirts_limit(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(GError) error = NULL;

    g_hash_table_insert(scene->catalog->policy, g_strdup("max_depth"), g_strdup("0"));
    for (unsigned depth = 2; depth <= 200; depth++) {
        g_autofree char *name = g_strdup_printf("s%u", depth);

        scene_create(scene, name);
    }
    assert_null(scene_plan_create(scene, "more", &error));
    assert_true(error_is(error, ERR_DEPTH));
    assert_non_null(strstr(error->message, "200"));
}

static void a_foreign_golden_image_below_stays_out_of_the_catalog(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    ImageFacts *file = active_file(scene);

    str_set(&file->backing, "/images/web01-golden.raw");
    str_set(&file->backing_format, "raw");
    str_set(&scene_file(scene, "/images/web01-golden.raw")->probed, "raw");
    scene_create(scene, "s1");
    assert_int_equal(((Disk *)scene->catalog->disks->pdata[0])->layers->len, 2);
    scene_remove(scene, "s1");
    assert_non_null(observation_file(scene->seen, "/images/web01-golden.raw"));
}

static void a_failed_removal_can_be_removed_again(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    Step *failed = step_new(STEP_RECORD_FAILED);

    scene_create(scene, "s1");
    scene_accept(scene, "s1");
    step_set(failed, "snapshot", scene_snapshot(scene, "s1")->id);
    step_set(failed, "error", "no space left");
    scene_run_step(scene, failed);
    step_free(failed);
    assert_non_null(catalog_named(scene->catalog, "s1"));
    scene_remove(scene, "s1");
    assert_int_equal(scene->catalog->snapshots->len, 0);
}

/* Its commit was done and the headers say so, but before that was recorded it was cancelled. */
static void fail_half_done(Scene *scene, const char *name)
{
    g_autoptr(GError) error = NULL;
    Step *failed = step_new(STEP_RECORD_FAILED);

    scene_accept(scene, name);
    g_autoptr(Plan) plan = plan_next(scene->catalog, scene->seen, &error);
    assert_non_null(plan);
    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (step->kind == STEP_RECORD_MERGED)
            break;
        scene_run_step(scene, step);
    }
    step_set(failed, "snapshot", scene_snapshot(scene, name)->id);
    step_set(failed, "error", "cancelled");
    scene_run_step(scene, failed);
    step_free(failed);
}

static void remove_beside_half_done(bool running, const char *half_done, const char *removed)
{
    g_autoptr(Scene) scene = one_disk();

    if (running)
        scene_start(scene);
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_create(scene, "s3");
    fail_half_done(scene, half_done);
    scene_remove(scene, removed);
    assert_null(catalog_named(scene->catalog, removed));
    if (catalog_named(scene->catalog, half_done))
        scene_remove(scene, half_done);
    assert_null(catalog_named(scene->catalog, half_done));
    scene_create(scene, "s4");
}

/* Whatever is removed next to it, what is seen to be done is recorded first. */
static void what_failed_half_done_is_in_nobodys_way(void **state)
{
    static const char *const names[] = {"s1", "s2", "s3"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        for (unsigned j = 0; j < G_N_ELEMENTS(names); j++) {
            remove_beside_half_done(false, names[i], names[j]);
            remove_beside_half_done(true, names[i], names[j]);
        }
}

/* Two layers come down in one pass: what both have is what it may take. Where that is too much, one
 * after the other may do. */
static void the_room_of_a_pass_is_that_of_all_its_layers_W27(void **state)
{
    static const uint64_t rooms[] = {SCENE_GIB / 2, SCENE_GIB / 4, SCENE_GIB / 16};
    static const unsigned planned[] = {2, 1, 0};

    for (unsigned i = 0; i < G_N_ELEMENTS(rooms); i++) {
        g_autoptr(Scene) scene = one_disk();
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) layers = NULL;

        scene_create(scene, "s1");
        scene_create(scene, "s2");
        layers = g_ptr_array_ref(((Disk *)scene->catalog->disks->pdata[0])->layers);
        for (unsigned j = 1; j < 3; j++)
            scene_file(scene, ((Layer *)layers->pdata[j])->path)->allocation = SCENE_GIB / 5;
        scene_accept(scene, "s1");
        scene_accept(scene, "s2");
        set_room(scene, rooms[i]);
        g_autoptr(Plan) plan = plan_next(scene->catalog, scene->seen, &error);
        g_autoptr(GPtrArray) about = plan ? plan_snapshots(plan) : NULL;
        assert_int_equal(about ? about->len : 0, planned[i]);
        assert_true(plan || error_is(error, ERR_NO_SPACE));
    }
}

/* Two directories may be one file system, and one too small for both. */
static void the_room_of_a_plan_is_that_of_all_directories_of_a_file_system_W27(void **state)
{
    static const struct {
        uint64_t device, bytes;
        bool fits;
    } cases[] = {{0, 1536 * 1024, false}, {1, 1536 * 1024, true}, {0, 2048 * 1024, true}};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Scene) scene = one_disk();
        g_autoptr(GError) error = NULL;
        FreeSpace *other = g_new0(FreeSpace, 1);
        DomainDisk *disk;

        scene_add_disk(scene, "vdb", "qcow2");
        disk = scene_disk(scene, "vdb");
        str_set(&disk->path, "/others/vdb.qcow2");
        scene_file(scene, disk->path);
        *other = (FreeSpace){cases[i].device, cases[i].bytes};
        g_hash_table_insert(scene->seen->free_space, g_strdup("/others"), other);
        set_room(scene, cases[i].bytes);
        g_autoptr(Plan) plan = scene_plan_create(scene, "new", &error);
        assert_int_equal(plan != NULL, cases[i].fits);
        assert_true(plan || strstr(error->message, "1.5 MiB free, and this may need 2.0 MiB"));
    }
}

/* What was taken just before the room went can go without any. */
static void an_overlay_that_nothing_was_written_to_is_merged_without_room_W27(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(GError) error = NULL;

    scene_create(scene, "s1");
    set_room(scene, 0);
    active_file(scene)->allocation = 196 * 1024;
    g_autoptr(Plan) plan = scene_plan_remove(scene, "s1", &error);
    assert_non_null(plan);
    active_file(scene)->allocation = 324 * 1024; /* one cluster of data, and its table */
    assert_null(scene_plan_remove(scene, "s1", &error));
    assert_true(error_is(error, ERR_NO_SPACE));
}

static void a_removal_that_cannot_go_on_does_not_hold_up_the_others(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = NULL;
    ImageFacts *top;

    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_create(scene, "s3");
    scene_accept(scene, "s1");
    scene_accept(scene, "s2");
    top = scene_file(scene,
                     ((Layer *)((Disk *)scene->catalog->disks->pdata[0])->layers->pdata[1])->path);
    top->capacity /= 2;
    plan = plan_next(scene->catalog, scene->seen, &error);
    assert_non_null(plan);
    assert_string_equal(plan->snapshot, scene_snapshot(scene, "s2")->id);
}

static void relabelled_and_detached_disks_are_recorded_without_drift(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Plan) plan = NULL;

    scene_add_disk(scene, "vdb", "qcow2");
    scene_create(scene, "s1");
    assert_null(plan_attach(scene->catalog, scene->seen));
    str_set(&scene_disk(scene, "vda")->target, "vdx");
    str_set(&scene_disk(scene, "vdb")->target, "vda");
    str_set(&scene_disk(scene, "vdx")->target, "vdb");
    plan = plan_attach(scene->catalog, scene->seen);
    assert_non_null(plan);
    scene_run(scene, plan);
    assert_null(plan_attach(scene->catalog, scene->seen));
    scene_revert(scene, "s1");
}

/* --- recovery --- */

typedef Plan *(*Operation)(Scene *scene, GError **error);

static Plan *create_s9(Scene *scene, GError **error)
{
    return scene_plan_create(scene, "s9", error);
}

static Plan *revert_s2(Scene *scene, GError **error)
{
    return scene_plan_revert(scene, "s2", error);
}

static Plan *merge_of(Scene *scene, const char *name, GError **error)
{
    scene_accept(scene, name);
    return plan_next(scene->catalog, scene->seen, error);
}

static Plan *merge_s1(Scene *scene, GError **error)
{
    return merge_of(scene, "s1", error);
}

static Plan *merge_s3(Scene *scene, GError **error)
{
    return merge_of(scene, "s3", error);
}

static Plan *merge_last(Scene *scene, GError **error)
{
    return merge_of(scene, "last", error);
}

/* Two disks; s1 with the branches s2 → s3 and, active, s4 → last. */
static Scene *branches(bool running)
{
    Scene *scene = one_disk();

    scene_add_disk(scene, "vdb", "raw");
    scene_create(scene, "s1");
    scene_create(scene, "s2");
    scene_create(scene, "s3");
    scene_revert(scene, "s2");
    if (running)
        scene_start(scene);
    scene_create(scene, "last");
    return scene;
}

static void recover(Scene *scene, const Plan *journal, unsigned keep)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = plan_recover(scene->catalog, scene->seen, journal, &error);
    g_autofree char *text = NULL;
    g_autoptr(Plan) again = NULL;

    if (!plan)
        fail_msg("%s", error->message);
    text = plan_print(plan);
    again = plan_parse(text, NULL);
    assert_non_null(again);
    for (unsigned i = 0; i < plan->steps->len && i < keep; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
}

static void finish(Scene *scene)
{
    for (;;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Plan) plan = plan_next(scene->catalog, scene->seen, &error);

        if (error)
            fail_msg("%s", error->message);
        if (!plan)
            return;
        scene_run(scene, plan);
    }
}

/* A file that was not looked at may still be there: unlinking it once more does no harm. */
static void check_nothing_is_left(Scene *scene, const Plan *journal)
{
    g_autoptr(Plan) rest = plan_recover(scene->catalog, scene->seen, journal, NULL);

    assert_non_null(rest);
    for (unsigned i = 0; i < rest->steps->len; i++)
        assert_int_equal(((Step *)rest->steps->pdata[i])->kind, STEP_UNLINK);
}

static bool cut_once(Operation operation, bool running, bool turn_power, unsigned at, unsigned keep)
{
    g_autoptr(Scene) scene = branches(running);
    g_autoptr(GError) error = NULL;
    g_autoptr(Plan) plan = operation(scene, &error);

    if (!plan)
        fail_msg("%s", error->message);
    if (at > plan->steps->len)
        return false;
    for (unsigned i = 0; i < at; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    if (turn_power && running)
        scene_stop(scene);
    else if (turn_power)
        scene_start(scene);
    recover(scene, plan, keep);
    recover(scene, plan, G_MAXUINT);
    scene_check(scene);
    check_nothing_is_left(scene, plan);
    finish(scene);
    scene_check(scene);
    return true;
}

static void cut_everywhere(Operation operation, bool running)
{
    for (unsigned power = 0; power < 2; power++)
        for (unsigned keep = 0; keep < 4; keep++)
            for (unsigned at = 0; cut_once(operation, running, power, at, keep); at++)
                continue;
}

static void a_creation_cut_anywhere_is_recovered(void **state)
{
    cut_everywhere(create_s9, false);
    cut_everywhere(create_s9, true);
}

static void a_revert_cut_anywhere_is_recovered(void **state)
{
    cut_everywhere(revert_s2, false);
}

static void a_merge_cut_anywhere_is_recovered(void **state)
{
    static const Operation operations[] = {merge_s1, merge_s3, merge_last};

    for (unsigned i = 0; i < G_N_ELEMENTS(operations); i++) {
        cut_everywhere(operations[i], false);
        cut_everywhere(operations[i], true);
    }
}

static void an_overlay_that_somebody_uses_is_never_undone(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Plan) plan = scene_plan_create(scene, "s1", NULL);
    g_autoptr(Plan) recovery = NULL;
    const char *overlay = step_get(plan->steps->pdata[0], "path");
    ImageFacts *facts;

    scene_run_step(scene, plan->steps->pdata[0]);
    facts = scene_file(scene, "/images/foreign.qcow2");
    str_set(&facts->backing, overlay);
    str_set(&facts->backing_format, "qcow2");
    recovery = plan_recover(scene->catalog, scene->seen, plan, NULL);
    assert_non_null(recovery);
    assert_false(has_kind(recovery, STEP_UNLINK));
}

/* Its temporary would be a user of the layer below for good (rule 11). */
static void an_overlay_that_was_only_begun_is_undone(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Plan) plan = scene_plan_create(scene, "s1", NULL);
    g_autoptr(Plan) recovery = NULL;
    const char *overlay = step_get(plan->steps->pdata[0], "path");

    g_hash_table_replace(scene->seen->files, g_strdup(overlay), image_facts_new());
    recovery = plan_recover(scene->catalog, scene->seen, plan, NULL);
    assert_true(has_kind(recovery, STEP_UNLINK));
    assert_string_equal(step_get(recovery->steps->pdata[0], "path"), overlay);
}

static void what_the_guest_wrote_to_an_unstored_overlay_is_kept(void **state)
{
    g_autoptr(Scene) scene = one_disk();
    g_autoptr(Plan) plan = NULL;
    g_autoptr(Plan) recovery = NULL;

    scene_start(scene);
    plan = scene_plan_create(scene, "s1", NULL);
    scene_run_step(scene, plan->steps->pdata[0]);
    scene_stop(scene);
    scene_file(scene, step_get(plan->steps->pdata[0], "path"))->used = true;
    recovery = plan_recover(scene->catalog, scene->seen, plan, NULL);
    assert_true(has_kind(recovery, STEP_REDEFINE));
    scene_run(scene, recovery);
    assert_non_null(scene_snapshot(scene, "s1"));
}

/* The plan that goes on with what was accepted: up to, and without, the step of @kind; all of it if
 * that is N_STEP_KINDS. */
static void run_up_to(Scene *scene, StepKind kind)
{
    g_autoptr(Plan) plan = plan_next(scene->catalog, scene->seen, NULL);

    assert_non_null(plan);
    for (unsigned i = 0; i < plan->steps->len; i++) {
        const Step *step = plan->steps->pdata[i];

        if (step->kind == kind)
            return;
        scene_run_step(scene, step);
    }
    assert_int_equal(kind, N_STEP_KINDS);
}

/* The removal of a snapshot is accepted; the files of its layer and of the active one, yours. */
static Scene *accepted(char **out_base, char **out_overlay)
{
    Scene *scene = one_disk();

    *out_base = g_strdup(active_path(scene));
    scene_create(scene, "s1");
    *out_overlay = g_strdup(active_path(scene));
    scene_accept(scene, "s1");
    return scene;
}

/* An old definition, or another libvirt's, names the base while a removal is accepted, or its merge
 * was interrupted: what was not written to the base yet is in the overlay alone. It counts from
 * when the catalog says that all has been. */
static void a_definition_that_names_the_base_too_early_is_drift(void **state)
{
    const StepKind until[] = {STEP_RECORD_REMOVING, STEP_COMMIT_OFFLINE, STEP_RECORD_COMMITTED,
                              STEP_REDEFINE};
    g_autofree char *base = NULL, *overlay = NULL;
    g_autoptr(Scene) scene = accepted(&base, &overlay);

    for (unsigned i = 0; i < G_N_ELEMENTS(until); i++) {
        g_autoptr(GError) error = NULL;

        run_up_to(scene, until[i]);
        str_set(&scene_disk(scene, "vda")->path, base);
        g_autofree char *drift = plan_drift(scene->catalog, scene->seen);
        g_autoptr(Plan) plan = plan_next(scene->catalog, scene->seen, &error);
        if (until[i] == STEP_REDEFINE) {
            assert_null(drift);
            assert_true(has_kind(plan, STEP_UNLINK));
        } else {
            assert_non_null(strstr(drift, overlay));
            assert_null(plan);
            assert_true(error_is(error, ERR_DRIFT));
            str_set(&scene_disk(scene, "vda")->path, overlay);
        }
    }
}

/* It was not redefined after all: what the guest writes from now on is not in the base. */
static void
what_was_committed_counts_no_more_once_the_definition_names_the_active_layer(void **state)
{
    g_autofree char *base = NULL, *overlay = NULL;
    g_autoptr(Scene) scene = accepted(&base, &overlay);

    run_up_to(scene, STEP_REDEFINE);
    str_set(&scene_disk(scene, "vda")->path, base);
    assert_null(plan_attach(scene->catalog, scene->seen));
    str_set(&scene_disk(scene, "vda")->path, overlay);
    g_autoptr(Plan) plan = plan_attach(scene->catalog, scene->seen);
    assert_int_equal(plan->steps->len, 1);
    scene_run(scene, plan);
    assert_null(((Disk *)scene->catalog->disks->pdata[0])->committed);
    str_set(&scene_disk(scene, "vda")->path, base);
    g_autofree char *drift = plan_drift(scene->catalog, scene->seen);
    assert_non_null(drift);
}

/* Who named the base may mean it. The overlay stays, for who did not. */
static void a_base_that_was_named_too_early_can_be_adopted(void **state)
{
    g_autofree char *base = NULL, *overlay = NULL;
    g_autoptr(Scene) scene = accepted(&base, &overlay);

    run_up_to(scene, STEP_RECORD_COMMITTED);
    str_set(&scene_disk(scene, "vda")->path, base);
    g_autoptr(Plan) plan = scene_plan_adopt(scene, NULL);
    assert_non_null(plan);
    for (unsigned i = 0; i < plan->steps->len; i++)
        scene_run_step(scene, plan->steps->pdata[i]);
    assert_string_equal(active_path(scene), base);
    assert_null(plan_drift(scene->catalog, scene->seen));
    run_up_to(scene, N_STEP_KINDS);
    assert_int_equal(scene->catalog->snapshots->len, 0);
    assert_non_null(observation_file(scene->seen, overlay));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spoiled_scene_was_good_before),
        cmocka_unit_test(creating_is_refused_with_the_right_reason),
        cmocka_unit_test(reverting_is_refused_with_the_right_reason),
        cmocka_unit_test(removing_is_refused_with_the_right_reason),
        cmocka_unit_test(labels_are_refused_with_the_right_reason),
        cmocka_unit_test(w0_a_hidden_current_snapshot_keeps_what_its_children_need),
        cmocka_unit_test(s_11_the_long_story_ends_with_one_file),
        cmocka_unit_test(s_12_and_s_24_hidden_snapshots_count_as_dependants),
        cmocka_unit_test(e_31_twenty_children_end_in_one_merge),
        cmocka_unit_test(a_revert_keeps_an_old_layer_that_another_vm_uses),
        cmocka_unit_test(a_recovered_revert_keeps_an_old_layer_that_another_vm_uses),
        cmocka_unit_test(a_hidden_one_that_another_vm_uses_is_no_work),
        cmocka_unit_test(a_deep_chain_is_warned_of_before_it_is_refused),
        cmocka_unit_test(no_chain_grows_beyond_libvirts_limit),
        cmocka_unit_test(a_foreign_golden_image_below_stays_out_of_the_catalog),
        cmocka_unit_test(a_failed_removal_can_be_removed_again),
        cmocka_unit_test(what_failed_half_done_is_in_nobodys_way),
        cmocka_unit_test(the_room_of_a_pass_is_that_of_all_its_layers_W27),
        cmocka_unit_test(the_room_of_a_plan_is_that_of_all_directories_of_a_file_system_W27),
        cmocka_unit_test(an_overlay_that_nothing_was_written_to_is_merged_without_room_W27),
        cmocka_unit_test(a_removal_that_cannot_go_on_does_not_hold_up_the_others),
        cmocka_unit_test(relabelled_and_detached_disks_are_recorded_without_drift),
        cmocka_unit_test(a_creation_cut_anywhere_is_recovered),
        cmocka_unit_test(a_revert_cut_anywhere_is_recovered),
        cmocka_unit_test(a_merge_cut_anywhere_is_recovered),
        cmocka_unit_test(an_overlay_that_somebody_uses_is_never_undone),
        cmocka_unit_test(an_overlay_that_was_only_begun_is_undone),
        cmocka_unit_test(what_the_guest_wrote_to_an_unstored_overlay_is_kept),
        cmocka_unit_test(a_definition_that_names_the_base_too_early_is_drift),
        cmocka_unit_test(
            what_was_committed_counts_no_more_once_the_definition_names_the_active_layer),
        cmocka_unit_test(a_base_that_was_named_too_early_can_be_adopted),
        cmocka_unit_test(a_policy_is_dropped_only_where_it_was_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
