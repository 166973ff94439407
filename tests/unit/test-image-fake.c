/* The simulated image files answer as qemu-img does (image/image.h), and the failing ones fail
 * where they are told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "image/fake.h"
#include "image/faulty.h"

#define VM   "11111111-1111-4111-8111-111111111111"
#define SIZE (8 * SIM_BLOCK)

/* base <- top, and a VM that is off on top, which has four blocks. */
static SimHost *make_host(void)
{
    SimHost *host = simhost_new();

    simhost_add_image(host, "/i/base", "raw", NULL, NULL, SIZE);
    simhost_add_image(host, "/i/top", "qcow2", "/i/base", "raw", SIZE);
    simhost_add_domain(host, VM, "web01", DOMAIN_OFF);
    simhost_add_disk(host, VM, "vda", "/i/top", "qcow2");
    for (unsigned block = 0; block < 4; block++)
        simhost_write(host, VM, "vda", block, 100 + block);
    return host;
}

static uint64_t shown(SimHost *host, const char *path, unsigned block)
{
    g_autoptr(GArray) content = simhost_image_content(host, path);

    return g_array_index(content, guint64, block);
}

static bool commit(Images *images, ImageProgress progress, void *data, GError **error)
{
    return images->ops->commit(images, "/i/top", "qcow2", "/i/base", "raw", 0, progress, data,
                               error);
}

static void a_header_is_inspected(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    ImageFacts *facts = images->ops->inspect(images, "/i/top");
    ImageFacts *missing = images->ops->inspect(images, "/i/missing");

    assert_true(facts->exists);
    assert_string_equal(facts->probed, "qcow2");
    assert_string_equal(facts->backing, "/i/base");
    assert_string_equal(facts->backing_format, "raw");
    assert_int_equal(facts->capacity, SIZE);
    assert_int_equal(facts->allocation, 4 * SIM_BLOCK);
    assert_false(missing->exists);
    assert_null(missing->error);
    image_facts_free(facts);
    image_facts_free(missing);
}

static void two_files_are_told_apart_by_their_inode(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    ImageFacts *top = images->ops->inspect(images, "/i/top");
    ImageFacts *base = images->ops->inspect(images, "/i/base");

    assert_int_equal(top->device, base->device);
    assert_int_not_equal(top->inode, base->inode);
    image_facts_free(top);
    image_facts_free(base);
}

static void an_overlay_is_made_once(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    g_autoptr(GError) error = NULL;

    assert_true(images->ops->create_overlay(images, "/i/new", "/i/top", "qcow2", SIZE, NULL));
    assert_int_equal(shown(host, "/i/new", 2), 102);
    assert_false(images->ops->create_overlay(images, "/i/new", "/i/top", "qcow2", SIZE, &error));
    assert_true(error_is(error, ERR_EXISTS));
    g_clear_error(&error);
    assert_false(images->ops->create_overlay(images, "/i/n2", "/i/gone", "qcow2", SIZE, &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    simhost_set_free(host, 0);
    assert_false(images->ops->create_overlay(images, "/i/n3", "/i/top", "qcow2", SIZE, &error));
    assert_true(error_is(error, ERR_NO_SPACE));
    assert_null(simhost_misuse(host));
}

typedef struct {
    unsigned calls, stop_at;
    uint64_t done, total;
} Watch;

static bool watch(uint64_t done, uint64_t total, void *data)
{
    Watch *seen = data;

    seen->done = done;
    seen->total = total;
    return ++seen->calls != seen->stop_at;
}

static void a_commit_tells_its_progress(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    Watch seen = {0};

    assert_true(commit(images, watch, &seen, NULL));
    assert_int_equal(seen.calls, 4);
    assert_int_equal(seen.done, 4 * SIM_BLOCK);
    assert_int_equal(seen.total, 4 * SIM_BLOCK);
    assert_int_equal(shown(host, "/i/base", 3), 103);
    assert_null(simhost_misuse(host));
}

static void a_stopped_commit_is_half_written_and_can_be_done_again(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    g_autoptr(GError) error = NULL;
    Watch seen = {.stop_at = 2};

    assert_false(commit(images, watch, &seen, &error));
    assert_true(error_is(error, ERR_INTERRUPTED));
    assert_int_equal(shown(host, "/i/base", 1), 101);
    assert_int_equal(shown(host, "/i/base", 2), 0);
    assert_true(commit(images, NULL, NULL, NULL));
    assert_int_equal(shown(host, "/i/base", 2), 102);
    assert_true(simhost_start(host, VM));
}

static void a_commit_takes_along_what_is_between(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);

    assert_true(images->ops->create_overlay(images, "/i/new", "/i/top", "qcow2", SIZE, NULL));
    assert_true(
        images->ops->commit(images, "/i/new", "qcow2", "/i/base", "raw", 0, NULL, NULL, NULL));
    assert_int_equal(shown(host, "/i/base", 1), 101);
    assert_int_equal(shown(host, "/i/base", 2), 102);
    assert_int_equal(simhost_commits(host), 1);
}

static void a_commit_into_what_is_not_below_is_refused(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    g_autoptr(GError) error = NULL;

    assert_true(images->ops->create_overlay(images, "/i/new", "/i/top", "qcow2", SIZE, NULL));
    assert_false(
        images->ops->commit(images, "/i/top", "qcow2", "/i/new", "qcow2", 0, NULL, NULL, &error));
    assert_true(error_is(error, ERR_INVALID));
    assert_int_equal(shown(host, "/i/base", 0), 0);
}

static void a_lock_keeps_everybody_else_away(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    g_autoptr(GError) error = NULL;
    ImageLock *lock = images->ops->lock(images, "/i/top", 0, NULL);

    assert_non_null(lock);
    assert_null(images->ops->lock(images, "/i/top", 0, &error));
    assert_true(error_is(error, ERR_BUSY));
    g_clear_error(&error);
    assert_false(commit(images, NULL, NULL, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_false(images->ops->unlink(images, "/i/top", NULL, NULL));
    assert_false(images->ops->repoint(images, "/i/top", "/i/base", "raw", NULL));
    assert_false(simhost_start(host, VM));
    images->ops->unlock(images, lock);
    assert_true(simhost_start(host, VM));
    g_clear_error(&error);
    assert_null(images->ops->lock(images, "/i/base", 0, &error));
    assert_true(error_is(error, ERR_BUSY));
}

static void locks_die_with_the_program(void **state)
{
    g_autoptr(SimHost) host = make_host();
    Images *images = image_fake(host);

    assert_non_null(images->ops->lock(images, "/i/top", 0, NULL));
    images_free(images);
    assert_true(simhost_start(host, VM));
}

static void a_file_is_unlinked_once_and_again(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);

    simhost_add_image(host, "/i/other", "raw", NULL, NULL, SIZE);
    assert_true(images->ops->unlink(images, "/i/other", NULL, NULL));
    assert_false(simhost_image_exists(host, "/i/other"));
    assert_true(images->ops->unlink(images, "/i/other", NULL, NULL));
    assert_null(simhost_misuse(host));
}

static void free_space_is_what_the_host_has(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) images = image_fake(host);
    FreeSpace space = {0};

    simhost_set_free(host, 12345);
    assert_true(images->ops->free_space(images, "/i", &space, NULL));
    assert_int_equal(space.bytes, 12345);
}

/* --- what fails on purpose: calls are 1 commit, 2 its half --- */

static void a_commit_can_be_cut_before_in_the_middle_and_after(void **state)
{
    static const struct {
        FaultMode mode;
        unsigned call;
        bool first, last; /* blocks that are in the base then */
        ErrorCode code;
    } cases[] = {
        {FAULT_CUT_BEFORE, 1, false, false, ERR_INTERRUPTED},
        {FAULT_CUT_BEFORE, 2, true, false, ERR_INTERRUPTED},
        {FAULT_CUT_AFTER, 1, true, true, ERR_INTERRUPTED},
        {FAULT_FAIL, 1, false, false, ERR_IO},
        {FAULT_FAIL, 2, true, false, ERR_IO},
        {FAULT_LOST, 1, true, true, ERR_IO},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(SimHost) host = make_host();
        g_autoptr(Images) inner = image_fake(host);
        Fault *fault = fault_new();
        g_autoptr(Images) images = image_faulty(inner, fault);
        g_autoptr(GError) error = NULL;

        fault_arm(fault, cases[i].mode, cases[i].call);
        assert_false(commit(images, NULL, NULL, &error));
        assert_true(error_is(error, cases[i].code));
        assert_int_equal(shown(host, "/i/base", 0), cases[i].first ? 100 : 0);
        assert_int_equal(shown(host, "/i/base", 3), cases[i].last ? 103 : 0);
        assert_true(simhost_start(host, VM));
        fault_free(fault);
    }
}

static void a_lost_answer_to_a_lock_leaves_no_lock(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) inner = image_fake(host);
    Fault *fault = fault_new();
    g_autoptr(Images) images = image_faulty(inner, fault);

    fault_arm(fault, FAULT_LOST, 1);
    assert_null(images->ops->lock(images, "/i/top", 0, NULL));
    assert_true(simhost_start(host, VM));
    fault_free(fault);
}

static void a_dead_program_sees_nothing_but_lets_go(void **state)
{
    g_autoptr(SimHost) host = make_host();
    g_autoptr(Images) inner = image_fake(host);
    Fault *fault = fault_new();
    g_autoptr(Images) images = image_faulty(inner, fault);
    FreeSpace space;

    fault_arm(fault, FAULT_CUT_BEFORE, 2);
    ImageLock *lock = images->ops->lock(images, "/i/top", 0, NULL);
    assert_non_null(lock);
    assert_false(images->ops->create_overlay(images, "/i/n", "/i/top", "qcow2", SIZE, NULL));
    assert_false(images->ops->free_space(images, "/i", &space, NULL));
    ImageFacts *facts = images->ops->inspect(images, "/i/top");
    assert_false(facts->exists);
    assert_non_null(facts->error);
    image_facts_free(facts);
    images->ops->unlock(images, lock);
    assert_true(simhost_start(host, VM));
    fault_free(fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_header_is_inspected),
        cmocka_unit_test(two_files_are_told_apart_by_their_inode),
        cmocka_unit_test(an_overlay_is_made_once),
        cmocka_unit_test(a_commit_tells_its_progress),
        cmocka_unit_test(a_stopped_commit_is_half_written_and_can_be_done_again),
        cmocka_unit_test(a_commit_takes_along_what_is_between),
        cmocka_unit_test(a_commit_into_what_is_not_below_is_refused),
        cmocka_unit_test(a_lock_keeps_everybody_else_away),
        cmocka_unit_test(locks_die_with_the_program),
        cmocka_unit_test(a_file_is_unlinked_once_and_again),
        cmocka_unit_test(free_space_is_what_the_host_has),
        cmocka_unit_test(a_commit_can_be_cut_before_in_the_middle_and_after),
        cmocka_unit_test(a_lost_answer_to_a_lock_leaves_no_lock),
        cmocka_unit_test(a_dead_program_sees_nothing_but_lets_go),
    };

    return cmocka_run_group_tests_name("the simulated image files", tests, NULL, NULL);
}
