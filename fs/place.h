/* A place: one object of the tree, found in one view. Inodes hold names of objects (uuids and ids);
 * a place holds the object itself, as it is at this moment, and keeps the view alive while it is
 * looked at. */
#pragma once

#include "fs/face.h"

typedef enum {
    SCOPE_HOST,            /* the mount */
    SCOPE_VM,              /* <vm> */
    SCOPE_SNAPSHOT,        /* a listed snapshot */
    SCOPE_HIDDEN,          /* a hidden one */
    SCOPE_JOB,             /* a job of a VM */
    SCOPE_DISK,            /* a disk of a VM */
    SCOPE_POLICY,          /* a policy key of a VM */
    SCOPE_LINK,            /* a temporary link of ln in a VM's directory */
    SCOPE_UUID,            /* by-uuid/<uuid> */
    SCOPE_RUNNING,         /* .vmsnapfs/jobs/<id> */
    SCOPE_ORPHAN,          /* .vmsnapfs/orphans/<file> */
    SCOPE_TPM_FILE,        /* a file of the vTPM's state that is kept with a listed snapshot */
    SCOPE_HIDDEN_TPM_FILE, /* with a hidden one */
} Scope;

typedef struct {
    Face *face;
    HostView *host;
    const VmView *vm;
    const SnapshotView *snapshot;
    EngineJob *job; /* borrowed from vm */
    const DiskView *disk;
    const OrphanView *orphan;
    const StateFileView *file;
    const char *key;
    char *link_name, *link_target;
} Place;

void place_init(Place *place, Face *face);
void place_clear(Place *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_clear)

/* Go to the VM with that uuid and to the object of @scope in it. false if it is not there (any
 * more). */
bool place_bind(Place *place, Scope scope, const char *uuid, const char *object);
/* Go from a directory to the object of @scope that is shown there as @name. */
bool place_find(Place *place, Scope scope, const char *name);
/* Visit every listed object of @scope below @place. */
typedef void (*PlaceVisit)(const Place *child, void *data);
void place_each(const Place *place, Scope scope, PlaceVisit visit, void *data);

/* How the object of @scope at @place is shown, and its identity for place_bind. New strings. */
char *place_name(const Place *place, Scope scope);
char *place_object(const Place *place, Scope scope);
const char *place_uuid(const Place *place); /* "" outside VMs */

/* The name of the VM's directory: its own name, or its uuid where that name has another meaning
 * here. Borrowed. */
const char *place_vm_name(const VmView *vm);
