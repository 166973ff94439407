/* What is seen of a VM's UEFI variables and of its vTPM's state. */
#pragma once
#include "run/world.h"

/* Fills @observation->vars and ->tpm, of definitions and capabilities that are there already. Never
 * fails: what cannot be read says so. */
void observe_firmware(const World *world, const Catalog *catalog, Observation *observation);
/* What is in the directory @path, of StateFile; once more if it changes meanwhile. ERR_NOT_FOUND.
 */
GPtrArray *observe_tpm_state(const World *world, const char *path, GError **error);
