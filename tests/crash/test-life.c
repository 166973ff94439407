/* What is done to a VM as a whole, broken at every effect: whatever was cut, it is there under
 * exactly one name, with its snapshots and its disks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lab.h"
#include "plan/firmware.h"
#include "run/vm-life.h"

#define OTHER "another name"

static const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};

static Lab *lab_after(const char *script)
{
    Lab *lab = lab_new(2, 5);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, script, &error))
        fail_msg("%s", error->message);
    return lab;
}

static void assert_lawful(Lab *lab)
{
    g_autofree char *why = lab_broken_law(lab);

    if (why) {
        g_autofree char *state = lab_describe(lab);
        fail_msg("%s\n%s", why, state);
    }
}

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
    g_autoptr(Lab) lab = lab_after(script);

    fault_arm(lab->fault, FAULT_NONE, 0);
    assert_true(move_vm(lab, NULL));
    return fault_calls(lab->fault);
}

static void break_move(const char *script, FaultMode mode, unsigned call)
{
    g_autoptr(Lab) lab = lab_after(script);
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

#define OLD_STORE SIM_NVRAM_DIRECTORY "/web01_VARS.fd"

static Lab *uefi_lab(SimFirmware firmware)
{
    Lab *lab = lab_new(1, 5);

    simhost_set_firmware(lab->host, LAB_UUID, firmware, false);
    simhost_set_state(lab->host, OLD_STORE, "the keys");
    return lab;
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
    assert_memory_equal(g_bytes_get_data(content, NULL), "the keys", strlen("the keys"));
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
    g_autoptr(Lab) lab = lab_after("w c1");
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
    g_autoptr(Lab) lab = lab_after("w");

    assert_true(move_vm(lab, NULL));
    g_autofree char *home = vm_home(lab->vm);
    assert_null(home);
    assert_lawful(lab);
}

/* ERR_EXISTS does not come from our own look: libvirt knew of that VM before we did. */
static void a_name_that_was_taken_in_this_moment_is_refused(void **state)
{
    g_autoptr(Lab) lab = lab_after("w c1");
    g_autoptr(GError) error = NULL;

    simhost_add_domain(lab->host, "11111111-2222-4333-8444-555555555555", OTHER, DOMAIN_OFF);
    assert_false(move_vm(lab, &error));
    assert_true(error_is(error, ERR_EXISTS));
    assert_lawful(lab);
}

static void a_running_vm_keeps_its_name(void **state)
{
    g_autoptr(Lab) lab = lab_after("w c1 S");
    g_autofree char *before = name_in_libvirt(lab);
    g_autoptr(GError) error = NULL;

    assert_false(move_vm(lab, &error));
    assert_true(error_is(error, ERR_BUSY));
    g_autofree char *after = name_in_libvirt(lab);
    assert_string_equal(after, before);
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
