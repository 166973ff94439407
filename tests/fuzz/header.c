/* Headers of images, of which a guest may have written any byte. */
#include "fuzz.h"
#include "image/header.h"

#include <string.h>

static void check_facts(const ImageFacts *facts, const uint8_t *data, size_t size)
{
    bool magic = size >= 8 && !memcmp(data, "QFI\xfb", 4);

    fuzz_check(facts->exists && facts->probed, "it was not looked at");
    fuzz_check(!strcmp(facts->probed, "raw") || magic, "it has no header, and is %s",
               facts->probed);
    if (!strcmp(facts->probed, "raw")) {
        fuzz_check(!facts->backing && !facts->backing_format, "a raw image has a backing file");
        fuzz_check(facts->capacity == size, "a raw image has another size");
    }
    if (facts->error)
        fuzz_sentence(facts->error);
    else
        fuzz_check(facts->capacity <= INT64_MAX, "an impossible size is no error");
    fuzz_check(!facts->backing || facts->backing[0] == '/', "a relative backing file: %s",
               facts->backing);
    fuzz_check(!facts->backing_format || strlen(facts->backing_format) < 16, "a long format");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ImageFacts *facts = header_inspect(fuzz_file(data, size));

    check_facts(facts, data, size);
    image_facts_free(facts);
    return 0;
}
