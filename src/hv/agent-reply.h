/* What a guest agent said, which may be anything. Inside hv/ and its tests only. */
#pragma once

#include "base/error.h"
#include <stdbool.h>

/* The answer to guest-fsfreeze-status. ERR_IO with a sentence part if it is none: an error of the
 * agent, no JSON, another type, another word, too long. */
bool agent_reply_frozen(const char *reply, bool *out_frozen, GError **error);
