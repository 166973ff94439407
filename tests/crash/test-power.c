/* Power loss, see tests/lab/power-run.h. That the test can fail is tested as well: with each kind
 * of fsync left out, something must break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "power-run.h"
#include "run/vm-life.h"

static const PowerCase off_cases[] = {
    {.before = "w", .word = "c1"},
    {.before = "w c1 w", .word = "c2"},
    {.before = "w c1 w c2 w", .word = "r1"},
    {.before = "w c1 w", .word = "d1"},
    {.before = "w c1 w c2 w", .word = "d1"},
    {.before = "w c1 w c2 w r1 w", .word = "d2"},
    {.before = "w c1 w c2 w r1 w c3 w", .word = "d1"},
    {.before = "w c1 w c2 w r1 w c3 w d1 w", .word = "d3"},
    {.before = "w c1 w c2 w c3 w x2 x3", .word = "f"},
    {.before = "w c1 w", .word = "m1"},
    {.before = "w c1 w", .word = "e1"},
    {.before = "w c1 w", .word = "h1"},
    {.before = "w", .word = "p"},
};

static const PowerCase running_cases[] = {
    {.before = "w S", .word = "c1"},
    {.before = "w S c1 w", .word = "c2"},
    {.before = "w c1 w S", .word = "d1"},
    {.before = "w S c1 w c2 w", .word = "d1"},
    {.before = "w c1 w c2 w r1 w S", .word = "d2"},
    {.before = "w S c1 w c2 w c3 w x1 x2", .word = "f"},
};

/* With a guest agent; of the last, a thaw is owed. */
static const PowerCase frozen_cases[] = {
    {.before = "w A2 S", .word = "c1"},
    {.before = "w A: S", .word = "c1"},
};

/* With UEFI variables and a vTPM. */
static const PowerCase firmware_cases[] = {
    {.before = "U w", .word = "c1"},
    {.before = "U w A2 S c1 w", .word = "c2"},
    {.before = "U w c1 w c2 w", .word = "r1"},
    {.before = "U w c1 w c2 w", .word = "d1"},
    {.before = "U w c1 w c2 w c3 w x1 x2", .word = "f"},
};

static void snapshot_by_stranger(Lab *lab)
{
    const char *const targets[] = {"vda", NULL};

    simhost_stranger_snapshot(lab->host, LAB_UUID, "foreign", targets);
}

static bool adopt(Lab *lab, GError **error)
{
    return vm_adopt(lab->vm, 0, 0750, "write", NULL, error);
}

static bool move_vm(Lab *lab, GError **error)
{
    return vm_move(lab->vm, "another", "mv lab another", NULL, error);
}

static bool expunge_vm(Lab *lab, GError **error)
{
    g_autoptr(GPtrArray) left = NULL;

    return vm_expunge(lab->vm, "rmdir lab", NULL, &left, error);
}

static const PowerCase adopt_cases[] = {
    {.before = "w c1 w", .run = adopt, .prepare = snapshot_by_stranger, .again = true},
    {.before = "U w c1 w c2", .run = adopt, .prepare = lab_go_back_by_stranger, .again = true},
};

static const PowerCase life_cases[] = {
    {.before = "w c1 w c2 w", .run = move_vm},
    {.before = "p", .run = move_vm},
    {.before = "w c1 w d1", .run = expunge_vm, .ends = true},
    {.before = "U w c1 w d1", .run = expunge_vm, .ends = true},
};

static void run_cases(const PowerCase *cases, size_t n, unsigned disks)
{
    for (size_t i = 0; i < n; i++) {
        g_autofree char *broken = power_run(&cases[i], disks, NULL);

        if (broken)
            fail_msg("%s", broken);
    }
}

static void a_vm_that_is_off_survives_every_power_loss(void **state)
{
    run_cases(off_cases, G_N_ELEMENTS(off_cases), 1);
}

static void a_running_vm_survives_every_power_loss(void **state)
{
    run_cases(running_cases, G_N_ELEMENTS(running_cases), 2);
}

static void a_guest_that_is_frozen_survives_every_power_loss(void **state)
{
    run_cases(frozen_cases, G_N_ELEMENTS(frozen_cases), 1);
}

static void a_vm_with_firmware_state_survives_every_power_loss(void **state)
{
    run_cases(firmware_cases, G_N_ELEMENTS(firmware_cases), 1);
}

static void an_adoption_survives_every_power_loss(void **state)
{
    run_cases(adopt_cases, G_N_ELEMENTS(adopt_cases), 1);
}

static void a_vm_that_is_renamed_or_removed_survives_every_power_loss(void **state)
{
    run_cases(life_cases, G_N_ELEMENTS(life_cases), 1);
}

/* ---- it can fail ---- */

#define OWN ".vmsnapfs/" LAB_UUID

static bool is_catalog(const char *path, bool directory)
{
    return g_str_has_suffix(path, "/catalog.yaml.new");
}

static bool is_journal(const char *path, bool directory)
{
    return g_str_has_suffix(path, "/journal.yaml.new");
}

static bool is_own_directory(const char *path, bool directory)
{
    return g_str_equal(path, OWN);
}

static bool is_outer_directory(const char *path, bool directory)
{
    return g_str_equal(path, ".vmsnapfs");
}

static bool is_home(const char *path, bool directory)
{
    return directory && g_str_equal(path, "");
}

static bool is_vars_file(const char *path, bool directory)
{
    return !directory && g_str_has_prefix(path, OWN "/vars/");
}

static bool is_vars_directory(const char *path, bool directory)
{
    return g_str_equal(path, OWN "/vars");
}

static bool is_tpm_file(const char *path, bool directory)
{
    return !directory && g_str_has_prefix(path, OWN "/tpm/");
}

static bool is_tpm_of_one(const char *path, bool directory)
{
    return directory && g_str_has_prefix(path, OWN "/tpm/");
}

static bool is_tpm_directory(const char *path, bool directory)
{
    return g_str_equal(path, OWN "/tpm");
}

static const struct {
    const char *name;
    PowerIgnored ignored;
    PowerCase the;
} mutations[] = {
    {"catalog.yaml", is_catalog, {.before = "w c1 w", .word = "e1"}},
    {"journal.yaml", is_journal, {.before = "w c1 w", .word = "c2"}},
    {"the directory of the VM", is_own_directory, {.before = "w c1 w", .word = "m1"}},
    {".vmsnapfs", is_outer_directory, {.before = "w", .word = "c1"}},
    {"the home", is_home, {.before = "w", .word = "p"}},
    {"variables", is_vars_file, {.before = "U w c1 w", .word = "c2"}},
    {"the directory of variables", is_vars_directory, {.before = "U w c1 w", .word = "c2"}},
    {"vTPM state", is_tpm_file, {.before = "U w c1 w", .word = "c2"}},
    {"the directory of a vTPM's state", is_tpm_of_one, {.before = "U w c1 w", .word = "c2"}},
    {"the directory of vTPM states", is_tpm_directory, {.before = "U w c1 w", .word = "c2"}},
};

static void without_any_kind_of_fsync_a_law_breaks(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(mutations); i++) {
        g_autofree char *broken = power_run(&mutations[i].the, 1, mutations[i].ignored);

        if (!broken)
            fail_msg("nothing broke, though %s was never synced", mutations[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_that_is_off_survives_every_power_loss),
        cmocka_unit_test(a_running_vm_survives_every_power_loss),
        cmocka_unit_test(a_guest_that_is_frozen_survives_every_power_loss),
        cmocka_unit_test(a_vm_with_firmware_state_survives_every_power_loss),
        cmocka_unit_test(an_adoption_survives_every_power_loss),
        cmocka_unit_test(a_vm_that_is_renamed_or_removed_survives_every_power_loss),
        cmocka_unit_test(without_any_kind_of_fsync_a_law_breaks),
    };
    cmocka_set_test_filter(g_getenv("POWER_ONLY"));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    g_autofree char *summary = power_summary();

    fprintf(stderr, "# %s\n", summary);
    return failed;
}
