#include "fs/process.h"

#include <glib.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char *read_proc(pid_t pid, const char *file)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/%s", (int)pid, file);
    char *text = NULL;

    return pid > 0 && g_file_get_contents(path, &text, NULL, NULL) ? text : NULL;
}

static bool status_number(const char *status, const char *key, unsigned base, uint64_t *out)
{
    const char *at = strstr(status, key);

    if (!at)
        return false;
    *out = g_ascii_strtoull(at + strlen(key), NULL, base);
    return true;
}

bool process_wants_out(pid_t thread)
{
    static const int asks[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGKILL};
    g_autofree char *status = read_proc(thread, "status");
    uint64_t own = 0, shared = 0;

    if (!status || !status_number(status, "\nSigPnd:", 16, &own) ||
        !status_number(status, "\nShdPnd:", 16, &shared))
        return true;
    for (gsize i = 0; i < G_N_ELEMENTS(asks); i++)
        if ((own | shared) & (UINT64_C(1) << (asks[i] - 1)))
            return true;
    return false;
}

/* Field 22 of /proc/PID/stat. The name in field 2 may hold spaces and parentheses: count from the
 * last ')'. */
static bool start_time(pid_t pid, uint64_t *out)
{
    g_autofree char *stat = read_proc(pid, "stat");
    const char *at = stat ? strrchr(stat, ')') : NULL;

    for (unsigned field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    *out = g_ascii_strtoull(at + 1, NULL, 10);
    return true;
}

/* Its file system, whose server may hang, is not asked. */
static uint64_t program_of(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/exe", (int)pid);
    struct statx seen;

    return statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &seen) == 0 ? seen.stx_ino : 0;
}

bool process_key(pid_t thread, ProcessKey *out_key)
{
    g_autofree char *status = read_proc(thread, "status");
    uint64_t group = 0, started = 0;

    if (!status || !status_number(status, "\nTgid:", 10, &group) || group == 0 ||
        !start_time((pid_t)group, &started))
        return false;
    *out_key = (ProcessKey){
        .group = (pid_t)group, .started = started, .program = program_of((pid_t)group)};
    return true;
}
