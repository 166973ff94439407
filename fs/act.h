/* From a FUSE request to a request of the engine and back: sends it, passes interrupts on, answers
 * when it is done. */
#pragma once

#include "fs/nodes.h"
#include "fs/sweep.h"

Actions *actions_new(Face *face);
/* After the last answer. */
void actions_free(Actions *actions);

Caller act_caller(fuse_req_t req);

/* How to answer. @reply is called on success only, after the engine's view shows the result; it
 * must answer @req. */
typedef struct {
    void (*reply)(Face *face, fuse_req_t req, void *data); /* NULL: success without anything */
    void *data;
    GDestroyNotify free_data;
    int (*errno_of)(const GError *error); /* NULL: errmap_errno */
    bool arms_guard;                      /* a refusal counts as one outside snapshots/ (sweep.h) */
    bool holds_root;                      /* and so the directory of all VMs */
    bool holds_directory; /* the kernel holds a directory of the VM until the answer: park its
                             notifications */
} Answer;

/* Send @request (taken) for @req; @operation is taken too. Consumes answer.data. */
void act_submit(Face *face, fuse_req_t req, Request *request, char *operation, Answer answer);

/* Answer @req with a refusal of our own and write it into `errors` of the VM @uuid ("": only the
 * host's). */
void act_refuse(Face *face, fuse_req_t req, const char *uuid, const char *operation, int err,
                const GError *error);

/* "mkdir web01/snapshots/x", on one line whatever is in the names. New string. */
char *act_operation(const char *verb, const Node *node, const Place *place, const char *name);
