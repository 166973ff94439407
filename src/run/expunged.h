/* What an expunged VM leaves: its variable store, the state of its vTPM, and what is kept of it
 * beside its disks. All of that stands in the one step of its journal, which goes last: so whatever
 * dies in between, it is found again there. Calls block. */
#pragma once

#include "run/world.h"

/* Something that is still there, and why. */
typedef struct {
    char *path;
    GError *error;
} ExpungeLeft;

/* The journal of a VM that was expunged by this host and libvirt, and is not defined any more. */
typedef struct {
    char *home, *uuid;
    Journal *journal;
} Expunged;

/* What the step says of where it was undefined: this host, and which libvirt. Yours. */
char *expunge_host(const World *world);
/* Remove what @undefine, the step, names, and if all of that is gone, what is kept of @uuid in
 * @home (NULL: nothing is). A variable store that another VM's definition names is left to that
 * one. The store's lock is the caller's. What is still there: of ExpungeLeft, yours. */
GPtrArray *expunged_clean(const World *world, const char *home, const char *uuid,
                          const Step *undefine);
/* Those that are found in @homes (a set of directories): of Expunged, yours. */
GPtrArray *expunged_find(const World *world, GHashTable *homes);
/* expunged_clean under the store's lock, if the VM is still not defined. */
GPtrArray *expunged_finish(const World *world, const Expunged *expunged);
/* Is @path one of those that @expunged names? */
bool expunged_names(const Expunged *expunged, const char *path);
