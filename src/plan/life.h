/* A VM's own life, its name and its end: may it be changed now? Pure; refusals with their
 * sentences. */
#pragma once

#include "plan/planner.h"

/* May the VM get another name? Off (ERR_BUSY), persistent, nothing of libvirt's hanging on it. */
bool plan_check_rename(const Observation *observation, GError **error);
/* Undefine the VM: one step, which names what goes with it. Off, and without snapshots, hidden ones
 * included (ERR_BUSY). @host: the name of this one, whose files the step names. */
Plan *plan_expunge(const Catalog *catalog, const Observation *observation, const char *host,
                   GError **error);
