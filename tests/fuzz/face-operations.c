#include "face.h"
#include "fuzz.h"
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_LINES 48

/* ---- the tree ---- */

/* The directory of @path and the last name in it; 0 if there is no such directory. */
static uint64_t parent_of(const Run *run, const char *path, char **out_name)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);
    unsigned last = g_strv_length(names);
    bool kept = last > 0 && !strcmp(names[0], "@");
    uint64_t node = kept ? run->kept : FUSE_ROOT_ID;

    *out_name = g_strdup(last > 0 ? names[last - 1] : "");
    for (unsigned i = kept; i + 1 < last; i++)
        if (*names[i] && (!kernel_is(node, S_IFDIR) || kernel_lookup(node, names[i], &node) != 0))
            return 0;
    return kernel_is(node, S_IFDIR) ? node : 0;
}

uint64_t face_node(const Run *run, const char *path)
{
    g_autofree char *name = NULL;
    uint64_t node = parent_of(run, path, &name);

    if (!strcmp(path, "@"))
        return run->kept;
    if (node == 0 || !*name)
        return node;
    return kernel_lookup(node, name, &node) == 0 ? node : 0;
}

/* ---- what it may answer (design 2.2, and what any file system may say) ---- */

static void check_errno(const char *word, int error)
{
    static const int known[] = {
        0,     ENOENT,  EEXIST, ENAMETOOLONG, EINVAL,     EPERM,     EACCES,  EROFS,
        EBUSY, EDQUOT,  EMLINK, ENOSPC,       EOPNOTSUPP, ETIMEDOUT, EUCLEAN, EINTR,
        EIO,   ENOTDIR, EISDIR, EAGAIN,       EFBIG,      ENOTEMPTY, ENODATA,
    };
    bool renames = !strcmp(word, "mv");

    for (unsigned i = 0; i < G_N_ELEMENTS(known); i++)
        if (known[i] == error && !(renames && error == EINVAL))
            return;
    fuzz_check(!strcmp(word, "setxattr") && error == ENOSYS, "%s answers %s", word,
               g_strerror(error));
}

/* ---- reading ---- */

static void check_names(const GPtrArray *names)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < names->len; i++) {
        fuzz_sentence(names->pdata[i]);
        fuzz_check(!strchr(names->pdata[i], '/'), "a name with a slash: %s",
                   (char *)names->pdata[i]);
        fuzz_check(g_hash_table_add(seen, names->pdata[i]), "%s is listed twice",
                   (char *)names->pdata[i]);
    }
}

/* ---- the operations: each answers with an errno ---- */

static int do_ls(Run *run, const char *path, const char *rest)
{
    uint64_t node = face_node(run, path);
    g_autoptr(GPtrArray) names = NULL;
    int error;

    if (!kernel_is(node, S_IFDIR))
        return ENOTDIR;
    names = kernel_list(node, &error);
    check_names(names);
    return error;
}

static int do_stat(Run *run, const char *path, const char *rest)
{
    struct fuse_getattr_in in = {0};
    uint64_t node = face_node(run, path);

    return node ? kernel_ask(FUSE_GETATTR, node, &in, sizeof(in), NULL, NULL) : ENOENT;
}

static int do_cat(Run *run, const char *path, const char *rest)
{
    uint64_t node = face_node(run, path);
    int error = ENOENT;

    g_free(kernel_is(node, S_IFREG) ? kernel_read_text(node, &error) : NULL);
    return error;
}

static int do_readlink_of(Run *run, const char *path, const char *rest)
{
    uint64_t node = face_node(run, path);

    if (!node)
        return ENOENT;
    return kernel_is(node, S_IFLNK) ? kernel_ask(FUSE_READLINK, node, NULL, 0, NULL, NULL) : EINVAL;
}

static int do_statfs_of(Run *run, const char *path, const char *rest)
{
    return kernel_ask(FUSE_STATFS, FUSE_ROOT_ID, NULL, 0, NULL, NULL);
}

static int write_at(const Run *run, const char *path, const char *text, uint64_t offset)
{
    uint64_t node = face_node(run, path), handle;
    struct fuse_flush_in flush = {0};
    int error, flushed;

    if (!kernel_is(node, S_IFREG))
        return ENOENT;
    handle = kernel_open(FUSE_OPEN, node, O_WRONLY | O_TRUNC, &error);
    if (error)
        return error;
    struct fuse_write_in in = {
        .fh = handle, .offset = offset, .size = (uint32_t)strlen(text), .flags = O_WRONLY};
    const KernelPart parts[] = {{&in, sizeof(in)}, {text, strlen(text)}};
    error = kernel_call(FUSE_WRITE, node, parts, 2, NULL, 0, NULL);
    flush.fh = handle;
    flushed = kernel_ask(FUSE_FLUSH, node, &flush, sizeof(flush), NULL, NULL);
    kernel_release(FUSE_RELEASE, node, handle);
    return error ? error : flushed;
}

static int do_write(Run *run, const char *path, const char *rest)
{
    return write_at(run, path, rest, 0);
}

static int do_append(Run *run, const char *path, const char *rest)
{
    return write_at(run, path, rest, 7);
}

static int set_attr(const Run *run, const char *path, const struct fuse_setattr_in *in)
{
    uint64_t node = face_node(run, path);

    return node ? kernel_ask(FUSE_SETATTR, node, in, sizeof(*in), NULL, NULL) : ENOENT;
}

static int do_truncate(Run *run, const char *path, const char *rest)
{
    struct fuse_setattr_in in = {.valid = FATTR_SIZE, .size = g_ascii_strtoull(rest, NULL, 10)};

    return set_attr(run, path, &in);
}

static int do_chmod(Run *run, const char *mode, const char *path)
{
    struct fuse_setattr_in in = {.valid = FATTR_MODE,
                                 .mode = (uint32_t)g_ascii_strtoull(mode, NULL, 8)};

    return set_attr(run, path, &in);
}

static int do_chown(Run *run, const char *uid, const char *path)
{
    struct fuse_setattr_in in = {.valid = FATTR_UID | FATTR_GID,
                                 .uid = (uint32_t)g_ascii_strtoull(uid, NULL, 10)};

    return set_attr(run, path, &in);
}

static int do_setxattr(Run *run, const char *path, const char *rest)
{
    struct fuse_setxattr_in in = {.size = 1};
    uint64_t node = face_node(run, path);

    return node ? kernel_ask(FUSE_SETXATTR, node, &in, FUSE_COMPAT_SETXATTR_IN_SIZE, "user.x", "y")
                : ENOENT;
}

static int do_keep(Run *run, const char *path, const char *rest)
{
    uint64_t node = face_node(run, path);

    if (node)
        run->kept = node;
    return node ? 0 : ENOENT;
}

static int do_forget_of(Run *run, const char *path, const char *rest)
{
    uint64_t node = face_node(run, path);

    if (node > FUSE_ROOT_ID)
        kernel_forget(node, 1);
    return 0;
}

static int do_user(Run *run, const char *uid, const char *rest)
{
    kernel_uid = (uid_t)g_ascii_strtoull(uid, NULL, 10);
    return 0;
}

/* ---- those that make and remove names ---- */

/* "vm/name" if @path is a snapshot's. Yours; NULL: it is not. */
static char *snapshot_of(const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    if (g_strv_length(names) != 3 || strcmp(names[1], "snapshots") || !*names[0] || !*names[2] ||
        !strcmp(names[0], "@"))
        return NULL;
    return g_strconcat(names[0], "/", names[2], NULL);
}

static void note(Run *run, const char *path, bool there)
{
    char *snapshot = snapshot_of(path);

    if (snapshot && there) {
        g_hash_table_add(run->ever, g_strdup(snapshot));
        g_hash_table_add(run->snapshots, g_steal_pointer(&snapshot));
    } else if (snapshot) {
        g_hash_table_remove(run->snapshots, snapshot);
    }
    g_free(snapshot);
}

static int do_mkdir(Run *run, const char *path, const char *rest)
{
    struct fuse_mkdir_in in = {.mode = 0755};
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, path, &name), node;
    int error = parent ? kernel_ask(FUSE_MKDIR, parent, &in, sizeof(in), name, NULL) : ENOENT;

    if (error)
        return error;
    fuzz_check(kernel_lookup(parent, name, &node) == 0, "%s was made, and is not there", path);
    note(run, path, true);
    return 0;
}

static int do_rmdir(Run *run, const char *path, const char *rest)
{
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, path, &name);
    int error = parent ? kernel_ask(FUSE_RMDIR, parent, NULL, 0, name, NULL) : ENOENT;

    if (error == 0)
        note(run, path, false);
    return error;
}

static int do_rm(Run *run, const char *path, const char *rest)
{
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, path, &name);

    return parent ? kernel_ask(FUSE_UNLINK, parent, NULL, 0, name, NULL) : ENOENT;
}

static int rename_to(const Run *run, const char *path, const char *to, uint32_t flags)
{
    g_autofree char *name = NULL, *new_name = NULL;
    uint64_t parent = parent_of(run, path, &name), new_parent = parent_of(run, to, &new_name);
    struct fuse_rename2_in in = {.newdir = new_parent, .flags = flags};

    if (!parent || !new_parent)
        return ENOENT;
    return kernel_ask(FUSE_RENAME2, parent, &in, sizeof(in), name, new_name);
}

static int do_mv(Run *run, const char *path, const char *rest)
{
    int error = rename_to(run, path, rest, 0);

    if (error == 0 && strcmp(path, rest)) {
        note(run, path, false);
        note(run, rest, true);
        run->moved |= !strchr(path, '/');
    }
    return error;
}

static int do_exchange(Run *run, const char *path, const char *rest)
{
    int error = rename_to(run, path, rest, 2);

    fuzz_check(error != 0, "%s and %s were exchanged", path, rest);
    return error;
}

static int do_ln(Run *run, const char *target, const char *path)
{
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, path, &name);

    return parent ? kernel_ask(FUSE_SYMLINK, parent, NULL, 0, name, target) : ENOENT;
}

static int do_link(Run *run, const char *path, const char *to)
{
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, to, &name);
    struct fuse_link_in in = {.oldnodeid = face_node(run, path)};
    int error = parent && in.oldnodeid ? kernel_ask(FUSE_LINK, parent, &in, sizeof(in), name, NULL)
                                       : ENOENT;

    fuzz_check(error != 0, "%s was linked to %s", path, to);
    return error;
}

static int do_mknod(Run *run, const char *path, const char *rest)
{
    struct fuse_mknod_in in = {.mode = S_IFREG | 0644};
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, path, &name);

    return parent ? kernel_ask(FUSE_MKNOD, parent, &in, sizeof(in), name, NULL) : ENOENT;
}

static int do_create(Run *run, const char *path, const char *rest)
{
    struct fuse_create_in in = {.flags = O_WRONLY | O_CREAT, .mode = S_IFREG | 0644};
    g_autofree char *name = NULL;
    uint64_t parent = parent_of(run, path, &name);
    const KernelPart parts[] = {{&in, sizeof(in)}, {name, strlen(name) + 1}};
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out;
    int error =
        parent ? kernel_call(FUSE_CREATE, parent, parts, 2, &out, sizeof(out), NULL) : ENOENT;

    if (error == 0)
        kernel_release(FUSE_RELEASE, out.entry.nodeid, out.open.fh);
    return error;
}

/* ---- scripts ---- */

static const struct {
    const char *word;
    int (*run)(Run *run, const char *first, const char *rest);
} operations[] = {
    {"mkdir", do_mkdir},
    {"rmdir", do_rmdir},
    {"rm", do_rm},
    {"mv", do_mv},
    {"exchange", do_exchange},
    {"ln", do_ln},
    {"link", do_link},
    {"mknod", do_mknod},
    {"create", do_create},
    {"keep", do_keep},
    {"forget", do_forget_of},
    {"ls", do_ls},
    {"stat", do_stat},
    {"cat", do_cat},
    {"readlink", do_readlink_of},
    {"statfs", do_statfs_of},
    {"write", do_write},
    {"append", do_append},
    {"truncate", do_truncate},
    {"chmod", do_chmod},
    {"chown", do_chown},
    {"setxattr", do_setxattr},
    {"user", do_user},
};

static void run_line(Run *run, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", 3);
    unsigned count = g_strv_length(words);

    for (unsigned i = 0; count > 0 && i < G_N_ELEMENTS(operations); i++)
        if (!strcmp(words[0], operations[i].word))
            check_errno(words[0], operations[i].run(run, count > 1 ? words[1] : "",
                                                    count > 2 ? words[2] : ""));
}

void face_play(Run *run, const char *script)
{
    for (unsigned i = 0; *script && i < MAX_LINES; i++) {
        g_autofree char *line = fuzz_line(&script);

        run_line(run, line);
        face_note_contents(run->engine, run->contents);
    }
}
