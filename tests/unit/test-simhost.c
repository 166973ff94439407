/* The simulated host behaves as libvirt, QEMU and qemu-img were seen to, and remembers what would
 * have ruined something. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/error.h"
#include "model/simhost-face.h"

#define VM    "11111111-1111-4111-8111-111111111111"
#define OTHER "22222222-2222-4222-8222-222222222222"
#define SIZE  (8 * SIM_BLOCK)

/* One VM with the disks vda and vdb, block 0 of each written. */
static SimHost *make_host(DomainState state)
{
    SimHost *host = simhost_new();

    simhost_add_image(host, "/i/a", "qcow2", NULL, NULL, SIZE);
    simhost_add_image(host, "/i/b", "raw", NULL, NULL, SIZE);
    simhost_add_domain(host, VM, "web01", state);
    simhost_add_disk(host, VM, "vda", "/i/a", "qcow2");
    simhost_add_disk(host, VM, "vdb", "/i/b", "raw");
    simhost_write(host, VM, "vda", 0, 1);
    simhost_write(host, VM, "vdb", 0, 2);
    return host;
}

static void overlay(SimHost *host, const char *path, const char *backing, const char *format)
{
    assert_true(simhost_overlay(host, path, backing, format, SIZE, NULL));
}

/* A snapshot of vda alone: @path becomes active on @backing. */
static void snapshot(SimHost *host, const char *path, const char *backing)
{
    g_autoptr(GPtrArray) switches =
        g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();

    overlay(host, path, backing, "qcow2");
    g_ptr_array_add(switches, disk_switch_new("vda", path, "qcow2"));
    g_ptr_array_add(excluded, (char *)"vdb");
    assert_true(simhost_snapshot(host, VM, switches, excluded, NULL));
}

static uint64_t block_of(GArray *content, unsigned block)
{
    uint64_t value = g_array_index(content, guint64, block);

    g_array_unref(content);
    return value;
}

static uint64_t seen(SimHost *host, const char *target, unsigned block)
{
    return block_of(simhost_read(host, VM, target), block);
}

static uint64_t shown(SimHost *host, const char *path, unsigned block)
{
    return block_of(simhost_image_content(host, path), block);
}

static Domain *definition(SimHost *host, bool live)
{
    g_auto(SimFacts) facts = {0};

    assert_true(simhost_inspect(host, VM, &facts, NULL));
    Domain *domain = domain_parse(live ? facts.live : facts.inactive, NULL);
    assert_non_null(domain);
    return domain;
}

static void assert_chain(SimHost *host, bool live, const char *path, const char *below)
{
    g_autoptr(Domain) domain = definition(host, live);
    const DomainDisk *disk = domain_disk(domain, "vda");

    assert_string_equal(disk->path, path);
    if (below)
        assert_string_equal(((ChainLink *)disk->chain->pdata[0])->path, below);
    else
        assert_int_equal(disk->chain->len, 0);
}

static void redefine(SimHost *host, const char *path)
{
    g_auto(SimFacts) facts = {0};
    g_autoptr(GPtrArray) switches =
        g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);

    assert_true(simhost_inspect(host, VM, &facts, NULL));
    g_ptr_array_add(switches, disk_switch_new("vda", path, "qcow2"));
    g_autofree char *xml =
        domain_xml_switch(facts.inactive, &(const DomainChange){.switches = switches}, NULL);
    assert_true(simhost_define(host, VM, xml, NULL));
}

static SimJobLook look(SimHost *host)
{
    SimJobLook found;

    assert_true(simhost_job_look(host, VM, "vda", &found, NULL));
    return found;
}

static void assert_fine(SimHost *host)
{
    assert_null(simhost_misuse(host));
}

static void assert_caught(SimHost *host, const char *word)
{
    assert_non_null(simhost_misuse(host));
    assert_non_null(strstr(simhost_misuse(host), word));
}

/* --- content --- */

static void a_write_goes_to_the_active_layer_only(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    snapshot(host, "/i/a1", "/i/a");
    simhost_write(host, VM, "vda", 0, 10);
    assert_int_equal(seen(host, "vda", 0), 10);
    assert_int_equal(shown(host, "/i/a", 0), 1);
    assert_int_equal(seen(host, "vdb", 0), 2);
    assert_fine(host);
}

static void past_the_end_of_a_backing_file_are_zeros(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    assert_true(simhost_overlay(host, "/i/big", "/i/a", "qcow2", 2 * SIZE, NULL));
    g_autoptr(GArray) content = simhost_image_content(host, "/i/big");
    assert_int_equal(content->len, 16);
    assert_int_equal(g_array_index(content, guint64, 0), 1);
    assert_int_equal(g_array_index(content, guint64, 12), 0);
}

/* A smaller layer in between hides what is below its end. */
static void a_smaller_layer_hides_what_is_below_its_end(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    simhost_write(host, VM, "vda", 7, 70);
    assert_true(simhost_overlay(host, "/i/small", "/i/a", "qcow2", SIM_BLOCK, NULL));
    assert_true(simhost_overlay(host, "/i/again", "/i/small", "qcow2", SIZE, NULL));
    assert_int_equal(shown(host, "/i/again", 0), 1);
    assert_int_equal(shown(host, "/i/again", 7), 0);
}

static void an_image_without_its_backing_file_has_no_content(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    simhost_add_image(host, "/i/torn", "qcow2", "/i/gone", "qcow2", SIZE);
    assert_null(simhost_image_content(host, "/i/torn"));
    assert_null(simhost_image_content(host, "/i/gone"));
}

/* --- snapshots --- */

static void a_live_snapshot_states_its_chain_in_both_definitions(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    snapshot(host, "/i/a1", "/i/a");
    assert_chain(host, true, "/i/a1", "/i/a");
    assert_chain(host, false, "/i/a1", "/i/a");
}

static void a_forgetful_libvirt_leaves_the_persistent_definition(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    simhost_set_forgetful(host, true);
    snapshot(host, "/i/a1", "/i/a");
    assert_chain(host, true, "/i/a1", "/i/a");
    assert_chain(host, false, "/i/a", NULL);
    redefine(host, "/i/a1");
    assert_chain(host, false, "/i/a1", NULL);
    assert_fine(host);
}

static void a_snapshot_is_of_all_disks_or_none(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);
    g_autoptr(GPtrArray) switches =
        g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
    g_autoptr(GError) error = NULL;

    overlay(host, "/i/a1", "/i/a", "qcow2");
    g_ptr_array_add(switches, disk_switch_new("vda", "/i/a1", "qcow2"));
    g_ptr_array_add(switches, disk_switch_new("vdb", "/i/missing", "qcow2"));
    assert_false(simhost_snapshot(host, VM, switches, NULL, &error));
    assert_true(error_is(error, ERR_IO));
    assert_chain(host, true, "/i/a", NULL);
    assert_fine(host);
}

static void a_disk_left_out_of_a_snapshot_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);
    g_autoptr(GPtrArray) switches =
        g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);

    overlay(host, "/i/a1", "/i/a", "qcow2");
    g_ptr_array_add(switches, disk_switch_new("vda", "/i/a1", "qcow2"));
    assert_false(simhost_snapshot(host, VM, switches, NULL, NULL));
    assert_caught(host, "vdb");
}

static void an_overlay_made_for_another_file_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    overlay(host, "/i/old", "/i/a", "qcow2");
    snapshot(host, "/i/a1", "/i/a");
    assert_fine(host);
    snapshot(host, "/i/a2", "/i/a");
    assert_caught(host, "/i/a2");
}

static void an_overlay_of_another_size_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    simhost_grow(host, VM, "vda", 2 * SIZE);
    snapshot(host, "/i/a1", "/i/a");
    assert_caught(host, "size");
}

static void a_wrong_backing_format_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    overlay(host, "/i/a1", "/i/a", "raw");
    assert_caught(host, "/i/a1");
}

/* --- power --- */

static void a_stated_chain_counts_more_than_the_headers(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);
    g_autoptr(GError) error = NULL;

    snapshot(host, "/i/a1", "/i/a");
    snapshot(host, "/i/a2", "/i/a1");
    simhost_stop(host, VM);
    assert_true(simhost_repoint(host, "/i/a2", "/i/a", "qcow2", NULL));
    assert_fine(host);
    assert_true(simhost_unlink(host, "/i/a1", NULL, NULL));
    assert_caught(host, "/i/a1");
    assert_false(simhost_power_on(host, VM, &error));
    assert_true(error_is(error, ERR_IO));
    assert_non_null(strstr(error->message, "/i/a1"));
}

static void a_chain_that_is_not_stated_is_read_from_the_headers(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    snapshot(host, "/i/a1", "/i/a");
    snapshot(host, "/i/a2", "/i/a1");
    simhost_stop(host, VM);
    assert_true(simhost_repoint(host, "/i/a2", "/i/a", "qcow2", NULL));
    redefine(host, "/i/a2");
    assert_true(simhost_unlink(host, "/i/a1", NULL, NULL));
    assert_true(simhost_start(host, VM));
    assert_chain(host, true, "/i/a2", "/i/a");
    assert_fine(host);
}

static void a_locked_file_keeps_its_vm_from_starting(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);
    g_autoptr(GError) error = NULL;

    assert_true(simhost_lock(host, "/i/a", NULL));
    assert_false(simhost_lock(host, "/i/a", NULL));
    assert_false(simhost_power_on(host, VM, &error));
    assert_true(error_is(error, ERR_BUSY));
    simhost_unlock(host, "/i/a");
    assert_true(simhost_start(host, VM));
    assert_false(simhost_lock(host, "/i/a", NULL));
}

static void two_vms_read_one_base_but_do_not_write_it(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    overlay(host, "/i/x", "/i/a", "qcow2");
    overlay(host, "/i/y", "/i/a", "qcow2");
    redefine(host, "/i/x");
    simhost_add_domain(host, OTHER, "other", DOMAIN_OFF);
    simhost_add_disk(host, OTHER, "vda", "/i/y", "qcow2");
    assert_true(simhost_start(host, VM));
    assert_true(simhost_start(host, OTHER));
    simhost_stop(host, OTHER);
    simhost_remove_disk(host, OTHER, "vda");
    simhost_add_disk(host, OTHER, "vda", "/i/a", "qcow2");
    assert_false(simhost_start(host, OTHER));
}

static void a_transient_vm_is_gone_when_it_stops(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    simhost_set_transient(host, VM);
    simhost_stop(host, VM);
    g_autoptr(GPtrArray) left = simhost_list(host);
    assert_int_equal(left->len, 0);
}

static void a_redefinition_away_from_a_running_disk_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_RUNNING);

    overlay(host, "/i/a1", "/i/a", "qcow2");
    redefine(host, "/i/a1");
    assert_caught(host, "redefined");
}

static void metadata_and_flags_survive_a_redefinition(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    simhost_set_disk(host, VM, "vdb", "cdrom", "file", true, false);
    assert_true(simhost_set_metadata(host, VM, "/i & <home>", 7, NULL));
    overlay(host, "/i/a1", "/i/a", "qcow2");
    redefine(host, "/i/a1");
    g_autoptr(Domain) domain = definition(host, false);
    assert_string_equal(domain->home, "/i & <home>");
    assert_int_equal(domain->generation, 7);
    assert_string_equal(domain_disk(domain, "vdb")->device, "cdrom");
    assert_true(domain_disk(domain, "vdb")->readonly);
}

/* --- block jobs --- */

static SimHost *make_chain(void)
{
    SimHost *host = make_host(DOMAIN_RUNNING);

    snapshot(host, "/i/a1", "/i/a");
    simhost_write(host, VM, "vda", 1, 11);
    snapshot(host, "/i/a2", "/i/a1");
    simhost_write(host, VM, "vda", 2, 22);
    simhost_write(host, VM, "vda", 3, 33);
    return host;
}

static void an_active_commit_goes_on_by_looks_and_pivots(void **state)
{
    g_autoptr(SimHost) host = make_chain();
    g_autoptr(GError) error = NULL;

    simhost_set_job_speed(host, 1);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    assert_int_equal(look(host).done, SIM_BLOCK);
    assert_false(simhost_job_pivot(host, VM, "vda", &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_true(look(host).ready);
    g_autoptr(Domain) live = definition(host, true);
    assert_true(domain_disk(live, "vda")->mirror_ready);
    assert_string_equal(domain_disk(live, "vda")->mirror_path, "/i/a1");
    simhost_write(host, VM, "vda", 4, 44);
    assert_true(simhost_job_pivot(host, VM, "vda", NULL));
    assert_chain(host, true, "/i/a1", "/i/a");
    assert_chain(host, false, "/i/a1", "/i/a");
    assert_int_equal(seen(host, "vda", 3), 33);
    assert_int_equal(seen(host, "vda", 4), 44);
    assert_false(look(host).exists);
    assert_true(simhost_unlink(host, "/i/a2", NULL, NULL));
    assert_fine(host);
}

static void a_forgetful_libvirt_pivots_only_what_runs(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_forgetful(host, true);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    assert_true(look(host).ready);
    assert_true(simhost_job_pivot(host, VM, "vda", NULL));
    assert_chain(host, true, "/i/a1", "/i/a");
    assert_chain(host, false, "/i/a2", "/i/a1");
    assert_true(simhost_unlink(host, "/i/a2", NULL, NULL));
    assert_caught(host, "/i/a2");
}

/* The definition was stored without its chain meanwhile, as after an offline merge. */
static void a_pivot_onto_a_layer_that_is_not_stated(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    redefine(host, "/i/a2");
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    assert_true(look(host).ready);
    assert_true(simhost_job_pivot(host, VM, "vda", NULL));
    assert_chain(host, false, "/i/a1", NULL);
    assert_true(simhost_unlink(host, "/i/a2", NULL, NULL));
    assert_fine(host);
}

static void an_aborted_commit_leaves_the_base_a_mixture(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_job_speed(host, 1);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    look(host);
    assert_true(simhost_job_abort(host, VM, "vda", NULL));
    assert_false(look(host).exists);
    assert_int_equal(shown(host, "/i/a1", 2), 22);
    assert_int_equal(shown(host, "/i/a1", 3), 0);
    assert_chain(host, true, "/i/a2", "/i/a1");
}

static void a_job_ends_with_its_qemu(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_job_speed(host, 1);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    look(host);
    simhost_stop(host, VM);
    assert_int_equal(shown(host, "/i/a1", 2), 22);
    assert_true(simhost_start(host, VM));
    assert_false(look(host).exists);
    assert_chain(host, true, "/i/a2", "/i/a1");
    assert_int_equal(seen(host, "vda", 3), 33);
}

static void a_job_without_speed_stands_still(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_job_speed(host, 0);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(look(host).done, 0);
    simhost_set_job_speed(host, 8);
    assert_true(look(host).ready);
}

static void an_inner_commit_repoints_the_child_by_itself(void **state)
{
    g_autoptr(SimHost) host = make_chain();
    g_auto(SimImageFacts) facts = {0};

    assert_true(simhost_job_start(host, VM, "vda", "/i/a1", "/i/a", false, NULL));
    assert_false(look(host).exists);
    assert_true(simhost_image_facts(host, "/i/a2", &facts));
    assert_string_equal(facts.backing, "/i/a");
    assert_string_equal(facts.backing_format, "qcow2");
    assert_chain(host, true, "/i/a2", "/i/a");
    assert_chain(host, false, "/i/a2", "/i/a");
    assert_true(simhost_unlink(host, "/i/a1", NULL, NULL));
    assert_int_equal(seen(host, "vda", 1), 11);
    assert_fine(host);
}

static void qemu_ends_an_inner_commit_while_libvirt_is_down(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_job_speed(host, 0);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a1", "/i/a", false, NULL));
    simhost_set_down(host, true);
    simhost_set_down(host, false);
    assert_false(look(host).exists);
    assert_chain(host, true, "/i/a2", "/i/a");
}

static void an_active_commit_waits_for_its_pivot_while_libvirt_is_down(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_job_speed(host, 0);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    simhost_set_down(host, true);
    simhost_set_down(host, false);
    assert_true(look(host).ready);
    assert_chain(host, true, "/i/a2", "/i/a1");
}

static void one_commit_takes_a_run_of_layers(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_write(host, VM, "vda", 0, 100);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a", true, NULL));
    assert_true(look(host).ready);
    assert_true(simhost_job_pivot(host, VM, "vda", NULL));
    assert_chain(host, true, "/i/a", NULL);
    assert_int_equal(shown(host, "/i/a", 0), 100);
    assert_int_equal(shown(host, "/i/a", 1), 11);
    assert_int_equal(shown(host, "/i/a", 3), 33);
    assert_fine(host);
}

static void a_live_commit_grows_a_smaller_base(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_grow(host, VM, "vda", 2 * SIZE);
    simhost_write(host, VM, "vda", 12, 12);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    look(host);
    assert_true(simhost_job_pivot(host, VM, "vda", NULL));
    assert_int_equal(seen(host, "vda", 12), 12);
}

static void a_job_without_room_is_just_gone(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_set_free(host, SIM_BLOCK);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    assert_false(look(host).exists);
    assert_chain(host, true, "/i/a2", "/i/a1");
    assert_int_equal(seen(host, "vda", 3), 33);
}

static void commits_that_qemu_refuses(void **state)
{
    static const struct {
        const char *target, *top, *base;
        bool active;
        ErrorCode code;
    } cases[] = {
        {"vda", "/i/a1", "/i/a", true, ERR_INVALID},
        {"vda", "/i/a2", "/i/a1", false, ERR_INVALID},
        {"vda", "/i/a1", "/i/a2", false, ERR_INVALID},
        {"vda", "/i/a2", "/i/a2", true, ERR_INVALID},
        {"vda", "/i/other", "/i/a", true, ERR_INVALID},
        {"vdz", "/i/a2", "/i/a", true, ERR_NOT_FOUND},
    };
    g_autoptr(SimHost) host = make_chain();

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        assert_false(simhost_job_start(host, VM, cases[i].target, cases[i].top, cases[i].base,
                                       cases[i].active, &error));
        assert_true(error_is(error, cases[i].code));
    }
    assert_fine(host);
}

static void a_disk_has_one_job_and_no_snapshot_beside_it(void **state)
{
    g_autoptr(SimHost) host = make_chain();
    g_autoptr(GPtrArray) switches =
        g_ptr_array_new_with_free_func((GDestroyNotify)disk_switch_free);
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();
    g_autoptr(GError) error = NULL;

    simhost_set_job_speed(host, 0);
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a1", true, NULL));
    assert_false(simhost_job_start(host, VM, "vda", "/i/a1", "/i/a", false, &error));
    assert_true(error_is(error, ERR_BUSY));
    g_clear_error(&error);
    overlay(host, "/i/a3", "/i/a2", "qcow2");
    g_ptr_array_add(switches, disk_switch_new("vda", "/i/a3", "qcow2"));
    g_ptr_array_add(excluded, (char *)"vdb");
    assert_false(simhost_snapshot(host, VM, switches, excluded, &error));
    assert_true(error_is(error, ERR_BUSY));
}

static void a_live_commit_that_ruins_a_side_branch_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    overlay(host, "/i/side", "/i/a1", "qcow2");
    assert_true(simhost_job_start(host, VM, "vda", "/i/a2", "/i/a", true, NULL));
    assert_caught(host, "/i/side");
}

/* --- offline --- */

static bool commit(SimHost *host, const char *top, const char *base, GError **error)
{
    g_autoptr(SimCommit) work = simhost_commit_begin(host, top, "qcow2", base, "qcow2", error);

    while (work && work->done < work->blocks->len)
        if (!simhost_commit_step(work, error))
            return false;
    return work != NULL;
}

static void an_offline_commit_keeps_the_top_and_grows_the_base(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_grow(host, VM, "vda", 2 * SIZE);
    simhost_write(host, VM, "vda", 9, 99);
    simhost_stop(host, VM);
    assert_true(commit(host, "/i/a2", "/i/a1", NULL));
    assert_int_equal(shown(host, "/i/a1", 2), 22);
    assert_int_equal(shown(host, "/i/a1", 9), 99);
    assert_int_equal(shown(host, "/i/a2", 9), 99);
    assert_fine(host);
}

static void files_of_a_running_vm_are_busy(void **state)
{
    g_autoptr(SimHost) host = make_chain();
    g_autoptr(GError) error = NULL;

    assert_false(commit(host, "/i/a2", "/i/a1", &error));
    assert_true(error_is(error, ERR_BUSY));
    g_clear_error(&error);
    assert_false(simhost_repoint(host, "/i/a1", "/i/a", "qcow2", &error));
    assert_true(error_is(error, ERR_BUSY));
    g_clear_error(&error);
    assert_false(simhost_unlink(host, "/i/a", NULL, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_true(simhost_image_exists(host, "/i/a"));
    assert_fine(host);
}

static void a_vm_cannot_start_during_an_offline_commit(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_stop(host, VM);
    SimCommit *work = simhost_commit_begin(host, "/i/a2", "qcow2", "/i/a1", "qcow2", NULL);
    assert_non_null(work);
    assert_false(simhost_start(host, VM));
    simhost_commit_end(work);
    assert_true(simhost_start(host, VM));
}

static void an_offline_commit_that_ruins_a_stopped_vm_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    overlay(host, "/i/clone", "/i/a1", "qcow2");
    simhost_stop(host, VM);
    assert_true(commit(host, "/i/a2", "/i/a1", NULL));
    assert_caught(host, "/i/clone");
}

static void a_commit_into_a_disk_of_a_definition_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_host(DOMAIN_OFF);

    overlay(host, "/i/a1", "/i/a", "qcow2");
    assert_true(commit(host, "/i/a1", "/i/a", NULL));
    assert_caught(host, "vda");
}

static void a_repoint_that_changes_what_is_shown_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_stop(host, VM);
    assert_true(simhost_repoint(host, "/i/a2", "/i/a", "qcow2", NULL));
    assert_caught(host, "/i/a2");
}

static void a_repoint_to_nothing_is_caught(void **state)
{
    g_autoptr(SimHost) host = make_chain();

    simhost_stop(host, VM);
    assert_true(simhost_repoint(host, "/i/a2", "/i/gone", "qcow2", NULL));
    assert_caught(host, "/i/a2");
}

static void room_is_taken_and_given_back(void **state)
{
    g_autoptr(SimHost) host = make_chain();
    g_autoptr(GError) error = NULL;

    simhost_stop(host, VM);
    simhost_set_free(host, SIM_BLOCK);
    assert_false(commit(host, "/i/a2", "/i/a1", &error));
    assert_true(error_is(error, ERR_NO_SPACE));
    assert_int_equal(simhost_free_space(host), 0);
    simhost_set_free(host, 2 * SIM_BLOCK);
    assert_true(commit(host, "/i/a2", "/i/a1", NULL));
    redefine(host, "/i/a1");
    assert_true(simhost_unlink(host, "/i/a2", NULL, NULL));
    assert_int_equal(simhost_free_space(host), 3 * SIM_BLOCK);
    assert_fine(host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_goes_to_the_active_layer_only),
        cmocka_unit_test(past_the_end_of_a_backing_file_are_zeros),
        cmocka_unit_test(a_smaller_layer_hides_what_is_below_its_end),
        cmocka_unit_test(an_image_without_its_backing_file_has_no_content),
        cmocka_unit_test(a_live_snapshot_states_its_chain_in_both_definitions),
        cmocka_unit_test(a_forgetful_libvirt_leaves_the_persistent_definition),
        cmocka_unit_test(a_snapshot_is_of_all_disks_or_none),
        cmocka_unit_test(a_disk_left_out_of_a_snapshot_is_caught),
        cmocka_unit_test(an_overlay_made_for_another_file_is_caught),
        cmocka_unit_test(an_overlay_of_another_size_is_caught),
        cmocka_unit_test(a_wrong_backing_format_is_caught),
        cmocka_unit_test(a_stated_chain_counts_more_than_the_headers),
        cmocka_unit_test(a_chain_that_is_not_stated_is_read_from_the_headers),
        cmocka_unit_test(a_locked_file_keeps_its_vm_from_starting),
        cmocka_unit_test(two_vms_read_one_base_but_do_not_write_it),
        cmocka_unit_test(a_transient_vm_is_gone_when_it_stops),
        cmocka_unit_test(a_redefinition_away_from_a_running_disk_is_caught),
        cmocka_unit_test(metadata_and_flags_survive_a_redefinition),
        cmocka_unit_test(an_active_commit_goes_on_by_looks_and_pivots),
        cmocka_unit_test(a_forgetful_libvirt_pivots_only_what_runs),
        cmocka_unit_test(a_pivot_onto_a_layer_that_is_not_stated),
        cmocka_unit_test(an_aborted_commit_leaves_the_base_a_mixture),
        cmocka_unit_test(a_job_ends_with_its_qemu),
        cmocka_unit_test(a_job_without_speed_stands_still),
        cmocka_unit_test(an_inner_commit_repoints_the_child_by_itself),
        cmocka_unit_test(qemu_ends_an_inner_commit_while_libvirt_is_down),
        cmocka_unit_test(an_active_commit_waits_for_its_pivot_while_libvirt_is_down),
        cmocka_unit_test(one_commit_takes_a_run_of_layers),
        cmocka_unit_test(a_live_commit_grows_a_smaller_base),
        cmocka_unit_test(a_job_without_room_is_just_gone),
        cmocka_unit_test(commits_that_qemu_refuses),
        cmocka_unit_test(a_disk_has_one_job_and_no_snapshot_beside_it),
        cmocka_unit_test(a_live_commit_that_ruins_a_side_branch_is_caught),
        cmocka_unit_test(an_offline_commit_keeps_the_top_and_grows_the_base),
        cmocka_unit_test(files_of_a_running_vm_are_busy),
        cmocka_unit_test(a_vm_cannot_start_during_an_offline_commit),
        cmocka_unit_test(an_offline_commit_that_ruins_a_stopped_vm_is_caught),
        cmocka_unit_test(a_commit_into_a_disk_of_a_definition_is_caught),
        cmocka_unit_test(a_repoint_that_changes_what_is_shown_is_caught),
        cmocka_unit_test(a_repoint_to_nothing_is_caught),
        cmocka_unit_test(room_is_taken_and_given_back),
    };

    return cmocka_run_group_tests_name("the simulated host", tests, NULL, NULL);
}
