/* What several planners ask before they plan: refusals with their sentences, ids, room. Inside
 * plan/ only.
 *
 * Every check_ function returns true if all is well, else false with @error set. */
#pragma once

#include "base/error.h"
#include "plan/planner.h"

/* Set @error; always false. */
bool refuse(GError **error, ErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The VM's name for sentences. Borrowed. */
const char *observation_name(const Observation *observation);
/* Did libvirt lose track of @disk of the running VM? A new sentence that says so and what to do, or
 * NULL. */
char *observation_lost_disk(const Observation *observation, const DomainDisk *disk);
/* Does the chain of @path (as observation_chain gives it) hold @file? */
bool observation_chain_has(const Observation *observation, const char *path, const char *file);

bool check_persistent(const Observation *observation, GError **error);
/* ERR_DRIFT with the first sentence of plan_drift. */
bool check_no_drift(const Catalog *catalog, const Observation *observation, GError **error);
/* The same, but for pivots that nobody has seen the end of: a removal finds out. */
bool check_chains(const Catalog *catalog, const Observation *observation, GError **error);
/* drift.c: plan_drift without them. */
char *drift_of_chains(const Catalog *catalog, const Observation *observation);
/* Live and persistent definition name the same files on all included disks (rule 7). */
bool check_same_disks(const Observation *observation, GError **error);
/* No backup, migration or dump on the VM, and it is not between two states. */
bool check_settled_state(const Observation *observation, GError **error);
/* No block job on @disk of the running VM. */
bool check_no_block_job(const Observation *observation, const DomainDisk *disk, GError **error);
bool check_no_managed_save(const Observation *observation, GError **error);
/* The host can do what the state needs that is kept with @snapshot (S-31, U-31, U-36, U-37). @what:
 * what cannot be done with it else ("removed"). */
bool check_sidecar_gates(const Observation *observation, const Snapshot *snapshot, const char *what,
                         GError **error);
/* Rule 10 on one included disk: its definition and the headers of its whole chain. */
bool check_disk(const Observation *observation, const DomainDisk *disk, GError **error);
/* What a qcow2 image has that this does not work with; a part of a sentence, or NULL. */
const char *image_unsupported(const ImageFacts *facts);
/* Why the image, used as @format, cannot take part in anything; likewise. */
const char *image_problem(const ImageFacts *facts, const char *format);
/* What the definition states below the disk is what the headers say (rule 7). */
bool check_stated_chain(const Observation *observation, const DomainDisk *disk, GError **error);

/* Rule 11: nobody else uses the layers of @disk that removing @snapshot would write to or unlink:
 * its own and that of its dependant. ERR_BUSY names who does. */
bool check_disk_unused(const Observation *observation, const Snapshot *snapshot, const Disk *disk,
                       GError **error);
/* The same on all disks of @snapshot. */
bool check_unused(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot,
                  GError **error);

/* A step that warns on the snapshot @id that a revert left @path, which @who uses; yours. */
Step *kept_warning(const char *id, const char *path, const char *who);

/* Room that a plan takes, by directory. */
typedef struct {
    char *directory;
    uint64_t bytes;
} RoomNeed;
GPtrArray *room_new(void); /* of RoomNeed */
void room_add(GPtrArray *room, const char *path, uint64_t bytes);
bool check_room(const Observation *observation, const GPtrArray *room, GError **error);
#define OVERLAY_ROOM (1024 * 1024) /* what an empty overlay takes at most */

/* Ids that the catalog does not know, from the caller's randomness, in order. */
typedef struct {
    const Catalog *catalog;
    const Observation *observation;
    const uint64_t *random; /* 64 */
    unsigned used;
    GHashTable *given;
} IdSource;
void ids_init(IdSource *ids, const Catalog *catalog, const Observation *observation,
              const uint64_t *random);
void ids_clear(IdSource *ids);
char *ids_next(IdSource *ids);
/* A layer's id, with the path of an overlay beside @covered that does not exist yet. */
char *ids_next_layer(IdSource *ids, const char *covered, char **out_path);
