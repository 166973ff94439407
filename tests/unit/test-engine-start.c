/* Starting through `state` (design 6) on a simulated host, which, as libvirt does, makes every
 * variable store that is not there without a word. */
#include "engine-bench.h"

#include "plan/step.h"

#include <string.h>

#define DEFAULT   SIM_NVRAM_DIRECTORY "/web_VARS.fd"
#define BESIDE    "/images/web_VARS.aaaaaaaa.fd"
#define TPM_STATE SIM_TPM_DIRECTORY "/" WEB "/tpm2"

static bool is_there(Bench *bench, const char *path)
{
    g_autoptr(GBytes) content = simhost_state_content(bench->host, path);

    return content != NULL;
}

static bool is_whole(Bench *bench, const char *path)
{
    g_autoptr(GBytes) content = simhost_state_content(bench->host, path);
    gsize size = 0;
    const char *bytes = content ? g_bytes_get_data(content, &size) : NULL;

    return size > 44 && memcmp(bytes + 40, "_FVH", 4) == 0;
}

/* What the catalog knows of the store; yours. */
static char *known(Bench *bench, const char *uuid)
{
    g_mutex_lock(&bench->engine->lock);
    const EngineVm *vm = g_hash_table_lookup(bench->engine->vms, uuid);
    g_mutex_unlock(&bench->engine->lock);
    g_autoptr(Catalog) catalog = vm_catalog(vm->vm);

    return g_strdup(catalog->vars);
}

static bool is_known(Bench *bench, const char *path)
{
    g_autofree char *now = known(bench, WEB);

    return !g_strcmp0(now, path);
}

static char *place(Bench *bench)
{
    return simhost_vars_path(bench->host, WEB);
}

static void assert_place(Bench *bench, const char *path)
{
    g_autofree char *now = place(bench);

    assert_string_equal(now, path);
}

static void assert_starts(Bench *bench)
{
    assert_string_equal(bench_power(bench, WEB, "running"), "ok");
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_RUNNING);
}

static void stop(Bench *bench)
{
    assert_string_equal(bench_power(bench, WEB, "off"), "ok");
}

static void assert_refused(Bench *bench, const char *answer, const char *why)
{
    assert_string_equal(bench_power(bench, WEB, "running"), answer);
    assert_int_equal(simhost_state(bench->host, WEB), DOMAIN_OFF);
    g_autofree char *errors = engine_errors(bench->engine, WEB);
    if (!strstr(errors, why))
        fail_msg("no \"%s\" in: %s", why, errors);
}

static Bench *with(void **state, SimFirmware firmware)
{
    Bench *bench = *state;

    simhost_set_firmware(bench->host, WEB, firmware, false);
    return bench;
}

/* ---- the need matrix ---- */

static void what_is_needed_and_absent_is_made_where_the_definition_says_NV_01(void **state)
{
    Bench *bench = with(state, SIM_LOADER);

    assert_starts(bench);
    assert_true(is_whole(bench, DEFAULT));
    assert_true(is_known(bench, DEFAULT));
}

static void libvirts_choice_is_made_beside_the_root_disk_NV_01_NV_10_NV_12(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_starts(bench);
    assert_place(bench, BESIDE);
    assert_true(is_whole(bench, BESIDE));
    assert_false(is_there(bench, DEFAULT));
    assert_true(is_known(bench, BESIDE));
}

static void what_is_ready_is_left_alone_NV_02_NV_18(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_true(simhost_start(bench->host, WEB));
    simhost_write_variable(bench->host, WEB, 77);
    simhost_stop(bench->host, WEB);
    bench_wait(bench, is_off, WEB);
    assert_starts(bench);
    assert_place(bench, DEFAULT);
    assert_int_equal(simhost_read_variable(bench->host, WEB), 77);
    assert_false(is_there(bench, BESIDE));
}

static void bios_has_none_NV_03(void **state)
{
    Bench *bench = *state;

    assert_starts(bench);
    g_autoptr(GPtrArray) files = simhost_states(bench->host);
    assert_int_equal(files->len, 0);
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_string_equal(view->home, "");
}

static void what_is_not_needed_any_more_is_kept_NV_04(void **state)
{
    Bench *bench = with(state, SIM_LOADER);

    assert_starts(bench);
    stop(bench);
    g_autoptr(GBytes) before = simhost_state_content(bench->host, DEFAULT);
    simhost_set_firmware(bench->host, WEB, SIM_BIOS, false);
    assert_starts(bench);
    g_autoptr(GBytes) after = simhost_state_content(bench->host, DEFAULT);
    assert_true(g_bytes_equal(before, after));
    assert_true(is_known(bench, DEFAULT));
}

/* ---- what is not ready ---- */

static void put(Bench *bench, const char *path, gsize size, bool signature)
{
    char *content = g_malloc0(size + 1);

    if (signature)
        memcpy(content + 40, "_FVH", 4);
    g_autoptr(GBytes) bytes = g_bytes_new_take(content, size);
    simhost_set_state_bytes(bench->host, path, bytes);
}

static void what_is_not_ready_is_no_store_NV_05(void **state)
{
    Bench *bench = with(state, SIM_LOADER);
    const gsize sizes[] = {0, 512, 8192};

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        put(bench, DEFAULT, sizes[i], sizes[i] == 8192);
        g_autoptr(GBytes) before = simhost_state_content(bench->host, DEFAULT);
        assert_refused(bench, "EIO",
                       sizes[i] == 8192 ? "has the size of another firmware's"
                                        : "has no UEFI variables in it");
        g_autoptr(GBytes) after = simhost_state_content(bench->host, DEFAULT);
        assert_true(g_bytes_equal(before, after));
    }
    simhost_set_state(bench->host, DEFAULT, NULL);
    assert_starts(bench);
}

static void a_directory_is_no_store_NV_05(void **state)
{
    Bench *bench = with(state, SIM_LOADER);

    simhost_set_state_directory(bench->host, DEFAULT, true);
    assert_refused(bench, "EIO", "cannot be used");
}

/* ---- what was there ---- */

static void what_was_there_is_missed_NV_24(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_starts(bench);
    simhost_write_variable(bench->host, WEB, 5);
    stop(bench);
    g_autoptr(GBytes) store = simhost_state_content(bench->host, BESIDE);
    simhost_set_state(bench->host, BESIDE, NULL);
    assert_refused(bench, "ENOENT", "rm nvram/vars.fd");
    assert_false(is_there(bench, BESIDE));
    bench_restart(bench);
    assert_refused(bench, "ENOENT", BESIDE);
    simhost_set_state_bytes(bench->host, BESIDE, store);
    assert_starts(bench);
    assert_int_equal(simhost_read_variable(bench->host, WEB), 5);
}

static void stops_and_reboots_keep_it_NV_06(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    for (unsigned i = 0; i < 3; i++) {
        assert_starts(bench);
        if (i == 0)
            simhost_write_variable(bench->host, WEB, 6);
        assert_int_equal(simhost_read_variable(bench->host, WEB), 6);
        if (i == 1)
            assert_string_equal(bench_power(bench, WEB, "shutoff"), "ok");
        else
            stop(bench);
    }
}

/* The definition of firmware='efi' says nothing, and the name by which libvirt would look is
 * another one now. */
static void a_known_place_is_stated_again(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_starts(bench);
    simhost_write_variable(bench->host, WEB, 8);
    stop(bench);
    simhost_set_nvram(bench->host, WEB, NULL);
    assert_starts(bench);
    assert_place(bench, BESIDE);
    assert_int_equal(simhost_read_variable(bench->host, WEB), 8);
}

/* The one in the definition counts, whatever lies elsewhere. */
static void of_several_the_stated_one_counts_NV_14(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_starts(bench);
    stop(bench);
    put(bench, DEFAULT, 512, true);
    put(bench, "/images/other.fd", 512, true);
    simhost_set_nvram(bench->host, WEB, "/images/other.fd");
    assert_starts(bench);
    assert_place(bench, "/images/other.fd");
    assert_true(is_known(bench, "/images/other.fd"));
    assert_true(is_there(bench, BESIDE) && is_there(bench, DEFAULT));
}

/* ---- starts that fail ---- */

static Bench *failing;

/* libvirt makes the store, and then QEMU does not start. */
static bool fail_late(Hypervisor *hv, const char *uuid, GError **error)
{
    assert_true(simhost_start(failing->host, uuid));
    simhost_stop(failing->host, uuid);
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_IO, "internal error: qemu went away");
    return false;
}

static bool fail_early(Hypervisor *hv, const char *uuid, GError **error)
{
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_IO,
                        "Failed to create file '/x_VARS.fd.new': Read-only file system");
    return false;
}

static void break_start(Bench *bench, bool (*start)(Hypervisor *, const char *, GError **))
{
    failing = bench;
    bench->hv_ops.start = start;
}

static void a_start_that_fails_leaves_nothing_NV_08(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    break_start(bench, fail_late);
    assert_refused(bench, "EIO", "qemu went away");
    assert_false(is_there(bench, BESIDE));
    assert_place(bench, DEFAULT);
    assert_true(is_known(bench, NULL));
}

static void a_start_that_fails_keeps_what_was_there_NV_08(void **state)
{
    Bench *bench = with(state, SIM_LOADER);

    assert_starts(bench);
    stop(bench);
    break_start(bench, fail_late);
    assert_refused(bench, "EIO", "qemu went away");
    assert_true(is_whole(bench, DEFAULT));
}

static void why_it_could_not_be_made_is_libvirts_to_say_NV_07(void **state)
{
    Bench *bench = with(state, SIM_LOADER);

    break_start(bench, fail_early);
    assert_refused(bench, "EIO", "Failed to create file '/x_VARS.fd.new': Read-only file system");
    assert_true(is_known(bench, NULL));
}

/* ---- VMs of other kinds ---- */

static void a_vm_without_a_disk_starts_NV_12(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    simhost_remove_disk(bench->host, WEB, "vda");
    simhost_remove_disk(bench->host, WEB, "vdb");
    assert_starts(bench);
    assert_place(bench, DEFAULT);
    assert_true(is_whole(bench, DEFAULT));
}

static void reconnect(Bench *bench)
{
    simhost_set_down(bench->host, true);
    bench_wait(bench, is_stale, WEB);
    simhost_set_down(bench->host, false);
    bench_wait(bench, is_fresh, WEB);
}

static void a_host_that_lost_its_firmware_says_so(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_starts(bench);
    stop(bench);
    simhost_set_capabilities(bench->host, false, true);
    reconnect(bench);
    assert_refused(bench, "EOPNOTSUPP", "install it (package ovmf)");
    simhost_set_firmware(bench->host, WEB, SIM_LOADER, false);
    assert_refused(bench, "EOPNOTSUPP", SIM_LOADER_PATH);
    simhost_set_capabilities(bench->host, true, true);
    reconnect(bench);
    assert_starts(bench);
}

static void a_host_that_lost_swtpm_says_so(void **state)
{
    Bench *bench = *state;

    simhost_set_tpm(bench->host, WEB, true);
    simhost_set_capabilities(bench->host, true, false);
    reconnect(bench);
    assert_refused(bench, "EOPNOTSUPP", "swtpm");
    assert_string_equal(bench_power(bench, DB, "running"), "ok");
}

/* ---- who else starts VMs ---- */

static void make_catalog(Bench *bench)
{
    Request *policy = bench_request(REQUEST_POLICY, WEB, "max_depth");

    policy->text = g_strdup("50");
    assert_string_equal(bench_answer(bench_submit(bench, policy)), "ok");
}

static void a_start_by_virsh_is_noted_where_there_is_a_catalog(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    make_catalog(bench);
    assert_true(simhost_start(bench->host, WEB));
    bench_wait(bench, is_known, DEFAULT);
    simhost_stop(bench->host, WEB);
    bench_wait(bench, is_off, WEB);
    simhost_set_state(bench->host, DEFAULT, NULL);
    assert_refused(bench, "ENOENT", DEFAULT);
}

static void a_start_that_nobody_saw_is_noted_when_the_daemon_is_back(void **state)
{
    Bench *bench = with(state, SIM_LOADER);

    make_catalog(bench);
    engine_free(bench->engine);
    simhost_set_nvram(bench->host, WEB, "/images/moved.fd");
    assert_true(simhost_start(bench->host, WEB));
    bench->engine = engine_new_on(bench->hv, bench->images, bench->files);
    bench_start(bench);
    assert_true(is_known(bench, "/images/moved.fd"));
}

/* policy/start asks for the start as people do: what is gone by then is missed. */
static void a_start_after_a_revert_looks_first(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_starts(bench);
    simhost_write_variable(bench->host, WEB, 3);
    assert_string_equal(bench_create(bench, WEB, "s"), "ok");
    simhost_write_variable(bench->host, WEB, 4);
    stop(bench);
    Request *policy = bench_request(REQUEST_POLICY, WEB, "start");
    policy->text = g_strdup("1");
    assert_string_equal(bench_answer(bench_submit(bench, policy)), "ok");
    assert_string_equal(bench_revert(bench, WEB, "s"), "ok");
    bench_wait(bench, is_running, WEB);
    assert_int_equal(simhost_read_variable(bench->host, WEB), 3);
    g_autofree char *path = place(bench);
    bench_wait(bench, is_known, path);
    stop(bench);
    simhost_set_state(bench->host, path, NULL);
    assert_refused(bench, "ENOENT", "is gone");
}

/* swtpm would make a new one without a word. */
static void a_vtpm_that_is_gone_is_missed(void **state)
{
    Bench *bench = *state;

    simhost_set_tpm(bench->host, WEB, true);
    assert_starts(bench);
    simhost_write_secret(bench->host, WEB, 9);
    stop(bench);
    simhost_set_state_directory(bench->host, TPM_STATE, false);
    assert_starts(bench);
    simhost_write_secret(bench->host, WEB, 10);
    assert_string_equal(bench_create(bench, WEB, "s"), "ok");
    stop(bench);
    simhost_set_state_directory(bench->host, TPM_STATE, false);
    assert_refused(bench, "ENOENT", "the state of its TPM");
    assert_string_equal(bench_revert(bench, WEB, "s"), "ok");
    assert_starts(bench);
    assert_int_equal(simhost_read_secret(bench->host, WEB), 10);
}

static void a_vm_that_we_have_nothing_about_is_left_so(void **state)
{
    Bench *bench = with(state, SIM_EFI);

    assert_true(simhost_start(bench->host, WEB));
    bench_wait(bench, is_running, WEB);
    bench_restart(bench);
    assert_true(is_known(bench, NULL));
    g_autoptr(VmView) view = bench_view(bench, WEB);
    assert_string_equal(view->home, "");
}

/* S-27: policy/start, in both styles of definition; nothing that the snapshot has is missed or made
 * anew. */
static void a_revert_starts_the_vm_on_what_it_brought_back(void **state)
{
    static const SimFirmware styles[] = {SIM_LOADER, SIM_EFI};
    Bench *bench = *state;

    for (guint i = 0; i < G_N_ELEMENTS(styles); i++) {
        const char *name = i ? "auto" : "loader";
        Request *policy = bench_request(REQUEST_POLICY, WEB, "start");

        simhost_set_firmware(bench->host, WEB, styles[i], false);
        simhost_set_tpm(bench->host, WEB, true);
        assert_starts(bench);
        simhost_write_variable(bench->host, WEB, 1);
        simhost_write_secret(bench->host, WEB, 1);
        assert_string_equal(bench_create(bench, WEB, name), "ok");
        simhost_write_variable(bench->host, WEB, 2);
        simhost_write_secret(bench->host, WEB, 2);
        stop(bench);
        policy->text = g_strdup("1");
        assert_string_equal(bench_answer(bench_submit(bench, policy)), "ok");
        assert_string_equal(bench_revert(bench, WEB, name), "ok");
        bench_wait(bench, is_running, WEB);
        assert_int_equal(simhost_read_variable(bench->host, WEB), 1);
        assert_int_equal(simhost_read_secret(bench->host, WEB), 1);
        stop(bench);
    }
}

#define started(name) cmocka_unit_test_setup_teardown(name, bench_set_up, bench_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(what_is_needed_and_absent_is_made_where_the_definition_says_NV_01),
        started(libvirts_choice_is_made_beside_the_root_disk_NV_01_NV_10_NV_12),
        started(what_is_ready_is_left_alone_NV_02_NV_18),
        started(bios_has_none_NV_03),
        started(what_is_not_needed_any_more_is_kept_NV_04),
        started(what_is_not_ready_is_no_store_NV_05),
        started(a_directory_is_no_store_NV_05),
        started(what_was_there_is_missed_NV_24),
        started(stops_and_reboots_keep_it_NV_06),
        started(a_known_place_is_stated_again),
        started(of_several_the_stated_one_counts_NV_14),
        started(a_start_that_fails_leaves_nothing_NV_08),
        started(a_start_that_fails_keeps_what_was_there_NV_08),
        started(why_it_could_not_be_made_is_libvirts_to_say_NV_07),
        started(a_vm_without_a_disk_starts_NV_12),
        started(a_host_that_lost_its_firmware_says_so),
        started(a_host_that_lost_swtpm_says_so),
        started(a_start_by_virsh_is_noted_where_there_is_a_catalog),
        started(a_start_that_nobody_saw_is_noted_when_the_daemon_is_back),
        started(a_start_after_a_revert_looks_first),
        started(a_vtpm_that_is_gone_is_missed),
        started(a_vm_that_we_have_nothing_about_is_left_so),
        started(a_revert_starts_the_vm_on_what_it_brought_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
