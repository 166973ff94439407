/* Which disk of a definition is which disk of the catalog. Inside plan/ only.
 *
 * A disk is known by the file that it runs on: its active layer's. A merge of the active layer that
 * was done and not yet recorded leaves it on a layer below instead, so that one counts, too, if the
 * catalog has announced it (docs/decisions/0026): anything else there is somebody's old definition,
 * which is drift. */
#pragma once

#include "plan/planner.h"

/* The layer at @path that @layer may have been merged into without a record of it: below @layer,
 * and from there up to it every layer's snapshot is being removed (or this failed), whose merge has
 * begun, and nothing else depends on it. NULL if there is none. */
Layer *match_merged_into(const Catalog *catalog, const Disk *disk, const Layer *layer,
                         const char *path);

/* The disk of @domain that is @disk, NULL if it has none. *out_merged (may be NULL): it runs on
 * what its active layer was merged into. */
const DomainDisk *match_in_domain(const Catalog *catalog, const Domain *domain, const Disk *disk,
                                  bool *out_merged);
/* Does the running VM or its persistent definition have @disk on what its active layer was merged
 * into? */
bool match_is_merged(const Catalog *catalog, const Observation *observation, const Disk *disk);
/* The other way round. */
Disk *match_in_catalog(const Catalog *catalog, const DomainDisk *source, bool *out_merged);
/* The last image of the chain of @source, if it cannot be read, so that nobody knows whether the
 * chain goes on; else NULL. */
const ImageFacts *match_unreadable(const Observation *observation, const DomainDisk *source);
/* Does the chain of any disk of @domain that is not @disk hold a layer of @disk, or may it, as far
 * as it can be read? The first such disk, or NULL. */
const DomainDisk *match_stranger(const Catalog *catalog, const Observation *observation,
                                 const Domain *domain, const Disk *disk);
