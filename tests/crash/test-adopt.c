/* Somebody else changes the chains of a VM in every way, and the catalog adopts it: no file is
 * touched, every snapshot that is still listed as ready holds what it was taken of, the guest reads
 * on, all laws hold, and everything can be created, reverted and removed afterwards. Then the same
 * with the adoption cut, or failing, at every effect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "lab.h"

typedef enum { SNAPSHOT, TWICE, ONE_DISK, COMMIT, PULL, EDIT, UNLINK, N_KINDS } Kind;

static const char *const kind_names[] = {
    "snapshot", "two snapshots", "a snapshot of one disk", "commit", "pull", "edit", "unlink"};

typedef struct {
    const char *script;
    unsigned disks;
    Kind kind;
    unsigned a, b;
    bool writes; /* the guest writes between the change and the adoption */
} Case;

static const char *const scripts[] = {
    "w c1 w",
    "w c1 w c2 w",
    "w c1 w c2 w c3 w",
    "w c1 w c2 w r1 w c3 w",
    "w c1 w c2 w c3 w r2 w c4 w",
    "w c1 w c2 w r1 w",
    "w c1 w c2 w r1 w c3 w d1",
    "w c1 w c2 w c3 w x2",
};

static unsigned adoptions, drifts;

/* ---- the stranger ---- */

static GPtrArray *chain_of(Lab *lab)
{
    g_autoptr(Observation) seen = vm_observe(lab->vm, NULL);

    return observation_chain(seen, domain_disk(seen->inactive, "vda")->path);
}

static void snapshot_by_stranger(Lab *lab, const char *name, unsigned disks)
{
    const char *const targets[] = {"vda", disks > 1 ? "vdb" : NULL, NULL};

    simhost_stranger_snapshot(lab->host, LAB_UUID, name, targets);
}

static void guest_reads_now(Lab *lab)
{
    g_array_unref(lab->active->pdata[0]);
    lab->active->pdata[0] = simhost_read(lab->host, LAB_UUID, "vda");
}

static bool edit(Lab *lab, unsigned which)
{
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    g_autoptr(GPtrArray) chain = chain_of(lab);
    const char *path;

    if (which >= images->len || !lab_is_off(lab))
        return false;
    path = images->pdata[which];
    if (strstr(path, "vdb") || g_str_equal(path, chain->pdata[0]))
        return false;
    simhost_stranger_edit(lab->host, LAB_UUID, "vda", path, "qcow2");
    guest_reads_now(lab);
    return true;
}

static bool unlink_beside(Lab *lab, unsigned which)
{
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    g_autoptr(GPtrArray) chain = chain_of(lab);

    if (which >= images->len || strstr(images->pdata[which], "vdb") ||
        g_ptr_array_find_with_equal_func(chain, images->pdata[which], g_str_equal, NULL))
        return false;
    simhost_stranger_unlink(lab->host, images->pdata[which]);
    return true;
}

/* Which numbers mean anything for a kind, whatever the VM. */
static bool is_case(const Case *the)
{
    switch (the->kind) {
    case SNAPSHOT:
    case ONE_DISK:
        return the->a + the->b == 0 && (the->kind == SNAPSHOT || the->disks > 1);
    case TWICE:
        return the->a < the->disks && the->b == 0;
    case COMMIT:
        return the->a < the->b;
    case PULL:
        return the->a != 1 && the->b == 0;
    case EDIT:
    case UNLINK:
        return the->b == 0;
    case N_KINDS:
        break;
    }
    return false;
}

/* False: that cannot be done to this VM. */
static bool change(Lab *lab, const Case *the)
{
    g_autoptr(GPtrArray) chain = chain_of(lab);

    switch (the->kind) {
    case SNAPSHOT:
        snapshot_by_stranger(lab, "x", lab->disks);
        return true;
    case TWICE:
        snapshot_by_stranger(lab, "x", lab->disks);
        lab_write(lab);
        snapshot_by_stranger(lab, "y", the->a ? 1 : lab->disks);
        return true;
    case ONE_DISK:
        snapshot_by_stranger(lab, "x", 1);
        return true;
    case COMMIT:
        if (the->b >= chain->len)
            return false;
        simhost_stranger_commit(lab->host, LAB_UUID, "vda", the->a, the->b);
        return true;
    case PULL:
        if (the->a >= chain->len)
            return false;
        simhost_stranger_pull(lab->host, LAB_UUID, "vda", the->a);
        return true;
    case EDIT:
        return edit(lab, the->a);
    case UNLINK:
        return unlink_beside(lab, the->a);
    case N_KINDS:
        break;
    }
    return false;
}

/* ---- what must hold ---- */

static GHashTable *all_contents(Lab *lab)
{
    g_autoptr(GPtrArray) images = simhost_images(lab->host);
    GHashTable *contents =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_array_unref);

    for (guint i = 0; i < images->len; i++) {
        GArray *content = simhost_image_content(lab->host, images->pdata[i]);

        g_hash_table_insert(contents, g_strdup(images->pdata[i]),
                            content ? content : g_array_new(FALSE, FALSE, sizeof(guint64)));
    }
    return contents;
}

static char *check_untouched(Lab *lab, GHashTable *before)
{
    g_autoptr(GHashTable) after = all_contents(lab);
    GHashTableIter iter;
    void *path, *content;

    if (g_hash_table_size(after) != g_hash_table_size(before))
        return g_strdup("adopt made or deleted a file");
    g_hash_table_iter_init(&iter, before);
    while (g_hash_table_iter_next(&iter, &path, &content)) {
        const GArray *was = content, *is = g_hash_table_lookup(after, path);

        if (!is || is->len != was->len || memcmp(is->data, was->data, was->len * 8) != 0)
            return g_strdup_printf("adopt changed %s", (char *)path);
    }
    return NULL;
}

static GPtrArray *contents_of(Lab *lab, const Catalog *catalog, const Snapshot *snapshot)
{
    GPtrArray *contents = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint i = 0; i < lab->disks; i++)
        g_ptr_array_add(contents, g_array_copy(lab->active->pdata[i]));
    for (guint i = 0; i < snapshot->disks->len; i++) {
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        const Disk *disk = catalog_disk(catalog, entry->disk);
        unsigned at = disk->target[2] - 'a';

        g_array_unref(contents->pdata[at]);
        contents->pdata[at] =
            simhost_image_content(lab->host, disk_layer(disk, entry->layer)->path);
    }
    return contents;
}

/* What was found is from now on what it must stay; files that the catalog does not have are
 * nobody's. */
static void learn(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(Observation) seen = vm_observe(lab->vm, NULL);
    g_autoptr(GPtrArray) images = simhost_images(lab->host);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];

        if (snapshot->state == SNAPSHOT_READY &&
            !g_hash_table_contains(lab->contents, snapshot->id))
            g_hash_table_insert(lab->contents, g_strdup(snapshot->id),
                                contents_of(lab, catalog, snapshot));
    }
    for (guint i = 0; i < images->len; i++)
        if (!catalog_disk_of_path(catalog, images->pdata[i], NULL) &&
            !domain_disk_of_path(seen->inactive, images->pdata[i]))
            simhost_stranger_unlink(lab->host, images->pdata[i]);
}

static char *check_laws(Lab *lab, const char *when)
{
    g_autofree char *why = lab_broken_law(lab);
    g_autofree char *state = why ? lab_describe(lab) : NULL;

    return why ? g_strdup_printf("%s: %s\n%s", when, why, state) : NULL;
}

/* ---- before, adopt, after ---- */

static char *refused(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    g_autoptr(Observation) seen = vm_observe(lab->vm, NULL);
    g_autofree char *drift = plan_drift(catalog, seen);
    g_autoptr(GError) error = NULL;

    if (!drift)
        return NULL;
    drifts++;
    if (vm_create(lab->vm, "s90", "", 0, 0750, "mkdir", NULL, &error))
        return g_strdup("a snapshot was taken though the chain drifted");
    return error_is(error, ERR_DRIFT) ? NULL : g_strdup(error->message);
}

static bool adopt(Lab *lab, GError **error)
{
    return vm_adopt(lab->vm, 0, 0750, "write", NULL, error);
}

static char *revert_to(Lab *lab, const Snapshot *snapshot)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) was = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);

    for (guint i = 0; i < lab->disks; i++)
        g_ptr_array_add(was, g_array_copy(lab->active->pdata[i]));
    if (!vm_revert(lab->vm, snapshot->name, "ln", NULL, &error) || !lab_finish(lab, &error))
        return g_strdup_printf("revert to %s: %s", snapshot->name, error->message);
    const GPtrArray *holds = g_hash_table_lookup(lab->contents, snapshot->id);
    for (guint i = 0; i < snapshot->disks->len; i++) {
        g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
        const SnapshotDisk *entry = snapshot->disks->pdata[i];
        unsigned at = catalog_disk(catalog, entry->disk)->target[2] - 'a';

        g_array_unref(lab->active->pdata[at]);
        lab->active->pdata[at] = g_array_copy(holds->pdata[at]);
    }
    lab_write(lab);
    return check_laws(lab, "after a revert");
}

static char *revert_to_all(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    lab_stop(lab);
    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        char *why = NULL;

        if (!snapshot->hidden && snapshot->state == SNAPSHOT_READY &&
            (why = revert_to(lab, snapshot)))
            return why;
        /* One that covers some disks only makes the others' trees differ. */
        lab->crooked |= snapshot->disks->len != lab->disks;
    }
    return NULL;
}

static char *remove_all(Lab *lab)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    for (guint i = 0; i < catalog->snapshots->len; i++) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i];
        bool work;

        if (snapshot->hidden)
            continue;
        if (!vm_remove(lab->vm, snapshot->name, "rmdir", &work, &error) || !lab_finish(lab, &error))
            return g_strdup_printf("rmdir %s: %s", snapshot->name, error->message);
    }
    g_autoptr(Catalog) left = vm_catalog(lab->vm);
    if (left->snapshots->len > 0)
        return g_strdup("a snapshot is left after all were removed");
    return check_laws(lab, "after all was removed");
}

static char *go_on(Lab *lab)
{
    g_autoptr(GError) error = NULL;
    char *why = NULL;

    if (!lab_finish(lab, &error) || !lab_script(lab, "c90 w S w c91 w", &error))
        return g_strdup(error->message);
    if ((why = check_laws(lab, "after a creation")) || (why = revert_to_all(lab)))
        return why;
    return remove_all(lab);
}

static char *check_adopted(Lab *lab, GHashTable *before, bool crooked)
{
    g_autoptr(GError) error = NULL;
    char *why = check_untouched(lab, before);

    if (why)
        return why;
    learn(lab);
    lab->crooked = crooked;
    if (!lab_finish(lab, &error))
        return g_strdup(error->message);
    return check_laws(lab, "after adopt");
}

static bool is_crooked(const Case *the)
{
    return the->disks > 1 && the->kind != SNAPSHOT && (the->kind != TWICE || the->a);
}

/* *out_lab stays NULL where there is no such case. */
static Lab *drifted(const Case *the)
{
    g_autoptr(Lab) lab = lab_new(the->disks, 5);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, the->script, &error))
        fail_msg("%s: %s", the->script, error->message);
    if (!change(lab, the))
        return NULL;
    if (the->writes)
        lab_write(lab);
    return g_steal_pointer(&lab);
}

static char *run_case(const Case *the)
{
    g_autoptr(Lab) lab = drifted(the);
    g_autoptr(GHashTable) before = NULL;
    g_autoptr(GError) error = NULL;
    char *why;

    if (!lab)
        return NULL;
    adoptions++;
    if ((why = refused(lab)))
        return why;
    before = all_contents(lab);
    if (!adopt(lab, &error))
        return g_strdup(error->message);
    if ((why = check_adopted(lab, before, is_crooked(the))))
        return why;
    return go_on(lab);
}

/* ---- cut ---- */

static char *break_once(const Case *the, FaultMode mode, unsigned call, const char *shape)
{
    g_autoptr(Lab) lab = drifted(the);
    g_autoptr(GHashTable) before = all_contents(lab);
    g_autoptr(GError) error = NULL;
    char *why;

    fault_arm(lab->fault, mode, call);
    adopt(lab, NULL);
    lab_restart(lab);
    if (!vm_open(lab->vm, &error) || !adopt(lab, &error))
        return g_strdup(error->message);
    if ((why = check_adopted(lab, before, is_crooked(the))))
        return why;
    g_autofree char *now = lab_shape(lab);
    return g_str_equal(now, shape) ? NULL : g_strdup_printf("<%s> instead of <%s>", now, shape);
}

static char *break_everywhere(const Case *the)
{
    const FaultMode mode = the->disks == 1 ? FAULT_CUT_AFTER : FAULT_FAIL;
    g_autoptr(Lab) lab = drifted(the);
    g_autofree char *shape = NULL;
    char *why = NULL;

    if (!lab)
        return NULL;
    vm_open(lab->vm, NULL);
    fault_arm(lab->fault, FAULT_NONE, 0);
    adopt(lab, NULL);
    unsigned effects = fault_calls(lab->fault);
    learn(lab);
    lab_finish(lab, NULL);
    shape = lab_shape(lab);
    for (unsigned call = 1; !why && call <= effects; call++)
        why = break_once(the, mode, call, shape);
    return why;
}

/* ---- all ---- */

static void visit(char *(*run)(const Case *the), Case the)
{
    for (the.kind = 0; the.kind < N_KINDS; the.kind++)
        for (the.a = 0; the.a < 7; the.a++)
            for (the.b = 0; the.b < 6; the.b++) {
                g_autofree char *why = is_case(&the) ? run(&the) : NULL;

                if (why)
                    fail_msg("[%s] %u disks, %s %u %u%s: %s", the.script, the.disks,
                             kind_names[the.kind], the.a, the.b, the.writes ? ", written" : "",
                             why);
            }
}

static void whatever_somebody_else_did_is_adopted(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(scripts); i++) {
        g_autofree char *running = g_strconcat(scripts[i], " S w", NULL);

        for (unsigned disks = 1; disks <= 2; disks++)
            for (unsigned writes = 0; writes < 2; writes++) {
                if (disks == 1 || writes)
                    visit(run_case, (Case){.script = scripts[i], .disks = disks, .writes = writes});
                if (disks == 1 || !writes)
                    visit(run_case, (Case){.script = running, .disks = disks, .writes = writes});
            }
    }
    print_message("# %u adoptions, %u of them of drift\n", adoptions, drifts);
    assert_true(drifts > 100);
}

static void an_adoption_survives_every_cut(void **state)
{
    static const unsigned chosen[] = {0, 1, 3, 6, 7};

    for (unsigned i = 0; i < G_N_ELEMENTS(chosen); i++)
        visit(break_everywhere,
              (Case){.script = scripts[chosen[i]], .disks = 1 + i % 2, .writes = true});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_somebody_else_did_is_adopted),
        cmocka_unit_test(an_adoption_survives_every_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
