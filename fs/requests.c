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

static char *last_component(const char *target)
{
    g_autofree char *text = g_strdup(target);
    size_t length = strlen(text);

    while (length > 0 && text[length - 1] == '/')
        text[--length] = '\0';
    const char *slash = strrchr(text, '/');
    return g_strdup(slash ? slash + 1 : text);
}

Request *request_revert(const Place *vm, const char *target, GError **error)
{
    g_autofree char *name = last_component(target);

    if (!name[0]) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                    "\"%s\" names no snapshot of \"%s\": link to snapshots/NAME", target,
                    vm->vm->name);
        return NULL;
    }
    Request *request = request_at(vm, REQUEST_REVERT);
    str_set(&request->name, name);
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
