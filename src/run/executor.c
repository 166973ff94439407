#include "run/executor.h"

#include "run/hold.h"
#include "run/ledger.h"
#include "run/recover.h"
#include "run/restore.h"
#include "run/room.h"
#include "run/step-run.h"

/* ---- running steps ---- */

typedef struct {
    Operation *op;
    const Plan *plan;
    guint first, last; /* steps [first, last) … */
    const char *lane;  /* … of this lane only */
    bool journalled;
    GError *error; /* how the lane ended; NULL: done */
} LaneRun;

/* The guest was not seen running again: who finds the journal sees to it. */
static bool is_unpaid(const Operation *op, const Plan *plan, guint index)
{
    return ((Step *)plan->steps->pdata[index])->kind == STEP_RESUME && !hold_check(op, NULL);
}

/* A record is its own mark. Recovery goes by what it sees, so a mark that is missing costs nothing,
 * and after the commit point it stops nothing. */
static bool mark_done(Operation *op, const Plan *plan, guint index, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (step_is_record(plan->steps->pdata[index]) || is_unpaid(op, plan, index))
        return true;
    /* It is written with the next one, when the guest goes on. */
    if (hold_is_held(op)) {
        ledger_note_done(op, index);
        return true;
    }
    if (ledger_mark_done(op, index, &cause))
        return true;
    if (index < plan->commit) {
        room_tell(op->vm, &cause);
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    ledger_complain(op->vm, "a step could not be marked done in the journal", cause);
    return true;
}

/* In a recovery nobody tries to unlink an image once more. */
static bool run_patiently(Operation *op, const Step *step, bool journalled, GError **error)
{
    return step_run(op, step, journalled || step->kind != STEP_UNLINK ? error : NULL) ||
           (!journalled && step->kind == STEP_UNLINK && step_run(op, step, error));
}

/* A failure of an open plan is recovered from at once, which tries once more; what cannot be
 * removed then either stays. */
static bool run_one(Operation *op, const Plan *plan, guint index, bool journalled, GError **error)
{
    const Step *step = plan->steps->pdata[index];
    g_autoptr(GError) failure = NULL;

    if (run_patiently(op, step, journalled, &failure))
        return !journalled || mark_done(op, plan, index, error);
    if ((!journalled || plan->kind == PLAN_ADOPT) && restore_may_be_left(op, step, failure))
        return true;
    room_tell(op->vm, &failure);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static gpointer run_lane(gpointer data)
{
    LaneRun *run = data;

    for (guint i = run->first; i < run->last; i++) {
        const Step *step = run->plan->steps->pdata[i];

        if (g_strcmp0(step->lane, run->lane) == 0 &&
            !run_one(run->op, run->plan, i, run->journalled, &run->error))
            break;
    }
    return NULL;
}

static GArray *split_lanes(Operation *op, const Plan *plan, guint first, guint last,
                           bool journalled)
{
    GArray *runs = g_array_new(FALSE, FALSE, sizeof(LaneRun));
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = first; i < last; i++) {
        char *lane = ((Step *)plan->steps->pdata[i])->lane;
        LaneRun run = {.op = op,
                       .plan = plan,
                       .first = i,
                       .last = last,
                       .lane = lane,
                       .journalled = journalled};

        if (g_hash_table_add(seen, lane))
            g_array_append_val(runs, run);
    }
    return runs;
}

/* Each lane runs to its own end; this thread takes the first one. */
static void run_side_by_side(GArray *runs, bool serial)
{
    g_autofree GThread **threads = g_new0(GThread *, runs->len);

    for (guint i = 1; i < runs->len && !serial; i++)
        threads[i] = g_thread_new("merge", run_lane, &g_array_index(runs, LaneRun, i));
    for (guint i = 0; i < runs->len; i++) {
        if (threads[i])
            g_thread_join(threads[i]);
        else
            run_lane(&g_array_index(runs, LaneRun, i));
    }
}

/* The first error that is more than a stop, else the first. */
static void collect_error(GArray *runs, GError **error)
{
    GError *chosen = NULL;

    for (guint i = 0; i < runs->len; i++) {
        GError *mine = g_array_index(runs, LaneRun, i).error;

        if (mine &&
            (!chosen || (error_is(chosen, ERR_INTERRUPTED) && !error_is(mine, ERR_INTERRUPTED)))) {
            g_clear_error(&chosen);
            chosen = mine;
        } else {
            g_clear_error(&mine);
        }
    }
    if (chosen)
        g_propagate_error(error, chosen);
}

static bool run_lanes(Operation *op, const Plan *plan, guint first, guint last, bool journalled,
                      GError **error)
{
    g_autoptr(GArray) runs = split_lanes(op, plan, first, last, journalled);
    g_autoptr(GError) first_error = NULL;

    run_side_by_side(runs, op->vm->world->serial);
    collect_error(runs, &first_error);
    if (!first_error)
        return true;
    g_propagate_error(error, g_steal_pointer(&first_error));
    return false;
}

static guint lanes_end(const Plan *plan, guint first)
{
    guint last = first;

    while (last < plan->steps->len && ((Step *)plan->steps->pdata[last])->lane)
        last++;
    return last;
}

/* Asked before each step up to the commit point. */
static bool is_given_up(const Operation *op, GError **error)
{
    if (!operation_interrupted(op))
        return operation_is_late(op, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED, "Interrupted before VM %s was changed",
                op->vm_name);
    return true;
}

/* *out_reached: the index of the step that failed. */
static bool run_steps(Operation *op, const Plan *plan, bool journalled, guint *out_reached,
                      GError **error)
{
    guint next;

    for (guint i = 0; i < plan->steps->len; i = next) {
        guint end = lanes_end(plan, i);

        *out_reached = i;
        if (i < plan->commit && is_given_up(op, error))
            return false;
        if (end > i ? !run_lanes(op, plan, i, end, journalled, error)
                    : !run_one(op, plan, i, journalled, error))
            return false;
        next = MAX(end, i + 1);
    }
    return true;
}

bool executor_run_bare(Operation *op, const Plan *plan, GError **error)
{
    guint reached;

    return run_steps(op, plan, false, &reached, error);
}

/* ---- undoing ---- */

/* The step that failed may have happened all the same (rule 14); only a file that was there before
 * is not ours. */
static bool is_ours_to_undo(const GError *failure, guint index, guint reached)
{
    return index < reached || !error_is(failure, ERR_EXISTS);
}

static bool undo_steps(Operation *op, const Plan *plan, guint reached, const GError *failure,
                       GError **error)
{
    for (guint i = reached + 1; i-- > 0;) {
        g_autoptr(GError) cause = NULL;
        Step *undo = is_ours_to_undo(failure, i, reached) ? step_undo(plan->steps->pdata[i]) : NULL;
        bool undone = !undo || step_run(op, undo, &cause);

        g_clear_pointer(&undo, step_free);
        if (!undone) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
    }
    return true;
}

/* Before the commit point: nothing of it shall stay. */
static void back_out(Operation *op, guint reached, GError **failure)
{
    g_autoptr(GError) cause = NULL;

    if (undo_steps(op, op->journal->plan, reached, *failure, &cause) && hold_check(op, &cause) &&
        ledger_clear_journal(op, &cause))
        return;
    g_prefix_error(
        failure,
        "What was begun could not be undone (%s); the next operation on this VM tries again. ",
        cause->message);
}

/* ---- the whole ---- */

/* Did the catalog come to hold what the plan was for? */
static bool step_is_recorded(const Catalog *catalog, const Step *step)
{
    const char *id = step_get(step, "snapshot");
    g_autoptr(GPtrArray) disks = NULL;

    if (step->kind == STEP_RECORD_CREATE)
        return catalog_snapshot(catalog, id) != NULL;
    if (step->kind != STEP_RECORD_REVERT)
        return true;
    disks = step_suffixes(step, "active");
    for (guint i = 0; i < disks->len; i++) {
        const Disk *disk = catalog_disk(catalog, disks->pdata[i]);

        if (!disk || g_strcmp0(disk->active, step_get_sub(step, "active", disks->pdata[i])) != 0)
            return false;
    }
    return true;
}

static bool plan_is_recorded(Operation *op, const Plan *plan)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);

    for (guint i = 0; i < plan->steps->len; i++)
        if (!step_is_recorded(catalog, plan->steps->pdata[i]))
            return false;
    return plan->kind == PLAN_CREATE || plan->kind == PLAN_REVERT;
}

/* A merge that is parked, or whose libvirt is gone, goes on as it is; its journal waits with it. */
static bool is_left_as_it_is(Operation *op, const GError *failure)
{
    const VmHooks *hooks = op->hooks;

    if (error_is(failure, ERR_HOST_DOWN))
        return true;
    return error_is(failure, ERR_INTERRUPTED) && hooks && hooks->park && hooks->park(hooks->data);
}

/* At or after the commit point: the chain decides. True: the plan came to be after all. @failure is
 * taken. */
static bool push_on(Operation *op, GError *failure, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(Plan) plan = NULL;
    g_autofree char *text = plan_print(op->journal->plan);

    if (is_left_as_it_is(op, failure)) {
        g_propagate_error(error, failure);
        return false;
    }
    plan = plan_parse(text, NULL);
    bool settled = recover_own_plan(op, &cause);
    bool recorded = plan && (plan->kind == PLAN_ADOPT ? settled : plan_is_recorded(op, plan));
    if (recorded)
        ledger_complain(op->vm, settled ? "went on after an error" : "its journal stays open",
                        settled ? failure : cause);
    if (recorded) {
        g_error_free(failure);
        return true;
    }
    g_propagate_error(error, failure);
    if (!settled)
        g_prefix_error(
            error,
            "The operation is left open (%s); the next one on this VM brings it to its end. ",
            cause->message);
    return false;
}

/* Recovery leaves it to others to say that the guest is thawed; here it is known. */
static bool push_on_and_settle(Operation *op, GError *failure, GError **error)
{
    Step *thawed = step_new(STEP_RECORD_THAWED);
    bool recorded = push_on(op, failure, error);
    bool settled = step_run(op, thawed, NULL); /* says itself what keeps it from that */

    step_free(thawed);
    return recorded && settled;
}

/* The journal of a plan that came to be stays open only for a guest that is to be resumed. */
static bool run_open_plan(Operation *op, GError **error)
{
    const Plan *plan = op->journal->plan;
    g_autoptr(GError) cause = NULL;
    GError *failure = NULL;
    guint reached = 0;

    if (!run_steps(op, plan, true, &reached, &failure)) {
        hold_fail(op, reached < plan->commit);
        if (reached + 1 >= plan->commit)
            return push_on_and_settle(op, failure, error);
        back_out(op, reached, &failure);
        g_propagate_error(error, failure);
        return false;
    }
    if (!hold_check(op, NULL))
        return true;
    if (!ledger_clear_journal(op, &cause))
        ledger_complain(op->vm, "its journal could not be cleared; the next operation does it",
                        cause);
    return true;
}

static bool plan_is_single_record(const Plan *plan)
{
    return plan->steps->len <= 1 &&
           (plan->steps->len == 0 || step_is_record(plan->steps->pdata[0]));
}

bool executor_run(Operation *op, Plan *plan, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (plan_is_single_record(plan)) {
        bool done = executor_run_bare(op, plan, error);

        plan_free(plan);
        return done;
    }
    if (ledger_open_journal(op, plan, error))
        return run_open_plan(op, error);
    if (!ledger_clear_journal(op, &cause))
        ledger_complain(op->vm, "a journal may be left; the next operation looks", cause);
    return false;
}
