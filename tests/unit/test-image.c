/* image_real() on real files: what it makes, merges, points elsewhere, removes and locks, with real
 * QEMU in the way. */
#include "image-tools.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static void overlay(Bench *bench, const char *path, const char *backing, const char *format)
{
    g_autoptr(GError) error = NULL;

    assert_true(
        bench->images->ops->create_overlay(bench->images, path, backing, format, 8 * MIB, &error));
    assert_null(error);
}

static unsigned files_in(const char *directory)
{
    g_autoptr(GDir) dir = g_dir_open(directory, 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir))
        n++;
    return n;
}

/* ---- overlays ---- */

static void check_overlay(Bench *bench, const char *format)
{
    g_autofree char *base_name = g_strdup_printf("base,%s", format);
    g_autofree char *top_name = g_strdup_printf("top:%s", format);
    const char *base = bench_path(bench, base_name), *top = bench_path(bench, top_name);
    ImageFacts *facts;

    image_make(base, format, 8 * MIB, NULL, NULL);
    image_write(base, format, 3, 0x11);
    overlay(bench, top, base, format);
    facts = bench->images->ops->inspect(bench->images, top);
    assert_true(facts->exists);
    assert_null(facts->error);
    assert_string_equal(facts->probed, "qcow2");
    assert_string_equal(facts->backing, base);
    assert_string_equal(facts->backing_format, format);
    assert_int_equal(facts->capacity, 8 * MIB);
    image_facts_free(facts);
    assert_true(image_holds(top, "qcow2", 3, 0x11));
    image_check_sound(top);
}

static void an_overlay_shows_what_it_covers(void **state)
{
    check_overlay(*state, "raw");
    check_overlay(*state, "qcow2");
    assert_int_equal(files_in(((Bench *)*state)->directory), 4);
}

static void an_overlay_looks_like_what_it_covers_and_never_wider(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base"), *top = bench_path(bench, "top");
    mode_t umask_before = umask(0);
    struct stat status;

    image_make(base, "qcow2", 8 * MIB, NULL, NULL);
    assert_int_equal(chmod(base, 0640), 0);
    if (geteuid() == 0)
        assert_int_equal(chown(base, 4242, 4343), 0);
    overlay(bench, top, base, "qcow2");
    umask(umask_before);
    assert_int_equal(stat(top, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    assert_int_equal(status.st_uid, geteuid() == 0 ? 4242 : geteuid());
    assert_int_equal(status.st_gid, geteuid() == 0 ? 4343 : getegid());
}

static void an_overlay_never_replaces_a_file(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base"), *top = bench_path(bench, "top");
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    image_make(base, "raw", 8 * MIB, NULL, NULL);
    assert_true(g_file_set_contents(top, "precious", -1, NULL));
    assert_false(
        bench->images->ops->create_overlay(bench->images, top, base, "raw", 8 * MIB, &error));
    assert_true(error_is(error, ERR_EXISTS));
    assert_true(g_file_get_contents(top, &text, NULL, NULL));
    assert_string_equal(text, "precious");
    assert_int_equal(files_in(bench->directory), 2);
}

static void a_failed_overlay_leaves_nothing(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base"), *top = bench_path(bench, "top");
    g_autoptr(GError) missing = NULL, format = NULL;

    assert_false(
        bench->images->ops->create_overlay(bench->images, top, base, "raw", 8 * MIB, &missing));
    assert_true(error_is(missing, ERR_NOT_FOUND));
    image_make(base, "raw", 8 * MIB, NULL, NULL);
    assert_false(bench->images->ops->create_overlay(bench->images, top, base, "no-format", 8 * MIB,
                                                    &format));
    assert_true(error_is(format, ERR_IO));
    assert_non_null(strstr(format->message, "no-format"));
    assert_int_equal(files_in(bench->directory), 1);
}

static void a_running_vm_does_not_hinder_an_overlay(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base"), *top = bench_path(bench, "top");
    Holder *holder;

    image_make(base, "qcow2", 8 * MIB, NULL, NULL);
    holder = holder_start_io(base, "qcow2");
    overlay(bench, top, base, "qcow2");
    holder_end(holder);
}

/* Rule 12: a guest wrote a qcow2 header that names a file of the host into its raw disk. */
static void a_raw_disk_stays_raw_whatever_its_guest_wrote(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base.raw"), *top = bench_path(bench, "top");
    g_autofree char *header = NULL, *after = NULL;
    gsize length = 0;
    g_autoptr(GError) error = NULL;

    image_make(base, "qcow2", 8 * MIB, "/etc/passwd", "raw");
    assert_int_equal(truncate(base, 8 * MIB), 0);
    assert_true(g_file_get_contents(base, &header, &length, NULL));
    overlay(bench, top, base, "raw");
    image_write(top, "qcow2", 5, 0x55);
    assert_true(bench->images->ops->commit(bench->images, top, "qcow2", base, "raw", 0, NULL, NULL,
                                           &error));
    assert_true(g_file_get_contents(base, &after, &length, NULL));
    assert_int_equal(length, 8 * MIB);
    assert_memory_equal(after, header, 5 * MIB);
    assert_int_equal(after[5 * MIB], 0x55);
    assert_int_equal(after[6 * MIB - 1], 0x55);
}

static void an_odd_length_is_rounded_up_as_qemu_does(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base.raw"), *top = bench_path(bench, "top");

    assert_true(g_file_set_contents(base, "odd", 3, NULL));
    assert_true(bench->images->ops->create_overlay(bench->images, top, base, "raw", 3, NULL));
}

/* ---- merging ---- */

typedef struct {
    const char *base, *middle, *top;
} Chain;

/* base has 1 in MiB 0-2, middle 2 in MiB 1-2, top 3 in MiB 2. */
static Chain chain_make(Bench *bench, const char *base_format)
{
    Chain chain = {bench_path(bench, "base"), bench_path(bench, "middle"),
                   bench_path(bench, "top")};

    image_make(chain.base, base_format, 8 * MIB, NULL, NULL);
    for (unsigned mib = 0; mib < 3; mib++)
        image_write(chain.base, base_format, mib, 1);
    overlay(bench, chain.middle, chain.base, base_format);
    image_write(chain.middle, "qcow2", 1, 2);
    image_write(chain.middle, "qcow2", 2, 2);
    overlay(bench, chain.top, chain.middle, "qcow2");
    image_write(chain.top, "qcow2", 2, 3);
    return chain;
}

static void check_content(const char *path, const char *format, const unsigned patterns[3])
{
    for (unsigned mib = 0; mib < 3; mib++)
        assert_true(image_holds(path, format, mib, patterns[mib]));
}

typedef struct {
    unsigned calls;
    uint64_t done, total;
} Seen;

static bool see(uint64_t done, uint64_t total, void *data)
{
    Seen *seen = data;

    assert_true(done <= total);
    *seen = (Seen){seen->calls + 1, done, total};
    return true;
}

static void merging_writes_top_into_base_and_keeps_top(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    Seen seen = {0};
    g_autoptr(GError) error = NULL;

    assert_true(bench->images->ops->commit(bench->images, chain.middle, "qcow2", chain.base, "raw",
                                           0, see, &seen, &error));
    assert_null(error);
    check_content(chain.base, "raw", (unsigned[]){1, 2, 2});
    check_content(chain.middle, "qcow2", (unsigned[]){1, 2, 2});
    check_content(chain.top, "qcow2", (unsigned[]){1, 2, 3});
    assert_true(seen.calls > 0);
    assert_true(seen.total >= 2 * MIB);
    assert_int_equal(seen.done, seen.total);
}

static bool same(Bench *bench, const char *a, const char *a_format, const char *b,
                 const char *b_format)
{
    g_autoptr(GError) error = NULL;
    bool answer = false;

    if (!bench->images->ops->compare(bench->images, a, a_format, b, b_format, NULL, NULL, &answer,
                                     &error))
        fail_msg("%s", error->message);
    return answer;
}

static void images_are_compared_by_what_they_show(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    const ImageOps *ops = bench->images->ops;
    g_autoptr(GError) error = NULL, missing = NULL;
    ImageLock *lock;
    bool answer;

    assert_false(same(bench, chain.middle, "qcow2", chain.base, "raw"));
    assert_true(
        ops->commit(bench->images, chain.middle, "qcow2", chain.base, "raw", 0, NULL, NULL, NULL));
    assert_true(same(bench, chain.middle, "qcow2", chain.base, "raw"));
    assert_false(same(bench, chain.top, "qcow2", chain.base, "raw"));
    assert_false(ops->compare(bench->images, "/nowhere", "qcow2", chain.base, "raw", NULL, NULL,
                              &answer, &missing));
    assert_true(error_is(missing, ERR_NOT_FOUND));
    lock = ops->lock(bench->images, chain.base, 0, NULL);
    assert_non_null(lock);
    assert_false(ops->compare(bench->images, chain.middle, "qcow2", chain.base, "raw", NULL, NULL,
                              &answer, &error));
    assert_true(error_is(error, ERR_BUSY));
    ops->unlock(bench->images, lock);
}

/* 2 MiB at 1 MiB/s; without a limit it is a matter of milliseconds. */
static void a_merge_keeps_to_its_bandwidth(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    int64_t before = g_get_monotonic_time();

    assert_true(bench->images->ops->commit(bench->images, chain.middle, "qcow2", chain.base, "raw",
                                           MIB, NULL, NULL, NULL));
    assert_true(g_get_monotonic_time() - before >= G_USEC_PER_SEC / 2);
    check_content(chain.base, "raw", (unsigned[]){1, 2, 2});
}

static void merging_takes_along_what_is_between(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    Seen seen = {0};

    assert_true(bench->images->ops->commit(bench->images, chain.top, "qcow2", chain.base, "raw", 0,
                                           see, &seen, NULL));
    check_content(chain.base, "raw", (unsigned[]){1, 2, 3});
    check_content(chain.top, "qcow2", (unsigned[]){1, 2, 3});
    assert_true(seen.total >= 3 * MIB);
}

static void merge_repoint_unlink_keeps_what_the_guest_sees(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "qcow2");
    const ImageOps *ops = bench->images->ops;

    assert_true(ops->commit(bench->images, chain.middle, "qcow2", chain.base, "qcow2", 0, NULL,
                            NULL, NULL));
    assert_true(ops->repoint(bench->images, chain.top, chain.base, "qcow2", NULL));
    assert_true(ops->unlink(bench->images, chain.middle, NULL, NULL));
    check_content(chain.top, "qcow2", (unsigned[]){1, 2, 3});
    image_check_sound(chain.base);
    image_check_sound(chain.top);
    assert_int_equal(files_in(bench->directory), 2);
}

static void check_merge_refused(Bench *bench, const char *top, const char *base, const char *format,
                                ErrorCode code)
{
    g_autofree char *shown = error_line(top);
    g_autoptr(GError) error = NULL;

    assert_false(bench->images->ops->commit(bench->images, top, "qcow2", base, format, 0, NULL,
                                            NULL, &error));
    assert_int_equal(error_code(error), code);
    assert_true(strstr(error->message, shown) || strstr(error->message, top));
}

static void merging_into_what_the_header_does_not_say_is_refused(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    const char *gone = bench_path(bench, "gone");

    check_merge_refused(bench, chain.top, chain.base, "qcow2", ERR_DRIFT);
    check_merge_refused(bench, chain.middle, chain.base, "qcow2", ERR_DRIFT);
    check_merge_refused(bench, chain.base, chain.middle, "qcow2", ERR_DRIFT);
    check_merge_refused(bench, gone, chain.base, "raw", ERR_NOT_FOUND);
    check_content(chain.base, "raw", (unsigned[]){1, 1, 1});
}

static void merging_below_a_running_vm_is_busy(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "qcow2");
    Holder *holder = holder_start_io(chain.top, "qcow2");

    holder_wait_for(holder, chain.base);
    check_merge_refused(bench, chain.middle, chain.base, "qcow2", ERR_BUSY);
    holder_end(holder);
    check_content(chain.base, "qcow2", (unsigned[]){1, 1, 1});
}

static bool stop(uint64_t done, uint64_t total, void *data)
{
    return done == 0;
}

/* A qemu-img that stands still at 10 %, so that the stop surely comes in the middle. */
static void a_stopped_merge_says_so_and_can_be_done_again(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    g_autofree char *program = g_build_filename(bench->scratch, "qemu-img", NULL);
    g_autofree char *path_before = g_strdup(g_getenv("PATH"));
    g_autofree char *path = g_strconcat(bench->scratch, ":", path_before, NULL);
    g_autoptr(GError) error = NULL;

    assert_true(g_file_set_contents(
        program, "#!/bin/sh\nprintf '    (10.00/100%%)\\r'\nexec sleep 600\n", -1, NULL));
    assert_int_equal(chmod(program, 0755), 0);
    g_setenv("PATH", path, TRUE);
    assert_false(bench->images->ops->commit(bench->images, chain.middle, "qcow2", chain.base, "raw",
                                            0, stop, NULL, &error));
    g_setenv("PATH", path_before, TRUE);
    assert_true(error_is(error, ERR_INTERRUPTED));
    assert_true(bench->images->ops->commit(bench->images, chain.middle, "qcow2", chain.base, "raw",
                                           0, NULL, NULL, NULL));
    check_content(chain.base, "raw", (unsigned[]){1, 2, 2});
}

static void a_full_file_system_is_no_space_and_loses_nothing(void **state)
{
    Bench *bench = *state;
    const char *small = bench_path(bench, "small");
    const char *base = bench_path(bench, "small/base"), *top = bench_path(bench, "top");
    const char *filler = bench_path(bench, "small/filler");
    g_autofree char *zeros = g_malloc0(11 * MIB);
    FreeSpace space = {0};

    assert_int_equal(g_mkdir(small, 0755), 0);
    if (!mount_small(small, "size=12m")) {
        print_message("# no small file system can be mounted here: %s\n", g_strerror(errno));
        skip();
    }
    image_make(base, "qcow2", 8 * MIB, NULL, NULL);
    overlay(bench, top, base, "qcow2");
    for (unsigned mib = 0; mib < 4; mib++)
        image_write(top, "qcow2", mib, 7);
    assert_true(g_file_set_contents(filler, zeros, (gssize)(9 * MIB), NULL));
    assert_true(bench->images->ops->free_space(bench->images, small, &space, NULL));
    assert_true(space.bytes < 4 * MIB);
    check_merge_refused(bench, top, base, "qcow2", ERR_NO_SPACE);
    assert_true(image_holds(top, "qcow2", 3, 7));
    assert_int_equal(unlink(filler), 0);
    assert_true(bench->images->ops->commit(bench->images, top, "qcow2", base, "qcow2", 0, NULL,
                                           NULL, NULL));
    assert_true(image_holds(base, "qcow2", 3, 7));
    assert_int_equal(umount2(small, MNT_DETACH), 0);
}

/* ---- pointing elsewhere ---- */

static void repointing_changes_only_the_header(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    ImageFacts *facts;

    assert_true(bench->images->ops->repoint(bench->images, chain.top, chain.base, "raw", NULL));
    facts = bench->images->ops->inspect(bench->images, chain.top);
    assert_string_equal(facts->backing, chain.base);
    assert_string_equal(facts->backing_format, "raw");
    image_facts_free(facts);
    check_content(chain.top, "qcow2", (unsigned[]){1, 1, 3});
}

static void repointing_an_image_in_use_is_busy(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    Holder *holder = holder_start_io(chain.top, "qcow2");
    g_autoptr(GError) error = NULL;

    assert_false(bench->images->ops->repoint(bench->images, chain.top, chain.base, "raw", &error));
    assert_true(error_is(error, ERR_BUSY));
    holder_end(holder);
}

/* ---- locks ---- */

static bool qemu_opens(const char *path, const char *flag)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    const char *arguments[] = {"info", "-f", "qcow2", flag, file, NULL};

    return image_tool(arguments) == 0;
}

static void a_lock_keeps_every_qemu_out(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    ImageLock *lock = bench->images->ops->lock(bench->images, chain.top, 0, NULL);

    assert_non_null(lock);
    assert_false(image_holds(chain.top, "qcow2", 2, 3));
    assert_false(qemu_opens(chain.top, "--"));
    check_merge_refused(bench, chain.top, chain.middle, "qcow2", ERR_BUSY);
    assert_null(bench->images->ops->lock(bench->images, chain.top, 0, NULL));
    bench->images->ops->unlock(bench->images, lock);
    assert_true(qemu_opens(chain.top, "--"));
}

static void check_held_by(Bench *bench, const char *path, Holder *holder)
{
    g_autoptr(GError) locking = NULL, removing = NULL;

    assert_null(bench->images->ops->lock(bench->images, path, 0, &locking));
    assert_true(error_is(locking, ERR_BUSY));
    assert_non_null(strstr(locking->message, path));
    assert_false(bench->images->ops->unlink(bench->images, path, NULL, &removing));
    assert_true(error_is(removing, ERR_BUSY));
    holder_end(holder);
    assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    assert_true(bench->images->ops->unlink(bench->images, path, NULL, NULL));
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static bool is_written(Bench *bench, const char *path)
{
    ImageFacts *facts = bench->images->ops->inspect(bench->images, path);
    bool written = facts->written;

    image_facts_free(facts);
    return written;
}

static void a_lock_tells_what_is_written_and_what_only_shows_through(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "raw");
    Holder *holder = holder_start_io(chain.top, "qcow2");

    assert_true(is_written(bench, chain.top));
    assert_false(is_written(bench, chain.middle));
    holder_end(holder);
    assert_false(is_written(bench, chain.top));
}

static void what_a_qemu_left_open_is_removed_if_it_runs_on_the_file_beside(void **state)
{
    Bench *bench = *state;
    const char *other = bench_path(bench, "other");
    Chain chain = chain_make(bench, "raw");
    Holder *holder = holder_start_io(chain.top, "qcow2");
    g_autoptr(GError) error = NULL;

    image_make(other, "raw", 8 * MIB, NULL, NULL);
    assert_false(bench->images->ops->unlink(bench->images, chain.top, other, &error));
    assert_true(error_is(error, ERR_BUSY));
    assert_non_null(strstr(error->message, "(qemu-io)"));
    assert_true(bench->images->ops->unlink(bench->images, chain.top, chain.middle, NULL));
    assert_false(g_file_test(chain.top, G_FILE_TEST_EXISTS));
    assert_true(bench->images->ops->unlink(bench->images, chain.top, chain.middle, NULL));
    holder_end(holder);
}

static void an_image_of_qemu_io_is_neither_locked_nor_removed(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "disk");

    image_make(path, "raw", 8 * MIB, NULL, NULL);
    check_held_by(bench, path, holder_start_io(path, "raw"));
}

static void an_image_of_a_stopped_vm_process_is_neither_locked_nor_removed(void **state)
{
    Bench *bench = *state;
    g_autofree char *path = g_build_filename(bench->scratch, "disk.qcow2", NULL);

    image_make(path, "qcow2", 8 * MIB, NULL, NULL);
    check_held_by(bench, path, holder_start_vm(path, "qcow2"));
}

/* Rule 8: a VM's backing files are in use too, though it only reads them. */
static void a_backing_file_of_a_running_vm_is_in_use(void **state)
{
    Bench *bench = *state;
    Chain chain = chain_make(bench, "qcow2");
    Holder *holder = holder_start_io(chain.top, "qcow2");
    g_autoptr(GError) error = NULL;

    holder_wait_for(holder, chain.base);
    assert_null(bench->images->ops->lock(bench->images, chain.base, 0, &error));
    assert_true(error_is(error, ERR_BUSY));
    holder_end(holder);
}

typedef struct {
    Bench *bench;
    const char *path;
} Wanted;

static gpointer lock_patiently(gpointer data)
{
    Wanted *wanted = data;

    return wanted->bench->images->ops->lock(wanted->bench->images, wanted->path, 60000, NULL);
}

static void waiting_for_a_lock_ends_when_its_holder_does(void **state)
{
    Bench *bench = *state;
    Wanted wanted = {bench, bench_path(bench, "disk")};
    Holder *holder;
    GThread *thread;
    ImageLock *lock;

    image_make(wanted.path, "raw", 8 * MIB, NULL, NULL);
    holder = holder_start_io(wanted.path, "raw");
    thread = g_thread_new("waiting", lock_patiently, &wanted);
    holder_end(holder);
    lock = g_thread_join(thread);
    assert_non_null(lock);
    bench->images->ops->unlock(bench->images, lock);
}

/* ---- removing ---- */

static void removing_what_is_gone_succeeds_and_takes_the_temporary(void **state)
{
    Bench *bench = *state;
    const char *base = bench_path(bench, "base"), *top = bench_path(bench, "top");
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, top, -1);
    g_autofree char *leftover = g_strdup_printf("%s/.vmsnapfs-%.16s.new", bench->directory, hash);

    image_make(base, "raw", 8 * MIB, NULL, NULL);
    assert_true(g_file_set_contents(leftover, "half", -1, NULL));
    assert_true(bench->images->ops->unlink(bench->images, top, NULL, NULL));
    assert_int_equal(files_in(bench->directory), 1);
    assert_int_equal(symlink("/etc/hostname", leftover), 0);
    overlay(bench, top, base, "raw");
    assert_int_equal(files_in(bench->directory), 2);
}

static void what_is_no_regular_file_is_not_touched(void **state)
{
    Bench *bench = *state;
    const char *disk = bench_path(bench, "disk"), *name = bench_path(bench, "link"),
               *fifo = bench_path(bench, "fifo");
    g_autoptr(GError) error = NULL;

    image_make(disk, "raw", 8 * MIB, NULL, NULL);
    assert_int_equal(symlink(disk, name), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_false(bench->images->ops->unlink(bench->images, name, NULL, &error));
    assert_non_null(strstr(error->message, "symlink"));
    assert_false(bench->images->ops->unlink(bench->images, fifo, NULL, NULL));
    assert_false(bench->images->ops->unlink(bench->images, bench->directory, NULL, NULL));
    assert_null(bench->images->ops->lock(bench->images, fifo, 0, NULL));
    check_merge_refused(bench, fifo, disk, "raw", ERR_UNSUPPORTED);
    assert_int_equal(files_in(bench->directory), 3);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_start, bench_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(an_overlay_shows_what_it_covers),
        ON_BENCH(an_overlay_looks_like_what_it_covers_and_never_wider),
        ON_BENCH(an_overlay_never_replaces_a_file),
        ON_BENCH(a_failed_overlay_leaves_nothing),
        ON_BENCH(a_running_vm_does_not_hinder_an_overlay),
        ON_BENCH(a_raw_disk_stays_raw_whatever_its_guest_wrote),
        ON_BENCH(an_odd_length_is_rounded_up_as_qemu_does),
        ON_BENCH(merging_writes_top_into_base_and_keeps_top),
        ON_BENCH(images_are_compared_by_what_they_show),
        ON_BENCH(a_merge_keeps_to_its_bandwidth),
        ON_BENCH(merging_takes_along_what_is_between),
        ON_BENCH(merge_repoint_unlink_keeps_what_the_guest_sees),
        ON_BENCH(merging_into_what_the_header_does_not_say_is_refused),
        ON_BENCH(merging_below_a_running_vm_is_busy),
        ON_BENCH(a_stopped_merge_says_so_and_can_be_done_again),
        ON_BENCH(a_full_file_system_is_no_space_and_loses_nothing),
        ON_BENCH(repointing_changes_only_the_header),
        ON_BENCH(repointing_an_image_in_use_is_busy),
        ON_BENCH(a_lock_keeps_every_qemu_out),
        ON_BENCH(a_lock_tells_what_is_written_and_what_only_shows_through),
        ON_BENCH(what_a_qemu_left_open_is_removed_if_it_runs_on_the_file_beside),
        ON_BENCH(an_image_of_qemu_io_is_neither_locked_nor_removed),
        ON_BENCH(an_image_of_a_stopped_vm_process_is_neither_locked_nor_removed),
        ON_BENCH(a_backing_file_of_a_running_vm_is_in_use),
        ON_BENCH(waiting_for_a_lock_ends_when_its_holder_does),
        ON_BENCH(removing_what_is_gone_succeeds_and_takes_the_temporary),
        ON_BENCH(what_is_no_regular_file_is_not_touched),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
