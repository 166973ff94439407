/* libvirt is killed in the end of a live merge, and QEMU dies before it is back: did QEMU pivot?
 * The guest wrote last to the base if so, else to the layer that is merged. Nothing that it wrote
 * may be lost, whatever it was; where nobody can tell, somebody is asked, and both files stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "lab-asserts.h"
#include "run/vm-start.h"

typedef struct {
    const char *before; /* a script */
    const char *word;   /* the removal in which libvirt is killed */
    const char *name;   /* of its snapshot */
    const char *end;    /* what ends it when it has failed */
} Tree;

static const Tree trees[] = {
    {"w S c1 w w", "d1", "s1", "d1"},
    {"w S c1 w c2 w w", "d2", "s2", "d2 d1"},
    {"w S c1 w c2 w w x1 x2", "f", "s1", "d1 d2"},
    {"w c1 w c2 w r1 w c3 w S w", "d3", "s3", "d3"},
};

#define FORGOTTEN "11111111-2222-4333-8444-555555555555"

/* More than a disk has blocks: what QEMU left has some that were written over since. */
#define MANY 20

static const SimDeath deaths[] = {SIM_DIES_BEFORE_PIVOT, SIM_DIES_IN_PIVOT};

static void assert_refused(bool done, GError **error)
{
    assert_false(done);
    if (!error_is(*error, ERR_DRIFT))
        fail_msg("code %d: %s", (*error)->code, (*error)->message);
    g_clear_error(error);
}

/* The guest goes on writing @writes times after libvirt's death. */
static Lab *lab_killed(const Tree *tree, unsigned disks, SimDeath death, unsigned writes)
{
    Lab *lab = lab_after(disks, tree->before);
    g_autoptr(GError) error = NULL;

    simhost_set_death(lab->host, death);
    assert_false(lab_do(lab, tree->word, &error));
    assert_true(error_is(error, ERR_HOST_DOWN));
    for (unsigned i = 0; i < writes; i++)
        lab_write(lab);
    return lab;
}

/* libvirt is back, and so is the program. */
static void come_back(Lab *lab)
{
    simhost_set_down(lab->host, false);
    lab_restart(lab);
}

typedef struct {
    char *top, *base;
} Files2;

/* The two files of vda, whose pivot it was. */
static Files2 files_in_doubt(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Disk *disk = catalog_disk_by_target(catalog, "vda");

    assert_non_null(disk->pivot);
    return (Files2){.top = g_strdup(disk_active(disk)->path),
                    .base = g_strdup(disk_layer(disk, disk->pivot)->path)};
}

static void files_clear(Files2 *files)
{
    g_free(files->top);
    g_free(files->base);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Files2, files_clear)

static void assert_holds_what_the_guest_wrote(Lab *lab, const char *path)
{
    g_autoptr(GArray) content = simhost_image_content(lab->host, path);
    const GArray *wrote = lab->active->pdata[0];

    assert_int_equal(content->len, wrote->len);
    assert_memory_equal(content->data, wrote->data, wrote->len * sizeof(guint64));
}

/* Nothing that would overwrite one of the two, or go on from one, is done, and all is said. */
static void assert_asks(Lab *lab, const Files2 *files)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Observation) seen = vm_observe(lab->vm, NULL);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autofree char *drift = plan_drift(catalog, seen);

    assert_non_null(drift);
    assert_non_null(strstr(drift, files->top));
    assert_non_null(strstr(drift, files->base));
    assert_refused(lab_do(lab, "c9", &error), &error);
    assert_refused(vm_start(lab->vm, "start", &error), &error);
    if (catalog_named(catalog, "s1") && catalog_named(catalog, "s1")->state == SNAPSHOT_READY)
        assert_refused(lab_do(lab, "r1", &error), &error);
    assert_true(simhost_image_exists(lab->host, files->top));
    assert_true(simhost_image_exists(lab->host, files->base));
}

/* Somebody looks, and says which. */
static void choose(Lab *lab, const Files2 *files, bool base)
{
    g_autoptr(GError) error = NULL;

    if (base)
        simhost_stranger_edit(lab->host, LAB_UUID, "vda", files->base, "qcow2");
    else
        assert_done(vm_adopt(lab->vm, 0, 0750, "adopt", &lab->hooks, &error), &error);
}

static void end_removal(Lab *lab, const Tree *tree)
{
    g_auto(GStrv) words = g_strsplit(tree->end, " ", -1);

    for (char **word = words; *word; word++) {
        g_autofree char *name = g_strdup_printf("s%s", *word + 1);
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        g_autoptr(GError) error = NULL;

        if (catalog_named(catalog, name))
            assert_done(lab_do(lab, *word, &error), &error);
    }
}

static void assert_whole(Lab *lab)
{
    g_autoptr(GError) error = NULL;

    assert_done(lab_finish(lab, &error), &error);
    assert_lawful(lab);
    if (lab_is_off(lab))
        assert_done(vm_start(lab->vm, "start", &error), &error);
    assert_lawful(lab);
}

static void check_asked(const Tree *tree, unsigned disks, SimDeath death)
{
    g_autoptr(Lab) lab = lab_killed(tree, disks, death, MANY);
    g_autoptr(GError) error = NULL;
    bool pivoted = death == SIM_DIES_IN_PIVOT;

    lab_stop(lab);
    come_back(lab);
    assert_refused(lab_finish(lab, &error), &error);
    g_auto(Files2) files = files_in_doubt(lab);
    assert_holds_what_the_guest_wrote(lab, pivoted ? files.base : files.top);
    assert_asks(lab, &files);
    assert_refused(lab_do(lab, tree->end[1] == '1' ? "d1" : tree->word, &error), &error);
    lab_restart(lab);
    assert_done(vm_open(lab->vm, &error), &error);
    assert_asks(lab, &files);
    choose(lab, &files, pivoted);
    end_removal(lab, tree);
    assert_whole(lab);
}

static void what_nobody_saw_is_asked_and_nothing_is_lost(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(trees); i++)
        for (guint j = 0; j < G_N_ELEMENTS(deaths); j++)
            for (unsigned disks = 1; disks <= 2; disks++)
                check_asked(&trees[i], disks, deaths[j]);
}

/* Whichever it was, both are right. */
static void what_is_the_same_is_not_asked(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(trees); i++)
        for (guint j = 0; j < G_N_ELEMENTS(deaths); j++) {
            g_autoptr(Lab) lab = lab_killed(&trees[i], 2, deaths[j], 0);

            lab_stop(lab);
            come_back(lab);
            assert_whole(lab);
        }
}

static uint64_t a_limit(void *data)
{
    return 1000 * 1000;
}

static void a_bandwidth_does_not_end_the_comparison(void **state)
{
    const VmHooks hooks = {.bandwidth = a_limit};
    g_autoptr(Lab) lab = lab_killed(&trees[0], 1, SIM_DIES_BEFORE_PIVOT, 0);
    g_autoptr(GError) error = NULL;
    g_autofree char *name = NULL;
    bool done = false;

    lab_stop(lab);
    come_back(lab);
    assert_done(vm_finish(lab->vm, &hooks, &done, &name, &error), &error);
    assert_whole(lab);
}

/* libvirt sees what its QEMU does. */
static void what_libvirt_comes_back_to_is_not_asked(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(trees); i++)
        for (guint j = 0; j < G_N_ELEMENTS(deaths); j++) {
            g_autoptr(Lab) lab = lab_killed(&trees[i], 2, deaths[j], MANY);

            come_back(lab);
            assert_whole(lab);
            lab_stop(lab);
            assert_lawful(lab);
        }
}

/* Whoever starts it has it on the old file: that is not merged over the other one. */
static void a_vm_that_somebody_starts_stays_in_doubt(void **state)
{
    g_autoptr(Lab) lab = lab_killed(&trees[0], 1, SIM_DIES_IN_PIVOT, MANY);
    g_autoptr(GError) error = NULL;

    lab_stop(lab);
    come_back(lab);
    assert_true(simhost_start(lab->host, LAB_UUID));
    assert_refused(lab_finish(lab, &error), &error);
    g_auto(Files2) files = files_in_doubt(lab);
    assert_holds_what_the_guest_wrote(lab, files.base);
    assert_refused(lab_do(lab, "c9", &error), &error);
    assert_refused(lab_do(lab, "d1", &error), &error);
    lab_stop(lab);
    choose(lab, &files, true);
    end_removal(lab, &trees[0]);
    assert_whole(lab);
}

/* libvirt may name another file than QEMU writes to. */
static void what_runs_is_adopted_when_it_is_off(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(trees); i++) {
        g_autoptr(Lab) lab = lab_killed(&trees[i], 2, SIM_DIES_BEFORE_PIVOT, MANY);
        g_autoptr(GError) error = NULL, busy = NULL;

        lab_stop(lab);
        come_back(lab);
        assert_true(simhost_start(lab->host, LAB_UUID));
        lab_write(lab);
        assert_refused(lab_finish(lab, &error), &error);
        assert_false(vm_adopt(lab->vm, 0, 0750, "adopt", &lab->hooks, &busy));
        assert_true(error_is(busy, ERR_BUSY));
        lab_stop(lab);
        assert_done(vm_adopt(lab->vm, 0, 0750, "adopt", &lab->hooks, &error), &error);
        assert_true(simhost_start(lab->host, LAB_UUID));
        lab_write(lab);
        end_removal(lab, &trees[i]);
        assert_false(lab_is_off(lab));
        assert_whole(lab);
    }
}

/* A comparison that cannot be made, or ends in the middle, answers nothing. */
static void a_broken_comparison_decides_nothing(void **state)
{
    const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};

    for (guint m = 0; m < G_N_ELEMENTS(modes); m++)
        for (unsigned call = 1; call <= 14; call++) {
            g_autoptr(Lab) lab = lab_killed(&trees[call % 3], 1, deaths[m % 2], m < 2 ? 0 : MANY);

            lab_stop(lab);
            come_back(lab);
            fault_arm(lab->fault, modes[m], call);
            lab_finish(lab, NULL);
            lab_restart(lab);
            if (m >= 2) {
                g_autoptr(GError) error = NULL;

                vm_open(lab->vm, NULL);
                lab_finish(lab, NULL);
                g_auto(Files2) files = files_in_doubt(lab);
                assert_asks(lab, &files);
                choose(lab, &files, deaths[m % 2] == SIM_DIES_IN_PIVOT);
            }
            assert_done(vm_open(lab->vm, NULL), NULL);
            lab_finish(lab, NULL);
            end_removal(lab, &trees[call % 3]);
            assert_whole(lab);
        }
}

/* A QEMU that libvirt has forgotten since it pivoted: to libvirt the VM is off. */
static void forgotten_on(Lab *lab, const char *path)
{
    simhost_add_domain(lab->host, FORGOTTEN, "forgotten", DOMAIN_OFF);
    simhost_add_disk(lab->host, FORGOTTEN, "vda", path, "qcow2");
    assert_true(simhost_start(lab->host, FORGOTTEN));
}

static void nothing_is_built_on_a_file_that_a_forgotten_qemu_writes_to(void **state)
{
    static const char *const asked[] = {"c3", "d1", "d2", "r1", "r2"};

    for (guint i = 0; i < G_N_ELEMENTS(asked); i++) {
        g_autoptr(Lab) lab = lab_after(2, "w c1 w c2 w");
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        const Disk *disk = catalog_disk_by_target(catalog, "vda");
        g_autoptr(GError) error = NULL;

        forgotten_on(lab, disk_layer(disk, disk_active(disk)->parent)->path);
        assert_false(lab_do(lab, asked[i], &error));
        assert_true(error_is(error, ERR_BUSY));
        assert_lawful(lab);
        simhost_stop(lab->host, FORGOTTEN);
        g_clear_error(&error);
        assert_done(lab_script(lab, "f w c4 w", &error), &error);
        assert_lawful(lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_saw_is_asked_and_nothing_is_lost),
        cmocka_unit_test(what_is_the_same_is_not_asked),
        cmocka_unit_test(a_bandwidth_does_not_end_the_comparison),
        cmocka_unit_test(what_libvirt_comes_back_to_is_not_asked),
        cmocka_unit_test(a_vm_that_somebody_starts_stays_in_doubt),
        cmocka_unit_test(what_runs_is_adopted_when_it_is_off),
        cmocka_unit_test(a_broken_comparison_decides_nothing),
        cmocka_unit_test(nothing_is_built_on_a_file_that_a_forgotten_qemu_writes_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
