#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    /* A library that is called wrongly says so, and goes on: here it ends. */
    g_log_set_always_fatal((GLogLevelFlags)(G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL));
    return 0;
}

void fuzz_fail(const char *file, int line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "%s:%d: ", file, line);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

char *fuzz_text(const uint8_t *data, size_t size)
{
    return g_strndup((const char *)data, size);
}

char *fuzz_line(const char **rest)
{
    size_t length = strcspn(*rest, "\n");
    char *line = g_strndup(*rest, length);

    *rest += length + ((*rest)[length] == '\n');
    return line;
}

void fuzz_sentence(const char *text)
{
    fuzz_check(text && *text, "a message is empty");
    fuzz_check(g_utf8_validate(text, -1, NULL), "a message is not UTF-8: %s", text);
    for (const char *c = text; *c; c = g_utf8_next_char(c))
        fuzz_check(!g_unichar_iscntrl(g_utf8_get_char(c)), "a message has control characters: %s",
                   text);
}

void fuzz_error(const GError *error)
{
    fuzz_check(error, "it failed without an error");
    fuzz_check(error->domain == VMSNAPFS_ERROR, "an error of another domain: %s", error->message);
    fuzz_sentence(error->message);
}

static char *file_path;

static void remove_file(void)
{
    unlink(file_path);
}

/* A name in a directory: what has none, as a memory file, is not believed to be an image. */
static int make_file(void)
{
    int fd;

    file_path = g_build_filename(g_get_tmp_dir(), "vmsnapfs-fuzz-XXXXXX", NULL);
    fd = g_mkstemp_full(file_path, O_RDWR | O_CLOEXEC, 0600);
    fuzz_check(fd >= 0 && atexit(remove_file) == 0, "no file can be made at %s", file_path);
    return fd;
}

const char *fuzz_file(const uint8_t *data, size_t size)
{
    static int fd = -1;

    if (fd < 0)
        fd = make_file();
    fuzz_check(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size,
               "the file cannot be written");
    return file_path;
}
