/* A VM's own life, its name and its end: may it be changed now? Pure; refusals with their
 * sentences. */
#pragma once

#include "plan/planner.h"

/* May the VM get another name? Off (ERR_BUSY), persistent, nothing of libvirt's hanging on it. */
bool plan_check_rename(const Observation *observation, GError **error);
