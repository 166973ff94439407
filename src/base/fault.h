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
} FaultMode;

typedef struct Fault Fault;
Fault *fault_new(void);
void fault_free(Fault *fault);
void fault_arm(Fault *fault, FaultMode mode,
               unsigned call);      /* calls are numbered from 1 after arming */
unsigned fault_calls(Fault *fault); /* effect calls since arming */
bool fault_is_dead(Fault *fault);   /* a cut happened */
/* Called right before each effect, by whoever makes it; NULL: nobody. Set while no effect is made.
 */
typedef void (*FaultWatch)(void *data);
void fault_watch(Fault *fault, FaultWatch watch, void *data);
/* For decorators. Before the effect: false with @error set if it must not happen. After: false with
 * @error set if the answer is lost. */
bool fault_before(Fault *fault, const char *what, GError **error);
bool fault_after(Fault *fault, const char *what, GError **error);
