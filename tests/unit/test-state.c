/* State files (ImageOps.read_state and after): one contract for the simulated and the real, then
 * what only a disk can do to us. */
#include "image-tools.h"
#include "scratch.h"

#include "image/fake.h"
#include "image/faulty.h"
#include "model/simhost-face.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static SimHost *host; /* of the simulated ones */

static int start_fake(void **state)
{
    Bench *bench;

    bench_start(state);
    bench = *state;
    images_free(bench->images);
    host = simhost_new();
    bench->images = image_fake(host);
    return 0;
}

static int stop_fake(void **state)
{
    bench_stop(state);
    g_clear_pointer(&host, simhost_free);
    return 0;
}

static GBytes *bytes(const char *text)
{
    return g_bytes_new(text, strlen(text));
}

static bool write_text(Bench *bench, const char *path, const char *text, const char *like,
                       bool replace, GError **error)
{
    g_autoptr(GBytes) content = bytes(text);

    return bench->images->ops->write_state(bench->images, path, content, like, replace, error);
}

static void put(Bench *bench, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;

    assert_true(write_text(bench, path, text, NULL, false, &error));
    assert_null(error);
}

static bool holds(Bench *bench, const char *path, const char *text)
{
    g_autoptr(GBytes) expected = bytes(text);
    g_autoptr(GBytes) found = bench->images->ops->read_state(bench->images, path, NULL);

    return found && g_bytes_equal(found, expected);
}

static void check_unread(Bench *bench, const char *path, ErrorCode code)
{
    g_autoptr(GError) error = NULL;

    assert_null(bench->images->ops->read_state(bench->images, path, &error));
    assert_int_equal(error_code(error), code);
    assert_non_null(strstr(error->message, path));
}

/* Of name, content pairs, NULL at the end. */
static GPtrArray *files_of(const char *const *pairs)
{
    GPtrArray *files = state_files_new();

    for (; *pairs; pairs += 2) {
        g_autoptr(GBytes) content = bytes(pairs[1]);

        g_ptr_array_add(files, state_file_new(pairs[0], content));
    }
    return files;
}

static bool write_files(Bench *bench, const char *path, const char *const *pairs, const char *like,
                        GError **error)
{
    g_autoptr(GPtrArray) files = files_of(pairs);

    return bench->images->ops->write_state_directory(bench->images, path, files, like, error);
}

static void put_files(Bench *bench, const char *path, const char *const *pairs)
{
    g_autoptr(GError) error = NULL;

    assert_true(write_files(bench, path, pairs, NULL, &error));
    assert_null(error);
}

static char *shown(Bench *bench, const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) files =
        bench->images->ops->read_state_directory(bench->images, path, &error);
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; files && i < files->len; i++) {
        const StateFile *file = files->pdata[i];

        g_string_append_printf(text, "%s=%.*s ", file->name, (int)g_bytes_get_size(file->content),
                               (const char *)g_bytes_get_data(file->content, NULL));
    }
    if (error)
        g_string_append_printf(text, "error %d", error->code);
    return g_string_free(text, FALSE);
}

static void check_files(Bench *bench, const char *path, const char *expected)
{
    g_autofree char *found = shown(bench, path);

    assert_string_equal(found, expected);
}

static void check_no_files(Bench *bench, const char *path, ErrorCode code)
{
    g_autofree char *expected = g_strdup_printf("error %d", code);

    check_files(bench, path, expected);
}

/* ---- simulated and real ---- */

/* U-2, U-6. */
static void what_is_written_is_read(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "web01_VARS.fd");

    check_unread(bench, path, ERR_NOT_FOUND);
    put(bench, path, "one");
    assert_true(holds(bench, path, "one"));
    assert_true(write_text(bench, path, "another", path, true, NULL));
    assert_true(holds(bench, path, "another"));
    assert_true(write_text(bench, path, "", path, true, NULL));
    assert_true(holds(bench, path, ""));
}

static void a_new_file_never_replaces_one(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "vars.fd"), *directory = bench_path(bench, "tpm2");
    g_autoptr(GError) error = NULL;

    put(bench, path, "precious");
    assert_false(write_text(bench, path, "x", NULL, false, &error));
    assert_true(error_is(error, ERR_EXISTS));
    assert_true(holds(bench, path, "precious"));
    put_files(bench, directory, (const char *[]){"a", "1", NULL});
    g_clear_error(&error);
    assert_false(write_files(bench, directory, (const char *[]){"a", "2", NULL}, NULL, &error));
    assert_true(error_is(error, ERR_EXISTS));
    check_files(bench, directory, "a=1 ");
}

/* U-7. */
static void a_missing_file_and_its_directory_are_made(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "nvram/vars.fd");
    const char *directory = bench_path(bench, "uuid/tpm2");

    assert_true(write_text(bench, path, "one", path, true, NULL));
    assert_true(holds(bench, path, "one"));
    put_files(bench, directory, (const char *[]){"a", "1", NULL});
    check_files(bench, directory, "a=1 ");
}

static void a_directory_is_read_by_name_without_its_lock(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "tpm2"), *lock = bench_path(bench, "tpm2/.lock");

    check_no_files(bench, path, ERR_NOT_FOUND);
    put_files(bench, path, (const char *[]){"tpm2-00.permall", "p", "a", "", "b", "2", NULL});
    put(bench, lock, "");
    check_files(bench, path, "a= b=2 tpm2-00.permall=p ");
}

static void files_and_directories_are_not_mixed_up(void **state)
{
    Bench *bench = *state;
    const char *file = bench_path(bench, "file"), *directory = bench_path(bench, "directory");
    g_autoptr(GError) error = NULL;

    put(bench, file, "x");
    put_files(bench, directory, (const char *[]){"a", "1", NULL});
    check_unread(bench, directory, ERR_UNSUPPORTED);
    check_no_files(bench, file, ERR_UNSUPPORTED);
    assert_false(bench->images->ops->remove_state_directory(bench->images, file, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    assert_false(write_text(bench, directory, "x", NULL, true, NULL));
    check_files(bench, directory, "a=1 ");
    assert_true(holds(bench, file, "x"));
}

static void names_that_are_paths_are_not_written(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "tpm2"), *victim = bench_path(bench, "victim");
    g_autoptr(GError) error = NULL;

    put(bench, victim, "safe");
    assert_false(
        write_files(bench, path, (const char *[]){"a", "1", "../victim", "2", NULL}, NULL, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    assert_true(holds(bench, victim, "safe"));
    check_no_files(bench, path, ERR_NOT_FOUND);
}

static void two_change_places(void **state)
{
    Bench *bench = *state;
    const ImageOps *ops = bench->images->ops;
    const char *now = bench_path(bench, "tpm2"), *staged = bench_path(bench, "tpm2.aaaaaaaaaa");
    const char *a = bench_path(bench, "a"), *b = bench_path(bench, "b");
    g_autoptr(GError) error = NULL;

    put_files(bench, now, (const char *[]){"p", "now", "extra", "x", NULL});
    put_files(bench, staged, (const char *[]){"p", "then", NULL});
    assert_true(ops->exchange(bench->images, now, staged, NULL));
    check_files(bench, now, "p=then ");
    check_files(bench, staged, "extra=x p=now ");
    put(bench, a, "A");
    assert_false(ops->exchange(bench->images, a, b, &error));
    assert_true(error_is(error, ERR_NOT_FOUND));
    assert_true(holds(bench, a, "A"));
    put(bench, b, "B");
    assert_true(ops->exchange(bench->images, a, b, NULL));
    assert_true(holds(bench, a, "B") && holds(bench, b, "A"));
}

static void a_directory_is_removed_once_and_again(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "tpm2"), *far = bench_path(bench, "none/tpm2");
    const ImageOps *ops = bench->images->ops;

    put_files(bench, path, (const char *[]){"a", "1", "b", "2", NULL});
    assert_true(ops->remove_state_directory(bench->images, path, NULL));
    check_no_files(bench, path, ERR_NOT_FOUND);
    assert_true(ops->remove_state_directory(bench->images, path, NULL));
    assert_true(ops->remove_state_directory(bench->images, far, NULL));
}

static void a_directory_with_a_directory_in_it_stays(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "tpm2"), *inner = bench_path(bench, "tpm2/inner");
    g_autoptr(GError) error = NULL;

    put_files(bench, path, (const char *[]){"a", "1", NULL});
    put_files(bench, inner, (const char *[]){"b", "2", NULL});
    assert_false(bench->images->ops->remove_state_directory(bench->images, path, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    check_files(bench, inner, "b=2 ");
    check_no_files(bench, path, ERR_UNSUPPORTED);
}

static void giants_are_neither_read_nor_written(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "giant"), *tpm = bench_path(bench, "tpm2");
    g_autofree char *half = g_strnfill(STATE_MAX / 2 + 1, 'x');
    g_autofree char *all = g_strnfill(STATE_MAX + 1, 'x');
    g_autoptr(GError) error = NULL;

    assert_false(write_text(bench, path, all, NULL, false, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    check_unread(bench, path, ERR_NOT_FOUND);
    put_files(bench, tpm, (const char *[]){"a", half, "b", half, NULL});
    check_no_files(bench, tpm, ERR_UNSUPPORTED);
}

static void a_store_is_unlinked_as_images_are(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "vars.fd");
    const ImageOps *ops = bench->images->ops;
    g_autoptr(GPtrArray) before = NULL, after = NULL;
    ImageIdentity identity;

    put(bench, path, "one");
    assert_true(ops->identify(bench->images, path, &identity));
    before = ops->list(bench->images, bench->directory, NULL);
    assert_int_equal(before->len, 1);
    assert_string_equal(before->pdata[0], path);
    assert_true(ops->unlink(bench->images, path, NULL, NULL));
    check_unread(bench, path, ERR_NOT_FOUND);
    after = ops->list(bench->images, bench->directory, NULL);
    assert_int_equal(after->len, 0);
}

static void nothing_in_use_is_replaced(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "vars.fd");
    g_autoptr(GError) error = NULL;
    ImageLock *lock;

    put(bench, path, "one");
    lock = bench->images->ops->lock(bench->images, path, 0, NULL);
    assert_non_null(lock);
    assert_false(write_text(bench, path, "two", path, true, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_true(holds(bench, path, "one"));
    bench->images->ops->unlock(bench->images, lock);
    assert_true(write_text(bench, path, "two", path, true, NULL));
}

/* Each effect asks once before and once after; reading is not counted. */
static void a_dead_program_does_all_or_nothing(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "vars.fd"), *tpm = bench_path(bench, "tpm2");
    const char *staged = bench_path(bench, "tpm2.aaaaaaaaaa");

    for (unsigned call = 1; call <= 4; call++) {
        Fault *fault = fault_new();
        g_autoptr(Images) faulty = image_faulty(bench->images, fault);
        Bench dead = *bench;

        dead.images = faulty;
        put_files(bench, tpm, (const char *[]){"p", "now", NULL});
        fault_arm(fault, FAULT_CUT_AFTER, call);
        bool done = write_text(&dead, path, "one", NULL, false, NULL) &&
                    write_files(&dead, staged, (const char *[]){"p", "then", NULL}, NULL, NULL) &&
                    faulty->ops->exchange(faulty, tpm, staged, NULL) &&
                    faulty->ops->remove_state_directory(faulty, staged, NULL);
        assert_false(done);
        assert_null(faulty->ops->read_state(faulty, path, NULL));
        assert_null(faulty->ops->read_state_directory(faulty, tpm, NULL));
        assert_true(holds(bench, path, "one"));
        check_files(bench, tpm, call >= 3 ? "p=then " : "p=now ");
        if (call == 2 || call == 3)
            check_files(bench, staged, call == 2 ? "p=then " : "p=now ");
        else
            check_no_files(bench, staged, ERR_NOT_FOUND);
        assert_true(bench->images->ops->unlink(bench->images, path, NULL, NULL));
        assert_true(bench->images->ops->remove_state_directory(bench->images, tpm, NULL));
        assert_true(bench->images->ops->remove_state_directory(bench->images, staged, NULL));
        fault_free(fault);
    }
}

static void a_full_simulated_host_keeps_what_it_has(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "vars.fd"), *tpm = bench_path(bench, "tpm2");
    g_autoptr(GError) error = NULL;

    put(bench, path, "one");
    simhost_set_free(host, 5);
    assert_false(write_text(bench, path, "larger", path, true, &error));
    assert_true(error_is(error, ERR_NO_SPACE));
    assert_true(holds(bench, path, "one"));
    assert_false(
        write_files(bench, tpm, (const char *[]){"a", "123", "b", "456", NULL}, NULL, NULL));
    check_no_files(bench, tpm, ERR_NOT_FOUND);
    assert_true(write_text(bench, path, "three", path, true, NULL));
    assert_int_equal(simhost_free_space(host), 3);
}

/* ---- on a disk only ---- */

static void check_looks(const char *path, mode_t mode, uid_t owner, gid_t group)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, mode);
    if (geteuid() == 0) {
        assert_int_equal(status.st_uid, owner);
        assert_int_equal(status.st_gid, group);
    }
}

static void dress(const char *path, mode_t mode, uid_t owner, gid_t group)
{
    assert_int_equal(chmod(path, mode), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(path, owner, group), 0);
}

static void a_store_looks_like_the_one_it_follows(void **state)
{
    Bench *bench = *state;
    const char *old = bench_path(bench, "old"), *new = bench_path(bench, "new");
    mode_t before = umask(0);

    put(bench, old, "one");
    dress(old, 0640, 4242, 4343);
    assert_true(write_text(bench, new, "two", old, false, NULL));
    check_looks(new, 0640, 4242, 4343);
    assert_true(write_text(bench, old, "three", old, true, NULL));
    check_looks(old, 0640, 4242, 4343);
    umask(before);
}

static void a_store_without_a_model_belongs_to_whom_the_directory_does(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "nvram/vars.fd");
    const char *directory = bench_path(bench, "nvram"), *gone = bench_path(bench, "gone");
    const char *other = bench_path(bench, "nvram/other.fd");
    mode_t before = umask(0);

    dress(bench->directory, 0755, 4242, 4343);
    put(bench, path, "one");
    umask(before);
    check_looks(directory, 0755, 4242, 4343);
    check_looks(path, 0600, 4242, 4343);
    assert_true(write_text(bench, other, "two", gone, false, NULL));
    check_looks(other, 0600, 4242, 4343);
}

static void vtpm_state_belongs_to_whom_the_old_one_does(void **state)
{
    Bench *bench = *state;
    const char *old = bench_path(bench, "tpm2"), *new = bench_path(bench, "tpm2.aaaaaaaaaa");
    const char *file = bench_path(bench, "tpm2.aaaaaaaaaa/p");

    put_files(bench, old, (const char *[]){"p", "now", NULL});
    dress(old, 0755, 4242, 4343);
    assert_true(write_files(bench, new, (const char *[]){"p", "then", NULL}, old, NULL));
    check_looks(new, 0700, 4242, 4343);
    check_looks(file, 0600, 4242, 4343);
}

/* U-7 for a vTPM: nothing is there to go by. */
static void vtpm_state_without_a_model_belongs_to_whom_swtpm_runs_as(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "uuid/tpm2"), *file = bench_path(bench, "uuid/tpm2/p");
    const struct passwd *user = getpwnam("tss");
    uid_t owner = geteuid() == 0 && user ? user->pw_uid : geteuid();
    gid_t group = geteuid() == 0 && user ? user->pw_gid : getegid();

    put_files(bench, path, (const char *[]){"p", "then", NULL});
    check_looks(path, 0700, owner, group);
    check_looks(file, 0600, owner, group);
}

static void symlinks_and_pipes_are_not_followed(void **state)
{
    Bench *bench = *state;
    const char *victim = bench_path(bench, "victim"), *link = bench_path(bench, "link");
    const char *fifo = bench_path(bench, "fifo"), *tpm = bench_path(bench, "tpm2");
    const char *inner = bench_path(bench, "tpm2/z"), *alias = bench_path(bench, "alias");
    const char *other = bench_path(bench, "other");
    const ImageOps *ops = bench->images->ops;
    g_autoptr(GError) error = NULL;

    put(bench, victim, "safe");
    assert_int_equal(symlink(victim, link), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    check_unread(bench, link, ERR_UNSUPPORTED);
    check_unread(bench, fifo, ERR_UNSUPPORTED);
    assert_false(write_text(bench, link, "x", NULL, true, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    assert_false(write_text(bench, link, "x", NULL, false, NULL));
    assert_false(write_text(bench, other, "x", link, false, NULL));
    check_unread(bench, other, ERR_NOT_FOUND);
    put_files(bench, tpm, (const char *[]){"a", "1", NULL});
    assert_int_equal(symlink(victim, inner), 0);
    check_no_files(bench, tpm, ERR_UNSUPPORTED);
    assert_int_equal(symlink(tpm, alias), 0);
    check_no_files(bench, alias, ERR_UNSUPPORTED);
    assert_false(ops->remove_state_directory(bench->images, alias, NULL));
    assert_true(ops->remove_state_directory(bench->images, tpm, NULL));
    assert_true(holds(bench, victim, "safe"));
}

static void a_pipe_in_a_vtpm_directory_does_not_hang(void **state)
{
    Bench *bench = *state;
    const char *tpm = bench_path(bench, "tpm2"), *inner = bench_path(bench, "tpm2/fifo");

    put_files(bench, tpm, (const char *[]){"a", "1", NULL});
    assert_int_equal(mkfifo(inner, 0600), 0);
    check_no_files(bench, tpm, ERR_UNSUPPORTED);
    assert_true(bench->images->ops->remove_state_directory(bench->images, tpm, NULL));
}

static void strange_names_in_a_vtpm_directory_are_refused(void **state)
{
    Bench *bench = *state;
    const char *tpm = bench_path(bench, "tpm2"), *inner = bench_path(bench, "tpm2/a\nb");

    put_files(bench, tpm, (const char *[]){"a", "1", NULL});
    assert_true(g_file_set_contents(inner, "", 0, NULL));
    check_no_files(bench, tpm, ERR_UNSUPPORTED);
}

static gpointer swap_again_and_again(gpointer data)
{
    const char *const *paths = data; /* the file, a symlink, and a name between */
    int *go = (int *)paths[3];

    while (g_atomic_int_get(go)) {
        if (rename(paths[0], paths[2]) == 0 && rename(paths[1], paths[0]) == 0)
            (void)rename(paths[2], paths[1]);
    }
    return NULL;
}

/* Whenever the file turns into a symlink, what that leads to is not read. */
static void a_file_that_turns_into_a_symlink_is_not_followed(void **state)
{
    Bench *bench = *state;
    const char *tpm = bench_path(bench, "tpm2"), *file = bench_path(bench, "tpm2/p");
    const char *link = bench_path(bench, "link"), *between = bench_path(bench, "between");
    const char *secret = bench_path(bench, "secret");
    int go = 1;
    const char *paths[] = {file, link, between, (const char *)&go};
    GThread *thread;

    put_files(bench, tpm, (const char *[]){"p", "state", NULL});
    put(bench, secret, "secret");
    assert_int_equal(symlink(secret, link), 0);
    thread = g_thread_new("swap", swap_again_and_again, paths);
    for (unsigned i = 0; i < 500; i++) {
        g_autofree char *found = shown(bench, tpm);

        assert_null(strstr(found, "secret"));
    }
    g_atomic_int_set(&go, 0);
    g_thread_join(thread);
}

static void what_a_dead_program_left_is_in_nobodys_way(void **state)
{
    Bench *bench = *state;
    const ImageOps *ops = bench->images->ops;
    const char *tpm = bench_path(bench, "tpm2"), *path = bench_path(bench, "vars.fd");
    const char *half = bench_path(bench, "tpm2.new");
    g_autoptr(GPtrArray) names = NULL;

    put_files(bench, half, (const char *[]){"p", "ha", NULL});
    put_files(bench, tpm, (const char *[]){"p", "whole", NULL});
    check_no_files(bench, half, ERR_NOT_FOUND);
    put_files(bench, half, (const char *[]){"p", "ha", NULL});
    assert_true(ops->remove_state_directory(bench->images, tpm, NULL));
    check_no_files(bench, half, ERR_NOT_FOUND);
    put(bench, path, "one");
    assert_false(write_text(bench, bench_path(bench, "vars.fd/x"), "x", NULL, false, NULL));
    names = ops->list(bench->images, bench->directory, NULL);
    assert_int_equal(names->len, 1);
}

static void a_store_that_a_qemu_has_open_is_not_replaced(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "vars.fd");
    g_autofree char *content = g_strnfill(540672, 'v');
    g_autoptr(GError) error = NULL;
    Holder *holder;

    put(bench, path, content);
    holder = holder_start_io(path, "raw");
    assert_true(holds(bench, path, content));
    assert_false(write_text(bench, path, "two", path, true, &error));
    assert_true(error_is(error, ERR_BUSY));
    holder_end(holder);
    assert_true(holds(bench, path, content));
}

/* U-8: the copy fails when a part is written, and the active file is what it was. */
static void a_full_file_system_leaves_the_active_file(void **state)
{
    Bench *bench = *state;
    const char *small = bench_path(bench, "small"), *path = bench_path(bench, "small/vars.fd");
    const char *tpm = bench_path(bench, "small/tpm2");
    g_autofree char *large = g_strnfill(2 * MIB, 'x');
    g_autoptr(GError) vars = NULL, state_error = NULL;
    g_autoptr(GPtrArray) names = NULL;

    assert_int_equal(g_mkdir(small, 0755), 0);
    if (!mount_small(small, "size=1m")) {
        print_message("# no small file system can be mounted here: %s\n", g_strerror(errno));
        skip();
    }
    put(bench, path, "active");
    assert_false(write_text(bench, path, large, path, true, &vars));
    assert_true(error_is(vars, ERR_NO_SPACE));
    assert_true(holds(bench, path, "active"));
    assert_false(
        write_files(bench, tpm, (const char *[]){"a", "1", "b", large, NULL}, NULL, &state_error));
    assert_true(error_is(state_error, ERR_NO_SPACE));
    names = bench->images->ops->list(bench->images, small, NULL);
    assert_int_equal(names->len, 1);
    assert_true(write_text(bench, path, "fits", path, true, NULL));
    assert_int_equal(umount2(small, MNT_DETACH), 0);
}

#define BOTH(test)                                                                                 \
    {#test "_on_disk", test, bench_start, bench_stop, NULL},                                       \
    {                                                                                              \
#test "_simulated", test, start_fake, stop_fake, NULL                                      \
    }
#define ON_DISK(test) cmocka_unit_test_setup_teardown(test, bench_start, bench_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_is_written_is_read),
        BOTH(a_new_file_never_replaces_one),
        BOTH(a_missing_file_and_its_directory_are_made),
        BOTH(a_directory_is_read_by_name_without_its_lock),
        BOTH(files_and_directories_are_not_mixed_up),
        BOTH(names_that_are_paths_are_not_written),
        BOTH(two_change_places),
        BOTH(a_directory_is_removed_once_and_again),
        BOTH(a_directory_with_a_directory_in_it_stays),
        BOTH(giants_are_neither_read_nor_written),
        BOTH(a_store_is_unlinked_as_images_are),
        BOTH(nothing_in_use_is_replaced),
        BOTH(a_dead_program_does_all_or_nothing),
        cmocka_unit_test_setup_teardown(a_full_simulated_host_keeps_what_it_has, start_fake,
                                        stop_fake),
        ON_DISK(a_store_looks_like_the_one_it_follows),
        ON_DISK(a_store_without_a_model_belongs_to_whom_the_directory_does),
        ON_DISK(vtpm_state_belongs_to_whom_the_old_one_does),
        ON_DISK(vtpm_state_without_a_model_belongs_to_whom_swtpm_runs_as),
        ON_DISK(symlinks_and_pipes_are_not_followed),
        ON_DISK(a_pipe_in_a_vtpm_directory_does_not_hang),
        ON_DISK(strange_names_in_a_vtpm_directory_are_refused),
        ON_DISK(a_file_that_turns_into_a_symlink_is_not_followed),
        ON_DISK(what_a_dead_program_left_is_in_nobodys_way),
        ON_DISK(a_store_that_a_qemu_has_open_is_not_replaced),
        ON_DISK(a_full_file_system_leaves_the_active_file),
    };

    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
