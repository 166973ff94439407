/* vmsnapfs: parse, start the engine, mount, serve, end.
 *
 * Order at the start: what can be wrong with the command line is found in the terminal; then fork,
 * since no thread may be there yet; then the engine, which lists every VM; then the mount. The
 * parent returns when the kernel has said hello.
 *
 * Order at the end: the engine answers all that is pending and the waiting readers get EINTR while
 * the session still serves; then the notifier ends (a notification of its may wait for one of those
 * answers); then the tree is unmounted, and who was on the way in is answered; then the session. If
 * that takes too long, it ends without what hangs (fs/ending.h). */
#include "base/walk.h"
#include "fs/act.h"
#include "fs/blocking.h"
#include "fs/configuration.h"
#include "fs/covered.h"
#include "fs/daemon.h"
#include "fs/device.h"
#include "fs/ending.h"
#include "fs/followers.h"
#include "fs/notify.h"
#include "fs/opens.h"
#include "fs/options.h"
#include "fs/session.h"
#include "fs/space.h"
#include "fs/stamps.h"
#include "fs/sweep.h"
#include "fs/templinks.h"

#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* mount(8) calls us without one, and libvirt's driver and we look for QEMU's programs. */
#define STANDARD_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* How long who is in a system call at the end is waited for. */
#define LEAVING G_TIME_SPAN_SECOND

typedef struct {
    Face face;
    const Options *options;
    pthread_t loop;
    gint looping;
    bool unmounted;
} Program;

/* ---- the face and its parts ---- */

static void served(void *data)
{
    daemon_ready();
}

static void face_start(Face *face, Engine *engine, const Options *options)
{
    face->engine = engine;
    face->owner = geteuid();
    face->group = (gint)options->group;
    face->sync = options->sync;
    face->read_only = options->read_only;
    face->served = served;
    face->inodes = inodes_new();
    face->sweep = sweep_new();
    face->links = templinks_new();
    face->stamps = stamps_new();
    face->blocking = blocking_new(face);
    face->notifier = notifier_new(face);
    face->actions = actions_new(face);
    face->space = space_new(face);
    face->opens = opens_new();
    face->followers = followers_new();
}

static void face_stop(Face *face)
{
    ending_begin(face);
    engine_stop(face->engine);
    ending_engine_stopped();
    blocking_stop(face->blocking);
    notifier_stop(face->notifier);
}

static void face_clear(Face *face)
{
    opens_free(face->opens, face);
    followers_free(face->followers);
    space_free(face->space);
    actions_free(face->actions);
    notifier_free(face->notifier);
    blocking_free(face->blocking);
    stamps_free(face->stamps);
    templinks_free(face->links);
    sweep_free(face->sweep);
    inodes_free(face->inodes);
}

/* ---- serving ---- */

/* A system call is begun before its request gets here: it looks its path up first. Nobody enters
 * any more, and whoever was about to ask is answered still; when the last one has left the kernel
 * ends the loop. Who only stands in the tree stays, and is not waited for much. */
static void show_out(Program *program)
{
    int64_t deadline = g_get_monotonic_time() + LEAVING;

    program->unmounted = umount2(program->options->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
    while (program->unmounted && g_atomic_int_get(&program->looping) &&
           g_get_monotonic_time() < deadline)
        g_usleep(10 * G_TIME_SPAN_MILLISECOND);
}

/* libfuse's loop sleeps until a signal wakes its thread and it sees that the session is to end; a
 * signal that comes too early is lost, hence more than one. */
static void end_loop(Program *program)
{
    fuse_session_exit(program->face.session);
    while (g_atomic_int_get(&program->looping)) {
        pthread_kill(program->loop, SIGUSR1);
        g_usleep(20 * G_TIME_SPAN_MILLISECOND);
    }
}

static void *obey_signals(void *data)
{
    Program *program = data;
    Signal signal;

    while ((signal = signals_wait()) == SIGNAL_RELOAD) {
        daemon_tell("RELOADING=1");
        configuration_reload(&program->face, program->options);
        daemon_tell("READY=1");
    }
    if (signal == SIGNAL_END) {
        daemon_tell("STOPPING=1");
        face_stop(&program->face);
        show_out(program);
        end_loop(program);
    }
    return NULL;
}

static int serve(Program *program)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();

    fuse_loop_cfg_set_clone_fd(config, 1);
    program->loop = pthread_self();
    g_atomic_int_set(&program->looping, 1);
    GThread *obeyer = g_thread_new("signals", obey_signals, program);
    int result = fuse_session_loop_mt(program->face.session, config);
    g_atomic_int_set(&program->looping, 0);
    signals_cancel();
    g_thread_join(obeyer);
    face_stop(&program->face);
    fuse_loop_cfg_destroy(config);
    return result < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int fail(const GError *error)
{
    fprintf(stderr, "vmsnapfs: %s\n", error->message);
    return EXIT_FAILURE;
}

static int mount_and_serve(Program *program, Engine *engine, const char *mountpoint)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(HostView) view = engine_view(engine);

    if (!covered_check(view, mountpoint, &error)) {
        face_stop(&program->face);
        return fail(error);
    }
    walk_keep_out(mountpoint);
    if (fuse_session_mount(program->face.session, mountpoint) != 0 ||
        !device_take(program->face.session)) {
        fprintf(stderr, "vmsnapfs: cannot mount on \"%s\"\n", mountpoint);
        face_stop(&program->face);
        fuse_session_unmount(program->face.session);
        return EXIT_FAILURE;
    }
    notifier_changed(program->face.notifier);
    int result = serve(program);
    if (program->unmounted)
        device_let_go(program->face.session);
    else
        fuse_session_unmount(program->face.session);
    return result;
}

/* All that needs threads: in the daemon. */
static int run(Engine *engine, struct fuse_session *session, Program *program,
               const Options *options)
{
    g_autoptr(GError) error = NULL;

    program->face.session = session;
    program->options = options;
    engine_configure(engine, options->config, "");
    face_start(&program->face, engine, options);
    engine_subscribe(engine, session_changed, &program->face);
    int result = engine_start(engine, &error)
                     ? mount_and_serve(program, engine, options->mountpoint)
                     : fail(error);
    face_clear(&program->face);
    return result;
}

static int start(Options *options)
{
    Program program = {0};
    g_autoptr(GError) error = NULL;
    g_autoptr(Engine) engine = engine_new(options->uri, &error);

    if (!engine || !signals_install(&error))
        return fail(error);
    struct fuse_session *session = fuse_session_new(
        &options->fuse, session_operations(), sizeof(struct fuse_lowlevel_ops), &program.face);
    if (!session)
        return EXIT_FAILURE; /* libfuse said why */
    if (!options->foreground && !daemon_fork(&error))
        return fail(error);
    if (!engine_guard(engine, &error))
        return fail(error);
    int result = run(engine, session, &program, options);
    fuse_session_destroy(session);
    return result;
}

/* ---- the other things it can do ---- */

static void print_tree(void)
{
    unsigned count;
    const Node *nodes = nodes_all(&count);

    for (unsigned i = 1; i < count; i++) {
        char type = S_ISDIR(nodes[i].mode) ? 'd' : S_ISLNK(nodes[i].mode) ? 'l' : '-';
        printf("%c %04o %s\n", type, (unsigned)(nodes[i].mode & 07777), nodes[i].pattern);
    }
}

int main(int argc, char **argv)
{
    g_auto(Options) options = {0};
    g_autoptr(GError) error = NULL;

    setlocale(LC_CTYPE, "");
    g_setenv("PATH", STANDARD_PATH, FALSE);
    daemon_log_setup();
    if (!options_parse(&options, argc, argv, &error))
        return fail(error);
    if (options.help)
        options_print_help();
    else if (options.version)
        printf("vmsnapfs %s, FUSE library %s\n", VERSION, fuse_pkgversion());
    else if (options.print_tree)
        print_tree();
    else if (!options.fake)
        return start(&options);
    return EXIT_SUCCESS;
}
