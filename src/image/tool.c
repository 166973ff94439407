#include "image/tool.h"
#include "base/subprocess.h"

#include <inttypes.h>
#include <string.h>

#define BUSY_TRIES 6
#define BUSY_MS    200

typedef struct {
    uint64_t done, total;
    ImageProgress progress; /* may be NULL */
    void *data;
} Watch;

/* A piece of `-p` is "    (12.34/100%)". */
static bool watch_progress(const char *piece, void *data)
{
    Watch *watch = data;
    const char *number = piece ? strchr(piece, '(') : NULL;

    if (number) {
        double percent = g_ascii_strtod(number + 1, NULL);

        if (percent >= 0.0 && percent < 100.0) /* no number at all is neither */
            watch->done = (uint64_t)(percent / 100.0 * (double)watch->total);
        else if (percent >= 100.0)
            watch->done = watch->total;
    }
    return !watch->progress || watch->progress(watch->done, watch->total, watch->data);
}

static ErrorCode code_of_complaint(const char *text, const char *last_line)
{
    if (g_str_has_suffix(last_line, "No space left on device") ||
        g_str_has_suffix(last_line, "Disk quota exceeded"))
        return ERR_NO_SPACE;
    if (g_str_has_suffix(last_line, "Read-only file system"))
        return ERR_READ_ONLY;
    if (g_str_has_suffix(last_line, "Permission denied"))
        return ERR_ACCESS;
    if (strstr(text, "Is another process using the image [") ||
        strstr(text, "Failed to lock byte "))
        return ERR_BUSY;
    return ERR_IO;
}

/* All that it says, on one line. */
static char *join_lines(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    GString *joined = g_string_new(NULL);

    for (char **line = lines; *line; line++)
        if (*g_strstrip(*line))
            g_string_append_printf(joined, joined->len ? "; %s" : "%s", *line);
    return g_string_free(joined, FALSE);
}

/* @out_differ: where not NULL, a status of 1 is an answer. */
static bool run_once(const char *const *argv, const int *written, const char *what, Watch *watch,
                     bool *out_differ, GError **error)
{
    g_autoptr(SubprocessResult) result =
        subprocess_run(argv, written, watch ? watch_progress : NULL, watch, error);
    g_autofree char *complaint = NULL, *last_line = NULL;

    if (!result) {
        g_prefix_error(error, "Cannot %s: ", what);
        return false;
    }
    if (out_differ)
        *out_differ = result->status == 1;
    if (result->status == 0 || (out_differ && *out_differ))
        return true;
    if (result->stopped) {
        error_set(error, ERR_INTERRUPTED, "Asked to stop, did not finish to %s", what);
        return false;
    }
    complaint = join_lines(result->err);
    last_line = subprocess_last_line(result->err);
    error_set(error, code_of_complaint(result->err, last_line),
              "Cannot %s: qemu-img ended with status %d and says \"%s\"", what, result->status,
              complaint);
    return false;
}

static bool run(const char *const *argv, const int *written, const char *what, Watch *watch,
                bool *out_differ, GError **error)
{
    for (unsigned try = 1;; try++) {
        g_autoptr(GError) reason = NULL;

        if (run_once(argv, written, what, watch, out_differ, &reason))
            return true;
        if (try == BUSY_TRIES || !error_is(reason, ERR_BUSY) ||
            (watch && !watch_progress(NULL, watch))) {
            g_propagate_error(error, g_steal_pointer(&reason));
            return false;
        }
        g_usleep(BUSY_MS * 1000);
    }
}

bool tool_create(int fd, const char *path, const char *backing, const char *backing_format,
                 uint64_t capacity, GError **error)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    g_autofree char *size = g_strdup_printf("%" PRIu64, capacity);
    g_autofree char *what = g_strdup_printf("make the overlay %s on %s", path, backing);
    const char *argv[] = {"qemu-img", "create", "-q",           "-u", "-f", "qcow2", "-b",
                          backing,    "-F",     backing_format, "--", file, size,    NULL};

    const int written[] = {fd, -1};

    return run(argv, written, what, NULL, NULL, error);
}

bool tool_commit(int top_fd, const char *top, const char *top_format, int base_fd, const char *base,
                 uint64_t total, uint64_t bandwidth, ImageProgress progress, void *data,
                 GError **error)
{
    g_autofree char *file = g_strconcat("file:", top, NULL);
    g_autofree char *what = g_strdup_printf("merge %s down into %s", top, base);
    g_autofree char *rate = g_strdup_printf("%" PRIu64, bandwidth);
    const char *argv[] = {"qemu-img", "commit", "-p", "-d", "-r", rate, "-f",
                          top_format, "-b",     base, "--", file, NULL};
    const int written[] = {top_fd, base_fd, -1};
    Watch watch = {.total = total, .progress = progress, .data = data};

    if (!run(argv, written, what, &watch, NULL, error))
        return false;
    if (progress)
        progress(total, total,
                 data); /* its last lines come at once, and not all of them are looked at */
    return true;
}

bool tool_compare(const char *a, const char *a_format, const char *b, const char *b_format,
                  uint64_t total, ImageProgress progress, void *data, bool *out_same,
                  GError **error)
{
    g_autofree char *one = g_strconcat("file:", a, NULL);
    g_autofree char *other = g_strconcat("file:", b, NULL);
    g_autofree char *what = g_strdup_printf("compare %s with %s", a, b);
    const char *argv[] = {"qemu-img", "compare", "-p", "-U", "-f",  a_format,
                          "-F",       b_format,  "--", one,  other, NULL};
    const int written[] = {-1};
    Watch watch = {.total = total, .progress = progress, .data = data};
    bool differ = false;

    if (!run(argv, written, what, &watch, &differ, error))
        return false;
    *out_same = !differ;
    return true;
}

bool tool_rebase(int fd, const char *path, const char *backing, const char *backing_format,
                 GError **error)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    g_autofree char *what = g_strdup_printf("point %s at %s", path, backing);
    const char *argv[] = {"qemu-img", "rebase", "-q",           "-u", "-f", "qcow2", "-b",
                          backing,    "-F",     backing_format, "--", file, NULL};

    const int written[] = {fd, -1};

    return run(argv, written, what, NULL, NULL, error);
}
