/* fuzz-TARGET FILE|DIRECTORY…: what libFuzzer's main does with files, for the ordinary build: each
 * is given to the target once. Prints how many. */
#include "fuzz.h"

#include <stdio.h>

static unsigned run_file(const char *path)
{
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    gsize size = 0;

    if (!g_file_get_contents(path, &data, &size, &error))
        fuzz_fail(__FILE__, __LINE__, "%s", error->message);
    /* A copy of just that size: reading beyond it is seen by a sanitizer. */
    g_autofree uint8_t *copy = g_memdup2(data, size);
    LLVMFuzzerTestOneInput(copy, size);
    return 1;
}

static unsigned run(const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned count = 0;

    if (!directory)
        return run_file(path);
    while ((name = g_dir_read_name(directory))) {
        g_autofree char *child = g_build_filename(path, name, NULL);

        printf("# %s\n", child);
        fflush(stdout);
        count += run_file(child);
    }
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        count += run(argv[i]);
    printf("%u inputs\n", count);
    return 0;
}
