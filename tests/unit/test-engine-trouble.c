/* The engine when its host makes trouble: what is said, how long is waited, what is tried again. */
#include "engine-bench.h"

#include <string.h>

#define JOURNAL "/images/.vmsnapfs/" WEB "/journal.yaml"

static int set_up(void **state)
{
    *state = bench_new();
    bench_start(*state);
    return 0;
}

static int tear_down(void **state)
{
    bench_free(*state);
    return 0;
}

/* The last line of @vm's errors holds @part. */
static void assert_said(Bench *bench, const char *vm, const char *part)
{
    g_autofree char *text = engine_errors(bench->engine, vm);

    if (!strstr(text, part))
        fail_msg("\"%s\" is not said:\n%s", part, text);
}

/* ---- what is said ---- */

static void an_interrupted_caller_is_told_the_vms_name(void **state)
{
    Bench *bench = *state;

    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 300);
    Call *call = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    engine_interrupt(bench->engine, call->ticket);
    assert_string_equal(bench_answer(call), "EINTR");
    assert_said(bench, WEB, "VM web ");
}

static void a_definition_that_cannot_be_read_is_that_of_a_name(void **state)
{
    Bench *bench = *state;

    bench_garble(bench, WEB);
    assert_string_equal(bench_create(bench, WEB, "first"), "EINVAL");
    assert_said(bench, WEB, "The definition of VM web cannot be read: ");
}

static bool has_journal(Bench *bench, const char *path)
{
    return bench->files->ops->exists(bench->files, path);
}

/* The disks as after a create that was cut before its journal was cleared. */
static void leave_journal_open(Bench *bench)
{
    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 300);
    Call *call = bench_submit(bench, bench_request(REQUEST_CREATE, WEB, "first"));
    bench_wait(bench, has_journal, JOURNAL);
    g_autofree char *text = bench->files->ops->read(bench->files, JOURNAL, NULL, NULL);
    assert_non_null(text);
    assert_string_equal(bench_answer(call), "ok");
    simhost_set_slow(bench->host, SIM_SLOW_OVERLAY, 0);
    assert_true(bench->files->ops->replace(bench->files, JOURNAL, text, -1, NULL));
}

static void set_actives_busy(Bench *bench, bool busy)
{
    g_autoptr(VmView) view = bench_view(bench, WEB);

    for (guint i = 0; i < view->disks->len; i++)
        bench_set_busy(bench, ((DiskView *)view->disks->pdata[i])->source, busy);
}

static void an_operation_that_cannot_be_ended_is_that_of_a_name(void **state)
{
    Bench *bench = *state;

    leave_journal_open(bench);
    set_actives_busy(bench, true);
    assert_string_equal(bench_create(bench, WEB, "second"), "EBUSY");
    assert_said(bench, WEB, "of VM web could not be brought to its end: ");
    set_actives_busy(bench, false);
    assert_string_equal(bench_create(bench, WEB, "second"), "ok");
    assert_listed(bench, WEB, "first second");
}

#define started(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        started(an_interrupted_caller_is_told_the_vms_name),
        started(a_definition_that_cannot_be_read_is_that_of_a_name),
        started(an_operation_that_cannot_be_ended_is_that_of_a_name),
    };

    return cmocka_run_group_tests_name("engine-trouble", tests, NULL, NULL);
}
