/* info.yaml: everything that the other files say, for machines. */
#include "fs/show.h"

#include "base/yaml.h"
#include "model/names.h"

/* Paths and names of the world outside may be any bytes; YAML holds UTF-8 only. What is not is
 * shown with octal escapes. */
static void put_text(YamlWriter *yaml, const char *key, const char *text)
{
    g_autofree char *valid =
        g_utf8_validate(text, -1, NULL) ? g_strdup(text) : g_strescape(text, "");

    yaml_writer_entry(yaml, key, valid);
}

static void put_time(YamlWriter *yaml, const char *key, int64_t microseconds)
{
    g_autofree char *time = time_format(microseconds);

    yaml_writer_entry(yaml, key, time);
}

static void put_layers(YamlWriter *yaml, const GPtrArray *layers)
{
    yaml_writer_key(yaml, "disks");
    yaml_writer_begin_list(yaml);
    for (guint i = 0; i < layers->len; i++) {
        const LayerView *layer = g_ptr_array_index(layers, i);
        yaml_writer_begin_map(yaml);
        put_text(yaml, "target", layer->target);
        put_text(yaml, "file", layer->file);
        put_text(yaml, "format", layer->format);
        yaml_writer_entry_u64(yaml, "capacity", layer->capacity);
        yaml_writer_entry_u64(yaml, "allocation", layer->allocation);
        yaml_writer_end_map(yaml);
    }
    yaml_writer_end_list(yaml);
}

static void put_sidecar(YamlWriter *yaml, const char *key, const Sidecar *sidecar)
{
    if (!sidecar)
        return;
    yaml_writer_key(yaml, key);
    yaml_writer_begin_map(yaml);
    yaml_writer_entry_u64(yaml, "size", sidecar->size);
    put_text(yaml, "sha256", sidecar->sha256);
    if (sidecar->version)
        put_text(yaml, "version", sidecar->version);
    if (sidecar->secret)
        put_text(yaml, "secret", sidecar->secret);
    yaml_writer_end_map(yaml);
}

static void put_snapshot(YamlWriter *yaml, const SnapshotView *snapshot)
{
    g_autofree char *mode = g_strdup_printf("%04o", (unsigned)snapshot->mode);

    yaml_writer_begin_map(yaml);
    put_text(yaml, "id", snapshot->id);
    put_text(yaml, "name", snapshot->name);
    if (snapshot->parent)
        put_text(yaml, "parent", snapshot->parent);
    put_text(yaml, "state", snapshot_state_name(snapshot->state));
    yaml_writer_entry_bool(yaml, "hidden", snapshot->hidden);
    yaml_writer_entry_bool(yaml, "held", !(snapshot->mode & 0200));
    put_time(yaml, "created", snapshot->created);
    put_text(yaml, "consistency", snapshot->consistency);
    put_text(yaml, "description", snapshot->description);
    put_text(yaml, "warnings", snapshot->warnings);
    put_text(yaml, "error", snapshot->error);
    yaml_writer_entry_u64(yaml, "children", snapshot->children);
    yaml_writer_entry_u64(yaml, "uid", snapshot->uid);
    put_text(yaml, "mode", mode);
    put_layers(yaml, snapshot->disks);
    put_sidecar(yaml, "vars", snapshot->vars);
    put_sidecar(yaml, "tpm", snapshot->tpm);
    yaml_writer_end_map(yaml);
}

static void put_chain(YamlWriter *yaml, const GPtrArray *chain)
{
    yaml_writer_key(yaml, "chain");
    yaml_writer_begin_list(yaml);
    for (guint i = 0; i < chain->len; i++) {
        const char *path = g_ptr_array_index(chain, i);
        g_autofree char *valid =
            g_utf8_validate(path, -1, NULL) ? g_strdup(path) : g_strescape(path, "");
        yaml_writer_text(yaml, valid);
    }
    yaml_writer_end_list(yaml);
}

static void put_disks(YamlWriter *yaml, const VmView *vm)
{
    yaml_writer_key(yaml, "disks");
    yaml_writer_begin_list(yaml);
    for (guint i = 0; i < vm->disks->len; i++) {
        const DiskView *disk = g_ptr_array_index(vm->disks, i);
        yaml_writer_begin_map(yaml);
        put_text(yaml, "target", disk->target);
        put_text(yaml, "source", disk->source);
        put_text(yaml, "format", disk->format);
        yaml_writer_entry_u64(yaml, "capacity", disk->capacity);
        yaml_writer_entry_u64(yaml, "allocation", disk->allocation);
        yaml_writer_entry_bool(yaml, "included", disk->included);
        put_text(yaml, "reason", disk->reason);
        put_chain(yaml, disk->chain);
        yaml_writer_end_map(yaml);
    }
    yaml_writer_end_list(yaml);
}

static void put_firmware(YamlWriter *yaml, const VmView *vm)
{
    const VarsView *vars = vm->nvram;

    yaml_writer_key(yaml, "nvram");
    yaml_writer_begin_map(yaml);
    put_text(yaml, "needed", vars->needed);
    put_text(yaml, "state", vars->state);
    put_text(yaml, "path", vars->path);
    put_text(yaml, "format", vars->format);
    yaml_writer_entry_u64(yaml, "size", vars->size);
    put_text(yaml, "template", vars->template);
    yaml_writer_end_map(yaml);
    yaml_writer_key(yaml, "vtpm");
    yaml_writer_begin_map(yaml);
    put_text(yaml, "version", vm->vtpm->version);
    put_text(yaml, "state", vm->vtpm->state);
    put_text(yaml, "path", vm->vtpm->path);
    yaml_writer_end_map(yaml);
}

static void put_job(YamlWriter *yaml, EngineJob *job)
{
    g_autofree char *result = engine_job_result(job);
    g_autoptr(GPtrArray) disks = engine_job_disks(job);

    yaml_writer_begin_map(yaml);
    yaml_writer_entry_u64(yaml, "id", engine_job_id(job));
    put_text(yaml, "kind", engine_job_kind(job));
    put_text(yaml, "state", show_job_state_name(job));
    put_text(yaml, "target", engine_job_target(job));
    put_time(yaml, "created", engine_job_created(job));
    yaml_writer_entry_u64(yaml, "bandwidth", engine_job_bandwidth(job));
    put_text(yaml, "result", result);
    yaml_writer_key(yaml, "disks");
    yaml_writer_begin_list(yaml);
    for (guint i = 0; i < disks->len; i++) {
        const JobDisk *disk = g_ptr_array_index(disks, i);
        yaml_writer_begin_map(yaml);
        put_text(yaml, "target", disk->target);
        yaml_writer_entry_u64(yaml, "done", disk->done);
        yaml_writer_entry_u64(yaml, "total", disk->total);
        yaml_writer_entry_u64(yaml, "rate", disk->rate);
        yaml_writer_entry_bool(yaml, "finished", disk->finished);
        yaml_writer_end_map(yaml);
    }
    yaml_writer_end_list(yaml);
    yaml_writer_end_map(yaml);
}

static void put_policy(YamlWriter *yaml, const VmView *vm)
{
    yaml_writer_key(yaml, "policy");
    yaml_writer_begin_map(yaml);
    for (const char *const *keys = catalog_policy_keys(); *keys; keys++)
        put_text(yaml, *keys, g_hash_table_lookup(vm->policy, *keys));
    yaml_writer_end_map(yaml);
}

static void put_vm(YamlWriter *yaml, const VmView *vm)
{
    put_text(yaml, "uuid", vm->uuid);
    put_text(yaml, "name", vm->name);
    put_text(yaml, "state", vm->state);
    yaml_writer_entry_bool(yaml, "stale", vm->stale);
    yaml_writer_entry_bool(yaml, "read_only", vm->read_only);
    put_text(yaml, "problem", vm->problem);
    put_text(yaml, "drift", vm->drift);
    put_text(yaml, "home", vm->home);
    yaml_writer_entry_u64(yaml, "generation", vm->generation);
    yaml_writer_entry_bool(yaml, "persistent", vm->persistent);
    yaml_writer_entry_bool(yaml, "managed_save", vm->managed_save);
    yaml_writer_entry_bool(yaml, "frozen", vm->frozen);
    yaml_writer_entry_bool(yaml, "uefi", vm->uefi);
    yaml_writer_entry_bool(yaml, "tpm", vm->tpm);
    if (vm->current)
        put_text(yaml, "current", vm->current);
}

char *show_info(const Place *place)
{
    const VmView *vm = place->vm;
    g_autoptr(YamlWriter) yaml = yaml_writer_new();

    yaml_writer_begin_map(yaml);
    put_vm(yaml, vm);
    put_policy(yaml, vm);
    put_disks(yaml, vm);
    put_firmware(yaml, vm);
    yaml_writer_key(yaml, "snapshots");
    yaml_writer_begin_list(yaml);
    for (guint i = 0; i < vm->snapshots->len; i++)
        put_snapshot(yaml, g_ptr_array_index(vm->snapshots, i));
    yaml_writer_end_list(yaml);
    yaml_writer_key(yaml, "jobs");
    yaml_writer_begin_list(yaml);
    for (guint i = 0; i < vm->jobs->len; i++)
        put_job(yaml, g_ptr_array_index(vm->jobs, i));
    yaml_writer_end_list(yaml);
    yaml_writer_end_map(yaml);
    return yaml_writer_finish(yaml);
}

char *show_snapshot_info(const Place *place)
{
    g_autoptr(YamlWriter) yaml = yaml_writer_new();

    put_snapshot(yaml, place->snapshot);
    return yaml_writer_finish(yaml);
}
