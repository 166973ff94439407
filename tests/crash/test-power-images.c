/* What the real table of images and state files does (src/image/real.c and below, with qemu-img) is
 * on the disk when the call returns, in whatever order the disk likes to write; and where the power
 * goes in its midst, what has a name is as it was or as it is to be. test-power takes both for
 * granted of its host.
 *
 * What qemu-img writes is found by comparing: it is not durable before our own code syncs it. In
 * its midst an image that it changes in place may be torn: that is for the plan, which keeps the
 * files above it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/subprocess.h"
#include "image/image.h"
#include "power.h"

#define MIB (1024 * 1024)

typedef struct {
    const char *name;
    void (*prepare)(void);
    bool (*act)(GError **error);
    const char *watched; /* file or directory */
    bool in_place;       /* may be torn before it returns */
} Case;

typedef struct {
    unsigned cuts, states, broken;
    char first[1024];
} Counts;
static Counts *counts;

static struct {
    const Case *the;
    Images *images;
    char *root;
    char *before, *after;
    bool returned;
} run;

/* ---- paths and contents ---- */

static GPtrArray *paths;

static const char *path_of(const char *name)
{
    char *path = g_build_filename(run.root, name, NULL);

    g_ptr_array_add(paths, path);
    return path;
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sum_into(GChecksum *sum, const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *content = NULL;
    const char *name;
    gsize length;

    while (directory && (name = g_dir_read_name(directory)))
        g_ptr_array_add(names, g_strdup(name));
    g_ptr_array_sort(names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *child = g_build_filename(path, names->pdata[i], NULL);

        g_checksum_update(sum, (const guchar *)names->pdata[i], -1);
        sum_into(sum, child);
    }
    if (!directory && g_file_get_contents(path, &content, &length, NULL))
        g_checksum_update(sum, (const guchar *)content, (gssize)length);
}

/* What is watched, as it is now. */
static char *look(void)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA1);
    g_autofree char *path = power_real_path(path_of(run.the->watched));

    if (!g_file_test(path, G_FILE_TEST_EXISTS))
        return g_strdup("absent");
    sum_into(sum, path);
    return g_strdup(g_checksum_get_string(sum));
}

/* ---- losing ---- */

static void blame(const char *found, const char *what)
{
    if (__atomic_fetch_add(&counts->broken, 1, __ATOMIC_SEQ_CST) > 0)
        return;
    g_snprintf(counts->first, sizeof counts->first, "%s: %s is %s: neither %s nor %s (%s; %s)",
               run.the->name, run.the->watched, found, run.before, run.after ? run.after : "later",
               run.returned ? "it had returned" : "in its midst", what);
}

static void tell(int to)
{
    g_autofree char *found = look();

    if (write(to, found, strlen(found)) < 0)
        _exit(2);
}

/* How the watched file looks after the loss; yours. */
static char *lose(const PowerState *state)
{
    char text[64] = "";
    int ends[2], status;

    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        g_autofree char *name = g_strdup_printf("%d", (int)getpid());

        power_lose(state, name);
        tell(ends[1]);
        power_remove(name);
        _exit(0);
    }
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof text - 1) > 0);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return g_strdup(text);
}

static GHashTable *seen; /* what was found in its midst → in which state */

static void cut(void *data)
{
    power_rescan();
    g_autoptr(GPtrArray) states = power_states(false);

    counts->cuts++;
    for (guint i = 0; i < states->len; i++) {
        g_autofree char *what = power_describe(states->pdata[i]);
        char *found = lose(states->pdata[i]);

        counts->states++;
        if (run.returned && g_strcmp0(found, run.after) != 0)
            blame(found, what);
        g_hash_table_insert(seen, found, g_steal_pointer(&what));
    }
}

static void check_seen(void)
{
    GHashTableIter iter;
    gpointer found, what;

    g_hash_table_iter_init(&iter, seen);
    while (g_hash_table_iter_next(&iter, &found, &what))
        if (!run.the->in_place && g_strcmp0(found, run.before) != 0 &&
            g_strcmp0(found, run.after) != 0)
            blame(found, what);
}

static void lose_everywhere(void)
{
    g_autoptr(GError) error = NULL;

    run.the->prepare();
    power_rescan();
    power_settle();
    run.before = look();
    power_watch(cut, NULL);
    if (!run.the->act(&error))
        fail_msg("%s: %s", run.the->name, error->message);
    run.after = look();
    check_seen();
    run.returned = true;
    power_other_effect();
    power_watch(NULL, NULL);
    g_autofree char *blind = power_blind_spot();
    if (blind)
        fail_msg("%s", blind);
}

/* qemu-img is given paths as they are: there they lead to the disk. By way of a symlink, so that
 * image/trust.c, which asks the kernel first for a file without any, goes by calls that are seen.
 */
static void run_case(const Case *the, PowerIgnored ignored)
{
    g_autofree char *above = g_dir_make_tmp("vmsnapfs-images-XXXXXX", NULL);
    g_autofree char *target = NULL;

    run.the = the;
    run.returned = false;
    run.root = g_build_filename(above, "images", NULL);
    paths = g_ptr_array_new_with_free_func(g_free);
    seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    power_begin(run.root, g_get_tmp_dir());
    target = power_real_path(run.root);
    assert_int_equal(symlink(target, run.root), 0);
    power_ignore(ignored);
    lose_everywhere();
    power_end();
    assert_int_equal(remove(run.root), 0);
    assert_int_equal(remove(above), 0);
    g_clear_pointer(&run.root, g_free);
    g_clear_pointer(&run.before, g_free);
    g_clear_pointer(&run.after, g_free);
    g_clear_pointer(&paths, g_ptr_array_unref);
    g_clear_pointer(&seen, g_hash_table_unref);
}

/* ---- cases ---- */

static void tool(const char *const *argv)
{
    g_autoptr(SubprocessResult) result = subprocess_run(argv, NULL, NULL, NULL, NULL);

    assert_non_null(result);
    if (result->status != 0)
        fail_msg("%s: %s%s", argv[0], result->out, result->err);
}

static void make_content(const char *name)
{
    g_autoptr(GBytes) content = g_bytes_new_static(name, strlen(name));

    assert_true(
        run.images->ops->write_state(run.images, path_of(name), content, NULL, false, NULL));
}

/* A file that we know of, which qemu-img then makes an image. */
static void make_image(const char *name, const char *pattern)
{
    const char *path = path_of(name);
    g_autofree char *command = g_strdup_printf("write -P %s 0 128k", pattern);

    make_content(name);
    tool((const char *[]){"qemu-img", "create", "-q", "-f", "qcow2", path, "1M", NULL});
    tool((const char *[]){"qemu-io", "-f", "qcow2", "-c", command, path, NULL});
}

static void make_base(void)
{
    make_image("base", "1");
}

static void make_overlay_of(const char *name)
{
    g_autoptr(GError) error = NULL;

    if (!run.images->ops->create_overlay(run.images, path_of(name), path_of("base"), "qcow2", MIB,
                                         &error))
        fail_msg("%s", error->message);
    tool((const char *[]){"qemu-io", "-f", "qcow2", "-c", "write -P 2 64k 128k", path_of(name),
                          NULL});
}

static void make_chain(void)
{
    make_base();
    make_image("other", "1");
    make_overlay_of("top");
}

static bool create_overlay(GError **error)
{
    return run.images->ops->create_overlay(run.images, path_of("top"), path_of("base"), "qcow2",
                                           MIB, error);
}

static bool commit(GError **error)
{
    return run.images->ops->commit(run.images, path_of("top"), "qcow2", path_of("base"), "qcow2", 0,
                                   NULL, NULL, error);
}

static bool repoint(GError **error)
{
    return run.images->ops->repoint(run.images, path_of("top"), path_of("other"), "qcow2", error);
}

static bool unlink_top(GError **error)
{
    return run.images->ops->unlink(run.images, path_of("top"), NULL, error);
}

static void make_nothing(void)
{
}

static void make_vars(void)
{
    make_content("vars.fd");
}

static bool write_vars(bool replace, GError **error)
{
    g_autoptr(GBytes) content = g_bytes_new_static("a new boot order", 16);

    return run.images->ops->write_state(run.images, path_of("vars.fd"), content, NULL, replace,
                                        error);
}

static bool make_new_vars(GError **error)
{
    return write_vars(false, error);
}

static bool replace_vars(GError **error)
{
    return write_vars(true, error);
}

static bool write_tpm(const char *name, const char *text, GError **error)
{
    g_autoptr(GPtrArray) files = state_files_new();
    g_autoptr(GBytes) content = g_bytes_new_static(text, strlen(text));

    g_ptr_array_add(files, state_file_new("tpm2-00.permall", content));
    g_ptr_array_add(files, state_file_new("tpm2-00.volatilestate", content));
    return run.images->ops->write_state_directory(run.images, path_of(name), files, NULL, error);
}

static void make_tpms(void)
{
    assert_true(write_tpm("tpm2", "old", NULL) && write_tpm("staged", "new", NULL));
}

static bool make_new_tpm(GError **error)
{
    return write_tpm("tpm2", "sealed", error);
}

static bool exchange_tpms(GError **error)
{
    return run.images->ops->exchange(run.images, path_of("tpm2"), path_of("staged"), error);
}

static bool remove_tpm(GError **error)
{
    return run.images->ops->remove_state_directory(run.images, path_of("tpm2"), error);
}

static const Case cases[] = {
    {"create_overlay", make_base, create_overlay, "top", false},
    {"commit", make_chain, commit, "base", true},
    {"repoint", make_chain, repoint, "top", true},
    {"unlink", make_chain, unlink_top, "top", false},
    {"write_state", make_nothing, make_new_vars, "vars.fd", false},
    {"write_state over one", make_vars, replace_vars, "vars.fd", false},
    {"write_state_directory", make_nothing, make_new_tpm, "tpm2", false},
    {"exchange", make_tpms, exchange_tpms, "tpm2", false},
    {"remove_state_directory", make_tpms, remove_tpm, "tpm2", false},
};

static void what_has_returned_is_durable_and_what_has_a_name_is_whole(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        run_case(&cases[i], NULL);
    if (counts->broken > 0)
        fail_msg("%u states are wrong, the first: %s", counts->broken, counts->first);
    fprintf(stderr, "# power cuts %u, states %u, of images and state files, broken %u\n",
            counts->cuts, counts->states, counts->broken);
}

static bool is_anything(const char *path, bool directory)
{
    return true;
}

static void without_fsync_each_of_them_breaks(void **state)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        counts->broken = 0;
        run_case(&cases[i], is_anything);
        if (counts->broken == 0)
            fail_msg("%s is durable though nothing was synced", cases[i].name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_returned_is_durable_and_what_has_a_name_is_whole),
        cmocka_unit_test(without_fsync_each_of_them_breaks),
    };

    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    run.images = image_real();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    images_free(run.images);
    return failed;
}
