#include "fs/show.h"

#include "model/names.h"

#include <inttypes.h>

char *show_snapshot_id(const Place *place)
{
    return show_line(place->snapshot->id);
}

char *show_snapshot_state(const Place *place)
{
    return show_line(snapshot_state_name(place->snapshot->state));
}

char *show_snapshot_created(const Place *place)
{
    return show_time(place->snapshot->created);
}

char *show_snapshot_consistency(const Place *place)
{
    return show_line(place->snapshot->consistency);
}

char *show_snapshot_description(const Place *place)
{
    return show_line(place->snapshot->description);
}

char *show_snapshot_children(const Place *place)
{
    return show_number(place->snapshot->children);
}

char *show_snapshot_disks(const Place *place)
{
    GString *out = g_string_new(NULL);

    for (guint i = 0; i < place->snapshot->disks->len; i++) {
        const LayerView *layer = g_ptr_array_index(place->snapshot->disks, i);
        g_autofree char *target = text_escape(layer->target);
        g_autofree char *file = text_escape(layer->file);
        g_string_append_printf(out,
                               "%s file=%s format=%s capacity=%" PRIu64 " allocation=%" PRIu64 "\n",
                               target, file, layer->format, layer->capacity, layer->allocation);
    }
    return g_string_free(out, FALSE);
}

char *show_snapshot_warnings(const Place *place)
{
    return show_line(place->snapshot->warnings);
}

char *show_snapshot_error(const Place *place)
{
    return show_line(place->snapshot->error);
}

/* From the snapshot's own directory; listed and hidden ones stand in two directories side by side.
 */
char *show_snapshot_parent(const Place *place)
{
    const SnapshotView *own = place->snapshot;
    const SnapshotView *parent = vm_view_snapshot(place->vm, own->parent);
    const char *name = parent->hidden ? parent->id : parent->name;

    if (own->hidden == parent->hidden)
        return g_strconcat("../", name, NULL);
    return g_strconcat("../../", parent->hidden ? "hidden/" : "snapshots/", name, NULL);
}
