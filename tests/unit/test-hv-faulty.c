/* The fake host's file, what only the fake hypervisor does, and the failing one on top of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>

#include "hv/fake.h"
#include "hv/faulty.h"
#include "model/simhost-face.h"

/* --- the host file --- */

static Hypervisor *open_text(const char *text, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("host-XXXXXX.yaml", &path, NULL);

    assert_true(fd >= 0);
    g_close(fd, NULL);
    assert_true(g_file_set_contents(path, text, -1, NULL));
    g_autofree char *uri = g_strconcat("fake://", path, NULL);
    Hypervisor *hv = hv_open(uri, error);
    g_unlink(path);
    return hv;
}

#define WEB "vms:\n  - {name: web01, uuid: 11111111-1111-4111-8111-111111111111"

static void a_host_file_makes_its_vms_and_images(void **state)
{
    g_autoptr(Hypervisor) hv = open_text(
        WEB
        ", state: running, disks: [{target: vda, path: /i/a, capacity: 131072, backing: /i/b}]}\n",
        NULL);
    g_autoptr(GPtrArray) list = hv->ops->list(hv, NULL);

    assert_int_equal(list->len, 1);
    const HvDomain *domain = list->pdata[0];
    assert_string_equal(domain->name, "web01");
    assert_int_equal(domain->state, DOMAIN_RUNNING);
    assert_true(domain->persistent);
    g_autoptr(GPtrArray) images = simhost_images(hv_fake_host(hv));
    assert_int_equal(images->len, 2);
    assert_string_equal(images->pdata[0], "/i/a");
    assert_string_equal(images->pdata[1], "/i/b");
}

static void relative_paths_start_at_the_host_file(void **state)
{
    g_autoptr(Hypervisor) hv =
        open_text(WEB ", disks: [{target: vda, path: i/a, capacity: 131072}]}\n", NULL);
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "i/a", NULL);

    assert_true(simhost_image_exists(hv_fake_host(hv), path));
}

static void the_example_host_has_two_vms(void **state)
{
    g_autofree char *uri = g_strconcat("fake://", SOURCE_ROOT, "/tests/face/hosts/two.yaml", NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Hypervisor) hv = hv_open(uri, &error);

    assert_null(error);
    g_autoptr(GPtrArray) list = hv->ops->list(hv, NULL);
    assert_int_equal(list->len, 2);
    assert_int_equal(((HvDomain *)list->pdata[0])->state, DOMAIN_OFF);
    assert_int_equal(((HvDomain *)list->pdata[1])->state, DOMAIN_RUNNING);
}

static void mistakes_in_a_host_file_are_named_with_line_and_column(void **state)
{
    static const struct {
        const char *text, *where;
    } cases[] = {
        {"vms: []\ncolour: red\n", "line 2, column 1"},
        {"vms: {}\n", "line 1, column 6"},
        {"vms: []\ndown: 1\n", "line 2, column 7"},
        {"vms: []\nslow_ms: {sleep: 1}\n", "line 2, column 11"},
        {"vms: []\njob_blocks_per_look: many\n", "line 2, column 22"},
        {WEB ", state: asleep}\n", "line 2, column 70"},
        {WEB ", state: off, transient: true}\n", "line 2, column 5"},
        {WEB "}\n  - {name: web01, uuid: 22222222-1111-4111-8111-111111111111}\n",
         "line 3, column 12"},
        {"vms:\n  - {name: web01, uuid: 1}\n", "line 2"},
        {WEB ", disks: [{target: vda, path: /a, capacity: 0}]}\n", "line 2"},
        {WEB ", disks: [{target: vda, path: /a}]}\n", "line 2"},
        {WEB ", disks: [{target: vda, path: /a, capacity: 1, format: vmdk}]}\n", "line 2"},
        {"", ""},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(open_text(cases[i].text, &error));
        assert_true(error_is(error, ERR_INVALID));
        if (!strstr(error->message, cases[i].where))
            fail_msg("case %u: \"%s\" does not say \"%s\"", i, error->message, cases[i].where);
    }
}

static void running_guests_write_where_the_host_file_says_so(void **state)
{
    g_autoptr(Hypervisor) hv =
        open_text(WEB ", state: running, disks: [{target: vda, path: /i/a, capacity: 6553600}]}\n"
                      "guest_writes: true\nfree_bytes: 6553600\nslow_ms: {snapshot: 1}\n",
                  NULL);
    SimHost *host = hv_fake_host(hv);
    g_autoptr(GPtrArray) switches =
        g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
    g_auto(SimImageFacts) before = {0};
    g_auto(SimImageFacts) after = {0};

    assert_true(simhost_image_facts(host, "/i/a", &before));
    assert_true(before.allocation > 0);
    assert_true(simhost_overlay(host, "/i/a1", "/i/a", "qcow2", 6553600, NULL));
    g_ptr_array_add(switches, disk_switch_new("vda", "/i/a1", "qcow2"));
    assert_true(
        hv->ops->snapshot(hv, "11111111-1111-4111-8111-111111111111", switches, NULL, NULL));
    assert_true(simhost_image_facts(host, "/i/a1", &after));
    assert_true(after.allocation > 0);
    assert_int_equal(simhost_free_space(host), 6553600);
}

static void a_missing_host_file_is_not_found(void **state)
{
    g_autoptr(GError) error = NULL;

    assert_null(hv_open("fake:///nonexistent/host.yaml", &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    assert_null(hv_open("fake:host.yaml", &error));
    assert_true(error_is(error, ERR_INVALID));
}

static void every_call_fails_while_libvirt_is_down(void **state)
{
    g_autoptr(Hypervisor) hv = open_text(WEB "}\ndown: true\n", NULL);
    g_autoptr(GError) error = NULL;

    assert_false(hv->ops->is_up(hv));
    assert_null(hv->ops->list(hv, &error));
    assert_true(error_is(error, ERR_HOST_DOWN));
    g_clear_error(&error);
    assert_false(hv->ops->start(hv, "11111111-1111-4111-8111-111111111111", &error));
    assert_true(error_is(error, ERR_HOST_DOWN));
    simhost_set_down(hv_fake_host(hv), false);
    assert_true(hv->ops->is_up(hv));
    assert_true(hv->ops->start(hv, "11111111-1111-4111-8111-111111111111", NULL));
}

static void a_deaf_guest_goes_on_after_a_shutdown(void **state)
{
    g_autoptr(Hypervisor) hv = open_text(WEB ", state: running, deaf: true}\n", NULL);
    const char *uuid = "11111111-1111-4111-8111-111111111111";

    assert_true(hv->ops->shutdown(hv, uuid, NULL));
    assert_int_equal(simhost_state(hv_fake_host(hv), uuid), DOMAIN_RUNNING);
    simhost_set_deaf(hv_fake_host(hv), uuid, false);
    assert_true(hv->ops->shutdown(hv, uuid, NULL));
    assert_int_equal(simhost_state(hv_fake_host(hv), uuid), DOMAIN_OFF);
}

static void count_event(HvEventKind kind, const char *uuid, const char *target, void *data)
{
    g_atomic_int_inc((int *)data);
}

/* The counter lives on the stack of an inner function: a late event would write over something
 * else. */
static void nothing_is_told_after_the_subscription_ended(void **state)
{
    g_autoptr(Hypervisor) hv = open_text(WEB "}\n", NULL);
    int told = 0;

    for (unsigned i = 0; i < 100; i++) {
        hv->ops->subscribe(hv, count_event, &told);
        simhost_set_down(hv_fake_host(hv), i % 2 == 0);
        hv->ops->subscribe(hv, NULL, NULL);
        int before = g_atomic_int_get(&told);
        simhost_set_down(hv_fake_host(hv), i % 2 == 1);
        assert_int_equal(g_atomic_int_get(&told), before);
    }
}

/* --- what fails on purpose --- */

static void a_failing_call_does_nothing_and_a_lost_one_happens(void **state)
{
    g_autoptr(Hypervisor) inner = open_text(WEB "}\n", NULL);
    const char *uuid = "11111111-1111-4111-8111-111111111111";
    Fault *fault = fault_new();
    g_autoptr(Hypervisor) hv = hv_faulty(inner, fault);

    fault_arm(fault, FAULT_FAIL, 1);
    assert_false(hv->ops->start(hv, uuid, NULL));
    assert_int_equal(simhost_state(hv_fake_host(inner), uuid), DOMAIN_OFF);
    assert_true(hv->ops->start(hv, uuid, NULL));
    fault_arm(fault, FAULT_LOST, 1);
    assert_false(hv->ops->destroy(hv, uuid, NULL));
    assert_int_equal(simhost_state(hv_fake_host(inner), uuid), DOMAIN_OFF);
    assert_true(hv->ops->start(hv, uuid, NULL));
    fault_free(fault);
}

static void a_dead_program_cannot_even_read(void **state)
{
    g_autoptr(Hypervisor) inner = open_text(WEB "}\n", NULL);
    const char *uuid = "11111111-1111-4111-8111-111111111111";
    Fault *fault = fault_new();
    g_autoptr(Hypervisor) hv = hv_faulty(inner, fault);
    g_autoptr(GError) error = NULL;

    fault_arm(fault, FAULT_CUT_AFTER, 1);
    g_ptr_array_unref(hv->ops->list(hv, NULL));
    assert_int_equal(fault_calls(fault), 0);
    assert_false(hv->ops->start(hv, uuid, NULL));
    assert_int_equal(simhost_state(hv_fake_host(inner), uuid), DOMAIN_RUNNING);
    assert_null(hv->ops->list(hv, &error));
    assert_true(error_is(error, ERR_INTERRUPTED));
    assert_false(hv->ops->destroy(hv, uuid, NULL));
    assert_int_equal(simhost_state(hv_fake_host(inner), uuid), DOMAIN_RUNNING);
    fault_free(fault);
}

static void a_call_that_fails_by_itself_uses_up_its_fault(void **state)
{
    g_autoptr(Hypervisor) inner = open_text(WEB "}\n", NULL);
    const char *uuid = "11111111-1111-4111-8111-111111111111";
    Fault *fault = fault_new();
    g_autoptr(Hypervisor) hv = hv_faulty(inner, fault);
    g_autoptr(GError) error = NULL;

    fault_arm(fault, FAULT_LOST, 1);
    assert_false(hv->ops->destroy(hv, uuid, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_true(hv->ops->start(hv, uuid, NULL));
    fault_free(fault);
}

static void the_program_can_die_while_a_block_job_is_half_done(void **state)
{
    g_autoptr(Hypervisor) inner = open_text(
        WEB
        ", state: running, disks: [{target: vda, path: /i/a, capacity: 655360, backing: /i/b}]}\n"
        "job_blocks_per_look: 2\n",
        NULL);
    SimHost *host = hv_fake_host(inner);
    const char *uuid = "11111111-1111-4111-8111-111111111111";
    Fault *fault = fault_new();
    g_autoptr(Hypervisor) hv = hv_faulty(inner, fault);
    BlockJobFacts *job = NULL;

    for (unsigned block = 0; block < 4; block++)
        simhost_write(host, uuid, "vda", block, 100 + block);
    fault_arm(fault, FAULT_CUT_BEFORE, 2);
    assert_true(hv->ops->block_commit(hv, uuid, "vda", "/i/a", "/i/b", true, 0, NULL));
    assert_false(hv->ops->block_job(hv, uuid, "vda", &job, NULL));
    g_autoptr(GArray) base = simhost_image_content(host, "/i/b");
    assert_int_equal(g_array_index(base, guint64, 1), 101);
    assert_int_equal(g_array_index(base, guint64, 2), 0);
    fault_free(fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_file_makes_its_vms_and_images),
        cmocka_unit_test(relative_paths_start_at_the_host_file),
        cmocka_unit_test(the_example_host_has_two_vms),
        cmocka_unit_test(mistakes_in_a_host_file_are_named_with_line_and_column),
        cmocka_unit_test(running_guests_write_where_the_host_file_says_so),
        cmocka_unit_test(a_missing_host_file_is_not_found),
        cmocka_unit_test(every_call_fails_while_libvirt_is_down),
        cmocka_unit_test(a_deaf_guest_goes_on_after_a_shutdown),
        cmocka_unit_test(nothing_is_told_after_the_subscription_ended),
        cmocka_unit_test(a_failing_call_does_nothing_and_a_lost_one_happens),
        cmocka_unit_test(a_dead_program_cannot_even_read),
        cmocka_unit_test(a_call_that_fails_by_itself_uses_up_its_fault),
        cmocka_unit_test(the_program_can_die_while_a_block_job_is_half_done),
    };

    return cmocka_run_group_tests_name("the fake host", tests, NULL, NULL);
}
