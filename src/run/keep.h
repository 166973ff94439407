/* Copying the UEFI variables and the vTPM's state for a snapshot (design 6; store/sidecar.h).
 *
 * What is copied while the guest stands still costs a copy in memory and one in the page cache.
 * Checksums, and making it durable, wait until it goes on. Without both the snapshot is not whole,
 * and is recorded as failed. */
#pragma once
#include "run/vm-private.h"

/* Before anything is begun: the place for the copies that @plan makes. */
bool keep_prepare(Operation *op, const Plan *plan, GError **error);
bool keep_vars(Operation *op, const Step *step, GError **error);
bool keep_tpm(Operation *op, const Step *step, GError **error);
/* The guest goes on: the journal's `record-create` gets sizes and checksums. */
void keep_note(Operation *op);
/* A step `sync-sidecar`. */
bool keep_sync(Operation *op, const Step *step, GError **error);
/* @create: `record-create` as it came to be. */
void keep_judge(const Operation *op, Step *create);
/* False, with a sentence, if the snapshot @name is there and is not whole. */
bool keep_check_whole(const Operation *op, const char *name, GError **error);
void keep_clear(Kept *kept);
