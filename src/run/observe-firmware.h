/* What is seen of a VM's UEFI variables and of its vTPM's state. */
#pragma once
#include "run/world.h"

/* Fills @observation->vars and ->tpm, of definitions and capabilities that are there already. Never
 * fails: what cannot be read says so. */
void observe_firmware(const World *world, const Catalog *catalog, Observation *observation);
/* The content of the variable store @path, yours: a store, or nothing yet. ERR_NOT_FOUND. What else
 * stands there is somebody's file, for a definition may name any: ERR_UNSUPPORTED by name, and it
 * is neither shown, replaced nor removed. Nor is what snapshots keep. @known: where the catalog
 * knows a store of this VM, which is that also when it is spoiled; may be NULL. */
GBytes *observe_vars(const World *world, const char *path, const char *known, GError **error);
/* What is in the directory @path, of StateFile; once more if it changes meanwhile. ERR_NOT_FOUND.
 */
GPtrArray *observe_tpm_state(const World *world, const char *path, GError **error);
