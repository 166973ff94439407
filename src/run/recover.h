/* Recovery: planning again from the journal and from what is observed. */
#pragma once
#include "run/vm-private.h"

/* If the store has an open journal, undo or push on its plan and clear it. Nothing to do otherwise.
 */
bool recover_open_journal(Operation *op, GError **error);
/* The operation's own plan broke off: look again and do what the chain decides, then clear the
 * journal. On failure it stays open for the next operation. */
bool recover_own_plan(Operation *op, GError **error);
