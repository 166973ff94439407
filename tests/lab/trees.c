#include "trees.h"

#include <stdlib.h>
#include <string.h>

#define MOST 4 /* snapshots in a tree, hidden ones included */

typedef struct {
    GQueue *open;       /* of char *: scripts that lead to trees not yet looked at */
    GHashTable *shapes; /* trees seen */
    unsigned disks, requests;
    TreeVisit visit;
    void *data;
} Search;

static char *script_add(const char *script, const char *word)
{
    return *script ? g_strdup_printf("%s %s w", script, word) : g_strdup_printf("w %s w", word);
}

/* The words possible on the tree that @lab is at; names by the number of the snapshot made. */
static GPtrArray *requests(Lab *lab, unsigned made)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    if (catalog->snapshots->len < MOST)
        g_ptr_array_add(words, g_strdup_printf("c%u", made + 1));
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->hidden)
            continue;
        g_ptr_array_add(words, g_strdup_printf("r%s", snapshot->name + 1));
        g_ptr_array_add(words, g_strdup_printf("d%s", snapshot->name + 1));
    }
    return words;
}

static unsigned count_made(const char *script)
{
    unsigned made = 0;

    for (const char *at = script; (at = strchr(at, 'c')); at++)
        made = MAX(made, (unsigned)atoi(at + 1));
    return made;
}

static Lab *lab_at(const Search *search, const char *script, GError **error)
{
    g_autoptr(Lab) lab = lab_new(search->disks, 11);

    return lab_script(lab, script, error) ? g_steal_pointer(&lab) : NULL;
}

/* Where the request leads, if nobody was there yet. */
static bool grow(Search *search, const char *script, const char *word, GError **error)
{
    g_autofree char *next = script_add(script, word);
    g_autoptr(Lab) lab = lab_at(search, next, error);

    if (!lab)
        return false;
    if (g_hash_table_add(search->shapes, lab_shape(lab)))
        g_queue_push_tail(search->open, g_steal_pointer(&next));
    return true;
}

static char *look_at(Search *search, const char *script)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Lab) lab = lab_at(search, script, &error);
    g_autoptr(GPtrArray) words = lab ? requests(lab, count_made(script)) : NULL;

    for (guint i = 0; lab && i < words->len; i++) {
        g_autofree char *why = search->visit(script, words->pdata[i], search->disks, search->data);

        if (why)
            return g_strdup_printf("[%s | %s]: %s", script, (char *)words->pdata[i], why);
        if (!grow(search, script, words->pdata[i], &error))
            break;
        search->requests++;
    }
    return error ? g_strdup_printf("[%s]: %s", script, error->message) : NULL;
}

char *trees_visit(unsigned disks, TreeVisit visit, void *data, unsigned *out_trees,
                  unsigned *out_requests)
{
    Search search = {.open = g_queue_new(),
                     .shapes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                     .disks = disks,
                     .visit = visit,
                     .data = data};
    char *wrong = NULL;

    g_queue_push_tail(search.open, g_strdup(""));
    while (!wrong && !g_queue_is_empty(search.open)) {
        g_autofree char *script = g_queue_pop_head(search.open);

        wrong = look_at(&search, script);
    }
    *out_trees += g_hash_table_size(search.shapes);
    *out_requests += search.requests;
    g_queue_free_full(search.open, g_free);
    g_hash_table_unref(search.shapes);
    return wrong;
}
