#include "model/simhost-priv.h"

#include <stdarg.h>

#define PLENTY (UINT64_C(1) << 50)

SimHost *simhost_new(void)
{
    SimHost *host = g_new0(SimHost, 1);

    g_mutex_init(&host->mutex);
    host->images =
        g_hash_table_new_full(g_str_hash, g_str_equal, NULL, (GDestroyNotify)sim_image_free);
    host->states =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)sim_state_free);
    host->locks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    host->domains = g_ptr_array_new_with_free_func((GDestroyNotify)sim_domain_free);
    host->job_speed = G_MAXUINT;
    host->next_inode = 1;
    sim_templates_add(host);
    host->free_bytes = PLENTY;
    host->offered = sim_capabilities_new(true, true);
    sim_connected(host);
    return host;
}

void simhost_free(SimHost *host)
{
    if (!host)
        return;
    g_ptr_array_unref(host->domains);
    g_hash_table_unref(host->images);
    g_hash_table_unref(host->states);
    g_hash_table_unref(host->locks);
    capabilities_unref(host->capabilities);
    capabilities_unref(host->offered);
    g_free(host->misuse);
    g_mutex_clear(&host->mutex);
    g_free(host);
}

bool sim_error(GError **error, ErrorCode code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error_literal(error, VMSNAPFS_ERROR, (int)code, text);
    return false;
}

void sim_misuse(SimHost *host, const char *format, ...)
{
    va_list args;

    if (host->misuse)
        return;
    va_start(args, format);
    host->misuse = g_strdup_vprintf(format, args);
    va_end(args);
}

const char *simhost_misuse(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return host->misuse;
}

void sim_notify(SimHost *host, SimNoticeKind kind, const char *uuid, const char *target)
{
    if (host->notice)
        host->notice(kind, uuid, target, host->notice_data);
}

void simhost_listen(SimHost *host, SimNotice notice, void *data)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->notice = notice;
    host->notice_data = data;
}

unsigned simhost_commits(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return host->commits;
}

void simhost_set_job_speed(SimHost *host, unsigned blocks_per_look)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->job_speed = blocks_per_look;
}

void simhost_set_forgetful(SimHost *host, bool forgetful)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->forgetful = forgetful;
}

void simhost_set_guest_writes(SimHost *host, unsigned blocks)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->guest_writes = blocks;
    for (unsigned i = 0; i < host->domains->len; i++)
        sim_guest_writes(host, host->domains->pdata[i]);
}

/* libvirtd dies alone: QEMU goes on, so every job runs as far as it gets by itself (a pivot needs
 * libvirt). */
void simhost_set_down(SimHost *host, bool down)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (host->down == down)
        return;
    host->down = down;
    for (unsigned i = 0; i < host->domains->len; i++)
        (down ? sim_jobs_run : sim_jobs_note)(host, host->domains->pdata[i]);
    if (!down)
        sim_connected(host);
    sim_notify(host, down ? SIM_DOWN : SIM_UP, NULL, NULL);
}

void simhost_set_death(SimHost *host, SimDeath death)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->death = death;
}

void simhost_tear_commit(SimHost *host, bool started_again)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->torn = true;
    host->started_again = started_again;
}

bool sim_die(SimHost *host, GError **error)
{
    host->death = SIM_LIVES;
    host->down = true;
    sim_notify(host, SIM_DOWN, NULL, NULL);
    return sim_error(error, ERR_HOST_DOWN, "libvirt was killed.");
}

bool simhost_is_down(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return host->down;
}

void simhost_set_free(SimHost *host, uint64_t bytes)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->free_bytes = bytes;
}

uint64_t simhost_free_space(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return host->free_bytes;
}

void simhost_set_slow(SimHost *host, SimSlow call, unsigned milliseconds)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    host->slow[call] = milliseconds;
}

unsigned simhost_slow(SimHost *host, SimSlow call)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return host->slow[call];
}
