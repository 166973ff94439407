/* What a guest agent answers, which a guest may choose. */
#include "fuzz.h"
#include "hv/agent-reply.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *reply = fuzz_text(data, size);
    g_autoptr(GError) error = NULL;
    bool frozen = true;

    if (agent_reply_frozen(reply, &frozen, &error)) {
        fuzz_check(strchr(reply, '{') && strchr(reply, '}'), "no answer was taken for one");
        return 0;
    }
    fuzz_error(error);
    fuzz_check(frozen, "a refused answer was written");
    return 0;
}
