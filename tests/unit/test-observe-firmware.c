/* What is seen of a VM's UEFI variables and vTPM, and where it is looked for. */
#include "run/observe.h"
#include "run/observe-firmware.h"
#include "run/users.h"

#include "hv/fake.h"
#include "image/fake.h"
#include "model/simhost-face.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define WEB   "aaaaaaaa-0000-4000-8000-000000000001"
#define STORE SIM_NVRAM_DIRECTORY "/web_VARS.fd"
#define TPM   SIM_TPM_DIRECTORY "/" WEB "/tpm2"
#define SIZE  4096

typedef struct {
    SimHost *host;
    World world;
    Catalog *catalog;
} Place;

static Place place_new(SimFirmware firmware)
{
    Place place = {.host = simhost_new(), .catalog = catalog_new(WEB, "web")};

    simhost_add_domain(place.host, WEB, "web", DOMAIN_OFF);
    simhost_set_firmware(place.host, WEB, firmware, false);
    place.world.hv = hv_fake_new(place.host);
    place.world.images = image_fake(place.host);
    place.world.users = users_new();
    return place;
}

static void place_clear(Place *place)
{
    hv_free(place->world.hv);
    images_free(place->world.images);
    users_free(place->world.users);
    catalog_free(place->catalog);
    simhost_free(place->host);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

/* As a firmware would write it, or not. */
static void put_file(Place *place, const char *path, gsize size, const char *signature)
{
    g_autofree char *content = g_malloc0(MAX(size, 64));
    g_autoptr(GBytes) bytes = NULL;

    memcpy(content + 40, signature, strlen(signature));
    bytes = g_bytes_new(content, size);
    assert_true(simhost_state_write(place->host, path, bytes, true, NULL));
}

static Observation *look(Place *place)
{
    Observation *seen = observe_domain(&place->world, WEB, NULL, NULL);

    assert_non_null(seen);
    observe_firmware(&place->world, place->catalog, seen);
    return seen;
}

static void assert_state(Place *place, VarsState state, const char *path)
{
    g_autoptr(Observation) seen = look(place);

    assert_non_null(seen->vars);
    assert_string_equal(vars_state_name(seen->vars->state), vars_state_name(state));
    assert_string_equal(seen->vars->path, path);
}

/* ---- variables ---- */

static void nv_03_of_a_bios_vm_nothing_is_seen(void **state)
{
    g_auto(Place) place = place_new(SIM_BIOS);
    g_autoptr(Observation) seen = look(&place);

    assert_null(seen->vars);
    assert_null(seen->tpm);
}

/* NV-05. */
static void nv_05_a_store_is_ready_missing_empty_or_of_the_wrong_size(void **state)
{
    g_auto(Place) place = place_new(SIM_LOADER);

    assert_state(&place, VARS_MISSING, STORE);
    put_file(&place, SIM_TEMPLATE, SIZE, "_FVH");
    put_file(&place, STORE, 0, "");
    assert_state(&place, VARS_EMPTY, STORE);
    put_file(&place, STORE, SIZE, "");
    assert_state(&place, VARS_EMPTY, STORE);
    put_file(&place, STORE, SIZE, "_FVH");
    assert_state(&place, VARS_READY, STORE);
    put_file(&place, SIM_TEMPLATE, 2 * SIZE, "_FVH");
    assert_state(&place, VARS_BADSIZE, STORE);
}

static void nv_22_the_template_and_its_size_are_seen(void **state)
{
    g_auto(Place) place = place_new(SIM_LOADER);
    put_file(&place, SIM_TEMPLATE, SIZE, "_FVH");
    g_autoptr(Observation) seen = look(&place);

    assert_string_equal(seen->vars->template, SIM_TEMPLATE);
    assert_int_equal(seen->vars->template_size, SIZE);
}

/* Whatever libvirt chooses at the start, it has that size; or it has not. */
static void nv_22_where_libvirt_chooses_all_templates_count(void **state)
{
    g_auto(Place) place = place_new(SIM_EFI);
    const gsize sizes[] = {SIZE, 2 * SIZE};

    put_file(&place, SIM_TEMPLATE, SIZE, "_FVH");
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        put_file(&place, SIM_SECURE_TEMPLATE, sizes[i], "_FVH");
        g_autoptr(Observation) seen = look(&place);
        assert_null(seen->vars->template);
        assert_int_equal(seen->vars->template_size, 0);
        assert_int_equal(seen->vars->whole, sizes[i] == SIZE ? SIZE : 0);
    }
    put_file(&place, STORE, SIZE / 2, "_FVH");
    assert_state(&place, VARS_READY, STORE);
    put_file(&place, SIM_SECURE_TEMPLATE, SIZE, "_FVH");
    assert_state(&place, VARS_BADSIZE, STORE);
}

static void a_qcow2_store_is_seen_as_one(void **state)
{
    g_auto(Place) place = place_new(SIM_LOADER);
    g_autoptr(GBytes) content = g_bytes_new_static("QFI\xfb\0\0\0\3", 8);
    assert_true(simhost_state_write(place.host, STORE, content, true, NULL));
    g_autoptr(Observation) seen = look(&place);

    assert_true(seen->vars->qcow2);
    assert_int_equal(seen->vars->state, VARS_EMPTY);
}

/* NV-14: the one that the definition names; else the one that was last known. */
static void nv_14_which_of_several_counts_is_certain(void **state)
{
    g_auto(Place) place = place_new(SIM_EFI);

    put_file(&place, SIM_TEMPLATE, SIZE, "_FVH");
    put_file(&place, SIM_SECURE_TEMPLATE, SIZE, "_FVH");
    put_file(&place, STORE, SIZE, "_FVH");
    put_file(&place, "/images/known.fd", SIZE, "_FVH");
    put_file(&place, "/images/named.fd", SIZE, "_FVH");
    assert_state(&place, VARS_READY, STORE);
    place.catalog->vars = g_strdup("/images/known.fd");
    assert_state(&place, VARS_READY, "/images/known.fd");
    simhost_set_nvram(place.host, WEB, "/images/named.fd");
    assert_state(&place, VARS_READY, "/images/named.fd");
}

static void nv_04_what_uefi_firmware_has_left_is_unused(void **state)
{
    g_auto(Place) place = place_new(SIM_BIOS);

    put_file(&place, STORE, SIZE, "_FVH");
    place.catalog->vars = g_strdup(STORE);
    assert_state(&place, VARS_UNUSED, STORE);
    g_clear_pointer(&place.catalog->vars, g_free);
    g_autoptr(Observation) seen = look(&place);
    assert_null(seen->vars);
}

/* A directory in its place, say. */
static void what_cannot_be_read_says_why(void **state)
{
    g_auto(Place) place = place_new(SIM_LOADER);
    g_autoptr(GPtrArray) none = state_files_new();
    assert_true(simhost_state_write_directory(place.host, STORE, none, NULL));
    g_autoptr(Observation) seen = look(&place);

    assert_int_equal(seen->vars->state, VARS_EMPTY);
    assert_non_null(strstr(seen->vars->error, STORE));
}

/* ---- vTPM ---- */

static void put_tpm(Place *place, const char *content)
{
    g_autoptr(GPtrArray) files = state_files_new();
    g_autoptr(GBytes) bytes = g_bytes_new(content, strlen(content));

    g_ptr_array_add(files, state_file_new("tpm2-00.permall", bytes));
    assert_true(simhost_state_remove_directory(place->host, TPM, NULL));
    assert_true(simhost_state_write_directory(place->host, TPM, files, NULL));
}

static void the_state_of_a_vtpm_is_told_apart_by_its_checksum(void **state)
{
    g_auto(Place) place = place_new(SIM_BIOS);
    simhost_set_tpm(place.host, WEB, true);
    g_autoptr(Observation) before = look(&place);
    put_tpm(&place, "one");
    g_autoptr(Observation) one = look(&place);
    put_tpm(&place, "two");
    g_autoptr(Observation) two = look(&place);

    assert_string_equal(before->tpm->path, TPM);
    assert_null(before->tpm->sha256);
    assert_null(before->tpm->error);
    assert_int_equal(strlen(one->tpm->sha256), 64);
    assert_string_not_equal(one->tpm->sha256, two->tpm->sha256);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nv_03_of_a_bios_vm_nothing_is_seen),
        cmocka_unit_test(nv_05_a_store_is_ready_missing_empty_or_of_the_wrong_size),
        cmocka_unit_test(nv_22_the_template_and_its_size_are_seen),
        cmocka_unit_test(nv_22_where_libvirt_chooses_all_templates_count),
        cmocka_unit_test(a_qcow2_store_is_seen_as_one),
        cmocka_unit_test(nv_14_which_of_several_counts_is_certain),
        cmocka_unit_test(nv_04_what_uefi_firmware_has_left_is_unused),
        cmocka_unit_test(what_cannot_be_read_says_why),
        cmocka_unit_test(the_state_of_a_vtpm_is_told_apart_by_its_checksum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
