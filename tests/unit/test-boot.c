/* Starts on the simulated host do to variable stores and vTPM state what libvirt, QEMU and swtpm
 * were seen to do. */
#include "base/error.h"
#include "model/simhost-face.h"
#include "model/vars.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define VM    "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define STORE SIM_NVRAM_DIRECTORY "/web01_VARS.fd"
#define STATE SIM_TPM_DIRECTORY "/" VM "/tpm2/tpm2-00.permall"

static SimHost *make_host(SimFirmware firmware, bool tpm)
{
    SimHost *host = simhost_new();

    simhost_add_domain(host, VM, "web01", DOMAIN_OFF);
    simhost_set_firmware(host, VM, firmware, false);
    simhost_set_tpm(host, VM, tpm);
    return host;
}

static bool is_same(SimHost *host, const char *a, GBytes *b)
{
    g_autoptr(GBytes) content = simhost_state_content(host, a);

    return content && b && g_bytes_equal(content, b);
}

static void boot(SimHost *host)
{
    g_autoptr(GError) error = NULL;

    simhost_power_on(host, VM, &error);
    assert_null(error);
}

static void check_refused(SimHost *host, ErrorCode code, const char *part)
{
    g_autoptr(GError) error = NULL;

    assert_false(simhost_power_on(host, VM, &error));
    assert_int_equal(error_code(error), code);
    assert_non_null(strstr(error->message, part));
    assert_int_equal(simhost_state(host, VM), DOMAIN_OFF);
}

static void a_bios_vm_has_neither(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_BIOS, false);
    g_autoptr(GPtrArray) states = NULL;

    boot(host);
    states = simhost_states(host);
    assert_int_equal(states->len, 0);
    assert_null(simhost_vars_path(host, VM));
}

static void a_missing_store_is_made_from_the_template_and_every_boot_changes_it(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_LOADER, false);
    g_autoptr(GBytes) template = simhost_state_content(host, SIM_TEMPLATE);
    g_autoptr(GBytes) first = NULL;
    gsize length;
    const void *head;

    assert_null(simhost_state_content(host, STORE));
    boot(host);
    first = simhost_state_content(host, STORE);
    assert_non_null(first);
    assert_false(g_bytes_equal(first, template));
    head = g_bytes_get_data(first, &length);
    assert_int_equal(vars_judge(length, head, length, g_bytes_get_size(template)), VARS_READY);
    simhost_stop(host, VM);
    assert_true(is_same(host, STORE, first));
    boot(host);
    assert_false(is_same(host, STORE, first));
}

static void variables_and_secrets_outlive_boots(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_EFI, true);
    g_autoptr(GBytes) vars = NULL, tpm = NULL;

    boot(host);
    simhost_write_variable(host, VM, 7);
    simhost_write_secret(host, VM, 8);
    simhost_stop(host, VM);
    boot(host);
    assert_int_equal(simhost_read_variable(host, VM), 7);
    assert_int_equal(simhost_read_secret(host, VM), 8);
    vars = simhost_state_content(host, STORE);
    tpm = simhost_state_content(host, STATE);
    simhost_write_variable(host, VM, 9);
    simhost_write_secret(host, VM, 9);
    simhost_stop(host, VM);
    simhost_set_state_bytes(host, STORE, vars);
    simhost_set_state_bytes(host, STATE, tpm);
    boot(host);
    assert_int_equal(simhost_read_variable(host, VM), 7);
    assert_int_equal(simhost_read_secret(host, VM), 8);
}

static void a_vtpm_makes_its_directory_and_every_boot_changes_it(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_BIOS, true);
    g_autofree char *directory = simhost_tpm_path(host, VM);
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GBytes) first = NULL;

    assert_null(simhost_state_read_directory(host, directory, NULL));
    boot(host);
    files = simhost_state_read_directory(host, directory, NULL);
    assert_non_null(files);
    assert_int_equal(files->len, 1);
    first = simhost_state_content(host, STATE);
    simhost_stop(host, VM);
    assert_true(is_same(host, STATE, first));
    boot(host);
    assert_false(is_same(host, STATE, first));
}

static void a_store_of_no_bytes_refuses_the_start_and_a_blank_one_is_left(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_LOADER, false);
    char zeros[512] = {0};
    g_autoptr(GBytes) blank = g_bytes_new(zeros, sizeof(zeros));

    simhost_set_state(host, STORE, "");
    check_refused(host, ERR_IO, "invalid size 0");
    simhost_set_state_bytes(host, STORE, blank);
    boot(host);
    assert_true(is_same(host, STORE, blank));
}

static void a_running_vm_has_its_store_open(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_LOADER, false);
    g_autoptr(GBytes) content = g_bytes_new_static("x", 1);
    g_autoptr(GError) error = NULL;

    boot(host);
    assert_false(simhost_state_write(host, STORE, content, true, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_false(simhost_unlink(host, STORE, NULL, NULL));
    assert_false(simhost_lock(host, STORE, NULL));
    simhost_stop(host, VM);
    assert_true(simhost_lock(host, STORE, NULL));
    check_refused(host, ERR_BUSY, STORE);
    simhost_unlock(host, STORE);
    simhost_add_domain(host, OTHER, "db", DOMAIN_OFF);
    simhost_set_firmware(host, OTHER, SIM_LOADER, false);
    simhost_set_nvram(host, OTHER, STORE);
    assert_true(simhost_start(host, OTHER));
    check_refused(host, ERR_BUSY, "db");
}

static void a_host_without_firmware_or_swtpm_starts_none(void **state)
{
    g_autoptr(SimHost) uefi = make_host(SIM_LOADER, false);
    g_autoptr(SimHost) tpm = make_host(SIM_BIOS, true);

    simhost_set_capabilities(uefi, false, true);
    check_refused(uefi, ERR_IO, "efi");
    simhost_set_capabilities(tpm, true, false);
    check_refused(tpm, ERR_IO, "swtpm");
    simhost_set_capabilities(tpm, true, true);
    boot(tpm);
}

static void a_saved_vm_goes_on_where_it_was(void **state)
{
    g_autoptr(SimHost) host = make_host(SIM_LOADER, true);
    g_autoptr(GBytes) vars = NULL, tpm = NULL;

    boot(host);
    simhost_stop(host, VM);
    vars = simhost_state_content(host, STORE);
    tpm = simhost_state_content(host, STATE);
    simhost_set_managed_save(host, VM, true);
    boot(host);
    assert_true(is_same(host, STORE, vars));
    assert_true(is_same(host, STATE, tpm));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bios_vm_has_neither),
        cmocka_unit_test(a_missing_store_is_made_from_the_template_and_every_boot_changes_it),
        cmocka_unit_test(variables_and_secrets_outlive_boots),
        cmocka_unit_test(a_vtpm_makes_its_directory_and_every_boot_changes_it),
        cmocka_unit_test(a_store_of_no_bytes_refuses_the_start_and_a_blank_one_is_left),
        cmocka_unit_test(a_running_vm_has_its_store_open),
        cmocka_unit_test(a_host_without_firmware_or_swtpm_starts_none),
        cmocka_unit_test(a_saved_vm_goes_on_where_it_was),
    };

    return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
