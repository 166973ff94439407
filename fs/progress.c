#include "fs/progress.h"

#include "model/names.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BAR 10

static void draw_bar(GString *out, unsigned percent)
{
    unsigned filled = percent * BAR / 100;

    g_string_append_c(out, '[');
    for (unsigned i = 0; i < BAR; i++)
        g_string_append_c(out, i < filled ? '#' : '-');
    g_string_append_printf(out, "]  %2u %%", percent);
}

static unsigned percent_of(const JobDisk *disk)
{
    if (disk->finished)
        return 100;
    if (disk->total == 0)
        return 0;
    double share = 100.0 * (double)disk->done / (double)disk->total;
    return (unsigned)CLAMP(floor(share), 0, 99);
}

/* "90 s", "12 min", "3 h 20 min". */
static void draw_time_left(GString *out, uint64_t seconds)
{
    if (seconds < 120)
        g_string_append_printf(out, "  %" PRIu64 " s", seconds);
    else if (seconds < 7200)
        g_string_append_printf(out, "  %" PRIu64 " min", (seconds + 59) / 60);
    else
        g_string_append_printf(out, "  %" PRIu64 " h %" PRIu64 " min", seconds / 3600,
                               seconds % 3600 / 60);
}

static void draw_bytes(GString *out, const JobDisk *disk)
{
    g_autofree char *done = size_format(disk->done);
    g_autofree char *total = size_format(disk->total);

    if (disk->total > 0)
        g_string_append_printf(out, "  %s of %s", done, total);
}

static void draw_rate(GString *out, const JobDisk *disk)
{
    g_autofree char *rate = size_format(disk->rate);
    uint64_t left = disk->total > disk->done ? disk->total - disk->done : 0;

    if (disk->rate == 0)
        return;
    g_string_append_printf(out, "  %s/s", rate);
    draw_time_left(out, (left + disk->rate - 1) / disk->rate);
}

void progress_draw(GString *out, EngineJob *job)
{
    g_autoptr(GPtrArray) disks = engine_job_disks(job);
    size_t width = 0;

    if (disks->len == 0)
        g_string_append_printf(out, "%s %s\n", engine_job_kind(job), engine_job_target(job));
    for (guint i = 0; i < disks->len; i++)
        width = MAX(width, strlen(((const JobDisk *)g_ptr_array_index(disks, i))->target));
    for (guint i = 0; i < disks->len; i++) {
        const JobDisk *disk = g_ptr_array_index(disks, i);
        g_string_append_printf(out, "%s %-*s  ", engine_job_kind(job), (int)width, disk->target);
        draw_bar(out, percent_of(disk));
        draw_bytes(out, disk);
        if (disk->finished)
            g_string_append(out, "  done");
        else
            draw_rate(out, disk);
        g_string_append_c(out, '\n');
    }
}
