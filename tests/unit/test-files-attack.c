/* What stands in .vmsnapfs in the place of a file of ours, as somebody restored a backup or root
 * was led astray: it is not believed, and not even opened. And files that cannot be changed. */
#include "store/files.h"
#include "store/sidecar.h"
#include "store/store.h"
#include "scratch.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define UUID  "6f1c2a80-93ab-4c35-8d3e-0b6a4c1f2d77"
#define ID    "k123456789"
#define OTHER 4343

typedef struct {
    Files *files;
    char *home, *canary, *vars, *tpm; /* the two: where the sidecars of ID are */
} Place;

static int start(void **state)
{
    Place *place = g_new0(Place, 1);
    g_autofree char *own = NULL;

    place->files = files_real();
    place->home = g_dir_make_tmp("vmsnapfs-attack-XXXXXX", NULL);
    place->canary = g_build_filename(place->home, "canary", NULL);
    place->vars = sidecar_vars_path(place->home, UUID, ID);
    place->tpm = sidecar_tpm_path(place->home, UUID, ID);
    own = store_directory(place->home, UUID);
    assert_true(g_file_set_contents(place->canary, "secret", -1, NULL));
    assert_true(place->files->ops->make_directory(place->files, own, NULL));
    assert_true(sidecar_prepare(place->files, place->home, UUID, true, true, NULL));
    *state = place;
    return 0;
}

static int stop(void **state)
{
    Place *place = *state;

    files_free(place->files);
    remove_tree(place->home);
    g_free(place->home);
    g_free(place->canary);
    g_free(place->vars);
    g_free(place->tpm);
    g_free(place);
    return 0;
}

static void need_root(void)
{
    if (geteuid() == 0)
        return;
    print_message("# other users, and devices, cannot be had here: not root\n");
    skip();
}

/* Nothing opens @path, or the file @watched that it stands for. */
static void check_refused(const Place *place, const char *path, const char *watched, ErrorCode code)
{
    const FilesOps *ops = place->files->ops;
    g_autoptr(GError) error = NULL;
    int watcher = watch(watched);

    assert_null(ops->read(place->files, path, NULL, &error));
    assert_int_equal(error_code(error), code);
    assert_non_null(strstr(error->message, path));
    assert_null(ops->lock(place->files, path, NULL));
    assert_false(ops->sync(place->files, path, NULL));
    assert_false(ops->put(place->files, path, "x", 1, NULL));
    check_untouched(watcher);
}

static void check_sidecars_refused(const Place *place, ErrorCode code)
{
    g_autofree char *inner = g_build_filename(place->tpm, "tpm2-00.permall", NULL);

    check_refused(place, place->vars, place->canary, code);
    check_refused(place, inner, place->canary, code);
    int watcher = watch(place->canary);
    assert_null(sidecar_read_vars(place->files, place->home, UUID, ID, 6, "x", NULL));
    assert_null(sidecar_read_tpm(place->files, place->home, UUID, ID, 6, "x", NULL));
    assert_int_equal(sidecar_size(place->files, place->home, UUID, ID), 0);
    assert_false(sidecar_sync(place->files, place->home, UUID, ID, NULL));
    assert_true(sidecar_remove(place->files, place->home, UUID, ID, NULL));
    close(watcher); /* another name that is removed is a change of the file's looks */
    assert_true(g_file_test(place->canary, G_FILE_TEST_IS_REGULAR));
    assert_false(g_file_test(place->vars, G_FILE_TEST_EXISTS));
    assert_false(g_file_test(place->tpm, G_FILE_TEST_EXISTS));
}

static void attack_other_names_of_foreign_files_are_no_sidecars(void **state)
{
    Place *place = *state;
    g_autofree char *inner = g_build_filename(place->tpm, "tpm2-00.permall", NULL);

    need_root();
    assert_int_equal(chown(place->canary, OTHER, OTHER), 0);
    assert_int_equal(mkdir(place->tpm, 0700), 0);
    assert_int_equal(link(place->canary, place->vars), 0);
    assert_int_equal(link(place->canary, inner), 0);
    check_sidecars_refused(place, ERR_ACCESS);
}

static void attack_symlinked_sidecars_are_not_followed(void **state)
{
    Place *place = *state;
    g_autofree char *inner = g_build_filename(place->tpm, "tpm2-00.permall", NULL);

    assert_int_equal(mkdir(place->tpm, 0700), 0);
    assert_int_equal(symlink(place->canary, place->vars), 0);
    assert_int_equal(symlink(place->canary, inner), 0);
    check_sidecars_refused(place, ERR_INVALID);
}

static void attack_devices_and_pipes_in_our_directories_are_not_opened(void **state)
{
    Place *place = *state;
    const mode_t kinds[] = {S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK};

    need_root();
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        assert_int_equal(mknod(place->vars, kinds[i] | 0600, makedev(1, 5)), 0);
        check_refused(place, place->vars, place->vars, ERR_INVALID);
        assert_int_equal(unlink(place->vars), 0);
    }
}

static void attack_a_file_that_others_can_have_written_is_not_believed(void **state)
{
    Place *place = *state;

    assert_true(place->files->ops->put(place->files, place->vars, "x", 1, NULL));
    assert_int_equal(chmod(place->vars, 0660), 0);
    check_refused(place, place->vars, place->vars, ERR_ACCESS);
    assert_int_equal(chmod(place->vars, 0644), 0);
    g_autofree char *text = place->files->ops->read(place->files, place->vars, NULL, NULL);
    assert_string_equal(text, "x");
}

/* ---- what cannot be changed ---- */

static bool set_immutable(const char *path, bool immutable)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), flags = 0;
    bool set = ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0;

    flags = immutable ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
    set = set && ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0;
    close(fd);
    return set;
}

static void check_said_immutable(bool done, GError *error, const char *path)
{
    assert_false(done);
    assert_true(error_is(error, ERR_ACCESS));
    assert_non_null(strstr(error->message, path));
    assert_non_null(strstr(error->message, "lsattr"));
    assert_null(strstr(error->message, "believed"));
    g_error_free(error);
}

/* @what must be what keeps @path from being changed. */
static void check_immutable(const Place *place, const char *what, const char *path)
{
    const FilesOps *ops = place->files->ops;
    GError *error = NULL;
    bool done;

    if (!set_immutable(what, true)) {
        print_message("# nothing can be made immutable here\n");
        skip();
    }
    done = ops->replace(place->files, path, "y", 1, &error);
    bool removed = ops->remove(place->files, path, NULL);
    g_autofree char *text = ops->read(place->files, path, NULL, NULL);
    assert_true(set_immutable(what, false));
    check_said_immutable(done, error, path);
    assert_false(removed);
    assert_string_equal(text, "x");
}

static void what_is_immutable_is_said_to_be_so(void **state)
{
    Place *place = *state;
    g_autofree char *directory = g_path_get_dirname(place->vars);
    GError *error = NULL;

    assert_true(place->files->ops->put(place->files, place->vars, "x", 1, NULL));
    check_immutable(place, place->vars, place->vars);
    check_immutable(place, directory, place->vars);
    assert_true(set_immutable(place->vars, true));
    FilesLock *lock = place->files->ops->lock(place->files, place->vars, &error);
    assert_true(set_immutable(place->vars, false));
    check_said_immutable(lock != NULL, error, place->vars);
}

#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_DISK(attack_other_names_of_foreign_files_are_no_sidecars),
        ON_DISK(attack_symlinked_sidecars_are_not_followed),
        ON_DISK(attack_devices_and_pipes_in_our_directories_are_not_opened),
        ON_DISK(attack_a_file_that_others_can_have_written_is_not_believed),
        ON_DISK(what_is_immutable_is_said_to_be_so),
    };

    return cmocka_run_group_tests_name("files-attack", tests, NULL, NULL);
}
