#include "run/guardian.h"

#include "run/thaw.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define MEND_SECONDS  30
#define AGENT_SECONDS 5

struct Guardian {
    int pipe;
};

/* ---- our side ---- */

static const char *duty_name(GuardianDuty duty)
{
    return duty == GUARDIAN_THAW ? "thaw" : "resume";
}

/* A line is far below what a pipe takes in one piece. */
static void say(Guardian *guardian, const char *verb, const char *uuid, GuardianDuty duty)
{
    g_autofree char *line = NULL;
    ssize_t written;

    if (!guardian)
        return;
    line = g_strdup_printf("%s %s %s\n", verb, duty_name(duty), uuid);
    do
        written = write(guardian->pipe, line, strlen(line));
    while (written < 0 && errno == EINTR);
    if (written < 0)
        g_warning("nobody would %s the guest of domain %s if this process died: the guardian does "
                  "not listen (%s)",
                  duty_name(duty), uuid, g_strerror(errno));
}

void guardian_hold(Guardian *guardian, const char *uuid, GuardianDuty duty)
{
    say(guardian, "hold", uuid, duty);
}

void guardian_release(Guardian *guardian, const char *uuid, GuardianDuty duty)
{
    say(guardian, "release", uuid, duty);
}

void guardian_free(Guardian *guardian)
{
    if (!guardian)
        return;
    close(guardian->pipe);
    g_free(guardian);
}

/* ---- its side ---- */

bool guardian_note(GHashTable *held, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    unsigned duty, duties;

    if (g_strv_length(words) != 3 || !g_uuid_string_is_valid(words[2]))
        return false;
    duty = g_str_equal(words[1], "thaw")     ? GUARDIAN_THAW
           : g_str_equal(words[1], "resume") ? GUARDIAN_RESUME
                                             : 0;
    duties = GPOINTER_TO_UINT(g_hash_table_lookup(held, words[2]));
    if (g_str_equal(words[0], "hold"))
        duties |= duty;
    else if (g_str_equal(words[0], "release"))
        duties &= ~duty;
    else
        return false;
    if (duties)
        g_hash_table_replace(held, g_strdup(words[2]), GUINT_TO_POINTER(duties));
    else
        g_hash_table_remove(held, words[2]);
    return duty != 0;
}

/* The agent hears nothing before the VM runs. One that runs already needs no resuming. */
static bool resume(Hypervisor *hv, const char *uuid)
{
    g_autoptr(GError) error = NULL;

    return hv->ops->resume(hv, uuid, &error) || error_is(error, ERR_BUSY) ||
           error_is(error, ERR_NOT_FOUND);
}

static bool thaw(Hypervisor *hv, const char *uuid)
{
    g_autoptr(GError) error = NULL;

    return thaw_and_verify(hv, uuid, AGENT_SECONDS, &error) || error_is(error, ERR_NOT_FOUND);
}

bool guardian_mend(Hypervisor *hv, GHashTable *held)
{
    GHashTableIter iter;
    gpointer uuid, value;

    g_hash_table_iter_init(&iter, held);
    while (g_hash_table_iter_next(&iter, &uuid, &value)) {
        unsigned duties = GPOINTER_TO_UINT(value);

        if (!(duties & GUARDIAN_RESUME) || resume(hv, uuid))
            duties &= ~(unsigned)GUARDIAN_RESUME;
        if (!(duties & GUARDIAN_THAW) || thaw(hv, uuid))
            duties &= ~(unsigned)GUARDIAN_THAW;
        if (duties)
            g_hash_table_iter_replace(&iter, GUINT_TO_POINTER(duties));
        else
            g_hash_table_iter_remove(&iter);
    }
    return g_hash_table_size(held) == 0;
}

/* Up to the end of the pipe. */
static void listen_to(int from, GHashTable *held)
{
    FILE *lines = fdopen(from, "r");
    char *line = NULL;
    size_t room = 0;

    while (lines && getline(&line, &room, lines) > 0)
        guardian_note(held, g_strchomp(line));
    free(line);
}

static void mend_until(const char *uri, GHashTable *held, int64_t deadline)
{
    g_autoptr(Hypervisor) hv = hv_open(uri, NULL);

    while (hv && !guardian_mend(hv, held) && g_get_monotonic_time() < deadline)
        g_usleep(G_USEC_PER_SEC / 4);
}

/* Nothing of the daemon's stays with it but the pipe: neither its terminal, nor its signals, nor
 * the pipes that others wait on. */
static void leave(int from)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGPIPE, SIGTSTP};
    int null = open("/dev/null", O_RDWR);

    setsid();
    prctl(PR_SET_NAME, "vmsnapfs-guard");
    for (gsize i = 0; i < G_N_ELEMENTS(ignored); i++)
        signal(ignored[i], SIG_IGN);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        dup2(null, fd);
    dup2(from, 3);
    close_range(4, ~0U, 0);
    if (chdir("/") < 0)
        _exit(1);
}

G_NORETURN static void guard(const char *uri, int from)
{
    g_autoptr(GHashTable) held = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    leave(from);
    listen_to(3, held);
    if (g_hash_table_size(held) > 0)
        mend_until(uri, held, g_get_monotonic_time() + MEND_SECONDS * G_USEC_PER_SEC);
    _exit(0);
}

Guardian *guardian_new(const char *uri, GError **error)
{
    Guardian *guardian;
    int ends[2];
    pid_t child;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        error_set_errno(error, errno, "cannot make a pipe to the guardian process");
        return NULL;
    }
    child = fork();
    if (child == 0)
        guard(uri, ends[0]);
    close(ends[0]);
    if (child < 0) {
        error_set_errno(error, errno, "cannot fork the guardian process");
        close(ends[1]);
        return NULL;
    }
    guardian = g_new0(Guardian, 1);
    guardian->pipe = ends[1];
    return guardian;
}
