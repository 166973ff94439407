/* Where decorated tables (hv/faulty.h, image/faulty.h, store/faulty.h) ask at every effect whether
 * something goes wrong. One Fault is shared by the three, so calls have one numbering. Thread-safe.
 */
#pragma once
#include "base/error.h"
#include <stdbool.h>

typedef enum {
    FAULT_NONE,
    FAULT_FAIL,       /* the n-th call fails with ERR_IO before it does anything; the rest work */
    FAULT_LOST,       /* the n-th call happens, and its answer is an error */
    FAULT_CUT_BEFORE, /* the program dies before the n-th call: it and every later one fail with
                         ERR_INTERRUPTED, no effect */
    FAULT_CUT_AFTER,  /* the program dies right after the n-th call took effect */
    FAULT_SLOW,       /* the n-th call hangs beyond every deadline, and is done then */
} FaultMode;

/* What goes wrong with one function of a table, and how. */
typedef struct {
    const char *member; /* "hv.define", "images.unlink", "files.sync"; borrowed */
    FaultMode mode;     /* a question has no effect: lost is as failed */
    unsigned call;      /* the n-th call of this function, from 1 */
    ErrorCode code;     /* the answer */
    bool hangs;         /* the answer comes when every deadline is over */
    bool stays;         /* so do all later calls of this function */
    unsigned times;     /* so many calls in a row go wrong; 0: one */
} FaultTarget;

typedef struct Fault Fault;
Fault *fault_new(void);
void fault_free(Fault *fault);
void fault_arm(Fault *fault, FaultMode mode,
               unsigned call);      /* calls are numbered from 1 after arming */
unsigned fault_calls(Fault *fault); /* effect calls since arming */
/* The same for one function of one table, of whatever kind; effects and questions are counted for
 * each. */
void fault_arm_member(Fault *fault, const FaultTarget *target);
unsigned fault_member_calls(Fault *fault, const char *member); /* since arming */
/* Called when a call hangs, holding nothing: for letting simulated time pass. */
void fault_on_hang(Fault *fault, void (*hang)(void *data), void *data);
bool fault_is_dead(Fault *fault); /* a cut happened */
/* Called right before each effect, by whoever makes it; NULL: nobody. Set while no effect is made.
 */
typedef void (*FaultWatch)(void *data);
void fault_watch(Fault *fault, FaultWatch watch, void *data);
/* For decorators. Before the effect: false with @error set if it must not happen. After: false with
 * @error set if the answer is lost. */
bool fault_before(Fault *fault, const char *what, GError **error);
bool fault_after(Fault *fault, const char *what, GError **error);
/* Before a question: only fault_arm_member makes it fail, or that the program is dead. */
bool fault_question(Fault *fault, const char *what, GError **error);
