/* Tells the kernel what changed behind its back, so that it need not ask.
 *
 * A notification about a name waits for the directory's lock, which the kernel holds while a mkdir,
 * rmdir, rename or symlink in it is unanswered. So names are notified from a thread of its own;
 * those of a VM with such an operation under way are parked until it is answered; and no answer
 * ever waits for a notification (design 2.4). Thread-safe. */
#pragma once

#include "fs/face.h"

Notifier *notifier_new(Face *face);
/* While the session still answers: a notification may be waiting for an answer. */
void notifier_stop(Notifier *notifier);
void notifier_free(Notifier *notifier);

/* Some view was replaced. */
void notifier_changed(Notifier *notifier);
/* An operation that holds a directory of the VM begins; is answered. @uuid "": that of all VMs. */
void notifier_park(Notifier *notifier, const char *uuid);
void notifier_unpark(Notifier *notifier, const char *uuid);
