/* Starts that are broken at every effect: whatever was cut, the VM can be started, on the variables
 * that it had, and there is one store, not two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "lab.h"
#include "run/vm-start.h"

#define WORD 77

static const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};

typedef struct {
    SimFirmware firmware;
    bool ran;      /* it has been started before, and its guest has written a variable */
    bool renamed;  /* … and has another name since, or lost what its definition said */
    bool snapshot; /* there is a catalog with a snapshot already */
} Story;

static const Story stories[] = {
    {SIM_LOADER, false, false, false}, {SIM_LOADER, true, false, false},
    {SIM_EFI, false, false, false},    {SIM_EFI, true, false, false},
    {SIM_EFI, true, true, false},      {SIM_EFI, false, false, true},
};

static void start(Lab *lab)
{
    g_autoptr(GError) error = NULL;

    if (!vm_start(lab->vm, "start", &error))
        fail_msg("%s", error->message);
}

static Lab *lab_of(const Story *story)
{
    Lab *lab = lab_new(1, 5);
    g_autoptr(GError) error = NULL;

    if (story->snapshot && !lab_script(lab, "w c1 w", &error))
        fail_msg("%s", error->message);
    simhost_set_firmware(lab->host, LAB_UUID, story->firmware, false);
    if (story->ran) {
        start(lab);
        simhost_write_variable(lab->host, LAB_UUID, WORD);
        lab_stop(lab);
    }
    if (story->renamed) {
        simhost_set_nvram(lab->host, LAB_UUID, NULL);
        assert_true(lab->hv->ops->rename(lab->hv, LAB_UUID, "another", NULL));
    }
    return lab;
}

static unsigned stores(Lab *lab)
{
    g_autoptr(GPtrArray) files = simhost_states(lab->host);
    unsigned count = 0;

    for (guint i = 0; i < files->len; i++)
        count += g_str_has_suffix(files->pdata[i], ".fd");
    return count;
}

static void assert_runs_on_what_it_had(Lab *lab, const Story *story)
{
    assert_int_equal(simhost_state(lab->host, LAB_UUID), DOMAIN_RUNNING);
    assert_int_equal(stores(lab), 1);
    if (story->ran)
        assert_int_equal(simhost_read_variable(lab->host, LAB_UUID), WORD);
    g_autofree char *why = lab_broken_law(lab);
    if (why)
        fail_msg("%s", why);
}

static unsigned effects(const Story *story)
{
    g_autoptr(Lab) lab = lab_of(story);

    fault_arm(lab->fault, FAULT_NONE, 0);
    start(lab);
    assert_runs_on_what_it_had(lab, story);
    return fault_calls(lab->fault);
}

static void break_start(const Story *story, FaultMode mode, unsigned call)
{
    g_autoptr(Lab) lab = lab_of(story);
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, mode, call);
    bool started = vm_start(lab->vm, "start", NULL);
    if (started || mode == FAULT_FAIL)
        assert_int_equal(simhost_state(lab->host, LAB_UUID) == DOMAIN_RUNNING, started);
    if (!started && mode == FAULT_FAIL)
        assert_int_equal(stores(lab), story->ran);
    lab_restart(lab);
    if (!vm_open(lab->vm, &error))
        fail_msg("%s", error->message);
    if (simhost_state(lab->host, LAB_UUID) == DOMAIN_OFF)
        start(lab);
    assert_runs_on_what_it_had(lab, story);
    lab_stop(lab);
    start(lab);
    assert_runs_on_what_it_had(lab, story);
}

static void a_start_is_cut_everywhere_NV_08(void **state)
{
    for (guint s = 0; s < G_N_ELEMENTS(stories); s++) {
        unsigned count = effects(&stories[s]);

        assert_true(count > 0);
        for (unsigned call = 1; call <= count; call++)
            for (guint i = 0; i < G_N_ELEMENTS(modes); i++)
                break_start(&stories[s], modes[i], call);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_start_is_cut_everywhere_NV_08)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
