/* What is written down about one VM: the catalog in memory and in its file, which never differ for
 * longer than one replacement takes, and the journal. Every function takes vm->lock itself, but
 * those named _locked.
 *
 * A record step is applied to a copy of the present catalog, the copy is checked, made durable, and
 * only then takes the catalog's place. So a label that changes during a merge and the merge's own
 * records never undo each other, and what memory says is always in the file. */
#pragma once
#include "run/vm-private.h"

/* Read the catalog of vm->home (if there is one) into memory. On failure vm->problem says why, the
 * last catalog read stays, and the error is ERR_READ_ONLY (or ERR_HOST_DOWN, ERR_INTERRUPTED as
 * they are). */
bool ledger_load(Vm *vm, GError **error);
/* The store's lock of vm->home; nothing to do without a home. ERR_BUSY names the holder. */
bool ledger_lock(Vm *vm, GError **error);
void ledger_unlock(Vm *vm);
/* Make @home the VM's home: its directory, its lock; ERR_BUSY if a catalog turned up there
 * meanwhile. */
bool ledger_settle_home(Vm *vm, const char *home, GError **error);

bool ledger_record(Vm *vm, const Step *step, GError **error);
/* Have the catalog say the name that the VM has now. The name says nothing to us, so a failure is
 * only logged: the next record says it, too. */
void ledger_note_name(Vm *vm);
bool ledger_record_locked(Vm *vm, const Step *step, GError **error);

/* The VM is gone, with all that was kept of it: one that is defined with its uuid begins anew. */
void ledger_forget(Vm *vm);

/* The journal of the operation: opened before its first step, marked after each, cleared at the
 * end. */
bool ledger_open_journal(Operation *op, Plan *plan /* taken */, GError **error);
/* Only in memory: it is written with the next mark. */
void ledger_note_done(Operation *op, guint step);
/* The same of the step of this kind, if the plan has one. */
void ledger_note_kind_done(Operation *op, StepKind kind);
/* The step of this kind of the open plan says @prefix_@key=@value from now on, likewise. */
void ledger_note_value(Operation *op, StepKind kind, const char *prefix, const char *key,
                       const char *value);
bool ledger_mark_done(Operation *op, guint step, GError **error);
bool ledger_clear_journal(Operation *op, GError **error);
/* The journal in the store, NULL without error if none is open. Yours. */
Journal *ledger_load_journal(Vm *vm, GError **error);

/* Whole sentence into the log (never lost silently, never the caller's error). */
void ledger_complain(Vm *vm, const char *what, const GError *error);
