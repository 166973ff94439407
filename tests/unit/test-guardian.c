/* The process that thaws and resumes when its daemon is dead: what it takes from the pipe, what it
 * does then, and that nothing but the pipe's end ends it. With a real libvirt and a real guest:
 * tests/host/quiesce.sh. */
#include "run/guardian.h"

#include "hv/fake.h"
#include "model/simhost.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ONE "aaaaaaaa-0000-4000-8000-000000000001"
#define TWO "aaaaaaaa-0000-4000-8000-000000000002"

static GHashTable *held_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* ---- what it is told ---- */

static void what_is_held_is_what_was_not_released(void **state)
{
    g_autoptr(GHashTable) held = held_new();

    assert_true(guardian_note(held, "hold thaw " ONE));
    assert_true(guardian_note(held, "hold resume " ONE));
    assert_true(guardian_note(held, "hold thaw " TWO));
    assert_true(guardian_note(held, "release thaw " ONE));
    assert_int_equal(GPOINTER_TO_UINT(g_hash_table_lookup(held, ONE)), GUARDIAN_RESUME);
    assert_int_equal(GPOINTER_TO_UINT(g_hash_table_lookup(held, TWO)), GUARDIAN_THAW);
    assert_true(guardian_note(held, "release resume " ONE));
    assert_true(guardian_note(held, "release thaw " TWO));
    assert_int_equal(g_hash_table_size(held), 0);
}

static void what_it_does_not_understand_changes_nothing(void **state)
{
    static const char *const lines[] = {"",
                                        "hold",
                                        "hold thaw",
                                        "hold thaw web01",
                                        "hold thaw " ONE " " TWO,
                                        "hold destroy " ONE,
                                        "freeze thaw " ONE};
    g_autoptr(GHashTable) held = held_new();

    for (guint i = 0; i < G_N_ELEMENTS(lines); i++) {
        assert_false(guardian_note(held, lines[i]));
        assert_int_equal(g_hash_table_size(held), 0);
    }
}

/* ---- what it does ---- */

typedef struct {
    SimHost *host;
    Hypervisor *hv;
    GHashTable *held;
} Place;

static Place place_new(SimAgent agent)
{
    Place place = {.host = simhost_new(), .held = held_new()};

    simhost_add_image(place.host, "/images/a.qcow2", "qcow2", NULL, NULL, 8 * SIM_BLOCK);
    simhost_add_domain(place.host, ONE, "web", DOMAIN_OFF);
    simhost_add_disk(place.host, ONE, "vda", "/images/a.qcow2", "qcow2");
    simhost_set_agent(place.host, ONE, agent);
    assert_true(simhost_start(place.host, ONE));
    place.hv = hv_fake_new(place.host);
    return place;
}

static void place_clear(Place *place)
{
    assert_null(simhost_misuse(place->host));
    g_hash_table_unref(place->held);
    hv_free(place->hv);
    simhost_free(place->host);
}

static void a_frozen_guest_is_thawed(void **state)
{
    Place place = place_new(SIM_AGENT_WELL);

    simhost_set_frozen(place.host, ONE, true);
    guardian_note(place.held, "hold thaw " ONE);
    assert_true(guardian_mend(place.hv, place.held));
    assert_false(simhost_is_frozen(place.host, ONE));
    assert_int_equal(g_hash_table_size(place.held), 0);
    place_clear(&place);
}

static void a_suspended_vm_is_resumed_and_then_thawed(void **state)
{
    Place place = place_new(SIM_AGENT_WELL);

    simhost_set_frozen(place.host, ONE, true);
    assert_true(place.hv->ops->suspend(place.hv, ONE, NULL));
    guardian_note(place.held, "hold thaw " ONE);
    guardian_note(place.held, "hold resume " ONE);
    assert_true(guardian_mend(place.hv, place.held));
    assert_int_equal(simhost_state(place.host, ONE), DOMAIN_RUNNING);
    assert_false(simhost_is_frozen(place.host, ONE));
    place_clear(&place);
}

/* It was held before it was suspended, or is resumed already. */
static void a_vm_that_runs_needs_no_resuming(void **state)
{
    Place place = place_new(SIM_AGENT_NONE);

    guardian_note(place.held, "hold resume " ONE);
    assert_true(guardian_mend(place.hv, place.held));
    assert_int_equal(simhost_state(place.host, ONE), DOMAIN_RUNNING);
    place_clear(&place);
}

static void a_silent_guest_is_asked_again(void **state)
{
    Place place = place_new(SIM_AGENT_SILENT);

    guardian_note(place.held, "hold thaw " ONE);
    assert_false(guardian_mend(place.hv, place.held));
    assert_int_equal(g_hash_table_size(place.held), 1);
    simhost_set_frozen(place.host, ONE, true);
    simhost_set_agent(place.host, ONE, SIM_AGENT_WELL);
    assert_true(guardian_mend(place.hv, place.held));
    assert_false(simhost_is_frozen(place.host, ONE));
    place_clear(&place);
}

static void e_26_a_vm_that_is_off_or_gone_needs_nothing(void **state)
{
    Place place = place_new(SIM_AGENT_WELL);

    guardian_note(place.held, "hold thaw " ONE);
    guardian_note(place.held, "hold resume " ONE);
    guardian_note(place.held, "hold thaw " TWO);
    guardian_note(place.held, "hold resume " TWO);
    simhost_stop(place.host, ONE);
    assert_true(guardian_mend(place.hv, place.held));
    assert_int_equal(simhost_state(place.host, ONE), DOMAIN_OFF);
    place_clear(&place);
}

/* ---- the process ---- */

static pid_t only_child(void)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/children", (int)getpid());
    g_autofree char *text = NULL;

    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return (pid_t)g_ascii_strtoll(text, NULL, 10);
}

/* In a group of its own, deaf to what ends daemons, with no file of ours but the pipe. */
static void it_ends_with_the_pipe_and_with_nothing_else(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGUSR1};
    g_autoptr(GError) error = NULL;
    int ends[2], status = -1;
    char byte;

    assert_int_equal(pipe(ends), 0);
    Guardian *guardian = guardian_new("test:///default", &error);
    assert_non_null(guardian);
    pid_t child = only_child();
    assert_true(child > 0);
    close(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
    assert_int_not_equal(getsid(child), getsid(0));
    for (guint i = 0; i < G_N_ELEMENTS(signals); i++)
        assert_int_equal(kill(child, signals[i]), 0);
    guardian_hold(guardian, ONE, GUARDIAN_THAW);
    guardian_release(guardian, ONE, GUARDIAN_THAW);
    assert_int_equal(waitpid(child, &status, WNOHANG), 0);
    guardian_free(guardian);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void without_a_guardian_nothing_is_said(void **state)
{
    guardian_hold(NULL, ONE, GUARDIAN_THAW);
    guardian_release(NULL, ONE, GUARDIAN_THAW);
    guardian_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_ends_with_the_pipe_and_with_nothing_else),
        cmocka_unit_test(without_a_guardian_nothing_is_said),
        cmocka_unit_test(what_is_held_is_what_was_not_released),
        cmocka_unit_test(what_it_does_not_understand_changes_nothing),
        cmocka_unit_test(a_frozen_guest_is_thawed),
        cmocka_unit_test(a_suspended_vm_is_resumed_and_then_thawed),
        cmocka_unit_test(a_vm_that_runs_needs_no_resuming),
        cmocka_unit_test(a_silent_guest_is_asked_again),
        cmocka_unit_test(e_26_a_vm_that_is_off_or_gone_needs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
