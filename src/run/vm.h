/* One VM, synchronously: load, observe, plan, run, record, recover. No threads of its own but the
 * lanes of a merge; the engine calls it from its workers, tests call it directly (crash tests on
 * fake tables included).
 *
 * Locking: vm->lock guards catalog, home and journal state; it is held to load, swap and replace
 * the catalog (file write included: it is what serialises replacements), never across hv or image
 * calls. One *operation* at a time is the caller's duty (the engine's queue); label operations may
 * run beside a merge. */
#pragma once
#include "model/config.h"
#include "run/world.h"

typedef struct Vm Vm;

Vm *vm_new(const World *world, const char *uuid, const char *name);
void vm_free(Vm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vm, vm_free)

/* What the configuration says, from now on; none at first. Any time, also beside an operation. */
void vm_configure(Vm *vm, const Config *config);
Config *vm_config(Vm *vm); /* a reference, never NULL */

/* What can be in force instead of a limit: nothing copies; it copies, and its limit will be told.
 */
#define BANDWIDTH_NONE    G_MAXUINT64
#define BANDWIDTH_UNKNOWN (G_MAXUINT64 - 1)

/* What an operation asks on its way. All may be NULL. */
typedef struct {
    bool (*interrupted)(void *data); /* before the commit point only */
    bool (*stop)(void *data); /* cancel or shutdown: asked during merges; true ends the merge */
    bool (*park)(void *data); /* with stop: leave live block jobs running */
    void (*progress)(const char *target, uint64_t done, uint64_t total, bool finished, void *data);
    uint64_t (*bandwidth)(void *data);                                   /* bytes/s now wanted */
    void (*limited)(const char *target, uint64_t bandwidth, void *data); /* now in force there */
    void (*recorded)(void *data); /* the catalog was replaced */
    /* Was the removal of this one cancelled before its work began? */
    bool (*cancelled)(const char *name, void *data);
    /* vm_finish sets about the work on these (char *) disks for these (char *) snapshots. */
    void (*begin)(const GPtrArray *names, const GPtrArray *targets, void *data);
    /* The operation came to be, and left something for its owner to see to. */
    void (*trouble)(const GError *error, void *data);
    void (*wait)(unsigned milliseconds,
                 void *data); /* sleep until a block job event of this VM or the time is over */
    void *data;
    int64_t answer_by; /* monotonic µs, 0: whenever. Given up before the commit point when it is
                          over, and no image lock is waited for beyond it */
} VmHooks;

/* Find home and catalog (metadata of the domain, else the directories of its chains by uuid), load,
 * recover an interrupted plan. Idempotent; every operation below calls it first. Errors leave the
 * VM readable where possible (vm_problem). */
bool vm_open(Vm *vm, GError **error);
/* The same without waiting for image locks. */
bool vm_open_at_once(Vm *vm, GError **error);
/* Fresh facts. Yours. */
Observation *vm_observe(Vm *vm, GError **error);

bool vm_create(Vm *vm, const char *name, const char *description, uid_t uid, mode_t mode,
               const char *operation, const VmHooks *hooks, GError **error);
bool vm_revert(Vm *vm, const char *name, const char *operation, const VmHooks *hooks,
               GError **error);
/* Take what libvirt has as the truth: the catalog follows (plan_adopt). */
bool vm_adopt(Vm *vm, uid_t uid, mode_t mode, const char *operation, const VmHooks *hooks,
              GError **error);
/* Accept a removal durably. *out_work: vm_finish has something to do. */
bool vm_remove(Vm *vm, const char *name, const char *operation, bool *out_work, GError **error);
/* Do one piece of removal work (plan_next): a snapshot, or a run of neighbours in one pass.
 * *out_done false: there was nothing to do. A failure marks all of them failed (unless parked or
 * the world is down) and is returned. @out_name: the first of what it was about (yours), also on
 * failure. */
bool vm_finish(Vm *vm, const VmHooks *hooks, bool *out_done, char **out_name, GError **error);
/* The next piece of work that vm_finish would do: the first snapshot's name and the targets, NULL
 * if there is none. For making the job before it runs. */
char *vm_next(Vm *vm, GPtrArray **out_targets, GError **error);
/* The same for who has to answer at once: no image lock is waited for. */
char *vm_next_at_once(Vm *vm, GPtrArray **out_targets, GError **error);
bool vm_rename(Vm *vm, const char *name, const char *new_name, const char *operation,
               GError **error);
bool vm_describe(Vm *vm, const char *name, const char *text, const char *operation, GError **error);
bool vm_set_mode(Vm *vm, const char *name, mode_t mode, const char *operation, GError **error);
bool vm_set_policy(Vm *vm, const char *key, const char *value, const char *operation,
                   GError **error);

/* The catalog as it is now; a copy, yours; an empty one before the first snapshot. */
Catalog *vm_catalog(Vm *vm);
char *vm_name(Vm *vm);    /* as libvirt last called it; yours */
char *vm_home(Vm *vm);    /* yours; NULL before the first snapshot */
char *vm_problem(Vm *vm); /* why the catalog cannot be used, NULL if it can; yours */
/* An operation has ended and its journal is open: what is still to be done, by whoever opens the VM
 * next; NULL: nothing. Yours. */
char *vm_left(Vm *vm);
/* How often an operation of ours has suspended the guest or resumed it since: odd while its disks
 * switch. */
unsigned vm_suspensions(Vm *vm);
