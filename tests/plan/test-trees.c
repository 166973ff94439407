/* Every request on every small tree, with the VM off and running, checked against the laws and the
 * content model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
