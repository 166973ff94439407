/* Random lives of a VM against the content model (E-42): whatever people do in whatever order,
 * every snapshot holds what it was taken of, the guest reads what it wrote, and no file is left
 * over; one VM of four has UEFI variables and a vTPM. RANDOM_RUNS (or the first argument) says how
 * many sequences, RANDOM_SEED (second argument) where to begin. One process a CPU; a failure names
 * its seed, and `test-random 1 SEED` shows it alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "firmware.h"
#include "store/store.h"
#include "workers.h"

#define DEFAULT_RUNS 100000
#define SHORTEST     4
#define LONGEST      12

static unsigned long runs = DEFAULT_RUNS, first_seed = 1;

/* A listed snapshot of the catalog by chance; its number, or NULL if there is none. */
static char *any_snapshot(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(GPtrArray) listed = g_ptr_array_new();

    for (guint i = 0; i < catalog->snapshots->len; i++)
        if (!((Snapshot *)catalog->snapshots->pdata[i])->hidden)
            g_ptr_array_add(listed, catalog->snapshots->pdata[i]);
    if (listed->len == 0)
        return NULL;
    return g_strdup(((Snapshot *)listed->pdata[lab_random(lab) % listed->len])->name);
}

/* Mostly what changes trees; a revert needs the VM off, so power comes and goes. */
static char *any_word(Lab *lab, unsigned *made)
{
    static const char verbs[] = "ccccrrrrddddxxfSPPmn";
    char verb = verbs[lab_random(lab) % (sizeof(verbs) - 1)];
    g_autofree char *name = any_snapshot(lab);

    if (verb == 'f' || verb == 'S' || verb == 'P')
        return g_strdup_printf("%c", verb);
    if (verb == 'c' || !name)
        return g_strdup_printf("c%u", ++*made);
    if (name[0] == 't')
        return g_strdup_printf("n%s", name + 1);
    if (verb == 'r')
        lab_stop(lab);
    return g_strdup_printf("%c%s", verb == 'n' ? 'm' : verb, name + 1);
}

static char *describe_run(unsigned long seed, const GString *script, Lab *lab, const char *why)
{
    g_autofree char *state = lab_describe(lab);

    return g_strdup_printf("seed %lu [%s]: %s\n%s", seed, script->str, why, state);
}

static char *broken_law(unsigned long seed, const GString *script, Lab *lab)
{
    g_autofree char *why = lab_broken_law(lab);

    return why ? describe_run(seed, script, lab, why) : NULL;
}

/* This store is never full, and what is kept for that day would be a tenth of a life's work. */
static void keep_no_reserve(Lab *lab)
{
    g_autofree char *directory = store_directory(LAB_HOME, LAB_UUID);
    g_autofree char *path = g_build_filename(directory, "reserve", NULL);

    g_assert_true(lab->memory->ops->make_directory(lab->memory, directory, NULL));
    g_assert_true(lab->memory->ops->replace(lab->memory, path, "", 0, NULL));
}

/* What went wrong, or NULL. While removals are only accepted, hidden ones wait; the laws of rest
 * hold when all work is done. */
static char *live_a_life(unsigned long seed)
{
    g_autoptr(Lab) lab = lab_new(1 + seed % 2, seed);
    g_autoptr(GString) script = g_string_new(NULL);
    g_autoptr(GError) error = NULL;
    unsigned length = SHORTEST + (unsigned)(seed % (LONGEST - SHORTEST + 1));
    unsigned made = 0;
    bool accepted = false; /* a removal was only accepted: its work waits */

    keep_no_reserve(lab);
    simhost_set_job_speed(lab->host, 1 + seed % 5);
    if (seed % 4 == 0)
        lab_firmware_add(lab, seed % 8 == 0);
    for (unsigned i = 0; i < length; i++) {
        g_autofree char *word = any_word(lab, &made);
        char *wrong = NULL;

        g_string_append_printf(script, "%s w ", word);
        if (!lab_do(lab, word, &error))
            return describe_run(seed, script, lab, error->message);
        lab_write(lab);
        accepted = word[0] == 'x' || (accepted && !strchr("dfr", word[0]));
        if (!accepted && (wrong = broken_law(seed, script, lab)))
            return wrong;
    }
    if (!lab_finish(lab, &error))
        return describe_run(seed, script, lab, error->message);
    return broken_law(seed, script, lab);
}

static bool live_lives(unsigned worker, unsigned workers)
{
    for (unsigned long i = worker; i < runs; i += workers) {
        g_autofree char *wrong = live_a_life(first_seed + i);

        if (wrong) {
            fprintf(stderr, "%s\n", wrong);
            return false;
        }
    }
    return true;
}

static void random_lives_keep_every_content_and_leave_nothing(void **state)
{
    workers_run(live_lives);
    fprintf(stderr, "# %lu sequences, no difference, no file left behind\n", runs);
}

static unsigned long setting(int argc, char **argv, int index, const char *variable,
                             unsigned long otherwise)
{
    const char *text = argc > index ? argv[index] : g_getenv(variable);

    return text ? strtoul(text, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lives_keep_every_content_and_leave_nothing),
    };

    runs = setting(argc, argv, 1, "RANDOM_RUNS", runs);
    first_seed = setting(argc, argv, 2, "RANDOM_SEED", first_seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
