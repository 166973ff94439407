/* Reverts of a VM with UEFI variables and a vTPM, and removals of its snapshots: what comes back,
 * what is refused with nothing changed, and what a clean-up that fails leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "broken.h"
#include "lab-asserts.h"
#include "model/simhost-face.h"
#include "store/sidecar.h"

#define JOURNAL LAB_HOME "/.vmsnapfs/" LAB_UUID "/journal.yaml"
#define TPM     SIM_TPM_DIRECTORY "/" LAB_UUID "/tpm2"

/* ---- a VM that was started once ---- */

static void guest_writes(Lab *lab, uint64_t value)
{
    simhost_write_variable(lab->host, LAB_UUID, value);
    simhost_write_secret(lab->host, LAB_UUID, value);
}

static void assert_guest_reads(Lab *lab, uint64_t value)
{
    assert_int_equal(simhost_read_variable(lab->host, LAB_UUID), value);
    assert_int_equal(simhost_read_secret(lab->host, LAB_UUID), value);
}

/* s1 has 1, s2 has 2, the guest has 3 now; the VM is off. */
static Lab *with_disks(SimFirmware firmware, unsigned disks)
{
    Lab *lab = lab_new(disks, 3);
    g_autoptr(GError) error = NULL;

    simhost_set_firmware(lab->host, LAB_UUID, firmware, false);
    simhost_set_tpm(lab->host, LAB_UUID, true);
    assert_done(lab_script(lab, "S P w", &error), &error);
    guest_writes(lab, 1);
    assert_done(lab_script(lab, "c1 w", &error), &error);
    guest_writes(lab, 2);
    assert_done(lab_script(lab, "c2 w", &error), &error);
    guest_writes(lab, 3);
    return lab;
}

static Lab *two_snapshots(SimFirmware firmware)
{
    return with_disks(firmware, 2);
}

static char *id_of(Lab *lab, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    return g_strdup(catalog_named(catalog, name)->id);
}

static bool has_sidecar(Lab *lab, const char *id)
{
    g_autoptr(GPtrArray) ids = sidecar_list(lab->memory, LAB_HOME, LAB_UUID);

    return g_ptr_array_find_with_equal_func(ids, id, g_str_equal, NULL);
}

static bool has_state(Lab *lab, const char *path)
{
    g_autoptr(GBytes) content = simhost_state_content(lab->host, path);

    return content != NULL;
}

static char *warnings_of(Lab *lab, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    return g_strdup(catalog_named(catalog, name)->warnings);
}

/* Everything that a refusal must leave as it is. */
static char *whole_state(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autofree char *yaml = catalog_to_yaml(catalog);
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    g_autoptr(GPtrArray) states = simhost_states(lab->host);
    GString *text = g_string_new(yaml);

    for (guint i = 0; i < images->len; i++)
        g_string_append_printf(text, "%s\n", (char *)images->pdata[i]);
    for (guint i = 0; i < states->len; i++) {
        g_autoptr(GBytes) content = simhost_state_content(lab->host, states->pdata[i]);
        g_autofree char *digest = state_digest(content);

        g_string_append_printf(text, "%s %s\n", (char *)states->pdata[i], digest);
    }
    g_string_append_printf(text, "%d\n", lab->memory->ops->exists(lab->memory, JOURNAL));
    return g_string_free(text, FALSE);
}

/* ---- what comes back ---- */

/* S-27, S-29, U-6: before any boot. Nothing of the other side is left. */
static void s_29_variables_are_the_sidecar_byte_for_byte_before_the_boot(void **state)
{
    static const SimFirmware styles[] = {SIM_LOADER, SIM_EFI};

    for (guint i = 0; i < G_N_ELEMENTS(styles); i++) {
        g_autoptr(Lab) lab = two_snapshots(styles[i]);
        g_autofree char *old = simhost_vars_path(lab->host, LAB_UUID), *id = id_of(lab, "s1");
        g_autofree char *kept = sidecar_vars_path(LAB_HOME, LAB_UUID, id);
        g_autoptr(GError) error = NULL;
        gsize length;

        simhost_set_state(lab->host, old, "corrupt");
        assert_done(lab_do(lab, "r1", &error), &error);
        g_autofree char *path = simhost_vars_path(lab->host, LAB_UUID);
        g_autoptr(GBytes) store = simhost_state_content(lab->host, path);
        g_autofree char *sidecar = lab->memory->ops->read(lab->memory, kept, &length, NULL);
        assert_string_not_equal(path, old);
        assert_int_equal(g_bytes_get_size(store), length);
        assert_memory_equal(g_bytes_get_data(store, NULL), sidecar, length);
        assert_false(has_state(lab, old));
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        assert_string_equal(catalog->vars, path);
        assert_guest_reads(lab, 1);
        assert_lawful(lab);
        assert_true(lab_start(lab));
        assert_guest_reads(lab, 1);
    }
}

/* Back and forth: stores are named for the VM's, and each goes when the next one comes. */
static void reverts_follow_each_other(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autoptr(GError) error = NULL;

    for (unsigned i = 0; i < 6; i++) {
        assert_done(lab_script(lab, i % 2 ? "r1 S w P w" : "r2 S w P w", &error), &error);
        assert_guest_reads(lab, i % 2 ? 1 : 2);
        guest_writes(lab, 100 + i);
        assert_lawful(lab);
    }
}

/* U-5, U-7: neither the store nor the vTPM's directory need be there. */
static void u_05_u_07_what_is_missing_is_made(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autofree char *old = simhost_vars_path(lab->host, LAB_UUID);
    g_autoptr(GError) error = NULL;

    simhost_set_state(lab->host, old, NULL);
    simhost_set_state_directory(lab->host, TPM, false);
    assert_done(lab_do(lab, "r1", &error), &error);
    assert_guest_reads(lab, 1);
    assert_lawful(lab);
}

/* ---- refusals ---- */

static void damage_vars(Lab *lab, const char *id)
{
    g_autofree char *path = sidecar_vars_path(LAB_HOME, LAB_UUID, id);

    assert_true(lab->memory->ops->replace(lab->memory, path, "damaged", -1, NULL));
}

static void lose_vars(Lab *lab, const char *id)
{
    g_autofree char *path = sidecar_vars_path(LAB_HOME, LAB_UUID, id);

    assert_true(lab->memory->ops->remove(lab->memory, path, NULL));
}

static void damage_tpm(Lab *lab, const char *id)
{
    g_autofree char *path = sidecar_tpm_path(LAB_HOME, LAB_UUID, id);
    g_autofree char *file = g_build_filename(path, "tpm2-00.permall", NULL);

    assert_true(lab->memory->ops->replace(lab->memory, file, "damaged", -1, NULL));
}

static void lose_tpm(Lab *lab, const char *id)
{
    g_autofree char *path = sidecar_tpm_path(LAB_HOME, LAB_UUID, id);
    g_autofree char *file = g_build_filename(path, "tpm2-00.permall", NULL);

    assert_true(lab->memory->ops->remove(lab->memory, file, NULL));
    assert_true(lab->memory->ops->remove(lab->memory, path, NULL));
}

static void lose_uefi(Lab *lab, const char *id)
{
    simhost_set_capabilities(lab->host, false, true);
}

static void lose_swtpm(Lab *lab, const char *id)
{
    simhost_set_capabilities(lab->host, true, false);
}

static void become_bios(Lab *lab, const char *id)
{
    simhost_set_firmware(lab->host, LAB_UUID, SIM_BIOS, false);
}

static void take_the_tpm(Lab *lab, const char *id)
{
    simhost_set_tpm(lab->host, LAB_UUID, false);
}

static void name_the_template(Lab *lab, const char *id)
{
    simhost_set_nvram(lab->host, LAB_UUID, SIM_TEMPLATE);
}

static const struct {
    void (*spoil)(Lab *lab, const char *id);
    ErrorCode code;
} spoils[] = {
    {damage_vars, ERR_IO},
    {lose_vars, ERR_UNSUPPORTED},
    {damage_tpm, ERR_IO},
    {lose_tpm, ERR_UNSUPPORTED},
    {lose_uefi, ERR_UNSUPPORTED},
    {lose_swtpm, ERR_UNSUPPORTED},
    {become_bios, ERR_UNSUPPORTED},
    {take_the_tpm, ERR_UNSUPPORTED},
    {name_the_template, ERR_UNSUPPORTED},
};

/* S-30, S-31, U-3, U-37, NV-12: and nothing was touched, the template least of all. */
static void s_30_what_would_not_boot_is_refused_and_nothing_is_changed(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(spoils); i++) {
        g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
        g_autofree char *id = id_of(lab, "s1");
        g_autoptr(GError) error = NULL;

        spoils[i].spoil(lab, id);
        g_autofree char *before = whole_state(lab);
        assert_false(lab_do(lab, "r1", &error));
        if (!error_is(error, spoils[i].code) || !strstr(error->message, "s1"))
            fail_msg("case %u: %d %s", i, error->code, error->message);
        g_autofree char *after = whole_state(lab);
        assert_string_equal(before, after);
        assert_true(has_state(lab, SIM_TEMPLATE));
    }
}

/* U-8: the copy fails, after whatever it has written. */
static void u_08_a_copy_that_fails_leaves_the_variables_alone(void **state)
{
    g_autoptr(Lab) counted = two_snapshots(SIM_LOADER);
    unsigned effects;

    fault_arm(counted->fault, FAULT_NONE, 0);
    assert_true(lab_do(counted, "r1", NULL));
    effects = fault_calls(counted->fault);
    for (unsigned call = 1; call <= effects; call++) {
        g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
        bool reverted;

        fault_arm(lab->fault, FAULT_FAIL, call);
        reverted = vm_revert(lab->vm, "s1", "ln", NULL, NULL);
        fault_arm(lab->fault, FAULT_NONE, 0);
        assert_guest_reads(lab, reverted ? 1 : 3);
        assert_true(broken_recover(lab, NULL));
        assert_guest_reads(lab, reverted ? 1 : 3);
        assert_null(lab_follow(lab));
        assert_lawful(lab);
    }
}

/* U-31, U-36, S-31: nothing of the removal happens, and it does when the host can do it again. */
static void u_31_a_host_that_lost_uefi_removes_nothing(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autoptr(GError) error = NULL;

    simhost_set_capabilities(lab->host, false, true);
    g_autofree char *before = whole_state(lab);
    assert_false(lab_do(lab, "d1", &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    g_autofree char *after = whole_state(lab);
    assert_string_equal(before, after);
    simhost_set_capabilities(lab->host, true, true);
    g_clear_error(&error);
    assert_done(lab_do(lab, "d1", &error), &error);
    assert_lawful(lab);
}

/* ---- removals ---- */

/* S-28, U-9, U-10, U-30: exactly the removed one's, whatever is merged; the directory stays. */
static void s_28_exactly_the_right_sidecars_go(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autofree char *one = id_of(lab, "s1"), *two = id_of(lab, "s2");
    g_autoptr(GError) error = NULL;

    assert_done(lab_do(lab, "d1", &error), &error);
    assert_false(has_sidecar(lab, one));
    assert_true(has_sidecar(lab, two));
    assert_done(lab_do(lab, "r2", &error), &error);
    assert_guest_reads(lab, 2);
    assert_done(lab_do(lab, "d2", &error), &error);
    assert_false(has_sidecar(lab, two));
    assert_true(lab->memory->ops->exists(lab->memory, LAB_HOME "/.vmsnapfs/" LAB_UUID "/vars"));
    assert_lawful(lab);
}

/* S-28: hidden by need, with what it has; gone with the last that needed it. */
static void s_28_a_hidden_one_keeps_its_sidecar(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autofree char *one = id_of(lab, "s1"), *two = id_of(lab, "s2");
    g_autoptr(GError) error = NULL;

    assert_done(lab_script(lab, "r1 w d1", &error), &error);
    assert_true(has_sidecar(lab, one));
    assert_done(lab_do(lab, "d2", &error), &error);
    assert_false(has_sidecar(lab, one));
    assert_false(has_sidecar(lab, two));
    assert_lawful(lab);
}

/* ---- clean-ups that fail ---- */

/* Whoever has the old store open: the revert is done, a warning and the list of orphans tell. */
static void a_store_that_cannot_go_is_a_warning(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autofree char *old = simhost_vars_path(lab->host, LAB_UUID);
    g_autoptr(GError) error = NULL;

    assert_true(simhost_lock(lab->host, old, NULL));
    assert_done(lab_do(lab, "r1", &error), &error);
    g_autofree char *warnings = warnings_of(lab, "s1");
    assert_non_null(strstr(warnings, old));
    assert_true(has_state(lab, old));
    assert_false(lab->memory->ops->exists(lab->memory, JOURNAL));
    assert_guest_reads(lab, 1);
    simhost_unlock(lab->host, old);
    simhost_set_state(lab->host, old, NULL);
    assert_lawful(lab);
}

/* What is no file of ours is in the way of rmdir. */
static void block(Lab *lab, const char *directory)
{
    g_autofree char *file = g_build_filename(directory, "file", NULL);

    assert_true(lab->memory->ops->make_directory(lab->memory, directory, NULL));
    assert_true(lab->memory->ops->put(lab->memory, file, "x", 1, NULL));
}

static void a_sidecar_that_cannot_go_is_a_warning(void **state)
{
    g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
    g_autofree char *id = id_of(lab, "s1");
    g_autofree char *tpm = sidecar_tpm_path(LAB_HOME, LAB_UUID, id);
    g_autofree char *directory = g_build_filename(tpm, "kept", NULL);
    g_autoptr(GError) error = NULL;

    block(lab, directory);
    assert_done(lab_do(lab, "d1", &error), &error);
    g_autofree char *warnings = warnings_of(lab, "s2");
    assert_non_null(strstr(warnings, id));
    assert_true(has_sidecar(lab, id));
    assert_false(lab->memory->ops->exists(lab->memory, JOURNAL));
    assert_done(lab_do(lab, "d2", &error), &error);
}

/* Also if its sidecar cannot be removed: nobody says then that the adoption failed. */
static void an_adoption_drops_the_sidecars_of_what_is_gone(void **state)
{
    for (unsigned stays = 0; stays < 2; stays++) {
        g_autoptr(Lab) lab = with_disks(SIM_LOADER, 1);
        g_autofree char *one = id_of(lab, "s1"), *two = id_of(lab, "s2");
        g_autofree char *tpm = sidecar_tpm_path(LAB_HOME, LAB_UUID, two);
        g_autofree char *directory = g_build_filename(tpm, "kept", NULL);
        g_autoptr(GError) error = NULL;

        if (stays)
            block(lab, directory);
        lab_go_back_by_stranger(lab);
        assert_done(vm_adopt(lab->vm, 0, 0750, "write", NULL, &error), &error);
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        assert_null(catalog_snapshot(catalog, two));
        assert_int_equal(has_sidecar(lab, two), stays);
        assert_true(has_sidecar(lab, one));
        assert_false(lab->memory->ops->exists(lab->memory, JOURNAL));
    }
}

/* ---- a start in the middle ---- */

/* The program dies in the middle of a revert and the VM is started: as long as it runs with the
 * snapshot's vTPM state nothing is done; when it is off, its own comes back. */
static void a_vm_that_took_the_vtpm_in_the_middle_gets_its_own_back(void **state)
{
    g_autoptr(Lab) counted = two_snapshots(SIM_LOADER);
    unsigned effects, met = 0;

    fault_arm(counted->fault, FAULT_NONE, 0);
    assert_true(lab_do(counted, "r1", NULL));
    effects = fault_calls(counted->fault);
    for (unsigned call = 1; call <= effects; call++) {
        g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
        g_autoptr(GError) error = NULL;

        fault_arm(lab->fault, FAULT_CUT_AFTER, call);
        lab_do(lab, "r1", NULL);
        lab_restart(lab);
        assert_true(lab_start(lab));
        if (!vm_open(lab->vm, &error)) {
            assert_true(error_is(error, ERR_BUSY));
            assert_non_null(strstr(error->message, "shut it down"));
            assert_int_equal(simhost_read_secret(lab->host, LAB_UUID), 1);
            assert_int_equal(simhost_read_variable(lab->host, LAB_UUID), 3);
            met++;
            lab_stop(lab);
            g_clear_error(&error);
            assert_done(vm_open(lab->vm, &error), &error);
            assert_int_equal(simhost_read_secret(lab->host, LAB_UUID), 3);
        }
        lab_stop(lab);
        assert_null(lab_follow(lab));
        assert_int_equal(simhost_read_secret(lab->host, LAB_UUID),
                         simhost_read_variable(lab->host, LAB_UUID));
        assert_lawful(lab);
    }
    assert_true(met > 0);
}

/* The revert was cut where the VM's next start finds the snapshot's vTPM state beside its own
 * disks; it was started, its guest told the vTPM something, and it is off again. NULL: not at
 * @call. */
static Lab *run_on_exchanged_state(unsigned call)
{
    Lab *lab = two_snapshots(SIM_LOADER);

    fault_arm(lab->fault, FAULT_CUT_AFTER, call);
    lab_do(lab, "r1", NULL);
    lab_restart(lab);
    assert_true(lab_start(lab));
    bool met = simhost_read_secret(lab->host, LAB_UUID) == 1 &&
               simhost_read_variable(lab->host, LAB_UUID) == 3;
    simhost_write_secret(lab->host, LAB_UUID, 50);
    lab_stop(lab);
    if (met)
        return lab;
    lab_free(lab);
    return NULL;
}

static void recover_at_second_try(unsigned call, FaultMode mode, unsigned recovery_call)
{
    g_autoptr(Lab) lab = run_on_exchanged_state(call);
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, mode, recovery_call);
    vm_open(lab->vm, NULL);
    lab_restart(lab);
    assert_done(broken_recover(lab, &error), &error);
    assert_guest_reads(lab, 3);
    assert_null(lab_follow(lab));
    assert_lawful(lab);
}

/* Then what was exchanged is no longer what the snapshot keeps, and each try must still know which
 * state is whose. */
static void a_recovery_that_is_cut_keeps_the_vm_s_own_vtpm(void **state)
{
    static const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};
    g_autoptr(Lab) counted = two_snapshots(SIM_LOADER);
    unsigned effects, met = 0;

    fault_arm(counted->fault, FAULT_NONE, 0);
    assert_true(lab_do(counted, "r1", NULL));
    effects = fault_calls(counted->fault);
    for (unsigned call = 1; call <= effects; call++) {
        g_autoptr(Lab) lab = run_on_exchanged_state(call);

        for (unsigned i = 0; lab && i < 10 * G_N_ELEMENTS(modes); i++)
            recover_at_second_try(call, modes[i % G_N_ELEMENTS(modes)],
                                  1 + i / G_N_ELEMENTS(modes));
        met += lab != NULL;
    }
    assert_true(met > 0);
}

/* ---- a snapshot that comes to be at a recovery ---- */

static void damage_new_sidecars(Lab *lab, const char *one, const char *two)
{
    g_autoptr(GPtrArray) ids = sidecar_list(lab->memory, LAB_HOME, LAB_UUID);

    for (guint i = 0; i < ids->len; i++)
        if (strcmp(ids->pdata[i], one) && strcmp(ids->pdata[i], two))
            damage_vars(lab, ids->pdata[i]);
}

/* The program died after the commit point, the copy is damaged, and the next snapshot is what
 * recovers: the one that was interrupted is not whole, the new one is. */
static void a_snapshot_is_not_blamed_for_the_one_before(void **state)
{
    unsigned met = 0;

    for (unsigned call = 1; call <= 40; call++) {
        g_autoptr(Lab) lab = two_snapshots(SIM_LOADER);
        g_autofree char *one = id_of(lab, "s1"), *two = id_of(lab, "s2");
        g_autoptr(GError) error = NULL;

        assert_true(lab_start(lab));
        fault_arm(lab->fault, FAULT_CUT_AFTER, call);
        vm_create(lab->vm, "s3", NULL, 0, 0600, "mkdir", NULL, NULL);
        lab_restart(lab);
        damage_new_sidecars(lab, one, two);
        assert_done(vm_create(lab->vm, "s4", NULL, 0, 0600, "mkdir", NULL, &error), &error);
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        const Snapshot *third = catalog_named(catalog, "s3");
        assert_int_equal(catalog_named(catalog, "s4")->state, SNAPSHOT_READY);
        met += third && third->error && strstr(third->error, "is not what was kept") != NULL;
    }
    assert_true(met > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(s_29_variables_are_the_sidecar_byte_for_byte_before_the_boot),
        cmocka_unit_test(reverts_follow_each_other),
        cmocka_unit_test(u_05_u_07_what_is_missing_is_made),
        cmocka_unit_test(s_30_what_would_not_boot_is_refused_and_nothing_is_changed),
        cmocka_unit_test(u_08_a_copy_that_fails_leaves_the_variables_alone),
        cmocka_unit_test(u_31_a_host_that_lost_uefi_removes_nothing),
        cmocka_unit_test(s_28_exactly_the_right_sidecars_go),
        cmocka_unit_test(s_28_a_hidden_one_keeps_its_sidecar),
        cmocka_unit_test(a_store_that_cannot_go_is_a_warning),
        cmocka_unit_test(a_sidecar_that_cannot_go_is_a_warning),
        cmocka_unit_test(an_adoption_drops_the_sidecars_of_what_is_gone),
        cmocka_unit_test(a_vm_that_took_the_vtpm_in_the_middle_gets_its_own_back),
        cmocka_unit_test(a_recovery_that_is_cut_keeps_the_vm_s_own_vtpm),
        cmocka_unit_test(a_snapshot_is_not_blamed_for_the_one_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
