/* What a start needs first (design 6): may this VM be started here, where is its variable store,
 * and has it to be made? Pure.
 *
 * Making it is libvirt's: it alone knows which template belongs to a firmware that it chooses at
 * each start. It makes every store that is not there, also one that was there yesterday, in the
 * place that the definition names, else among its own files. So before it is asked to start the VM
 * it is decided here whether that would lose variables, and which place the definition is to name.
 */
#pragma once

#include "model/vars.h"
#include "plan/planner.h"

/* Where else to look before it is decided; NULL: there is nothing to be seen. */
typedef struct {
    char *loader; /* the firmware that the definition names */
    char *beside; /* where the variables are made if nothing names a place: beside the root disk */
} StartPlaces;
void start_places(const Observation *observation, const Catalog *catalog, StartPlaces *out_places);
void start_places_clear(StartPlaces *places);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(StartPlaces, start_places_clear)

/* What was seen there. */
typedef struct {
    bool loader;      /* it is there */
    VarsState beside; /* VARS_MISSING, or what is there */
} StartFacts;

typedef struct {
    const char *store; /* where the variables will be; borrowed from the observation or the places;
                          NULL: there are none, or nobody knows */
    bool stated;       /* the definition has to name that place first */
    bool made;         /* it is not there: who starts the VM makes it */
} StartDecision;

/* @observation: of a VM that is off, with what was seen of its firmware. Refuses, with a sentence
 * that says what to do:
 * ERR_UNSUPPORTED what this host cannot do or we do not (NV-17), ERR_IO a store that is not ready
 * (NV-05), ERR_NOT_FOUND a store or a vTPM's state that was there and is gone (NV-24). */
bool start_decide(const Observation *observation, const Catalog *catalog, const StartPlaces *places,
                  const StartFacts *facts, StartDecision *out_decision, GError **error);
