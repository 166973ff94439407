/* What a revert does beside the disks: UEFI variables and vTPM state come back from the snapshot's
 * sidecars (rule 9). Inside plan/ only. */
#pragma once

#include "plan/checks.h"

/* What the sidecars of a snapshot come back to. */
typedef struct {
    const Snapshot *snapshot;
    char *vars, *store; /* where the variables are, and will be; NULL: there are none */
    char *tpm, *staged; /* the vTPM's state, and where the snapshot's waits for the exchange; NULL:
                           there is none */
    bool vars_there;    /* the variables are where they should be */
} StateTurn;
StateTurn *state_turn_new(const Catalog *catalog, const Observation *observation,
                          const Snapshot *snapshot, IdSource *ids);
void state_turn_free(StateTurn *turn);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateTurn, state_turn_free)

/* Has @snapshot what the VM needs now, and nothing that it cannot take (S-30)? Can the host do it?
 */
bool check_state(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot,
                 GError **error);
/* What comes before the redefinition; @like: a file whose owner and mode a missing store gets. */
void state_turn_add_before(const StateTurn *turn, Plan *plan, const char *like);
/* The old store and the old state go. */
void state_turn_add_farewell(const StateTurn *turn, const Observation *observation, Plan *plan);
