/* A case is broken in hundreds of places, and what leads up to each of them is the same: it is done
 * once, and every break happens in a copy of the process, which tells what came of it. */
#include "broken.h"

#include "run/vm-thaw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Removing what failed, or could not begin, once more finishes it (rule 4). */
static bool retry_failed(Lab *lab, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        bool work;

        if ((snapshot->state == SNAPSHOT_FAILED || lab_came_back(lab, snapshot)) &&
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

static bool has_pivot_in_doubt(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    for (guint i = 0; i < catalog->disks->len; i++)
        if (((Disk *)catalog->disks->pdata[i])->pivot)
            return true;
    return false;
}

/* A VM that was started on the snapshot's vTPM state in the middle of a revert gets its own back
 * when it is off, and says so until then. One that was started when nobody had seen whether QEMU
 * pivoted has its files compared when it is off. */
static bool must_be_off(Lab *lab, const GError *cause)
{
    return !lab_is_off(lab) && ((lab->firmware && error_is(cause, ERR_BUSY)) ||
                                (error_is(cause, ERR_DRIFT) && has_pivot_in_doubt(lab)));
}

static bool recover_at_last(Lab *lab, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (broken_recover(lab, &cause))
        return true;
    if (must_be_off(lab, cause)) {
        lab_stop(lab);
        return broken_recover(lab, error);
    }
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static char *break_once(Lab *lab, const BrokenRun *run, unsigned *out_recovery)
{
    const char *stuck = NULL;
    g_autoptr(GError) error = NULL;

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

static char *break_nothing(Lab *lab, const BrokenRun *run, unsigned *out_effects)
{
    g_autoptr(GError) error = NULL;

    fault_arm(lab->fault, FAULT_NONE, 0);
    if (!lab_do(lab, run->word, &error))
        return blame(lab, run, error->message);
    *out_effects = fault_calls(lab->fault);
    g_autofree char *why = lab_broken_law(lab);
    return why ? blame(lab, run, why) : NULL;
}

/* ---- in a copy of the process ---- */

typedef char *(*Work)(Lab *lab, const BrokenRun *run, unsigned *out_count);

/* The lab at the end of @run's script; borrowed until the next one. */
static Lab *lab_before(const BrokenRun *run, char **wrong)
{
    static Lab *last;
    static char *script;
    static unsigned disks, speed;

    if (last && strcmp(script, run->before) == 0 && disks == run->disks && speed == run->speed)
        return last;
    lab_free(last);
    g_free(script);
    last = prepare(run, wrong);
    if (*wrong)
        g_clear_pointer(&last, lab_free);
    script = g_strdup(run->before);
    disks = run->disks;
    speed = run->speed;
    return last;
}

/* What went wrong, or "", and the count before it. */
static _Noreturn void work_and_tell(Work work, Lab *lab, const BrokenRun *run, int out)
{
    unsigned count = 0;
    char *wrong = work(lab, run, &count);
    g_autofree char *said = g_strdup_printf("%u %s", count, wrong ? wrong : "");
    const char *left = said;

    while (*left) {
        ssize_t written = write(out, left, strlen(left));

        if (written < 0)
            _exit(EXIT_FAILURE);
        left += written;
    }
    _exit(EXIT_SUCCESS);
}

static GString *read_all(int in)
{
    GString *said = g_string_new(NULL);
    char part[4096];
    ssize_t length;

    while ((length = read(in, part, sizeof(part))) > 0)
        g_string_append_len(said, part, length);
    return said;
}

static char *work_in_a_copy(Work work, const BrokenRun *run, unsigned *out_count)
{
    char *wrong = NULL, *end;
    Lab *lab = lab_before(run, &wrong);
    int ends[2], status = 0;
    pid_t pid;

    if (wrong)
        return wrong;
    if (pipe(ends) < 0 || (pid = fork()) < 0)
        g_error("no copy of the process can be made: %s", g_strerror(errno));
    if (pid == 0)
        work_and_tell(work, lab, run, ends[1]);
    close(ends[1]);
    g_autoptr(GString) said = read_all(ends[0]);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    *out_count = (unsigned)strtoul(said->str, &end, 10);
    if (status != 0 || *end != ' ')
        return g_strdup_printf("[%s | %s] %s at %u: the program ended with status %d", run->before,
                               run->word, mode_names[run->mode], run->call, status);
    return end[1] ? g_strdup(end + 1) : NULL;
}

char *broken_run(const BrokenRun *run, unsigned *out_recovery)
{
    runs_made++;
    return work_in_a_copy(break_once, run, out_recovery);
}

char *broken_count(const BrokenRun *run, unsigned *out_effects)
{
    return work_in_a_copy(break_nothing, run, out_effects);
}
