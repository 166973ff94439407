/* One pass over the data of one disk: what removing a run of neighbours needs there (rules 3 to 6).
 * Inside plan/ only. */
#pragma once

#include "plan/planner.h"

typedef enum {
    MERGE_DROP,    /* nothing depends on the run: its layers are recorded as gone, then unlinked */
    MERGE_DONE,    /* seen to be done: only what comes after the commit is left */
    MERGE_COMPARE, /* likewise; but it may miss something, and cannot be done again now */
    MERGE_ACTIVE,  /* the dependant is the active layer of a running VM */
    MERGE_LIVE,    /* it is inside the running VM's chain */
    MERGE_OFFLINE, /* nobody has it open */
} MergeTool;

typedef struct {
    const Catalog *catalog;
    const Observation *observation;
    const Disk *disk;
    GPtrArray *run;           /* of Layer: what goes, each the only dependant of the one before */
    const Layer *base;        /* the first of them, whose file stays */
    const Layer *top;         /* the dependant of the last; NULL if there is none */
    GPtrArray *dependants;    /* of top; of Layer */
    const DomainDisk *live;   /* NULL if the VM is off or does not have the disk */
    const DomainDisk *stored; /* in the persistent definition */
    MergeTool tool;
} Merge;

/* What the end of @run (of Layer; taken) on @disk needs. */
Merge *merge_new(const Catalog *catalog, const Observation *observation, const Disk *disk,
                 GPtrArray *run, const Layer *top);
void merge_free(Merge *merge);
/* MERGE_DONE or MERGE_COMPARE. */
bool merge_is_done(const Merge *merge);
/* ERR_DRIFT where chain and catalog do not fit. */
bool merge_check(const Merge *merge, GError **error);
/* The owner of its base, for sentences. */
const Snapshot *merge_snapshot(const Merge *merge);
/* Its steps, as the lane of the disk. */
void merge_add_steps(const Merge *merge, Plan *plan);

/* --- pass.c: which passes there are --- */

/* The removed snapshots that can go together with @snapshot: it, and its neighbours that are work
 * too, on whatever disk. Of Snapshot; free the array. */
GPtrArray *pass_members(const Catalog *catalog, const Observation *observation,
                        const Snapshot *snapshot);
/* What is left of @members on @disk: if merges of theirs are seen to be done, those alone; else one
 * for each run. Of Merge, yours. */
GPtrArray *pass_merges(const Catalog *catalog, const Observation *observation,
                       const GPtrArray *members, const Disk *disk);
/* All that are seen to be done on @disk. Of Merge, yours. */
GPtrArray *pass_done(const Catalog *catalog, const Observation *observation, const Disk *disk);
/* Is it being removed, or hidden and used by nobody else (rule 11), and needed at most once? */
bool pass_is_work(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot);
