/* Inside of one VM, for the files of run/ that make it up: vm.c (operations), vm-open.c (finding
 * and loading), ledger.c (catalog and journal), executor.c (steps), recover.c, lane.c, guard.c,
 * definition.c, observe.c.
 *
 * Locks, in the order in which they are taken:
 *   turn        one operation, or one label change outside an operation; held for the whole
 * operation definition  one read-change-store of the persistent definition among the lanes of a
 * merge; held across hypervisor calls lock        the fields marked below; held to load, swap and
 * replace the catalog and the journal, never across hypervisor or image calls */
#pragma once
#include "run/guard.h"
#include "run/vm.h"

struct Vm {
    const World *world;
    char *uuid;
    GMutex turn;
    GMutex definition;
    GMutex lock;
    gint suspensions; /* atomic, see vm_suspensions */
    /* guarded by lock */
    char *name;
    char *home;            /* NULL before the first snapshot */
    Catalog *catalog;      /* never NULL; the last one that could be read */
    GBytes *text;          /* of catalog.yaml when it said what `catalog` says; NULL: to be read */
    char *problem;         /* why the catalog cannot be used; NULL if it can */
    bool loaded;           /* the home was looked for, and the catalog there (if any) was read */
    char *left;            /* why the journal of an operation is still open; NULL: none is */
    bool settled;          /* what other programs left in the home is durable */
    Config *config;        /* never NULL */
    FilesLock *store_lock; /* held by the operation that has the turn */
};

/* What an operation did to the guest, by freezing or by suspending it. */
typedef enum {
    HOLD_NONE, /* nothing */
    HOLD_HELD, /* it was asked to stop: it must be taken for stopped, and nobody may linger */
    HOLD_OVER, /* it was seen thawed, or running */
    HOLD_LOST, /* it could not be seen so: the business of the thaw job, or of who finds the journal
                */
} HoldState;

typedef struct {
    HoldState state;
    unsigned seconds; /* that the agent has for an answer */
    bool owed;        /* this operation recorded that a thaw is owed */
    bool frozen;      /* it was frozen while the disks switched, as far as was verified */
    char *warning;    /* for the snapshot; NULL: none */
} Freeze;

typedef struct {
    HoldState state;
    char *warning; /* why it may still be paused; NULL: it is not by us */
    bool let_go;   /* its owner, who had paused it, let it go on before the disks had switched */
} Suspension;

/* What was copied for a snapshot to be, until its checksums are noted. */
typedef struct {
    GBytes *vars;
    GPtrArray *tpm; /* of StateFile */
    char *problem;  /* why the copies are not whole; NULL: they are */
} Kept;

/* One operation on its way. Lanes share it: what they change in it has a lock of its own (guard) or
 * is guarded by the VM's lock (journal). */
typedef struct {
    Vm *vm;
    char *vm_name;        /* what sentences call the VM */
    const VmHooks *hooks; /* NULL: none */
    const char *name;     /* "mkdir web01/snapshots/x": for the journal */
    Observation *seen;    /* NULL until observed */
    Guard *guard;         /* QEMU's image locks that we hold */
    Journal *journal;     /* NULL while no plan is open */
    Freeze freeze;        /* what it did to the guest */
    Suspension suspension;
    Kept kept;
    int64_t begun;    /* monotonic µs */
    int64_t deadline; /* of the merge, microseconds; 0 = none */
    gint again;       /* atomic: a lane found its chain at another place; plan anew */
} Operation;

/* The name that libvirt has for it now, for sentences and the catalog. */
void vm_learn_name(Vm *vm, const char *name);
/* Give the catalog what the configuration says for this VM. After any of the two was replaced, and
 * when the name changed. */
void vm_apply_config_locked(Vm *vm);

/* Take the turn and the store's lock, find and read the catalog, recover what was interrupted. On
 * failure nothing is held. Always followed by operation_end(). */
bool operation_begin(Operation *op, Vm *vm, const char *name, const VmHooks *hooks, GError **error);
void operation_end(Operation *op);
/* Observe afresh into op->seen, holding the image locks of the active layers if the VM is off (rule
 * 8). */
bool operation_look(Operation *op, GError **error);
/* Record that disks were detached, attached again or relabelled since. After operation_look(). */
bool operation_attach(Operation *op, GError **error);
/* The VM has a home, and if that is new, op->seen chose it. */
bool operation_ensure_home(Operation *op, GError **error);
/* Where op->seen's running VM has its variables goes into the catalog, which may be the first thing
 * there; what fails is only said in the log. vm-start.c */
void start_note(Operation *op);
/* Has somebody the turn? Then the catalog is loaded and the store's lock is ours. */
bool operation_runs(Vm *vm);
bool operation_interrupted(const Operation *op);
/* The answer is due (hooks->answer_by); sets the error. */
bool operation_is_late(const Operation *op, GError **error);
/* The merge shall end: cancel, shutdown (hooks->stop) or merge_timeout; sets the error. */
bool operation_stopped(const Operation *op, GError **error);
void operation_wait(const Operation *op);
/* Bytes/s that live merges may use now; 0 = no limit. */
uint64_t operation_bandwidth(const Operation *op);
/* What copies on @target keeps to @bandwidth now; BANDWIDTH_NONE: nothing copies there any more. */
void operation_limited(const Operation *op, const char *target, uint64_t bandwidth);
void operation_progress(const Operation *op, const char *target, uint64_t done, uint64_t total,
                        bool finished);
