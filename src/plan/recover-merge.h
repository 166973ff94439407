/* A recovery on its way, and its part that is about merges. Inside plan/ only. */
#pragma once

#include "plan/planner.h"

typedef struct {
    const Observation *observation;
    const Plan *journal;
    const Catalog *catalog; /* as it is now */
    Catalog *view;          /* as it will be after the steps planned so far */
    GHashTable *stored;     /* target → path: what the persistent definition will name then */
    const char *store;      /* the variable store that it will name then; NULL: as it does now */
    GHashTable *repointed;  /* paths whose header will name another backing file then */
    GHashTable *unlinked;   /* paths that will be gone then */
    Plan *plan;
} Recovery;

/* NULL if there is nothing to unlink, or it must stay; borrowed from the plan. */
Step *recovery_push_unlink(Recovery *recovery, const char *path, const char *lane);
/* Sidecars go when their snapshot is gone, only. */
void recovery_push_drop_sidecar(Recovery *recovery, const Step *step);

/* A lane is finished if its commit is seen to be done, or left to plan_next. Files of lanes that
 * were recorded already may have been left over. */
void recovery_merge(Recovery *recovery);
