/* Effects on our own files: catalog and journal. One table, all required; files_real() and
 * files_memory(); files_faulty() decorates either (store/faulty.h). Paths absolute. */
#pragma once

#include "base/error.h"
#include <stdbool.h>

typedef struct Files Files;
typedef struct FilesLock FilesLock;

typedef struct {
    /* Whole content (at most 16 MiB); ERR_NOT_FOUND if absent; ERR_INVALID if not a regular file,
     * larger, or a symlink. */
    char *(*read)(Files *files, const char *path, gsize *out_length, GError **error);
    /* Replace whole and durably: temporary "<path>.new", fsync, rename, fsync of the directory;
     * 0600. */
    bool (*replace)(Files *files, const char *path, const char *content, gssize length,
                    GError **error);
    /* Make a new file, 0600, whole but not yet durable: what can fail for want of room fails here.
     * A missing directory, one level, is made 0700, not durable either. ERR_EXISTS; after an error
     * the file is not there. */
    bool (*put)(Files *files, const char *path, const char *content, gsize length, GError **error);
    /* Make a file or a directory (what is in it by name only) durable, with its own name. */
    bool (*sync)(Files *files, const char *path, GError **error);
    /* A file or an empty directory. Durable; success if absent; removes "<path>.new" too. */
    bool (*remove)(Files *files, const char *path, GError **error);
    /* mkdir -p of the last two components, 0700, durable; an existing one must be ours (owner euid,
     * not a symlink, not writable by others) else ERR_ACCESS. */
    bool (*make_directory)(Files *files, const char *path, GError **error);
    bool (*exists)(Files *files, const char *path);
    /* Names in a directory (char *), empty if it is absent, or a file. */
    GPtrArray *(*list)(Files *files, const char *directory, GError **error);
    /* Exclusive OFD lock on @path (made if needed), with "host pid" written inside; ERR_BUSY names
     * the holder. */
    FilesLock *(*lock)(Files *files, const char *path, GError **error);
    void (*unlock)(Files *files, FilesLock *lock);
    void (*free)(Files *files);
} FilesOps;

struct Files {
    const FilesOps *ops;
};

Files *files_real(void);
/* A file system in memory; survives simulated crashes of the program because the test keeps it. */
Files *files_memory(void);
static inline void files_free(Files *files)
{
    if (files)
        files->ops->free(files);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Files, files_free)
