/* Run one program to its end and keep what it printed. Never through a shell: arguments are passed
 * as they are.
 *
 * The program runs in the C locale with an empty standard input, inherits no descriptor and of the
 * environment only PATH, and is killed when this process dies, so that nothing goes on writing to
 * an image that nobody watches. */
#pragma once

#include "base/error.h"
#include <stdbool.h>

#define SUBPROCESS_KEPT 65536 /* bytes kept of each stream: the last ones */

/* Called from the waiting thread at least four times a second. @piece is the newest text on
 * standard output that "\r" or
 * "\n" ended since the last call (progress lines), NULL if there was none. Returns false to have
 * the program killed. */
typedef bool (*SubprocessWatch)(const char *piece, void *data);

typedef struct {
    int status;   /* exit status; 128 + the signal's number if a signal ended it */
    bool stopped; /* it was killed because the watch said so */
    char *out;    /* standard output, its last SUBPROCESS_KEPT bytes; valid UTF-8 */
    char *err;    /* standard error, likewise */
} SubprocessResult;

/* Run @argv (NULL-terminated; argv[0] is looked up in PATH) and wait for it. @writable:
 * descriptors, ended by -1, of the files that it may write (base/confine.h); NULL: what it likes.
 * @watch may be NULL. NULL with @error only if the program could not be started; how it ended is in
 * the result, which is the caller's. */
SubprocessResult *subprocess_run(const char *const *argv, const int *writable,
                                 SubprocessWatch watch, void *data, GError **error);
void subprocess_result_free(SubprocessResult *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SubprocessResult, subprocess_result_free)

/* The last line of @text that is not empty; new string, "" if there is none. */
char *subprocess_last_line(const char *text);
