/* What qemu-img prints: progress on standard output, complaints, with names of files in them, on
 * standard error. The input is its status, what it prints on the one up to the first line "--", and
 * on the other. */
#include "base/subprocess.h"
#include "fuzz.h"
#include <string.h>

static SubprocessResult *fuzz_run(const char *const *argv, const int *writable,
                                  SubprocessWatch watch, void *data, GError **error);

/* It runs what the input says instead of qemu-img. */
#define subprocess_run fuzz_run
#define g_usleep(time) ((void)(time))
#include "image/tool.c"

static const uint8_t *input;
static size_t input_size;

static SubprocessResult *fuzz_run(const char *const *argv, const int *writable,
                                  SubprocessWatch watch, void *data, GError **error)
{
    SubprocessResult *result = g_new0(SubprocessResult, 1);
    g_autofree char *text = fuzz_text(input + 1, input_size - 1);
    char *complaint = strstr(text, "\n--\n");

    if (complaint) {
        *complaint = '\0';
        complaint += strlen("\n--\n");
    }
    result->out = g_utf8_make_valid(text, -1);
    result->err = g_utf8_make_valid(complaint ? complaint : "", -1);
    result->status = input[0];
    if (watch) {
        g_auto(GStrv) pieces = g_strsplit_set(text, "\r\n", -1);

        for (char **piece = pieces; *piece && !result->stopped; piece++)
            result->stopped = !watch(*piece, data);
    }
    return result;
}

static bool see_progress(uint64_t done, uint64_t total, void *data)
{
    fuzz_check(done <= total, "%" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " are done", done,
               total);
    return ++*(unsigned *)data < 64;
}

static void check(bool ok, const GError *error)
{
    fuzz_check(ok == (input[0] == 0), "it ended with status %u", input[0]);
    if (!ok)
        fuzz_error(error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) commit = NULL, create = NULL, rebase = NULL;
    unsigned seen = 0;

    if (size == 0)
        return 0;
    input = data;
    input_size = size;
    bool committed = tool_commit(-1, "/i/top", "qcow2", -1, "/i/base", (uint64_t)1 << 60, 0,
                                 see_progress, &seen, &commit);
    bool created = tool_create(-1, "/i/new", "/i/base", "qcow2", 4096, &create);
    bool rebased = tool_rebase(-1, "/i/top", "/i/base", "qcow2", &rebase);
    check(committed, commit);
    check(created, create);
    check(rebased, rebase);
    return 0;
}
