/* The mark that QEMU is asked to pivot (decisions/0022): durable before it is asked, gone with the
 * record of the merge. What may overwrite one of the two files asks here first. */
#pragma once
#include "run/vm-private.h"

/* QEMU is about to be asked to go on from @base on the disk of that id. */
bool pivot_note(Operation *op, const char *disk_id, const char *base, GError **error);
/* It is known that it did not. What cannot be written stays in doubt, and is only logged. */
void pivot_forget(Operation *op, const char *disk_id);
/* The VM runs, without a job on the disk: ERR_DRIFT if the commit @step may spoil what a pivot is
 * in doubt about. */
bool pivot_check_live(Operation *op, const Step *step, GError **error);
/* The VM does not run on what the commit @step is about. If that may spoil what a pivot is in doubt
 * about, both files are compared: the same, and there is none any more; else ERR_DRIFT. */
bool pivot_settle(Operation *op, const Step *step, GError **error);
