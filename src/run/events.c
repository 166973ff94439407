/* The lines of `.vmsnapfs/events`: one JSON object for each change, made by comparing views. */
#include "run/engine-priv.h"

#include "model/names.h"

#include <json-glib/json-glib.h>
#include <stdarg.h>
#include <string.h>

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
    json_builder_set_member_name(builder, "bandwidth");
    json_builder_add_int_value(builder, (gint64)engine_job_bandwidth(job));
    if (*result)
        add_text(builder, "result", result);
    return end(builder);
}

/* ---- snapshots ---- */

static bool is_listed(const SnapshotView *snapshot)
{
    return snapshot && !snapshot->hidden;
}

static bool is_held(const SnapshotView *snapshot)
{
    return !(snapshot->mode & 0200);
}

static void add_warned(GPtrArray *events, const SnapshotView *is, const VmView *vm)
{
    g_ptr_array_add(events, event_make("snapshot-warned", vm, "snapshot", is->name, "id", is->id,
                                       "warnings", is->warnings, NULL));
}

/* Whether it is in the list, and whether it is there at all. */
static void add_coming_and_going(GPtrArray *events, const SnapshotView *was, const SnapshotView *is,
                                 const VmView *vm)
{
    const SnapshotView *any = is ? is : was;
    const char *name = any->name, *id = any->id;

    if (!was && is_listed(is))
        g_ptr_array_add(events, event_make("snapshot-created", vm, "snapshot", name, "id", id,
                                           "consistency", is->consistency, NULL));
    if (!was && is_listed(is) && *is->warnings)
        add_warned(events, is, vm);
    if (is_listed(was) && !is_listed(is))
        g_ptr_array_add(events,
                        is && is->state == SNAPSHOT_READY
                            ? event_make("snapshot-hidden", vm, "snapshot", name, "id", id, NULL)
                            : event_make("snapshot-removed", vm, "snapshot", name, "id", id, NULL));
    if (was && !is_listed(was) && is_listed(is) && is->state == SNAPSHOT_READY)
        g_ptr_array_add(events, event_make("snapshot-back", vm, "snapshot", name, "id", id, NULL));
    if (was && !is)
        g_ptr_array_add(events, event_make("snapshot-gone", vm, "snapshot", name, "id", id, NULL));
    if (is && is->state == SNAPSHOT_FAILED && (!was || was->state != SNAPSHOT_FAILED))
        g_ptr_array_add(events, event_make("snapshot-failed", vm, "snapshot", name, "id", id,
                                           "message", is->error, NULL));
}

static void add_mode(GPtrArray *events, const SnapshotView *was, const SnapshotView *is,
                     const VmView *vm)
{
    g_autofree char *mode = g_strdup_printf("%04o", (unsigned)is->mode & 0777);

    if (is_held(is) && !is_held(was))
        g_ptr_array_add(events, event_make("snapshot-held", vm, "snapshot", is->name, "id", is->id,
                                           "mode", mode, NULL));
    else if (is_held(was) && !is_held(is))
        g_ptr_array_add(events, event_make("snapshot-released", vm, "snapshot", is->name, "id",
                                           is->id, "mode", mode, NULL));
    else if (was->mode != is->mode)
        g_ptr_array_add(events, event_make("snapshot-mode", vm, "snapshot", is->name, "id", is->id,
                                           "mode", mode, NULL));
}

static void add_labels(GPtrArray *events, const SnapshotView *was, const SnapshotView *is,
                       const VmView *vm)
{
    if (g_strcmp0(was->name, is->name) != 0)
        g_ptr_array_add(events, event_make("snapshot-renamed", vm, "snapshot", is->name, "id",
                                           is->id, "from", was->name, NULL));
    if (g_strcmp0(was->description, is->description) != 0)
        g_ptr_array_add(events, event_make("snapshot-described", vm, "snapshot", is->name, "id",
                                           is->id, "description", is->description, NULL));
    if (g_strcmp0(was->warnings, is->warnings) != 0)
        add_warned(events, is, vm);
    add_mode(events, was, is, vm);
}

static void add_snapshots(GPtrArray *events, const VmView *before, const VmView *after)
{
    for (guint i = 0; i < before->snapshots->len; i++) {
        const SnapshotView *was = before->snapshots->pdata[i];
        const SnapshotView *is = vm_view_snapshot(after, was->id);
        add_coming_and_going(events, was, is, after);
        if (is)
            add_labels(events, was, is, after);
    }
    for (guint i = 0; i < after->snapshots->len; i++) {
        const SnapshotView *is = after->snapshots->pdata[i];
        if (!vm_view_snapshot(before, is->id))
            add_coming_and_going(events, NULL, is, after);
    }
}

/* ---- disks ---- */

static const DiskView *disk_of(const VmView *vm, const char *target)
{
    for (guint i = 0; i < vm->disks->len; i++)
        if (strcmp(((const DiskView *)vm->disks->pdata[i])->target, target) == 0)
            return vm->disks->pdata[i];
    return NULL;
}

static void add_disks(GPtrArray *events, const VmView *before, const VmView *after)
{
    for (guint i = 0; i < before->disks->len; i++) {
        const DiskView *was = before->disks->pdata[i];
        if (!disk_of(after, was->target))
            g_ptr_array_add(events, event_make("disk-detached", after, "disk", was->target, NULL));
    }
    for (guint i = 0; i < after->disks->len; i++) {
        const DiskView *is = after->disks->pdata[i], *was = disk_of(before, is->target);
        g_autofree char *capacity = g_strdup_printf("%" G_GUINT64_FORMAT, is->capacity);
        if (!was)
            g_ptr_array_add(events, event_make("disk-attached", after, "disk", is->target,
                                               "capacity", capacity, NULL));
        else if (was->capacity != is->capacity)
            g_ptr_array_add(events, event_make("disk-resized", after, "disk", is->target,
                                               "capacity", capacity, NULL));
    }
}

/* ---- the VM itself ---- */

static const char *current_name(const VmView *vm)
{
    const SnapshotView *current = vm->current ? vm_view_snapshot(vm, vm->current) : NULL;

    return current ? current->name : "";
}

static void add_policies(GPtrArray *events, const VmView *before, const VmView *after)
{
    for (const char *const *key = catalog_policy_keys(); *key; key++) {
        const char *was = g_hash_table_lookup(before->policy, *key);
        const char *is = g_hash_table_lookup(after->policy, *key);
        if (g_strcmp0(was, is) != 0)
            g_ptr_array_add(
                events, event_make("policy", after, "key", *key, "value", is, "from", was, NULL));
    }
}

static void add_condition(GPtrArray *events, const VmView *before, const VmView *after)
{
    if (g_strcmp0(before->state, after->state) != 0)
        g_ptr_array_add(
            events, event_make("state", after, "state", after->state, "from", before->state, NULL));
    if (strcmp(before->nvram->state, after->nvram->state) != 0)
        g_ptr_array_add(events, event_make("nvram", after, "state", after->nvram->state, "from",
                                           before->nvram->state, "path", after->nvram->path, NULL));
    if (before->stale != after->stale)
        g_ptr_array_add(events,
                        event_make("stale", after, "stale", after->stale ? "1" : "0", NULL));
    if (g_strcmp0(before->drift, after->drift) != 0)
        g_ptr_array_add(events, event_make("drift", after, "drift", after->drift, NULL));
    if (g_strcmp0(before->problem, after->problem) != 0 || before->read_only != after->read_only)
        g_ptr_array_add(events, event_make("problem", after, "problem", after->problem, "read_only",
                                           after->read_only ? "1" : "0", NULL));
    if (g_strcmp0(before->current, after->current) != 0)
        g_ptr_array_add(events, event_make("current", after, "snapshot", current_name(after), "id",
                                           after->current, NULL));
}

GPtrArray *events_between(const VmView *before, const VmView *after)
{
    GPtrArray *events = g_ptr_array_new_with_free_func(g_free);

    add_condition(events, before, after);
    add_policies(events, before, after);
    add_disks(events, before, after);
    add_snapshots(events, before, after);
    return events;
}
