/* Loaded into vmsnapfs and the test programs: at one in DELAY_ONE_IN of the locks that they take
 * and give back the thread sleeps, for up to DELAY_US microseconds. What only holds because one
 * thread is usually faster than another one then fails. */
#include <dlfcn.h>
#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool wanted;
static unsigned one_in, longest_us;

static unsigned number_of(const char *name)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : 0;
}

/* Shells, libvirtd and QEMU are as fast as ever. */
__attribute__((constructor)) static void begin(void)
{
    const char *program = program_invocation_short_name;

    one_in = number_of("DELAY_ONE_IN");
    longest_us = number_of("DELAY_US");
    wanted = one_in > 0 && longest_us > 0 &&
             (strncmp(program, "vmsnapfs", 8) == 0 || strncmp(program, "test-", 5) == 0);
}

/* xorshift; each thread has its own. */
static unsigned next_random(void)
{
    static __thread unsigned long state;

    if (state == 0) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        state = ((unsigned long)gettid() << 32 ^ (unsigned long)now.tv_nsec) | 1;
    }
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)(state >> 32);
}

static void delay(void)
{
    if (wanted && next_random() % one_in == 0)
        nanosleep(&(struct timespec){.tv_nsec = (long)(next_random() % longest_us) * 1000}, NULL);
}

#undef g_mutex_lock
void g_mutex_lock(GMutex *mutex)
{
    static void (*real)(GMutex *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "g_mutex_lock");
    delay();
    real(mutex);
}

#undef g_mutex_unlock
void g_mutex_unlock(GMutex *mutex)
{
    static void (*real)(GMutex *);

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "g_mutex_unlock");
    real(mutex);
    delay();
}
