/* Ctrl-C at every moment: the caller of a create or a revert is interrupted at the n-th effect, for
 * all n. Before the point of no return the answer is EINTR and nothing is left; after it the
 * operation comes to its end. There is one such point, and the answer and the disks never disagree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "lab.h"

typedef struct {
    Lab *lab;
    unsigned limit; /* interrupted once so many effects were made */
} Interrupt;

static bool is_interrupted(void *data)
{
    const Interrupt *interrupt = data;

    return fault_calls(interrupt->lab->fault) >= interrupt->limit;
}

static Lab *lab_after(unsigned disks, const char *script)
{
    Lab *lab = lab_new(disks, 11);
    g_autoptr(GError) error = NULL;

    if (!lab_script(lab, script, &error))
        fail_msg("%s", error->message);
    fault_arm(lab->fault, FAULT_NONE, 0);
    return lab;
}

static void assert_lawful(Lab *lab, const char *script, unsigned limit)
{
    g_autofree char *why = lab_broken_law(lab);

    if (why)
        fail_msg("[%s] interrupted at %u: %s", script, limit, why);
}

static bool is_there(Lab *lab, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);

    return catalog_named(catalog, name) != NULL;
}

/* True: it was interrupted, and nothing has happened. */
static bool create_interrupted(unsigned disks, const char *script, unsigned limit)
{
    g_autoptr(Lab) lab = lab_after(disks, script);
    g_autoptr(GError) error = NULL;
    Interrupt interrupt = {lab, limit};
    const VmHooks hooks = {.interrupted = is_interrupted, .data = &interrupt};
    bool created = vm_create(lab->vm, "x", "", 0, 0750, "mkdir", &hooks, &error);

    assert_true(created || error_is(error, ERR_INTERRUPTED));
    assert_int_equal(created, is_there(lab, "x"));
    if (created) {
        g_autofree char *why = lab_follow(lab);
        assert_null(why);
    }
    assert_lawful(lab, script, limit);
    return !created;
}

static bool revert_interrupted(unsigned disks, const char *script, unsigned limit)
{
    g_autoptr(Lab) lab = lab_after(disks, script);
    g_autoptr(GError) error = NULL;
    Interrupt interrupt = {lab, limit};
    const VmHooks hooks = {.interrupted = is_interrupted, .data = &interrupt};
    bool reverted = vm_revert(lab->vm, "s1", "ln", &hooks, &error);

    assert_true(reverted || error_is(error, ERR_INTERRUPTED));
    if (reverted) {
        g_autofree char *why = lab_follow(lab);
        assert_null(why);
    }
    /* Where it was interrupted, the disks must read as before it. */
    assert_lawful(lab, script, limit);
    return !reverted;
}

typedef bool (*Attempt)(unsigned disks, const char *script, unsigned limit);

static unsigned effects_of(unsigned disks, const char *script, const char *word)
{
    g_autoptr(Lab) lab = lab_after(disks, script);
    g_autoptr(GError) error = NULL;

    if (!lab_do(lab, word, &error))
        fail_msg("%s", error->message);
    return fault_calls(lab->fault);
}

static void interrupt_everywhere(Attempt attempt, const char *script, const char *word)
{
    for (unsigned disks = 1; disks <= 2; disks++) {
        unsigned effects = effects_of(disks, script, word);
        unsigned turns = 0;

        assert_true(effects > disks + 2);
        assert_true(attempt(disks, script, 0));
        for (unsigned limit = 1; limit <= effects; limit++)
            turns += attempt(disks, script, limit) != attempt(disks, script, limit - 1);
        assert_int_equal(turns, 1);
        assert_false(attempt(disks, script, effects));
    }
}

static void a_create_interrupted_anywhere_is_undone_or_done(void **state)
{
    static const char *const scripts[] = {"w", "w S", "w c1 w", "w S c1 w", "w c1 w c2 w r1 w S"};

    for (gsize i = 0; i < G_N_ELEMENTS(scripts); i++)
        interrupt_everywhere(create_interrupted, scripts[i], "c9");
}

static void a_revert_interrupted_anywhere_is_undone_or_done(void **state)
{
    static const char *const scripts[] = {"w c1 w", "w c1 w c2 w", "w c1 w c2 w r1 w c3 w"};

    for (gsize i = 0; i < G_N_ELEMENTS(scripts); i++)
        interrupt_everywhere(revert_interrupted, scripts[i], "r1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_create_interrupted_anywhere_is_undone_or_done),
        cmocka_unit_test(a_revert_interrupted_anywhere_is_undone_or_done),
    };

    return cmocka_run_group_tests_name("interrupt", tests, NULL, NULL);
}
