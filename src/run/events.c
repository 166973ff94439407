/* The lines of `.vmsnapfs/events`: one JSON object for each change, made by comparing views. */
#include "run/engine-priv.h"

#include "model/names.h"

#include <json-glib/json-glib.h>
#include <stdarg.h>

static void add_text(JsonBuilder *builder, const char *key, const char *value)
{
    g_autofree char *valid = g_utf8_make_valid(value ? value : "", -1);

    json_builder_set_member_name(builder, key);
    json_builder_add_string_value(builder, valid);
}

static JsonBuilder *begin(const char *type, const VmView *vm)
{
    JsonBuilder *builder = json_builder_new();
    g_autofree char *time = time_format(g_get_real_time());

    json_builder_begin_object(builder);
    add_text(builder, "time", time);
    add_text(builder, "type", type);
    if (vm) {
        add_text(builder, "vm", vm->name);
        add_text(builder, "uuid", vm->uuid);
    }
    return builder;
}

static char *end(JsonBuilder *builder)
{
    json_builder_end_object(builder);

    JsonNode *root = json_builder_get_root(builder);
    char *text = json_to_string(root, FALSE);
    json_node_unref(root);
    g_object_unref(builder);
    return text;
}

char *event_make(const char *type, const VmView *vm, ...)
{
    JsonBuilder *builder = begin(type, vm);
    va_list args;

    va_start(args, vm);
    for (const char *key = va_arg(args, const char *); key; key = va_arg(args, const char *))
        add_text(builder, key, va_arg(args, const char *));
    va_end(args);
    return end(builder);
}

char *event_of_job(const char *type, const VmView *vm, EngineJob *job)
{
    static const char *const states[] = {[JOB_RUNNING] = "running",
                                         [JOB_DONE] = "done",
                                         [JOB_FAILED] = "failed",
                                         [JOB_CANCELLED] = "cancelled"};
    JsonBuilder *builder = begin(type, vm);
    g_autofree char *result = engine_job_result(job);

    json_builder_set_member_name(builder, "job");
    json_builder_add_int_value(builder, engine_job_id(job));
    add_text(builder, "kind", engine_job_kind(job));
    add_text(builder, "target", engine_job_target(job));
    add_text(builder, "state", states[engine_job_state(job)]);
    if (*result)
        add_text(builder, "result", result);
    return end(builder);
}

static void add_snapshot_events(GPtrArray *events, const SnapshotView *was, const SnapshotView *is,
                                const VmView *vm)
{
    bool was_listed = was && !was->hidden;
    bool is_listed = is && !is->hidden;

    if (!was && is_listed)
        g_ptr_array_add(events, event_make("snapshot-created", vm, "snapshot", is->name, "id",
                                           is->id, "consistency", is->consistency, NULL));
    else if (was && !was_listed && is_listed)
        g_ptr_array_add(events, event_make("snapshot-failed", vm, "snapshot", is->name, "id",
                                           is->id, "message", is->error, NULL));
    else if (was_listed && !is_listed)
        g_ptr_array_add(
            events, event_make("snapshot-removed", vm, "snapshot", was->name, "id", was->id, NULL));
    else if (was_listed && is_listed && g_strcmp0(was->name, is->name) != 0)
        g_ptr_array_add(events, event_make("snapshot-renamed", vm, "snapshot", is->name, "id",
                                           is->id, "from", was->name, NULL));
}

GPtrArray *events_between(const VmView *before, const VmView *after)
{
    GPtrArray *events = g_ptr_array_new_with_free_func(g_free);

    if (g_strcmp0(before->state, after->state) != 0)
        g_ptr_array_add(
            events, event_make("state", after, "state", after->state, "from", before->state, NULL));
    if (g_strcmp0(before->drift, after->drift) != 0)
        g_ptr_array_add(events, event_make("drift", after, "drift", after->drift, NULL));
    for (guint i = 0; i < before->snapshots->len; i++) {
        const SnapshotView *was = before->snapshots->pdata[i];
        add_snapshot_events(events, was, vm_view_snapshot(after, was->id), after);
    }
    for (guint i = 0; i < after->snapshots->len; i++) {
        const SnapshotView *is = after->snapshots->pdata[i];
        if (!vm_view_snapshot(before, is->id))
            add_snapshot_events(events, NULL, is, after);
    }
    return events;
}
