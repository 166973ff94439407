/* Every operation broken at every effect, in every way: the call fails, its answer is lost, the
 * program dies before or after it. Then a new program recovers (and is cut once more), and every
 * law of design 5 must hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "lab.h"

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
    {"w S c1 w", "m1"},
    {"w S", "p"},
};

static const FaultMode modes[] = {FAULT_FAIL, FAULT_LOST, FAULT_CUT_BEFORE, FAULT_CUT_AFTER};
static const char *const mode_names[] = {"none", "fail", "lost", "cut-before", "cut-after"};

/* What happens to the VM between the break and the recovery. */
typedef enum { POWER_STAYS, POWER_TOGGLED, POWER_CYCLED, N_POWERS } Power;

typedef struct {
    const Case *c;
    unsigned disks, speed;
    FaultMode mode;
    unsigned call;
    Power power;
    FaultMode recovery_mode; /* FAULT_NONE: recovery is left alone */
    unsigned recovery_call;
} Run;

/* Without CUTS_FULL: how far two cuts of a recovery are apart. */
#define RECOVERY_STRIDE 19

static unsigned runs_made;
static bool full; /* CUTS_FULL is set: every cut of every recovery */

static void blame(Lab *lab, const Run *run, const char *why)
{
    g_autofree char *state = lab_describe(lab);

    fail_msg("[%s | %s] disks %u speed %u, %s at %u, power %d, recovery %s at %u: %s\n%s",
             run->c->before, run->c->word, run->disks, run->speed, mode_names[run->mode], run->call,
             run->power, mode_names[run->recovery_mode], run->recovery_call, why, state);
}

static Lab *prepare(const Run *run)
{
    Lab *lab = lab_new(run->disks, 7);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, run->c->before, &error))
        blame(lab, run, error->message);
    simhost_set_job_speed(lab->host, run->speed);
    return lab;
}

/* At every moment the VM starts. */
static void change_power(Lab *lab, const Run *run)
{
    bool was_off = lab_is_off(lab);

    if (run->power == POWER_STAYS)
        return;
    lab_stop(lab);
    if ((was_off || run->power == POWER_CYCLED) && !lab_start(lab))
        blame(lab, run, "the VM cannot start after the break");
    if (was_off && run->power == POWER_CYCLED)
        lab_stop(lab);
}

/* Removing what failed once more finishes it (rule 4). */
static bool retry_failed(Lab *lab, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        bool work;

        if (snapshot->state == SNAPSHOT_FAILED &&
            !vm_remove(lab->vm, snapshot->name, "rmdir", &work, error))
            return false;
    }
    return lab_finish(lab, error);
}

static bool recover(Lab *lab, GError **error)
{
    return vm_open(lab->vm, error) && lab_finish(lab, error) && retry_failed(lab, error);
}

static bool is_cut(FaultMode mode)
{
    return mode == FAULT_CUT_BEFORE || mode == FAULT_CUT_AFTER;
}

/* Where the operation says yes, it is so; a broken-off one may have come to be. */
static void check_result(Lab *lab, const Run *run, bool done)
{
    char *why = lab_follow(lab);

    if (!why)
        why = lab_broken_law(lab);
    if (why)
        blame(lab, run, why);
    if (!lab_start(lab))
        blame(lab, run, "the VM cannot start");
    if (done && run->mode == FAULT_NONE)
        assert_int_equal(fault_is_dead(lab->fault), false);
}

/* Runs the case; returns the number of effects that the recovery made. */
static unsigned make_run(const Run *run)
{
    g_autoptr(Lab) lab = prepare(run);
    g_autoptr(GError) error = NULL;

    runs_made++;
    fault_arm(lab->fault, run->mode, run->call);
    bool done = lab_do(lab, run->c->word, NULL);
    if (is_cut(run->mode))
        lab_restart(lab);
    change_power(lab, run);
    fault_arm(lab->fault, run->recovery_mode, run->recovery_call);
    if (run->recovery_mode != FAULT_NONE) {
        recover(lab, NULL);
        lab_restart(lab);
    }
    if (!recover(lab, &error))
        blame(lab, run, error->message);
    unsigned effects = fault_calls(lab->fault);
    check_result(lab, run, done);
    return effects;
}

/* Recovery is cut at its effects, too. */
static void cut_recovery(Run run, unsigned effects)
{
    unsigned stride = full ? 1 : RECOVERY_STRIDE;

    for (unsigned call = 1 + run.call % stride; call <= effects; call += stride) {
        run.recovery_call = call;
        run.recovery_mode = call % 2 ? FAULT_CUT_AFTER : FAULT_CUT_BEFORE;
        make_run(&run);
    }
}

static unsigned count_effects(const Run *run)
{
    g_autoptr(Lab) lab = prepare(run);
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, FAULT_NONE, 0);
    if (!lab_do(lab, run->c->word, &error))
        blame(lab, run, error->message);
    unsigned effects = fault_calls(lab->fault);
    g_autofree char *why = lab_broken_law(lab);
    if (why)
        blame(lab, run, why);
    return effects;
}

/* A VM whose power changes meanwhile tells something new only where the program died, and dying
 * before a call is dying after the one before it, but for the first. */
static bool is_worth_it(const Run *run)
{
    if (full || run->power == POWER_STAYS)
        return true;
    return run->mode == FAULT_CUT_AFTER && run->disks == 1 && run->speed > 1;
}

static void break_everywhere(Run run)
{
    unsigned effects = count_effects(&run);

    assert_true(effects > 0);
    for (run.call = 1; run.call <= effects; run.call++)
        for (guint m = 0; m < G_N_ELEMENTS(modes); m++) {
            run.mode = modes[m];
            if (!is_worth_it(&run))
                continue;
            unsigned recovery = make_run(&run);
            if (run.power == POWER_STAYS && is_cut(run.mode) &&
                (full || run.mode == FAULT_CUT_AFTER))
                cut_recovery(run, recovery);
        }
}

static void break_cases(const Case *cases, size_t n, unsigned speed)
{
    for (size_t i = 0; i < n; i++)
        for (unsigned disks = speed == 1 && !full ? 2 : 1; disks <= 2; disks++)
            for (Power power = 0; power < N_POWERS; power++)
                break_everywhere(
                    (Run){.c = &cases[i], .disks = disks, .speed = speed, .power = power});
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
        assert_true(recover(lab, &error));
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
        cmocka_unit_test(lanes_in_threads_keep_the_laws),
    };
    full = g_getenv("CUTS_FULL") != NULL;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    fprintf(stderr, "# %u broken runs\n", runs_made);
    return failed;
}
