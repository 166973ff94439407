/* Loaded into the daemon of the memory part: writes down what its heap holds, in KiB, ten times a
 * second, to the file that HEAP names. The resident size says less: what the allocator has been
 * given it keeps, in pieces that do not fit everything. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *watch(void *data)
{
    for (;;) {
        struct mallinfo2 info = mallinfo2();

        fprintf(data, "%zu\n", (info.uordblks + info.hblkhd) / 1024);
        fflush(data);
        usleep(100 * 1000);
    }
    return NULL;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("HEAP");
    FILE *file = path ? fopen(path, "ae") : NULL;
    pthread_t thread;

    unsetenv("LD_PRELOAD"); /* of those that it starts */
    if (file && pthread_create(&thread, NULL, watch, file) == 0)
        pthread_detach(thread);
}
