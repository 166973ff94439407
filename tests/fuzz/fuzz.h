/* What the targets share. A target is one file with LLVMFuzzerTestOneInput: it takes any bytes, and
 * ends the program with a sentence where a promise of the code under test does not hold. Linked
 * with libFuzzer it is given new inputs, linked with corpus.c those of a directory. */
#pragma once

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program. */
void fuzz_fail(const char *file, int line, const char *format, ...)
    G_GNUC_PRINTF(3, 4) G_GNUC_NORETURN;
#define fuzz_check(condition, ...)                                                                 \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_fail(__FILE__, __LINE__, __VA_ARGS__);                                            \
    } while (0)

/* A text: the input up to its first NUL. Yours. */
char *fuzz_text(const uint8_t *data, size_t size);
/* The next line of the text at *@rest, without its newline; "" at the end. Yours. */
char *fuzz_line(const char **rest);
/* What may be shown: not empty, UTF-8, one line, nothing that a terminal would obey. */
void fuzz_sentence(const char *text);
/* An error of ours, with such a sentence. */
void fuzz_error(const GError *error);
/* A regular file with these bytes, the same one at each call; borrowed path. */
const char *fuzz_file(const uint8_t *data, size_t size);
