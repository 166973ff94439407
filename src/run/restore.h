/* The steps of a revert beside the disks, and what removes sidecars: variables and vTPM state of a
 * snapshot take the place of the VM's own. */
#pragma once
#include "run/vm-private.h"

/* Are the sidecars of @snapshot there, and what they were (S-29, S-30)? Nothing is changed. */
bool restore_verify(Operation *op, const Snapshot *snapshot, GError **error);

/* Steps: as docs/journal-format.md says. */
bool restore_place_vars(Operation *op, const Step *step, GError **error);
bool restore_stage_tpm(Operation *op, const Step *step, GError **error);
/* Also where the VM has no state yet. */
bool restore_exchange_tpm(Operation *op, const Step *step, GError **error);
/* ERR_BUSY if there is something to return and the VM is not off. */
bool restore_return_tpm(Operation *op, const Step *step, GError **error);
bool restore_drop_state(Operation *op, const Step *step, GError **error);
bool restore_drop_sidecar(Operation *op, const Step *step, GError **error);

/* @step failed with @failure. If it only removes what nothing needs any more, that is said in a
 * warning and to who waits, and true: it stops nothing. */
bool restore_may_be_left(Operation *op, const Step *step, const GError *failure);
