/* A small process that outlives us: it thaws and resumes the guests that we held when we died
 * (design 3, "Running VM, in order").
 *
 * It reads from a pipe what is held. When the pipe ends it makes a connection to libvirt of its
 * own, unless nothing is held, does what is to be done for up to half a minute, and ends. That
 * libvirt may then be busy: with the embedded driver it has the root directory meanwhile. Whatever
 * it did, the next daemon asks the guest again, as the catalog tells it. */
#pragma once
#include "hv/hypervisor.h"

typedef struct Guardian Guardian;

typedef enum { GUARDIAN_THAW = 1, GUARDIAN_RESUME = 2 } GuardianDuty;

/* Forks; no thread may be there yet. */
Guardian *guardian_new(const char *uri, GError **error);
/* It goes when what is held is seen to. */
void guardian_free(Guardian *guardian);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guardian, guardian_free)

/* From any thread; @guardian may be NULL. To be called before the guest is frozen or suspended, and
 * after it was seen thawed or running. */
void guardian_hold(Guardian *guardian, const char *uuid, GuardianDuty duty);
void guardian_release(Guardian *guardian, const char *uuid, GuardianDuty duty);

/* The inside, for tests: what a line of the pipe means for @held (uuid → duties); false if it is no
 * such line. */
bool guardian_note(GHashTable *held, const char *line);
/* Try once to do what is held; what was done, or cannot be any more, is not held any longer. True
 * if nothing is left. */
bool guardian_mend(Hypervisor *hv, GHashTable *held);
