#include "fs/daemon.h"

#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_pipe = -1; /* the child's end; -1 in the foreground */
static gint in_background;
static int signal_pipe[2] = {-1, -1};
static char *notify_socket; /* NULL: no service manager listens */

/* ---- the service manager ---- */

/* What libsystemd's sd_notify does, which is not worth its library. Programs that we start are not
 * to speak for us. */
static void find_service_manager(void)
{
    notify_socket = g_strdup(g_getenv("NOTIFY_SOCKET"));
    g_unsetenv("NOTIFY_SOCKET");
}

void daemon_tell(const char *state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = notify_socket ? strlen(notify_socket) : 0;

    if (length == 0 || length >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, notify_socket, length);
    if (address.sun_path[0] == '@') /* an abstract name */
        address.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (fd < 0 ||
        sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size) < 0)
        g_warning("cannot tell the service manager %s: %s", state, g_strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* ---- background ---- */

G_NORETURN static void wait_for_child(int from)
{
    char byte;
    ssize_t got;

    do
        got = read(from, &byte, 1);
    while (got < 0 && errno == EINTR);
    _exit(got == 1 ? 0 : 1);
}

bool daemon_fork(GError **error)
{
    int fds[2];

    if (!g_unix_open_pipe(fds, FD_CLOEXEC, error))
        return false;
    pid_t child = fork();
    if (child < 0) {
        error_set_errno(error, errno, "cannot fork into the background");
        return false;
    }
    if (child > 0) {
        close(fds[1]);
        wait_for_child(fds[0]);
    }
    close(fds[0]);
    ready_pipe = fds[1];
    setsid();
    if (chdir("/") == 0)
        return true;
    error_set_errno(error, errno, "cannot make / the working directory");
    return false;
}

void daemon_ready(void)
{
    daemon_tell("READY=1");
    if (ready_pipe < 0)
        return;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    g_atomic_int_set(&in_background, 1);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
    if (write(ready_pipe, "+", 1) != 1)
        g_warning("the starting process is gone before it could be told that the tree is served");
    close(ready_pipe);
    ready_pipe = -1;
}

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize count,
                                  gpointer data)
{
    if (g_log_writer_default_would_drop(level, G_LOG_DOMAIN))
        return G_LOG_WRITER_HANDLED;
    return g_atomic_int_get(&in_background)
               ? g_log_writer_journald(level, fields, count, data)
               : g_log_writer_standard_streams(level, fields, count, data);
}

void daemon_log_setup(void)
{
    find_service_manager();
    g_log_writer_default_set_use_stderr(TRUE);
    g_log_set_writer_func(write_log, NULL, NULL);
}

/* ---- signals ---- */

static void on_signal(int number)
{
    int saved = errno;

    if (write(signal_pipe[1], number == SIGHUP ? "h" : "s", 1) != 1)
        _exit(1); /* the pipe is full of signals that nobody reads: nobody will end us in order */
    errno = saved;
}

static void on_kick(int number)
{
    /* Only interrupts a system call. */
}

bool signals_install(GError **error)
{
    struct sigaction note = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct sigaction kick = {.sa_handler = on_kick};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    if (!g_unix_open_pipe(signal_pipe, FD_CLOEXEC, error))
        return false;
    sigaction(SIGTERM, &note, NULL);
    sigaction(SIGINT, &note, NULL);
    sigaction(SIGHUP, &note, NULL);
    sigaction(SIGUSR1, &kick, NULL);
    sigaction(SIGPIPE, &ignore, NULL);
    return true;
}

Signal signals_wait(void)
{
    char byte = 0;

    while (read(signal_pipe[0], &byte, 1) < 0 && errno == EINTR)
        continue;
    return byte == 's' ? SIGNAL_END : byte == 'h' ? SIGNAL_RELOAD : SIGNAL_CANCELLED;
}

void signals_cancel(void)
{
    if (write(signal_pipe[1], "q", 1) != 1)
        g_warning("cannot end the signal thread: %s", g_strerror(errno));
}
