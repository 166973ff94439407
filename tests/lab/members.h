/* The functions of the three tables, by name: what can go wrong with each. A function that is added
 * to a table and not here does not compile. */
#pragma once

#include <glib.h>

typedef enum {
    MEMBER_EFFECT,   /* changes something: it can fail before, or after, when its answer is lost */
    MEMBER_QUESTION, /* changes nothing */
    MEMBER_SAFE,     /* cannot go wrong; `why` says so */
} MemberNature;

/* Which errors fit. */
typedef enum { MEMBER_HV, MEMBER_AGENT, MEMBER_IMAGES, MEMBER_FILES } MemberTable;

typedef struct {
    const char *name; /* as base/fault.h has it: "hv.define" */
    size_t offset;    /* in its table */
    MemberTable table;
    MemberNature nature;
    const char *why; /* of one that is safe */
} Member;

/* All of them, @count many. */
const Member *members(guint *count);
