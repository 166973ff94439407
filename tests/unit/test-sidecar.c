/* Sidecars (store/sidecar.h), on disk and in memory. */
#include "store/faulty.h"
#include "store/sidecar.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define VM  "11111111-1111-4111-8111-111111111111"
#define ID  "aaaaaaaaaa"
#define ID2 "bbbbbbbbbb"

typedef struct {
    Files *files;
    char *home;
} Place;

static int start(void **state, Files *files)
{
    Place *place = g_new0(Place, 1);

    place->files = files;
    place->home = g_dir_make_tmp("vmsnapfs-sidecar-XXXXXX", NULL);
    *state = place;
    return 0;
}

static int start_real(void **state)
{
    return start(state, files_real());
}

static int start_memory(void **state)
{
    return start(state, files_memory());
}

static int stop(void **state)
{
    Place *place = *state;

    files_free(place->files);
    remove_tree(place->home);
    g_free(place->home);
    g_free(place);
    return 0;
}

static GBytes *bytes(const char *text)
{
    return g_bytes_new(text, strlen(text));
}

static GPtrArray *two_files(void)
{
    GPtrArray *files = state_files_new();
    g_autoptr(GBytes) one = bytes("permanent");
    g_autoptr(GBytes) two = g_bytes_new("vola\0tile", 9);

    g_ptr_array_add(files, state_file_new("tpm2-00.permall", one));
    g_ptr_array_add(files, state_file_new("tpm2-00.volatilestate", two));
    return files;
}

static void put_vars(Place *place, const char *id, const char *text)
{
    g_autoptr(GBytes) content = bytes(text);
    g_autoptr(GError) error = NULL;

    assert_true(sidecar_put_vars(place->files, place->home, VM, id, content, &error));
    assert_null(error);
}

static void put_tpm(Place *place, const char *id)
{
    g_autoptr(GPtrArray) state = two_files();
    g_autoptr(GError) error = NULL;

    assert_true(sidecar_put_tpm(place->files, place->home, VM, id, state, &error));
    assert_null(error);
}

/* S-26, U-1: equal bytes under the snapshot's id. */
static void what_is_put_is_read(void **state)
{
    Place *place = *state;
    g_autoptr(GBytes) content = bytes("variables");
    g_autofree char *digest = state_digest(content);
    g_autoptr(GBytes) found = NULL;
    g_autoptr(GPtrArray) kept = two_files();
    g_autofree char *of_both = state_files_digest(kept);
    g_autoptr(GPtrArray) read = NULL;

    put_vars(place, ID, "variables");
    put_tpm(place, ID);
    assert_true(sidecar_sync(place->files, place->home, VM, ID, NULL));
    found = sidecar_read_vars(place->files, place->home, VM, ID, 9, digest, NULL);
    assert_true(found && g_bytes_equal(found, content));
    read = sidecar_read_tpm(place->files, place->home, VM, ID, 18, of_both, NULL);
    assert_non_null(read);
    assert_int_equal(read->len, 2);
    assert_string_equal(((StateFile *)read->pdata[1])->name, "tpm2-00.volatilestate");
    assert_true(g_bytes_equal(((StateFile *)read->pdata[1])->content,
                              ((StateFile *)kept->pdata[1])->content));
}

static void check_vars_refused(Place *place, uint64_t size, const char *sha256, ErrorCode code)
{
    g_autoptr(GError) error = NULL;

    assert_null(sidecar_read_vars(place->files, place->home, VM, ID, size, sha256, &error));
    assert_int_equal(error_code(error), code);
    assert_non_null(strstr(error->message, "/vars/" ID ".fd"));
}

/* S-29: nothing is restored that is not what was kept. */
static void what_was_changed_is_not_read(void **state)
{
    Place *place = *state;
    g_autoptr(GBytes) content = bytes("variables");
    g_autofree char *digest = state_digest(content);
    g_autoptr(GPtrArray) kept = two_files();
    g_autofree char *of_both = state_files_digest(kept);
    g_autofree char *path = sidecar_vars_path(place->home, VM, ID);
    g_autofree char *tpm = sidecar_tpm_path(place->home, VM, ID);
    g_autofree char *extra = g_build_filename(tpm, "extra", NULL);

    check_vars_refused(place, 9, digest, ERR_NOT_FOUND);
    put_vars(place, ID, "variables");
    put_tpm(place, ID);
    check_vars_refused(place, 8, digest, ERR_IO);
    assert_true(place->files->ops->replace(place->files, path, "variablex", -1, NULL));
    check_vars_refused(place, 9, digest, ERR_IO);
    assert_true(place->files->ops->replace(place->files, extra, "", 0, NULL));
    assert_null(sidecar_read_tpm(place->files, place->home, VM, ID, 18, of_both, NULL));
    assert_true(place->files->ops->remove(place->files, extra, NULL));
    g_autoptr(GPtrArray) again =
        sidecar_read_tpm(place->files, place->home, VM, ID, 18, of_both, NULL);
    assert_non_null(again);
}

static void a_sidecar_is_never_replaced(void **state)
{
    Place *place = *state;
    g_autoptr(GBytes) content = bytes("other");
    g_autoptr(GPtrArray) files = two_files();
    g_autoptr(GError) vars = NULL, tpm = NULL;

    put_vars(place, ID, "variables");
    put_tpm(place, ID);
    assert_false(sidecar_put_vars(place->files, place->home, VM, ID, content, &vars));
    assert_true(error_is(vars, ERR_EXISTS));
    assert_false(sidecar_put_tpm(place->files, place->home, VM, ID, files, &tpm));
    assert_true(error_is(tpm, ERR_EXISTS));
}

static void check_ids(Place *place, const char *expected)
{
    g_autoptr(GPtrArray) ids = sidecar_list(place->files, place->home, VM);
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < ids->len; i++)
        g_string_append_printf(text, "%s ", (char *)ids->pdata[i]);
    assert_string_equal(text->str, expected);
}

/* S-28, U-9, U-10: its own files go, nothing else. */
static void exactly_one_sidecar_is_removed(void **state)
{
    Place *place = *state;

    check_ids(place, "");
    assert_true(sidecar_remove(place->files, place->home, VM, ID, NULL));
    put_vars(place, ID, "variables");
    put_tpm(place, ID);
    put_tpm(place, ID2);
    check_ids(place, ID " " ID2 " ");
    assert_true(sidecar_remove(place->files, place->home, VM, ID, NULL));
    assert_true(sidecar_remove(place->files, place->home, VM, ID, NULL));
    check_ids(place, ID2 " ");
}

static void what_is_not_named_as_ours_is_not_listed(void **state)
{
    Place *place = *state;
    g_autofree char *path = sidecar_vars_path(place->home, VM, "not one of ours");
    g_autofree char *other = sidecar_tpm_path(place->home, VM, "Notes");

    put_vars(place, ID, "variables");
    put_tpm(place, ID2);
    assert_true(place->files->ops->put(place->files, path, "", 0, NULL));
    assert_true(place->files->ops->put(place->files, other, "", 0, NULL));
    check_ids(place, ID " " ID2 " ");
}

static void a_vtpm_without_state_or_with_strange_names_is_refused(void **state)
{
    Place *place = *state;
    g_autoptr(GPtrArray) none = state_files_new();
    g_autoptr(GPtrArray) strange = two_files();
    g_autoptr(GBytes) content = bytes("x");
    g_autoptr(GError) error = NULL;

    assert_false(sidecar_put_tpm(place->files, place->home, VM, ID, none, NULL));
    g_ptr_array_add(strange, state_file_new("../catalog.yaml", content));
    assert_false(sidecar_put_tpm(place->files, place->home, VM, ID, strange, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    check_ids(place, "");
}

/* Calls of a first put of two files: make_directory twice, put twice, sync three times. */
static void a_dead_program_leaves_what_remove_takes_away(void **state)
{
    Place *place = *state;
    g_autoptr(GPtrArray) files = two_files();

    for (unsigned call = 1; call <= 7; call++) {
        Fault *fault = fault_new();
        g_autoptr(Files) faulty = files_faulty(place->files, fault);
        g_autoptr(GPtrArray) left = NULL;
        bool done;

        fault_arm(fault, FAULT_CUT_AFTER, call);
        done = sidecar_put_tpm(faulty, place->home, VM, ID, files, NULL) &&
               sidecar_sync(faulty, place->home, VM, ID, NULL);
        assert_false(done);
        assert_true(fault_is_dead(fault));
        left = sidecar_list(place->files, place->home, VM);
        assert_int_equal(left->len, call >= 3);
        assert_true(sidecar_remove(place->files, place->home, VM, ID, NULL));
        check_ids(place, "");
        fault_free(fault);
    }
}

/* ---- on a disk only ---- */

static void sidecars_are_ours_alone(void **state)
{
    Place *place = *state;
    g_autofree char *vars = sidecar_vars_path(place->home, VM, ID);
    g_autofree char *tpm = sidecar_tpm_path(place->home, VM, ID);
    g_autofree char *file = g_build_filename(tpm, "tpm2-00.permall", NULL);
    const char *paths[] = {vars, tpm, file};
    struct stat status;
    mode_t before = umask(0);

    put_vars(place, ID, "variables");
    put_tpm(place, ID);
    umask(before);
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        assert_int_equal(stat(paths[i], &status), 0);
        assert_int_equal(status.st_mode & 07777, S_ISDIR(status.st_mode) ? 0700 : 0600);
    }
}

static void a_symlink_in_the_way_is_not_followed(void **state)
{
    Place *place = *state;
    g_autofree char *path = sidecar_vars_path(place->home, VM, ID);
    g_autofree char *victim = g_build_filename(place->home, "victim", NULL);
    g_autoptr(GBytes) content = bytes("variables");
    g_autofree char *digest = state_digest(content);

    put_vars(place, ID2, "variables");
    assert_true(g_file_set_contents(victim, "variables", -1, NULL));
    assert_int_equal(symlink(victim, path), 0);
    assert_false(sidecar_put_vars(place->files, place->home, VM, ID, content, NULL));
    check_vars_refused(place, 9, digest, ERR_INVALID);
    assert_true(sidecar_remove(place->files, place->home, VM, ID, NULL));
    assert_true(g_file_test(victim, G_FILE_TEST_IS_REGULAR));
}

/* The put says it, not the sync: that comes when the guest runs on. And no half is left. */
static void a_full_file_system_shows_at_once_and_nothing_is_left(void **state)
{
    Place *place = *state;
    g_autofree char *two_mib = g_malloc0(2 * 1024 * 1024);
    g_autoptr(GBytes) content = g_bytes_new_static(two_mib, 2 * 1024 * 1024);
    g_autoptr(GPtrArray) files = two_files();
    g_autoptr(GError) vars = NULL, tpm = NULL;

    if (!mount_small(place->home, "size=1m")) {
        print_message("# no small file system can be mounted here: %s\n", g_strerror(errno));
        skip();
    }
    g_ptr_array_add(files, state_file_new("large", content));
    assert_false(sidecar_put_vars(place->files, place->home, VM, ID, content, &vars));
    assert_true(error_is(vars, ERR_NO_SPACE));
    assert_false(sidecar_put_tpm(place->files, place->home, VM, ID, files, &tpm));
    assert_true(error_is(tpm, ERR_NO_SPACE));
    check_ids(place, "");
    put_vars(place, ID, "variables");
    assert_int_equal(umount2(place->home, MNT_DETACH), 0);
}

#define BOTH(test)                                                                                 \
    {#test "_on_disk", test, start_real, stop, NULL},                                              \
    {                                                                                              \
#test "_in_memory", test, start_memory, stop, NULL                                         \
    }
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, start_real, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_is_put_is_read),
        BOTH(what_was_changed_is_not_read),
        BOTH(a_sidecar_is_never_replaced),
        BOTH(exactly_one_sidecar_is_removed),
        BOTH(what_is_not_named_as_ours_is_not_listed),
        BOTH(a_vtpm_without_state_or_with_strange_names_is_refused),
        BOTH(a_dead_program_leaves_what_remove_takes_away),
        ON_DISK(sidecars_are_ours_alone),
        ON_DISK(a_symlink_in_the_way_is_not_followed),
        ON_DISK(a_full_file_system_shows_at_once_and_nothing_is_left),
    };

    return cmocka_run_group_tests_name("sidecar", tests, NULL, NULL);
}
