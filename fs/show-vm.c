#include "fs/show.h"

#include "model/names.h"

char *show_uuid(const Place *place)
{
    return show_line(place->vm->uuid);
}

char *show_state(const Place *place)
{
    return show_line(place->vm->state);
}

/* snapshots/NAME or hidden/ID, from the VM's directory. */
static char *snapshot_path(const SnapshotView *snapshot)
{
    if (snapshot->hidden)
        return g_strconcat("hidden/", snapshot->id, NULL);
    return g_strconcat("snapshots/", snapshot->name, NULL);
}

static const SnapshotView *current(const Place *place)
{
    return place->vm->current ? vm_view_snapshot(place->vm, place->vm->current) : NULL;
}

char *show_current(const Place *place)
{
    return snapshot_path(current(place));
}

char *show_temporary_link(const Place *place)
{
    return g_strdup(place->link_target);
}

char *show_policy(const Place *place)
{
    return show_line(g_hash_table_lookup(place->vm->policy, place->key));
}

static void show_counts(GString *out, const VmView *vm)
{
    unsigned listed = 0, running = 0;

    for (guint i = 0; i < vm->snapshots->len; i++)
        listed += !((const SnapshotView *)g_ptr_array_index(vm->snapshots, i))->hidden;
    for (guint i = 0; i < vm->jobs->len; i++)
        running += engine_job_state(g_ptr_array_index(vm->jobs, i)) == JOB_RUNNING;
    show_key_number(out, "snapshots", listed);
    show_key_number(out, "hidden", vm->snapshots->len - listed);
    show_key_number(out, "jobs", running);
    show_key_number(out, "disks", vm->disks->len);
}

char *show_status(const Place *place)
{
    const VmView *vm = place->vm;
    const SnapshotView *now = current(place);
    GString *out = g_string_new(NULL);

    show_key(out, "name", vm->name);
    show_key(out, "state", vm->state);
    show_key_number(out, "stale", vm->stale);
    show_key_number(out, "read_only", vm->read_only);
    show_key(out, "problem", vm->problem);
    show_key(out, "drift", vm->drift);
    show_key(out, "current", now ? now->name : "");
    show_counts(out, vm);
    show_key(out, "home", vm->home);
    show_key_number(out, "generation", vm->generation);
    show_key_number(out, "persistent", vm->persistent);
    show_key_number(out, "managed_save", vm->managed_save);
    show_key_number(out, "frozen", vm->frozen);
    show_key_number(out, "uefi", vm->uefi);
    show_key_number(out, "tpm", vm->tpm);
    show_key(out, "nvram", vm->nvram->state);
    show_key(out, "vtpm", vm->vtpm->state);
    return g_string_free(out, FALSE);
}

/* A sentence a line; a path in one may be any bytes. */
char *show_drift(const Place *place)
{
    g_autofree char *valid = g_utf8_make_valid(place->vm->drift, -1);

    return show_line(valid);
}

/* ---- disks ---- */

char *show_disk_source(const Place *place)
{
    return show_line(place->disk->source);
}

char *show_disk_format(const Place *place)
{
    return show_line(place->disk->format);
}

char *show_disk_capacity(const Place *place)
{
    return show_number(place->disk->capacity);
}

char *show_disk_allocation(const Place *place)
{
    return show_number(place->disk->allocation);
}

/* A path a line, the active layer first; escaped, since a path may hold a newline. */
char *show_disk_chain(const Place *place)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < place->disk->chain->len; i++) {
        g_autofree char *path = text_escape(g_ptr_array_index(place->disk->chain, i));
        g_string_append_printf(out, "%s\n", path);
    }
    return g_string_free(out, FALSE);
}

char *show_disk_included(const Place *place)
{
    if (place->disk->included)
        return g_strdup("yes\n");
    return g_strdup_printf("no: %s\n", place->disk->reason);
}
