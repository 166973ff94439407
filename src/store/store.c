#include "store/store.h"

#include <string.h>

char *store_directory(const char *home, const char *uuid)
{
    return g_build_filename(home, ".vmsnapfs", uuid, NULL);
}

static char *file_path(const char *home, const char *uuid, const char *name)
{
    return g_build_filename(home, ".vmsnapfs", uuid, name, NULL);
}

static bool make_directory(Files *files, const char *home, const char *uuid, GError **error)
{
    g_autofree char *directory = store_directory(home, uuid);

    return files->ops->make_directory(files, directory, error);
}

/* The text of @path; NULL without error where it is absent. */
static char *read_file(Files *files, const char *path, gsize *out_length, GError **error)
{
    g_autoptr(GError) why = NULL;
    char *text = files->ops->read(files, path, out_length, &why);

    if (!text && !error_is(why, ERR_NOT_FOUND))
        g_propagate_error(error, g_steal_pointer(&why));
    return text;
}

static void prefix_path(GError **error, const char *path)
{
    g_autofree char *shown = g_utf8_make_valid(path, -1);

    g_prefix_error(error, "%s: ", shown);
}

Catalog *store_load_catalog(Files *files, const char *home, const char *uuid, GError **error)
{
    g_autofree char *path = file_path(home, uuid, "catalog.yaml");
    gsize length = 0;
    g_autofree char *text = read_file(files, path, &length, error);
    g_autoptr(Catalog) catalog = NULL;

    if (!text)
        return NULL;
    catalog = catalog_from_yaml(text, length, error);
    if (!catalog) {
        prefix_path(error, path);
        return NULL;
    }
    if (strcmp(catalog->uuid, uuid)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "the catalog belongs to the domain %s, not to %s: put it where it belongs",
                    catalog->uuid, uuid);
        prefix_path(error, path);
        return NULL;
    }
    return g_steal_pointer(&catalog);
}

/* A save whose answer was lost has happened all the same: then the file is one generation ahead and
 * equal. */
static bool is_saved(const Catalog *present, const Catalog *catalog)
{
    return present && present->generation == catalog->generation + 1 &&
           catalog_equal(present, catalog);
}

static bool check_generation(const Catalog *present, const Catalog *catalog, GError **error)
{
    uint64_t generation = present ? present->generation : 0;

    if (generation == catalog->generation)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                "the catalog of \"%s\" was changed by someone else: its generation is "
                "%" G_GUINT64_FORMAT ", expected was %" G_GUINT64_FORMAT
                "; it must be read again before it is written",
                catalog->name, generation, catalog->generation);
    return false;
}

static bool replace_catalog(Files *files, const char *home, const Catalog *catalog, GError **error)
{
    g_autofree char *path = file_path(home, catalog->uuid, "catalog.yaml");
    g_autofree char *text = catalog_to_yaml(catalog);

    return files->ops->replace(files, path, text, -1, error);
}

static bool still_says(Files *files, const char *home, const Catalog *catalog, GBytes *text)
{
    g_autofree char *path = file_path(home, catalog->uuid, "catalog.yaml");
    gsize length = 0;
    char *present = text ? files->ops->read(files, path, &length, NULL) : NULL;
    g_autoptr(GBytes) bytes = present ? g_bytes_new_take(present, length) : NULL;

    return bytes && g_bytes_equal(bytes, text);
}

/* Is the file what @catalog was made from? *out_saved: it is @catalog itself already. */
static bool check_present(Files *files, const char *home, const Catalog *catalog, bool *out_saved,
                          GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(Catalog) present = store_load_catalog(files, home, catalog->uuid, &why);

    if (why) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    *out_saved = is_saved(present, catalog);
    return *out_saved || check_generation(present, catalog, error);
}

bool store_save_catalog(Files *files, const char *home, Catalog *catalog, GBytes *text,
                        GError **error)
{
    bool saved = false;

    if (!catalog_check(catalog, error) || !make_directory(files, home, catalog->uuid, error))
        return false;
    if (!still_says(files, home, catalog, text) &&
        !check_present(files, home, catalog, &saved, error))
        return false;
    catalog->generation++;
    if (saved || replace_catalog(files, home, catalog, error))
        return true;
    catalog->generation--;
    return false;
}

Journal *store_load_journal(Files *files, const char *home, const char *uuid, GError **error)
{
    g_autofree char *path = file_path(home, uuid, "journal.yaml");
    gsize length = 0;
    g_autofree char *text = read_file(files, path, &length, error);
    Journal *journal = text ? journal_from_yaml(text, length, error) : NULL;

    if (text && !journal)
        prefix_path(error, path);
    return journal;
}

bool store_save_journal(Files *files, const char *home, const char *uuid, Journal *journal,
                        GError **error)
{
    g_autofree char *path = file_path(home, uuid, "journal.yaml");
    g_autofree char *text = journal_to_yaml(journal);

    return make_directory(files, home, uuid, error) &&
           files->ops->replace(files, path, text, -1, error);
}

/* Of catalog and journal together, as they are before they take the place of the old ones. */
#define RESERVE_BYTES (256 * 1024)

/* A file system that compresses keeps no room for zeros, and one that deduplicates none for what
 * others have. */
static char *make_filling(const char *uuid)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(g_str_hash(uuid));
    guint32 *words = g_new(guint32, RESERVE_BYTES / sizeof(guint32));

    for (gsize i = 0; i < RESERVE_BYTES / sizeof(guint32); i++)
        words[i] = g_rand_int(random);
    return (char *)words;
}

void store_keep_reserve(Files *files, const char *home, const char *uuid)
{
    g_autofree char *path = file_path(home, uuid, "reserve");
    g_autofree char *filling = NULL;

    if (files->ops->exists(files, path))
        return;
    filling = make_filling(uuid);
    (void)files->ops->replace(files, path, filling, RESERVE_BYTES, NULL);
}

bool store_spend_reserve(Files *files, const char *home, const char *uuid)
{
    g_autofree char *path = file_path(home, uuid, "reserve");

    return files->ops->exists(files, path) && files->ops->remove(files, path, NULL);
}

bool store_clear_journal(Files *files, const char *home, const char *uuid, GError **error)
{
    g_autofree char *path = file_path(home, uuid, "journal.yaml");

    return files->ops->remove(files, path, error);
}

FilesLock *store_lock(Files *files, const char *home, const char *uuid, GError **error)
{
    g_autofree char *path = file_path(home, uuid, "lock");

    return make_directory(files, home, uuid, error) ? files->ops->lock(files, path, error) : NULL;
}

bool store_settle(Files *files, const char *home, const char *uuid, GError **error)
{
    g_autofree char *directory = store_directory(home, uuid);
    g_autofree char *outer = g_path_get_dirname(directory);

    return files->ops->sync(files, directory, error) && files->ops->sync(files, outer, error);
}

/* ---- forgetting ---- */

/* Below vars/ and tpm/ lie directories of files, not more. */
static bool remove_below(Files *files, const char *path, unsigned depth, GError **error)
{
    g_autoptr(GPtrArray) names = files->ops->list(files, path, error);

    if (!names)
        return false;
    for (guint i = 0; depth > 0 && i < names->len; i++) {
        g_autofree char *child = g_build_filename(path, names->pdata[i], NULL);

        if (!remove_below(files, child, depth - 1, error))
            return false;
    }
    return files->ops->remove(files, path, error);
}

bool store_forget(Files *files, const char *home, const char *uuid, GError **error)
{
    static const char *const names[] = {"catalog.yaml", "vars",         "tpm", "lock",
                                        "reserve",      "journal.yaml", ""};

    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path =
            names[i][0] ? file_path(home, uuid, names[i]) : store_directory(home, uuid);

        if (!remove_below(files, path, names[i][0] ? 2 : 0, error))
            return false;
    }
    return true;
}
