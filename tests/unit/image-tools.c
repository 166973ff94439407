#include "image-tools.h"

#include "scratch.h"

#include <fcntl.h>
#include <inttypes.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_S 60

static GPtrArray *paths;

int bench_start(void **state)
{
    Bench *bench = g_new0(Bench, 1);

    bench->scratch = g_dir_make_tmp("vmsnapfs-image-XXXXXX", NULL);
    bench->directory = g_strconcat(bench->scratch, "/-a \"b\" 'c', d:e %41 & <f>\n$(g)", NULL);
    assert_int_equal(g_mkdir(bench->directory, 0755), 0);
    bench->images = image_real();
    paths = g_ptr_array_new_with_free_func(g_free);
    *state = bench;
    return 0;
}

int bench_stop(void **state)
{
    Bench *bench = *state;

    images_free(bench->images);
    remove_tree(bench->scratch);
    g_free(bench->directory);
    g_free(bench->scratch);
    g_free(bench);
    g_clear_pointer(&paths, g_ptr_array_unref);
    return 0;
}

const char *bench_path(Bench *bench, const char *name)
{
    char *path = g_build_filename(bench->directory, name, NULL);

    g_ptr_array_add(paths, path);
    return path;
}

static int run(const char *program, const char *const *arguments, char **out_text)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    g_autoptr(SubprocessResult) result = NULL;

    g_ptr_array_add(argv, (char *)program);
    while (*arguments)
        g_ptr_array_add(argv, (char *)*arguments++);
    g_ptr_array_add(argv, NULL);
    result = subprocess_run((const char *const *)argv->pdata, NULL, NULL, NULL, NULL);
    assert_non_null(result);
    if (result->status)
        print_message("# %s %s: %s%s", program, *(char **)&argv->pdata[1], result->out,
                      result->err);
    if (out_text)
        *out_text = g_steal_pointer(&result->out);
    return result->status;
}

int image_tool(const char *const *arguments)
{
    return run("qemu-img", arguments, NULL);
}

void image_make(const char *path, const char *format, uint64_t capacity, const char *backing,
                const char *backing_format)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    g_autofree char *size = g_strdup_printf("%" PRIu64, capacity);
    const char *plain[] = {"create", "-q", "-f", format, "--", file, size, NULL};
    const char *overlay[] = {"create", "-q",           "-u", "-f", format, "-b", backing,
                             "-F",     backing_format, "--", file, size,   NULL};

    assert_int_equal(image_tool(backing ? overlay : plain), 0);
}

void image_write(const char *path, const char *format, unsigned mib, unsigned pattern)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    g_autofree char *command = g_strdup_printf("write -P %u %uM 1M", pattern, mib);
    const char *arguments[] = {"-f", format, "-c", command, "--", file, NULL};

    assert_int_equal(run("qemu-io", arguments, NULL), 0);
}

bool image_holds(const char *path, const char *format, unsigned mib, unsigned pattern)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    g_autofree char *command = g_strdup_printf("read -P %u %uM 1M", pattern, mib);
    const char *arguments[] = {"-r", "-f", format, "-c", command, "--", file, NULL};
    g_autofree char *text = NULL;

    return run("qemu-io", arguments, &text) == 0 && !strstr(text, "verification failed");
}

void image_check_sound(const char *path)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    const char *arguments[] = {"check", "-q", "-f", "qcow2", "--", file, NULL};

    assert_int_equal(image_tool(arguments), 0);
}

/* Does anybody hold QEMU's lock bytes? Asked without taking them. */
static bool is_held(const char *path)
{
    struct flock bytes = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 200};
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool held = fd >= 0 && fcntl(fd, F_OFD_GETLK, &bytes) == 0 && bytes.l_type != F_UNLCK;

    assert_true(fd >= 0);
    close(fd);
    return held;
}

void holder_wait_for(const Holder *holder, const char *path)
{
    gint64 deadline = g_get_monotonic_time() + PATIENCE_S * G_USEC_PER_SEC;

    while (!is_held(path)) {
        assert_true(g_get_monotonic_time() < deadline);
        assert_int_equal(waitpid(holder->pid, NULL, WNOHANG), 0);
        g_usleep(5000);
    }
}

static Holder *holder_start(const char *const *argv, const char *path)
{
    Holder *holder = g_new0(Holder, 1);

    assert_true(g_spawn_async_with_pipes(
        NULL, (char **)argv, NULL,
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL, NULL,
        &holder->pid, &holder->input, NULL, NULL, NULL));
    holder_wait_for(holder, path);
    return holder;
}

Holder *holder_start_io(const char *path, const char *format)
{
    g_autofree char *file = g_strconcat("file:", path, NULL);
    const char *argv[] = {"qemu-io", "-f", format, "--", file, NULL};

    return holder_start(argv, path);
}

Holder *holder_start_vm(const char *path, const char *format)
{
    g_autofree char *quoted = g_strescape(path, "");
    g_autofree char *node = g_strdup_printf("{\"driver\":\"%s\",\"node-name\":\"d\",\"file\":"
                                            "{\"driver\":\"file\",\"filename\":\"%s\"}}",
                                            format, quoted);
    const char *argv[] = {"qemu-system-x86_64",
                          "-S",
                          "-nodefaults",
                          "-machine",
                          "q35,accel=tcg",
                          "-display",
                          "none",
                          "-blockdev",
                          node,
                          "-device",
                          "virtio-blk-pci,drive=d",
                          NULL};

    return holder_start(argv, path);
}

void holder_end(Holder *holder)
{
    kill(holder->pid, SIGKILL);
    assert_int_equal(waitpid(holder->pid, NULL, 0), holder->pid);
    close(holder->input);
    g_free(holder);
}
