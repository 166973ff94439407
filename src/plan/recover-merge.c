#include "plan/recover-merge.h"

#include "plan/matching.h"
#include "plan/merge.h"

/* A removal that was called failed while its journal was open is marked again before it goes on. */
static void mark_owners(Recovery *recovery, const Merge *merge)
{
    for (unsigned i = 0; i < merge->run->len; i++) {
        const Layer *layer = merge->run->pdata[i];
        const Snapshot *owner = catalog_owner(recovery->catalog, merge->disk->id, layer->id);

        if (owner->state != SNAPSHOT_REMOVING)
            step_set(plan_add(recovery->plan, STEP_RECORD_REMOVING), "snapshot", owner->id);
    }
}

/* What is to be compared first is left to plan_next: that may take long. */
static void finish_merge(Recovery *recovery, const Merge *merge)
{
    unsigned first = recovery->plan->steps->len;

    if (!merge_is_done(merge) || !merge_check(merge, NULL))
        return;
    mark_owners(recovery, merge);
    if (merge->tool == MERGE_DONE)
        merge_add_steps(merge, recovery->plan);
    for (unsigned i = first; i < recovery->plan->steps->len; i++) {
        const Step *step = recovery->plan->steps->pdata[i];

        if (step->kind == STEP_UNLINK)
            g_hash_table_add(recovery->unlinked, g_strdup(step_get(step, "path")));
        step_apply(step, recovery->view, NULL);
    }
}

static void finish_lane(Recovery *recovery, const Disk *disk)
{
    g_autoptr(GPtrArray) merges = pass_done(recovery->catalog, recovery->observation, disk);

    for (unsigned i = 0; i < merges->len; i++)
        finish_merge(recovery, merges->pdata[i]);
}

static void push_merged_unlink(Recovery *recovery, const Step *step)
{
    const Disk *disk = step->lane ? catalog_disk(recovery->catalog, step->lane) : NULL;
    const DomainDisk *live =
        disk ? match_in_domain(recovery->catalog, recovery->observation->live, disk, NULL) : NULL;
    Step *unlink = recovery_push_unlink(recovery, step_get(step, "path"), step->lane);

    if (unlink && live)
        step_set(unlink, "beside", live->path);
}

/* A lane is finished if its commit is seen to be done, or left to plan_next. Files of lanes that
 * were recorded already may have been left over. */
void recovery_merge(Recovery *recovery)
{
    const GPtrArray *steps = recovery->journal->steps;
    g_autoptr(GHashTable) lanes = g_hash_table_new(g_str_hash, g_str_equal);

    for (unsigned i = 0; i < steps->len; i++) {
        const Step *step = steps->pdata[i];
        const Disk *disk = step->lane ? catalog_disk(recovery->catalog, step->lane) : NULL;

        if (disk && g_hash_table_add(lanes, step->lane))
            finish_lane(recovery, disk);
    }
    for (unsigned i = 0; i < steps->len; i++) {
        const Step *step = steps->pdata[i];

        if (step->kind == STEP_UNLINK)
            push_merged_unlink(recovery, step);
        else if (step->kind == STEP_DROP_SIDECAR)
            recovery_push_drop_sidecar(recovery, step);
    }
}
