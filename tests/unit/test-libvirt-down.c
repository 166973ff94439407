/* A libvirt that is not there, comes, hangs and dies. The libvirtd is our own, in a mount namespace
 * where its usual directories are ours; it needs root, and nothing of the system's libvirt. */
#include "hv/hypervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS 60

static char *root, *uri;
static GPid daemon_pid;

/* --- the daemon --- */

static const char qemu_conf[] = "user = \"root\"\n"
                                "group = \"root\"\n"
                                "cgroup_controllers = [ ]\n"
                                "namespaces = [ ]\n"
                                "security_driver = \"none\"\n"
                                "stdio_handler = \"file\"\n";

static const char libvirtd_conf[] = "unix_sock_group = \"root\"\n"
                                    "auth_unix_rw = \"none\"\n"
                                    "auth_unix_ro = \"none\"\n"
                                    "log_outputs = \"3:file:/var/log/libvirt/libvirtd.log\"\n";

/* Runs its arguments where mounts stay inside, but mounts made outside later are seen. In a plain
 * chroot "/" is no mount point whose propagation could be changed, and a mount over it could be
 * seen outside; so there it goes through a copy of the tree, below a mount of our own. */
static const char apart_script[] = "set -e\n"
                                   "mount --make-rslave / 2> /dev/null && exec \"$@\"\n"
                                   "mount --make-private /proc\n"
                                   "mount --rbind / /proc/fs\n"
                                   "mount --make-rslave /proc/fs\n"
                                   "exec chroot /proc/fs \"$@\"\n";

/* $1: where the directories are. Becomes the daemon, in the foreground. */
static const char daemon_script[] =
    "set -e\n"
    "mkdir -p /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt\n"
    "mount --bind $1/run /run/libvirt\n"
    "mount --bind $1/lib /var/lib/libvirt\n"
    "mount --bind $1/log /var/log/libvirt\n"
    "mount --bind $1/cache /var/cache/libvirt\n"
    "mount --bind $1/etc /etc/libvirt\n"
    "exec libvirtd -f /etc/libvirt/libvirtd.conf -p $1/pid\n";

static void write_file(const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(root, name, NULL);

    assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void start_daemon(void)
{
    const char *argv[] = {
        "unshare", "-m", "--propagation", "unchanged", "sh", "-c", apart_script, "sh",
        "sh",      "-c", daemon_script,   "sh",        root, NULL};
    const GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                              G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL;

    assert_true(g_spawn_async(NULL, (char **)argv, NULL, flags, NULL, NULL, &daemon_pid, NULL));
}

static void kill_daemon(void)
{
    if (!daemon_pid)
        return;
    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, NULL, 0);
    daemon_pid = 0;
}

/* --- what the hypervisor tells --- */

static GMutex lock;
static GCond changed;
static unsigned n_up, n_down;

static void hear(HvEventKind kind, const char *uuid, const char *target, void *data)
{
    g_mutex_lock(&lock);
    if (kind == HV_EVENT_UP)
        n_up++;
    if (kind == HV_EVENT_DOWN)
        n_down++;
    g_cond_broadcast(&changed);
    g_mutex_unlock(&lock);
}

static void assert_reaches(const unsigned *count, unsigned wanted)
{
    gint64 until = g_get_monotonic_time() + SECONDS * G_TIME_SPAN_SECOND;
    bool reached;

    g_mutex_lock(&lock);
    while (!(reached = *count >= wanted) && g_cond_wait_until(&changed, &lock, until))
        ;
    g_mutex_unlock(&lock);
    assert_true(reached);
}

static Hypervisor *open_down(void)
{
    GError *error = NULL;
    Hypervisor *hv = hv_libvirt_open(uri, &error);

    assert_null(error);
    assert_non_null(hv);
    assert_false(hv->ops->is_up(hv));
    n_up = n_down = 0;
    hv->ops->subscribe(hv, hear, NULL);
    return hv;
}

static void assert_down(Hypervisor *hv)
{
    GError *error = NULL;
    GPtrArray *domains = hv->ops->list(hv, &error);

    assert_null(domains);
    assert_true(error_is(error, ERR_HOST_DOWN));
    assert_non_null(strstr(error->message, uri));
    g_error_free(error);
    assert_false(hv->ops->is_up(hv));
}

static void assert_up(Hypervisor *hv)
{
    GError *error = NULL;
    GPtrArray *domains = hv->ops->list(hv, &error);

    if (!domains)
        fail_msg("%s", error->message);
    assert_true(hv->ops->is_up(hv));
    g_ptr_array_unref(domains);
}

/* --- the cases --- */

static void a_libvirt_that_comes_dies_and_comes_again_is_followed(void **state)
{
    Hypervisor *hv = open_down();

    *state = hv;
    assert_down(hv);
    start_daemon();
    assert_reaches(&n_up, 1);
    assert_up(hv);
    kill_daemon();
    assert_reaches(&n_down, 1);
    assert_down(hv);
    start_daemon();
    assert_reaches(&n_up, 2);
    assert_up(hv);
    assert_int_equal(n_down, 1);
}

static void a_libvirt_that_hangs_is_lost_until_it_goes_on(void **state)
{
    Hypervisor *hv = open_down();

    *state = hv;
    start_daemon();
    assert_reaches(&n_up, 1);
    kill(daemon_pid, SIGSTOP);
    assert_reaches(&n_down, 1);
    kill(daemon_pid, SIGCONT);
    assert_reaches(&n_up, 2);
    assert_up(hv);
}

#define ASKERS 8
#define ASKED  150

static gpointer ask_often(gpointer data)
{
    Hypervisor *hv = data;

    for (unsigned i = 0; i < ASKED; i++)
        assert_up(hv);
    return NULL;
}

/* Threads that share a connection crash libvirt 9.0: what one of them was waiting for is found by
 * another when its stack is gone. */
static void many_ask_at_once(void **state)
{
    Hypervisor *hv = open_down();
    GThread *askers[ASKERS];

    *state = hv;
    start_daemon();
    assert_reaches(&n_up, 1);
    for (unsigned i = 0; i < ASKERS; i++)
        askers[i] = g_thread_new("asker", ask_often, hv);
    for (unsigned i = 0; i < ASKERS; i++)
        g_thread_join(askers[i]);
    assert_int_equal(n_down, 0);
}

static int needs_a_daemon(void **state)
{
    g_autofree char *program = g_find_program_in_path("libvirtd");
    g_autofree char *socket = g_build_filename(root, "run", "libvirt-sock", NULL);

    *state = NULL;
    g_unlink(socket); /* that of a killed one */
    return program && geteuid() == 0 ? 0 : -1;
}

static int after_a_daemon(void **state)
{
    hv_free(*state);
    if (daemon_pid)
        kill(daemon_pid, SIGCONT);
    kill_daemon();
    return 0;
}

static void a_uri_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {"", "libvirt", "qemu:///embed", "qemu:///embed?root=here",
                                      "qemu://[/system"};

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        GError *error = NULL;

        assert_null(hv_libvirt_open(bad[i], &error));
        assert_true(error_is(error, ERR_INVALID));
        g_error_free(error);
    }
}

static void only_uris_of_this_machine_are_local(void **state)
{
    static const char *const local[] = {
        "qemu:///system",        "qemu:///session",
        "test:///default",       "qemu:///embed?root=/srv/x",
        "fake:///tmp/host.yaml", "qemu+unix:///system?socket=/run/x"};
    static const char *const remote[] = {"qemu+ssh://root@b/system", "qemu+tls://b/system",
                                         "qemu+tcp://b/system",      "qemu://b/system",
                                         "qemu+libssh2://b/system",  "nonsense"};

    for (size_t i = 0; i < G_N_ELEMENTS(local); i++)
        assert_true(hv_is_local(local[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(remote); i++)
        assert_false(hv_is_local(remote[i]));
}

/* VMs whose snapshots need nothing of that are none the worse for it. */
static void a_libvirt_that_does_not_say_what_it_can_do_can_do_nothing(void **state)
{
    GError *error = NULL;
    Hypervisor *hv = hv_libvirt_open("test:///default", &error);

    *state = hv;
    assert_null(error);
    assert_up(hv);
    g_autoptr(Capabilities) capabilities = hv->ops->capabilities(hv, &error);
    if (!capabilities)
        fail_msg("%s", error->message);
    assert_false(capabilities->uefi || capabilities->secure_boot || capabilities->tpm);
}

static void an_embedded_root_gets_a_configuration(void **state)
{
    g_autofree char *folder = g_build_filename(root, "embedded", "etc", NULL);
    g_autofree char *conf = g_build_filename(folder, "qemu.conf", NULL);
    g_autofree char *embed_uri = g_strdup_printf("qemu:///embed?root=%s/embedded", root);
    g_autofree char *text = NULL;
    GError *error = NULL;
    struct stat info;
    Hypervisor *hv = hv_libvirt_open(embed_uri, &error);

    *state = hv;
    assert_null(error);
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_true(g_file_get_contents(conf, &text, NULL, NULL));
    assert_non_null(strstr(text, "dynamic_ownership = 0\n"));
    assert_up(hv);
}

static int close_hypervisor(void **state)
{
    hv_free(*state);
    return 0;
}

/* --- around them --- */

static int make_root(void **state)
{
    static const char *const folders[] = {"run",      "lib",   "lib/qemu", "log",
                                          "log/qemu", "cache", "etc",      "etc/qemu"};

    root = g_dir_make_tmp("libvirt-down-XXXXXX", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(root, folders[i], NULL);

        if (g_mkdir_with_parents(path, 0755) < 0)
            return -1;
    }
    write_file("etc/qemu.conf", qemu_conf);
    write_file("etc/libvirtd.conf", libvirtd_conf);
    uri = g_strdup_printf("qemu+unix:///system?socket=%s/run/libvirt-sock", root);
    return 0;
}

static int remove_root(void **state)
{
    const char *argv[] = {"rm", "-rf", "--one-file-system", root, NULL};

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
                 NULL);
    g_free(root);
    g_free(uri);
    return 0;
}

#define WITH_DAEMON(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, needs_a_daemon, after_a_daemon)

int main(void)
{
    const struct CMUnitTest cases[] = {
        cmocka_unit_test(a_uri_that_is_none_is_refused),
        cmocka_unit_test(only_uris_of_this_machine_are_local),
        cmocka_unit_test_teardown(a_libvirt_that_does_not_say_what_it_can_do_can_do_nothing,
                                  close_hypervisor),
        cmocka_unit_test_teardown(an_embedded_root_gets_a_configuration, close_hypervisor),
        WITH_DAEMON(a_libvirt_that_comes_dies_and_comes_again_is_followed),
        WITH_DAEMON(a_libvirt_that_hangs_is_lost_until_it_goes_on),
        WITH_DAEMON(many_ask_at_once),
    };

    return cmocka_run_group_tests(cases, make_root, remove_root);
}
