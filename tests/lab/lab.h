/* A laboratory for whole operations: a simulated host, files in memory, one VM, and a model of what
 * every snapshot and the active layers must contain. Scripts drive it; laws (design 5) are checked
 * on it. Everything is deterministic.
 *
 * A script is words: c1 (create s1) · r1 (revert to it and do all work) · R1 (revert only) · d1
 * (remove it and do all work) · x1 (accept its removal only) · f (do all work) · m1 (rename s1 to
 * t1) · n1 (back) · e1 (describe) · h1, u1 (hold, release) · p (a policy) · w (the guest writes
 * somewhere on each disk) · S, P (start, pull the plug) · Z (its owner pauses it) · U, E (it has
 * UEFI variables and a vTPM; of firmware='efi') · A2 (the guest's agent is the second kind of
 * SimAgent). */
#pragma once
#include "base/fault.h"
#include "model/simhost.h"
#include "run/vm.h"

#define LAB_UUID   "8e3b0b56-7c0e-4d2b-9f6a-2d1c5a7e9b01"
#define LAB_HOME   "/images"
#define LAB_BLOCKS 6

typedef struct {
    SimHost *host;
    Files *memory;
    Fault *fault; /* asked at every effect; armed by tests */
    Hypervisor *hv, *faulty_hv;
    Images *images, *faulty_images;
    Files *faulty_files;
    World world;
    Vm *vm;
    VmHooks hooks; /* of operations; answer_by is over once a call has hung */
    unsigned disks;
    int64_t clock;
    uint64_t seed, written, limit;
    GHashTable *contents; /* snapshot id → GPtrArray of GArray of guint64, one a disk */
    GPtrArray *active;    /* of GArray: what the guest must read */
    bool firmware;        /* it has UEFI variables and a vTPM (firmware.h) */
    char *taken;          /* what they were when the last snapshot was begun */
    GHashTable *kept;     /* snapshot id → char *: what they were when it was taken */
    uint64_t word;        /* what the guest has in its variables, and one more in its vTPM */
    GHashTable *words;    /* snapshot id → guint64 *: the word when it was taken */
    char *stored_text;    /* what the catalog's file said when the laws were checked last */
    Catalog *stored;      /* that, parsed */
    bool paused;          /* by its owner */
    GHashTable *accepted; /* ids of snapshots whose removal was accepted */
    bool crooked;         /* its disks have different trees: the law of one tree is off */
} Lab;

Lab *lab_new(unsigned disks, uint64_t seed);
/* Its own files are in @files, which is the lab's. */
Lab *lab_new_on(Files *files, unsigned disks, uint64_t seed);
void lab_free(Lab *lab);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lab, lab_free)

uint64_t lab_random(Lab *lab);
/* Is @snapshot one whose removal was accepted, and could not begin? */
bool lab_came_back(Lab *lab, const Snapshot *snapshot);
/* The program ends and starts again: a new Vm on the same host and files. The fault is disarmed. */
void lab_restart(Lab *lab);
/* The same in the midst of an operation of this very thread, which never goes on: what it holds is
 * lost, and what its tables held is let go. For a process that ends soon. */
void lab_abandon(Lab *lab);
void lab_write(Lab *lab);
bool lab_start(Lab *lab); /* false: the VM cannot start */
void lab_stop(Lab *lab);
bool lab_is_off(Lab *lab);
/* Somebody makes the layer of s2 the active one, and unlinks what stood on it. */
void lab_go_back_by_stranger(Lab *lab);

/* One word; *error as the operation gave it. The model follows what the catalog says came to be. */
bool lab_do(Lab *lab, const char *word, GError **error);
/* Words up to the end; false at the first that fails. */
bool lab_script(Lab *lab, const char *script, GError **error);
/* Is it said that the guest was frozen, and was it? A text if that is not so; yours. */
char *lab_false_claim(Lab *lab, const Snapshot *snapshot);
/* All work that removals have left. */
bool lab_finish(Lab *lab, GError **error);
/* The catalog and the VM came to say something else than the model: follow it where that is lawful
 * after an operation that was broken off (a snapshot made after all, a revert done after all). Else
 * a text, yours. */
char *lab_follow(Lab *lab);
/* The first law that is broken, NULL if none; yours. At rest: no journal, nothing left over. */
char *lab_broken_law(Lab *lab);
/* The catalog and the chains, for messages. */
char *lab_describe(Lab *lab);
/* The tree's shape: the same text for the same tree. */
char *lab_shape(Lab *lab);
