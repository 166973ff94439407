/* One VM's operations when the world does not hold still: homes that go and come, labels beside a
 * merge, merges that are parked, cancelled, timed out, or lose their VM, their libvirt or their
 * room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "lab-asserts.h"
#include "run/vm-start.h"

#include <string.h>

#define CATALOG_PATH LAB_HOME "/.vmsnapfs/" LAB_UUID "/catalog.yaml"

static void assert_failed_with(bool done, GError **error, ErrorCode code)
{
    assert_false(done);
    if (!error_is(*error, code))
        fail_msg("expected code %d, got %d: %s", (int)code, (*error)->code, (*error)->message);
}

static Domain *definition(Lab *lab)
{
    g_autofree char *live = NULL, *inactive = NULL, *job = NULL;
    HvDomain *domain = NULL;
    unsigned snapshots;

    assert_true(lab->hv->ops->inspect(lab->hv, LAB_UUID, &domain, &live, &inactive, &job,
                                      &snapshots, NULL));
    hv_domain_free(domain);
    return domain_parse(inactive, NULL);
}

/* ---- home ---- */

static void the_first_snapshot_makes_the_home_beside_the_first_disk_and_tells_libvirt(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w c1");
    g_autofree char *home = vm_home(lab->vm);
    g_autoptr(Domain) domain = definition(lab);

    assert_string_equal(home, LAB_HOME);
    assert_string_equal(domain->home, LAB_HOME);
    assert_true(domain->generation > 0);
    assert_true(lab->memory->ops->exists(lab->memory, CATALOG_PATH));
}

static void a_policy_before_the_first_snapshot_makes_the_catalog(void **state)
{
    g_autoptr(Lab) lab = lab_after(1, "p");
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    assert_string_equal(catalog_policy(catalog, "max_depth"), "50");
    assert_true(lab->memory->ops->exists(lab->memory, CATALOG_PATH));
    assert_lawful(lab);
}

static void the_home_is_found_beside_the_disks_when_libvirt_was_not_told(void **state)
{
    g_autoptr(Lab) lab = lab_new(1, 5);
    g_autoptr(GError) error = NULL;
    unsigned effects;

    {
        g_autoptr(Lab) counted = lab_new(1, 5);
        assert_true(lab_do(counted, "c1", NULL));
        effects = fault_calls(counted->fault);
    }
    /* Telling libvirt is the last effect of a first snapshot. */
    fault_arm(lab->fault, FAULT_FAIL, effects);
    assert_done(lab_do(lab, "c1", &error), &error);
    g_autoptr(Domain) domain = definition(lab);
    assert_null(domain->home);
    lab_restart(lab);
    assert_done(vm_open(lab->vm, &error), &error);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_non_null(catalog_named(catalog, "s1"));
}

static void a_catalog_that_is_gone_makes_the_vm_read_only_until_it_is_back(void **state)
{
    g_autoptr(Lab) lab = lab_after(1, "w c1");
    g_autoptr(GError) error = NULL, again = NULL;
    gsize length;
    g_autofree char *text = lab->memory->ops->read(lab->memory, CATALOG_PATH, &length, NULL);

    assert_true(lab->memory->ops->remove(lab->memory, CATALOG_PATH, NULL));
    lab_restart(lab);
    assert_failed_with(vm_open(lab->vm, &error), &error, ERR_READ_ONLY);
    assert_failed_with(lab_do(lab, "c2", &again), &again, ERR_READ_ONLY);
    g_autofree char *problem = vm_problem(lab->vm);
    assert_non_null(problem);
    assert_false(lab->memory->ops->exists(lab->memory, CATALOG_PATH));
    assert_true(lab->memory->ops->replace(lab->memory, CATALOG_PATH, text, (gssize)length, NULL));
    g_clear_error(&error);
    assert_done(lab_script(lab, "c2 d1", &error), &error);
    assert_null(vm_problem(lab->vm));
    assert_lawful(lab);
}

static void a_catalog_that_cannot_be_read_is_never_overwritten(void **state)
{
    g_autoptr(Lab) lab = lab_after(1, "w c1");
    g_autoptr(GError) error = NULL, again = NULL;
    g_autofree char *text = NULL;

    assert_true(lab->memory->ops->replace(lab->memory, CATALOG_PATH, "version: [", -1, NULL));
    assert_failed_with(lab_do(lab, "c2", &error), &error, ERR_READ_ONLY);
    assert_failed_with(lab_do(lab, "m1", &again), &again, ERR_READ_ONLY);
    text = lab->memory->ops->read(lab->memory, CATALOG_PATH, NULL, NULL);
    assert_string_equal(text, "version: [");
}

static void another_host_at_work_is_named_and_waited_for_by_nobody(void **state)
{
    g_autoptr(Lab) lab = lab_after(1, "w c1");
    g_autoptr(GError) error = NULL;
    FilesLock *lock = store_lock(lab->memory, LAB_HOME, LAB_UUID, NULL);

    assert_failed_with(lab_do(lab, "c2", &error), &error, ERR_BUSY);
    lab->memory->ops->unlock(lab->memory, lock);
    assert_true(lab_do(lab, "c2", NULL));
    assert_lawful(lab);
}

static void what_another_host_recorded_is_seen_by_the_next_operation(void **state)
{
    g_autoptr(Lab) lab = lab_after(1, "w c1");
    g_autoptr(Vm) other = vm_new(&lab->world, LAB_UUID, "web01");
    g_autoptr(GError) error = NULL;

    assert_done(vm_rename(other, "s1", "t1", "mv", &error), &error);
    assert_done(lab_script(lab, "w c2 n1 d1", &error), &error);
    assert_lawful(lab);
}

/* What a program beside us renamed may not be durable, and a loss of power takes it back: not what
 * was done because of it. */
static void what_another_host_recorded_is_durable_before_it_is_acted_on(void **state)
{
    g_autoptr(Lab) lab = lab_after(1, "w c1");
    g_autoptr(Vm) other = vm_new(&lab->world, LAB_UUID, "web01");
    g_autoptr(GError) error = NULL;

    assert_done(vm_rename(other, "s1", "t1", "mv", &error), &error);
    fault_arm(lab->fault, FAULT_NONE, 0);
    assert_done(lab_do(lab, "n1", &error), &error);
    assert_int_equal(fault_member_calls(lab->fault, "files.sync"), 2);
    fault_arm(lab->fault, FAULT_NONE, 0);
    assert_done(lab_do(lab, "m1", &error), &error);
    assert_int_equal(fault_member_calls(lab->fault, "files.sync"), 0);
}

/* ---- interruption ---- */

typedef struct {
    Lab *lab;
    unsigned asked, limit; /* says yes from the limit on */
    bool park;
    unsigned waits;
    void (*at_wait)(Lab *lab);
} Asked;

static bool asked_enough(void *data)
{
    Asked *asked = data;

    return ++asked->asked >= asked->limit;
}

static bool asked_park(void *data)
{
    return ((Asked *)data)->park;
}

static void at_first_wait(unsigned milliseconds, void *data)
{
    Asked *asked = data;

    if (asked->waits++ == 0 && asked->at_wait)
        asked->at_wait(asked->lab);
}

/* @limit: how often it is asked until its caller gives up. */
static bool interrupt_snapshot(const char *script, unsigned limit)
{
    g_autoptr(Lab) lab = lab_after(2, script);
    g_autoptr(GError) error = NULL;
    Asked asked = {.limit = limit};
    VmHooks hooks = {.interrupted = asked_enough, .data = &asked};

    if (vm_create(lab->vm, "x", "", 0, 0750, "mkdir", &hooks, &error)) {
        assert_true(asked.asked < limit);
        return false;
    }
    assert_true(error_is(error, ERR_INTERRUPTED));
    assert_lawful(lab);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_null(catalog_named(catalog, "x"));
    return true;
}

static void an_interrupted_snapshot_leaves_nothing(void **state)
{
    static const char *const scripts[] = {"w S c1 w", "w c1 w", "U w c1 w", "U w A2 S c1 w"};

    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++) {
        unsigned limit = 1;

        while (interrupt_snapshot(scripts[i], limit))
            limit++;
        assert_true(limit > 3);
    }
}

/* ---- merges in a world that moves ---- */

/* s1's merge on two disks, slow, up to the work. */
static Lab *slow_merge(const char *script)
{
    Lab *lab = lab_after(2, script);

    simhost_set_job_speed(lab->host, 1);
    return lab;
}

static bool finish(Lab *lab, const VmHooks *hooks, GError **error)
{
    g_autofree char *name = NULL;
    bool done;

    return vm_finish(lab->vm, hooks, &done, &name, error);
}

static const Snapshot *failed_snapshot(const Catalog *catalog)
{
    const Snapshot *snapshot = catalog_named(catalog, "s1");

    return snapshot && snapshot->state == SNAPSHOT_FAILED ? snapshot : NULL;
}

static void assert_retry_finishes(Lab *lab)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    assert_non_null(failed_snapshot(catalog));
    assert_true(failed_snapshot(catalog)->error[0] != 0);
    assert_done(lab_do(lab, "d1", &error), &error);
    assert_lawful(lab);
    g_autoptr(Catalog) after = vm_catalog(lab->vm);
    assert_int_equal(after->snapshots->len, 0);
}

static void a_cancelled_merge_comes_back_as_failed_and_is_finished_by_the_next_removal(void **state)
{
    static const char *const scripts[] = {"w S c1 w w w x1", "w c1 w w w x1"};

    for (guint i = 0; i < 2; i++)
        for (unsigned limit = 1; limit < 5; limit++) {
            g_autoptr(Lab) lab = slow_merge(scripts[i]);
            g_autoptr(GError) error = NULL;
            Asked asked = {.limit = limit};
            VmHooks hooks = {.stop = asked_enough, .data = &asked};

            if (finish(lab, &hooks, &error))
                continue;
            assert_true(error_is(error, ERR_INTERRUPTED));
            assert_retry_finishes(lab);
        }
}

/* ---- what no merge has touched (decision 0023) ---- */

static bool is_not_wanted(const char *name, void *data)
{
    return true;
}

/* The program that accepted the removal has ended; in the next one it is cancelled. */
static bool is_as_it_was_after_a_late_cancel(Lab *lab)
{
    const VmHooks hooks = {.cancelled = is_not_wanted};
    g_autoptr(GError) error = NULL;

    lab_restart(lab);
    assert_done(vm_open(lab->vm, &error), &error);
    bool done = finish(lab, &hooks, &error);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Snapshot *snapshot = catalog_named(catalog, "s1");
    g_clear_error(&error);
    assert_true(done ? !snapshot : snapshot != NULL);
    bool ready = snapshot && snapshot->state == SNAPSHOT_READY;
    if (ready)
        assert_lawful(lab);
    if (snapshot)
        assert_done(lab_do(lab, "d1", &error), &error);
    assert_lawful(lab);
    return ready;
}

static void what_no_merge_has_touched_comes_back_as_it_was_in_the_next_program_too(void **state)
{
    static const char *const scripts[] = {"w S c1 w w w x1", "w c1 w w w x1",
                                          "w c1 w c2 w c3 w x1 x2"};

    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++) {
        g_autoptr(Lab) lab = slow_merge(scripts[i]);

        assert_true(is_as_it_was_after_a_late_cancel(lab));
    }
}

/* Is there work left on s1, and no job of it in QEMU? */
static bool can_be_cancelled(Lab *lab)
{
    g_autoptr(GError) error = NULL;

    assert_done(vm_open(lab->vm, &error), &error);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    BlockJobFacts *job = NULL;
    bool runs = false;

    for (unsigned i = 0; i < lab->disks; i++) {
        g_autofree char *target = g_strdup_printf("vd%c", 'a' + (char)i);

        if (lab->hv->ops->block_job(lab->hv, LAB_UUID, target, &job, NULL))
            runs |= job != NULL;
        g_clear_pointer(&job, block_job_facts_free);
    }
    return !runs && catalog->snapshots->len > 0;
}

/* The merge is cut at its @effect-th effect. False: it has no so many. */
static bool cut_and_cancelled(const char *script, unsigned effect, bool after, unsigned *out_ready)
{
    g_autoptr(Lab) lab = lab_after(2, script);
    g_autoptr(GError) error = NULL;

    lab->crooked = true; /* a disk may be done, and the other not */
    fault_arm(lab->fault, after ? FAULT_CUT_AFTER : FAULT_CUT_BEFORE, effect);
    bool done = lab_finish(lab, &error);
    bool cut = fault_is_dead(lab->fault);
    if (done && !cut)
        return false;
    lab_restart(lab);
    if (can_be_cancelled(lab))
        *out_ready += is_as_it_was_after_a_late_cancel(lab);
    assert_done(lab_finish(lab, NULL), &error);
    assert_lawful(lab);
    return true;
}

/* The law says that what is ready has its contents. */
static void a_merge_that_has_begun_is_never_said_to_be_as_it_was(void **state)
{
    static const char *const scripts[] = {"w c1 w w w x1", "w S c1 w w w x1",
                                          "w S c1 w c2 w S w x1"};

    for (guint i = 0; i < G_N_ELEMENTS(scripts); i++)
        for (unsigned after = 0; after < 2; after++) {
            unsigned effect = 1, ready = 0;

            while (cut_and_cancelled(scripts[i], effect, after, &ready))
                effect++;
            assert_true(effect > 5);
            assert_true(ready >= 1 && ready + 2 < effect);
        }
}

static void a_parked_merge_goes_on_and_is_adopted_by_the_next_program(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w S c1 w w w w x1");
    g_autoptr(GError) error = NULL;
    Asked asked = {.limit = 3, .park = true};
    VmHooks hooks = {.stop = asked_enough, .park = asked_park, .data = &asked};
    BlockJobFacts *job = NULL;

    assert_failed_with(finish(lab, &hooks, &error), &error, ERR_INTERRUPTED);
    assert_true(lab->hv->ops->block_job(lab->hv, LAB_UUID, "vda", &job, NULL));
    assert_non_null(job);
    block_job_facts_free(job);
    lab_restart(lab);
    g_clear_error(&error);
    assert_done(vm_open(lab->vm, &error), &error);
    assert_done(lab_finish(lab, &error), &error);
    assert_lawful(lab);
}

static void a_live_merge_whose_vm_stops_goes_on_offline(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w S c1 w w w w x1");
    g_autoptr(GError) error = NULL;
    Asked asked = {.lab = lab, .at_wait = lab_stop};
    VmHooks hooks = {.wait = at_first_wait, .data = &asked};

    assert_done(finish(lab, &hooks, &error), &error);
    assert_true(lab_is_off(lab));
    assert_true(asked.waits > 0);
    assert_lawful(lab);
}

static bool starting_fails(void *data)
{
    Asked *asked = data;

    asked->asked++;
    assert_false(lab_start(asked->lab));
    return false;
}

static void the_vm_cannot_be_started_while_its_layers_are_merged_offline(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w c1 w w w w x1");
    g_autoptr(GError) error = NULL;
    Asked asked = {.lab = lab};
    VmHooks hooks = {.stop = starting_fails, .data = &asked};

    assert_done(finish(lab, &hooks, &error), &error);
    assert_true(asked.asked > 2);
    assert_lawful(lab);
    assert_true(lab_start(lab));
    assert_lawful(lab);
}

static gpointer rename_in_thread(gpointer data)
{
    Lab *lab = data;

    return GINT_TO_POINTER(vm_rename(lab->vm, "s2", "t2", "mv", NULL));
}

static void rename_beside(Lab *lab)
{
    GThread *thread = g_thread_new("label", rename_in_thread, lab);

    assert_true(GPOINTER_TO_INT(g_thread_join(thread)));
}

static void a_label_changes_while_a_merge_runs_and_both_are_kept(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w S c1 w w w c2 w w x1");
    g_autoptr(GError) error = NULL;
    Asked asked = {.lab = lab, .at_wait = rename_beside};
    VmHooks hooks = {.wait = at_first_wait, .data = &asked};

    assert_done(finish(lab, &hooks, &error), &error);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_non_null(catalog_named(catalog, "t2"));
    assert_int_equal(catalog->snapshots->len, 1);
    assert_lawful(lab);
}

static void libvirt_goes_down(Lab *lab)
{
    simhost_set_down(lab->host, true);
}

static void a_merge_that_loses_libvirt_is_not_failed_but_goes_on_when_it_is_back(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w S c1 w w w w x1");
    g_autoptr(GError) error = NULL;
    Asked asked = {.lab = lab, .at_wait = libvirt_goes_down};
    VmHooks hooks = {.wait = at_first_wait, .data = &asked};

    assert_failed_with(finish(lab, &hooks, &error), &error, ERR_HOST_DOWN);
    simhost_set_down(lab->host, false);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_int_equal(((Snapshot *)catalog->snapshots->pdata[0])->state, SNAPSHOT_REMOVING);
    g_clear_error(&error);
    assert_done(lab_finish(lab, &error), &error);
    assert_lawful(lab);
}

/* libvirtd is killed in the snapshot of a running VM and started again; so is the program. */
static Lab *lab_killed_in_a_snapshot(SimDeath death)
{
    Lab *lab = lab_after(2, "w S c1 w");
    g_autoptr(GError) error = NULL;
    g_autofree char *why = NULL;

    simhost_set_death(lab->host, death);
    assert_failed_with(lab_do(lab, "c2", &error), &error, ERR_HOST_DOWN);
    simhost_set_down(lab->host, false);
    lab_restart(lab);
    g_clear_error(&error);
    assert_done(vm_open(lab->vm, &error), &error);
    why = lab_follow(lab);
    assert_null(why);
    return lab;
}

static void a_snapshot_that_only_qemu_knows_of_is_kept_until_the_vm_was_off(void **state)
{
    g_autoptr(Lab) lab = lab_killed_in_a_snapshot(SIM_DIES_AFTER_SWITCH);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(GError) error = NULL, again = NULL;

    assert_non_null(catalog_named(catalog, "s2"));
    lab_write(lab);
    assert_failed_with(lab_do(lab, "c3", &error), &error, ERR_DRIFT);
    assert_non_null(strstr(error->message, "lost track"));
    assert_failed_with(lab_do(lab, "d2", &again), &again, ERR_DRIFT);
    lab_stop(lab);
    assert_lawful(lab);
    g_clear_error(&error);
    assert_done(lab_script(lab, "S w c3 w d2 d1 d3", &error), &error);
    assert_lawful(lab);
}

/* QEMU dies before libvirt is back: what the guest wrote since the switch is in the overlays. */
static void what_was_written_to_overlays_that_only_qemu_knew_of_is_kept(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w S c1 w");
    g_autoptr(GError) error = NULL;

    simhost_set_death(lab->host, SIM_DIES_AFTER_SWITCH);
    assert_failed_with(lab_do(lab, "c2", &error), &error, ERR_HOST_DOWN);
    lab_write(lab);
    lab_stop(lab);
    simhost_set_down(lab->host, false);
    lab_restart(lab);
    g_clear_error(&error);
    assert_done(vm_open(lab->vm, &error), &error);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(GArray) content = simhost_read(lab->host, LAB_UUID, "vda");
    const GArray *wrote = lab->active->pdata[0];
    assert_non_null(catalog_named(catalog, "s2"));
    assert_int_equal(content->len, wrote->len);
    assert_memory_equal(content->data, wrote->data, wrote->len * sizeof(guint64));
    assert_null(simhost_misuse(lab->host));
}

static void overlays_that_qemu_only_opened_are_taken_away(void **state)
{
    g_autoptr(Lab) lab = lab_killed_in_a_snapshot(SIM_DIES_BEFORE_SWITCH);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(GError) error = NULL;

    assert_null(catalog_named(catalog, "s2"));
    assert_lawful(lab);
    assert_done(lab_script(lab, "w c2 w d1 d2", &error), &error);
    assert_lawful(lab);
}

/* Of c2; libvirt and the next program come back. */
static void lose_libvirt_in_removal(Lab *lab, SimDeath death)
{
    g_autoptr(GError) error = NULL;

    simhost_set_death(lab->host, death);
    assert_failed_with(lab_do(lab, "d2", &error), &error, ERR_HOST_DOWN);
    simhost_set_down(lab->host, false);
    lab_restart(lab);
    g_clear_error(&error);
    assert_done(lab_finish(lab, &error), &error);
    assert_lawful(lab);
}

static void a_file_that_qemu_left_after_a_pivot_is_taken_away(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w S c1 w c2 w");
    g_autoptr(GError) error = NULL;

    lose_libvirt_in_removal(lab, SIM_DIES_AFTER_PIVOT);
    assert_done(lab_script(lab, "w c3 w d1 d3", &error), &error);
    assert_lawful(lab);
}

/* QEMU would open the file of the layer that libvirt did not let it close, which is gone, and end.
 */
static void no_merge_begins_on_a_disk_in_whose_chain_libvirt_has_a_merged_layer(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w S c1 w c2 w c3 w c4 w");
    static const char *const asked[] = {"d1", "d3", "d4", "c5"};
    g_autoptr(GError) error = NULL;

    lose_libvirt_in_removal(lab, SIM_DIES_AFTER_COMMIT);
    for (unsigned i = 0; i < G_N_ELEMENTS(asked); i++) {
        assert_failed_with(lab_do(lab, asked[i], &error), &error, ERR_DRIFT);
        assert_non_null(strstr(error->message, "let the VM be off once"));
        g_clear_error(&error);
        assert_lawful(lab);
    }
    lab_stop(lab);
    assert_done(lab_script(lab, "S w d1 c5 w d3 d4 d5", &error), &error);
    assert_lawful(lab);
}

/* The header above names the base already, and the base's tables were not written. */
static void a_merge_in_whose_end_qemu_was_killed_is_done_again(void **state)
{
    static const char *const words[] = {"d1", "d2", "d3"};

    for (unsigned disks = 1; disks <= 2; disks++)
        for (unsigned i = 0; i < G_N_ELEMENTS(words); i++) {
            g_autoptr(Lab) lab = lab_after(disks, "w S c1 w c2 w w c3 w w c4 w");
            g_autoptr(GError) error = NULL;

            simhost_tear_commit(lab->host, false);
            assert_done(lab_do(lab, words[i], &error), &error);
            assert_true(lab_is_off(lab));
            assert_lawful(lab);
            assert_done(lab_script(lab, "S w c5 w", &error), &error);
            assert_lawful(lab);
        }
}

/* What is missing in the base would be missing in what the guest reads. */
static void a_vm_is_not_started_before_that_merge_is_done_again(void **state)
{
    const FaultTarget target = {
        .member = "images.commit", .mode = FAULT_FAIL, .call = 1, .code = ERR_IO};
    g_autoptr(Lab) lab = lab_after(1, "w S c1 w c2 w w c3 w");
    g_autoptr(GError) error = NULL;

    simhost_tear_commit(lab->host, false);
    fault_arm_member(lab->fault, &target);
    assert_false(lab_do(lab, "d2", &error));
    g_clear_error(&error);
    assert_true(lab_is_off(lab));
    assert_false(vm_start(lab->vm, "start", &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_non_null(strstr(error->message, "must not be started yet"));
    g_clear_error(&error);
    assert_done(lab_do(lab, "d2", &error), &error);
    assert_done(vm_start(lab->vm, "start", &error), &error);
    assert_lawful(lab);
}

/* QEMU was killed in the end of the removal @word, and somebody has started the VM: at once, or
 * when the merge could not be done again. */
static Lab *lab_started_on_a_torn_base(unsigned disks, const char *word, bool at_once)
{
    const FaultTarget target = {
        .member = "images.commit", .mode = FAULT_FAIL, .call = 1, .code = ERR_IO};
    Lab *lab = lab_after(disks, "w S c1 w c2 w w c3 w w c4 w");
    g_autoptr(GError) error = NULL;

    simhost_tear_commit(lab->host, at_once);
    if (!at_once)
        fault_arm_member(lab->fault, &target);
    assert_false(lab_do(lab, word, &error));
    if (!at_once)
        assert_true(simhost_start(lab->host, LAB_UUID));
    assert_false(lab_is_off(lab));
    return lab;
}

static void what_a_torn_base_misses_stays_when_somebody_starts_the_vm(void **state)
{
    static const char *const words[] = {"d1", "d2", "d3"};

    for (unsigned i = 0; i < 4 * G_N_ELEMENTS(words); i++) {
        const char *word = words[i / 4];
        g_autoptr(Lab) lab = lab_started_on_a_torn_base(1 + i / 2 % 2, word, i % 2);
        g_autoptr(GError) error = NULL;

        assert_failed_with(lab_do(lab, word, &error), &error, ERR_DRIFT);
        assert_non_null(strstr(error->message, "something is missing: nothing was removed"));
        g_clear_error(&error);
        lab_restart(lab);
        assert_failed_with(lab_do(lab, word, &error), &error, ERR_DRIFT);
        g_clear_error(&error);
        lab_stop(lab);
        assert_done(lab_do(lab, word, &error), &error);
        assert_lawful(lab);
        assert_done(lab_script(lab, "S w c5 w", &error), &error);
        assert_lawful(lab);
    }
}

/* libvirt answers nothing of the VM from its @call-th question on. False: it was not asked so
 * often. */
static bool removed_again_after(unsigned call, bool stop)
{
    g_autoptr(Lab) lab = lab_after(2, "w S c1 w c2 w c3 w");
    const FaultTarget target = {
        .member = "hv.inspect", .mode = FAULT_FAIL, .call = call, .code = ERR_IO, .stays = true};
    g_autoptr(GError) error = NULL;

    fault_arm_member(lab->fault, &target);
    if (lab_do(lab, "d2", &error))
        return false;
    g_clear_error(&error);
    fault_arm(lab->fault, FAULT_NONE, 0);
    if (stop)
        lab_stop(lab);
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    assert_done(lab_do(lab, catalog_named(catalog, "s2") ? "d2" : "f", &error), &error);
    g_autoptr(Catalog) after = vm_catalog(lab->vm);
    assert_int_equal(after->snapshots->len, 2);
    assert_lawful(lab);
    return true;
}

static void what_the_recovery_of_a_removal_took_up_counts_as_removed(void **state)
{
    unsigned tried = 0;

    for (unsigned stop = 0; stop < 2; stop++)
        for (unsigned call = 1; removed_again_after(call, stop); call++)
            tried++;
    assert_true(tried > 10);
}

static void a_merge_has_a_deadline_if_the_policy_says_so(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w S c1 w w w w x1");
    g_autoptr(GError) error = NULL;

    assert_done(vm_set_policy(lab->vm, "merge_timeout", "5", "write", &error), &error);
    simhost_set_job_speed(lab->host, 0);
    assert_failed_with(finish(lab, NULL, &error), &error, ERR_TIMEOUT);
    simhost_set_job_speed(lab->host, 100);
    assert_retry_finishes(lab);
}

static void a_libvirt_that_forgets_to_store_definitions_is_made_to(void **state)
{
    g_autoptr(Lab) lab = lab_new(2, 5);
    g_autoptr(GError) error = NULL;

    simhost_set_forgetful(lab->host, true);
    assert_done(lab_script(lab, "w S c1 w c2 w c3 w d2 w d3 w", &error), &error);
    assert_lawful(lab);
    lab_stop(lab);
    assert_lawful(lab);
}

static void a_clock_that_goes_back_changes_times_only(void **state)
{
    g_autoptr(Lab) lab = lab_after(2, "w S c1 w");
    g_autoptr(GError) error = NULL;

    lab->clock -= 1000 * G_TIME_SPAN_DAY;
    assert_done(lab_script(lab, "c2 w c3 w", &error), &error);
    lab->clock = 0;
    lab_restart(lab);
    assert_done(lab_script(lab, "d2 w c4 P r1 w d3 d4 S d1", &error), &error);
    assert_lawful(lab);
}

static void the_next_work_is_told_with_its_disks_before_it_is_done(void **state)
{
    g_autoptr(Lab) lab = slow_merge("w S c1 w x1");
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) disks = NULL;
    g_autofree char *name = vm_next(lab->vm, &disks, &error);

    assert_string_equal(name, "s1");
    assert_int_equal(disks->len, 2);
    assert_done(lab_finish(lab, &error), &error);
    GPtrArray *none = NULL;
    assert_null(vm_next(lab->vm, &none, &error));
    assert_null(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_snapshot_makes_the_home_beside_the_first_disk_and_tells_libvirt),
        cmocka_unit_test(a_policy_before_the_first_snapshot_makes_the_catalog),
        cmocka_unit_test(the_home_is_found_beside_the_disks_when_libvirt_was_not_told),
        cmocka_unit_test(a_catalog_that_is_gone_makes_the_vm_read_only_until_it_is_back),
        cmocka_unit_test(a_catalog_that_cannot_be_read_is_never_overwritten),
        cmocka_unit_test(another_host_at_work_is_named_and_waited_for_by_nobody),
        cmocka_unit_test(what_another_host_recorded_is_seen_by_the_next_operation),
        cmocka_unit_test(what_another_host_recorded_is_durable_before_it_is_acted_on),
        cmocka_unit_test(an_interrupted_snapshot_leaves_nothing),
        cmocka_unit_test(
            a_cancelled_merge_comes_back_as_failed_and_is_finished_by_the_next_removal),
        cmocka_unit_test(what_no_merge_has_touched_comes_back_as_it_was_in_the_next_program_too),
        cmocka_unit_test(a_merge_that_has_begun_is_never_said_to_be_as_it_was),
        cmocka_unit_test(a_parked_merge_goes_on_and_is_adopted_by_the_next_program),
        cmocka_unit_test(a_live_merge_whose_vm_stops_goes_on_offline),
        cmocka_unit_test(the_vm_cannot_be_started_while_its_layers_are_merged_offline),
        cmocka_unit_test(a_label_changes_while_a_merge_runs_and_both_are_kept),
        cmocka_unit_test(a_merge_that_loses_libvirt_is_not_failed_but_goes_on_when_it_is_back),
        cmocka_unit_test(a_snapshot_that_only_qemu_knows_of_is_kept_until_the_vm_was_off),
        cmocka_unit_test(what_was_written_to_overlays_that_only_qemu_knew_of_is_kept),
        cmocka_unit_test(overlays_that_qemu_only_opened_are_taken_away),
        cmocka_unit_test(no_merge_begins_on_a_disk_in_whose_chain_libvirt_has_a_merged_layer),
        cmocka_unit_test(a_merge_in_whose_end_qemu_was_killed_is_done_again),
        cmocka_unit_test(a_vm_is_not_started_before_that_merge_is_done_again),
        cmocka_unit_test(what_a_torn_base_misses_stays_when_somebody_starts_the_vm),
        cmocka_unit_test(a_file_that_qemu_left_after_a_pivot_is_taken_away),
        cmocka_unit_test(what_the_recovery_of_a_removal_took_up_counts_as_removed),
        cmocka_unit_test(a_merge_has_a_deadline_if_the_policy_says_so),
        cmocka_unit_test(a_libvirt_that_forgets_to_store_definitions_is_made_to),
        cmocka_unit_test(a_clock_that_goes_back_changes_times_only),
        cmocka_unit_test(the_next_work_is_told_with_its_disks_before_it_is_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
