#include "power-run.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broken.h"
#include "model/simhost-face.h"
#include "run/expunged.h"

typedef struct {
    unsigned cuts, states, recoveries, broken;
    char first[8192]; /* of the broken laws */
} Counts;
static Counts *counts; /* of all processes of a run */
static Counts total;

/* The run of this process. */
static struct {
    const PowerCase *the;
    Lab *lab;
    unsigned depth;    /* how many programs died before this one */
    unsigned moment;   /* looks of this program */
    unsigned skew;     /* which of them, in a recovery */
    bool deep;         /* this recovery is cut, too */
    bool ignoring;     /* laws are to break */
    bool answered;     /* the operation of the first program came to its end */
    GHashTable *found; /* what VMs came to be, as text → at which cut */
} run;

#define RECOVERY_STRIDE 17 /* how far two cuts of a recovery are apart */

static bool full; /* POWER_FULL is set: every cut of every recovery */

/* ---- what came to be ---- */

static void describe_snapshot(const Catalog *catalog, const Snapshot *snapshot, GString *text)
{
    const Snapshot *parent = snapshot->parent ? catalog_snapshot(catalog, snapshot->parent) : NULL;

    g_string_append_printf(
        text, "%s on %s, %s%s%s, \"%s\", %o\n", snapshot->name, parent ? parent->name : "nothing",
        snapshot_state_name(snapshot->state), snapshot->hidden ? ", hidden, " : ", ",
        run.answered ? snapshot->consistency : "", snapshot->description, (unsigned)snapshot->mode);
}

static bool is_gone(Lab *lab)
{
    g_autoptr(GPtrArray) domains = lab->hv->ops->list(lab->hv, NULL);

    return domains && domains->len == 0;
}

/* All that somebody was told of the VM. That its guest was frozen is known to who froze it only;
 * before it answered nobody was told. */
static char *describe(Lab *lab)
{
    if (is_gone(lab))
        return g_strdup("it is gone\n");
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Snapshot *current = catalog->current ? catalog_snapshot(catalog, catalog->current) : NULL;
    GString *text = g_string_new(catalog->name);

    g_string_append_printf(text, " at %s, depth %s\n", current ? current->name : "nothing",
                           catalog_policy(catalog, "max_depth"));
    for (guint i = 0; i < catalog->snapshots->len; i++)
        describe_snapshot(catalog, catalog->snapshots->pdata[i], text);
    return g_string_free(text, FALSE);
}

/* ---- one that comes back ---- */

static void blame(const char *when, const char *why)
{
    if (__atomic_fetch_add(&counts->broken, 1, __ATOMIC_SEQ_CST) > 0)
        return;
    g_snprintf(counts->first, sizeof counts->first, "[%s | %s] %s: %s", run.the->before,
               run.the->word ? run.the->word : "function", when, why);
}

/* What the next look for orphans does with a VM that is gone: nothing of it stays. */
static char *clean_up(Lab *lab)
{
    g_autoptr(GHashTable) homes = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_add(homes, (char *)LAB_HOME);
    g_autoptr(GPtrArray) all = expunged_find(&lab->world, homes);
    for (guint i = 0; i < all->len; i++) {
        g_autoptr(GPtrArray) left = expunged_finish(&lab->world, all->pdata[i]);

        if (left->len > 0)
            return g_strdup("something of the VM that is gone cannot be removed");
    }
    g_autoptr(GPtrArray) states = simhost_states(lab->host);
    g_autoptr(GPtrArray) kept =
        lab->memory->ops->list(lab->memory, LAB_HOME "/.vmsnapfs/" LAB_UUID, NULL);
    return states->len || kept->len ? g_strdup("something of the VM that is gone is left") : NULL;
}

static char *recover(Lab *lab)
{
    g_autoptr(GError) error = NULL;
    char *why;

    if (run.the->ends && is_gone(lab))
        return clean_up(lab);
    if (!broken_recover(lab, &error))
        return g_strdup(error->message);
    if (run.the->again && (run.the->run(lab, NULL), !broken_recover(lab, &error)))
        return g_strdup(error->message);
    why = lab_follow(lab);
    if (!why)
        why = lab_broken_law(lab);
    if (why) {
        g_autofree char *told = why, *state = lab_describe(lab);
        return g_strdup_printf("%s\n%s", told, state);
    }
    return NULL;
}

static void look(void *data);
static void look_at_the_end(Lab *lab, const char *when);

/* In the new process; the lab is as it was in the midst of a call. */
static void come_back(const char *when)
{
    Lab *lab = run.lab;

    run.depth++;
    run.skew = run.moment;
    run.moment = 0;
    power_watch(run.deep ? look : NULL, NULL);
    g_hash_table_remove_all(run.found);
    __atomic_fetch_add(&counts->recoveries, 1, __ATOMIC_SEQ_CST);
    if (run.answered && run.the->is_back && run.the->is_back(lab))
        blame(when, "what was removed is back");
    g_autofree char *why = recover(lab);
    if (why) {
        blame(when, why);
        return;
    }
    g_hash_table_insert(run.found, describe(lab), g_strdup(when));
    if (run.deep)
        look_at_the_end(lab, when);
    if (!is_gone(lab) && !lab_start(lab))
        blame(when, "the VM cannot start");
}

static void tell_found(int to)
{
    g_autoptr(GString) text = g_string_new(NULL);
    GHashTableIter iter;
    gpointer found, when;

    g_hash_table_iter_init(&iter, run.found);
    while (g_hash_table_iter_next(&iter, &found, &when))
        g_string_append_printf(text, "%s%c%s%c", (char *)found, 1, (char *)when, 1);
    for (gsize done = 0; done < text->len;) {
        ssize_t portion = write(to, text->str + done, text->len - done);

        if (portion <= 0)
            _exit(2);
        done += (gsize)portion;
    }
}

static void learn_found(int from)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char portion[4096];
    ssize_t got;

    while ((got = read(from, portion, sizeof portion)) > 0)
        g_string_append_len(text, portion, got);
    g_auto(GStrv) parts = g_strsplit(text->str, "\001", -1);
    for (guint i = 0; parts[i] && parts[i + 1]; i += 2)
        if (!g_hash_table_contains(run.found, parts[i]))
            g_hash_table_insert(run.found, g_strdup(parts[i]), g_strdup(parts[i + 1]));
}

/* @state: NULL if only the program dies. */
static void live_on(const PowerState *state, const char *when)
{
    g_autofree char *name = g_strdup_printf("%d", (int)getpid());

    lab_abandon(run.lab);
    if (state) {
        lab_stop(run.lab);
        if (run.moment % 2)
            simhost_set_metadata(run.lab->host, LAB_UUID, NULL, 0, NULL);
        power_lose(state, name);
    } else {
        power_kill(name);
    }
    come_back(when);
    power_remove(name);
}

/* @deep: its recovery is cut as well. */
static void fork_one(const PowerState *state, bool deep)
{
    g_autofree char *what = state ? power_describe(state) : g_strdup("the program dies");
    g_autofree char *when = g_strdup_printf("depth %u, look %u, %s", run.depth, run.moment, what);
    int ends[2], status;

    g_assert_cmpint(pipe(ends), ==, 0);
    fflush(NULL);
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        close(ends[0]);
        run.deep = deep;
        live_on(state, when);
        tell_found(ends[1]);
        _exit(0);
    }
    close(ends[1]);
    learn_found(ends[0]);
    close(ends[0]);
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        blame(when, "the recovery crashed");
}

static void lose_power(GPtrArray *states)
{
    __atomic_fetch_add(&counts->cuts, states->len > 0, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&counts->states, states->len, __ATOMIC_SEQ_CST);
    for (guint i = 0; i < states->len; i++)
        fork_one(states->pdata[i], run.depth == 0 && (full || i == 0));
}

/* Here the power goes. */
static void look(void *data)
{
    run.moment++;
    if ((run.ignoring && counts->broken > 0) ||
        (run.depth > 0 && !full && (run.moment + run.skew) % RECOVERY_STRIDE != 0))
        return;
    g_autoptr(GPtrArray) states = power_states(run.depth > 0);
    lose_power(states);
    if (states->len == 0 || run.depth > 0)
        return;
    fork_one(NULL, true);
}

static void look_again(void *data)
{
    power_other_effect();
}

/* Whatever happens now, it is as it was told. */
static void look_at_the_end(Lab *lab, const char *when)
{
    g_autoptr(GHashTable) before = g_steal_pointer(&run.found);
    g_autofree char *told = describe(lab);
    GHashTableIter iter;
    gpointer found, there;

    run.found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    power_watch(NULL, NULL);
    power_other_effect();
    g_autoptr(GPtrArray) states = power_states(run.depth > 0);
    lose_power(states);
    g_hash_table_iter_init(&iter, run.found);
    while (g_hash_table_iter_next(&iter, &found, &there))
        if (strcmp(found, told) != 0) {
            g_autofree char *why =
                g_strdup_printf("%s\nwas told:\n%sand is:\n%s", (char *)there, told, (char *)found);
            blame(when, why);
        }
    g_hash_table_unref(run.found);
    run.found = g_steal_pointer(&before);
}

/* ---- cases ---- */

static bool do_it(Lab *lab, GError **error)
{
    if (run.the->word)
        return lab_do(lab, run.the->word, error);
    return run.the->run(lab, error) && (!run.the->again || broken_recover(lab, error));
}

/* Only what was and what is now may have come to be. */
static void check_found(const char *before, const char *after)
{
    GHashTableIter iter;
    gpointer found, when;

    g_hash_table_iter_init(&iter, run.found);
    while (g_hash_table_iter_next(&iter, &found, &when))
        if (strcmp(found, before) != 0 && strcmp(found, after) != 0) {
            g_autofree char *why =
                g_strdup_printf("neither\n%snor\n%s, but\n%s", before, after, (char *)found);
            blame(when, why);
        }
}

static Lab *prepare(const PowerCase *the, unsigned disks)
{
    Lab *lab = lab_new_on(files_real(), disks, 7);
    g_autoptr(GError) error = NULL;

    lab->world.files = lab->memory;
    if (!lab_script(lab, the->before, &error))
        blame("before", error->message);
    if (the->prepare)
        the->prepare(lab);
    return lab;
}

static void lose_at_every_effect(Lab *lab)
{
    g_autofree char *before = describe(lab), *after = NULL, *blind = NULL;
    g_autoptr(GError) error = NULL;

    power_settle();
    power_watch(look, NULL);
    fault_watch(lab->fault, look_again, NULL);
    if (!do_it(lab, &error))
        blame("without a loss", error->message);
    fault_watch(lab->fault, NULL, NULL);
    blind = power_blind_spot();
    if (blind)
        blame("without a loss", blind);
    after = describe(lab);
    check_found(before, after);
    run.answered = true;
    look_at_the_end(lab, "the end");
}

static const char *scratch(void)
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();
}

static void set_up(const PowerCase *the, unsigned disks, PowerIgnored ignored)
{
    full = g_getenv("POWER_FULL") != NULL;
    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert(counts != MAP_FAILED);
    memset(&run, 0, sizeof run);
    run.the = the;
    run.ignoring = ignored != NULL;
    run.found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    power_begin(LAB_HOME, scratch());
    run.lab = prepare(the, disks);
    power_ignore(ignored);
}

static void count(void)
{
    total.cuts += counts->cuts;
    total.states += counts->states;
    total.recoveries += counts->recoveries;
    total.broken += counts->broken;
}

char *power_run(const PowerCase *the, unsigned disks, PowerIgnored ignored)
{
    set_up(the, disks, ignored);
    lose_at_every_effect(run.lab);
    lab_free(run.lab);
    g_hash_table_unref(run.found);
    power_end();
    if (!ignored)
        count();
    char *first = counts->broken ? g_strdup_printf("%u broken laws, the first: %s", counts->broken,
                                                   counts->first)
                                 : NULL;
    munmap(counts, sizeof *counts);
    return first;
}

unsigned power_cuts(void)
{
    return total.cuts;
}

unsigned power_states_met(void)
{
    return total.states;
}

char *power_summary(void)
{
    return g_strdup_printf("power cuts %u, states %u, recoveries %u, broken laws %u", total.cuts,
                           total.states, total.recoveries, total.broken);
}
