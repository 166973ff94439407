/* What a view shows of a VM's UEFI variables and vTPM: nvram/, tpm/, and the files that snapshots
 * keep of them. */
#pragma once

#include "engine.h"
#include "run/world.h"

/* @observation NULL: it was not looked at yet; @catalog may be NULL then. */
VarsView *vars_view_of(const Observation *observation, const Catalog *catalog);
TpmView *tpm_view_of(const Observation *observation);
VarsView *vars_view_copy(const VarsView *view);
TpmView *tpm_view_copy(const TpmView *view);
void vars_view_free(VarsView *view);
void tpm_view_free(TpmView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VarsView, vars_view_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TpmView, tpm_view_free)

/* The files in the vTPM sidecar of @snapshot, of StateFileView, yours; empty if it has none or it
 * is spoiled. */
GPtrArray *tpm_files_look(Files *files, const char *home, const char *uuid,
                          const Snapshot *snapshot);
