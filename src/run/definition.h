/* Changing a domain's definition, and reading what a disk's live chain is (rules 7, 8, 14). */
#pragma once
#include "run/vm-private.h"

/* Where the chain of a disk stands while its merge of @top into @base is under way; @between: the
 * files (char *) that go with it. */
typedef enum {
    CHAIN_MERGED, /* top and what is between are out of it, base is in */
    CHAIN_PARTLY, /* top is out, but not all that is between */
    CHAIN_BEFORE, /* top is still in it */
    CHAIN_OFF, /* the VM does not run any more, or again: it is not the run that was planned for */
    CHAIN_FOREIGN, /* neither: somebody changed it */
} ChainState;
bool definition_live_chain(Operation *op, const char *target, const char *top,
                           const GPtrArray *between, const char *base, ChainState *out_state,
                           GError **error);

/* Make @change in the persistent definition, read it again and compare the rest. If the
 * VM turns out to have started meanwhile on the old files, the change is taken back: ERR_BUSY. */
bool definition_switch(Operation *op, const DomainChange *change, GError **error);
/* Store the persistent definition with @change again, also if it says so already: libvirt may not
 * have stored what a live snapshot or a pivot changed, and writes explicit chains that go stale. */
bool definition_settle(Operation *op, const DomainChange *change, GError **error);
/* The persistent definition as it is; yours. */
char *definition_text(Operation *op, GError **error);
/* Store @before, as definition_text gave it, again. A failure is only said in the log. */
void definition_put_back(Operation *op, const char *before);
/* Does the live definition have each switched disk on its path? Sets no error on a plain no.
 * *out_state: of the VM, then. */
bool definition_live_has(Operation *op, const GPtrArray *switches, bool *out_has,
                         DomainState *out_state, GError **error);
