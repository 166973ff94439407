/* The snapshots of an adoption: new ones for what somebody else made, what became of those we had,
 * and the tree that they make. */
#include "plan/adopt.h"

bool adoption_add(Adoption *adoption, Step *step, GError **error)
{
    g_ptr_array_add(adoption->plan->steps, step);
    return step_apply(step, adoption->view, error);
}

static Step *about(StepKind kind, const char *snapshot)
{
    Step *step = step_new(kind);

    step_set(step, "snapshot", snapshot);
    return step;
}

static bool add_failed(Adoption *adoption, const char *snapshot, const char *why, GError **error)
{
    Step *step = about(STEP_RECORD_FAILED, snapshot);
    g_autofree char *text =
        g_strdup_printf("somebody else changed the disks of the VM, and it was adopted: %s", why);
    g_autofree char *valid = g_utf8_make_valid(text, -1); /* a path may be any bytes */

    step_set(step, "error", valid);
    return adoption_add(adoption, step, error);
}

/* --- snapshots for what somebody else made --- */

static char *free_name(const Adoption *adoption)
{
    g_autoptr(GHashTable) taken = g_hash_table_new(g_str_hash, g_str_equal);

    for (unsigned i = 0; i < adoption->view->snapshots->len; i++)
        g_hash_table_add(taken, ((Snapshot *)adoption->view->snapshots->pdata[i])->name);
    for (unsigned n = 1;; n++) {
        g_autofree char *name = g_strdup_printf("found-%u", n);

        if (!g_hash_table_contains(taken, name))
            return g_steal_pointer(&name);
    }
}

static int64_t creation_time(const Adoption *adoption)
{
    int64_t now = adoption->request->now;

    for (unsigned i = 0; i < adoption->view->snapshots->len; i++)
        now = MAX(now, ((Snapshot *)adoption->view->snapshots->pdata[i])->created + 1);
    return now;
}

static bool add_warning(Adoption *adoption, const char *snapshot, const char *text, GError **error)
{
    Step *step = about(STEP_RECORD_WARNING, snapshot);

    step_set(step, "text", text);
    return adoption_add(adoption, step, error);
}

/* Its id, borrowed; NULL with @error. */
static const char *add_found(Adoption *adoption, GError **error)
{
    g_autofree char *id = ids_next(&adoption->ids);
    g_autofree char *name = free_name(adoption);
    g_autofree char *mode = g_strdup_printf("%04o", (unsigned)adoption->request->mode & 0777);
    Step *step = about(STEP_RECORD_FOUND, id);

    step_set(step, "name", name);
    step_set_number(step, "created", (uint64_t)creation_time(adoption));
    step_set(step, "consistency", "crash");
    step_set_number(step, "uid", adoption->request->uid);
    step_set(step, "mode", mode);
    if (!adoption_add(adoption, step, error) ||
        !add_warning(adoption, id,
                     "somebody else took it, and it was adopted: when, and whether all its disks "
                     "are of one instant, is not known",
                     error))
        return NULL;
    return step_get(step, "snapshot");
}

/* The layers of @found that need a snapshot: those in the chain, deepest first, or those beside it.
 */
static GPtrArray *unowned(const FoundDisk *found, bool in_chain)
{
    GPtrArray *layers = g_ptr_array_new();

    for (unsigned i = found->layers->len; i > 0; i--) {
        FoundLayer *layer = found->layers->pdata[i - 1];

        if (layer->found && layer->in_chain == in_chain)
            g_ptr_array_add(layers, layer);
    }
    return layers;
}

/* Each layer that @layers has gets a snapshot of its own. */
static bool give_each(Adoption *adoption, const GPtrArray *layers, GError **error)
{
    for (unsigned i = 0; i < layers->len; i++) {
        FoundLayer *layer = layers->pdata[i];

        if (!(layer->owner = add_found(adoption, error)))
            return false;
    }
    return true;
}

/* Layers at the same place of all disks were most likely made together: as long as every disk has
 * as many. */
static bool are_alike(const GPtrArray *lists)
{
    unsigned most = 0;

    for (unsigned i = 0; i < lists->len; i++)
        most = MAX(most, ((GPtrArray *)lists->pdata[i])->len);
    for (unsigned i = 0; i < lists->len; i++) {
        unsigned count = ((GPtrArray *)lists->pdata[i])->len;

        if (count > 0 && count != most)
            return false;
    }
    return true;
}

static bool give_together(Adoption *adoption, const GPtrArray *lists, GError **error)
{
    bool more = true;

    for (unsigned place = 0; more; place++) {
        const char *snapshot = NULL;

        more = false;
        for (unsigned i = 0; i < lists->len; i++) {
            const GPtrArray *layers = lists->pdata[i];

            if (place >= layers->len)
                continue;
            if (!snapshot && !(snapshot = add_found(adoption, error)))
                return false;
            ((FoundLayer *)layers->pdata[place])->owner = snapshot;
            more = true;
        }
    }
    return true;
}

bool adoption_give_owners(Adoption *adoption, bool in_chain, GError **error)
{
    g_autoptr(GPtrArray) lists = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);

    for (unsigned i = 0; i < adoption->disks->len; i++)
        g_ptr_array_add(lists, unowned(adoption->disks->pdata[i], in_chain));
    if (in_chain && are_alike(lists))
        return give_together(adoption, lists, error);
    for (unsigned i = 0; i < lists->len; i++)
        if (!give_each(adoption, lists->pdata[i], error))
            return false;
    return true;
}

/* --- what became of those we had --- */

static const LostLayer *lost_of(const FoundDisk *found, const char *layer)
{
    for (unsigned i = 0; i < found->lost->len; i++) {
        const LostLayer *lost = found->lost->pdata[i];

        if (g_str_equal(lost->layer->id, layer))
            return lost;
    }
    return NULL;
}

static void add_sentence(GString *text, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void add_sentence(GString *text, const char *format, ...)
{
    va_list args;

    if (text->len > 0)
        g_string_append(text, "; ");
    va_start(args, format);
    g_string_append_vprintf(text, format, args);
    va_end(args);
}

/* Why @snapshot does not show on this disk what it was taken of. *out_gone stays true while all it
 * lost is gone for good. */
static void judge_entry(const FoundDisk *found, const char *layer_id, GString *why, bool *out_gone)
{
    const LostLayer *lost = lost_of(found, layer_id);
    const FoundLayer *layer = found_disk_layer(found, layer_id);

    if (lost) {
        add_sentence(why, "%s", lost->why);
        *out_gone &= lost->gone;
    } else if (layer && !found_layer_is_whole(found, layer)) {
        add_sentence(why,
                     "its file %s (disk %s), or one below it, may have been written to or "
                     "re-pointed",
                     layer->path, found->source->target);
        *out_gone = false;
    }
}

static char *judge_snapshot(const Adoption *adoption, const Snapshot *snapshot, bool *out_gone)
{
    GString *why = g_string_new(NULL);

    *out_gone = true;
    for (unsigned i = 0; i < adoption->disks->len; i++) {
        const FoundDisk *found = adoption->disks->pdata[i];
        const SnapshotDisk *entry = snapshot_disk(snapshot, found->disk->id);

        if (entry)
            judge_entry(found, entry->layer, why, out_gone);
    }
    return g_string_free(why, FALSE);
}

bool adoption_doubt(Adoption *adoption, const Snapshot *snapshot, GError **error)
{
    return adoption_add(adoption, about(STEP_RECORD_REMOVING, snapshot->id), error);
}

static bool add_vanished(Adoption *adoption, const Snapshot *snapshot, GError **error)
{
    return adoption_doubt(adoption, snapshot, error) &&
           adoption_add(adoption, about(STEP_RECORD_REMOVED, snapshot->id), error) &&
           ((!snapshot->vars && !snapshot->tpm) ||
            adoption_add(adoption, about(STEP_DROP_SIDECAR, snapshot->id), error));
}

/* One that is being removed is finished by its job. */
bool adoption_settle(Adoption *adoption, const Snapshot *snapshot, GError **error)
{
    const Snapshot *now = catalog_snapshot(adoption->view, snapshot->id);
    bool gone;
    g_autofree char *why = judge_snapshot(adoption, snapshot, &gone);

    if (!*why || snapshot->state == SNAPSHOT_REMOVING)
        return true;
    if (now->disks->len == 0 && (gone || snapshot->hidden))
        return add_vanished(adoption, snapshot, error);
    return snapshot->state == SNAPSHOT_FAILED || add_failed(adoption, snapshot->id, why, error);
}

/* What the VM left behind beside its chain became a snapshot, and may be spoiled, too. */
bool adoption_settle_left(Adoption *adoption, const FoundDisk *found, GError **error)
{
    for (unsigned i = 0; i < found->layers->len; i++) {
        const FoundLayer *layer = found->layers->pdata[i];

        if (layer->found && !layer->in_chain && !found_layer_is_whole(found, layer) &&
            !add_failed(adoption, layer->owner, "what it stands on may have been written to",
                        error))
            return false;
    }
    return true;
}

/* Who tells of what is left over: the current snapshot, else the newest; a copy of its id, since a
 * step replaces the view. NULL if there is none. */
static char *teller(const Catalog *view)
{
    const GPtrArray *snapshots = view->snapshots;

    if (view->current || snapshots->len == 0)
        return g_strdup(view->current);
    return g_strdup(((Snapshot *)snapshots->pdata[snapshots->len - 1])->id);
}

/* Files that nothing needs any more are the user's to delete. */
bool adoption_tell_left(Adoption *adoption, const FoundDisk *found, GError **error)
{
    g_autofree char *current = teller(adoption->view);

    for (unsigned i = 0; current && i < found->lost->len; i++) {
        const LostLayer *lost = found->lost->pdata[i];
        const ImageFacts *facts = observation_file(adoption->observation, lost->layer->path);
        g_autofree char *text = NULL;
        g_autofree char *valid = NULL;

        if (!facts || !facts->exists ||
            catalog_disk_of_path(adoption->view, lost->layer->path, NULL))
            continue;
        text = g_strdup_printf("adopting the VM's chain left %s (disk %s) alone: nothing here "
                               "needs it any more",
                               lost->layer->path, found->source->target);
        valid = g_utf8_make_valid(text, -1);
        if (!add_warning(adoption, current, valid, error))
            return false;
    }
    return true;
}

/* --- the tree --- */

/* A snapshot's parent is the owner of what its layers stand on. Where disks disagree, the one that
 * it was stays, else the newest counts. */
static void add_candidate(const Catalog *view, const Disk *disk, const Layer *layer,
                          const char *was, const Snapshot **best)
{
    const Snapshot *owner =
        layer && layer->parent ? catalog_owner(view, disk->id, layer->parent) : NULL;

    if (!owner || (*best && g_strcmp0((*best)->id, was) == 0))
        return;
    if (!*best || g_strcmp0(owner->id, was) == 0 || owner->created > (*best)->created)
        *best = owner;
}

static const char *parent_now(const Catalog *view, const Snapshot *snapshot)
{
    const Snapshot *best = NULL;

    for (unsigned i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(view, entry->disk);

        add_candidate(view, disk, disk_layer(disk, entry->layer), snapshot->parent, &best);
    }
    return best ? best->id : snapshot->disks->len == 0 ? snapshot->parent : NULL;
}

static const char *current_now(const Catalog *view)
{
    const Snapshot *best = NULL;

    for (unsigned i = 0; i < view->disks->len; i++) {
        const Disk *disk = view->disks->pdata[i];

        if (disk->attached)
            add_candidate(view, disk, disk_active(disk), view->current, &best);
    }
    return best ? best->id : NULL;
}

bool adoption_add_tree(Adoption *adoption, GError **error)
{
    Step *step = step_new(STEP_RECORD_TREE);
    const Catalog *view = adoption->view;

    if (current_now(view))
        step_set(step, "current", current_now(view));
    for (unsigned i = 0; i < view->snapshots->len; i++) {
        const Snapshot *snapshot = view->snapshots->pdata[i];
        const char *parent = parent_now(view, snapshot);

        if (parent)
            step_set_sub(step, "parent", snapshot->id, parent);
    }
    return adoption_add(adoption, step, error);
}
