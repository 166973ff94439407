#include "hv-contract-tools.h"

#include <string.h>

#define UNKNOWN "00000000-1111-2222-3333-444444444444"

static int before_each(void **state)
{
    *state = NULL;
    forget_events();
    hv->ops->subscribe(hv, hear, NULL);
    return 0;
}

/* Also after a failure: nothing may stay running. It is no failure that it does not run. */
static int after_each(void **state)
{
    hv->ops->subscribe(hv, NULL, NULL);
    if (*state)
        hv->ops->destroy(hv, *state, NULL);
    g_free(*state);
    return 0;
}

/* --- the cases: looking --- */

static void a_machine_that_is_off_is_inspected(void **state)
{
    const char *uuid = make_vm(state, 2);
    g_auto(Facts) facts = inspect(uuid);

    assert_string_equal(facts.domain->uuid, uuid);
    assert_int_equal(facts.domain->state, DOMAIN_OFF);
    assert_true(facts.domain->persistent);
    assert_false(facts.domain->managed_save);
    assert_null(facts.live);
    assert_null(facts.foreign_job);
    assert_int_equal(facts.snapshots, 0);
    assert_string_equal(facts.inactive->uuid, uuid);
    assert_string_equal(facts.inactive->name, facts.domain->name);
    assert_non_null(domain_disk(facts.inactive, "vda"));
    assert_non_null(domain_disk(facts.inactive, "vdb"));
    assert_null(domain_disk(facts.inactive, "vdc"));
}

static HvDomain *find_listed(const GPtrArray *domains, const char *uuid)
{
    for (guint i = 0; i < domains->len; i++) {
        HvDomain *domain = domains->pdata[i];

        if (g_str_equal(domain->uuid, uuid))
            return domain;
    }
    return NULL;
}

static void assert_listed(const char *uuid, DomainState state)
{
    GError *error = NULL;
    g_autoptr(GPtrArray) domains = hv->ops->list(hv, &error);
    g_auto(Facts) facts = inspect(uuid);
    const HvDomain *listed;

    assert_worked(domains, error);
    listed = find_listed(domains, uuid);
    assert_non_null(listed);
    assert_string_equal(listed->name, facts.domain->name);
    assert_string_equal(domain_state_name(listed->state), domain_state_name(state));
    assert_true(listed->persistent);
    assert_false(listed->managed_save);
}

static void machines_are_listed_running_or_not(void **state)
{
    const char *uuid = make_vm(state, 1);

    assert_listed(uuid, DOMAIN_OFF);
    power(hv->ops->start, uuid);
    assert_listed(uuid, DOMAIN_RUNNING);
    power(hv->ops->suspend, uuid);
    assert_listed(uuid, DOMAIN_PAUSED);
}

static void an_unknown_machine_is_not_found(void **state)
{
    const Power powers[] = {hv->ops->start, hv->ops->shutdown, hv->ops->destroy, hv->ops->suspend,
                            hv->ops->resume};
    GError *error = NULL;
    Facts facts = {0};
    BlockJobFacts *job = NULL;
    bool ok = hv->ops->inspect(hv, UNKNOWN, &facts.domain, &facts.live_xml, &facts.inactive_xml,
                               &facts.foreign_job, &facts.snapshots, &error);

    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    for (size_t i = 0; i < G_N_ELEMENTS(powers); i++) {
        ok = powers[i](hv, UNKNOWN, &error);
        assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    }
    ok = hv->ops->definitions(hv, UNKNOWN, &facts.live_xml, &facts.inactive_xml, &facts.foreign_job,
                              &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    ok = hv->ops->block_job(hv, UNKNOWN, "vda", &job, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    ok = hv->ops->block_abort(hv, UNKNOWN, "vda", &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    ok = hv->ops->set_metadata(hv, UNKNOWN, "/home", 1, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
}

static void assert_names_vda(char *xml, bool expected)
{
    g_autofree char *text = xml;
    g_autoptr(Domain) domain = text ? domain_parse(text, NULL) : NULL;

    assert_int_equal(text != NULL, expected);
    if (expected)
        assert_non_null(domain_disk(domain, "vda")->path);
}

/* Each definition is there exactly when there is one, and says what its disks are. */
static void assert_definitions(const char *uuid, bool live, bool saved)
{
    char *xml[3] = {NULL, NULL, NULL};
    GError *error = NULL;

    assert_worked(hv->ops->definitions(hv, uuid, &xml[0], &xml[1], &xml[2], &error), error);
    assert_names_vda(xml[0], live);
    assert_names_vda(xml[1], true);
    assert_names_vda(xml[2], saved);
}

static void a_managed_save_image_is_seen(void **state)
{
    const char *uuid = make_vm(state, 1);

    contract->save(contract->host, uuid);
    {
        g_auto(Facts) facts = inspect(uuid);

        assert_int_equal(facts.domain->state, DOMAIN_OFF);
        assert_true(facts.domain->managed_save);
    }
    assert_definitions(uuid, false, true);
    contract->drop_save(contract->host, uuid);
    {
        g_auto(Facts) facts = inspect(uuid);

        assert_false(facts.domain->managed_save);
    }
    assert_definitions(uuid, false, false);
    power(hv->ops->start, uuid);
    assert_definitions(uuid, true, false);
}

/* --- power and definitions --- */

static void power_changes_the_state_and_is_told(void **state)
{
    const char *uuid = make_vm(state, 1);

    forget_events();
    power(hv->ops->start, uuid);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    assert_state(uuid, DOMAIN_RUNNING);
    forget_events();
    power(hv->ops->suspend, uuid);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    assert_state(uuid, DOMAIN_PAUSED);
    forget_events();
    power(hv->ops->resume, uuid);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    assert_state(uuid, DOMAIN_RUNNING);
    forget_events();
    power(hv->ops->destroy, uuid);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    assert_state(uuid, DOMAIN_OFF);
}

static void power_that_the_state_does_not_allow_is_busy(void **state)
{
    const char *uuid = make_vm(state, 1);
    GError *error = NULL;
    bool ok = hv->ops->suspend(hv, uuid, &error);

    assert_refused(ok, g_steal_pointer(&error), ERR_BUSY);
    ok = hv->ops->destroy(hv, uuid, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_BUSY);
    start_paused(uuid);
    ok = hv->ops->start(hv, uuid, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_BUSY);
    assert_state(uuid, DOMAIN_PAUSED);
}

static void a_refusal_names_the_machine_by_its_name(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_auto(Facts) facts = inspect(uuid);
    g_autoptr(GError) error = NULL;

    assert_false(hv->ops->suspend(hv, uuid, &error));
    assert_non_null(strstr(error->message, facts.domain->name));
    assert_null(strstr(error->message, uuid));
}

static void a_subscriber_that_left_hears_nothing(void **state)
{
    const char *uuid = make_vm(state, 1);

    hv->ops->subscribe(hv, NULL, NULL);
    forget_events();
    power(hv->ops->start, uuid);
    assert_state(uuid, DOMAIN_RUNNING);
    assert_false(heard(HV_EVENT_DOMAIN, uuid, NULL));
}

static void define(const char *uuid, const char *xml)
{
    GError *error = NULL;
    bool ok = hv->ops->define(hv, uuid, xml, &error);

    assert_worked(ok, error);
}

static void a_redefinition_switches_a_disk(void **state)
{
    const char *uuid = make_vm(state, 2);
    g_autofree char *base = inactive_path(uuid, "vda");
    g_autofree char *other = inactive_path(uuid, "vdb");
    g_autofree char *overlay = overlay_of(base);
    g_autoptr(GPtrArray) switches = switches_new();
    g_auto(Facts) before = inspect(uuid);
    g_autofree char *xml = NULL;
    GError *error = NULL;

    g_ptr_array_add(switches, disk_switch_new("vda", overlay, "qcow2"));
    xml =
        domain_xml_switch(before.inactive_xml, &(const DomainChange){.switches = switches}, &error);
    assert_worked(xml, error);
    forget_events();
    define(uuid, xml);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    {
        g_auto(Facts) after = inspect(uuid);
        bool same = domain_xml_same(before.inactive_xml, after.inactive_xml,
                                    &(const DomainChange){.switches = switches}, &error);

        assert_worked(same, error);
    }
    assert_inactive(uuid, "vda", overlay);
    start_paused(uuid);
    assert_live(uuid, "vda", overlay);
    assert_live(uuid, "vdb", other);
}

static void a_redefinition_while_it_runs_leaves_what_runs(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_autofree char *base = inactive_path(uuid, "vda");

    start_paused(uuid);
    {
        g_auto(Facts) facts = inspect(uuid);

        define(uuid, facts.inactive_xml);
    }
    assert_inactive(uuid, "vda", base);
    assert_live(uuid, "vda", base);
    assert_state(uuid, DOMAIN_PAUSED);
}

static void a_bad_definition_is_refused_and_changes_nothing(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_auto(Facts) before = inspect(uuid);
    g_autoptr(GString) stranger = g_string_new(before.inactive_xml);
    GError *error = NULL;
    bool ok = hv->ops->define(hv, uuid, "this is no definition", &error);

    assert_refused(ok, g_steal_pointer(&error), ERR_INVALID);
    g_string_replace(stranger, uuid, UNKNOWN, 0);
    ok = hv->ops->define(hv, uuid, stranger->str, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_INVALID);
    ok = hv->ops->define(hv, UNKNOWN, stranger->str, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    {
        g_auto(Facts) after = inspect(uuid);

        assert_string_equal(after.inactive_xml, before.inactive_xml);
    }
}

static void assert_home(const Domain *domain, const char *home, uint64_t generation)
{
    assert_string_equal(domain->home, home);
    assert_int_equal(domain->generation, generation);
}

static void mark(const char *uuid, const char *home, uint64_t generation)
{
    GError *error = NULL;
    bool ok = hv->ops->set_metadata(hv, uuid, home, generation, &error);

    assert_worked(ok, error);
}

static void our_metadata_is_in_both_definitions(void **state)
{
    const char *uuid = make_vm(state, 1);

    forget_events();
    mark(uuid, "/srv/a & b", 7);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    {
        g_auto(Facts) facts = inspect(uuid);

        assert_home(facts.inactive, "/srv/a & b", 7);
    }
    start_paused(uuid);
    mark(uuid, "/srv/a & b", 8);
    {
        g_auto(Facts) facts = inspect(uuid);

        assert_home(facts.inactive, "/srv/a & b", 8);
        assert_home(facts.live, "/srv/a & b", 8);
    }
}

/* --- a machine's own life --- */

static void assert_name(const char *uuid, const char *name)
{
    g_auto(Facts) facts = inspect(uuid);

    assert_string_equal(facts.domain->name, name);
    assert_string_equal(facts.inactive->name, name);
}

static void a_machine_gets_another_name_and_keeps_the_rest(void **state)
{
    const char *uuid = make_vm(state, 2);
    g_autofree char *path = inactive_path(uuid, "vda");
    g_auto(Facts) before = inspect(uuid);
    g_autofree char *name = g_strconcat(before.domain->name, " the second", NULL);
    GError *error = NULL;

    mark(uuid, "/srv", 3);
    forget_events();
    assert_worked(hv->ops->rename(hv, uuid, name, &error), error);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    assert_name(uuid, name);
    assert_listed(uuid, DOMAIN_OFF);
    assert_inactive(uuid, "vda", path);
    {
        g_auto(Facts) after = inspect(uuid);

        assert_home(after.inactive, "/srv", 3);
    }
    power(hv->ops->start, uuid);
    assert_live(uuid, "vda", path);
}

static void a_name_that_is_taken_is_refused(void **state)
{
    const char *other = make_vm(state, 1);
    g_auto(Facts) facts = inspect(other);
    void *second = NULL;
    const char *uuid = make_vm(&second, 1);
    g_auto(Facts) before = inspect(uuid);
    GError *error = NULL;
    bool ok = hv->ops->rename(hv, uuid, facts.domain->name, &error);

    assert_refused(ok, g_steal_pointer(&error), ERR_EXISTS);
    assert_name(uuid, before.domain->name);
    ok = hv->ops->rename(hv, UNKNOWN, "nobody", &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    g_free(second);
}

static void assert_not_now(const char *uuid)
{
    g_auto(Facts) before = inspect(uuid);
    GError *error = NULL;
    bool ok = hv->ops->rename(hv, uuid, "not now", &error);

    assert_refused(ok, g_steal_pointer(&error), ERR_BUSY);
    ok = hv->ops->undefine(hv, uuid, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_BUSY);
    assert_name(uuid, before.domain->name);
}

static void only_a_machine_that_is_off_is_renamed_or_undefined(void **state)
{
    const char *uuid = make_vm(state, 1);

    contract->save(contract->host, uuid);
    assert_not_now(uuid);
    contract->drop_save(contract->host, uuid);
    start_paused(uuid);
    assert_not_now(uuid);
}

static void an_undefined_machine_is_gone(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_autofree char *path = inactive_path(uuid, "vda");
    GError *error = NULL;

    forget_events();
    assert_worked(hv->ops->undefine(hv, uuid, &error), error);
    assert_told(HV_EVENT_DOMAIN, uuid, NULL);
    g_autoptr(GPtrArray) domains = hv->ops->list(hv, &error);
    assert_worked(domains, error);
    assert_null(find_listed(domains, uuid));
    bool ok = hv->ops->undefine(hv, uuid, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    /* Its disk is where it was. */
    g_autofree char *overlay = contract->make_overlay(contract->host, path);
    assert_non_null(overlay);
}

/* --- snapshots and block jobs --- */

static void one_snapshot_switches_all_disks_but_the_excluded(void **state)
{
    const char *uuid = make_vm(state, 3);
    g_autofree char *excluded_path = inactive_path(uuid, "vdb");
    g_autofree char *base_a = inactive_path(uuid, "vda");
    g_autofree char *base_c = inactive_path(uuid, "vdc");
    g_autofree char *overlay_a = overlay_of(base_a);
    g_autofree char *overlay_c = overlay_of(base_c);
    g_autoptr(GPtrArray) switches = switches_new();
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();
    GError *error = NULL;
    bool ok;

    g_ptr_array_add(switches, disk_switch_new("vda", overlay_a, "qcow2"));
    g_ptr_array_add(switches, disk_switch_new("vdc", overlay_c, "qcow2"));
    g_ptr_array_add(excluded, (char *)"vdb");
    start_paused(uuid);
    ok = hv->ops->snapshot(hv, uuid, switches, excluded, &error);
    assert_worked(ok, error);
    assert_live(uuid, "vda", overlay_a);
    assert_live(uuid, "vdb", excluded_path);
    assert_live(uuid, "vdc", overlay_c);
    assert_inactive(uuid, "vda", overlay_a);
    assert_inactive(uuid, "vdb", excluded_path);
    assert_inactive(uuid, "vdc", overlay_c);
    {
        g_auto(Facts) facts = inspect(uuid);

        assert_int_equal(facts.snapshots, 0); /* libvirt keeps none of ours */
        assert_null(facts.foreign_job);
    }
}

static void a_snapshot_onto_a_missing_overlay_changes_nothing(void **state)
{
    const char *uuid = make_vm(state, 2);
    g_autofree char *base_a = inactive_path(uuid, "vda");
    g_autofree char *base_b = inactive_path(uuid, "vdb");
    g_autofree char *overlay_a = overlay_of(base_a);
    g_autofree char *missing = overlay_of(base_b);
    g_autoptr(GPtrArray) switches = switches_new();
    g_autoptr(GPtrArray) excluded = g_ptr_array_new();
    GError *error = NULL;
    bool ok;

    contract->remove_file(contract->host, missing);
    g_ptr_array_add(switches, disk_switch_new("vda", overlay_a, "qcow2"));
    g_ptr_array_add(switches, disk_switch_new("vdb", missing, "qcow2"));
    start_paused(uuid);
    ok = hv->ops->snapshot(hv, uuid, switches, excluded, &error);
    assert_false(ok);
    assert_non_null(error);
    g_error_free(error);
    assert_live(uuid, "vda", base_a);
    assert_live(uuid, "vdb", base_b);
    assert_inactive(uuid, "vda", base_a);
}

static void an_active_commit_is_ready_and_pivots(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_autofree char *base = inactive_path(uuid, "vda");
    g_autofree char *overlay = overlay_of(base);
    GError *error = NULL;
    bool ok;

    start_paused(uuid);
    snapshot(uuid, "vda", overlay);
    commit(uuid, "vda", overlay, base, true);
    wait_until(job_is_ready, uuid, "vda");
    assert_told(HV_EVENT_BLOCK_JOB, uuid, "vda");
    assert_live(uuid, "vda", overlay);
    ok = hv->ops->block_speed(hv, uuid, "vda", 0, &error);
    assert_worked(ok, error);
    ok = hv->ops->block_pivot(hv, uuid, "vda", &error);
    assert_worked(ok, error);
    assert_true(has_no_job(uuid, "vda"));
    assert_live(uuid, "vda", base);
    assert_inactive(uuid, "vda", base);
}

static void an_aborted_commit_leaves_the_top(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_autofree char *base = inactive_path(uuid, "vda");
    g_autofree char *overlay = overlay_of(base);
    GError *error = NULL;
    bool ok;

    start_paused(uuid);
    snapshot(uuid, "vda", overlay);
    commit(uuid, "vda", overlay, base, true);
    wait_until(job_is_ready, uuid, "vda");
    ok = hv->ops->block_abort(hv, uuid, "vda", &error);
    assert_worked(ok, error);
    assert_true(has_no_job(uuid, "vda"));
    assert_live(uuid, "vda", overlay);
    commit(uuid, "vda", overlay, base, true); /* and it can be done again */
    wait_until(job_is_ready, uuid, "vda");
}

static void an_inner_commit_takes_a_layer_out_of_the_chain(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_autofree char *base = inactive_path(uuid, "vda");
    g_autofree char *middle = overlay_of(base);
    g_autofree char *top = overlay_of(middle);

    start_paused(uuid);
    snapshot(uuid, "vda", middle);
    snapshot(uuid, "vda", top);
    commit(uuid, "vda", middle, base, false);
    wait_until(has_no_job, uuid, "vda");
    assert_live(uuid, "vda", top);
    power(hv->ops->destroy, uuid);
    contract->remove_file(contract->host, middle); /* nobody needs it any more */
    start_paused(uuid);
    assert_live(uuid, "vda", top);
}

static void a_commit_of_a_file_outside_the_chain_is_refused(void **state)
{
    const char *uuid = make_vm(state, 1);
    g_autofree char *base = inactive_path(uuid, "vda");
    g_autofree char *stranger = overlay_of(base);
    GError *error = NULL;
    bool ok;

    start_paused(uuid);
    ok = hv->ops->block_commit(hv, uuid, "vda", stranger, base, false, 0, &error);
    assert_false(ok);
    assert_non_null(error);
    g_error_free(error);
    assert_true(has_no_job(uuid, "vda"));
    assert_live(uuid, "vda", base);
}

static void where_there_is_no_job_only_abort_is_content(void **state)
{
    const char *uuid = make_vm(state, 1);
    GError *error = NULL;
    bool ok;

    assert_true(has_no_job(uuid, "vda"));
    ok = hv->ops->block_abort(hv, uuid, "vda", &error);
    assert_worked(ok, error);
    start_paused(uuid);
    assert_true(has_no_job(uuid, "vda"));
    ok = hv->ops->block_abort(hv, uuid, "vda", &error);
    assert_worked(ok, error);
    ok = hv->ops->block_pivot(hv, uuid, "vda", &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
    ok = hv->ops->block_speed(hv, uuid, "vda", 1024 * 1024, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_NOT_FOUND);
}

/* Of a machine whose guest has no agent. */
static void without_an_agent_nothing_is_frozen(void **state)
{
    const char *uuid = make_vm(state, 1);
    unsigned count = 7;
    bool frozen = true;
    GError *error = NULL;
    bool ok;

    start_paused(uuid);
    ok = hv->ops->agent_timeout(hv, uuid, 3, &error);
    assert_worked(ok, error);
    ok = hv->ops->freeze(hv, uuid, &count, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_BUSY);
    power(hv->ops->resume, uuid);
    ok = hv->ops->freeze(hv, uuid, &count, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_UNSUPPORTED);
    ok = hv->ops->thaw(hv, uuid, &count, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_UNSUPPORTED);
    ok = hv->ops->frozen(hv, uuid, 3, &frozen, &error);
    assert_refused(ok, g_steal_pointer(&error), ERR_UNSUPPORTED);
    assert_int_equal(count, 7);
    assert_true(frozen);
}

/* S-31: read anew in each life of the connection; here that they are there at all. */
static void the_host_says_what_it_can_do(void **state)
{
    GError *error = NULL;
    g_autoptr(Capabilities) first = hv->ops->capabilities(hv, &error);
    g_autoptr(Capabilities) second = hv->ops->capabilities(hv, NULL);
    const FirmwareBuild *build;

    assert_worked(first != NULL, error);
    assert_ptr_equal(first, second);
    assert_true(first->uefi);
    assert_true(first->tpm);
    assert_true(first->secure_boot);
    assert_non_null(strstr(first->nvram_directory, "/nvram"));
    assert_non_null(strstr(first->tpm_directory, "/swtpm"));
    build = capabilities_firmware(first, "/usr/share/OVMF/OVMF_CODE_4M.fd");
    assert_string_equal(build->template, "/usr/share/OVMF/OVMF_VARS_4M.fd");
    assert_false(build->enrolled);
    build = capabilities_firmware(first, "/usr/share/OVMF/OVMF_CODE_4M.ms.fd");
    assert_string_equal(build->template, "/usr/share/OVMF/OVMF_VARS_4M.ms.fd");
    assert_true(build->secure && build->enrolled);
    assert_null(capabilities_firmware(first, "/none"));
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, before_each, after_each)

int hv_contract_run(const char *name, const HvContract *given)
{
    const struct CMUnitTest cases[] = {
        CASE(the_host_says_what_it_can_do),
        CASE(a_machine_that_is_off_is_inspected),
        CASE(machines_are_listed_running_or_not),
        CASE(an_unknown_machine_is_not_found),
        CASE(a_managed_save_image_is_seen),
        CASE(power_changes_the_state_and_is_told),
        CASE(power_that_the_state_does_not_allow_is_busy),
        CASE(a_refusal_names_the_machine_by_its_name),
        CASE(a_subscriber_that_left_hears_nothing),
        CASE(a_redefinition_switches_a_disk),
        CASE(a_redefinition_while_it_runs_leaves_what_runs),
        CASE(a_bad_definition_is_refused_and_changes_nothing),
        CASE(our_metadata_is_in_both_definitions),
        CASE(a_machine_gets_another_name_and_keeps_the_rest),
        CASE(a_name_that_is_taken_is_refused),
        CASE(only_a_machine_that_is_off_is_renamed_or_undefined),
        CASE(an_undefined_machine_is_gone),
        CASE(one_snapshot_switches_all_disks_but_the_excluded),
        CASE(a_snapshot_onto_a_missing_overlay_changes_nothing),
        CASE(an_active_commit_is_ready_and_pivots),
        CASE(an_aborted_commit_leaves_the_top),
        CASE(an_inner_commit_takes_a_layer_out_of_the_chain),
        CASE(a_commit_of_a_file_outside_the_chain_is_refused),
        CASE(without_an_agent_nothing_is_frozen),
        CASE(where_there_is_no_job_only_abort_is_content),
    };
    int failed;

    contract = given;
    hv = given->hv;
    listen_begin();
    failed = cmocka_run_group_tests_name(name, cases, NULL, NULL);
    listen_end();
    return failed;
}
