/* Views: what the face shows, built from a catalog and the facts of an observation. Immutable once
 * published; copies share their arrays. */
#include "run/engine-priv.h"

#include "run/view-firmware.h"

#include <string.h>

static void layer_view_free(LayerView *layer)
{
    g_free(layer->target);
    g_free(layer->file);
    g_free(layer->format);
    g_free(layer);
}

static void snapshot_view_free(SnapshotView *snapshot)
{
    g_free(snapshot->id);
    g_free(snapshot->name);
    g_free(snapshot->parent);
    g_free(snapshot->consistency);
    g_free(snapshot->description);
    g_free(snapshot->warnings);
    g_free(snapshot->error);
    g_ptr_array_unref(snapshot->disks);
    sidecar_free(snapshot->vars);
    sidecar_free(snapshot->tpm);
    g_ptr_array_unref(snapshot->tpm_files);
    g_free(snapshot);
}

static void disk_view_free(DiskView *disk)
{
    g_free(disk->target);
    g_free(disk->source);
    g_free(disk->format);
    g_free(disk->reason);
    g_ptr_array_unref(disk->chain);
    g_free(disk);
}

VmView *vm_view_ref(const VmView *view)
{
    VmView *same = (VmView *)view;

    g_atomic_int_inc(&same->references);
    return same;
}

void vm_view_unref(VmView *view)
{
    if (!view || !g_atomic_int_dec_and_test(&view->references))
        return;
    g_free(view->uuid);
    g_free(view->name);
    g_free(view->state);
    g_free(view->problem);
    g_free(view->drift);
    g_free(view->home);
    g_free(view->current);
    vars_view_free(view->nvram);
    tpm_view_free(view->vtpm);
    g_ptr_array_unref(view->snapshots);
    g_ptr_array_unref(view->disks);
    g_ptr_array_unref(view->jobs);
    g_hash_table_unref(view->policy);
    g_free(view);
}

void host_view_unref(HostView *view)
{
    if (!view || !g_atomic_int_dec_and_test(&view->references))
        return;
    g_free(view->uri);
    g_free(view->problem);
    g_free(view->config);
    g_free(view->config_problem);
    g_ptr_array_unref(view->vms);
    g_ptr_array_unref(view->orphans);
    g_free(view->orphans_problem);
    g_free(view);
}

const VmView *host_view_find(const HostView *view, const char *name)
{
    for (guint i = 0; i < view->vms->len; i++) {
        const VmView *vm = view->vms->pdata[i];
        if (strcmp(vm->name, name) == 0)
            return vm;
    }
    return NULL;
}

const VmView *host_view_of_uuid(const HostView *view, const char *uuid)
{
    for (guint i = 0; i < view->vms->len; i++) {
        const VmView *vm = view->vms->pdata[i];
        if (strcmp(vm->uuid, uuid) == 0)
            return vm;
    }
    return NULL;
}

const SnapshotView *vm_view_snapshot(const VmView *view, const char *id)
{
    for (guint i = 0; id && i < view->snapshots->len; i++) {
        const SnapshotView *snapshot = view->snapshots->pdata[i];
        if (strcmp(snapshot->id, id) == 0)
            return snapshot;
    }
    return NULL;
}

const SnapshotView *vm_view_named(const VmView *view, const char *name)
{
    for (guint i = 0; i < view->snapshots->len; i++) {
        const SnapshotView *snapshot = view->snapshots->pdata[i];
        if (!snapshot->hidden && strcmp(snapshot->name, name) == 0)
            return snapshot;
    }
    return NULL;
}

static LayerView *layer_view_new(const Disk *disk, const Layer *layer, const Observation *facts)
{
    LayerView *view = g_new0(LayerView, 1);
    const ImageFacts *file = facts ? observation_file(facts, layer->path) : NULL;

    view->target = g_strdup(disk->target);
    view->file = g_strdup(layer->path);
    view->format = g_strdup(layer->format);
    view->capacity = layer->capacity;
    view->allocation = file ? file->allocation : 0;
    return view;
}

static void add_layers(SnapshotView *view, const Snapshot *snapshot, const ViewFacts *facts)
{
    for (guint i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(facts->catalog, entry->disk);
        const Layer *layer = disk ? disk_layer(disk, entry->layer) : NULL;

        if (layer)
            g_ptr_array_add(view->disks, layer_view_new(disk, layer, facts->observation));
    }
}

/* What a sidecar holds never changes, so that it is looked at once. */
static GPtrArray *tpm_files_of(const Snapshot *snapshot, const ViewFacts *facts)
{
    const SnapshotView *before = vm_view_snapshot(facts->previous, snapshot->id);

    if (before && before->tpm_files->len > 0)
        return g_ptr_array_ref(before->tpm_files);
    return tpm_files_look(facts->files, facts->home, facts->uuid, snapshot);
}

static SnapshotView *snapshot_view_new(const Snapshot *snapshot, const ViewFacts *facts)
{
    SnapshotView *view = g_new0(SnapshotView, 1);

    view->id = g_strdup(snapshot->id);
    view->name = g_strdup(snapshot->name);
    view->parent = g_strdup(snapshot->parent);
    view->state = snapshot->state;
    view->hidden = snapshot->hidden || snapshot->state == SNAPSHOT_REMOVING;
    view->created = snapshot->created;
    view->consistency = g_strdup(snapshot->consistency ? snapshot->consistency : "");
    view->description = g_strdup(snapshot->description ? snapshot->description : "");
    view->warnings = g_strdup(snapshot->warnings ? snapshot->warnings : "");
    view->error = g_strdup(snapshot->error ? snapshot->error : "");
    view->children = catalog_children(facts->catalog, snapshot->id);
    view->uid = snapshot->uid;
    view->mode = snapshot->mode;
    view->disks = g_ptr_array_new_with_free_func((GDestroyNotify)layer_view_free);
    add_layers(view, snapshot, facts);
    view->vars = sidecar_copy(snapshot->vars);
    view->tpm = sidecar_copy(snapshot->tpm);
    view->tpm_files = tpm_files_of(snapshot, facts);
    return view;
}

static char *disk_reason(const DomainDisk *disk)
{
    const char *excluded = domain_disk_excluded(disk);
    char *unsupported = excluded ? NULL : domain_disk_unsupported(disk);

    return unsupported ? unsupported : g_strdup(excluded ? excluded : "");
}

static DiskView *disk_view_new(const DomainDisk *disk, const Observation *observation)
{
    DiskView *view = g_new0(DiskView, 1);
    const ImageFacts *file = disk->path ? observation_file(observation, disk->path) : NULL;

    view->target = g_strdup(disk->target);
    view->source = g_strdup(disk->path ? disk->path : "");
    view->format = g_strdup(disk->format ? disk->format : "raw");
    view->capacity = file ? file->capacity : 0;
    view->allocation = file ? file->allocation : 0;
    view->reason = disk_reason(disk);
    view->included = !*view->reason;
    view->chain = disk->path ? observation_chain(observation, disk->path)
                             : g_ptr_array_new_with_free_func(g_free);
    return view;
}

static GPtrArray *disk_views(const Observation *observation)
{
    GPtrArray *disks = g_ptr_array_new_with_free_func((GDestroyNotify)disk_view_free);
    const Domain *domain = observation ? observation_domain(observation) : NULL;

    for (guint i = 0; domain && i < domain->disks->len; i++)
        g_ptr_array_add(disks, disk_view_new(domain->disks->pdata[i], observation));
    return disks;
}

static GPtrArray *snapshot_views(const ViewFacts *facts)
{
    GPtrArray *snapshots = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_view_free);

    for (guint i = 0; i < facts->catalog->snapshots->len; i++)
        g_ptr_array_add(snapshots, snapshot_view_new(facts->catalog->snapshots->pdata[i], facts));
    return snapshots;
}

static GHashTable *policy_view(const Catalog *catalog)
{
    GHashTable *policy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    for (const char *const *key = catalog_policy_keys(); *key; key++) {
        const char *value = catalog ? catalog_policy(catalog, *key) : catalog_policy_default(*key);
        g_hash_table_insert(policy, g_strdup(*key), g_strdup(value));
    }
    return policy;
}

static VmView *view_new(const char *uuid, const char *name)
{
    VmView *view = g_new0(VmView, 1);

    view->references = 1;
    view->uuid = g_strdup(uuid);
    view->name = g_strdup(name);
    view->jobs = g_ptr_array_new_with_free_func((GDestroyNotify)job_unref);
    return view;
}

static void set_observed(VmView *view, const ViewFacts *facts)
{
    const Observation *observation = facts->observation;
    const Domain *domain = observation_domain(observation);

    view->state = g_strdup(domain_state_name(observation->state));
    view->persistent = observation->persistent;
    view->managed_save = observation->managed_save;
    view->uefi = domain && domain->firmware;
    view->tpm = domain && domain->tpm;
    view->disks = disk_views(observation);
    view->nvram = vars_view_of(observation, facts->catalog);
    view->vtpm = tpm_view_of(observation);
}

static void set_remembered(VmView *view, const VmView *previous)
{
    view->state = g_strdup(previous->state);
    view->persistent = previous->persistent;
    view->managed_save = previous->managed_save;
    view->uefi = previous->uefi;
    view->tpm = previous->tpm;
    view->nvram = vars_view_copy(previous->nvram);
    view->vtpm = tpm_view_copy(previous->vtpm);
    view->disks = g_ptr_array_ref(previous->disks);
}

VmView *view_build(const ViewFacts *facts)
{
    VmView *view = view_new(facts->uuid, facts->name);

    if (facts->observation)
        set_observed(view, facts);
    else
        set_remembered(view, facts->previous);
    view->read_only = facts->problem != NULL;
    view->problem = g_strdup(facts->problem   ? facts->problem
                             : facts->trouble ? facts->trouble
                                              : "");
    view->frozen = facts->catalog->thaw_owed;
    view->drift = g_strdup(facts->drift ? facts->drift : "");
    view->home = g_strdup(facts->home ? facts->home : "");
    view->generation = facts->catalog->generation;
    view->current = g_strdup(facts->catalog->current);
    view->snapshots = snapshot_views(facts);
    view->policy = policy_view(facts->catalog);
    return view;
}

VmView *view_first(const HvDomain *domain)
{
    VmView *view = view_new(domain->uuid, domain->name);

    view->state = g_strdup(domain_state_name(domain->state));
    view->persistent = domain->persistent;
    view->managed_save = domain->managed_save;
    view->problem = g_strdup("");
    view->drift = g_strdup("");
    view->home = g_strdup("");
    view->snapshots = g_ptr_array_new_with_free_func((GDestroyNotify)snapshot_view_free);
    view->disks = disk_views(NULL);
    view->nvram = vars_view_of(NULL, NULL);
    view->vtpm = tpm_view_of(NULL);
    view->policy = policy_view(NULL);
    return view;
}

/* Field by field: the count of references changes while this reads. */
VmView *view_copy(const VmView *view)
{
    VmView *copy = g_new0(VmView, 1);

    copy->references = 1;
    copy->uuid = g_strdup(view->uuid);
    copy->name = g_strdup(view->name);
    copy->state = g_strdup(view->state);
    copy->frozen = view->frozen;
    copy->stale = view->stale;
    copy->read_only = view->read_only;
    copy->problem = g_strdup(view->problem);
    copy->drift = g_strdup(view->drift);
    copy->home = g_strdup(view->home);
    copy->generation = view->generation;
    copy->persistent = view->persistent;
    copy->managed_save = view->managed_save;
    copy->uefi = view->uefi;
    copy->tpm = view->tpm;
    copy->nvram = vars_view_copy(view->nvram);
    copy->vtpm = tpm_view_copy(view->vtpm);
    copy->current = g_strdup(view->current);
    copy->snapshots = g_ptr_array_ref(view->snapshots);
    copy->disks = g_ptr_array_ref(view->disks);
    copy->jobs = g_ptr_array_ref(view->jobs);
    copy->policy = g_hash_table_ref(view->policy);
    return copy;
}

void view_set_jobs(VmView *view, GPtrArray *jobs)
{
    g_ptr_array_unref(view->jobs);
    view->jobs = jobs;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    const VmView *const *x = a;
    const VmView *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

HostView *view_host(const Engine *engine, GPtrArray *vms)
{
    HostView *view = g_new0(HostView, 1);

    view->references = 1;
    view->uri = g_strdup(engine->uri);
    view->up = engine->up;
    view->problem = g_strdup(engine->problem);
    view->config = g_strdup(engine->config->path);
    view->config_problem = g_strdup(engine->config_problem);
    view->vms = vms;
    g_ptr_array_sort(vms, by_name);
    view->orphans = engine->up ? g_ptr_array_ref(engine->orphans) : g_ptr_array_new();
    view->orphans_problem =
        g_strdup(engine->up ? engine->orphans_problem : "libvirt cannot be reached");
    return view;
}
