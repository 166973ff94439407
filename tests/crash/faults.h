/* Every operation of the product on a laboratory, with one thing that goes wrong in it
 * (test-faults.c). */
#pragma once

#include "engine.h"
#include "lab.h"
#include "members.h"

typedef struct FaultCase FaultCase;

struct FaultCase {
    const char *before; /* script without faults (lab.h) */
    const char *word;   /* what is done: a word, or … */
    bool (*act)(Lab *lab, GError **error);
    void (*arrange)(Lab *lab); /* after the script */
    const char *name;          /* … of what act does */
    unsigned disks, speed;     /* 0: one disk, jobs that are done at once */
    unsigned cut;              /* `word` has died after that effect; what is done is its recovery */
    bool starts;               /* it may change whether the VM runs */
    bool gone;                 /* the VM is not defined any more when it is done */
};

/* All of them. */
const FaultCase *faults_cases(guint *count);
/* A lab in which @the can be done; *wrong says why not, yours. */
Lab *faults_prepare(const FaultCase *the, char **wrong);
/* Once; the model follows. */
bool faults_act(Lab *lab, const FaultCase *the, GError **error);
/* Is the VM of a case that undefines it gone? */
bool faults_is_gone(Lab *lab);
/* Whatever was left undone is done, and what came back as failed is removed. */
bool faults_recover(Lab *lab, const FaultCase *the, GError **error);
/* What users see of the VM, as a text that is the same for the same state; yours. */
char *faults_state(Lab *lab);

/* One run: @target is what goes wrong. */
typedef struct {
    const FaultCase *the;
    FaultTarget target;
    bool restart;     /* the daemon is started anew instead of asked again */
    const char *from; /* the state before, … */
    const char *done; /* … when all went well, … */
    const char *goal; /* … and when all that this left to do was done, too */
} FaultRun;

/* Which law is broken; NULL if none, yours. *out_hit: the fault came to be; *out_failed: the
 * operation said that it failed. */
char *faults_run(const FaultRun *run, bool *out_hit, bool *out_failed);

/* One request to an engine. */
typedef struct {
    const char *before;
    RequestKind kind;
    const char *name, *text;
    DomainState goal; /* what the VM does afterwards */
} FaultRequest;

/* The same for a request, with a VM of one disk; without its contents. */
char *faults_request(const FaultRequest *what, const FaultTarget *target, bool *out_hit);
