#include "fs/place.h"

#include "fs/templinks.h"
#include "model/names.h"

#include <limits.h>
#include <string.h>

typedef struct {
    bool (*find)(Place *place, const char *name);   /* by the name it is shown under */
    bool (*bind)(Place *place, const char *object); /* by identity; NULL: as find */
    void (*each)(Place *place, PlaceVisit visit, void *data);
    char *(*name)(const Place *place);
    char *(*object)(const Place *place); /* NULL: as name */
} ScopeKind;

void place_init(Place *place, Face *face)
{
    *place = (Place){.face = face, .host = engine_view(face->engine)};
}

void place_clear(Place *place)
{
    g_clear_pointer(&place->host, host_view_unref);
    g_clear_pointer(&place->link_name, g_free);
    g_clear_pointer(&place->link_target, g_free);
}

const char *place_uuid(const Place *place)
{
    return place->vm ? place->vm->uuid : "";
}

/* ---- VMs ---- */

/* What means something here, what a terminal would obey, and what could be taken for another VM. */
const char *place_vm_name(const VmView *vm)
{
    bool unusable = vm->name[0] == '.' || vm->name[0] == '\0' || strcmp(vm->name, "README") == 0 ||
                    strchr(vm->name, '/') || strlen(vm->name) > NAME_MAX ||
                    !g_utf8_validate(vm->name, -1, NULL) || text_has_control(vm->name) ||
                    g_uuid_string_is_valid(vm->name);

    return unusable ? vm->uuid : vm->name;
}

static bool bind_vm(Place *place, const char *uuid)
{
    const VmView *vm = host_view_of_uuid(place->host, uuid);

    if (vm)
        place->vm = vm;
    return vm != NULL;
}

static bool find_vm(Place *place, const char *name)
{
    place->vm = host_view_find(place->host, name);
    if (place->vm && strcmp(place_vm_name(place->vm), name) == 0)
        return true;
    return bind_vm(place, name) && strcmp(place_vm_name(place->vm), name) == 0;
}

static void each_vm(Place *place, PlaceVisit visit, void *data)
{
    for (guint i = 0; i < place->host->vms->len; i++) {
        place->vm = g_ptr_array_index(place->host->vms, i);
        visit(place, data);
    }
}

static char *name_vm(const Place *place)
{
    return g_strdup(place_vm_name(place->vm));
}

static char *object_none(const Place *place)
{
    return g_strdup("");
}

static bool bind_none(Place *place, const char *object)
{
    return true;
}

static char *name_uuid(const Place *place)
{
    return g_strdup(place->vm->uuid);
}

/* ---- snapshots ---- */

static bool find_snapshot(Place *place, const char *name)
{
    place->snapshot = vm_view_named(place->vm, name);
    return place->snapshot != NULL;
}

static bool bind_snapshot(Place *place, const char *id)
{
    place->snapshot = vm_view_snapshot(place->vm, id);
    return place->snapshot && !place->snapshot->hidden;
}

static bool bind_hidden(Place *place, const char *id)
{
    place->snapshot = vm_view_snapshot(place->vm, id);
    return place->snapshot && place->snapshot->hidden;
}

static void each_snapshot_that(Place *place, bool hidden, PlaceVisit visit, void *data)
{
    for (guint i = 0; i < place->vm->snapshots->len; i++) {
        place->snapshot = g_ptr_array_index(place->vm->snapshots, i);
        if (place->snapshot->hidden == hidden)
            visit(place, data);
    }
}

static void each_snapshot(Place *place, PlaceVisit visit, void *data)
{
    each_snapshot_that(place, false, visit, data);
}

static void each_hidden(Place *place, PlaceVisit visit, void *data)
{
    each_snapshot_that(place, true, visit, data);
}

static char *name_snapshot(const Place *place)
{
    return g_strdup(place->snapshot->name);
}

static char *object_snapshot(const Place *place)
{
    return g_strdup(place->snapshot->id);
}

/* ---- jobs ---- */

static char *name_job(const Place *place)
{
    return g_strdup_printf("%u", engine_job_id(place->job));
}

static bool find_job(Place *place, const char *name)
{
    for (guint i = 0; i < place->vm->jobs->len; i++) {
        place->job = g_ptr_array_index(place->vm->jobs, i);
        g_autofree char *id = name_job(place);
        if (strcmp(id, name) == 0)
            return true;
    }
    return false;
}

static void each_job(Place *place, PlaceVisit visit, void *data)
{
    for (guint i = 0; i < place->vm->jobs->len; i++) {
        place->job = g_ptr_array_index(place->vm->jobs, i);
        visit(place, data);
    }
}

static bool job_runs(const Place *place)
{
    return engine_job_state(place->job) == JOB_RUNNING;
}

static bool find_running(Place *place, const char *name)
{
    for (guint i = 0; i < place->host->vms->len; i++) {
        place->vm = g_ptr_array_index(place->host->vms, i);
        if (find_job(place, name) && job_runs(place))
            return true;
    }
    return false;
}

static bool bind_running(Place *place, const char *id)
{
    return find_job(place, id) && job_runs(place);
}

static void each_running(Place *place, PlaceVisit visit, void *data)
{
    for (guint i = 0; i < place->host->vms->len; i++) {
        place->vm = g_ptr_array_index(place->host->vms, i);
        for (guint j = 0; j < place->vm->jobs->len; j++) {
            place->job = g_ptr_array_index(place->vm->jobs, j);
            if (job_runs(place))
                visit(place, data);
        }
    }
}

/* ---- disks and policies ---- */

static bool find_disk(Place *place, const char *target)
{
    for (guint i = 0; i < place->vm->disks->len; i++) {
        place->disk = g_ptr_array_index(place->vm->disks, i);
        if (strcmp(place->disk->target, target) == 0)
            return true;
    }
    return false;
}

static void each_disk(Place *place, PlaceVisit visit, void *data)
{
    for (guint i = 0; i < place->vm->disks->len; i++) {
        place->disk = g_ptr_array_index(place->vm->disks, i);
        visit(place, data);
    }
}

static char *name_disk(const Place *place)
{
    return g_strdup(place->disk->target);
}

static bool find_policy(Place *place, const char *key)
{
    for (const char *const *keys = catalog_policy_keys(); *keys; keys++)
        if (strcmp(*keys, key) == 0) {
            place->key = *keys;
            return true;
        }
    return false;
}

static void each_policy(Place *place, PlaceVisit visit, void *data)
{
    for (const char *const *keys = catalog_policy_keys(); *keys; keys++) {
        place->key = *keys;
        visit(place, data);
    }
}

static char *name_policy(const Place *place)
{
    return g_strdup(place->key);
}

/* ---- orphans ---- */

static bool find_orphan(Place *place, const char *name)
{
    for (guint i = 0; i < place->host->orphans->len; i++) {
        place->orphan = g_ptr_array_index(place->host->orphans, i);
        if (strcmp(place->orphan->name, name) == 0)
            return true;
    }
    return false;
}

static bool bind_orphan(Place *place, const char *path)
{
    for (guint i = 0; i < place->host->orphans->len; i++) {
        place->orphan = g_ptr_array_index(place->host->orphans, i);
        if (strcmp(place->orphan->path, path) == 0)
            return true;
    }
    return false;
}

static void each_orphan(Place *place, PlaceVisit visit, void *data)
{
    for (guint i = 0; i < place->host->orphans->len; i++) {
        place->orphan = g_ptr_array_index(place->host->orphans, i);
        visit(place, data);
    }
}

static char *name_orphan(const Place *place)
{
    return g_strdup(place->orphan->name);
}

static char *object_orphan(const Place *place)
{
    return g_strdup(place->orphan->path);
}

/* ---- files of a vTPM's state; as an object: "SNAPSHOT/FILE" ---- */

static bool find_tpm_file(Place *place, const char *name)
{
    const GPtrArray *files = place->snapshot->tpm_files;

    for (guint i = 0; i < files->len; i++) {
        place->file = g_ptr_array_index(files, i);
        if (strcmp(place->file->name, name) == 0)
            return true;
    }
    return false;
}

static bool bind_tpm_file_of(Place *place, bool (*bind)(Place *place, const char *id),
                             const char *object)
{
    g_auto(GStrv) parts = g_strsplit(object, "/", 2);

    return parts[0] && parts[1] && bind(place, parts[0]) && find_tpm_file(place, parts[1]);
}

static bool bind_tpm_file(Place *place, const char *object)
{
    return bind_tpm_file_of(place, bind_snapshot, object);
}

static bool bind_hidden_tpm_file(Place *place, const char *object)
{
    return bind_tpm_file_of(place, bind_hidden, object);
}

static void each_tpm_file(Place *place, PlaceVisit visit, void *data)
{
    const GPtrArray *files = place->snapshot->tpm_files;

    for (guint i = 0; i < files->len; i++) {
        place->file = g_ptr_array_index(files, i);
        visit(place, data);
    }
}

static char *name_tpm_file(const Place *place)
{
    return g_strdup(place->file->name);
}

static char *object_tpm_file(const Place *place)
{
    return g_strconcat(place->snapshot->id, "/", place->file->name, NULL);
}

/* ---- temporary links ---- */

static bool find_link(Place *place, const char *name)
{
    place->link_target = templinks_target(place->face->links, place->vm->uuid, name);
    place->link_name = place->link_target ? g_strdup(name) : NULL;
    return place->link_target != NULL;
}

static void each_link(Place *place, PlaceVisit visit, void *data)
{
    /* Never listed: whatever walks the directory must not meet the middle of somebody's ln
     * (design 2.4). */
}

static char *name_link(const Place *place)
{
    return g_strdup(place->link_name);
}

/* ---- the table ---- */

static const ScopeKind kinds[] = {
    [SCOPE_HOST] = {.bind = bind_none, .object = object_none},
    [SCOPE_VM] = {.find = find_vm,
                  .bind = bind_none,
                  .each = each_vm,
                  .name = name_vm,
                  .object = object_none},
    [SCOPE_SNAPSHOT] = {.find = find_snapshot,
                        .bind = bind_snapshot,
                        .each = each_snapshot,
                        .name = name_snapshot,
                        .object = object_snapshot},
    [SCOPE_HIDDEN] = {.find = bind_hidden, .each = each_hidden, .name = object_snapshot},
    [SCOPE_JOB] = {.find = find_job, .each = each_job, .name = name_job},
    [SCOPE_DISK] = {.find = find_disk, .each = each_disk, .name = name_disk},
    [SCOPE_POLICY] = {.find = find_policy, .each = each_policy, .name = name_policy},
    [SCOPE_LINK] = {.find = find_link, .each = each_link, .name = name_link},
    [SCOPE_UUID] = {.find = bind_vm,
                    .bind = bind_none,
                    .each = each_vm,
                    .name = name_uuid,
                    .object = object_none},
    [SCOPE_RUNNING] = {.find = find_running,
                       .bind = bind_running,
                       .each = each_running,
                       .name = name_job},
    [SCOPE_ORPHAN] = {.find = find_orphan,
                      .bind = bind_orphan,
                      .each = each_orphan,
                      .name = name_orphan,
                      .object = object_orphan},
    [SCOPE_TPM_FILE] = {.find = find_tpm_file,
                        .bind = bind_tpm_file,
                        .each = each_tpm_file,
                        .name = name_tpm_file,
                        .object = object_tpm_file},
    [SCOPE_HIDDEN_TPM_FILE] = {.find = find_tpm_file,
                               .bind = bind_hidden_tpm_file,
                               .each = each_tpm_file,
                               .name = name_tpm_file,
                               .object = object_tpm_file},
};

bool place_bind(Place *place, Scope scope, const char *uuid, const char *object)
{
    const ScopeKind *kind = &kinds[scope];

    if (uuid[0] && !bind_vm(place, uuid))
        return false;
    return kind->bind ? kind->bind(place, object) : kind->find(place, object);
}

bool place_find(Place *place, Scope scope, const char *name)
{
    return kinds[scope].find(place, name);
}

void place_each(const Place *place, Scope scope, PlaceVisit visit, void *data)
{
    Place child = *place;

    kinds[scope].each(&child, visit, data);
}

char *place_name(const Place *place, Scope scope)
{
    return kinds[scope].name(place);
}

char *place_object(const Place *place, Scope scope)
{
    const ScopeKind *kind = &kinds[scope];

    return kind->object ? kind->object(place) : kind->name(place);
}
