/* Who refers to what: journals, catalogs, definitions, and headers of images. */
#include "run/orphans-look.h"

#include "image/overlay.h"
#include "run/users-known.h"
#include "store/sidecar.h"

/* ---- marking what is used ---- */

static void mark_word(OrphanLook *look, const char *word, const char *who)
{
    if (!g_hash_table_contains(look->users, word))
        g_hash_table_insert(look->users, g_strdup(word), g_strdup(who));
}

static char *mark(OrphanLook *look, const char *path, const char *who, ImageIdentity *out_identity)
{
    char *key = users_key(look->world, path, out_identity);

    mark_word(look, path, who);
    if (key)
        mark_word(look, key, who);
    return key;
}

static void mark_chain(OrphanLook *look, const char *path, bool raw, const char *who)
{
    g_autofree char *next = g_strdup(path);

    for (unsigned depth = 0; next && depth < CHAIN_LIMIT; depth++) {
        g_autofree char *here = g_steal_pointer(&next);
        ImageIdentity identity;
        g_autofree char *key = mark(look, here, who, &identity);

        if (!key || !g_hash_table_add(raw ? look->raws : look->walked, g_steal_pointer(&key)) ||
            raw)
            return;
        next = users_below(look->world, here, &identity, &raw);
    }
}

const char *orphan_look_user(const OrphanLook *look, const char *path)
{
    ImageIdentity identity;
    g_autofree char *key = users_key(look->world, path, &identity);
    const char *who = g_hash_table_lookup(look->users, path);

    return who || !key ? who : g_hash_table_lookup(look->users, key);
}

/* ---- who refers to what ---- */

/* Both names that orphan_look may have it under. */
static void mark_sidecar(OrphanLook *look, const char *home, const char *uuid, const char *id,
                         const char *who)
{
    g_autofree char *vars = sidecar_vars_path(home, uuid, id);
    g_autofree char *tpm = sidecar_tpm_path(home, uuid, id);

    mark_word(look, vars, who);
    mark_word(look, tpm, who);
}

static void mark_touched(OrphanLook *look, const char *path)
{
    const char *who = "an operation that is not over";
    g_autofree char *temporary = path ? overlay_temporary_path(path) : NULL;
    g_autofree char *directory = path ? g_strconcat(path, ".new", NULL) : NULL;
    ImageIdentity identity;

    if (!path)
        return;
    g_free(mark(look, path, who, &identity));
    g_free(mark(look, temporary, who, &identity));
    mark_word(look, directory, who);
}

/* Whatever an open plan touches, it will make, need or remove by itself. */
static void mark_journal(OrphanLook *look, const char *home, const char *uuid,
                         const Journal *journal)
{
    for (guint i = 0; i < journal->plan->steps->len; i++) {
        const Step *step = journal->plan->steps->pdata[i];
        const char *snapshot = step_get(step, "snapshot");

        mark_touched(look, step_get(step, "path"));
        mark_touched(look, step_get(step, "staged"));
        if (snapshot)
            mark_sidecar(look, home, uuid, snapshot, "an operation that is not over");
    }
}

static void mark_states(OrphanLook *look, const char *home, const Catalog *catalog, const char *who)
{
    ImageIdentity identity;

    if (catalog->vars)
        g_free(mark(look, catalog->vars, who, &identity));
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        mark_sidecar(look, home, catalog->uuid, snapshot->id, who);
    }
}

static void mark_catalog(OrphanLook *look, const char *home, const Catalog *catalog)
{
    g_autofree char *who = g_strdup_printf("the catalog of VM %s", catalog->name);

    mark_states(look, home, catalog, who);
    for (guint i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++) {
            const Layer *layer = disk->layers->pdata[j];

            mark_chain(look, layer->path, g_str_equal(layer->format, "raw"), who);
        }
    }
}

/* Without a catalog nobody can tell which of them are needed. */
static void forget_sidecars(OrphanLook *look, const char *home, const char *uuid)
{
    GHashTableIter iter;
    gpointer sidecar;

    g_hash_table_iter_init(&iter, look->sidecars);
    while (g_hash_table_iter_next(&iter, NULL, &sidecar))
        if (g_str_equal(((OrphanSidecar *)sidecar)->home, home) &&
            g_str_equal(((OrphanSidecar *)sidecar)->uuid, uuid))
            g_hash_table_iter_remove(&iter);
}

static bool mark_ledger(OrphanLook *look, const char *home, const char *uuid, GError **error)
{
    Files *files = look->world->files;
    g_autoptr(GError) cause = NULL;
    g_autoptr(Journal) journal = store_load_journal(files, home, uuid, &cause);
    g_autoptr(Catalog) catalog = cause ? NULL : store_load_catalog(files, home, uuid, &cause);

    if (cause) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    if (journal)
        mark_journal(look, home, uuid, journal);
    if (catalog)
        mark_catalog(look, home, catalog);
    else
        forget_sidecars(look, home, uuid);
    return true;
}

/* Also those of VMs that are not defined here: they may be again. */
bool orphan_mark_ledgers(OrphanLook *look, GError **error)
{
    Files *files = look->world->files;
    GHashTableIter iter;
    gpointer home;

    g_hash_table_iter_init(&iter, look->directories);
    while (g_hash_table_iter_next(&iter, &home, NULL)) {
        g_autofree char *directory = g_build_filename(home, ".vmsnapfs", NULL);
        g_autoptr(GPtrArray) uuids = files->ops->list(files, directory, error);

        if (!uuids)
            return false;
        for (guint i = 0; i < uuids->len; i++)
            if (!mark_ledger(look, home, uuids->pdata[i], error))
                return false;
    }
    return true;
}

bool orphan_mark_domains(OrphanLook *look, GError **error)
{
    Hypervisor *hv = look->world->hv;
    g_autoptr(GPtrArray) domains = hv->ops->list(hv, error);

    for (guint i = 0; domains && i < domains->len; i++) {
        g_autoptr(GPtrArray) uses =
            users_of_domain(look->world, domains->pdata[i], G_MAXINT64, error);

        if (!uses)
            return false;
        for (guint j = 0; j < uses->len; j++) {
            const Use *use = uses->pdata[j];
            mark_chain(look, use->path, use->raw, use->who);
        }
    }
    return domains != NULL;
}

void orphan_mark_images(OrphanLook *look)
{
    for (guint i = 0; i < look->paths->len; i++) {
        const char *path = look->paths->pdata[i];
        ImageIdentity identity;
        g_autofree char *key = users_key(look->world, path, &identity);
        bool raw = key && g_hash_table_contains(look->raws, key);
        g_autofree char *below =
            key && !raw ? users_below(look->world, path, &identity, &raw) : NULL;
        g_autofree char *who = g_strdup_printf("image %s", path);

        if (below)
            mark_chain(look, below, raw, who);
    }
}
