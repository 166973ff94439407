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

/* A pass over the data is shown once, with its first job's lines. */
static bool is_shown_by_another(const VmView *vm, EngineJob *job)
{
    for (guint i = 0; i < vm->jobs->len; i++) {
        EngineJob *other = g_ptr_array_index(vm->jobs, i);
        if (other != job && engine_job_id(other) == engine_job_pass(job) &&
            engine_job_state(other) == JOB_RUNNING)
            return true;
    }
    return false;
}

char *show_progress(const Place *place)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < place->vm->jobs->len; i++) {
        EngineJob *job = g_ptr_array_index(place->vm->jobs, i);
        if (engine_job_state(job) == JOB_RUNNING && !is_shown_by_another(place->vm, job))
            progress_draw(out, job);
    }
    if (out->len == 0)
        g_string_append(out, "idle\n");
    return g_string_free(out, FALSE);
}
