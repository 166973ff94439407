#include "fs/ending.h"

#include "fs/blocking.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A libvirt that hangs is known to be lost after 20 s, and then all ends in order. A service
 * manager waits for 90 s, if it is not told otherwise. */
#define ENDING_SECONDS 45
#define SPEECH_SECONDS 6

static GMutex lock;
static Face *working; /* its engine has not stopped; lock */
static struct {
    GMutex lock;
    GCond changed;
    bool over;
} speech;

/* A thread that is caught in the kernel keeps what the process has open, and so the tree would hang
 * for whoever stands in it. Replaced and not closed: the number shall be no other file's. */
static void let_go_of_the_kernel(void)
{
    g_autoptr(GDir) descriptors = g_dir_open("/proc/self/fd", 0, NULL);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    const char *name;

    while (descriptors && null >= 0 && (name = g_dir_read_name(descriptors))) {
        g_autofree char *path = g_build_filename("/proc/self/fd", name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);

        if (g_strcmp0(target, "/dev/fuse") == 0)
            dup3(null, atoi(name), O_CLOEXEC);
    }
}

/* Whoever waits is answered, and the log told; @data: what works still, or NULL. */
static void *speak(void *data)
{
    Face *face = data;

    if (face) {
        g_autofree char *names = engine_give_up(face->engine);

        blocking_stop(face->blocking);
        g_warning(
            "libvirt or the storage has not answered for %u s, and vmsnapfs ends without them; "
            "what is under way (VMs: %s) is brought to its end or undone when it is started again",
            ENDING_SECONDS, *names ? names : "none");
    } else {
        g_warning("libvirt or the storage does not let vmsnapfs end, which had nothing more to do; "
                  "it ends without them");
    }
    g_mutex_lock(&speech.lock);
    speech.over = true;
    g_cond_signal(&speech.changed);
    g_mutex_unlock(&speech.lock);
    return NULL;
}

/* Where the log is a pipe that nobody reads, it never comes to its end. */
static void last_words(Face *face)
{
    int64_t deadline = g_get_monotonic_time() + SPEECH_SECONDS * G_TIME_SPAN_SECOND;

    g_thread_unref(g_thread_new("last-words", speak, face));
    g_mutex_lock(&speech.lock);
    while (!speech.over && g_cond_wait_until(&speech.changed, &speech.lock, deadline))
        ;
    g_mutex_unlock(&speech.lock);
}

static void *end_in_time(void *unused)
{
    g_usleep(ENDING_SECONDS * G_USEC_PER_SEC);
    g_mutex_lock(&lock);
    last_words(working);
    if (working) {
        fuse_session_unmount(working->session);
        let_go_of_the_kernel();
    }
    _exit(EXIT_FAILURE);
}

void ending_begin(Face *face)
{
    static gsize begun;

    if (!g_once_init_enter(&begun))
        return;
    g_mutex_lock(&lock);
    working = face;
    g_mutex_unlock(&lock);
    g_thread_unref(g_thread_new("ending", end_in_time, NULL));
    g_once_init_leave(&begun, 1);
}

void ending_engine_stopped(void)
{
    g_mutex_lock(&lock);
    working = NULL;
    g_mutex_unlock(&lock);
}
