#include "base/subprocess.h"

#include "base/confine.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define WATCH_MS 200

typedef struct {
    int fd; /* -1 once it ended */
    GString *kept;
} Stream;

typedef struct {
    GPid pid;
    int pidfd;
    Stream out, err;
    GString *line; /* standard output since the last "\r" or "\n" */
    char *piece;   /* newest whole piece not yet shown to the watch */
} Child;

void subprocess_result_free(SubprocessResult *result)
{
    if (!result)
        return;
    g_free(result->out);
    g_free(result->err);
    g_free(result);
}

char *subprocess_last_line(const char *text)
{
    g_auto(GStrv) lines = g_strsplit_set(text, "\r\n", -1);

    for (guint i = g_strv_length(lines); i > 0; i--)
        if (*g_strstrip(lines[i - 1]))
            return g_strdup(lines[i - 1]);
    return g_strdup("");
}

typedef struct {
    pid_t parent;
    int rules; /* confine_new() */
} Bounds;

/* Between fork and exec: async-signal-safe calls only. The parent may have died before the prctl.
 */
static void enter_bounds(gpointer data)
{
    const Bounds *bounds = data;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != bounds->parent || (bounds->rules >= 0 && !confine_apply(bounds->rules)))
        _exit(127);
}

/* What else is in ours is for us, or for libvirt. */
static char **plain_environment(void)
{
    char **environment = g_environ_setenv(NULL, "LC_ALL", "C", TRUE);
    const char *path = g_getenv("PATH");

    return path ? g_environ_setenv(environment, "PATH", path, TRUE) : environment;
}

static bool child_start(Child *child, const char *const *argv, int rules, GError **error)
{
    g_auto(GStrv) environment = plain_environment();
    Bounds bounds = {.parent = getpid(), .rules = rules};
    g_autoptr(GError) reason = NULL;

    if (!g_spawn_async_with_pipes(
            NULL, (char **)argv, environment,
            G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CLOEXEC_PIPES, enter_bounds,
            &bounds, &child->pid, NULL, &child->out.fd, &child->err.fd, &reason)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "Cannot run %s: %s; is its package installed?",
                    argv[0], reason->message);
        return false;
    }
    return true;
}

static void stream_end(Stream *stream)
{
    if (stream->fd >= 0)
        close(stream->fd);
    stream->fd = -1;
}

static void keep_pieces(Child *child, const char *text, gsize length)
{
    for (gsize i = 0; i < length; i++) {
        if (text[i] != '\r' && text[i] != '\n') {
            g_string_append_c(child->line, text[i]);
            continue;
        }
        if (child->line->len > 0) {
            g_free(child->piece);
            child->piece = g_strdup(child->line->str);
        }
        g_string_truncate(child->line, 0);
    }
    if (child->line->len > SUBPROCESS_KEPT)
        g_string_truncate(child->line, 0);
}

/* Take what is there now. Returns false when there is nothing more, for now or for ever. */
static bool stream_take(Child *child, Stream *stream)
{
    char buffer[4096];
    ssize_t got;

    if (stream->fd < 0)
        return false;
    got = read(stream->fd, buffer, sizeof(buffer));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return errno == EINTR;
    if (got <= 0) {
        stream_end(stream);
        return false;
    }
    g_string_append_len(stream->kept, buffer, got);
    if (stream->kept->len > SUBPROCESS_KEPT)
        g_string_erase(stream->kept, 0, (gssize)(stream->kept->len - SUBPROCESS_KEPT));
    if (stream == &child->out)
        keep_pieces(child, buffer, (gsize)got);
    return true;
}

/* The end is that of the program, not of its pipes: something it left behind may hold those open.
 */
static bool child_wait_a_little(Child *child)
{
    struct pollfd fds[] = {
        {.fd = child->pidfd, .events = POLLIN},
        {.fd = child->out.fd, .events = POLLIN},
        {.fd = child->err.fd, .events = POLLIN},
    };
    bool ended = poll(fds, G_N_ELEMENTS(fds), WATCH_MS) > 0 && fds[0].revents;

    stream_take(child, &child->out);
    stream_take(child, &child->err);
    return !ended;
}

static bool child_watch(Child *child, SubprocessWatch watch, void *data)
{
    g_autofree char *piece = g_steal_pointer(&child->piece);

    return !watch || watch(piece, data);
}

static int child_reap(Child *child)
{
    int status = 0;

    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    g_spawn_close_pid(child->pid);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static SubprocessResult *child_run(Child *child, SubprocessWatch watch, void *data)
{
    SubprocessResult *result = g_new0(SubprocessResult, 1);

    while (child_wait_a_little(child)) {
        if (result->stopped || child_watch(child, watch, data))
            continue;
        kill(child->pid, SIGKILL);
        result->stopped = true;
    }
    while (stream_take(child, &child->out) || stream_take(child, &child->err))
        continue;
    result->status = child_reap(child);
    if (!result->stopped)
        child_watch(child, watch, data); /* the last piece; too late to stop anything */
    result->out = g_utf8_make_valid(child->out.kept->str, (gssize)child->out.kept->len);
    result->err = g_utf8_make_valid(child->err.kept->str, (gssize)child->err.kept->len);
    return result;
}

static void child_clear(Child *child)
{
    stream_end(&child->out);
    stream_end(&child->err);
    if (child->pidfd >= 0)
        close(child->pidfd);
    g_string_free(child->out.kept, TRUE);
    g_string_free(child->err.kept, TRUE);
    g_string_free(child->line, TRUE);
    g_free(child->piece);
}

static SubprocessResult *run_in_bounds(const char *const *argv, int rules, SubprocessWatch watch,
                                       void *data, GError **error)
{
    Child child = {.pidfd = -1,
                   .out = {-1, g_string_new(NULL)},
                   .err = {-1, g_string_new(NULL)},
                   .line = g_string_new(NULL)};
    SubprocessResult *result = NULL;

    if (child_start(&child, argv, rules, error)) {
        child.pidfd = pidfd_open(child.pid, 0);
        if (child.pidfd >= 0 && g_unix_set_fd_nonblocking(child.out.fd, TRUE, NULL) &&
            g_unix_set_fd_nonblocking(child.err.fd, TRUE, NULL)) {
            result = child_run(&child, watch, data);
        } else {
            error_set_errno(error, errno, "Cannot watch %s", argv[0]);
            kill(child.pid, SIGKILL);
            child_reap(&child);
        }
    }
    child_clear(&child);
    return result;
}

SubprocessResult *subprocess_run(const char *const *argv, const int *writable,
                                 SubprocessWatch watch, void *data, GError **error)
{
    g_autoptr(GError) reason = NULL;
    g_auto(Descriptor) rules = writable ? confine_new(writable, &reason) : -1;

    if (!reason)
        return run_in_bounds(argv, rules, watch, data, error);
    g_propagate_error(error, g_steal_pointer(&reason));
    return NULL;
}
