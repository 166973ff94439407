/* The journal: what is read is written as it was. */
#include "fuzz.h"
#include "store/store.h"

#include <string.h>

static void round_trip(Journal *journal)
{
    g_autofree char *text = journal_to_yaml(journal);
    g_autoptr(GError) error = NULL;
    g_autoptr(Journal) again = journal_from_yaml(text, strlen(text), &error);
    g_autofree char *same = NULL;

    fuzz_check(again, "what was written cannot be read: %s: %s", error->message, text);
    fuzz_check(!strcmp(journal->operation, again->operation), "another operation: %s", text);
    same = journal_to_yaml(again);
    fuzz_check(!strcmp(text, same), "written twice it differs: %s%s", text, same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Journal) journal = journal_from_yaml((const char *)data, size, &error);

    if (!journal) {
        fuzz_error(error);
        return 0;
    }
    fuzz_check(journal->done->len == journal->plan->steps->len, "not a mark for each step");
    fuzz_check(journal->plan->commit <= journal->plan->steps->len, "the commit point is outside");
    round_trip(journal);
    return 0;
}
