#include "store/faulty.h"
#include "scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Every test of the first group runs on both kinds of files. */
typedef struct {
    Files *files;
    char *home, *directory, *path;
} Place;

static Place *place_new(Files *files)
{
    Place *place = g_new0(Place, 1);
    g_autofree char *base = g_dir_make_tmp("vmsnapfs-files-XXXXXX", NULL);

    place->files = files;
    place->home = g_strconcat(base, "/home of \"a\", b", NULL);
    assert_int_equal(g_mkdir(place->home, 0755), 0);
    place->directory = g_strconcat(place->home, "/.vmsnapfs/uuid", NULL);
    place->path = g_strconcat(place->directory, "/catalog.yaml", NULL);
    return place;
}

static int start_real(void **state)
{
    *state = place_new(files_real());
    return 0;
}

static int start_memory(void **state)
{
    *state = place_new(files_memory());
    return 0;
}

static int stop(void **state)
{
    Place *place = *state;
    g_autofree char *base = g_path_get_dirname(place->home);

    files_free(place->files);
    remove_tree(base);
    g_free(place->home);
    g_free(place->directory);
    g_free(place->path);
    g_free(place);
    return 0;
}

static void make(Place *place)
{
    g_autoptr(GError) error = NULL;

    assert_true(place->files->ops->make_directory(place->files, place->directory, &error));
    assert_null(error);
}

static void write_text(Place *place, const char *text)
{
    assert_true(place->files->ops->replace(place->files, place->path, text, -1, NULL));
}

static char *read_text(Place *place, GError **error)
{
    return place->files->ops->read(place->files, place->path, NULL, error);
}

static void what_is_written_is_read(void **state)
{
    Place *place = *state;
    gsize length = 0;
    g_autofree char *text = NULL;

    make(place);
    write_text(place, "old");
    assert_true(place->files->ops->replace(place->files, place->path, "a\0b", 3, NULL));
    text = place->files->ops->read(place->files, place->path, &length, NULL);
    assert_int_equal(length, 3);
    assert_memory_equal(text, "a\0b", 4);
}

static void an_absent_file_is_not_found(void **state)
{
    Place *place = *state;
    g_autoptr(GError) error = NULL;

    assert_null(read_text(place, &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
    assert_false(place->files->ops->exists(place->files, place->path));
}

static void writing_needs_the_directory(void **state)
{
    Place *place = *state;
    g_autoptr(GError) error = NULL;

    assert_false(place->files->ops->replace(place->files, place->path, "x", -1, &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
    make(place);
    make(place);
    write_text(place, "x");
    assert_true(place->files->ops->exists(place->files, place->path));
}

static void removing_what_is_gone_succeeds(void **state)
{
    Place *place = *state;

    assert_true(place->files->ops->remove(place->files, place->path, NULL));
    make(place);
    write_text(place, "x");
    assert_true(place->files->ops->remove(place->files, place->path, NULL));
    assert_true(place->files->ops->remove(place->files, place->path, NULL));
    assert_false(place->files->ops->exists(place->files, place->path));
}

static void a_directory_is_no_file(void **state)
{
    Place *place = *state;
    g_autoptr(GError) error = NULL;

    make(place);
    assert_null(place->files->ops->read(place->files, place->directory, NULL, &error));
    assert_true(error_is(error, ERR_INVALID));
}

static void listing_shows_names_or_nothing(void **state)
{
    Place *place = *state;
    g_autofree char *outer = g_path_get_dirname(place->directory);
    g_autoptr(GPtrArray) none = place->files->ops->list(place->files, place->directory, NULL);
    g_autoptr(GPtrArray) names = NULL;
    g_autoptr(GPtrArray) uuids = NULL;

    assert_int_equal(none->len, 0);
    make(place);
    write_text(place, "x");
    names = place->files->ops->list(place->files, place->directory, NULL);
    assert_int_equal(names->len, 1);
    assert_string_equal(names->pdata[0], "catalog.yaml");
    uuids = place->files->ops->list(place->files, outer, NULL);
    assert_int_equal(uuids->len, 1);
    assert_string_equal(uuids->pdata[0], "uuid");
}

static void a_lock_has_one_holder_and_names_it(void **state)
{
    Place *place = *state;
    g_autofree char *path = g_strconcat(place->directory, "/lock", NULL);
    g_autoptr(GError) error = NULL;
    FilesLock *lock;

    make(place);
    lock = place->files->ops->lock(place->files, path, &error);
    assert_non_null(lock);
    assert_null(place->files->ops->lock(place->files, path, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_non_null(strstr(error->message, "host and pid: "));
    place->files->ops->unlock(place->files, lock);
    lock = place->files->ops->lock(place->files, path, NULL);
    assert_non_null(lock);
    place->files->ops->unlock(place->files, lock);
}

typedef struct {
    Place *place;
    int inside, collisions;
} Crowd;

static gpointer crowd_member(gpointer data)
{
    Crowd *crowd = data;
    Files *files = crowd->place->files;
    g_autofree char *path = g_strconcat(crowd->place->directory, "/lock", NULL);

    for (int i = 0; i < 200; i++) {
        FilesLock *lock = files->ops->lock(files, path, NULL);

        if (!lock)
            continue;
        if (g_atomic_int_add(&crowd->inside, 1) != 0)
            g_atomic_int_inc(&crowd->collisions);
        g_thread_yield();
        g_atomic_int_add(&crowd->inside, -1);
        files->ops->unlock(files, lock);
    }
    return NULL;
}

static void threads_exclude_each_other_too(void **state)
{
    Crowd crowd = {.place = *state};
    GThread *threads[4];

    make(crowd.place);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("crowd", crowd_member, &crowd);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    assert_int_equal(crowd.collisions, 0);
}

/* ---- on a disk only ---- */

static void files_are_ours_alone(void **state)
{
    Place *place = *state;
    struct stat status;

    make(place);
    write_text(place, "x");
    assert_int_equal(stat(place->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(stat(place->directory, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
}

static void a_leftover_temporary_is_written_over_and_removed(void **state)
{
    Place *place = *state;
    g_autofree char *temporary = g_strconcat(place->path, ".new", NULL);
    g_autofree char *text = NULL;

    make(place);
    assert_int_equal(symlink("/etc/hostname", temporary), 0);
    write_text(place, "fresh");
    assert_false(place->files->ops->exists(place->files, temporary));
    text = read_text(place, NULL);
    assert_string_equal(text, "fresh");
    assert_true(g_file_set_contents(temporary, "x", -1, NULL));
    assert_true(place->files->ops->remove(place->files, place->path, NULL));
    assert_false(place->files->ops->exists(place->files, temporary));
}

static void check_refused(Place *place, ErrorCode code)
{
    g_autoptr(GError) error = NULL;

    assert_null(read_text(place, &error));
    assert_true(error_is(error, code));
    assert_non_null(strstr(error->message, place->path));
}

static void symlinks_pipes_and_giants_are_not_read(void **state)
{
    Place *place = *state;

    make(place);
    assert_int_equal(symlink("/etc/passwd", place->path), 0);
    check_refused(place, ERR_INVALID);
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(mkfifo(place->path, 0600), 0);
    check_refused(place, ERR_INVALID);
    assert_int_equal(unlink(place->path), 0);
    write_text(place, "x");
    assert_int_equal(truncate(place->path, 16 * 1024 * 1024 + 1), 0);
    check_refused(place, ERR_INVALID);
}

static void check_no_directory(Place *place)
{
    g_autoptr(GError) error = NULL;

    assert_false(place->files->ops->make_directory(place->files, place->directory, &error));
    assert_true(error_is(error, ERR_ACCESS));
}

static void a_directory_of_others_is_not_trusted(void **state)
{
    Place *place = *state;
    g_autofree char *outer = g_path_get_dirname(place->directory);

    assert_int_equal(symlink("/tmp", outer), 0);
    check_no_directory(place);
    assert_int_equal(unlink(outer), 0);
    assert_true(g_file_set_contents(outer, "", 0, NULL));
    check_no_directory(place);
    assert_int_equal(unlink(outer), 0);
    make(place);
    assert_int_equal(chmod(place->directory, 0770), 0);
    check_no_directory(place);
    if (geteuid() == 0) {
        assert_int_equal(chmod(place->directory, 0700), 0);
        assert_int_equal(chown(place->directory, 4242, 4242), 0);
        check_no_directory(place);
    }
}

/* Nothing of what is there is believed, changed, or taken for ours. */
static void check_left_alone(Place *place, ErrorCode code)
{
    const FilesOps *ops = place->files->ops;
    g_autofree char *deeper = g_strconcat(place->directory, "/vars/x.fd", NULL);
    g_autoptr(GError) error = NULL;

    check_refused(place, code);
    assert_null(ops->list(place->files, place->directory, &error));
    assert_true(error_is(error, code));
    assert_false(ops->exists(place->files, place->path));
    assert_false(ops->replace(place->files, place->path, "y", -1, NULL));
    assert_false(ops->put(place->files, deeper, "y", 1, NULL));
    assert_false(ops->sync(place->files, place->path, NULL));
    assert_false(ops->remove(place->files, place->path, NULL));
    assert_null(ops->lock(place->files, place->path, NULL));
}

static void check_planted(const char *path)
{
    g_autofree char *text = NULL;
    g_autofree char *vars = g_build_filename(path, "vars", NULL);
    g_autofree char *file = g_build_filename(path, "catalog.yaml", NULL);

    assert_true(g_file_get_contents(file, &text, NULL, NULL));
    assert_string_equal(text, "x");
    assert_false(g_file_test(vars, G_FILE_TEST_EXISTS));
}

static void attack_a_catalog_that_others_can_have_written_is_not_believed(void **state)
{
    Place *place = *state;
    g_autofree char *outer = g_path_get_dirname(place->directory);
    const char *const levels[] = {outer, place->directory};

    make(place);
    write_text(place, "x");
    for (size_t i = 0; i < G_N_ELEMENTS(levels); i++) {
        assert_int_equal(chmod(levels[i], 0720), 0);
        check_left_alone(place, ERR_ACCESS);
        assert_int_equal(chmod(levels[i], 0702), 0);
        check_left_alone(place, ERR_ACCESS);
        assert_int_equal(chmod(levels[i], 0700), 0);
        if (geteuid() == 0) {
            assert_int_equal(chown(levels[i], 4242, 4242), 0);
            check_left_alone(place, ERR_ACCESS);
            assert_int_equal(chown(levels[i], 0, 0), 0);
        }
        check_planted(place->directory);
    }
    assert_true(place->files->ops->exists(place->files, place->path));
}

/* Also where what it leads to is ours. */
static void attack_symlinks_in_place_of_our_directories_are_not_followed(void **state)
{
    Place *place = *state;
    g_autofree char *outer = g_path_get_dirname(place->directory);
    g_autofree char *aside = g_strconcat(place->home, "/aside", NULL);
    g_autofree char *moved = g_strconcat(aside, "/uuid", NULL);

    make(place);
    write_text(place, "x");
    assert_int_equal(rename(outer, aside), 0);
    assert_int_equal(symlink(aside, outer), 0);
    check_left_alone(place, ERR_INVALID);
    check_planted(moved);
    assert_int_equal(unlink(outer), 0);
    assert_int_equal(mkdir(outer, 0700), 0);
    assert_int_equal(symlink(moved, place->directory), 0);
    check_left_alone(place, ERR_INVALID);
    check_planted(moved);
}

static void a_home_that_is_missing_is_not_made(void **state)
{
    Place *place = *state;
    g_autoptr(GError) error = NULL;

    assert_int_equal(rmdir(place->home), 0);
    assert_false(place->files->ops->make_directory(place->files, place->directory, &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
}

static void a_lock_of_a_dead_process_is_free_again(void **state)
{
    Place *place = *state;
    g_autofree char *path = g_strconcat(place->directory, "/lock", NULL);
    g_autoptr(GError) error = NULL;
    FilesLock *lock;
    int ready[2];
    char byte;
    pid_t child;

    make(place);
    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    child = fork();
    if (child == 0) {
        lock = place->files->ops->lock(place->files, path, NULL);
        _exit(!lock || write(ready[1], "x", 1) != 1 || pause());
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_null(place->files->ops->lock(place->files, path, &error));
    g_autofree char *pid = g_strdup_printf(" %d)", (int)child);
    assert_non_null(strstr(error->message, pid));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    lock = place->files->ops->lock(place->files, path, NULL);
    assert_non_null(lock);
    place->files->ops->unlock(place->files, lock);
    close(ready[0]);
    close(ready[1]);
}

/* ---- decorated ---- */

static void a_dead_program_changes_nothing_and_leaves_no_lock(void **state)
{
    Place *place = *state;
    Fault *fault = fault_new();
    g_autoptr(Files) faulty = files_faulty(place->files, fault);
    g_autofree char *path = g_strconcat(place->directory, "/lock", NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    FilesLock *lock;

    make(place);
    write_text(place, "before");
    fault_arm(fault, FAULT_CUT_BEFORE, 2);
    lock = faulty->ops->lock(faulty, path, NULL);
    assert_non_null(lock);
    assert_false(faulty->ops->replace(faulty, place->path, "after", -1, &error));
    assert_true(error_is(error, ERR_INTERRUPTED));
    assert_null(faulty->ops->read(faulty, place->path, NULL, NULL));
    assert_false(faulty->ops->remove(faulty, place->path, NULL));
    faulty->ops->unlock(faulty, lock);
    text = read_text(place, NULL);
    assert_string_equal(text, "before");
    lock = place->files->ops->lock(place->files, path, NULL);
    assert_non_null(lock);
    place->files->ops->unlock(place->files, lock);
    fault_free(fault);
}

static void a_lost_answer_is_an_effect_all_the_same(void **state)
{
    Place *place = *state;
    Fault *fault = fault_new();
    g_autoptr(Files) faulty = files_faulty(place->files, fault);
    g_autofree char *text = NULL;

    make(place);
    fault_arm(fault, FAULT_LOST, 1);
    assert_false(faulty->ops->replace(faulty, place->path, "written", -1, NULL));
    text = faulty->ops->read(faulty, place->path, NULL, NULL);
    assert_string_equal(text, "written");
    assert_int_equal(fault_calls(fault), 1);
    fault_free(fault);
}

#define BOTH(test)                                                                                 \
    {#test "_on_disk", test, start_real, stop, NULL},                                              \
    {                                                                                              \
#test "_in_memory", test, start_memory, stop, NULL                                         \
    }
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, start_real, stop)

static void fill(const char *directory)
{
    static const char block[4096];
    g_autofree char *path = g_build_filename(directory, "ballast", NULL);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, block, sizeof block) == (ssize_t)sizeof block)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

/* Who gives a block back to write its name anew may not get it again. */
static void a_full_file_system_can_be_locked(void **state)
{
    Place *place = *state;
    const FilesOps *ops = place->files->ops;
    g_autofree char *path = g_strconcat(place->directory, "/lock", NULL);
    g_autofree char *fresh = g_strconcat(place->directory, "/fresh", NULL);
    g_autoptr(GError) named = NULL, unnamed = NULL;

    if (!mount_small(place->home, "size=1m")) {
        print_message("# no small file system can be mounted here: %s\n", g_strerror(errno));
        skip();
    }
    make(place);
    ops->unlock(place->files, ops->lock(place->files, path, NULL));
    fill(place->home);
    FilesLock *lock = ops->lock(place->files, path, NULL);
    FilesLock *another = ops->lock(place->files, fresh, NULL);
    assert_true(lock && another);
    assert_null(ops->lock(place->files, path, &named));
    assert_null(ops->lock(place->files, fresh, &unnamed));
    assert_null(strstr(named->message, "unknown"));
    assert_non_null(strstr(unnamed->message, "unknown"));
    ops->unlock(place->files, lock);
    ops->unlock(place->files, another);
    assert_int_equal(umount2(place->home, MNT_DETACH), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_is_written_is_read),
        BOTH(an_absent_file_is_not_found),
        BOTH(writing_needs_the_directory),
        BOTH(removing_what_is_gone_succeeds),
        BOTH(a_directory_is_no_file),
        BOTH(listing_shows_names_or_nothing),
        BOTH(a_lock_has_one_holder_and_names_it),
        BOTH(threads_exclude_each_other_too),
        BOTH(a_dead_program_changes_nothing_and_leaves_no_lock),
        BOTH(a_lost_answer_is_an_effect_all_the_same),
        ON_DISK(files_are_ours_alone),
        ON_DISK(a_leftover_temporary_is_written_over_and_removed),
        ON_DISK(symlinks_pipes_and_giants_are_not_read),
        ON_DISK(a_directory_of_others_is_not_trusted),
        ON_DISK(attack_a_catalog_that_others_can_have_written_is_not_believed),
        ON_DISK(attack_symlinks_in_place_of_our_directories_are_not_followed),
        ON_DISK(a_home_that_is_missing_is_not_made),
        ON_DISK(a_lock_of_a_dead_process_is_free_again),
        ON_DISK(a_full_file_system_can_be_locked),
    };

    return cmocka_run_group_tests_name("files", tests, NULL, NULL);
}
