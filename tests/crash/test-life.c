/* What is done to a VM as a whole, broken at every effect: whatever was cut, it is there under
 * exactly one name, with its snapshots and its disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lab-asserts.h"
#include "plan/firmware.h"
#include "plan/life.h"
#include "run/expunged.h"
#include "run/vm-life.h"

#define OTHER "another name"

static const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};

static char *name_in_libvirt(Lab *lab)
{
    g_autoptr(GPtrArray) domains = lab->hv->ops->list(lab->hv, NULL);

    assert_non_null(domains);
    assert_int_equal(domains->len, 1);
    return g_strdup(((HvDomain *)domains->pdata[0])->name);
}

static bool move_vm(Lab *lab, GError **error)
{
    return vm_move(lab->vm, OTHER, "mv lab another", NULL, error);
}

static unsigned effects_of_a_move(const char *script)
{
    g_autoptr(Lab) lab = lab_after(2, script);

    fault_arm(lab->fault, FAULT_NONE, 0);
    assert_true(move_vm(lab, NULL));
    return fault_calls(lab->fault);
}

static void break_move(const char *script, FaultMode mode, unsigned call)
{
    g_autoptr(Lab) lab = lab_after(2, script);
    g_autofree char *before = name_in_libvirt(lab);
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, mode, call);
    bool moved = move_vm(lab, NULL);
    lab_restart(lab);
    g_autofree char *after = name_in_libvirt(lab);
    bool renamed = g_str_equal(after, OTHER);
    if (!renamed)
        assert_string_equal(after, before);
    if (moved)
        assert_true(renamed);
    if (!vm_open(lab->vm, &error))
        fail_msg("%s", error->message);
    g_autofree char *known = vm_name(lab->vm);
    assert_string_equal(known, after);
    assert_lawful(lab);
    if (!renamed && !move_vm(lab, &error))
        fail_msg("again: %s", error->message);
    assert_lawful(lab);
}

static void break_moves(const char *script)
{
    unsigned effects = effects_of_a_move(script);

    assert_true(effects > 0);
    for (unsigned call = 1; call <= effects; call++)
        for (guint i = 0; i < G_N_ELEMENTS(modes); i++)
            break_move(script, modes[i], call);
}

static void a_move_is_cut_everywhere(void **state)
{
    break_moves("w");
    break_moves("w c1 w c2 w");
}

/* ---- variables ---- */

/* A variable store, by its signature. */
#define KEYS      "0123456789012345678901234567890123456789_FVH the keys"
#define OLD_STORE SIM_NVRAM_DIRECTORY "/web01_VARS.fd"

static Lab *uefi_lab_after(SimFirmware firmware, const char *script)
{
    Lab *lab = lab_after(1, script);

    simhost_set_firmware(lab->host, LAB_UUID, firmware, false);
    simhost_set_state(lab->host, OLD_STORE, KEYS);
    return lab;
}

static Lab *uefi_lab(SimFirmware firmware)
{
    return uefi_lab_after(firmware, "");
}

/* What a start would use: the path that the definition says, or the one that libvirt makes of the
 * name. */
static char *used_store(Lab *lab)
{
    g_autofree char *live = NULL, *inactive = NULL, *foreign = NULL;
    HvDomain *domain = NULL;
    unsigned snapshots;

    assert_true(lab->hv->ops->inspect(lab->hv, LAB_UUID, &domain, &live, &inactive, &foreign,
                                      &snapshots, NULL));
    hv_domain_free(domain);
    g_autoptr(Domain) parsed = domain_parse(inactive, NULL);
    g_autoptr(Capabilities) capabilities = lab->hv->ops->capabilities(lab->hv, NULL);
    return firmware_vars_path(NULL, parsed, capabilities, NULL);
}

static void assert_keeps_its_keys(Lab *lab)
{
    g_autofree char *path = used_store(lab);
    g_autoptr(GBytes) content = simhost_state_content(lab->host, path);

    assert_non_null(content);
    assert_memory_equal(g_bytes_get_data(content, NULL), KEYS, strlen(KEYS));
}

static unsigned effects_of_a_uefi_move(SimFirmware firmware)
{
    g_autoptr(Lab) lab = uefi_lab(firmware);
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, FAULT_NONE, 0);
    if (!move_vm(lab, &error))
        fail_msg("%s", error->message);
    assert_keeps_its_keys(lab);
    return fault_calls(lab->fault);
}

static void break_uefi_moves(SimFirmware firmware)
{
    unsigned effects = effects_of_a_uefi_move(firmware);

    for (unsigned call = 1; call <= effects; call++)
        for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
            g_autoptr(Lab) lab = uefi_lab(firmware);

            fault_arm(lab->fault, modes[i], call);
            move_vm(lab, NULL);
            lab_restart(lab);
            assert_keeps_its_keys(lab);
            assert_true(lab_start(lab));
            lab_stop(lab);
            assert_keeps_its_keys(lab);
            g_autofree char *name = name_in_libvirt(lab);
            assert_true(g_str_equal(name, OTHER) || move_vm(lab, NULL));
            assert_keeps_its_keys(lab);
        }
}

static void variables_stay_in_both_styles_of_definition_NV_23(void **state)
{
    break_uefi_moves(SIM_LOADER);
    break_uefi_moves(SIM_EFI);
}

/* Nothing of somebody else's comes to be its own by a name. */
static void a_store_that_bears_the_new_name_is_left_alone(void **state)
{
    g_autoptr(Lab) lab = lab_new(1, 5);

    simhost_set_firmware(lab->host, LAB_UUID, SIM_EFI, false);
    simhost_set_state(lab->host, SIM_NVRAM_DIRECTORY "/" OTHER "_VARS.fd", "of somebody else");
    assert_true(move_vm(lab, NULL));
    g_autofree char *path = used_store(lab);
    assert_string_equal(path, OLD_STORE);
}

static void the_store_that_libvirt_would_use_is_kept(void **state)
{
    g_autoptr(Lab) lab = uefi_lab(SIM_EFI);

    /* virsh domrename lost it, and a start made a new one. */
    assert_true(lab->hv->ops->rename(lab->hv, LAB_UUID, "in between", NULL));
    assert_true(vm_open(lab->vm, NULL));
    simhost_set_state(lab->host, SIM_NVRAM_DIRECTORY "/in between_VARS.fd", "newer");
    assert_true(move_vm(lab, NULL));
    g_autofree char *path = used_store(lab);
    assert_string_equal(path, SIM_NVRAM_DIRECTORY "/in between_VARS.fd");
}

static void the_catalog_follows_the_name(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w c1");
    g_autoptr(GError) error = NULL;
    g_autoptr(Catalog) before = vm_catalog(lab->vm);

    if (!move_vm(lab, &error))
        fail_msg("%s", error->message);
    lab_restart(lab);
    assert_true(vm_open(lab->vm, NULL));
    g_autoptr(Catalog) after = vm_catalog(lab->vm);
    assert_string_equal(after->name, OTHER);
    assert_int_equal(after->generation, before->generation + 1);
    assert_true(lab_script(lab, "w c2 w d1", NULL));
    assert_lawful(lab);
}

static void a_vm_without_snapshots_gets_no_catalog_by_its_name(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w");

    assert_true(move_vm(lab, NULL));
    g_autofree char *home = vm_home(lab->vm);
    assert_null(home);
    assert_lawful(lab);
}

/* ERR_EXISTS does not come from our own look: libvirt knew of that VM before we did. */
static void a_name_that_was_taken_in_this_moment_is_refused(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w c1");
    g_autoptr(GError) error = NULL;

    simhost_add_domain(lab->host, "11111111-2222-4333-8444-555555555555", OTHER, DOMAIN_OFF);
    assert_false(move_vm(lab, &error));
    assert_true(error_is(error, ERR_EXISTS));
    assert_lawful(lab);
}

static void a_running_vm_keeps_its_name(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w c1 S");
    g_autofree char *before = name_in_libvirt(lab);
    g_autoptr(GError) error = NULL;

    assert_false(move_vm(lab, &error));
    assert_true(error_is(error, ERR_BUSY));
    g_autofree char *after = name_in_libvirt(lab);
    assert_string_equal(after, before);
}

/* ---- the end ---- */

#define TPM_HOME   SIM_TPM_DIRECTORY "/" LAB_UUID
#define TPM_STATE  TPM_HOME "/tpm2/tpm2-00.permall"
#define KEPT_OF_IT LAB_HOME "/.vmsnapfs/" LAB_UUID

/* A UEFI VM with a vTPM, that may have a catalog. */
static Lab *whole_lab(SimFirmware firmware, const char *script)
{
    Lab *lab = uefi_lab_after(firmware, script);

    simhost_set_tpm(lab->host, LAB_UUID, true);
    simhost_set_state_directory(lab->host, TPM_HOME, true);
    simhost_set_state_directory(lab->host, TPM_HOME "/tpm2", true);
    simhost_set_state(lab->host, TPM_STATE, "sealed");
    return lab;
}

static bool expunge_vm(Lab *lab, GPtrArray **out_left, GError **error)
{
    return vm_expunge(lab->vm, "rmdir lab", NULL, out_left, error);
}

static bool is_defined(Lab *lab)
{
    g_autoptr(GPtrArray) domains = lab->hv->ops->list(lab->hv, NULL);

    assert_non_null(domains);
    return domains->len > 0;
}

static bool has_state(Lab *lab, const char *path)
{
    g_autoptr(GBytes) content = simhost_state_content(lab->host, path);

    return content != NULL;
}

static void assert_whole(Lab *lab)
{
    g_autoptr(GError) error = NULL;

    if (!vm_open(lab->vm, &error))
        fail_msg("%s", error->message);
    assert_keeps_its_keys(lab);
    assert_true(has_state(lab, TPM_STATE));
    assert_lawful(lab);
    assert_true(lab_start(lab));
    lab_stop(lab);
}

static GPtrArray *find_left(Lab *lab)
{
    g_autoptr(GHashTable) homes = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_add(homes, (char *)LAB_HOME);
    return expunged_find(&lab->world, homes);
}

/* What the next look for orphans does. */
static void clean_up(Lab *lab)
{
    g_autoptr(GPtrArray) all = find_left(lab);

    for (guint i = 0; i < all->len; i++) {
        g_autoptr(GPtrArray) left = expunged_finish(&lab->world, all->pdata[i]);
        assert_int_equal(left->len, 0);
    }
}

/* Its disk is all that there is. */
static void assert_nothing_left(Lab *lab)
{
    g_autoptr(GPtrArray) states = simhost_states(lab->host);
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    g_autoptr(GPtrArray) kept = lab->memory->ops->list(lab->memory, KEPT_OF_IT, NULL);

    assert_int_equal(states->len, 0);
    assert_int_equal(kept->len, 0);
    assert_int_equal(images->len, 1);
    assert_null(simhost_misuse(lab->host));
}

static unsigned effects_of_the_end(SimFirmware firmware, const char *script)
{
    g_autoptr(Lab) lab = whole_lab(firmware, script);
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, FAULT_NONE, 0);
    if (!expunge_vm(lab, &left, &error))
        fail_msg("%s", error->message);
    assert_int_equal(left->len, 0);
    assert_false(is_defined(lab));
    assert_nothing_left(lab);
    return fault_calls(lab->fault);
}

static void break_the_end(SimFirmware firmware, const char *script, FaultMode mode, unsigned call)
{
    g_autoptr(Lab) lab = whole_lab(firmware, script);
    g_autoptr(GPtrArray) left = NULL;

    fault_arm(lab->fault, mode, call);
    bool gone = expunge_vm(lab, &left, NULL);
    lab_restart(lab);
    if (gone)
        assert_false(is_defined(lab));
    clean_up(lab);
    if (!is_defined(lab)) {
        assert_nothing_left(lab);
        return;
    }
    assert_whole(lab);
    g_clear_pointer(&left, g_ptr_array_unref);
    assert_true(expunge_vm(lab, &left, NULL));
    assert_nothing_left(lab);
}

static void the_end_is_cut_everywhere(void **state)
{
    static const char *const scripts[] = {"w", "w c1 w d1", "p"};

    for (SimFirmware firmware = SIM_LOADER; firmware < N_SIM_FIRMWARE; firmware++)
        for (guint i = 0; i < G_N_ELEMENTS(scripts); i++) {
            unsigned effects = effects_of_the_end(firmware, scripts[i]);

            assert_true(effects > 2);
            for (unsigned call = 1; call <= effects; call++)
                for (guint j = 0; j < G_N_ELEMENTS(modes); j++)
                    break_the_end(firmware, scripts[i], modes[j], call);
        }
}

static void a_vm_with_snapshots_stays(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w c1 w c2 w");
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GError) error = NULL, again = NULL;

    assert_false(expunge_vm(lab, &left, &error));
    assert_true(error_is(error, ERR_BUSY));
    /* A hidden one is one. */
    assert_true(lab_script(lab, "r1 w d1 d2", NULL));
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_int_equal(catalog->snapshots->len, 0);
    assert_true(lab_script(lab, "c3 w r3 c4 w r3 w d3", NULL));
    assert_false(expunge_vm(lab, &left, &again));
    assert_true(error_is(again, ERR_BUSY));
    assert_true(is_defined(lab));
    assert_lawful(lab);
}

static void a_running_or_saved_vm_stays(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w S");
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GError) error = NULL, again = NULL;

    assert_false(expunge_vm(lab, &left, &error));
    assert_true(error_is(error, ERR_BUSY));
    lab_stop(lab);
    simhost_set_managed_save(lab->host, LAB_UUID, true);
    assert_false(expunge_vm(lab, &left, &again));
    assert_true(error_is(again, ERR_BUSY));
    assert_true(is_defined(lab));
}

/* Else it would be left behind, and nobody would say so. */
static void what_cannot_be_found_keeps_the_vm(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_EFI, "w");
    g_autoptr(Observation) seen = vm_observe(lab->vm, NULL);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(Plan) plan = plan_expunge(catalog, seen, "here", NULL);
    g_autoptr(GError) error = NULL;

    assert_non_null(plan);
    capabilities_unref(seen->capabilities);
    seen->capabilities = capabilities_new();
    assert_null(plan_expunge(catalog, seen, "here", &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
}

/* NV-15: each by its own path, and what can go has gone. NV-16: it is not lost. */
static void what_cannot_be_removed_is_named_and_found_again_NV_15_NV_16(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_LOADER, "w");
    g_autoptr(GPtrArray) left = NULL;

    simhost_set_state_directory(lab->host, TPM_HOME "/tpm2/odd", true);
    assert_true(expunge_vm(lab, &left, NULL));
    assert_false(is_defined(lab));
    assert_int_equal(left->len, 1);
    assert_string_equal(((ExpungeLeft *)left->pdata[0])->path, TPM_HOME "/tpm2");
    assert_false(has_state(lab, OLD_STORE));
    lab_restart(lab);
    g_autoptr(GPtrArray) all = find_left(lab);
    assert_int_equal(all->len, 1);
    assert_true(expunged_names(all->pdata[0], TPM_HOME "/tpm2"));
    simhost_set_state_directory(lab->host, TPM_HOME "/tpm2/odd", false);
    clean_up(lab);
    assert_nothing_left(lab);
}

/* Whose they are nobody can tell by their name: a VM that had it before may keep its keys there. */
static void stores_beside_its_own_are_left_alone_NV_15(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_LOADER, "w");
    g_autoptr(GPtrArray) left = NULL;

    simhost_set_state(lab->host, SIM_NVRAM_DIRECTORY "/web01_VARS.abcdefghij.fd", "somebody's");
    simhost_set_state(lab->host, SIM_NVRAM_DIRECTORY "/web012_VARS.fd", "of another VM");
    assert_true(expunge_vm(lab, &left, NULL));
    g_autoptr(GPtrArray) states = simhost_states(lab->host);
    assert_int_equal(states->len, 2);
    assert_string_equal(states->pdata[0], SIM_NVRAM_DIRECTORY "/web012_VARS.fd");
    assert_string_equal(states->pdata[1], SIM_NVRAM_DIRECTORY "/web01_VARS.abcdefghij.fd");
}

/* An expunge that was cut when the VM was gone, and nothing else. */
static GPtrArray *cut_expunge(Lab *lab)
{
    g_autoptr(GPtrArray) left = NULL;

    fault_arm(lab->fault, FAULT_NONE, 0);
    simhost_set_state_directory(lab->host, TPM_HOME "/tpm2/odd", true);
    assert_true(expunge_vm(lab, &left, NULL));
    simhost_set_state_directory(lab->host, TPM_HOME "/tpm2/odd", false);
    lab_restart(lab);
    GPtrArray *all = find_left(lab);
    assert_int_equal(all->len, 1);
    return all;
}

/* Between the look and the clean-up. */
static void a_vm_that_is_defined_again_keeps_what_is_left(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_LOADER, "w");
    g_autoptr(GPtrArray) all = cut_expunge(lab);

    simhost_add_domain(lab->host, LAB_UUID, "web01", DOMAIN_OFF);
    g_autoptr(GPtrArray) left = expunged_finish(&lab->world, all->pdata[0]);
    assert_int_equal(left->len, 0);
    assert_true(has_state(lab, TPM_STATE));
}

/* The same directory of images, and another libvirt of this host: it knows no such VM. */
static void another_libvirt_finishes_nothing(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_LOADER, "w");
    g_autoptr(GPtrArray) all = cut_expunge(lab);

    lab->world.uri = "qemu:///session";
    g_autoptr(GPtrArray) seen = find_left(lab);
    assert_int_equal(seen->len, 0);
}

static void a_store_that_another_vm_uses_is_left_to_it(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_EFI, "w");
    g_autoptr(GPtrArray) left = NULL;
    static const char other[] = "11111111-2222-4333-8444-555555555555";

    simhost_add_domain(lab->host, other, OTHER, DOMAIN_OFF);
    simhost_set_firmware(lab->host, other, SIM_LOADER, false);
    simhost_set_nvram(lab->host, other, OLD_STORE);
    assert_true(expunge_vm(lab, &left, NULL));
    assert_int_equal(left->len, 0);
    assert_true(has_state(lab, OLD_STORE));
    assert_false(has_state(lab, TPM_STATE));
}

/* Its catalog is in no memory any more that would miss it. */
static void a_vm_that_is_defined_with_its_uuid_begins_anew(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w c1 w d1");
    g_autoptr(GPtrArray) left = NULL;
    g_autoptr(GError) error = NULL;

    assert_true(expunge_vm(lab, &left, NULL));
    simhost_add_domain(lab->host, LAB_UUID, "web01", DOMAIN_OFF);
    if (!vm_open(lab->vm, &error))
        fail_msg("%s", error->message);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_int_equal(catalog->generation, 0);
}

/* Whose files they are is not to be seen from here. */
static void what_another_host_left_is_not_ours(void **state)
{
    g_autoptr(Lab) lab = whole_lab(SIM_LOADER, "w");
    Plan *plan = plan_new(PLAN_EXPUNGE, NULL);
    Step *step = plan_add(plan, STEP_UNDEFINE);

    step_set(step, "host", "another-host");
    step_set(step, "vars", OLD_STORE);
    plan->commit = 1;
    g_autoptr(Journal) journal = journal_new(plan, "rmdir web01");
    assert_true(store_save_journal(lab->memory, LAB_HOME, LAB_UUID, journal, NULL));
    assert_true(lab->hv->ops->undefine(lab->hv, LAB_UUID, NULL));
    g_autoptr(GPtrArray) all = find_left(lab);
    assert_int_equal(all->len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_move_is_cut_everywhere),
        cmocka_unit_test(variables_stay_in_both_styles_of_definition_NV_23),
        cmocka_unit_test(a_store_that_bears_the_new_name_is_left_alone),
        cmocka_unit_test(the_store_that_libvirt_would_use_is_kept),
        cmocka_unit_test(the_catalog_follows_the_name),
        cmocka_unit_test(a_vm_without_snapshots_gets_no_catalog_by_its_name),
        cmocka_unit_test(a_name_that_was_taken_in_this_moment_is_refused),
        cmocka_unit_test(a_running_vm_keeps_its_name),
        cmocka_unit_test(the_end_is_cut_everywhere),
        cmocka_unit_test(a_vm_with_snapshots_stays),
        cmocka_unit_test(a_running_or_saved_vm_stays),
        cmocka_unit_test(what_cannot_be_found_keeps_the_vm),
        cmocka_unit_test(what_cannot_be_removed_is_named_and_found_again_NV_15_NV_16),
        cmocka_unit_test(stores_beside_its_own_are_left_alone_NV_15),
        cmocka_unit_test(a_vm_that_is_defined_again_keeps_what_is_left),
        cmocka_unit_test(another_libvirt_finishes_nothing),
        cmocka_unit_test(a_store_that_another_vm_uses_is_left_to_it),
        cmocka_unit_test(a_vm_that_is_defined_with_its_uuid_begins_anew),
        cmocka_unit_test(what_another_host_left_is_not_ours),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
