/* The parts of plan_adopt. Inside plan/ only.
 *
 * adopt-disk.c finds out which layers a disk has now, as headers and definition state them;
 * adopt-snapshots.c what that makes of the snapshots. */
#pragma once

#include "plan/checks.h"

/* One layer as it will be recorded. */
typedef struct {
    char *id, *path, *format;
    const char *parent; /* borrowed; NULL: the first */
    const char *owner; /* id of the snapshot that owns it; NULL if none does yet, or it is active */
    const Layer *known; /* of the catalog; NULL: somebody else made it */
    uint64_t capacity;
    bool in_chain;
    bool found;   /* nobody owns it and it is frozen: it needs a snapshot of its own */
    bool written; /* somebody may have written to its file since it was frozen */
    bool bent;    /* it stands on something else than it stood on when it was frozen */
    bool kept;    /* a commit into what is below it leaves what it shows as it was */
} FoundLayer;

/* A layer of the catalog that the disk does not have any more. */
typedef struct {
    const Layer *layer;
    char *why; /* a sentence part */
    bool gone; /* deleted, or what the VM runs on now: nothing is left of it to tell of */
} LostLayer;

typedef struct {
    const Disk *disk;
    const DomainDisk *source;
    GPtrArray *layers; /* of FoundLayer; the chain from the active one down, then the others */
    GPtrArray *lost;   /* of LostLayer */
    bool changed;      /* the catalog says something else */
} FoundDisk;

/* ERR_UNSUPPORTED if its chain is none that a catalog can hold. */
FoundDisk *found_disk_new(const Catalog *catalog, const Observation *observation, const Disk *disk,
                          const DomainDisk *source, IdSource *ids, GError **error);
void found_disk_free(FoundDisk *found);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FoundDisk, found_disk_free)
FoundLayer *found_disk_layer(const FoundDisk *found, const char *id); /* NULL if it has none */
/* Does @layer surely show what it showed when it was frozen? */
bool found_layer_is_whole(const FoundDisk *found, const FoundLayer *layer);

/* An adoption on its way. */
typedef struct {
    const Catalog *catalog;
    const Observation *observation;
    const AdoptRequest *request;
    IdSource ids;
    GPtrArray *disks; /* of FoundDisk: what changed */
    Catalog *view;    /* as it will be after the steps planned so far */
    Plan *plan;
} Adoption;

/* Each plans steps and applies them to the view; false with @error if that does not fit. */
bool adoption_add(Adoption *adoption, Step *step, GError **error); /* @step is taken */
/* New snapshots for the layers that nobody owns: those of the chains, or those beside them. */
bool adoption_give_owners(Adoption *adoption, bool in_chain, GError **error);
/* @snapshot, which is being removed, may not be whole any more. */
bool adoption_doubt(Adoption *adoption, const Snapshot *snapshot, GError **error);
/* What became of @snapshot: nothing, failed, or gone. Once the layers are recorded. */
bool adoption_settle(Adoption *adoption, const Snapshot *snapshot, GError **error);
/* The same for the new ones beside the chain of @found. */
bool adoption_settle_left(Adoption *adoption, const FoundDisk *found, GError **error);
/* Parents and current. */
bool adoption_add_tree(Adoption *adoption, GError **error);
/* Warn of files of @found that are none of ours any more. Once there is a tree. */
bool adoption_tell_left(Adoption *adoption, const FoundDisk *found, GError **error);
