/* Recovery is planning again: what is observed now decides what an interrupted plan had reached,
 * not what it noted.
 *
 * A creation or a revert has one commit point, visible in the definitions: do they run on the new
 * overlays? If not, the overlays are taken away; if so, the rest is pushed on. A merge has no
 * commit point: what is seen done is recorded, the rest is left to plan_next. Every step that
 * recovery plans is one that may be done twice, so a recovery that is interrupted is just planned
 * again. */
#include "plan/recover-merge.h"

#include "plan/checks.h"
#include "plan/keep.h"

/* --- who holds a file --- */

static bool chain_holds(const Recovery *recovery, const Domain *domain, bool stored,
                        const char *path)
{
    for (unsigned i = 0; domain && i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];
        const char *source = stored ? g_hash_table_lookup(recovery->stored, disk->target) : NULL;

        if (!source)
            source = disk->path;
        if (source && observation_chain_has(recovery->observation, source, path))
            return true;
    }
    return false;
}

static bool header_holds(const Recovery *recovery, const char *path)
{
    GHashTableIter iter;
    void *file;
    void *value;

    g_hash_table_iter_init(&iter, recovery->observation->files);
    while (g_hash_table_iter_next(&iter, &file, &value)) {
        const ImageFacts *facts = value;

        if (facts->exists && g_strcmp0(facts->backing, path) == 0 &&
            !g_hash_table_contains(recovery->repointed, file) &&
            !g_hash_table_contains(recovery->unlinked, file))
            return true;
    }
    return false;
}

static const char *store_of(const Domain *domain)
{
    return domain && domain->firmware ? domain->firmware->path : NULL;
}

/* As a variable store. */
static bool store_holds(const Recovery *recovery, const char *path)
{
    const Observation *observation = recovery->observation;
    const char *stored = recovery->store ? recovery->store : store_of(observation->inactive);

    return g_strcmp0(stored, path) == 0 || g_strcmp0(store_of(observation->live), path) == 0;
}

static bool is_held(const Recovery *recovery, const char *path)
{
    const Observation *observation = recovery->observation;

    return catalog_disk_of_path(recovery->view, path, NULL) || store_holds(recovery, path) ||
           chain_holds(recovery, observation->live, false, path) ||
           chain_holds(recovery, observation->inactive, true, path) ||
           header_holds(recovery, path) || observation_user(observation, path);
}

/* --- pushing single steps on --- */

static Step *copy_step(Recovery *recovery, const Step *step)
{
    Step *copy = step_copy(step);

    g_ptr_array_add(recovery->plan->steps, copy);
    return copy;
}

Step *recovery_push_unlink(Recovery *recovery, const char *path, const char *lane)
{
    const ImageFacts *facts = observation_file(recovery->observation, path);
    Step *step;

    if ((facts && !facts->exists) || g_hash_table_contains(recovery->unlinked, path) ||
        is_held(recovery, path))
        return NULL;
    step = plan_add(recovery->plan, STEP_UNLINK);
    step_set(step, "path", path);
    step->lane = g_strdup(lane);
    g_hash_table_add(recovery->unlinked, g_strdup(path));
    return step;
}

/* A record that is there already changes nothing or does not fit any more. */
static void push_record(Recovery *recovery, const Step *step)
{
    g_autoptr(Catalog) after = catalog_copy(recovery->view);

    if (!step_apply(step, after, NULL) || catalog_equal(after, recovery->view))
        return;
    copy_step(recovery, step);
    catalog_free(recovery->view);
    recovery->view = g_steal_pointer(&after);
}

/* An old layer of a revert that somebody else came to use stays (rule 11). */
static void push_farewell(Recovery *recovery, const Step *step)
{
    const char *path = step_get(step, "path");
    const char *who = observation_user(recovery->observation, path);
    Step *warning;

    if (!who || recovery->journal->kind != PLAN_REVERT) {
        Step *unlink = recovery_push_unlink(recovery, path, step->lane);

        if (unlink && step_get(step, "snapshot"))
            step_set(unlink, "snapshot", step_get(step, "snapshot"));
        return;
    }
    warning = kept_warning(recovery->journal->snapshot, path, who);
    push_record(recovery, warning);
    step_free(warning);
}

void recovery_push_drop_sidecar(Recovery *recovery, const Step *step)
{
    if (!catalog_snapshot(recovery->view, step_get(step, "snapshot")))
        copy_step(recovery, step);
}

static void push_repoint(Recovery *recovery, const Step *step)
{
    const char *path = step_get(step, "path");
    const ImageFacts *facts = observation_file(recovery->observation, path);

    if (!facts || !facts->exists || g_strcmp0(facts->backing, step_get(step, "backing")) == 0)
        return;
    copy_step(recovery, step);
    g_hash_table_add(recovery->repointed, g_strdup(path));
}

/* Does the persistent definition still have to be told @change? While the VM runs, only what it
 * runs on may be stored. */
static bool needs_switch(const Recovery *recovery, const DiskSwitch *change)
{
    const Observation *observation = recovery->observation;
    const DomainDisk *stored =
        observation->inactive ? domain_disk(observation->inactive, change->target) : NULL;
    const DomainDisk *live =
        observation->live ? domain_disk(observation->live, change->target) : NULL;

    if (!stored || g_strcmp0(stored->path, change->path) == 0)
        return false;
    return !observation->live || (live && g_strcmp0(live->path, change->path) == 0);
}

static void add_switch(Recovery *recovery, Step *step, const DiskSwitch *change)
{
    step_set_sub(step, "switch", change->target, change->path);
    step_set_sub(step, "format", change->target, change->format);
    g_hash_table_replace(recovery->stored, g_strdup(change->target), g_strdup(change->path));
}

/* A running VM's definition is settled; one that is off is redefined, under the locks that go with
 * that. */
static Step *add_definition(Recovery *recovery)
{
    return plan_add(recovery->plan, recovery->observation->live ? STEP_SETTLE : STEP_REDEFINE);
}

static void push_definition(Recovery *recovery, const Step *step)
{
    g_autoptr(GPtrArray) switches = step_switches(step);
    Step *copy = NULL;

    for (unsigned i = 0; i < switches->len; i++) {
        if (!needs_switch(recovery, switches->pdata[i]))
            continue;
        if (!copy)
            copy = add_definition(recovery);
        add_switch(recovery, copy, switches->pdata[i]);
    }
}

/* Its sidecars first, as far as they are known. */
static void push_create(Recovery *recovery, const Step *step)
{
    if (catalog_snapshot(recovery->view, step_get(step, "snapshot")))
        return;
    Step *create = keep_recover(recovery->journal, step, recovery->plan);
    push_record(recovery, create);
    step_free(create);
}

static void push_step(Recovery *recovery, const Step *step)
{
    /* Whether the guest is thawed is not to be seen in an observation: the thaw job asks it. */
    if (step->kind == STEP_RECORD_THAWED)
        return;
    if (step->kind == STEP_RECORD_CREATE)
        push_create(recovery, step);
    else if (step_is_record(step))
        push_record(recovery, step);
    else if (step->kind == STEP_UNLINK)
        push_farewell(recovery, step);
    else if (step->kind == STEP_REPOINT)
        push_repoint(recovery, step);
    else if (step->kind == STEP_DROP_STATE)
        copy_step(recovery, step);
    else if (step->kind == STEP_DROP_SIDECAR)
        recovery_push_drop_sidecar(recovery, step);
    else if (step->kind == STEP_SETTLE || step->kind == STEP_REDEFINE)
        push_definition(recovery, step);
}

static void push_from(Recovery *recovery, unsigned first)
{
    for (unsigned i = first; i < recovery->journal->steps->len; i++)
        push_step(recovery, recovery->journal->steps->pdata[i]);
}

/* --- creations and reverts --- */

static bool is_recorded(const Recovery *recovery)
{
    const Step *create = plan_find(recovery->journal, STEP_RECORD_CREATE);
    const Step *revert = plan_find(recovery->journal, STEP_RECORD_REVERT);
    g_autoptr(GPtrArray) disks = NULL;

    if (create)
        return catalog_snapshot(recovery->catalog, step_get(create, "snapshot")) != NULL;
    if (!revert)
        return false;
    disks = step_suffixes(revert, "active");
    for (unsigned i = 0; i < disks->len; i++) {
        const Disk *disk = catalog_disk(recovery->catalog, disks->pdata[i]);

        if (!disk || !disk_layer(disk, step_get_sub(revert, "active", disks->pdata[i])))
            return false;
    }
    return true;
}

static bool runs_on_overlays(const Recovery *recovery, const Domain *domain)
{
    for (unsigned i = 0; domain && i < recovery->journal->steps->len; i++) {
        const Step *step = recovery->journal->steps->pdata[i];

        if (step->kind == STEP_OVERLAY &&
            chain_holds(recovery, domain, false, step_get(step, "path")))
            return true;
    }
    return false;
}

/* libvirt died between the switch and storing it, and the VM stopped: what the guest wrote since is
 * in the overlays alone. One that holds more than a fresh overlay does was written to. */
static bool overlays_written(const Recovery *recovery)
{
    for (unsigned i = 0; i < recovery->journal->commit; i++) {
        const Step *step = recovery->journal->steps->pdata[i];
        const ImageFacts *facts;

        if (step->kind != STEP_OVERLAY)
            continue;
        facts = observation_file(recovery->observation, step_get(step, "path"));
        if (facts && facts->exists && facts->used)
            return true;
    }
    return false;
}

/* libvirt was killed after QEMU had opened the overlay and before the switch: QEMU keeps it open
 * until it ends. That it writes to the file below proves that the overlay is in no chain. */
static bool is_open_aside(const Recovery *recovery, const Step *overlay)
{
    const Observation *observation = recovery->observation;
    const ImageFacts *below = observation_file(observation, step_get(overlay, "backing"));
    const ImageFacts *facts = observation_file(observation, step_get(overlay, "path"));

    return observation->live && below && below->written && facts && facts->written;
}

/* One that is not there may be under the temporary name that it has while it is made: unlinking
 * looks after that, too. */
static Step *undo_file(Recovery *recovery, const char *path)
{
    const ImageFacts *facts = observation_file(recovery->observation, path);
    Step *step;

    if (!facts || facts->exists)
        return recovery_push_unlink(recovery, path, NULL);
    step = plan_add(recovery->plan, STEP_UNLINK);
    step_set(step, "path", path);
    return step;
}

static void undo_overlay(Recovery *recovery, const Step *step)
{
    Step *undo = undo_file(recovery, step_get(step, "path"));

    if (undo && recovery->journal->kind == PLAN_CREATE && is_open_aside(recovery, step))
        step_set(undo, "beside", step_get(step, "backing"));
}

/* A store that cannot be removed stops nothing. */
static void undo_vars(Recovery *recovery, const Step *step)
{
    Step *undo = undo_file(recovery, step_get(step, "path"));

    if (undo)
        step_set(undo, "snapshot", step_get(step, "snapshot"));
}

/* Whether vTPM state was exchanged is seen when it is returned. */
static void undo_all(Recovery *recovery)
{
    for (unsigned i = recovery->journal->commit; i > 0; i--) {
        const Step *step = recovery->journal->steps->pdata[i - 1];

        if (step->kind == STEP_OVERLAY)
            undo_overlay(recovery, step);
        else if (step->kind == STEP_PLACE_VARS)
            undo_vars(recovery, step);
        else if (step->kind == STEP_STAGE_TPM || step->kind == STEP_EXCHANGE_TPM)
            g_ptr_array_add(recovery->plan->steps, step_undo(step));
    }
    keep_undo(recovery->journal, recovery->plan);
}

/* What the disk that was to get this overlay ran on before; NULL if the catalog does not know. */
static DiskSwitch *old_source(const Recovery *recovery, const Step *overlay)
{
    const Step *revert = plan_find(recovery->journal, STEP_RECORD_REVERT);
    const char *target = step_get(overlay, "target");
    g_autoptr(GPtrArray) disks = NULL;

    if (!revert)
        return disk_switch_new(target, step_get(overlay, "backing"),
                               step_get(overlay, "backing_format"));
    disks = step_suffixes(revert, "active");
    for (unsigned i = 0; i < disks->len; i++) {
        const Disk *disk = catalog_disk(recovery->catalog, disks->pdata[i]);
        const char *path = step_get_sub(revert, "active_path", disks->pdata[i]);

        if (disk && g_strcmp0(path, step_get(overlay, "path")) == 0)
            return disk_switch_new(target, disk_active(disk)->path, disk_active(disk)->format);
    }
    return NULL;
}

/* The VM was started on its old files just before it was redefined: they stay its files (rule 8).
 */
static void take_back(Recovery *recovery)
{
    Step *definition = NULL;

    for (unsigned i = 0; i < recovery->journal->commit; i++) {
        const Step *step = recovery->journal->steps->pdata[i];
        DiskSwitch *change = step->kind == STEP_OVERLAY ? old_source(recovery, step) : NULL;

        if (change && needs_switch(recovery, change)) {
            if (!definition)
                definition = add_definition(recovery);
            add_switch(recovery, definition, change);
        }
        disk_switch_free(change);
    }
    if (definition && plan_find(recovery->journal, STEP_PLACE_VARS))
        recovery->store = store_of(recovery->observation->live);
    if (recovery->store)
        step_set(definition, "nvram", recovery->store);
    undo_all(recovery);
}

static bool recover_switch(Recovery *recovery, GError **error)
{
    const Observation *observation = recovery->observation;
    const Plan *journal = recovery->journal;
    bool live = runs_on_overlays(recovery, observation->live);
    bool stored = runs_on_overlays(recovery, observation->inactive);

    if (is_recorded(recovery) || live || (stored && !observation->live)) {
        push_from(recovery, journal->commit);
        return true;
    }
    /* The image may be of a VM on the overlays; only a start tells. */
    if (!check_no_managed_save(observation, error))
        return false;
    if (stored) {
        take_back(recovery);
    } else if (!observation->live && journal->kind == PLAN_CREATE && overlays_written(recovery)) {
        push_definition(recovery, journal->steps->pdata[journal->commit - 1]);
        push_from(recovery, journal->commit);
    } else {
        undo_all(recovery);
    }
    return true;
}

/* --- all --- */

static bool recover_kind(Recovery *recovery, GError **error)
{
    switch (recovery->journal->kind) {
    case PLAN_CREATE:
    case PLAN_REVERT:
        if (recovery->journal->commit > 0)
            return recover_switch(recovery, error);
        break;
    case PLAN_EXPUNGE: /* it is defined, still or again: nothing of it has gone that it needs */
        return true;
    case PLAN_MERGE:
        recovery_merge(recovery);
        return true;
    case PLAN_REMOVE:
    case PLAN_LABEL:
    case PLAN_ADOPT:
    case PLAN_RECOVER:
    case N_PLAN_KINDS:
        break;
    }
    push_from(recovery, 0);
    return true;
}

static GHashTable *path_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

Plan *plan_recover(const Catalog *catalog, const Observation *observation, const Plan *journal,
                   GError **error)
{
    g_autoptr(Plan) plan = plan_new(PLAN_RECOVER, journal->snapshot);
    g_autoptr(GHashTable) stored = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GHashTable) repointed = path_set();
    g_autoptr(GHashTable) unlinked = path_set();
    Recovery recovery = {
        .observation = observation,
        .journal = journal,
        .catalog = catalog,
        .view = catalog_copy(catalog),
        .stored = stored,
        .repointed = repointed,
        .unlinked = unlinked,
        .plan = plan,
    };
    bool good = recover_kind(&recovery, error);

    catalog_free(recovery.view);
    return good ? g_steal_pointer(&plan) : NULL;
}
