/* The planner: request + catalog + what was observed → plan, or a refusal (a GError whose sentence
 * names the object, says why and what to do). Pure: no clock, file, environment, lock or log. If
 * planning succeeds, running the plan can only fail for a runtime reason. */
#pragma once

#include "model/capabilities.h"
#include "model/domain.h"
#include "model/vars.h"
#include "plan/step.h"

/* What is known of an image file: read from its own header, never trusted for its format. */
typedef struct {
    bool exists;
    char *probed;  /* "qcow2" if it has a qcow2 header, else "raw" */
    char *backing; /* header's backing path (absolute as resolved against the image's directory),
                      NULL if none */
    char *backing_format; /* NULL if the header states none */
    uint64_t capacity;    /* bytes; for raw: the file's length */
    uint64_t allocation;  /* bytes really taken */
    bool used; /* a qcow2 image that has more than a new one: something was written to it */
    unsigned internal_snapshots;
    bool data_file, encrypted;
    bool written; /* some QEMU has it open for writing, says its image lock; false also where locks
                     do not work */
    uint64_t device, inode;
    char *error; /* why its header could not be read (corrupt, no permission), NULL if it could */
} ImageFacts;
ImageFacts *image_facts_new(void);
void image_facts_free(ImageFacts *facts);

typedef struct {
    char *target;
    char *kind;           /* "active-commit", "commit", "copy", "pull", "backup" … */
    uint64_t done, total; /* bytes */
    bool ready;
} BlockJobFacts;
void block_job_facts_free(BlockJobFacts *facts);

/* The VM's own UEFI variable store. */
typedef struct {
    char *path;             /* NULL: nobody knows where it is (plan/firmware.h) */
    char *template;         /* what libvirt makes a missing one from; NULL if that is not known */
    uint64_t template_size; /* bytes; 0: it is not there */
    uint64_t whole;         /* bytes that a store has to have, as far as that is known; else 0 */
    VarsState state;        /* VARS_UNUSED: left by UEFI firmware that the VM does not have now */
    uint64_t size;          /* bytes */
    bool qcow2;             /* it has a qcow2 header, whatever the definition says */
    char *error; /* why it could not be read, NULL if it could or is not there; then VARS_EMPTY */
} VarsFacts;
void vars_facts_free(VarsFacts *facts);

/* The state of the VM's emulated TPM. */
typedef struct {
    char *path;   /* its directory; NULL: not known */
    char *sha256; /* of the state (model/vars.h); NULL: there is none yet, or see @error */
    char *error;  /* why it could not be read, NULL if it could or is not there */
} TpmFacts;
void tpm_facts_free(TpmFacts *facts);

/* Of one file system. */
typedef struct {
    uint64_t device; /* which */
    uint64_t bytes;  /* available to us */
} FreeSpace;

typedef struct {
    DomainState state;
    bool persistent; /* false: transient domain, everything is refused */
    bool managed_save;
    char *foreign_job; /* a backup, migration, dump… is on the domain: its name, NULL if none */
    unsigned libvirt_snapshots; /* managed by libvirt itself, foreign */
    Domain *live;               /* NULL when off */
    Domain *inactive;           /* persistent definition; never NULL if persistent */
    GHashTable *files; /* path → ImageFacts: every file of the catalog, of the definitions and of
                          the chains below them by header */
    GHashTable *jobs;  /* target → BlockJobFacts: block jobs now in QEMU */
    GHashTable *free_space; /* directory → FreeSpace */
    GHashTable
        *users; /* rule 11: file_key() → who uses that file besides this VM's catalogued disks
                   ("disk vda of VM db (off)"); empty where nobody was asked */
    VarsFacts *vars;  /* NULL: BIOS, and nothing of another firmware is left; or not looked at */
    TpmFacts *tpm;    /* NULL: none whose state is in files of this host; or not looked at */
    GHashTable *lost; /* target → the file that libvirt names: it lost track of this disk, see
                         observation_trust_locks */
    Capabilities *capabilities; /* of the host; never NULL */
} Observation;
Observation *observation_new(void);
void observation_free(Observation *observation);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Observation, observation_free)
const ImageFacts *observation_file(const Observation *observation,
                                   const char *path); /* NULL if not looked at */
/* A file by what it is, not by its name: links and bind mounts give it others. Yours. */
char *file_key(uint64_t device, uint64_t inode);
/* Who uses the file @path (looked at) besides this VM; borrowed, NULL: nobody that could be seen.
 */
const char *observation_user(const Observation *observation, const char *path);
/* The definition that counts now: live if there is one, else inactive. */
const Domain *observation_domain(const Observation *observation);
bool observation_is_off(const Observation *observation); /* state off and no managed save */

/* libvirt was killed after QEMU had switched a disk to our overlay and before it had noted that: it
 * goes on naming the file below. QEMU's image locks tell (rule 14: the chain decides). Where the
 * overlay is written and the file below is not, @observation's live disk is put on the overlay, and
 * noted as lost. Overlays are those of @catalog and, if not NULL, of the interrupted @journal. */
void observation_trust_locks(Observation *observation, const Catalog *catalog, const Plan *journal);

/* The chain of a disk of the definition as it really is: the path, then backing files by header,
 * top first; array of char *, yours. Stops at a file that was not looked at, at a loop and at 300.
 */
GPtrArray *observation_chain(const Observation *observation, const char *path);
/* It stops though the last one names a file below it: they go round in a circle, or are too many.
 */
bool observation_chain_is_endless(const Observation *observation, const char *path);

typedef struct {
    char *name, *description;
    uid_t uid;
    mode_t mode;
    char *snapshot_id;
    int64_t now; /* microseconds */
    uint64_t
        random[64]; /* ids for layers and disks are made from these, in order; caller fills them */
} CreateRequest;

/* S-1, S-3, S-4 …: refusals in this order: name, exists, transient, drift, busy jobs, managed save,
 * UEFI variables and vTPM, disks (rule 10), no disk at all, policy, depth, space. created =
 * max(now, newest + 1 µs). */
Plan *plan_create(const Catalog *catalog, const Observation *observation,
                  const CreateRequest *request, GError **error);
/* Off only. @random as above. Refuses what rule 9 names. Reverting to current itself throws the
 * active layer away. */
Plan *plan_revert(const Catalog *catalog, const Observation *observation, const char *snapshot_id,
                  const uint64_t *random, GError **error);
/* Accept a removal: record-hidden, or record-removing (then plan_next has work). @force is for held
 * snapshots never. */
Plan *plan_remove(const Catalog *catalog, const Observation *observation, const char *snapshot_id,
                  GError **error);
/* Labels; no observation needed. */
Plan *plan_rename(const Catalog *catalog, const char *snapshot_id, const char *new_name,
                  GError **error);
Plan *plan_describe(const Catalog *catalog, const char *snapshot_id, const char *text,
                    GError **error);
Plan *plan_mode(const Catalog *catalog, const char *snapshot_id, mode_t mode, GError **error);
/* @value "default" or "": the VM's own value goes. A plan without steps if there is nothing to do.
 */
Plan *plan_policy(const Catalog *catalog, const char *key, const char *value, GError **error);

/* The next work that removals have left: the first snapshot in state removing, or hidden one that
 * has come down to at most one dependant (rule 3), with the neighbours that can go with it in one
 * pass (rule 6), as a PLAN_MERGE; NULL without error if there is none; NULL with error if it cannot
 * be planned now (drift, foreign job, no space…). What each disk needs is one lane (rule 5); a disk
 * whose merge is seen to be done is only recorded (and its left-over files unlinked, if they
 * exist). If the VM's own block job of this merge is running or waits for its pivot in QEMU,
 * commit-active/commit-live adopt it: the executor looks. */
Plan *plan_next(const Catalog *catalog, const Observation *observation, GError **error);

/* The snapshots that a PLAN_MERGE is about, in order: borrowed ids; free the array. */
GPtrArray *plan_snapshots(const Plan *plan);

/* Recovery: what an interrupted plan needs now. @journal is the plan as written before its first
 * step, @done the number of steps known done per step index (bool array of steps->len; a step not
 * marked may have happened all the same: the observation decides). Gives a plan (kind recover)
 * whose steps undo it (before its commit point happened) or push it on; an empty plan if nothing is
 * left to do. For PLAN_MERGE: settles what is seen done (records, unlinks), leaves the rest to
 * plan_next. Never unlinks a file that a chain of a definition or the catalog holds. */
Plan *plan_recover(const Catalog *catalog, const Observation *observation, const Plan *journal,
                   GError **error);

/* Does libvirt's chain differ from the catalog's? A new text with one sentence a line, or NULL if
 * they agree. Disks that are merely unknown, detached or relabelled are no drift: see plan_attach.
 * Takes account of merges in state removing (their chain may be before or after). */
char *plan_drift(const Catalog *catalog, const Observation *observation);
/* Was QEMU asked to go on from another file of @disk, and can it not be seen whether it did? A new
 * sentence without its end, or NULL. Part of plan_drift. */
char *plan_doubt(const Catalog *catalog, const Observation *observation, const Disk *disk);
/* ERR_DRIFT if there is such a disk. */
bool plan_check_pivots(const Catalog *catalog, const Observation *observation, GError **error);
/* ERR_BUSY if the VM, which is off, must not be started yet: a merge inside a chain, in whose end
 * QEMU may have been killed, is to be done again first (docs/decisions/0025). @observation has the
 * files. */
bool plan_check_torn(const Catalog *catalog, const Observation *observation, GError **error);
typedef struct {
    uid_t uid; /* who owns the snapshots that are found, … */
    mode_t mode;
    int64_t now;         /* microseconds */
    uint64_t random[64]; /* as in CreateRequest */
} AdoptRequest;
/* Make the catalog say what libvirt and the headers say (rule 10): records only, no file is changed
 * or deleted; afterwards plan_drift is NULL. Overlays of somebody else become snapshots found-N;
 * snapshots whose files are gone go; those that may have been spoiled become failed. Without steps
 * if there is nothing to adopt. Refuses, naming it: what cannot be a chain of ours, a disk that two
 * definitions or two disks disagree about, a busy VM. */
Plan *plan_adopt(const Catalog *catalog, const Observation *observation,
                 const AdoptRequest *request, GError **error);
/* What the definitions alone tell: record-attached steps for disks that were relabelled, detached
 * or attached again, record-committed for those that were not redefined after all; NULL if none.
 * Never fails. */
Plan *plan_attach(const Catalog *catalog, const Observation *observation);
