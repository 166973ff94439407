/* A plan: what will be done, in order, with one commit point; and its one text form.
 *
 * A step is a kind and parameters. One table (step.c) says of each kind: its word, the parameters
 * it must and may have, how it is undone and one line of documentation; printing, parsing,
 * checking, undoing and docs/journal-format.md use that table.
 *
 * Text form, one step a line:   kind key=value key=value …
 * Values are escaped as in /proc/mounts (octal), '=' needs no escape after the first; an empty
 * value is `key=`. A plan's text starts with a header line `plan KIND key=value …`. A line `--`
 * stands right after the commit point; a plan without an irreversible step begins with `--`.
 *
 * The kinds, their keys and what each does: docs/journal-format.md, checked against the table.
 */
#pragma once

#include "model/catalog.h"

typedef enum {
    STEP_OVERLAY,
    STEP_FREEZE,
    STEP_SUSPEND,
    STEP_KEEP_VARS,
    STEP_KEEP_TPM,
    STEP_SNAPSHOT,
    STEP_RESUME,
    STEP_THAW,
    STEP_SYNC_SIDECAR,
    STEP_REDEFINE,
    STEP_SETTLE,
    STEP_COMMIT_ACTIVE,
    STEP_COMMIT_LIVE,
    STEP_COMMIT_OFFLINE,
    STEP_COMPARE,
    STEP_REPOINT,
    STEP_UNLINK,
    STEP_PLACE_VARS,
    STEP_STAGE_TPM,
    STEP_EXCHANGE_TPM,
    STEP_RETURN_TPM,
    STEP_DROP_STATE,
    STEP_DROP_SIDECAR,
    STEP_UNDEFINE,
    STEP_RECORD_FREEZING, /* from here on: records, which change the catalog only */
    STEP_RECORD_THAWED,
    STEP_RECORD_CREATE,
    STEP_RECORD_REVERT,
    STEP_RECORD_RENAME,
    STEP_RECORD_DESCRIBE,
    STEP_RECORD_MODE,
    STEP_RECORD_POLICY,
    STEP_RECORD_REMOVING,
    STEP_RECORD_HIDDEN,
    STEP_RECORD_PIVOT,
    STEP_RECORD_COMMITTED,
    STEP_RECORD_MERGED,
    STEP_RECORD_DROPPED,
    STEP_RECORD_REMOVED,
    STEP_RECORD_FAILED,
    STEP_RECORD_WARNING,
    STEP_RECORD_ATTACHED,
    STEP_RECORD_FOUND,
    STEP_RECORD_LAYERS,
    STEP_RECORD_TREE,
    STEP_RECORD_NVRAM,
    N_STEP_KINDS,
} StepKind;

typedef struct {
    StepKind kind;
    GPtrArray *keys;   /* char *, in order */
    GPtrArray *values; /* char *, parallel */
    char *lane; /* disk id: steps of one lane run in order, lanes side by side; NULL = no lane, runs
                   when every lane before it is done. Text form: parameter lane=… */
} Step;

typedef enum {
    PLAN_CREATE,
    PLAN_REVERT,
    PLAN_REMOVE /* accept */,
    PLAN_MERGE /* and unlink: the job of a removal */,
    PLAN_LABEL,
    PLAN_ADOPT,
    PLAN_EXPUNGE, /* the VM itself; what is left of it is seen to by run/expunged.h */
    PLAN_RECOVER,
    N_PLAN_KINDS
} PlanKind;

typedef struct {
    PlanKind kind;
    char *snapshot;   /* id it is about, or NULL */
    GPtrArray *steps; /* of Step */
    unsigned commit;  /* number of steps up to and including the commit point; 0: nothing is ever
                         undone */
} Plan;

Step *step_new(StepKind kind);
void step_free(Step *step);
Step *step_copy(const Step *step);
void step_set(Step *step, const char *key, const char *value);
void step_set_number(Step *step, const char *key, uint64_t value);
/* Borrowed; NULL if absent. */
const char *step_get(const Step *step, const char *key);
uint64_t step_get_number(const Step *step,
                         const char *key); /* 0 if absent; parse checks that numbers are numbers */
/* The suffixes of the keys that start with "@prefix.", in order; borrowed strings, free the array.
 */
GPtrArray *step_suffixes(const Step *step, const char *prefix);
/* step_get of "@prefix.@suffix". */
const char *step_get_sub(const Step *step, const char *prefix, const char *suffix);
void step_set_sub(Step *step, const char *prefix, const char *suffix, const char *value);
const char *step_kind_name(StepKind kind);
bool step_is_record(const Step *step);
/* One line for docs. */
const char *step_kind_doc(StepKind kind);
/* Switches (target, path, format; format "qcow2" where the step states none) of a snapshot,
 * redefine or settle step: array of DiskSwitch, yours. */
GPtrArray *step_switches(const Step *step);
/* The inverse of a done step, NULL if it needs none. Yours. */
Step *step_undo(const Step *step);

Plan *plan_new(PlanKind kind, const char *snapshot);
void plan_free(Plan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plan, plan_free)
Step *plan_add(Plan *plan, StepKind kind); /* borrowed from the plan */
/* The first step of that kind; borrowed, NULL: there is none. */
const Step *plan_find(const Plan *plan, StepKind kind);
char *plan_print(const Plan *plan);
char *step_print(const Step *step);
/* Robust: any text gives a plan or ERR_INVALID with the line number. Every kind's required keys, no
 * unknown keys, numbers, ids, absolute paths are checked. */
Plan *plan_parse(const char *text, GError **error);
/* The same of a step that was made here: would its line be parsed? */
bool step_check(const Step *step, GError **error);

/* Apply a record step to @catalog in place (apply.c). Other kinds change nothing. ERR_INVALID if it
 * does not fit (nothing changed then). Afterwards disks of which only an attached active layer is
 * left that no snapshot needs are forgotten. */
bool step_apply(const Step *step, Catalog *catalog, GError **error);
