/* The catalog: what is true of one VM's snapshots. Pure data and pure questions about it.
 *
 * A disk is a tree of layers (design 3, rule 2). A layer is one image file; its parent is the layer
 * it is backed by. The active layer is the one the VM writes; a snapshot owns, per disk, one frozen
 * layer. Several snapshots never own the same layer. The disk's id is ours and never changes; its
 * target ("vda") is a label that follows the definition.
 *
 * Ownership: a Catalog owns everything below it. Structs are open for reading everywhere; they are
 * changed only by plan/apply.c, by the loader in store/, and by tests. Ids are made by the caller
 * (names_make_id). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CATALOG_VERSION 1

typedef enum {
    SNAPSHOT_READY,    /* its point in time is whole */
    SNAPSHOT_REMOVING, /* removal accepted; its point in time may be half gone; never a target of a
                          revert */
    SNAPSHOT_FAILED,   /* a merge of it ended early; back in the list, rmdir finishes it (rule 4) */
} SnapshotState;

typedef struct {
    char *id;
    char *parent;      /* layer id, NULL for the disk's first layer */
    char *path;        /* absolute */
    char *format;      /* "qcow2" or "raw", as the definition states it, never probed (rule 12) */
    uint64_t capacity; /* bytes; the virtual size when the layer was frozen or made */
} Layer;

typedef struct {
    char *id;
    char *target;      /* label: "vda" */
    bool attached;     /* false: seen in no definition any more; its layers still count (rule 3) */
    char *active;      /* layer id */
    char *pivot;       /* layer id below the active one: QEMU was asked to go on from its file, and
                          nobody has seen whether it does; NULL: it was not asked */
    char *committed;   /* layer id below the active one: all that was written above it is in its
                          file, too, and the definition of the VM, which is off, is about to name
                          that; NULL: it is not */
    GPtrArray *layers; /* of Layer */
} Disk;

typedef struct {
    char *disk;  /* disk id */
    char *layer; /* layer id: the frozen layer this snapshot owns on it */
} SnapshotDisk;

/* A copy of the UEFI variables, or of the vTPM's state, that is kept with a snapshot: beside the
 * catalog, named by the snapshot's id (store/sidecar.h). */
typedef struct {
    uint64_t size; /* bytes; of a vTPM: of all its files together */
    char *sha256;  /* of what it holds, 64 digits of lower case */
    char *version; /* of a vTPM: "2.0", "1.2"; NULL for variables */
    char *secret;  /* uuid of the secret that a vTPM's state is encrypted with, or NULL */
} Sidecar;

typedef struct {
    char *id;
    char *name;   /* the user's; kept while hidden, so that it can come back */
    char *parent; /* snapshot id or NULL */
    SnapshotState state;
    bool whole;        /* being removed, and no merge of it has begun (decision 0023) */
    bool hidden;       /* not in snapshots/: removed by name and kept by need, or being removed */
    int64_t created;   /* microseconds since the epoch, UTC */
    char *consistency; /* "off", "paused", "crash", "frozen" */
    char *description; /* "" if none */
    char *warnings;    /* "" or one sentence a line */
    char *error;       /* "" or why it failed */
    uid_t uid;
    mode_t mode;      /* permission bits of the entry, e.g. 0750; without 0200 it is held */
    GPtrArray *disks; /* of SnapshotDisk; shrinks disk by disk while it is merged */
    Sidecar *vars;    /* NULL: it has none (a BIOS VM) */
    Sidecar *tpm;     /* NULL: it has none */
} Snapshot;

/* Policy values. Strings as the user reads them. Keys: see catalog_policy_default. */
typedef struct {
    char *uuid;          /* of the domain, lower case */
    char *name;          /* of the domain when last recorded, for people who read the file */
    uint64_t generation; /* +1 at each replacement */
    char *current;       /* snapshot id or NULL */
    bool thaw_owed;      /* the guest was, or is about to be, frozen by us, and has not been seen
                            thawed since */
    char *vars;       /* where the VM's own variable store was when it was last known to be there;
                         NULL: not known */
    GPtrArray *disks; /* of Disk */
    GPtrArray *snapshots; /* of Snapshot, in order of creation */
    GHashTable *policy;   /* char * key → char * value; only what was set */
    GHashTable *defaults; /* what the configuration says for this VM, likewise; NULL: nothing.
                             Shared and immutable; never written, never compared */
    GHashTable
        *unknown; /* char * → char *: YAML of unknown top-level keys, kept and written back */
} Catalog;

Catalog *catalog_new(const char *uuid, const char *name);
Catalog *catalog_copy(const Catalog *catalog);
void catalog_free(Catalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Catalog, catalog_free)

Layer *layer_new(const char *id, const char *parent, const char *path, const char *format,
                 uint64_t capacity);
void layer_free(Layer *layer);
Disk *disk_new(const char *id, const char *target);
void disk_free(Disk *disk);
Snapshot *snapshot_new(const char *id, const char *name);
void snapshot_free(Snapshot *snapshot);
Sidecar *sidecar_new(uint64_t size, const char *sha256, const char *version, const char *secret);
Sidecar *sidecar_copy(const Sidecar *sidecar); /* also of NULL */
void sidecar_free(Sidecar *sidecar);           /* likewise */
SnapshotDisk *snapshot_disk_new(const char *disk, const char *layer);
void snapshot_disk_free(SnapshotDisk *entry);

/* Lookups; borrowed, NULL if there is none or if the key is NULL. catalog_named finds only what is
 * listed in snapshots/ (not hidden). */
Disk *catalog_disk(const Catalog *catalog, const char *disk_id);
Disk *catalog_disk_by_target(const Catalog *catalog, const char *target); /* attached ones only */
Disk *catalog_disk_of_path(const Catalog *catalog, const char *path,
                           Layer **out_layer); /* any layer's path; out_layer may be NULL */
Layer *disk_layer(const Disk *disk, const char *layer_id);
Layer *disk_active(const Disk *disk);
Snapshot *catalog_snapshot(const Catalog *catalog, const char *snapshot_id);
Snapshot *catalog_named(const Catalog *catalog, const char *name);
SnapshotDisk *snapshot_disk(const Snapshot *snapshot, const char *disk_id);
/* The snapshot that owns @layer_id on @disk_id, or NULL (an active layer has none). */
Snapshot *catalog_owner(const Catalog *catalog, const char *disk_id, const char *layer_id);

/* The layers whose parent is @layer_id: the dependants of rule 3, the active one included. Free the
 * array, not the elements. Never NULL. */
GPtrArray *disk_dependants(const Disk *disk, const char *layer_id);
/* Number of layers from @layer_id down to the first, itself included. */
unsigned disk_depth(const Disk *disk, const char *layer_id);
/* Number of snapshots (listed or not) whose parent is @snapshot_id. */
unsigned catalog_children(const Catalog *catalog, const char *snapshot_id);

/* The most dependants that @snapshot has on any disk: 0 → unlink, 1 → merge, 2 or more → hide (rule
 * 3). */
unsigned catalog_dependants(const Catalog *catalog, const Snapshot *snapshot);

bool snapshot_is_held(const Snapshot *snapshot);
const char *snapshot_state_name(SnapshotState state);
bool snapshot_state_parse(const char *text, SnapshotState *out_state);

/* The value of a policy key that is in force: the VM's own, else the configuration's, else the
 * built-in default; NULL if there is no such key. Keys and defaults, in the order of the tree:
 * quiesce "try", quiesce_timeout "10", merge_timeout "0", bandwidth "0", max_snapshots "0",
 * max_depth "100", start "0". 0 = no limit. */
const char *catalog_policy(const Catalog *catalog, const char *key);
const char *const *catalog_policy_keys(void);        /* NULL-terminated */
const char *catalog_policy_default(const char *key); /* the built-in one */
/* Written to a policy: the VM shall have no value of its own any more. So says the empty text. */
#define POLICY_DEFAULT "default"
bool catalog_policy_drops(const char *value);
/* Check and normalise a policy value ("50M" → "52428800"); new string, or NULL with ERR_INVALID and
 * a sentence. */
char *catalog_policy_check(const char *key, const char *value, GError **error);

/* Check every invariant: unique ids, names of the listed ones, paths; parents exist and make trees;
 * each disk has its active layer and nothing depends on it; entries name layers that exist, each
 * layer that is not active is owned by exactly one snapshot; current exists; no control characters
 * or relative paths; capacity below 2^63; a layer with a parent is qcow2; ids and targets are words
 * (1 to 64 of A-Z a-z 0-9 _ -, no leading -). Linear time. ERR_INVALID names what is wrong. The
 * loader calls it on everything it reads; tests after every step. */
bool catalog_check(const Catalog *catalog, GError **error);
/* Equal in everything but the generation. */
bool catalog_equal(const Catalog *a, const Catalog *b);
