/* The table of step kinds (step.c): what printing, parsing, checking, undoing and the docs all
 * read. Inside plan/ only. */
#pragma once

#include "plan/step.h"

typedef enum {
    VALUE_TEXT, /* any UTF-8, also empty */
    VALUE_NONE, /* always empty: the key says it all */
    VALUE_ID,
    VALUE_NAME,   /* a snapshot's */
    VALUE_PATH,   /* absolute, without control characters */
    VALUE_FORMAT, /* qcow2 or raw */
    VALUE_NUMBER, /* decimal, below 2^63 */
    VALUE_UID,    /* decimal, below 2^32 */
    VALUE_MODE,   /* octal, permission bits */
    VALUE_TARGET, /* a disk's label; not empty, without control characters */
    VALUE_YES_NO,
    VALUE_CONSISTENCY,
    VALUE_WORD, /* not empty, without control characters */
} ValueType;

/* What follows the dot of a key: keys with a suffix may stand many times. */
typedef enum { SUFFIX_NONE, SUFFIX_TARGET, SUFFIX_DISK, SUFFIX_LAYER, SUFFIX_SNAPSHOT } SuffixType;

typedef struct {
    const char *name;
    ValueType type;
    SuffixType suffix;
    bool optional;
} StepKey;

typedef struct {
    const char *word;
    const char *doc;
    const StepKey *keys; /* ends with a NULL name */
    bool undone;         /* by its inverse: */
    StepKind undo;       /* with the keys of @keys that it knows, too */
} StepInfo;

/* Never NULL for a kind of the enum. */
const StepInfo *step_info(StepKind kind);
/* What a kind says of @key, with its suffix if it has one; NULL: it has no such key. */
const StepKey *step_key(StepKind kind, const char *key);
/* The kind of a word; false if there is none. */
bool step_kind_of(const char *word, StepKind *out_kind);
const char *plan_kind_name(PlanKind kind);
bool plan_kind_of(const char *word, PlanKind *out_kind);
