/* image_real() in a directory where somebody else can put symlinks and other names of files that
 * are not his, also right before qemu-img opens what it is to write. */
#include "base/confine.h"
#include "image-tools.h"
#include "image/trust.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define TENANT 4242
#define OTHER  4343

/* base ← top in the directory of the tenant, who owns both, and a canary of somebody else's
 * elsewhere. */
typedef struct {
    Bench *bench;
    const char *base, *top;
    char *canary;
} Scene;

static void give(const char *path, uid_t owner)
{
    assert_int_equal(lchown(path, owner, owner), 0);
}

static Scene *scene_new(void **state)
{
    Scene *scene = g_new0(Scene, 1);
    Bench *bench = *state;

    if (geteuid() != 0) {
        print_message("# other users cannot be taken on here: not root\n");
        skip();
    }
    scene->bench = bench;
    scene->base = bench_path(bench, "base");
    scene->top = bench_path(bench, "top");
    scene->canary = g_build_filename(bench->scratch, "canary", NULL);
    image_make(scene->canary, "raw", 8 * MIB, NULL, NULL);
    image_write(scene->canary, "raw", 0, 0x77);
    image_make(scene->base, "raw", 8 * MIB, NULL, NULL);
    image_make(scene->top, "qcow2", 8 * MIB, scene->base, "raw");
    image_write(scene->top, "qcow2", 0, 0x22);
    give(scene->base, TENANT);
    give(scene->top, TENANT);
    give(bench->directory, TENANT);
    return scene;
}

static bool merge(const Scene *scene, GError **error)
{
    Images *images = scene->bench->images;

    return images->ops->commit(images, scene->top, "qcow2", scene->base, "raw", 0, NULL, NULL,
                               error);
}

static void check_canary(const Scene *scene)
{
    struct stat status;

    assert_int_equal(stat(scene->canary, &status), 0);
    assert_int_equal(status.st_size, 8 * MIB);
    assert_true(image_holds(scene->canary, "raw", 0, 0x77));
}

static void check_refused(const Scene *scene, ErrorCode code, const char *why)
{
    g_autoptr(GError) error = NULL;

    assert_false(merge(scene, &error));
    assert_int_equal(error_code(error), code);
    assert_non_null(strstr(error->message, why));
    check_canary(scene);
}

static void scene_free(Scene *scene)
{
    g_free(scene->canary);
    g_free(scene);
}

static void attack_a_symlink_to_what_is_not_its_makers_is_not_followed(void **state)
{
    Scene *scene = scene_new(state);
    Images *images = scene->bench->images;

    assert_int_equal(unlink(scene->base), 0);
    assert_int_equal(symlink(scene->canary, scene->base), 0);
    give(scene->base, TENANT);
    check_refused(scene, ERR_ACCESS, "symlink");
    ImageFacts *facts = images->ops->inspect(images, scene->base);
    assert_true(facts->exists);
    assert_non_null(facts->error);
    assert_null(facts->probed);
    image_facts_free(facts);
    assert_null(images->ops->lock(images, scene->base, 0, NULL));
    assert_false(images->ops->unlink(images, scene->base, NULL, NULL));
    assert_false(images->ops->create_overlay(images, bench_path(scene->bench, "new"), scene->base,
                                             "raw", 8 * MIB, NULL));
    check_canary(scene);
    scene_free(scene);
}

static void attack_a_symlinked_directory_is_not_followed_either(void **state)
{
    Scene *scene = scene_new(state);
    g_autofree char *aside = g_strconcat(scene->bench->directory, ".aside", NULL);
    g_autofree char *canary_base = g_strconcat(scene->bench->scratch, "/base", NULL);

    assert_int_equal(rename(scene->bench->directory, aside), 0);
    assert_int_equal(symlink(scene->bench->scratch, scene->bench->directory), 0);
    assert_int_equal(rename(scene->canary, canary_base), 0);
    give(scene->bench->directory, TENANT);
    ImageFacts *facts = scene->bench->images->ops->inspect(scene->bench->images, scene->base);
    assert_non_null(facts->error);
    assert_null(facts->probed);
    image_facts_free(facts);
    assert_int_equal(unlink(scene->bench->directory), 0);
    assert_int_equal(rename(aside, scene->bench->directory), 0);
    assert_int_equal(rename(canary_base, scene->canary), 0);
    scene_free(scene);
}

/* Images often stand elsewhere than where they are looked for. */
static void symlinks_of_root_and_of_the_owner_are_followed(void **state)
{
    static const uid_t makers[] = {0, TENANT};
    Scene *scene = scene_new(state);
    g_autofree char *moved = g_strconcat(scene->bench->scratch, "/moved", NULL);

    assert_int_equal(rename(scene->base, moved), 0);
    for (gsize i = 0; i < G_N_ELEMENTS(makers); i++) {
        assert_int_equal(symlink(i ? moved : "../moved", scene->base), 0);
        give(scene->base, makers[i]);
        assert_true(merge(scene, NULL));
        assert_true(image_holds(moved, "raw", 0, 0x22));
        assert_int_equal(unlink(scene->base), 0);
    }
    scene_free(scene);
}

/* As the container managers do whose lists of system calls are older than this one. */
static void forbid_openat2(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = G_N_ELEMENTS(rules), .filter = rules};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        _exit(77);
}

static void images_are_opened_where_openat2_is_forbidden(void **state)
{
    Bench *bench = *state;
    const char *path = bench_path(bench, "base");
    int status = 0;

    image_make(path, "raw", 8 * MIB, NULL, NULL);
    pid_t child = fork();
    if (child == 0) {
        forbid_openat2();
        _exit(trust_open(path, O_RDONLY, NULL) >= 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("# no filter of system calls can be set here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void attack_another_name_of_a_foreign_file_is_not_written(void **state)
{
    Scene *scene = scene_new(state);

    assert_int_equal(unlink(scene->base), 0);
    assert_int_equal(link(scene->canary, scene->base), 0);
    check_refused(scene, ERR_ACCESS, "another name");
    give(scene->canary, OTHER);
    check_refused(scene, ERR_ACCESS, "another name");
    give(scene->bench->directory, 0);
    assert_int_equal(chmod(scene->bench->directory, 0777), 0);
    check_refused(scene, ERR_ACCESS, "another name");
    /* The administrator's own are his business. */
    assert_int_equal(chmod(scene->bench->directory, 0755), 0);
    assert_true(merge(scene, NULL));
    assert_true(image_holds(scene->canary, "raw", 0, 0x22));
    scene_free(scene);
}

static void attack_an_external_data_file_is_not_written(void **state)
{
    Scene *scene = scene_new(state);
    g_autofree char *option = g_strdup_printf("data_file=%s,data_file_raw=off", scene->canary);
    const char *const arguments[] = {"create", "-q",        "-f", "qcow2", "-o",
                                     option,   scene->base, "8M", NULL};
    g_autofree char *saved = g_strconcat(scene->bench->scratch, "/saved", NULL);

    assert_int_equal(rename(scene->canary, saved), 0);
    assert_int_equal(unlink(scene->base), 0);
    assert_int_equal(image_tool(arguments), 0);
    assert_int_equal(rename(saved, scene->canary), 0);
    g_autoptr(GError) error = NULL;
    Images *images = scene->bench->images;
    assert_true(images->ops->repoint(images, scene->top, scene->base, "qcow2", NULL));
    assert_false(images->ops->commit(images, scene->top, "qcow2", scene->base, "qcow2", 0, NULL,
                                     NULL, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    check_canary(scene);
    scene_free(scene);
}

/* ---- variables and vTPM state ---- */

static void check_state_refused(const Scene *scene, const char *path, ErrorCode code)
{
    Images *images = scene->bench->images;
    g_autoptr(GError) error = NULL;
    int watcher = watch(scene->canary);

    assert_null(images->ops->read_state(images, path, &error));
    assert_int_equal(error_code(error), code);
    assert_non_null(strstr(error->message, path));
    assert_null(images->ops->lock(images, path, 0, NULL));
    check_untouched(watcher);
}

static void attack_variables_that_are_another_name_of_a_foreign_file_are_not_read(void **state)
{
    Scene *scene = scene_new(state);
    const char *vars = bench_path(scene->bench, "vars.fd");
    Images *images = scene->bench->images;
    g_autoptr(GError) error = NULL;
    int watcher;

    assert_int_equal(link(scene->canary, vars), 0);
    watcher = watch(scene->canary);
    assert_null(images->ops->read_state(images, vars, &error));
    assert_true(error_is(error, ERR_ACCESS));
    assert_non_null(strstr(error->message, "another name"));
    check_untouched(watcher);
    scene_free(scene);
}

static void attack_variables_behind_a_symlinked_directory_are_not_read(void **state)
{
    Scene *scene = scene_new(state);
    const char *link = bench_path(scene->bench, "nvram");
    g_autofree char *vars = g_build_filename(link, "canary", NULL);

    assert_int_equal(symlink(scene->bench->scratch, link), 0);
    give(link, TENANT);
    check_state_refused(scene, vars, ERR_ACCESS);
    scene_free(scene);
}

/* A device is not even opened: to open it may do something. */
static void attack_variables_that_are_a_device_are_not_opened(void **state)
{
    Scene *scene = scene_new(state);
    const char *vars = bench_path(scene->bench, "vars.fd");
    Images *images = scene->bench->images;
    g_autoptr(GError) error = NULL;

    assert_int_equal(mknod(vars, S_IFCHR | 0600, makedev(1, 5)), 0);
    int watcher = watch(vars);
    assert_null(images->ops->read_state(images, vars, &error));
    assert_true(error_is(error, ERR_UNSUPPORTED));
    check_untouched(watcher);
    scene_free(scene);
}

static void attack_another_name_of_a_foreign_file_is_no_vtpm_state(void **state)
{
    Scene *scene = scene_new(state);
    const char *tpm = bench_path(scene->bench, "tpm2"), *file = bench_path(scene->bench, "tpm2/a");
    Images *images = scene->bench->images;
    g_autoptr(GError) error = NULL;

    assert_int_equal(mkdir(tpm, 0700), 0);
    assert_int_equal(link(scene->canary, file), 0);
    give(tpm, TENANT);
    int watcher = watch(scene->canary);
    assert_null(images->ops->read_state_directory(images, tpm, &error));
    assert_true(error_is(error, ERR_ACCESS));
    assert_non_null(strstr(error->message, file));
    check_untouched(watcher);
    scene_free(scene);
}

/* ---- what changes at the last moment ---- */

/* A qemu-img that waits, and somebody who meanwhile puts a symlink in the place of a file. */
typedef struct {
    const Scene *scene;
    char *path_before, *pipe;
    GThread *thief;
    const char *victim; /* NULL: the temporary name of an overlay */
} Theft;

static char *find_victim(const Theft *theft)
{
    g_autoptr(GDir) directory = g_dir_open(theft->scene->bench->directory, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(directory)))
        if (g_str_has_prefix(name, ".vmsnapfs-"))
            return g_build_filename(theft->scene->bench->directory, name, NULL);
    return NULL;
}

/* The end of the pipe can be opened when qemu-img has the other one. */
static gpointer steal(gpointer data)
{
    const Theft *theft = data;
    int go = open(theft->pipe, O_WRONLY | O_CLOEXEC);
    g_autofree char *victim = theft->victim ? g_strdup(theft->victim) : find_victim(theft);

    if (victim && unlink(victim) == 0 && symlink(theft->scene->canary, victim) == 0)
        (void)!write(go, "\n", 1);
    close(go);
    return NULL;
}

static void theft_begin(Theft *theft)
{
    g_autofree char *program = g_build_filename(theft->scene->bench->scratch, "qemu-img", NULL);
    g_autofree char *real = g_find_program_in_path("qemu-img");
    g_autofree char *script = NULL;
    g_autofree char *path = NULL;

    theft->pipe = g_build_filename(theft->scene->bench->scratch, "pipe", NULL);
    theft->path_before = g_strdup(g_getenv("PATH"));
    script = g_strdup_printf("#!/bin/sh\nread go < '%s' || exit 99\nexec %s \"$@\"\n", theft->pipe,
                             real);
    path = g_strconcat(theft->scene->bench->scratch, ":", theft->path_before, NULL);
    assert_int_equal(mkfifo(theft->pipe, 0600), 0);
    assert_true(g_file_set_contents(program, script, -1, NULL));
    assert_int_equal(chmod(program, 0755), 0);
    g_setenv("PATH", path, TRUE);
    theft->thief = g_thread_new("thief", steal, theft);
}

static void theft_end(Theft *theft)
{
    g_thread_join(theft->thief);
    g_setenv("PATH", theft->path_before, TRUE);
    g_free(theft->path_before);
    g_free(theft->pipe);
}

static void need_landlock(void)
{
    const int nothing[] = {-1};
    int rules = confine_new(nothing, NULL);

    if (rules < 0) {
        print_message("# this kernel has no Landlock\n");
        skip();
    }
    close(rules);
}

static void attack_what_takes_the_place_of_a_new_overlay_is_not_written(void **state)
{
    need_landlock();
    Scene *scene = scene_new(state);
    Images *images = scene->bench->images;
    const char *path = bench_path(scene->bench, "new");
    g_autoptr(GError) error = NULL;
    Theft theft = {.scene = scene};

    theft_begin(&theft);
    assert_false(images->ops->create_overlay(images, path, scene->base, "raw", 8 * MIB, &error));
    theft_end(&theft);
    assert_non_null(strstr(error->message, "Permission denied"));
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    check_canary(scene);
    scene_free(scene);
}

static void attack_what_takes_the_place_of_a_base_is_not_written(void **state)
{
    need_landlock();
    Scene *scene = scene_new(state);
    g_autoptr(GError) error = NULL;
    Theft theft = {.scene = scene, .victim = scene->base};

    theft_begin(&theft);
    assert_false(merge(scene, &error));
    theft_end(&theft);
    assert_non_null(strstr(error->message, "Permission denied"));
    check_canary(scene);
    scene_free(scene);
}

static void attack_what_takes_the_place_of_an_image_to_be_repointed_is_not_written(void **state)
{
    need_landlock();
    Scene *scene = scene_new(state);
    Images *images = scene->bench->images;
    const char *other = bench_path(scene->bench, "other");
    Theft theft = {.scene = scene, .victim = scene->top};

    image_make(scene->canary, "qcow2", 8 * MIB, scene->base, "raw");
    image_make(other, "raw", 8 * MIB, NULL, NULL);
    theft_begin(&theft);
    assert_false(images->ops->repoint(images, scene->top, other, "raw", NULL));
    theft_end(&theft);
    ImageFacts *facts = images->ops->inspect(images, scene->canary);
    assert_string_equal(facts->backing, scene->base);
    image_facts_free(facts);
    scene_free(scene);
}

#define ON_BENCH(test) cmocka_unit_test_setup_teardown(test, bench_start, bench_stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BENCH(attack_a_symlink_to_what_is_not_its_makers_is_not_followed),
        ON_BENCH(attack_a_symlinked_directory_is_not_followed_either),
        ON_BENCH(symlinks_of_root_and_of_the_owner_are_followed),
        ON_BENCH(images_are_opened_where_openat2_is_forbidden),
        ON_BENCH(attack_another_name_of_a_foreign_file_is_not_written),
        ON_BENCH(attack_an_external_data_file_is_not_written),
        ON_BENCH(attack_variables_that_are_another_name_of_a_foreign_file_are_not_read),
        ON_BENCH(attack_variables_behind_a_symlinked_directory_are_not_read),
        ON_BENCH(attack_variables_that_are_a_device_are_not_opened),
        ON_BENCH(attack_another_name_of_a_foreign_file_is_no_vtpm_state),
        ON_BENCH(attack_what_takes_the_place_of_a_new_overlay_is_not_written),
        ON_BENCH(attack_what_takes_the_place_of_a_base_is_not_written),
        ON_BENCH(attack_what_takes_the_place_of_an_image_to_be_repointed_is_not_written),
    };

    return cmocka_run_group_tests_name("image-attack", tests, NULL, NULL);
}
