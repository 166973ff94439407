#include "fs/requests.h"

#include "base/str.h"
#include "model/names.h"

#include <string.h>

static Request *request_at(const Place *place, RequestKind kind)
{
    return request_new(kind, place->vm->uuid);
}

Request *request_create(const Place *directory, const char *name, mode_t mode, GError **error)
{
    Request *request = request_at(directory, REQUEST_CREATE);

    str_set(&request->name, name);
    str_set(&request->text, "");
    request->mode = mode & 0777;
    return request;
}

/* mv prints nonsense for EINVAL: to a name that is none, moving is never possible (design 2.2). */
static bool is_name(bool (*check)(const char *name, GError **error), const char *name,
                    GError **error)
{
    g_autoptr(GError) why = NULL;

    if (check(name, &why))
        return true;
    if (!error_is(why, ERR_INVALID))
        g_propagate_error(error, g_steal_pointer(&why));
    else
        g_set_error_literal(error, VMSNAPFS_ERROR, ERR_FORBIDDEN, why->message);
    return false;
}

Request *request_rename(const Place *place, const char *new_name, GError **error)
{
    if (!is_name(name_check, new_name, error))
        return NULL;
    Request *request = request_at(place, REQUEST_RENAME);
    str_set(&request->name, place->snapshot->name);
    str_set(&request->new_name, new_name);
    return request;
}

Request *request_move(const Place *place, const char *new_name, GError **error)
{
    if (!is_name(vm_name_check, new_name, error))
        return NULL;
    Request *request = request_at(place, REQUEST_MOVE);
    str_set(&request->new_name, new_name);
    return request;
}

Request *request_expunge(const Place *place, GError **error)
{
    return request_at(place, REQUEST_EXPUNGE);
}

Request *request_remove(const Place *place, GError **error)
{
    Request *request = request_at(place, REQUEST_REMOVE);

    str_set(&request->name, place->snapshot->name);
    request->sync = place->face->sync;
    return request;
}

Request *request_describe(const Place *place, const char *text, GError **error)
{
    Request *request = request_at(place, REQUEST_DESCRIBE);

    str_set(&request->name, place->snapshot->name);
    str_set(&request->text, text);
    return request;
}

Request *request_mode(const Place *place, mode_t mode)
{
    Request *request = request_at(place, REQUEST_MODE);

    str_set(&request->name, place->snapshot->name);
    request->mode = mode & 0777;
    return request;
}

static bool is_here(const char *component)
{
    return !component[0] || !strcmp(component, ".");
}

/* The components of a link's target, last one first. */
static GPtrArray *components_of(const char *target)
{
    g_auto(GStrv) parts = g_strsplit(target, "/", -1);
    GPtrArray *components = g_ptr_array_new_with_free_func(g_free);

    for (guint i = g_strv_length(parts); i-- > 0;)
        if (!is_here(parts[i]))
            g_ptr_array_add(components, g_strdup(parts[i]));
    return components;
}

/* NAME, snapshots/NAME, and either after what may lead to this VM's directory: what was pasted from
 * another VM names no snapshot of this one, though the last component may. */
static bool leads_here(const Place *vm, const GPtrArray *components)
{
    const char *above = components->len > 2 ? components->pdata[2] : "..";

    if (components->len < 2)
        return components->len == 1;
    return !strcmp(components->pdata[1], "snapshots") &&
           (!strcmp(above, "..") || !strcmp(above, vm->vm->name) || !strcmp(above, vm->vm->uuid));
}

Request *request_revert(const Place *vm, const char *target, GError **error)
{
    g_autoptr(GPtrArray) components = components_of(target);

    if (!leads_here(vm, components)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                    "\"%s\" names no snapshot of \"%s\": link to snapshots/NAME", target,
                    vm->vm->name);
        return NULL;
    }
    Request *request = request_at(vm, REQUEST_REVERT);
    str_set(&request->name, components->pdata[0]);
    return request;
}

Request *request_move_link(const Place *link, const char *new_name, GError **error)
{
    if (strcmp(new_name, "current") != 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_FORBIDDEN,
                    "a temporary link of \"%s\" can only be moved onto current, not onto \"%s\"",
                    link->vm->name, new_name);
        return NULL;
    }
    return request_revert(link, link->link_target, error);
}

Request *request_power(const Place *place, const char *text, GError **error)
{
    Request *request = request_at(place, REQUEST_POWER);

    str_set(&request->text, text);
    return request;
}

Request *request_drift(const Place *place, const char *text, GError **error)
{
    if (strcmp(text, "rescan") == 0)
        return request_at(place, REQUEST_RESCAN);
    if (strcmp(text, "adopt") != 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "drift of \"%s\" takes rescan (look again) or adopt (take what libvirt has as "
                    "the truth), not \"%s\"",
                    place->vm->name, text);
        return NULL;
    }
    Request *request = request_at(place, REQUEST_ADOPT);
    request->mode = 0750;
    return request;
}

Request *request_policy(const Place *place, const char *text, GError **error)
{
    Request *request = request_at(place, REQUEST_POLICY);

    str_set(&request->name, place->key);
    str_set(&request->text, text);
    return request;
}

static Request *request_of_job(const Place *place, RequestKind kind)
{
    Request *request = request_at(place, kind);

    request->job = engine_job_id(place->job);
    return request;
}

Request *request_bandwidth(const Place *place, const char *text, GError **error)
{
    uint64_t bytes;

    if (!size_parse(text, &bytes, error))
        return NULL;
    Request *request = request_of_job(place, REQUEST_JOB_BANDWIDTH);
    request->number = bytes;
    return request;
}

Request *request_job_drop(const Place *place, GError **error)
{
    return request_of_job(place, REQUEST_JOB_DROP);
}

Request *request_free_orphan(const Place *orphan, GError **error)
{
    Request *request = request_new(REQUEST_FREE, "");

    str_set(&request->text, orphan->orphan->path);
    return request;
}

/* ---- UEFI variables and vTPM ---- */

Request *load_vars(const Place *place)
{
    return request_at(place, REQUEST_READ);
}

Request *load_vars_digest(const Place *place)
{
    return place->vm->nvram->exists ? load_vars(place) : NULL;
}

Request *load_snapshot_vars(const Place *place)
{
    Request *request = request_at(place, REQUEST_READ);

    str_set(&request->name, place->snapshot->id);
    return request;
}

Request *load_tpm_file(const Place *place)
{
    Request *request = load_snapshot_vars(place);

    str_set(&request->text, place->file->name);
    return request;
}

Request *request_set_vars(const Place *place, GBytes *content)
{
    Request *request = request_at(place, REQUEST_SET_VARS);

    request->content = g_bytes_ref(content);
    return request;
}

bool whole_vars(const Place *place, uint64_t *out_size, GError **error)
{
    if (!vm_view_check_vars(place->vm, error))
        return false;
    *out_size = place->vm->nvram->whole;
    if (*out_size == 0)
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "It is not known how many bytes the UEFI variables of VM %s have: neither they "
                    "nor their template can be looked at",
                    place->vm->name);
    return *out_size > 0;
}

Request *request_reset_vars(const Place *place, GError **error)
{
    return request_at(place, REQUEST_RESET_VARS);
}
