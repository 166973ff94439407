/* Paths that lead, or seem to lead, into the tree that a daemon serves: here a directory that is
 * taken for one. */
#include "base/error.h"
#include "base/fd.h"
#include "base/walk.h"
#include "image/image.h"
#include "scratch.h"
#include "store/store.h"
#include "watch.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define TENANT 4242

/* scratch/tree is the mount point, with tree/vm/disk in it; scratch/images/disk is none of it. */
static char *scratch;

static char *at(const char *path)
{
    return *path == '/' ? g_strdup(path) : g_build_filename(scratch, path, NULL);
}

static void make_directory(const char *path)
{
    g_autofree char *full = at(path);

    assert_int_equal(g_mkdir_with_parents(full, 0755), 0);
}

static void make_file(const char *path)
{
    g_autofree char *full = at(path);

    assert_true(g_file_set_contents(full, "raw", 3, NULL));
}

static void make_link(const char *target, const char *path)
{
    g_autofree char *full = at(path);

    assert_int_equal(symlink(target, full), 0);
}

static int set_up(void **state)
{
    scratch = g_dir_make_tmp("vmsnapfs-walk-XXXXXX", NULL);
    g_autofree char *tree = at("tree"), *disk = at("tree/vm/disk"), *image = at("images/disk");

    make_directory("tree/vm");
    make_directory("treeless/vm");
    make_directory("images/deep/er");
    make_directory("images/tree");
    make_file("tree/vm/disk");
    make_file("treeless/vm/disk");
    make_file("images/disk");
    make_file("images/tree/disk");
    make_link(disk, "images/absolute");
    make_link("../tree/vm/disk", "images/relative");
    make_link("../images/relative", "images/again");
    make_link(tree, "images/point");
    make_link("../../tree", "images/deep/tree");
    make_link(image, "images/good");
    make_link("../good", "images/deep/good");
    make_link("deep/er", "images/down");
    make_link("loop", "images/loop");
    make_link("../tree/none", "images/dangling");
    walk_keep_out(tree);
    return 0;
}

static int tear_down(void **state)
{
    remove_tree(scratch);
    g_free(scratch);
    return 0;
}

/* ---- paths ---- */

static const char *const inside[] = {
    "tree",
    "tree/",
    "tree/vm/disk",
    "tree/none/at/all",
    ".//tree/./vm",
    "images/../tree/vm/disk",
    "images/absolute",
    "images/relative",
    "images/again",
    "images/point",
    "images/point/vm/disk",
    "images/deep/tree/vm",
    "images/down/../tree/vm",
    "images/down/../../point/..",
    "tree/../images/disk",
    "images/dangling",
};

static const char *const outside[] = {
    "images",
    "images/disk",
    "treeless/vm/disk",
    "images/good",
    "images/deep/good",
    "images/down",
    "images/down/../good",
    "images/down/../../tree/disk",
    "/",
    "/..",
    "//",
};

static void what_leads_into_the_tree_is_not_entered(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(inside); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", scratch, inside[i]);
        g_autofree char *doubled = g_strconcat("/", path, NULL);
        g_autoptr(GError) error = NULL;

        assert_int_equal(walk_open(path, NULL), -1);
        assert_int_equal(errno, IN_OWN_TREE);
        assert_true(walk_is_own(doubled));
        assert_false(walk_check(path, &error));
        assert_true(error_is(error, ERR_UNSUPPORTED));
        assert_non_null(strstr(error->message, inside[i]));
        assert_non_null(strstr(error->message, "has mounted"));
    }
}

static void what_leads_elsewhere_is_what_the_kernel_finds(void **state)
{
    for (guint i = 0; i < G_N_ELEMENTS(outside); i++) {
        g_autofree char *path = at(outside[i]);
        g_auto(Descriptor) fd = walk_open(path, NULL);
        struct stat ours, kernels;

        assert_true(fd >= 0 && fstat(fd, &ours) == 0 && stat(path, &kernels) == 0);
        assert_true(ours.st_dev == kernels.st_dev && ours.st_ino == kernels.st_ino);
        assert_true(walk_check(path, NULL));
    }
}

static void check_errno(const char *path, int err)
{
    g_autofree char *full = at(path);

    assert_int_equal(walk_open(full, NULL), -1);
    assert_int_equal(errno, err);
    assert_true(walk_check(full, NULL));
}

static void what_is_not_there_is_said(void **state)
{
    check_errno("images/none", ENOENT);
    check_errno("images/none/../disk", ENOENT);
    check_errno("images/disk/none", ENOTDIR);
    check_errno("images/loop", ELOOP);
}

static void who_made_the_links_is_told(void **state)
{
    g_autofree char *path = at("images/deep/good"), *link = at("images/good");
    g_autoptr(GArray) makers = g_array_new(FALSE, FALSE, sizeof(uid_t));
    uid_t tenant = geteuid() == 0 ? TENANT : geteuid();

    assert_int_equal(lchown(link, tenant, (gid_t)-1), 0);
    g_auto(Descriptor) fd = walk_open(path, makers);
    assert_true(fd >= 0);
    assert_int_equal(makers->len, 2);
    assert_int_equal(g_array_index(makers, uid_t, 0), geteuid());
    assert_int_equal(g_array_index(makers, uid_t, 1), tenant);
}

/* ---- what uses them ---- */

static void check_image(Images *images, const char *path)
{
    ImageIdentity identity;
    FreeSpace space;
    ImageFacts *facts = images->ops->inspect(images, path);
    g_autoptr(GPtrArray) names = images->ops->list(images, path, NULL);
    g_autoptr(GError) error = NULL;

    assert_true(facts->exists);
    assert_non_null(strstr(facts->error, "has mounted"));
    image_facts_free(facts);
    assert_false(images->ops->identify(images, path, &identity));
    assert_null(images->ops->lock(images, path, 0, NULL));
    assert_false(images->ops->free_space(images, path, &space, NULL));
    assert_int_equal(names->len, 0);
    assert_null(images->ops->read_state(images, path, &error));
    assert_non_null(strstr(error->message, "has mounted"));
}

static void attack_images_in_the_own_tree_are_not_looked_at(void **state)
{
    g_autoptr(Images) images = image_real();
    g_autofree char *disk = at("tree/vm/disk");
    int watcher = watch(disk);

    for (guint i = 0; i < G_N_ELEMENTS(inside); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", scratch, inside[i]);

        check_image(images, path);
    }
    check_untouched(watcher);
}

static void attack_no_variables_are_put_behind_symlinks_of_others(void **state)
{
    g_autoptr(Images) images = image_real();
    g_autoptr(GBytes) content = g_bytes_new_static("x", 1);
    g_autofree char *link = at("images/planted"), *path = at("images/planted/new.fd");
    g_autofree char *made = at("treeless/new.fd"), *mine = at("images/down/new.fd");
    g_autoptr(GError) error = NULL;

    if (geteuid() != 0) {
        print_message("# other users cannot be taken on here: not root\n");
        skip();
    }
    make_link("../treeless", "images/planted");
    assert_int_equal(lchown(link, TENANT, TENANT), 0);
    assert_false(images->ops->write_state(images, path, content, NULL, false, &error));
    assert_true(error_is(error, ERR_ACCESS));
    assert_non_null(strstr(error->message, "behind a symlink"));
    assert_false(g_file_test(made, G_FILE_TEST_EXISTS));
    assert_true(images->ops->write_state(images, mine, content, NULL, false, NULL));
}

static void attack_no_catalog_is_looked_for_in_the_own_tree(void **state)
{
    g_autoptr(Files) files = files_real();
    g_autofree char *home = at("images/deep/tree/vm"),
                    *inner = g_strconcat(home, "/.vmsnapfs/x", NULL);
    g_autofree char *made = at("tree/vm/.vmsnapfs");
    g_autoptr(GError) error = NULL;

    assert_false(files->ops->make_directory(files, inner, &error));
    assert_non_null(strstr(error->message, "has mounted"));
    assert_false(g_file_test(made, G_FILE_TEST_EXISTS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_leads_into_the_tree_is_not_entered),
        cmocka_unit_test(what_leads_elsewhere_is_what_the_kernel_finds),
        cmocka_unit_test(what_is_not_there_is_said),
        cmocka_unit_test(who_made_the_links_is_told),
        cmocka_unit_test(attack_images_in_the_own_tree_are_not_looked_at),
        cmocka_unit_test(attack_no_variables_are_put_behind_symlinks_of_others),
        cmocka_unit_test(attack_no_catalog_is_looked_for_in_the_own_tree),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
