/* One run with one fault, and what must be true after it. */
#include "faults.h"

#include "model/simhost-face.h"
#include "run/orphans.h"

#include <string.h>

static const char *const mode_names[] = {"none",       "fails",     "is lost",
                                         "cut before", "cut after", "is slow"};

static char *blame(Lab *lab, const FaultRun *run, const char *why)
{
    const FaultCase *the = run->the;
    g_autofree char *catalog = lab_describe(lab);

    return g_strdup_printf(
        "[%s | %s%s] disks %u, call %u of %s %s with %d%s%s, %s: %s\n%s", the->before,
        the->word ? the->word : the->name, the->cut ? ", cut" : "", MAX(the->disks, 1),
        run->target.call, run->target.member, mode_names[run->target.mode], run->target.code,
        run->target.hangs ? ", late" : "", run->target.stays ? ", and all after it" : "",
        run->restart ? "restarted" : "asked again", why, catalog);
}

/* ---- at once ---- */

typedef struct {
    DomainState power;
    bool frozen;
} Guest;

static Guest look_at_guest(Lab *lab)
{
    return (Guest){.power = simhost_state(lab->host, LAB_UUID),
                   .frozen = simhost_is_frozen(lab->host, LAB_UUID)};
}

static bool has_journal(Lab *lab)
{
    g_autofree char *directory = store_directory(LAB_HOME, LAB_UUID);
    g_autofree char *path = g_build_filename(directory, "journal.yaml", NULL);

    return lab->memory->ops->exists(lab->memory, path);
}

/* A resume is tried four times at once, of a libvirt that does not answer twice; from then on it is
 * the business of who finds the journal. */
static bool outlasts_the_tries(const FaultTarget *target)
{
    return target->stays || target->times >= (target->code == ERR_TIMEOUT ? 2 : 4);
}

static bool is_left_paused(Lab *lab, const FaultRun *run)
{
    return simhost_state(lab->host, LAB_UUID) == DOMAIN_PAUSED &&
           outlasts_the_tries(&run->target) && has_journal(lab);
}

/* Before anybody has looked again: the guest does what it did. */
static const char *check_guest(Lab *lab, const FaultRun *run, const Guest *before)
{
    const FaultCase *the = run->the;
    Guest now = look_at_guest(lab);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    if (now.frozen && !before->frozen && !catalog->thaw_owed)
        return "the guest is frozen, and nobody is to thaw it";
    if (now.power == before->power || (the->starts && now.power == DOMAIN_RUNNING))
        return NULL;
    if (the->cut && now.power == DOMAIN_RUNNING)
        return NULL;
    if (is_left_paused(lab, run))
        return NULL;
    return now.power == DOMAIN_PAUSED ? "the guest is suspended" : "the VM was started or stopped";
}

/* Is something of it said to have failed, to be going on, or to be as it was? */
static bool is_told(Lab *lab, const GError *failure)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->state != SNAPSHOT_READY ||
            (lab_came_back(lab, snapshot) && strstr(failure->message, "is as it was")))
            return true;
    }
    return catalog->thaw_owed;
}

/* Of what is done, one more look may fail whether there is more to do; and a write or an unlink
 * that could not be made durable says so, as in any file system. */
static bool may_be_done_all_the_same(const FaultRun *run, const char *now)
{
    const FaultCase *the = run->the;
    bool finishes = the->cut || the->speed || (the->word && strchr("df", the->word[0]));
    bool lost = run->target.mode == FAULT_LOST && g_str_has_prefix(run->target.member, "images.");

    return ((finishes || lost) && strcmp(now, run->done) == 0) ||
           (the->speed && strcmp(now, run->goal) == 0);
}

/* As if a guest that waits for its resume ran. */
static char *state_but_for_the_pause(Lab *lab, const FaultRun *run)
{
    bool paused = is_left_paused(lab, run);

    if (paused)
        simhost_pause(lab->host, LAB_UUID, false, NULL);
    char *state = faults_state(lab);
    if (paused)
        simhost_pause(lab->host, LAB_UUID, true, NULL);
    return state;
}

/* Success means done; failure means that nothing happened, or that it is told what did. */
static char *check_answer(Lab *lab, const FaultRun *run, const GError *failure)
{
    g_autofree char *now = state_but_for_the_pause(lab, run);

    if (failure && !*failure->message)
        return g_strdup("it failed without a sentence");
    if (run->the->gone && faults_is_gone(lab))
        return NULL; /* of what is left of it, the next look for orphans makes an end */
    if (!failure && strcmp(now, run->done) != 0 &&
        !(run->the->speed && strcmp(now, run->goal) == 0)) /* it was faster than who stops it */
        return g_strdup_printf("it said that it is done, and there is\n%snot\n%s", now, run->done);
    if (failure && strcmp(now, run->from) != 0 && !is_told(lab, failure) && !has_journal(lab) &&
        !may_be_done_all_the_same(run, now))
        return g_strdup_printf("it said \"%s\", and there is\n%snot\n%s", failure->message, now,
                               run->from);
    return NULL;
}

/* ---- at the end ---- */

static char *settle(Lab *lab, const FaultCase *the)
{
    g_autoptr(GError) error = NULL;

    if (!faults_recover(lab, the, &error))
        return g_strdup_printf("it cannot be brought to its end: %s", error->message);
    return faults_is_gone(lab) ? NULL : lab_follow(lab);
}

/* The same command again, unless it is seen to be done. */
static char *do_again(Lab *lab, const FaultRun *run)
{
    g_autofree char *now = faults_state(lab);
    g_autoptr(GError) error = NULL;

    if (strcmp(now, run->goal) == 0)
        return NULL;
    if (!faults_act(lab, run->the, &error))
        return g_strdup_printf("asked again: %s", error->message);
    return settle(lab, run->the);
}

/* What could not be removed is named there, and can be removed there; *out_freed: so it was.
 * @images: also they. */
static char *free_some_orphans(Lab *lab, bool images, bool *out_freed)
{
    g_autoptr(GPtrArray) vms = g_ptr_array_new();
    g_autoptr(GError) error = NULL;

    g_ptr_array_add(vms, lab->vm);
    g_autoptr(GPtrArray) orphans = orphans_find(&lab->world, vms, &error);
    for (guint i = 0; orphans && i < orphans->len; i++) {
        const char *path = ((OrphanView *)orphans->pdata[i])->path;

        if ((images || !g_str_has_suffix(path, ".qcow2")) &&
            orphans_remove(&lab->world, vms, path, &error))
            *out_freed = true;
    }
    return error ? g_strdup(error->message) : NULL;
}

/* One may stand on another, and only the upper one is an orphan then. */
static char *free_orphans(Lab *lab, bool images)
{
    char *why = NULL;
    bool freed = true;

    while (!why && freed) {
        freed = false;
        why = free_some_orphans(lab, images, &freed);
    }
    return why;
}

static char *check_end(Lab *lab, const FaultRun *run)
{
    g_autofree char *now = faults_state(lab);
    char *why = NULL;

    if (strcmp(now, run->goal) != 0)
        return g_strdup_printf("at the end there is\n%snot\n%s", now, run->goal);
    if (run->the->gone)
        return NULL;
    why = free_orphans(lab, run->target.stays);
    if (!why)
        why = lab_broken_law(lab);
    if (!why && !lab_start(lab))
        why = g_strdup("the VM cannot start");
    return why;
}

char *faults_run(const FaultRun *run, bool *out_hit, bool *out_failed)
{
    const FaultCase *the = run->the;
    char *why = NULL;
    g_autoptr(Lab) lab = faults_prepare(the, &why);
    g_autoptr(GError) failure = NULL;
    const Guest before = look_at_guest(lab);

    fault_arm_member(lab->fault, &run->target);
    bool done = !why && faults_act(lab, the, &failure);
    *out_hit = fault_member_calls(lab->fault, run->target.member) >= run->target.call;
    *out_failed = !done;
    fault_arm(lab->fault, FAULT_NONE, 0);
    lab->hooks.answer_by = 0;
    if (!why && !faults_is_gone(lab))
        why = g_strdup(check_guest(lab, run, &before));
    if (!why)
        why = check_answer(lab, run, failure);
    if (!why && run->restart)
        lab_restart(lab);
    else if (!why && !done)
        faults_act(lab, the, NULL);
    if (!why)
        why = settle(lab, the);
    if (!why)
        why = do_again(lab, run);
    if (!why)
        why = check_end(lab, run);
    g_autofree char *text = why;
    return text ? blame(lab, run, text) : NULL;
}
