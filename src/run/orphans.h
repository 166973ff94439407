/* Files that are ours and that nothing refers to any more (design 4): what a program that died
 * between two steps left, what could not be removed after an operation, or what a person took out
 * of a chain by hand.
 *
 * Looked through are the directories of the known VMs' catalogs and layers, variable stores and
 * vTPM state, and those of the configuration. Ours is
 * - an overlay named as rule 13 says whose backing files end up in a layer of a known catalog, and
 *   the temporary file of such an overlay;
 * - a variable store beside the one that a known catalog names, with its name but for an id of
 *   ours (NV-14), or without one if that has one;
 * - a vTPM's directory beside a known VM's, named with an id of ours;
 * - a sidecar beside a catalog: the files of one id together, under the name of one of them.
 * It is an orphan if no catalog or journal of those directories, no definition of any domain (live,
 * persistent or saved, and what lies below by header) and no header of an image there names it; a
 * sidecar, if the catalog beside it does not have its id. Where anything of that cannot be seen,
 * nothing is an orphan. Calls block. */
#pragma once

#include "engine.h"
#include "run/vm.h"

void orphan_view_free(OrphanView *orphan);

/* The orphans of @vms (of Vm *, opened): of OrphanView, by name; yours. NULL if something could not
 * be seen: the sentence says what. */
GPtrArray *orphans_find(const World *world, const GPtrArray *vms, GError **error);
/* Remove @path after another look. ERR_BUSY if something refers to it, or a VM has it open. */
bool orphans_remove(const World *world, const GPtrArray *vms, const char *path, GError **error);
