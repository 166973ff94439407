/* Directories of vTPM state. They belong to the user that swtpm runs as, who can put anything
 * there, so everything is done relative to descriptors and nothing is followed. */
#include "image/state.h"

#include "base/fd.h"
#include "image/looks.h"
#include "image/overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define OPEN_DIRECTORY (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
#define SWTPM_USER     "tss"
#define USER_TEXT_MAX  4096
#define FILES_MAX      256

static void fail_open(const char *path, int err, GError **error)
{
    if (err == ELOOP || err == ENOTDIR)
        g_set_error(
            error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
            "%s is not a directory, or is a symlink; vTPM state is kept in directories only", path);
    else
        error_set_errno(error, err, "Cannot open %s", path);
}

static int open_directory(const char *path, GError **error)
{
    int fd = open(path, OPEN_DIRECTORY);

    if (fd < 0)
        fail_open(path, errno, error);
    return fd;
}

/* The names in it, of char *; NULL with @error. */
static GPtrArray *list_names(int directory, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    int again = openat(directory, ".", OPEN_DIRECTORY);
    DIR *stream = again < 0 ? NULL : fdopendir(again);
    struct dirent *entry;
    int err = stream ? 0 : errno;

    while (stream && (errno = 0, entry = readdir(stream)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            g_ptr_array_add(names, g_strdup(entry->d_name));
    if (stream) {
        err = errno;
        closedir(stream);
    } else if (again >= 0) {
        close(again);
    }
    if (!err)
        return g_steal_pointer(&names);
    error_set_errno(error, err, "Cannot list %s", path);
    return NULL;
}

static bool check_name(const char *path, const char *name, GError **error)
{
    if (state_name_is_legal(name))
        return true;
    g_autofree char *shown = g_strescape(name, NULL);
    g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                "\"%s\" in %s is no name that a file of a vTPM has; move it away", shown, path);
    return false;
}

/* One that vanishes after it was listed tells that somebody is writing there. */
static bool read_into(GPtrArray *files, gsize *room, int directory, const char *path,
                      const char *name, GError **error)
{
    g_autofree char *shown = g_build_filename(path, name, NULL);
    g_autoptr(GError) reason = NULL;
    g_autoptr(GBytes) content = state_read_at(directory, name, shown, *room, &reason);

    if (!content) {
        if (error_is(reason, ERR_NOT_FOUND))
            g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY, "%s changed while it was read; try again",
                        path);
        else
            g_propagate_error(error, g_steal_pointer(&reason));
        return false;
    }
    *room -= g_bytes_get_size(content);
    g_ptr_array_add(files, state_file_new(name, content));
    return true;
}

GPtrArray *state_read_directory(const char *path, GError **error)
{
    g_auto(Descriptor) directory = open_directory(path, error);
    g_autoptr(GPtrArray) names = directory < 0 ? NULL : list_names(directory, path, error);
    g_autoptr(GPtrArray) files = state_files_new();
    gsize room = STATE_MAX;

    if (!names)
        return NULL;
    if (names->len > FILES_MAX) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "%s has %u files, which is no vTPM's state; at most %u are kept", path,
                    names->len, FILES_MAX);
        return NULL;
    }
    for (unsigned i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];

        if (strcmp(name, ".lock") && (!check_name(path, name, error) ||
                                      !read_into(files, &room, directory, path, name, error)))
            return NULL;
    }
    state_files_sort(files);
    return g_steal_pointer(&files);
}

/* Before anything is removed: what has a directory in it was never made by a vTPM. */
static bool check_flat(int directory, const char *path, const GPtrArray *names, GError **error)
{
    for (unsigned i = 0; i < names->len; i++) {
        struct stat status;

        if (fstatat(directory, names->pdata[i], &status, AT_SYMLINK_NOFOLLOW) < 0 ||
            !S_ISDIR(status.st_mode))
            continue;
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "%s has a directory in it and is no vTPM's state; it stays, remove it by hand",
                    path);
        return false;
    }
    return true;
}

static bool empty_directory(int directory, const char *path, GError **error)
{
    g_autoptr(GPtrArray) names = list_names(directory, path, error);

    if (!names || !check_flat(directory, path, names, error))
        return false;
    for (unsigned i = 0; i < names->len; i++)
        if (unlinkat(directory, names->pdata[i], 0) < 0 && errno != ENOENT) {
            error_set_errno(error, errno, "Cannot remove what is in %s", path);
            return false;
        }
    return true;
}

static bool remove_one(const char *path, GError **error)
{
    g_auto(Descriptor) directory = open(path, OPEN_DIRECTORY);

    if (directory < 0 && errno == ENOENT)
        return true;
    if (directory < 0) {
        fail_open(path, errno, error);
        return false;
    }
    if (!empty_directory(directory, path, error))
        return false;
    if (rmdir(path) == 0)
        return true;
    error_set_errno(error, errno, "Cannot remove the directory %s", path);
    return false;
}

static bool has_parent(const char *path)
{
    g_autofree char *directory = g_path_get_dirname(path);

    return g_file_test(directory, G_FILE_TEST_IS_DIR);
}

/* Under its name there is never a part of it: what is left after a crash has the temporary name. */
static bool set_aside(const char *path, const char *temporary, GError **error)
{
    g_auto(Descriptor) directory = open(path, OPEN_DIRECTORY);
    g_autoptr(GPtrArray) names = NULL;

    if (directory < 0 && errno == ENOENT)
        return true;
    if (directory < 0) {
        fail_open(path, errno, error);
        return false;
    }
    names = list_names(directory, path, error);
    if (!names || !check_flat(directory, path, names, error))
        return false;
    if (rename(path, temporary) == 0)
        return overlay_sync_directory(path, error);
    error_set_errno(error, errno, "Cannot move %s out of the way", path);
    return false;
}

bool state_remove_directory(const char *path, GError **error)
{
    g_autofree char *temporary = g_strconcat(path, ".new", NULL);

    return !has_parent(path) ||
           (remove_one(temporary, error) && set_aside(path, temporary, error) &&
            remove_one(temporary, error) && overlay_sync_directory(path, error));
}

static bool fill(int directory, const char *path, const GPtrArray *files, int like, GError **error)
{
    for (unsigned i = 0; i < files->len; i++) {
        const StateFile *file = files->pdata[i];
        g_autofree char *shown = g_build_filename(path, file->name, NULL);

        if (!check_name(path, file->name, error) ||
            !state_write_at(directory, file->name, shown, file->content, like, 0600, error))
            return false;
    }
    if (looks_copy(like, directory, 0700) && fsync(directory) == 0)
        return true;
    error_set_errno(error, errno, "Cannot give %s its owner, mode and label", path);
    return false;
}

static bool give(int directory, const char *name, const struct passwd *user)
{
    g_auto(Descriptor) fd = openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    return fd >= 0 && fchown(fd, user->pw_uid, user->pw_gid) == 0 && fsync(fd) == 0;
}

/* Without an old one to go by: whom libvirt runs swtpm as, if nobody told it otherwise. It gives
 * that user the directory by itself, but not what is in it. */
static bool give_to_swtpm(int directory, const char *path, const GPtrArray *files, GError **error)
{
    char text[USER_TEXT_MAX];
    struct passwd user, *found = NULL;
    bool given = true;

    if (geteuid() != 0 || getpwnam_r(SWTPM_USER, &user, text, sizeof(text), &found) || !found)
        return true;
    for (unsigned i = 0; given && i < files->len; i++)
        given = give(directory, ((const StateFile *)files->pdata[i])->name, &user);
    if (given && give(directory, ".", &user))
        return true;
    error_set_errno(error, errno, "Cannot give %s to the user %s, whom swtpm runs as", path,
                    SWTPM_USER);
    return false;
}

static bool make_filled(const char *temporary, const char *path, const GPtrArray *files,
                        const char *like, GError **error)
{
    bool fallback;
    g_auto(Descriptor) looks = state_open_like(path, like, &fallback, error);
    g_auto(Descriptor) directory = -1;

    if (looks < 0)
        return false;
    if (mkdir(temporary, 0700) < 0) {
        error_set_errno(error, errno, "Cannot make the directory %s", temporary);
        return false;
    }
    directory = open_directory(temporary, error);
    return directory >= 0 && fill(directory, path, files, looks, error) &&
           (!fallback || give_to_swtpm(directory, path, files, error));
}

bool state_write_directory(const char *path, const GPtrArray *files, const char *like,
                           GError **error)
{
    g_autofree char *temporary = g_strconcat(path, ".new", NULL);
    struct stat status;

    if (lstat(path, &status) == 0) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_EXISTS, "Cannot make %s: it is there already", path);
        return false;
    }
    if (!state_make_parent(path, error) || !remove_one(temporary, error))
        return false;
    if (make_filled(temporary, path, files, like, error)) {
        if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
            return overlay_sync_directory(path, error);
        error_set_errno(error, errno, "Cannot make %s", path);
    }
    /* The reason stands in @error; a left-over is removed by the next try. */
    (void)remove_one(temporary, NULL);
    return false;
}

bool state_exchange(const char *a, const char *b, GError **error)
{
    if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0)
        return overlay_sync_directory(a, error) && overlay_sync_directory(b, error);
    if (errno == EINVAL || errno == EXDEV)
        g_set_error(error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
                    "%s and %s cannot be exchanged: their file system does not do that", a, b);
    else
        error_set_errno(error, errno, "Cannot exchange %s and %s", a, b);
    return false;
}
