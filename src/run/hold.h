/* Holding the guest for an operation, frozen (freeze.h) and suspended, and letting it go whatever
 * happens (design 3, "Running VM, in order").
 *
 * While it is held nothing is written or looked at that can wait. On every way out it is resumed
 * first and thawed then, since a suspended guest hears nothing. A guest that was paused by its
 * owner stays so: it is neither suspended nor resumed. */
#pragma once
#include "run/vm-private.h"

/* A step `suspend`. One that its owner has paused meanwhile is left alone, and that is no error. */
bool hold_suspend(Operation *op, GError **error);
/* Resume and thaw what is held; nothing to do for another. A failure is a warning on the snapshot
 * to be (hold_warn), and an error for who undoes (hold_check). */
void hold_release(Operation *op);
/* The guest is held: do not linger. */
bool hold_is_held(const Operation *op);
/* A step failed: nothing more is known of how the disks switched. @before: the commit point may not
 * have been reached. Releases. */
void hold_fail(Operation *op, bool before);
/* False while the guest may still be paused by us. */
bool hold_check(const Operation *op, GError **error);
/* The VM is in @state when its disks have switched: one that its owner had paused may go on again.
 */
void hold_look_back(Operation *op, DomainState state);
/* @create: `record-create` as it came to be. */
void hold_judge(const Operation *op, Step *create);
/* @create is recorded: the snapshot's warnings as well, and who waits for the operation is told. */
void hold_warn(Operation *op, const Step *create);
/* What a program that died, or lost its libvirt, or could not resume it, left suspended goes on:
 * before anything else is done about @journal. */
bool hold_recover(Operation *op, const Journal *journal, GError **error);
void hold_clear(Operation *op);
