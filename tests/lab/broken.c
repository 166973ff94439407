#include "broken.h"

#include "run/vm-thaw.h"

static const char *const mode_names[] = {"none", "fail", "lost", "cut-before", "cut-after"};
static unsigned runs_made;

unsigned broken_runs(void)
{
    return runs_made;
}

static char *blame(Lab *lab, const BrokenRun *run, const char *why)
{
    g_autofree char *state = lab_describe(lab);

    return g_strdup_printf(
        "[%s | %s] disks %u speed %u, %s at %u, power %d, recovery %s at %u: %s\n%s", run->before,
        run->word, run->disks, run->speed, mode_names[run->mode], run->call, run->power,
        mode_names[run->recovery_mode], run->recovery_call, why, state);
}

static Lab *prepare(const BrokenRun *run, char **wrong)
{
    Lab *lab = lab_new(run->disks, 7);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, run->before, &error))
        *wrong = blame(lab, run, error->message);
    simhost_set_job_speed(lab->host, run->speed);
    return lab;
}

/* At every moment the VM starts. */
static const char *change_power(Lab *lab, const BrokenRun *run)
{
    bool was_off = lab_is_off(lab);

    if (run->power == POWER_STAYS)
        return NULL;
    lab_stop(lab);
    if ((was_off || run->power == POWER_CYCLED) && !lab_start(lab))
        return "the VM cannot start after the break";
    if (was_off && run->power == POWER_CYCLED)
        lab_stop(lab);
    return NULL;
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

/* What the thaw job does, with an agent that answers at last. */
static bool pay_thaw(Lab *lab, GError **error)
{
    if (!vm_owes_thaw(lab->vm))
        return true;
    simhost_set_agent(lab->host, LAB_UUID, SIM_AGENT_WELL);
    return vm_thaw(lab->vm, error);
}

bool broken_recover(Lab *lab, GError **error)
{
    return vm_open(lab->vm, error) && pay_thaw(lab, error) && lab_finish(lab, error) &&
           retry_failed(lab, error);
}

bool broken_is_cut(FaultMode mode)
{
    return mode == FAULT_CUT_BEFORE || mode == FAULT_CUT_AFTER;
}

/* A broken-off operation may have come to be. */
static char *check_result(Lab *lab, const BrokenRun *run)
{
    g_autofree char *why = lab_follow(lab);

    if (!why)
        why = lab_broken_law(lab);
    if (!why && !lab_start(lab))
        why = g_strdup("the VM cannot start");
    return why ? blame(lab, run, why) : NULL;
}

/* A VM that was started on the snapshot's vTPM state in the middle of a revert gets its own back
 * when it is off, and says so until then. */
static bool recover_at_last(Lab *lab, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (broken_recover(lab, &cause))
        return true;
    if (lab->firmware && !lab_is_off(lab) && error_is(cause, ERR_BUSY)) {
        lab_stop(lab);
        return broken_recover(lab, error);
    }
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

char *broken_run(const BrokenRun *run, unsigned *out_recovery)
{
    char *wrong = NULL;
    const char *stuck = NULL;
    g_autoptr(Lab) lab = prepare(run, &wrong);
    g_autoptr(GError) error = NULL;

    if (wrong)
        return wrong;
    runs_made++;
    fault_arm(lab->fault, run->mode, run->call);
    lab_do(lab, run->word, NULL);
    if (broken_is_cut(run->mode))
        lab_restart(lab);
    if ((stuck = change_power(lab, run)))
        return blame(lab, run, stuck);
    fault_arm(lab->fault, run->recovery_mode, run->recovery_call);
    if (run->recovery_mode != FAULT_NONE) {
        broken_recover(lab, NULL);
        lab_restart(lab);
    }
    if (!recover_at_last(lab, &error))
        return blame(lab, run, error->message);
    *out_recovery = fault_calls(lab->fault);
    return check_result(lab, run);
}

char *broken_count(const BrokenRun *run, unsigned *out_effects)
{
    char *wrong = NULL;
    g_autoptr(Lab) lab = prepare(run, &wrong);
    g_autoptr(GError) error = NULL;

    if (wrong)
        return wrong;
    fault_arm(lab->fault, FAULT_NONE, 0);
    if (!lab_do(lab, run->word, &error))
        return blame(lab, run, error->message);
    *out_effects = fault_calls(lab->fault);
    g_autofree char *why = lab_broken_law(lab);
    return why ? blame(lab, run, why) : NULL;
}
