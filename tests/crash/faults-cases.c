/* The operations, and what is seen of their outcome. */
#include "faults.h"

#include "broken.h"
#include "firmware.h"
#include "model/simhost-face.h"
#include "run/expunged.h"
#include "run/vm-life.h"
#include "run/vm-start.h"
#include "run/vm-thaw.h"
#include "run/vm-vars.h"

/* ---- what is no word of the lab ---- */

static void stranger_takes_a_snapshot(Lab *lab)
{
    static const char *const targets[] = {"vda", "vdb", "vdc"};
    const char *some[4] = {NULL};

    for (unsigned i = 0; i < lab->disks; i++)
        some[i] = targets[i];
    simhost_stranger_snapshot(lab->host, LAB_UUID, "theirs", some);
}

static bool adopt(Lab *lab, GError **error)
{
    return vm_adopt(lab->vm, 0, 0750, "adopt", &lab->hooks, error);
}

static bool move(Lab *lab, GError **error)
{
    return vm_move(lab->vm, "another", "mv", &lab->hooks, error);
}

static bool start(Lab *lab, GError **error)
{
    g_autoptr(GError) failure = NULL;

    /* As the state file: an answer that was lost is seen. */
    if (vm_start(lab->vm, "start", &failure) || !lab_is_off(lab))
        return true;
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static GBytes *present_vars(Lab *lab)
{
    g_autofree char *path = simhost_vars_path(lab->host, LAB_UUID);

    return simhost_state_content(lab->host, path);
}

/* The guest wrote other variables than the lab knows of: those that it knows come back. */
static bool set_vars(Lab *lab, GError **error)
{
    g_autoptr(GBytes) content = present_vars(lab);
    uint64_t now = simhost_read_variable(lab->host, LAB_UUID);

    simhost_write_variable(lab->host, LAB_UUID, lab->word);
    g_autoptr(GBytes) wanted = present_vars(lab);
    simhost_write_variable(lab->host, LAB_UUID, now);
    return vm_set_vars(lab->vm, wanted, "cp", &lab->hooks, error);
}

static void spoil_vars(Lab *lab)
{
    simhost_write_variable(lab->host, LAB_UUID, lab->word + 1000);
}

static bool reset_vars(Lab *lab, GError **error)
{
    return vm_reset_vars(lab->vm, "rm", &lab->hooks, error);
}

/* Its variables are nothing that is to be kept any more. */
static void give_up_vars(Lab *lab)
{
    lab->firmware = false;
}

static bool expunge(Lab *lab, GError **error)
{
    g_autoptr(GPtrArray) left = NULL;

    return vm_expunge(lab->vm, "rmdir", &lab->hooks, &left, error);
}

static bool thaw(Lab *lab, GError **error)
{
    if (!vm_thaw(lab->vm, error))
        return false;
    g_assert_false(simhost_is_frozen(lab->host, LAB_UUID) || vm_owes_thaw(lab->vm));
    return true;
}

/* A create has left its guest to the thaw job, and the agent answers again. */
static void owe_a_thaw(Lab *lab)
{
    g_assert_false(lab_do(lab, "c1", NULL));
    g_assert_true(vm_owes_thaw(lab->vm));
    simhost_set_agent(lab->host, LAB_UUID, SIM_AGENT_WELL);
}

/* libvirt and then QEMU died in the end of a merge. */
static void lose_a_pivot(Lab *lab)
{
    simhost_set_death(lab->host, SIM_DIES_IN_PIVOT);
    g_assert_false(lab_do(lab, "d1", NULL));
    lab_stop(lab);
    simhost_set_down(lab->host, false);
    lab_restart(lab);
}

static bool open_again(Lab *lab, GError **error)
{
    return vm_open(lab->vm, error) && lab_finish(lab, error);
}

static bool rescan(Lab *lab, GError **error)
{
    g_autoptr(Observation) seen = vm_open(lab->vm, error) ? vm_observe(lab->vm, error) : NULL;

    return seen != NULL;
}

/* ---- merges that are told something on their way ---- */

static bool stop_now(void *data)
{
    return true;
}

static bool has_failed(Lab *lab, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Snapshot *snapshot = catalog_named(catalog, name);

    return snapshot && snapshot->state == SNAPSHOT_FAILED;
}

/* Stopped as asked, and listed as that, it is done. */
static bool cancel(Lab *lab, GError **error)
{
    const VmHooks hooks = {.stop = stop_now};
    g_autoptr(GError) cause = NULL;
    bool done;

    if (vm_finish(lab->vm, &hooks, &done, NULL, &cause) ||
        (error_is(cause, ERR_INTERRUPTED) && has_failed(lab, "s1")))
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static uint64_t another_limit(void *data)
{
    Lab *lab = data;

    return lab->limit += 1000;
}

static bool finish_with_limits(Lab *lab, GError **error)
{
    const VmHooks hooks = {.bandwidth = another_limit, .data = lab};
    bool done = true;

    while (done)
        if (!vm_finish(lab->vm, &hooks, &done, NULL, error))
            return false;
    return true;
}

/* ---- the table ---- */

static const FaultCase cases[] = {
    {.before = "w", .word = "c1"},
    {.before = "w", .word = "c1", .disks = 3},
    {.before = "w c1 w", .word = "c2", .disks = 2},
    {.before = "w S", .word = "c1"},
    {.before = "w S", .word = "c1", .disks = 3},
    {.before = "w S c1 w", .word = "c2", .disks = 2},
    {.before = "w S Z", .word = "c1"},
    {.before = "w A2 S", .word = "c1"},
    {.before = "w A2 S c1 w", .word = "c2", .disks = 2},
    {.before = "U w", .word = "c1"},
    {.before = "U w S", .word = "c1"},
    {.before = "U w A2 S", .word = "c1"},
    {.before = "U w S Z", .word = "c1"},
    {.before = "E w S c1 w", .word = "c2", .disks = 2},
    {.before = "w c1 w c2 w", .word = "R1"},
    {.before = "w c1 w c2 w", .word = "R2", .disks = 3},
    {.before = "U w c1 w c2 w", .word = "R1"},
    {.before = "E w c1 w c2 w", .word = "R1", .disks = 2},
    {.before = "w c1 w c2 w r1 w", .word = "d2"},
    {.before = "w c1 w c2 w r1 w S", .word = "d2"},
    {.before = "w c1 w S", .word = "d1"},
    {.before = "w c1 w S", .word = "d1", .disks = 2, .speed = 1},
    {.before = "w S c1 w c2 w", .word = "d1"},
    {.before = "w S c1 w c2 w", .word = "d1", .speed = 1},
    {.before = "w c1 w c2 w c3 w r1 w S", .word = "d2"},
    {.before = "w c1 w", .word = "d1"},
    {.before = "w c1 w c2 w", .word = "d1", .disks = 2},
    {.before = "w c1 w c2 w r1 w c3 w d1 w", .word = "d3"},
    {.before = "w c1 w c2 w r1 w c3 w d1 w S", .word = "d3"},
    {.before = "w c1 w c2 w r1 w c3 w S", .word = "d1"},
    {.before = "w S c1 w c2 w c3 w x1 x2", .word = "f"},
    {.before = "w S c1 w c2 w c3 w x1 x2 x3", .word = "f", .speed = 1},
    {.before = "w c1 w c2 w c3 w x1 x2", .word = "f", .disks = 2},
    {.before = "w c1 w c2 w c3 w", .word = "x2"},
    {.before = "U w c1 w c2 w", .word = "d1"},
    {.before = "U w S c1 w c2 w", .word = "d2"},
    {.before = "w c1 w", .word = "m1"},
    {.before = "w S c1 w", .word = "m1"},
    {.before = "w c1 w", .word = "e1"},
    {.before = "w c1 w", .word = "h1"},
    {.before = "w", .word = "p"},
    {.before = "w c1 w", .word = "p"},
    {.before = "w c1 w",
     .act = adopt,
     .arrange = stranger_takes_a_snapshot,
     .name = "adopt",
     .disks = 2},
    {.before = "w c1 w S", .act = adopt, .arrange = stranger_takes_a_snapshot, .name = "adopt"},
    {.before = "w c1 w", .act = move, .name = "mv"},
    {.before = "E w c1 w", .act = move, .name = "mv"},
    {.before = "w c1 w", .act = start, .name = "start", .starts = true},
    {.before = "U w c1 w", .act = start, .name = "start", .starts = true},
    {.before = "E w", .act = start, .name = "start", .starts = true},
    {.before = "U w c1 w", .act = set_vars, .arrange = spoil_vars, .name = "cp vars.fd"},
    {.before = "U w c1 w", .act = reset_vars, .arrange = give_up_vars, .name = "rm vars.fd"},
    {.before = "w c1 w d1 w", .act = expunge, .name = "rmdir", .gone = true},
    {.before = "U w c1 w d1 w", .act = expunge, .name = "rmdir", .gone = true},
    {.before = "w A5 S", .act = thaw, .arrange = owe_a_thaw, .name = "thaw"},
    {.before = "w c1 w S x1", .act = cancel, .name = "rmdir jobs/1", .speed = 1},
    {.before = "w S c1 w c2 w x1", .act = cancel, .name = "rmdir jobs/1", .speed = 1},
    {.before = "w c1 w S x1", .act = finish_with_limits, .name = "bandwidth", .speed = 1},
    {.before = "w S c1 w", .word = "f", .arrange = lose_a_pivot},
    {.before = "w c1 w c2 w", .act = rescan, .name = "rescan"},
    {.before = "U w S c1 w", .act = rescan, .name = "rescan"},
    {.before = "w", .word = "c1", .disks = 2, .cut = 6},
    {.before = "w S", .word = "c1", .disks = 2, .cut = 7},
    {.before = "w A2 S", .word = "c1", .cut = 11},
    {.before = "U w S", .word = "c1", .cut = 12},
    {.before = "U w c1 w c2 w", .word = "R1", .cut = 9},
    {.before = "w c1 w c2 w", .word = "R1", .cut = 5},
    {.before = "w c1 w S", .word = "d1", .cut = 8},
    {.before = "w S c1 w c2 w", .word = "d1", .cut = 8},
    {.before = "w c1 w c2 w", .word = "d1", .cut = 6},
};

const FaultCase *faults_cases(guint *count)
{
    *count = G_N_ELEMENTS(cases);
    return cases;
}

static bool die(Lab *lab, const FaultCase *the)
{
    fault_arm(lab->fault, FAULT_CUT_AFTER, the->cut);
    lab_do(lab, the->word, NULL);
    bool died = fault_is_dead(lab->fault);
    lab_restart(lab);
    return died;
}

Lab *faults_prepare(const FaultCase *the, char **wrong)
{
    Lab *lab = lab_new(MAX(the->disks, 1), 7);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, the->before, &error))
        *wrong = g_strdup(error->message);
    if (the->speed)
        simhost_set_job_speed(lab->host, the->speed);
    if (the->arrange)
        the->arrange(lab);
    if (the->cut && !die(lab, the))
        *wrong = g_strdup_printf("%s has fewer than %u effects", the->word, the->cut);
    return lab;
}

bool faults_act(Lab *lab, const FaultCase *the, GError **error)
{
    if (the->cut)
        return open_again(lab, error);
    return the->act ? the->act(lab, error) : lab_do(lab, the->word, error);
}

/* ---- afterwards ---- */

bool faults_is_gone(Lab *lab)
{
    g_autoptr(GPtrArray) uuids = simhost_list(lab->host);

    return uuids->len == 0;
}

/* What the next look for orphans does. */
static bool clean_up(Lab *lab, GError **error)
{
    g_autoptr(GHashTable) homes = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_add(homes, (char *)LAB_HOME);
    g_autoptr(GPtrArray) all = expunged_find(&lab->world, homes);
    for (guint i = 0; i < all->len; i++) {
        g_autoptr(GPtrArray) left = expunged_finish(&lab->world, all->pdata[i]);

        if (left->len > 0) {
            g_propagate_error(error, g_error_copy(((ExpungeLeft *)left->pdata[0])->error));
            return false;
        }
    }
    return true;
}

bool faults_recover(Lab *lab, const FaultCase *the, GError **error)
{
    return the->gone && faults_is_gone(lab) ? clean_up(lab, error) : broken_recover(lab, error);
}

static void describe_snapshots(Lab *lab, GString *text)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        g_string_append_printf(text, "%s %o <%s>\n", snapshot->hidden ? "-" : snapshot->name,
                               (unsigned)snapshot->mode, snapshot->description);
    }
    g_string_append_printf(text, "max_depth %s\n", catalog_policy(catalog, "max_depth"));
}

static void describe_vm(Lab *lab, GString *text)
{
    g_auto(SimFacts) facts = {0};
    g_autoptr(GBytes) vars = present_vars(lab);

    g_assert_true(simhost_inspect(lab->host, LAB_UUID, &facts, NULL));
    g_string_append_printf(text, "%s %d, vars %d\n", facts.name, facts.state, vars != NULL);
    if (vars)
        g_string_append_printf(text, "has %u\n",
                               (unsigned)simhost_read_variable(lab->host, LAB_UUID));
}

static void describe_left(Lab *lab, GString *text)
{
    g_autofree char *directory = store_directory(LAB_HOME, LAB_UUID);
    g_autoptr(GPtrArray) states = simhost_states(lab->host);
    g_autoptr(GPtrArray) files = lab->memory->ops->list(lab->memory, directory, NULL);

    g_string_append_printf(text, "gone, %u and %u files are left\n", states->len, files->len);
}

char *faults_state(Lab *lab)
{
    g_autofree char *shape = lab_shape(lab);
    GString *text = g_string_new(NULL);

    if (faults_is_gone(lab)) {
        describe_left(lab, text);
    } else {
        g_string_append_printf(text, "%s\n", shape);
        describe_snapshots(lab, text);
        describe_vm(lab, text);
    }
    return g_string_free(text, FALSE);
}
