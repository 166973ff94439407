/* Effects on image files. One table of functions, all required; image_real() is qemu-img and QEMU's
 * own locks, the fake is image_fake() on a simulated host, image_faulty() decorates either.
 *
 * Paths are absolute. Formats are always given, never probed (rule 12). Calls block; they are made
 * from worker threads only. Every error is of our domain and names the file. */
#pragma once

#include "base/error.h"
#include "model/vars.h"
#include "plan/planner.h"

typedef struct Images Images;
typedef struct ImageLock ImageLock;

/* Which file it is. */
typedef struct {
    uint64_t device, inode;
    int64_t changed; /* another number after a change (its ctime); 0: it may change again and keep
                        its number */
} ImageIdentity;

/* Called now and then from the working thread; @total is 0 while unknown. Returns false to stop the
 * work. */
typedef bool (*ImageProgress)(uint64_t done, uint64_t total, void *data);

typedef struct {
    /* What the file's header says; own reader, bounded, never follows backing files. exists=false
     * if there is no file (no error). A header that cannot be read sets facts->error. Never fails.
     */
    ImageFacts *(*inspect)(Images *images, const char *path);

    /* Which regular file @path is, links followed. False: none, or it cannot be looked at. */
    bool (*identify)(Images *images, const char *path, ImageIdentity *out_identity);
    /* The paths of what is in @directory (not below it), directories too, of char *; yours. An
     * absent one is empty. */
    GPtrArray *(*list)(Images *images, const char *directory, GError **error);

    /* Make @path, a qcow2 overlay of @capacity bytes on @backing (@backing_format): through a
     * temporary name beside it and link(2), so it is whole or absent; owner, group, mode and label
     * of @backing, never wider; fsynced with its directory; header read back. ERR_EXISTS if @path
     * is there. The backing file may be in use by a running VM (no lock is taken). */
    bool (*create_overlay)(Images *images, const char *path, const char *backing,
                           const char *backing_format, uint64_t capacity, GError **error);

    /* qemu-img commit -d: write @top, and the qcow2 images between the two, down into @base (which
     * must be in its chain), at @bandwidth bytes/s at most (0: no limit); all but base are kept as
     * they are. fsynced. ERR_BUSY if a VM has one of them open; ERR_NO_SPACE; ERR_INTERRUPTED if
     * @progress said stop (base is then half written, doing it again finishes it). */
    bool (*commit)(Images *images, const char *top, const char *top_format, const char *base,
                   const char *base_format, uint64_t bandwidth, ImageProgress progress, void *data,
                   GError **error);

    /* qemu-img compare: do @a and @b, with what is below them, show the same? They are only read,
     * and nobody may write to them meanwhile. ERR_BUSY if one is written or locked;
     * ERR_INTERRUPTED if @progress said stop. */
    bool (*compare)(Images *images, const char *a, const char *a_format, const char *b,
                    const char *b_format, ImageProgress progress, void *data, bool *out_same,
                    GError **error);

    /* qemu-img rebase -u: change only the header of @path to name @backing. Synced. ERR_BUSY if in
     * use. */
    bool (*repoint)(Images *images, const char *path, const char *backing,
                    const char *backing_format, GError **error);

    /* Unlink @path after taking its image lock (rule 8); success if it is gone already, also its
     * temporary. ERR_BUSY if in use (tried for some seconds). @beside: without the lock if
     * everybody who has @path open has @beside open as well, a VM's file: its QEMU has left @path
     * and not closed it. May be NULL. The directory is fsynced. */
    bool (*unlink)(Images *images, const char *path, const char *beside, GError **error);

    /* Hold QEMU's write lock on @path (OFD lock on bytes 100…299), so that no QEMU can open it.
     * ERR_BUSY if QEMU has it (tried for @wait_ms). NULL on error. The lock dies with the process.
     */
    ImageLock *(*lock)(Images *images, const char *path, unsigned wait_ms, GError **error);
    void (*unlock)(Images *images, ImageLock *lock);

    /* State files: variable stores and what is in a vTPM's directory (model/vars.h). They are
     * beside files that others can write, so nothing here ever follows a symlink in the last place,
     * and what is no regular file, or larger than STATE_MAX, is ERR_UNSUPPORTED. */

    /* The whole content of @path; ERR_NOT_FOUND. */
    GBytes *(*read_state)(Images *images, const char *path, GError **error);
    /* Make @path, or with @replace put it in the place of the one there: whole or not at all, under
     * the temporary name that unlink knows; fsynced with its directory. Owner, group, mode and
     * label of @like, never wider; where that is NULL or absent, the owner of the directory, and
     * 0600. A missing directory, one level, is made as the one above it is (U-7). ERR_EXISTS if it
     * is there and not to be replaced; ERR_BUSY if a QEMU has it open. */
    bool (*write_state)(Images *images, const char *path, GBytes *content, const char *like,
                        bool replace, GError **error);
    /* What is in the directory @path, of StateFile, sorted; without swtpm's .lock. It must be flat.
     * ERR_NOT_FOUND; ERR_BUSY if it changes meanwhile. */
    GPtrArray *(*read_state_directory)(Images *images, const char *path, GError **error);
    /* Make the directory @path with @files (of StateFile), through "<path>.new", as write_state
     * does: owner, group and label of @like, 0700, its files 0600, or less; where that is absent,
     * the label of the directory and libvirt's default user for swtpm. ERR_EXISTS. */
    bool (*write_state_directory)(Images *images, const char *path, const GPtrArray *files,
                                  const char *like, GError **error);
    /* Exchange two files or directories of one file system in one instant. Durable.
     * ERR_NOT_FOUND if one is missing, ERR_UNSUPPORTED where the file system cannot. */
    bool (*exchange)(Images *images, const char *a, const char *b, GError **error);
    /* Remove a flat directory and what is in it, and "<path>.new"; success if it is gone. One with
     * a directory in it stays as it is: ERR_UNSUPPORTED. Durable. */
    bool (*remove_state_directory)(Images *images, const char *path, GError **error);

    /* In the file system of @directory. */
    bool (*free_space)(Images *images, const char *directory, FreeSpace *out_space, GError **error);

    void (*free)(Images *images);
} ImageOps;

struct Images {
    const ImageOps *ops;
};

Images *image_real(void);
static inline void images_free(Images *images)
{
    if (images)
        images->ops->free(images);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Images, images_free)
