/* One lane of a merge: what removing a snapshot needs on one disk. Inside plan/ only. */
#pragma once

#include "plan/planner.h"

typedef enum {
    MERGE_DROP,    /* nothing depends on the layer: it is recorded as gone, then unlinked */
    MERGE_DONE,    /* seen to be done: only what comes after the commit is left */
    MERGE_ACTIVE,  /* the dependant is the active layer of a running VM */
    MERGE_LIVE,    /* it is inside the running VM's chain */
    MERGE_OFFLINE, /* nobody has it open */
} MergeTool;

typedef struct {
    const Catalog *catalog;
    const Observation *observation;
    const Snapshot *snapshot;
    const Disk *disk;
    const Layer *base;        /* the snapshot's */
    const Layer *top;         /* its dependant; NULL if there is none */
    GPtrArray *dependants;    /* of top; of Layer */
    const DomainDisk *live;   /* NULL if the VM is off or does not have the disk */
    const DomainDisk *stored; /* in the persistent definition */
    bool live_merged, stored_merged;
    MergeTool tool;
} Merge;

/* What @snapshot's layer on @disk needs. ERR_DRIFT where chain and catalog do not fit. */
bool merge_look(Merge *merge, const Catalog *catalog, const Observation *observation,
                const Snapshot *snapshot, const Disk *disk, GError **error);
void merge_clear(Merge *merge);
/* Its steps, as the lane of the disk. */
void merge_add_steps(const Merge *merge, Plan *plan);

/* Plan the removal of @snapshot's layers; the snapshot counts as being removed already. */
Plan *plan_merge(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot,
                 GError **error);
