/* What is so, now: libvirt's definitions, the headers of the files they name, block jobs, free
 * space. */
#pragma once
#include "run/world.h"

/* Only in which state it is. */
bool observe_state(const World *world, const char *uuid, DomainState *out_state, GError **error);
/* State, definitions and foreign work of the domain; no files, no jobs. Yours. @out_name (may be
 * NULL): its name now. */
Observation *observe_domain(const World *world, const char *uuid, char **out_name, GError **error);
/* ERR_UNSUPPORTED if a disk of @domain is in the tree that this program serves, where neither we
 * nor libvirt nor QEMU can use it without waiting for us. */
bool observe_check_reach(const Domain *domain, GError **error);
/* The rest of an observation: every file of @catalog and of the definitions' chains, block jobs,
 * free space. */
bool observe_files(const World *world, const char *uuid, const Catalog *catalog,
                   Observation *observation, GError **error);
