/* Every tree of at most four snapshots that operations can make — every shape, every place of
 * current, every set of hidden ones — and every request on each, with the VM off and running,
 * checked against the laws and the content model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "lab.h"

#define MOST 4 /* snapshots in a tree, hidden ones included */

typedef struct {
    GQueue *open;       /* of char *: scripts that lead to trees not yet looked at */
    GHashTable *shapes; /* trees seen */
    unsigned disks, checked;
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

static Lab *lab_at(const Search *search, const char *script)
{
    Lab *lab = lab_new(search->disks, 11);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, script, &error))
        fail_msg("[%s]: %s", script, error->message);
    return lab;
}

static void check_laws(Lab *lab, const char *script, const char *word)
{
    g_autofree char *why = lab_broken_law(lab), *state = lab_describe(lab);

    if (why)
        fail_msg("[%s | %s]: %s\n%s", script, word, why, state);
}

/* A revert needs the VM off and is refused otherwise, changing nothing; all else works either way.
 */
static void check_running(Search *search, const char *script, const char *word)
{
    g_autoptr(Lab) lab = lab_at(search, script);
    g_autoptr(GError) error = NULL;

    assert_true(lab_start(lab));
    lab_write(lab);
    bool done = lab_do(lab, word, &error);
    if (done != (word[0] != 'r') || (!done && !error_is(error, ERR_BUSY)))
        fail_msg("[%s | running %s]: %s", script, word, done ? "was not refused" : error->message);
    check_laws(lab, script, word);
}

static void check_off(Search *search, const char *script, const char *word)
{
    g_autoptr(Lab) lab = lab_at(search, script);
    g_autoptr(GError) error = NULL;

    if (!lab_do(lab, word, &error))
        fail_msg("[%s | %s]: %s", script, word, error->message);
    lab_write(lab);
    check_laws(lab, script, word);
    g_autofree char *next = script_add(script, word), *shape = lab_shape(lab);
    if (!g_hash_table_add(search->shapes, g_steal_pointer(&shape)))
        return;
    g_queue_push_tail(search->open, g_steal_pointer(&next));
}

static void look_at(Search *search, const char *script)
{
    g_autoptr(Lab) lab = lab_at(search, script);
    g_autoptr(GPtrArray) words = requests(lab, count_made(script));

    for (guint i = 0; i < words->len; i++) {
        check_off(search, script, words->pdata[i]);
        check_running(search, script, words->pdata[i]);
        search->checked += 2;
    }
}

static void search_trees(unsigned disks)
{
    Search search = {.open = g_queue_new(),
                     .shapes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
                     .disks = disks};
    char *script;

    g_queue_push_tail(search.open, g_strdup(""));
    while ((script = g_queue_pop_head(search.open))) {
        look_at(&search, script);
        g_free(script);
    }
    assert_true(g_hash_table_size(search.shapes) > 50);
    fprintf(stderr, "# %u trees, %u requests, %u disks\n", g_hash_table_size(search.shapes),
            search.checked, disks);
    g_queue_free(search.open);
    g_hash_table_unref(search.shapes);
}

static void every_request_on_every_small_tree_of_one_disk_keeps_the_laws(void **state)
{
    search_trees(1);
}

static void every_request_on_every_small_tree_of_two_disks_keeps_the_laws(void **state)
{
    search_trees(2);
}

/* W0 and what follows it: the sequences by name, so that they stay when the search changes. */
static void a_hidden_current_snapshot_waits_for_its_side_branches(void **state)
{
    static const char *const scripts[] = {
        "w c1 w c2 w r1 w c3 w r1 w d1 w d3 w",      /* E-39: s1 stays hidden, s2 reads as before */
        "w c1 w c2 w r1 w c3 w r1 w d1 w d3 w d2 w", /* E-40: then nothing is left */
        "w c1 w c2 w r1 w c3 w r1 w d1 w d3 w r2 w", /* E-41: s2 alone takes s1's file over */
    };
    static const unsigned left[] = {2, 0, 1};

    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++) {
        Search search = {.disks = 2};
        g_autoptr(Lab) lab = lab_at(&search, scripts[i]);
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

        check_laws(lab, scripts[i], "");
        assert_int_equal(catalog->snapshots->len, left[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hidden_current_snapshot_waits_for_its_side_branches),
        cmocka_unit_test(every_request_on_every_small_tree_of_one_disk_keeps_the_laws),
        cmocka_unit_test(every_request_on_every_small_tree_of_two_disks_keeps_the_laws),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
