#include "fs/show.h"

#include "fs/blocking.h"
#include "model/names.h"

#include <inttypes.h>

char *show_line(const char *value)
{
    if (!value[0])
        return g_strdup("");
    return g_strconcat(value, g_str_has_suffix(value, "\n") ? "" : "\n", NULL);
}

char *show_number(uint64_t value)
{
    return g_strdup_printf("%" PRIu64 "\n", value);
}

char *show_time(int64_t microseconds)
{
    g_autofree char *time = time_format(microseconds);

    return show_line(time);
}

void show_key(GString *out, const char *key, const char *value)
{
    g_autofree char *text = text_escape(value);

    g_string_append_printf(out, "%s%s%s\n", key, text[0] ? " " : "", text);
}

void show_key_number(GString *out, const char *key, uint64_t value)
{
    g_string_append_printf(out, "%s %" PRIu64 "\n", key, value);
}

char *show_readme(const Place *place)
{
    return g_strdup(
        "Every directory here is a virtual machine; a snapshot holds all its disks as\n"
        "they were at one instant. With VM for one of the names that `ls` shows:\n"
        "\n"
        "    mkdir VM/snapshots/NAME              take a snapshot, also while it runs\n"
        "    ls -lt VM/snapshots; cat VM/tree     newest first, dated; a drawing\n"
        "    mv VM/snapshots/NAME VM/snapshots/good              rename; mv VM NEW, too\n"
        "    echo why it is there > VM/snapshots/good/description\n"
        "    chmod a-w VM/snapshots/good          hold: not removed until chmod u+w\n"
        "    ln -sfn snapshots/good VM/current    revert (the VM must be off)\n"
        "    rmdir VM/snapshots/good              remove: merges in the background\n"
        "    cat VM/progress; cat VM/wait         how far it is; returns when it is done\n"
        "    rmdir VM/jobs/1                      cancel a job, or dismiss an ended one\n"
        "    echo running > VM/state              start; paused, shutoff (asks), off\n"
        "    cp VM/snapshots/good/vars.fd VM/nvram/vars.fd       UEFI variables (off)\n"
        "    tail VM/errors                       why it was refused, and what to do\n"
        "\n"
        "Any mkdir in snapshots/ takes a snapshot, also one made by cp -r, by mv of a\n"
        "directory, by tar x, by rsync or by mkdir -p a/b. rm -r VM/snapshots/NAME\n"
        "removes that snapshot; rm -r of more than snapshots given by name removes\n"
        "nothing. Names are UTF-8, at most 200 bytes, and begin with neither . nor -.\n"
        "\n"
        ".vmsnapfs/ holds what is not a VM: version, status, errors, stats, by-uuid/,\n"
        "jobs/, orphans/ (files that nothing needs: rm frees one) and events (not\n"
        "listed: cat it to follow what happens). The manual is vmsnapfs(8).\n");
}

char *show_version(const Place *place)
{
    return g_strdup(VERSION "\n");
}

static void count_running(const Place *child, void *data)
{
    ++*(unsigned *)data;
}

char *show_host_status(const Place *place)
{
    GString *out = g_string_new(NULL);
    unsigned jobs = 0;

    place_each(place, SCOPE_RUNNING, count_running, &jobs);
    show_key(out, "uri", place->host->uri);
    show_key_number(out, "up", place->host->up);
    show_key_number(out, "stale", !place->host->up);
    show_key(out, "problem", place->host->problem);
    show_key(out, "config", place->host->config);
    show_key(out, "config_problem", place->host->config_problem);
    show_key_number(out, "vms", place->host->vms->len);
    show_key_number(out, "jobs", jobs);
    show_key_number(out, "orphans", place->host->orphans->len);
    show_key(out, "orphans_problem", place->host->orphans_problem);
    return g_string_free(out, FALSE);
}

char *show_orphan(const Place *place)
{
    g_autofree char *path = text_escape(place->orphan->path);

    return show_line(path);
}

char *show_errors(const Place *place)
{
    return engine_errors(place->face->engine, place->vm ? place->vm->uuid : NULL);
}

char *show_stats(const Place *place)
{
    g_autoptr(GArray) stats = engine_stats(place->face->engine);
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < stats->len; i++) {
        const EngineStat *stat = &g_array_index(stats, EngineStat, i);
        show_key_number(out, stat->key, stat->value);
    }
    show_key_number(out, "events_lost", blocking_lost(place->face->blocking));
    show_key_number(out, "readers", blocking_readers(place->face->blocking));
    return g_string_free(out, FALSE);
}

char *show_by_uuid(const Place *place)
{
    return g_strconcat("../../", place_vm_name(place->vm), NULL);
}

char *show_job_link(const Place *place)
{
    return g_strdup_printf("../../%s/jobs/%u", place_vm_name(place->vm), engine_job_id(place->job));
}
