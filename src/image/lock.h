/* QEMU's image lock, taken by us so that no QEMU can open the file (design 3, rule 8).
 *
 * QEMU marks what it does with an image by shared locks on single bytes of it: 100 + n for a
 * permission in use, 200 + n for one that it does not share, and looks at the bytes of others. A
 * write lock on all of 100…299 is refused while any QEMU has the image open for real, and makes
 * every later one fail. Readers that ask for no lock (qemu-img -U) still ask for a byte, so they
 * are kept out too. These are open file description locks: they end with the last descriptor, so
 * with the process. */
#pragma once

#include "image/image.h"

/* ImageOps.lock, .unlock. A symlink is followed: the lock is on the file that QEMU would open. */
ImageLock *lock_take(const char *path, unsigned wait_ms, GError **error);
/* Does a QEMU have the file that @fd is open on for writing? False also where locks do not work. */
bool lock_is_written(int fd);
void lock_release(ImageLock *lock);
/* Is @path (itself, not a file it links to) the file that @lock is on? */
bool lock_is_on(const ImageLock *lock, const char *path);
