/* The catalog: lookups, dependants, policy, and every invariant that catalog_check knows. */
#include "model/catalog.h"

#include "base/error.h"
#include "base/str.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define UUID "6f1c2a80-93ab-4c35-8d3e-0b6a4c1f2d77"

static Disk *add_disk(Catalog *catalog, const char *id, const char *target, const char *active)
{
    Disk *disk = disk_new(id, target);

    disk->active = g_strdup(active);
    g_ptr_array_add(catalog->disks, disk);
    return disk;
}

static Layer *add_layer(Disk *disk, const char *id, const char *parent)
{
    g_autofree char *path = g_strdup_printf("/images/%s.qcow2", id);
    Layer *layer = layer_new(id, parent, path, "qcow2", 1 << 20);

    g_ptr_array_add(disk->layers, layer);
    return layer;
}

static Snapshot *add_snapshot(Catalog *catalog, const char *id, const char *name,
                              const char *parent)
{
    Snapshot *snapshot = snapshot_new(id, name);

    snapshot->parent = g_strdup(parent);
    g_ptr_array_add(catalog->snapshots, snapshot);
    return snapshot;
}

static void own(Snapshot *snapshot, const char *disk, const char *layer)
{
    g_ptr_array_add(snapshot->disks, snapshot_disk_new(disk, layer));
}

/* vda: a0 ← a1 ← a2 (active), a1 ← a3; vdb: b0 ← b1 (active). s1 owns a0 and b0, s2 a1, s3 a3. */
#define SHA "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static Catalog *sample(void)
{
    Catalog *catalog = catalog_new(UUID, "web01");
    Disk *vda = add_disk(catalog, "d1", "vda", "a2");
    Disk *vdb = add_disk(catalog, "d2", "vdb", "b1");
    Snapshot *snapshot;

    add_layer(vda, "a0", NULL);
    add_layer(vda, "a1", "a0");
    add_layer(vda, "a2", "a1");
    add_layer(vda, "a3", "a1");
    add_layer(vdb, "b0", NULL);
    add_layer(vdb, "b1", "b0");
    snapshot = add_snapshot(catalog, "s1", "one", NULL);
    own(snapshot, "d1", "a0");
    own(snapshot, "d2", "b0");
    own(add_snapshot(catalog, "s2", "two", "s1"), "d1", "a1");
    own(add_snapshot(catalog, "s3", "three", "s2"), "d1", "a3");
    snapshot->vars = sidecar_new(540672, SHA, NULL, NULL);
    snapshot->tpm = sidecar_new(6098, SHA, "2.0", UUID);
    catalog->vars = g_strdup("/nvram/web01_VARS.fd");
    catalog->current = g_strdup("s2");
    return catalog;
}

static Disk *disk_at(Catalog *catalog, unsigned i)
{
    return catalog->disks->pdata[i];
}

static Layer *layer_at(Catalog *catalog, unsigned disk, unsigned i)
{
    return disk_at(catalog, disk)->layers->pdata[i];
}

static Snapshot *snapshot_at(Catalog *catalog, unsigned i)
{
    return catalog->snapshots->pdata[i];
}

static void lookups_find_what_is_there_and_nothing_else(void **state)
{
    g_autoptr(Catalog) catalog = sample();
    Layer *layer = NULL;

    assert_ptr_equal(catalog_disk(catalog, "d2"), disk_at(catalog, 1));
    assert_null(catalog_disk(catalog, "d3"));
    assert_null(catalog_disk(catalog, NULL));
    assert_ptr_equal(catalog_disk_by_target(catalog, "vda"), disk_at(catalog, 0));
    disk_at(catalog, 0)->attached = false;
    assert_null(catalog_disk_by_target(catalog, "vda"));
    assert_ptr_equal(catalog_disk_of_path(catalog, "/images/b1.qcow2", &layer),
                     disk_at(catalog, 1));
    assert_string_equal(layer->id, "b1");
    assert_null(catalog_disk_of_path(catalog, "/images/none", NULL));
    assert_string_equal(disk_active(disk_at(catalog, 0))->id, "a2");
    assert_null(disk_layer(disk_at(catalog, 0), "b0"));
    assert_null(disk_layer(disk_at(catalog, 0), NULL));
    assert_ptr_equal(catalog_snapshot(catalog, "s3"), snapshot_at(catalog, 2));
    assert_null(catalog_snapshot(catalog, NULL));
    assert_ptr_equal(catalog_owner(catalog, "d1", "a1"), snapshot_at(catalog, 1));
    assert_null(catalog_owner(catalog, "d1", "a2"));
    assert_null(snapshot_disk(snapshot_at(catalog, 1), "d2"));
}

static void a_hidden_snapshot_has_no_name(void **state)
{
    g_autoptr(Catalog) catalog = sample();

    assert_ptr_equal(catalog_named(catalog, "two"), snapshot_at(catalog, 1));
    snapshot_at(catalog, 1)->hidden = true;
    assert_null(catalog_named(catalog, "two"));
    str_set(&snapshot_at(catalog, 2)->name, "two");
    assert_ptr_equal(catalog_named(catalog, "two"), snapshot_at(catalog, 2));
    assert_true(catalog_check(catalog, NULL));
}

static void dependants_count_the_active_layer_and_detached_disks(void **state)
{
    g_autoptr(Catalog) catalog = sample();
    g_autoptr(GPtrArray) of_a1 = disk_dependants(disk_at(catalog, 0), "a1");

    assert_int_equal(of_a1->len, 2);
    assert_int_equal(catalog_dependants(catalog, snapshot_at(catalog, 0)), 1);
    assert_int_equal(catalog_dependants(catalog, snapshot_at(catalog, 1)), 2);
    assert_int_equal(catalog_dependants(catalog, snapshot_at(catalog, 2)), 0);
    disk_at(catalog, 0)->attached = false;
    assert_int_equal(catalog_dependants(catalog, snapshot_at(catalog, 1)), 2);
    assert_int_equal(catalog_children(catalog, "s2"), 1);
    assert_int_equal(catalog_children(catalog, "s3"), 0);
    assert_int_equal(catalog_children(catalog, NULL), 0);
    assert_int_equal(disk_depth(disk_at(catalog, 0), "a3"), 3);
    assert_int_equal(disk_depth(disk_at(catalog, 0), "a0"), 1);
    assert_int_equal(disk_depth(disk_at(catalog, 0), "none"), 0);
}

static void a_copy_is_equal_and_its_own(void **state)
{
    g_autoptr(Catalog) catalog = sample();
    g_autoptr(Catalog) copy = NULL;

    g_hash_table_insert(catalog->policy, g_strdup("max_depth"), g_strdup("5"));
    g_hash_table_insert(catalog->unknown, g_strdup("future"), g_strdup("1"));
    copy = catalog_copy(catalog);
    assert_true(catalog_equal(catalog, copy));
    copy->generation = 99;
    assert_true(catalog_equal(catalog, copy));
    str_set(&snapshot_at(copy, 0)->description, "changed");
    assert_false(catalog_equal(catalog, copy));
    assert_string_equal(snapshot_at(catalog, 0)->description, "");
}

static void a_snapshot_without_the_owners_write_bit_is_held(void **state)
{
    g_autoptr(Catalog) catalog = sample();

    snapshot_at(catalog, 0)->mode = 0750;
    assert_false(snapshot_is_held(snapshot_at(catalog, 0)));
    snapshot_at(catalog, 0)->mode = 0550;
    assert_true(snapshot_is_held(snapshot_at(catalog, 0)));
}

static void states_have_names_that_parse(void **state)
{
    for (SnapshotState i = SNAPSHOT_READY; i <= SNAPSHOT_FAILED; i++) {
        SnapshotState parsed;

        assert_true(snapshot_state_parse(snapshot_state_name(i), &parsed));
        assert_int_equal(parsed, i);
    }
    SnapshotState untouched = SNAPSHOT_FAILED;
    assert_false(snapshot_state_parse("gone", &untouched));
    assert_int_equal(untouched, SNAPSHOT_FAILED);
}

/* ---- policy ---- */

static void every_policy_has_a_default_that_it_takes(void **state)
{
    g_autoptr(Catalog) catalog = sample();
    const char *const *keys = catalog_policy_keys();

    for (unsigned i = 0; keys[i]; i++) {
        const char *value = catalog_policy_default(keys[i]);
        g_autofree char *normal = catalog_policy_check(keys[i], value, NULL);

        assert_non_null(normal);
        assert_string_equal(normal, value);
        assert_string_equal(catalog_policy(catalog, keys[i]), value);
    }
    assert_int_equal(g_strv_length((char **)keys), 7);
    g_hash_table_insert(catalog->policy, g_strdup("max_depth"), g_strdup("5"));
    assert_string_equal(catalog_policy(catalog, "max_depth"), "5");
    assert_null(catalog_policy(catalog, "none"));
    assert_null(catalog_policy_default(NULL));
}

static void policy_values_are_checked_and_made_normal(void **state)
{
    static const struct {
        const char *key, *value, *normal; /* NULL: refused */
        ErrorCode code;
    } cases[] = {
        {"bandwidth", "50M", "52428800", 0},
        {"bandwidth", "x", NULL, ERR_INVALID},
        {"max_depth", "007", "7", 0},
        {"max_depth", "200", "200", 0},
        {"max_depth", "201", NULL, ERR_INVALID},
        {"max_depth", "-1", NULL, ERR_INVALID},
        {"max_snapshots", "", NULL, ERR_INVALID},
        {"max_snapshots", "3 ", NULL, ERR_INVALID},
        {"quiesce", "off", "off", 0},
        {"quiesce", "try", "try", 0},
        {"quiesce", "require", "require", 0},
        {"quiesce", "maybe", NULL, ERR_INVALID},
        {"quiesce_timeout", "0", NULL, ERR_INVALID},
        {"quiesce_timeout", "300", "300", 0},
        {"quiesce_timeout", "301", NULL, ERR_INVALID},
        {"none", "1", NULL, ERR_INVALID},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *normal = catalog_policy_check(cases[i].key, cases[i].value, &error);

        assert_int_equal(g_strcmp0(normal, cases[i].normal), 0);
        assert_true(cases[i].normal ? !error : error_is(error, cases[i].code));
        assert_true(!error || strstr(error->message, cases[i].key));
    }
}

/* ---- invariants: each breaks one thing of the sample ---- */

static void upper_uuid(Catalog *c)
{
    str_set(&c->uuid, "6F1C2A80-93AB-4C35-8D3E-0B6A4C1F2D77");
}
static void no_uuid(Catalog *c)
{
    str_set(&c->uuid, "web01");
}
static void empty_name(Catalog *c)
{
    str_set(&c->name, "");
}
static void huge_generation(Catalog *c)
{
    c->generation = G_MAXUINT64;
}
static void same_disk_id(Catalog *c)
{
    str_set(&disk_at(c, 1)->id, "d1");
}
static void slash_in_disk_id(Catalog *c)
{
    str_set(&disk_at(c, 1)->id, "../x");
}
static void same_target(Catalog *c)
{
    str_set(&disk_at(c, 1)->target, "vda");
}
static void newline_in_target(Catalog *c)
{
    str_set(&disk_at(c, 1)->target, "vd\nb");
}
static void same_layer_id_on_two_disks(Catalog *c)
{
    str_set(&layer_at(c, 1, 0)->id, "a0");
}
static void no_active(Catalog *c)
{
    str_set(&disk_at(c, 0)->active, NULL);
}
static void active_of_another_disk(Catalog *c)
{
    str_set(&disk_at(c, 0)->active, "b1");
}
static void pivot_to_nothing(Catalog *c)
{
    str_set(&disk_at(c, 0)->pivot, "b0");
}
static void pivot_to_active(Catalog *c)
{
    str_set(&disk_at(c, 0)->pivot, "a2");
}
static void committed_into_nothing(Catalog *c)
{
    str_set(&disk_at(c, 0)->committed, "b0");
}
static void committed_into_active(Catalog *c)
{
    str_set(&disk_at(c, 0)->committed, "a2");
}
static void dependant_on_active(Catalog *c)
{
    str_set(&layer_at(c, 0, 3)->parent, "a2");
}
static void parent_missing(Catalog *c)
{
    str_set(&layer_at(c, 0, 3)->parent, "zz");
}
static void parent_on_another_disk(Catalog *c)
{
    str_set(&layer_at(c, 0, 3)->parent, "b0");
}
static void layers_in_a_circle(Catalog *c)
{
    str_set(&layer_at(c, 0, 0)->parent, "a1");
}
static void layer_is_its_own_parent(Catalog *c)
{
    str_set(&layer_at(c, 0, 0)->parent, "a0");
}
static void relative_path(Catalog *c)
{
    str_set(&layer_at(c, 0, 0)->path, "a0.qcow2");
}
static void same_path(Catalog *c)
{
    str_set(&layer_at(c, 0, 0)->path, "/images/b0.qcow2");
}
static void control_in_path(Catalog *c)
{
    str_set(&layer_at(c, 0, 0)->path, "/images/a\n0");
}
static void long_path(Catalog *c)
{
    g_autofree char *path = g_strnfill(5000, '/');

    str_set(&layer_at(c, 0, 0)->path, path);
}
static void odd_format(Catalog *c)
{
    str_set(&layer_at(c, 0, 0)->format, "vmdk");
}
static void raw_overlay(Catalog *c)
{
    str_set(&layer_at(c, 0, 1)->format, "raw");
}
static void huge_capacity(Catalog *c)
{
    layer_at(c, 0, 0)->capacity = G_MAXUINT64 / 2 + 1;
}
static void same_snapshot_id(Catalog *c)
{
    str_set(&snapshot_at(c, 2)->id, "s1");
}
static void same_snapshot_name(Catalog *c)
{
    str_set(&snapshot_at(c, 2)->name, "one");
}
static void illegal_snapshot_name(Catalog *c)
{
    str_set(&snapshot_at(c, 2)->name, "-rf");
}
static void illegal_hidden_name(Catalog *c)
{
    snapshot_at(c, 2)->hidden = true;
    str_set(&snapshot_at(c, 2)->name, "a/b");
}
static void unknown_state(Catalog *c)
{
    snapshot_at(c, 2)->state = (SnapshotState)7;
}
static void unknown_consistency(Catalog *c)
{
    str_set(&snapshot_at(c, 2)->consistency, "perfect");
}
static void latin1_description(Catalog *c)
{
    str_set(&snapshot_at(c, 2)->description, "gr\xFC\xDF");
}
static void long_description(Catalog *c)
{
    g_autofree char *text = g_strnfill(4096, 'x');

    str_set(&snapshot_at(c, 2)->description, text);
}
static void file_type_in_mode(Catalog *c)
{
    snapshot_at(c, 2)->mode = 040750;
}
static void negative_time(Catalog *c)
{
    snapshot_at(c, 2)->created = -1;
}
static void entry_of_unknown_disk(Catalog *c)
{
    own(snapshot_at(c, 2), "d9", "a0");
}
static void entry_of_unknown_layer(Catalog *c)
{
    own(snapshot_at(c, 2), "d2", "zz");
}
static void entry_of_active_layer(Catalog *c)
{
    own(snapshot_at(c, 2), "d2", "b1");
}
static void entry_of_other_disks_layer(Catalog *c)
{
    own(snapshot_at(c, 2), "d2", "a0");
}
static void layer_with_two_owners(Catalog *c)
{
    own(snapshot_at(c, 2), "d2", "b0");
}
static void disk_twice_in_a_snapshot(Catalog *c)
{
    own(snapshot_at(c, 1), "d1", "a3");
}
static void layer_without_owner(Catalog *c)
{
    g_ptr_array_set_size(snapshot_at(c, 2)->disks, 0);
}
static void current_missing(Catalog *c)
{
    str_set(&c->current, "s9");
}
static void snapshot_parent_missing(Catalog *c)
{
    str_set(&snapshot_at(c, 2)->parent, "s9");
}
static void snapshots_in_a_circle(Catalog *c)
{
    str_set(&snapshot_at(c, 0)->parent, "s3");
}
static void short_checksum(Catalog *c)
{
    str_set(&snapshot_at(c, 0)->vars->sha256, "9f86d0");
}
static void no_checksum(Catalog *c)
{
    str_set(&snapshot_at(c, 0)->tpm->sha256, NULL);
}
static void checksum_in_upper_case(Catalog *c)
{
    snapshot_at(c, 0)->vars->sha256[1] = 'F';
}
static void variables_with_a_version(Catalog *c)
{
    str_set(&snapshot_at(c, 0)->vars->version, "2.0");
}
static void vtpm_of_no_known_version(Catalog *c)
{
    str_set(&snapshot_at(c, 0)->tpm->version, "3.0");
}
static void secret_that_is_no_uuid(Catalog *c)
{
    str_set(&snapshot_at(c, 0)->tpm->secret, "../x");
}
static void huge_sidecar(Catalog *c)
{
    snapshot_at(c, 0)->vars->size = (uint64_t)G_MAXINT64 + 1;
}
static void relative_store(Catalog *c)
{
    str_set(&c->vars, "web01_VARS.fd");
}
static void unknown_policy(Catalog *c)
{
    g_hash_table_insert(c->policy, g_strdup("colour"), g_strdup("red"));
}
static void odd_policy_value(Catalog *c)
{
    g_hash_table_insert(c->policy, g_strdup("bandwidth"), g_strdup("1M"));
}
static void unknown_key_that_is_no_yaml(Catalog *c)
{
    g_hash_table_insert(c->unknown, g_strdup("future"), g_strdup("[1"));
}

static void each_broken_invariant_is_named(void **state)
{
    static const struct {
        void (*break_it)(Catalog *catalog);
        const char *says;
    } cases[] = {
        {upper_uuid, "uuid"},
        {no_uuid, "uuid"},
        {empty_name, "name"},
        {huge_generation, "generation"},
        {same_disk_id, "two disks have the id d1"},
        {slash_in_disk_id, "legal id"},
        {same_target, "two attached disks have the target vda"},
        {newline_in_target, "legal target"},
        {same_layer_id_on_two_disks, "two layers have the id a0"},
        {no_active, "d1 does not have its active layer"},
        {active_of_another_disk, "d1 does not have its active layer"},
        {pivot_to_nothing, "the pivot of disk d1 is to no layer below its active one"},
        {pivot_to_active, "the pivot of disk d1 is to no layer below its active one"},
        {committed_into_nothing, "disk d1 is committed into no layer below its active one"},
        {committed_into_active, "disk d1 is committed into no layer below its active one"},
        {dependant_on_active, "a3 depends on the active layer a2"},
        {parent_missing, "parent zz of layer a3"},
        {parent_on_another_disk, "parent b0 of layer a3"},
        {layers_in_a_circle, "circle"},
        {layer_is_its_own_parent, "circle"},
        {relative_path, "a0 is not absolute"},
        {same_path, "/images/b0.qcow2"},
        {control_in_path, "control characters"},
        {long_path, "longer than"},
        {odd_format, "format of layer a0"},
        {raw_overlay, "a1 has a parent but is not qcow2"},
        {huge_capacity, "capacity of layer a0"},
        {same_snapshot_id, "two snapshots have the id s1"},
        {same_snapshot_name, "two snapshots have the name one"},
        {illegal_snapshot_name, "snapshot s3"},
        {illegal_hidden_name, "snapshot s3"},
        {unknown_state, "s3 has no known state"},
        {unknown_consistency, "consistency of snapshot s3"},
        {latin1_description, "text of snapshot s3"},
        {long_description, "description of snapshot s3"},
        {file_type_in_mode, "mode of snapshot s3"},
        {negative_time, "time of snapshot s3"},
        {entry_of_unknown_disk, "s3 names a disk"},
        {entry_of_unknown_layer, "s3 names a layer"},
        {entry_of_active_layer, "s3 names the active layer b1"},
        {entry_of_other_disks_layer, "s3 names a layer"},
        {layer_with_two_owners, "two snapshots own layer b0"},
        {disk_twice_in_a_snapshot, "s2 names disk d1 twice"},
        {layer_without_owner, "a3 of disk d1 belongs to no snapshot"},
        {current_missing, "current snapshot s9"},
        {snapshot_parent_missing, "parent s9 of snapshot s3"},
        {snapshots_in_a_circle, "circle"},
        {short_checksum, "s1 has no SHA-256"},
        {no_checksum, "s1 has no SHA-256"},
        {checksum_in_upper_case, "s1 has no SHA-256"},
        {variables_with_a_version, "sidecar of snapshot s1 has no version"},
        {vtpm_of_no_known_version, "sidecar of snapshot s1 has no version"},
        {secret_that_is_no_uuid, "secret of snapshot s1's vTPM"},
        {huge_sidecar, "size of a sidecar of snapshot s1"},
        {relative_store, "UEFI variables is not absolute"},
        {unknown_policy, "colour"},
        {odd_policy_value, "bandwidth"},
        {unknown_key_that_is_no_yaml, "future"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Catalog) catalog = sample();
        g_autoptr(GError) error = NULL;

        assert_true(catalog_check(catalog, NULL));
        cases[i].break_it(catalog);
        assert_false(catalog_check(catalog, &error));
        assert_true(error_is(error, ERR_INVALID));
        if (!strstr(error->message, cases[i].says))
            fail_msg("case %u says: %s", i, error->message);
    }
}

static void odd_but_whole_catalogs_pass(void **state)
{
    g_autoptr(Catalog) catalog = sample();
    g_autoptr(Catalog) empty = catalog_new(UUID, "new & <odd>");

    assert_true(catalog_check(empty, NULL));
    disk_at(catalog, 1)->attached = false;
    str_set(&disk_at(catalog, 1)->target, "vda");
    str_set(&layer_at(catalog, 0, 0)->path, "/images/\xFF \"x\" & <y>:-z");
    str_set(&layer_at(catalog, 0, 0)->format, "raw");
    str_set(&snapshot_at(catalog, 0)->description, "two\nlines\ttab");
    assert_true(catalog_check(catalog, NULL));
}

static void a_very_deep_catalog_is_checked_in_time(void **state)
{
    g_autoptr(Catalog) catalog = catalog_new(UUID, "deep");
    Disk *disk = add_disk(catalog, "d1", "vda", "l19999");

    for (unsigned i = 0; i < 20000; i++) {
        g_autofree char *id = g_strdup_printf("l%u", i);
        g_autofree char *parent = i ? g_strdup_printf("l%u", i - 1) : NULL;
        g_autofree char *snapshot = g_strdup_printf("s%u", i);
        g_autofree char *above = i ? g_strdup_printf("s%u", i - 1) : NULL;

        add_layer(disk, id, parent);
        if (i < 19999)
            own(add_snapshot(catalog, snapshot, snapshot, above), "d1", id);
    }
    assert_true(catalog_check(catalog, NULL));
    str_set(&layer_at(catalog, 0, 0)->parent, "l19998");
    assert_false(catalog_check(catalog, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lookups_find_what_is_there_and_nothing_else),
        cmocka_unit_test(a_hidden_snapshot_has_no_name),
        cmocka_unit_test(dependants_count_the_active_layer_and_detached_disks),
        cmocka_unit_test(a_copy_is_equal_and_its_own),
        cmocka_unit_test(a_snapshot_without_the_owners_write_bit_is_held),
        cmocka_unit_test(states_have_names_that_parse),
        cmocka_unit_test(every_policy_has_a_default_that_it_takes),
        cmocka_unit_test(policy_values_are_checked_and_made_normal),
        cmocka_unit_test(each_broken_invariant_is_named),
        cmocka_unit_test(odd_but_whole_catalogs_pass),
        cmocka_unit_test(a_very_deep_catalog_is_checked_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
