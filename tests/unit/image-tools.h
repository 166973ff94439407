/* Real images for tests of image/: made and looked at with qemu-img and qemu-io, held open by real
 * QEMU. */
#pragma once

#include "base/subprocess.h"
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define MIB (UINT64_C(1024) * 1024)

/* A scratch directory under a name that means something to shells, QEMU and XML. */
typedef struct {
    char *directory; /* where the images are */
    char *scratch;   /* what is removed at the end */
    Images *images;
} Bench;

int bench_start(void **state);
int bench_stop(void **state);
/* A path in the bench's directory; the bench frees it. */
const char *bench_path(Bench *bench, const char *name);

/* Make an image of @capacity; @backing NULL for none. */
void image_make(const char *path, const char *format, uint64_t capacity, const char *backing,
                const char *backing_format);
/* Write @pattern to the @mib-th MiB, as a guest would. */
void image_write(const char *path, const char *format, unsigned mib, unsigned pattern);
/* Does the @mib-th MiB, through the backing chain, hold @pattern and nothing else? */
bool image_holds(const char *path, const char *format, unsigned mib, unsigned pattern);
/* Run qemu-img with @arguments; its exit status. */
int image_tool(const char *const *arguments);
void image_check_sound(const char *path);

/* A program that has @path open for writing: qemu-io, or a whole (stopped) VM. Returns when it
 * holds QEMU's lock. */
typedef struct {
    GPid pid;
    int input;
} Holder;
Holder *holder_start_io(const char *path, const char *format);
Holder *holder_start_vm(const char *path, const char *format);
/* Also for a backing file of it: QEMU opens the top first. */
void holder_wait_for(const Holder *holder, const char *path);
void holder_end(Holder *holder);
