/* The parts of step_apply (step.h) that lie in files of their own. Inside plan/ only.
 *
 * Each changes @catalog, which is a copy, as @step says; false with ERR_INVALID if it does not fit.
 */
#pragma once

#include "plan/step.h"

/* Set @error: @step does not fit, because @what. Always false. */
bool step_misfit(const Step *step, GError **error, const char *what);

/* The snapshot that the step names, the disk of @id; NULL with @error if there is none. */
Snapshot *step_snapshot(const Step *step, const Catalog *catalog, GError **error);
Disk *step_disk(const Step *step, const Catalog *catalog, const char *id, GError **error);

/* apply-remove.c: what a removal does. */
bool apply_removing(const Step *step, Catalog *catalog, GError **error);
bool apply_hidden(const Step *step, Catalog *catalog, GError **error);
/* Of record-pivot and record-committed. */
bool apply_mark(const Step *step, Catalog *catalog, GError **error);
bool apply_merged(const Step *step, Catalog *catalog, GError **error);
bool apply_dropped(const Step *step, Catalog *catalog, GError **error);
bool apply_removed(const Step *step, Catalog *catalog, GError **error);
bool apply_failed(const Step *step, Catalog *catalog, GError **error);

/* apply-adopt.c: what adopt found. */
bool apply_found(const Step *step, Catalog *catalog, GError **error);
bool apply_layers(const Step *step, Catalog *catalog, GError **error);
bool apply_tree(const Step *step, Catalog *catalog, GError **error);
