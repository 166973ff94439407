#include "fs/show.h"

#include "fs/progress.h"

const char *show_job_state_name(EngineJob *job)
{
    static const char *const names[] = {
        [JOB_RUNNING] = "running",
        [JOB_DONE] = "done",
        [JOB_FAILED] = "failed",
        [JOB_CANCELLED] = "cancelled",
    };

    return names[engine_job_state(job)];
}

char *show_job_kind(const Place *place)
{
    return show_line(engine_job_kind(place->job));
}

char *show_job_state(const Place *place)
{
    return show_line(show_job_state_name(place->job));
}

char *show_job_created(const Place *place)
{
    return show_time(engine_job_created(place->job));
}

char *show_job_target(const Place *place)
{
    return show_line(engine_job_target(place->job));
}

char *show_job_progress(const Place *place)
{
    GString *out = g_string_new(NULL);

    progress_draw(out, place->job);
    return g_string_free(out, FALSE);
}

char *show_job_bandwidth(const Place *place)
{
    return show_number(engine_job_bandwidth(place->job));
}

char *show_job_result(const Place *place)
{
    g_autofree char *result = engine_job_result(place->job);

    return show_line(result);
}

char *show_progress(const Place *place)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < place->vm->jobs->len; i++) {
        EngineJob *job = g_ptr_array_index(place->vm->jobs, i);
        if (engine_job_state(job) == JOB_RUNNING)
            progress_draw(out, job);
    }
    if (out->len == 0)
        g_string_append(out, "idle\n");
    return g_string_free(out, FALSE);
}
