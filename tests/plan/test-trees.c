/* Every request on every small tree, with the VM off and running, checked against the laws and the
 * content model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "trees.h"

static char *broken_law(Lab *lab, const char *where)
{
    g_autofree char *why = lab_broken_law(lab), *state = lab_describe(lab);

    return why ? g_strdup_printf("%s: %s\n%s", where, why, state) : NULL;
}

static char *check_off(const char *script, const char *word, unsigned disks)
{
    g_autoptr(Lab) lab = lab_new(disks, 11);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, script, &error) || !lab_do(lab, word, &error))
        return g_strdup(error->message);
    lab_write(lab);
    return broken_law(lab, "off");
}

/* A revert needs the VM off and is refused otherwise, changing nothing; all else works either way.
 */
static char *check_running(const char *script, const char *word, unsigned disks)
{
    g_autoptr(Lab) lab = lab_new(disks, 11);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, script, &error))
        return g_strdup(error->message);
    assert_true(lab_start(lab));
    lab_write(lab);
    bool done = lab_do(lab, word, &error);
    if (done != (word[0] != 'r') || (!done && !error_is(error, ERR_BUSY)))
        return g_strdup_printf("running: %s", done ? "was not refused" : error->message);
    return broken_law(lab, "running");
}

static char *check_both(const char *script, const char *word, unsigned disks, void *data)
{
    char *wrong = check_off(script, word, disks);

    return wrong ? wrong : check_running(script, word, disks);
}

static void search_trees(unsigned disks)
{
    unsigned trees = 0, requests = 0;
    g_autofree char *wrong = trees_visit(disks, check_both, NULL, &trees, &requests);

    if (wrong)
        fail_msg("%s", wrong);
    assert_true(trees > 50);
    fprintf(stderr, "# %u trees, %u requests off and running, %u disks\n", trees, requests, disks);
}

static void every_request_on_every_small_tree_of_one_disk_keeps_the_laws(void **state)
{
    search_trees(1);
}

static void every_request_on_every_small_tree_of_two_disks_keeps_the_laws(void **state)
{
    search_trees(2);
}

/* ---- several removals accepted before the work runs (rule 6) ---- */

static bool is_removed(const Catalog *catalog, const Disk *disk, const char *layer)
{
    const Snapshot *owner = catalog_owner(catalog, disk->id, layer);

    return owner && owner->hidden && catalog_dependants(catalog, owner) <= 1;
}

/* One for each layer that stays and stands on one that goes; a run that nothing stands on takes
 * none. */
static unsigned expected_commits(const Catalog *catalog)
{
    unsigned count = 0;

    for (guint i = 0; i < catalog->disks->len; i++) {
        const Disk *disk = catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++) {
            const Layer *layer = disk->layers->pdata[j];

            count += layer->parent && is_removed(catalog, disk, layer->parent) &&
                     !is_removed(catalog, disk, layer->id);
        }
    }
    return count;
}

/* Hidden ones that wait for more may come down when the first work is done. */
static bool all_goes_at_once(const Catalog *catalog)
{
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->hidden && catalog_dependants(catalog, snapshot) > 1)
            return false;
    }
    return true;
}

static bool accept_set(Lab *lab, const GPtrArray *words, unsigned set, GError **error)
{
    for (guint i = 0; i < words->len; i++)
        if (set & 1U << i && !lab_do(lab, words->pdata[i], error))
            return false;
    return true;
}

static char *check_set(const char *script, const GPtrArray *words, unsigned set, unsigned disks,
                       bool running)
{
    g_autoptr(Lab) lab = lab_new(disks, 11);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, script, &error) || (running && !lab_start(lab)) ||
        !accept_set(lab, words, set, &error))
        return g_strdup(error ? error->message : "it does not start");
    g_autoptr(Catalog) accepted = vm_catalog(lab->vm);
    unsigned before = simhost_commits(lab->host), expected = expected_commits(accepted);
    lab_write(lab);
    if (!lab_finish(lab, &error))
        return g_strdup(error->message);
    unsigned commits = simhost_commits(lab->host) - before;
    if (all_goes_at_once(accepted) && commits != expected)
        return g_strdup_printf("%u block commits instead of %u", commits, expected);
    lab_write(lab);
    return broken_law(lab, running ? "running" : "off");
}

static GPtrArray *listed(const char *script, unsigned disks)
{
    g_autoptr(Lab) lab = lab_new(disks, 11);
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    assert_true(lab_script(lab, script, NULL));
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (!snapshot->hidden)
            g_ptr_array_add(words, g_strdup_printf("x%s", snapshot->name + 1));
    }
    return words;
}

/* Once for each tree: at its first request, which is one for the oldest that is listed. */
static char *check_sets(const char *script, const char *word, unsigned disks, void *data)
{
    unsigned *sets = data;
    g_autoptr(GPtrArray) words = word[0] == 'd' ? listed(script, disks) : NULL;
    char *wrong = NULL;

    if (!words || words->len == 0 || strcmp(word + 1, (char *)words->pdata[0] + 1) != 0)
        return NULL;
    for (unsigned set = 3; !wrong && set < 1U << words->len; set++)
        for (unsigned running = 0; !wrong && running < 2 && (set & (set - 1)); running++, ++*sets)
            if ((wrong = check_set(script, words, set, disks, running))) {
                g_autofree char *text = wrong;
                wrong = g_strdup_printf("set %x: %s", set, text);
            }
    return wrong;
}

static void every_set_of_removals_on_every_small_tree_is_one_commit_a_run_rule_6(void **state)
{
    unsigned trees = 0, requests = 0, sets = 0;

    g_autofree char *wrong = trees_visit(2, check_sets, &sets, &trees, &requests);

    if (wrong)
        fail_msg("%s", wrong);
    assert_true(sets > 500);
    fprintf(stderr, "# %u sets of removals\n", sets);
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
        g_autoptr(Lab) lab = lab_new(2, 11);
        g_autoptr(GError) error = NULL;
        g_autofree char *wrong = NULL;

        if (!lab_script(lab, scripts[i], &error))
            fail_msg("[%s]: %s", scripts[i], error->message);
        if ((wrong = broken_law(lab, scripts[i])))
            fail_msg("%s", wrong);
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        assert_int_equal(catalog->snapshots->len, left[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hidden_current_snapshot_waits_for_its_side_branches),
        cmocka_unit_test(every_request_on_every_small_tree_of_one_disk_keeps_the_laws),
        cmocka_unit_test(every_request_on_every_small_tree_of_two_disks_keeps_the_laws),
        cmocka_unit_test(every_set_of_removals_on_every_small_tree_is_one_commit_a_run_rule_6),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
