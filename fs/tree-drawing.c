/* `tree`: the snapshots of a VM, drawn.
 *
 *     web01
 *     ○ base             2026-11-21 14:00:05    1.3 GiB  off
 *     ├─○ attempt-1      2026-11-21 14:10:21   64.0 MiB  crash
 *     │ ○ attempt-2      2026-11-21 14:12:40   12.0 MiB  crash
 *     ○ [good]           2026-11-21 14:20:09    8.0 MiB  crash  removed, still needed
 *     ● <- you are here  running
 *
 * What stands below another in the same column came after it, so a long chain stays in one column;
 * every further branch is indented. The way to where the VM is now is drawn last, so that "you are
 * here" is the last line. */
#include "fs/show.h"

#include "model/names.h"

#include <string.h>

#define SUMMARY_MAX 60 /* characters of a description */

typedef struct {
    char *label, *date, *size, *rest;
} Row;

typedef struct {
    const VmView *vm;
    GHashTable *here; /* ids on the way to the current snapshot */
    GPtrArray *rows;  /* of Row */
} Drawing;

static void row_free(void *data)
{
    Row *row = data;

    g_free(row->label);
    g_free(row->date);
    g_free(row->size);
    g_free(row->rest);
    g_free(row);
}

static const SnapshotView *parent_of(const VmView *vm, const SnapshotView *snapshot)
{
    return snapshot->parent ? vm_view_snapshot(vm, snapshot->parent) : NULL;
}

/* The children of @parent (NULL: the first ones), oldest first, the one that leads to the current
 * snapshot last. */
static GPtrArray *children_of(const Drawing *drawing, const SnapshotView *parent)
{
    GPtrArray *children = g_ptr_array_new();
    SnapshotView *last = NULL;

    for (guint i = 0; i < drawing->vm->snapshots->len; i++) {
        SnapshotView *snapshot = g_ptr_array_index(drawing->vm->snapshots, i);
        if (parent_of(drawing->vm, snapshot) != parent)
            continue;
        if (g_hash_table_contains(drawing->here, snapshot->id))
            last = snapshot;
        else
            g_ptr_array_add(children, snapshot);
    }
    if (last)
        g_ptr_array_add(children, last);
    return children;
}

static char *size_of(const SnapshotView *snapshot)
{
    uint64_t bytes = 0;

    for (guint i = 0; i < snapshot->disks->len; i++)
        bytes += ((const LayerView *)g_ptr_array_index(snapshot->disks, i))->allocation;
    return size_format(bytes);
}

/* Date and time of day, to the second: "2026-11-21 14:00:05". UTC, as everything in the tree. */
static char *date_of(const SnapshotView *snapshot)
{
    char *date = time_format(snapshot->created);

    g_strdelimit(date, "TZ", ' ');
    return g_strchomp(date);
}

/* The beginning of the first line. A description is anybody's text: what it does to a terminal is
 * not for the drawing. */
static char *summary_of(const SnapshotView *snapshot)
{
    GString *summary = g_string_new(NULL);
    const char *at = snapshot->description;

    for (unsigned i = 0; i < SUMMARY_MAX && *at && *at != '\n'; i++, at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        g_string_append_unichar(summary, g_unichar_iscntrl(c) ? ' ' : c);
    }
    if (*at && *at != '\n')
        g_string_append(summary, "…");
    return g_string_free(summary, FALSE);
}

static char *rest_of(const SnapshotView *snapshot)
{
    GString *rest = g_string_new(snapshot->consistency);
    g_autofree char *summary = summary_of(snapshot);

    if (snapshot->state != SNAPSHOT_READY)
        g_string_append_printf(rest, "  %s", snapshot_state_name(snapshot->state));
    else if (snapshot->hidden)
        g_string_append(rest, "  removed, still needed");
    if (!(snapshot->mode & 0200) && !snapshot->hidden)
        g_string_append(rest, "  held");
    if (snapshot->vars)
        g_string_append(rest, snapshot->tpm ? "  NVRAM, vTPM" : "  NVRAM");
    else if (snapshot->tpm)
        g_string_append(rest, "  vTPM");
    if (summary[0])
        g_string_append_printf(rest, "  %s", summary);
    return g_string_free(rest, FALSE);
}

static void add_snapshot(Drawing *drawing, const char *stem, const SnapshotView *snapshot)
{
    Row *row = g_new0(Row, 1);

    row->label = g_strdup_printf(snapshot->hidden ? "%s○ [%s]" : "%s○ %s", stem, snapshot->name);
    row->date = date_of(snapshot);
    row->size = size_of(snapshot);
    row->rest = rest_of(snapshot);
    g_ptr_array_add(drawing->rows, row);
}

/* Variables that a start will not make by itself. */
static bool lacks_vars(const VarsView *vars)
{
    return vars->vanished || strcmp(vars->state, "empty") == 0 ||
           strcmp(vars->state, "badsize") == 0;
}

static void add_here(Drawing *drawing, const char *stem)
{
    const VmView *vm = drawing->vm;
    Row *row = g_new0(Row, 1);
    bool lacks = lacks_vars(vm->nvram);

    row->label = g_strdup_printf("%s● <- you are here  %s%s%s%s", stem, vm->state,
                                 vm->stale ? " (last known)" : "", lacks ? "  NVRAM " : "",
                                 lacks ? vm->nvram->state : "");
    g_ptr_array_add(drawing->rows, row);
}

static bool is_current(const Drawing *drawing, const SnapshotView *snapshot)
{
    const char *current = drawing->vm->current;

    return snapshot ? g_strcmp0(current, snapshot->id) == 0
                    : !current || !vm_view_snapshot(drawing->vm, current);
}

/* What came after @parent, each line beginning with @indent. Goes down a column in a loop and into
 * branches by calling itself, so that a chain of any length needs no stack. */
static void draw_column(Drawing *drawing, const SnapshotView *parent, const char *indent)
{
    for (;;) {
        g_autoptr(GPtrArray) children = children_of(drawing, parent);
        bool here = is_current(drawing, parent);
        guint branches = here ? children->len : MAX(children->len, 1) - 1;

        for (guint i = 0; i < branches; i++) {
            const SnapshotView *child = g_ptr_array_index(children, i);
            g_autofree char *stem = g_strconcat(indent, "├─", NULL);
            g_autofree char *deeper = g_strconcat(indent, "│ ", NULL);
            add_snapshot(drawing, stem, child);
            draw_column(drawing, child, deeper);
        }
        if (here)
            add_here(drawing, indent);
        if (here || children->len == 0)
            return;
        parent = g_ptr_array_index(children, children->len - 1);
        add_snapshot(drawing, indent, parent);
    }
}

static int columns(const char *text)
{
    int width = 0;

    for (const char *at = text; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
    }
    return width;
}

static void print_rows(GString *out, const GPtrArray *rows)
{
    int label = 0, size = 0;

    for (guint i = 0; i < rows->len; i++) {
        const Row *row = g_ptr_array_index(rows, i);
        label = row->date ? MAX(label, columns(row->label)) : label;
        size = row->size ? MAX(size, columns(row->size)) : size;
    }
    for (guint i = 0; i < rows->len; i++) {
        const Row *row = g_ptr_array_index(rows, i);
        g_string_append(out, row->label);
        if (row->date)
            g_string_append_printf(out, "%*s  %s  %*s  %s", label - columns(row->label), "",
                                   row->date, size, row->size, row->rest);
        g_string_append_c(out, '\n');
    }
}

static void mark_way(Drawing *drawing)
{
    const SnapshotView *at =
        drawing->vm->current ? vm_view_snapshot(drawing->vm, drawing->vm->current) : NULL;

    for (; at && g_hash_table_add(drawing->here, at->id); at = parent_of(drawing->vm, at))
        continue;
}

char *show_tree(const Place *place)
{
    g_autoptr(GHashTable) here = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func(row_free);
    Drawing drawing = {.vm = place->vm, .here = here, .rows = rows};
    GString *out = g_string_new(place_vm_name(place->vm));

    g_string_append_c(out, '\n');
    mark_way(&drawing);
    draw_column(&drawing, NULL, "");
    print_rows(out, rows);
    if (place->vm->snapshots->len == 0)
        g_string_append(out, "no snapshots yet: mkdir snapshots/NAME takes one\n");
    return g_string_free(out, FALSE);
}
