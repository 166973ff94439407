/* Every operation broken at every effect, in every way: the call fails, its answer is lost, the
 * program dies before or after it. Then a new program recovers (and is cut once more), and every
 * law of design 5 must hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "broken.h"

typedef struct {
    const char *before; /* script without faults */
    const char *word;   /* what is broken */
} Case;

static const Case off_cases[] = {
    {"w", "c1"},
    {"w c1 w", "c2"},
    {"c1 w c2 w r1 w", "c3"},
    {"w c1 w c2 w", "r1"},
    {"w c1 w c2 w", "r2"},
    {"w c1 w", "r1"},
    {"w c1 w", "d1"},
    {"w c1 w c2 w", "d2"},
    {"w c1 w c2 w", "d1"},
    {"w c1 w c2 w c3 w", "d2"},
    {"w c1 w c2 w r1 w", "d2"},
    {"w c1 w c2 w c3 w r1 w", "d2"},
    {"w c1 w c2 w c3 w c4 w r1 w", "d2"},
    {"w c1 w c2 w r1 w c3 w", "d1"},
    {"w c1 w c2 w r1 w c3 w d1 w", "d3"},
    {"w c1 w c2 w r1 w c3 w d1 w", "d2"},
    {"w c1 w c2 w r1 c3 r1 d1 d3", "d2"},
    {"w c1 w c2 w r1 w c3 w r1 w d1 d3", "r2"},
    {"w c1 w c2 w c3 w x2 x3", "f"},
    {"w c1 w c2 w c3 w x1 x2", "f"},
    {"w c1 w c2 w c3 w x1 x2 x3", "f"},
    {"w c1 w c2 w c3 w c4 w x2 x3", "f"},
    {"w c1 w c2 w c3 w c4 w r3 w x2", "d1"},
    {"w c1 w", "m1"},
    {"w c1 w", "e1"},
    {"w c1 w", "h1"},
    {"w", "p"},
};

static const Case running_cases[] = {
    {"w S", "c1"},
    {"w S c1 w", "c2"},
    {"c1 w c2 w r1 w S", "c3"},
    {"w c1 w S", "d1"},
    {"w c1 w c2 w S", "d2"},
    {"w S c1 w c2 w", "d1"},
    {"w S c1 w c2 w c3 w", "d2"},
    {"w c1 w c2 w r1 w S", "d2"},
    {"w c1 w c2 w c3 w r1 w S", "d2"},
    {"w c1 w c2 w c3 w c4 w r1 w S", "d2"},
    {"w c1 w c2 w r1 w c3 w S", "d1"},
    {"w c1 w c2 w r1 w c3 w d1 w S", "d3"},
    {"w c1 w c2 w r1 w c3 w d1 w S", "d2"},
    {"w c1 w c2 w r1 c3 r1 d1 d3 S", "d2"},
    {"w S c1 w c2 w c3 w x2 x3", "f"},
    {"w S c1 w c2 w c3 w x1 x2", "f"},
    {"w S c1 w c2 w c3 w x1 x2 x3", "f"},
    {"w S c1 w c2 w c3 w c4 w x2 x3", "f"},
    {"w S c1 w", "m1"},
    {"w S", "p"},
};

/* With a guest agent, of every kind with which a snapshot comes to be. */
static const Case frozen_cases[] = {
    {"w A2 S", "c1"}, {"w A2 S c1 w", "c2"}, {"w A6 S", "c1"},
    {"w A7 S", "c1"}, {"w A9 S", "c1"},      {"w A: S", "c1"},
};

/* With UEFI variables and a vTPM: off, running, frozen as well, with a freeze or a thaw that fails,
 * and paused by its owner. */
static const Case firmware_cases[] = {
    {"U w", "c1"},           {"U w c1 w", "c2"},      {"U w S", "c1"},    {"U w S c1 w", "c2"},
    {"U w A2 S c1 w", "c2"}, {"U w A6 S", "c1"},      {"U w A: S", "c1"}, {"U w S Z", "c1"},
    {"U w S c1 w c2", "d1"}, {"U w c1 w c2 w", "d2"},
};

/* Reverts, and removals of what has sidecars. */
static const Case restore_cases[] = {
    {"U w c1 w c2 w", "r1"},           {"E w c1 w c2 w", "r2"},
    {"E w c1 w r1 w c2 w", "r1"},      {"U w c1 w c2 w", "d1"},
    {"U w c1 w c2 w r1 w", "d2"},      {"U w c1 w c2 w r1 w c3 w d1 w", "d3"},
    {"U w c1 w c2 w c3 w x1 x2", "f"},
};

static const Case running_restore_cases[] = {
    {"U w S c1 w c2 w", "d1"},
    {"U w S c1 w c2 w", "d2"},
    {"U w c1 w c2 w r1 w S", "d2"},
    {"U w S c1 w c2 w c3 w x1 x2", "f"},
};

static const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};

/* Without CUTS_FULL: how far two cuts of a recovery are apart. */
#define RECOVERY_STRIDE 19

static bool full; /* CUTS_FULL is set: every cut of every recovery */

static unsigned make_run(const BrokenRun *run)
{
    unsigned effects = 0;
    g_autofree char *wrong = broken_run(run, &effects);

    if (wrong)
        fail_msg("%s", wrong);
    return effects;
}

/* Recovery is cut at its effects, too. */
static void cut_recovery(BrokenRun run, unsigned effects)
{
    unsigned stride = full ? 1 : RECOVERY_STRIDE;

    for (unsigned call = 1 + run.call % stride; call <= effects; call += stride) {
        run.recovery_call = call;
        run.recovery_mode = call % 2 ? FAULT_CUT_AFTER : FAULT_CUT_BEFORE;
        make_run(&run);
    }
}

static unsigned count_effects(const BrokenRun *run)
{
    unsigned effects = 0;
    g_autofree char *wrong = broken_count(run, &effects);

    if (wrong)
        fail_msg("%s", wrong);
    assert_true(effects > 0);
    return effects;
}

/* A VM whose power changes meanwhile tells something new only where the program died, and dying
 * before a call is dying after the one before it, but for the first. */
static bool is_worth_it(const BrokenRun *run)
{
    if (full || run->power == POWER_STAYS)
        return true;
    return run->mode == FAULT_CUT_AFTER && run->disks == 1 && run->speed > 1;
}

static void break_everywhere(BrokenRun run)
{
    unsigned effects = count_effects(&run);

    for (run.call = 1; run.call <= effects; run.call++)
        for (guint m = 0; m < G_N_ELEMENTS(modes); m++) {
            run.mode = modes[m];
            if (!is_worth_it(&run))
                continue;
            unsigned recovery = make_run(&run);
            if (run.power == POWER_STAYS && broken_is_cut(run.mode) &&
                (full || run.mode == FAULT_CUT_AFTER))
                cut_recovery(run, recovery);
        }
}

static void break_cases(const Case *cases, size_t n, unsigned speed)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned disks = speed == 1 && !full ? 2 : 1; disks <= 2; disks++)
            for (Power power = 0; power < N_POWERS; power++)
                break_everywhere((BrokenRun){.before = cases[i].before,
                                             .word = cases[i].word,
                                             .disks = disks,
                                             .speed = speed,
                                             .power = power});
}

static void a_vm_that_is_off_survives_every_break(void **state)
{
    break_cases(off_cases, G_N_ELEMENTS(off_cases), 1000);
}

static void a_running_vm_survives_every_break(void **state)
{
    break_cases(running_cases, G_N_ELEMENTS(running_cases), 1000);
}

static void a_running_vm_with_slow_jobs_survives_every_break(void **state)
{
    break_cases(running_cases, G_N_ELEMENTS(running_cases), 1);
}

/* S-2, S-32, S-33, E-35: no guest stays frozen by us, and none is said to have been that was not.
 */
static void a_guest_that_is_frozen_survives_every_break(void **state)
{
    break_cases(frozen_cases, G_N_ELEMENTS(frozen_cases), 1000);
}

/* U-11 … U-25, table 4.3: no guest stays suspended by us, and no copy is left of a snapshot that
 * did not come to be. */
static void a_vm_with_firmware_state_survives_every_break(void **state)
{
    break_cases(firmware_cases, G_N_ELEMENTS(firmware_cases), 1000);
}

/* Rule 9, S-28, S-29: disks, variables and vTPM are of one side, and nothing of the other is left.
 */
static void a_vm_with_firmware_state_is_reverted_and_cleaned_up_whole(void **state)
{
    break_cases(restore_cases, G_N_ELEMENTS(restore_cases), 1000);
    break_cases(running_restore_cases, G_N_ELEMENTS(running_restore_cases), 1000);
}

/* Of these no snapshot comes to be: nothing is left, and the guest is thawed at the end. */
static void an_agent_that_fails_leaves_nothing(void **state)
{
    static const char *const agents[] = {"A3", "A4", "A5", "A8"};

    for (guint i = 0; i < G_N_ELEMENTS(agents); i++) {
        g_autoptr(Lab) lab = lab_new(2, i);
        g_autoptr(GError) error = NULL;
        g_autofree char *script = g_strdup_printf("w %s S w", agents[i]);

        assert_true(lab_script(lab, script, NULL));
        assert_false(lab_do(lab, "c1", &error));
        assert_true(error_is(error, g_str_equal(agents[i], "A8") ? ERR_IO : ERR_TIMEOUT));
        g_autofree char *why = lab_broken_law(lab);
        assert_null(why);
        assert_true(broken_recover(lab, NULL));
        assert_false(simhost_is_frozen(lab->host, LAB_UUID));
        g_autofree char *after = lab_broken_law(lab);
        assert_null(after);
    }
}

/* Lanes side by side: the order of effects varies, the laws do not. */
static void lanes_in_threads_keep_the_laws(void **state)
{
    static const char *const words[] = {"d1", "d2", "d3"};

    for (guint i = 0; i < 60; i++) {
        g_autoptr(Lab) lab = lab_new(2, i);
        g_autoptr(GError) error = NULL;

        lab->world.serial = false;
        assert_true(lab_script(lab, i % 2 ? "w c1 w c2 w c3 w" : "w S c1 w c2 w c3 w", &error));
        simhost_set_job_speed(lab->host, 1);
        fault_arm(lab->fault, i < 20 ? FAULT_NONE : modes[i % 4], 1 + i % 13);
        lab_do(lab, words[i % 3], NULL);
        lab_restart(lab);
        assert_true(broken_recover(lab, &error));
        g_autofree char *why = lab_broken_law(lab);
        if (why)
            fail_msg("run %u: %s", i, why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vm_that_is_off_survives_every_break),
        cmocka_unit_test(a_running_vm_survives_every_break),
        cmocka_unit_test(a_running_vm_with_slow_jobs_survives_every_break),
        cmocka_unit_test(a_guest_that_is_frozen_survives_every_break),
        cmocka_unit_test(a_vm_with_firmware_state_survives_every_break),
        cmocka_unit_test(a_vm_with_firmware_state_is_reverted_and_cleaned_up_whole),
        cmocka_unit_test(an_agent_that_fails_leaves_nothing),
        cmocka_unit_test(lanes_in_threads_keep_the_laws),
    };
    full = g_getenv("CUTS_FULL") != NULL;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    fprintf(stderr, "# %u broken runs\n", broken_runs());
    return failed;
}
