#include "fs/session.h"

#include "fs/act.h"
#include "fs/attr.h"
#include "fs/directory.h"
#include "fs/followers.h"
#include "fs/notify.h"
#include "fs/opens.h"
#include "fs/space.h"
#include "fs/stamps.h"
#include "fs/state-file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

Face *session_face(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

bool session_open_place(fuse_req_t req, fuse_ino_t id, Inode **out_inode, Place *place)
{
    Face *face = session_face(req);

    *out_inode = inodes_get(face->inodes, id);
    if (*out_inode && inode_place(*out_inode, face, place))
        return true;
    fuse_reply_err(req, ENOENT);
    return false;
}

void session_reply_entry(fuse_req_t req, const Node *node, const Place *place)
{
    Face *face = session_face(req);
    g_autoptr(Inode) inode = inodes_enter(face->inodes, node, place);
    struct fuse_entry_param entry = {.ino = inode->id,
                                     .attr_timeout = attr_timeout(node),
                                     .entry_timeout = attr_entry_timeout(node)};

    attr_fill(&entry.attr, node, place);
    /* Not delivered means that the kernel never counted it. */
    if (fuse_reply_entry(req, &entry) == -ENOENT)
        inodes_forget(face->inodes, inode->id, 1);
}

void session_reply_attr(fuse_req_t req, const Node *node, const Place *place)
{
    struct stat attr;

    attr_fill(&attr, node, place);
    fuse_reply_attr(req, &attr, attr_timeout(node));
}

/* ---- names ---- */

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, parent, &directory, &place))
        return;
    const Node *node = nodes_find(directory->node, &place, name);
    if (node)
        session_reply_entry(req, node, &place);
    else
        fuse_reply_err(req, strlen(name) > NAME_MAX ? ENAMETOOLONG : ENOENT);
}

static void do_forget(fuse_req_t req, fuse_ino_t id, uint64_t count)
{
    inodes_forget(session_face(req)->inodes, id, count);
    fuse_reply_none(req);
}

static void do_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++)
        inodes_forget(session_face(req)->inodes, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void reply_live_attr(fuse_req_t req, const Inode *inode, const Place *place)
{
    Face *face = session_face(req);
    struct stat attr;

    attr_fill(&attr, inode->node, place);
    followers_length(face->followers, face, inode, act_caller(req).pid, &attr.st_size);
    fuse_reply_attr(req, &attr, attr_timeout(inode->node));
}

static void do_getattr(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    g_autoptr(Inode) inode = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, id, &inode, &place))
        return;
    if (inode->node->flags & NODE_LIVE)
        reply_live_attr(req, inode, &place);
    else
        session_reply_attr(req, inode->node, &place);
}

static void do_readlink(fuse_req_t req, fuse_ino_t id)
{
    g_autoptr(Inode) inode = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, id, &inode, &place))
        return;
    g_autofree char *target = inode->node->show(&place);
    fuse_reply_readlink(req, target);
}

/* There are none. To say so keeps tar --xattrs and backups from a warning for each file; getxattr
 * is not offered, so that the kernel asks once and never again for every file that ls shows. */
static void do_listxattr(fuse_req_t req, fuse_ino_t id, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, NULL, 0);
}

/* ---- directories ---- */

static void tell_guard(fuse_req_t req, const Inode *inode)
{
    const char *list = node_list(inode->node);

    if (list)
        sweep_opened(session_face(req)->sweep, act_caller(req), inode->uuid, list,
                     inode->object[0] ? inode->object : NULL);
    if (inode->node->flags & NODE_GUARDED) {
        const char *guarded = node_leaf(inode->node);
        sweep_opened(session_face(req)->sweep, act_caller(req), inode->uuid, guarded, NULL);
        sweep_opened(session_face(req)->sweep, act_caller(req), inode->uuid, guarded, "");
    }
}

static void close_directory(Face *face, void *directory)
{
    directory_free(directory);
}

static void do_opendir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    Face *face = session_face(req);
    g_autoptr(Inode) inode = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, id, &inode, &place))
        return;
    tell_guard(req, inode);
    fi->fh = opens_add(face->opens, directory_new(inode, &place), close_directory);
    if (fuse_reply_open(req, fi) == -ENOENT)
        opens_drop(face->opens, face, fi->fh);
}

static void do_readdir(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    directory_read(session_face(req), (Directory *)(uintptr_t)fi->fh, req, size, offset, false);
}

static void do_readdirplus(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    directory_read(session_face(req), (Directory *)(uintptr_t)fi->fh, req, size, offset, true);
}

static void do_releasedir(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    opens_drop(session_face(req)->opens, session_face(req), fi->fh);
    fuse_reply_err(req, 0);
}

/* ---- files ---- */

static File *file_of(const struct fuse_file_info *fi)
{
    return (File *)(uintptr_t)fi->fh;
}

static void do_open(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    Face *face = session_face(req);
    g_autoptr(Inode) inode = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, id, &inode, &place))
        return;
    bool writable = inode->node->store || inode->node->replace;
    if ((fi->flags & O_ACCMODE) != O_RDONLY && !writable) {
        session_forbid(req, "open", inode->node, &place, NULL, "is read only");
        return;
    }
    const char *list = inode->node->replace ? "nvram" : node_list(inode->node);
    if ((fi->flags & O_ACCMODE) != O_WRONLY && list)
        sweep_read(face->sweep, act_caller(req), inode->uuid, list,
                   place.snapshot ? place.snapshot->id : inode->object);
    if (inode->node->load) {
        state_file_open(req, inode, &place, fi->flags);
        return;
    }
    File *file = file_new(face, inode, &place, fi->flags);
    if (inode->node->flags & NODE_LIVE)
        followers_add(face->followers, file, act_caller(req).pid);
    fi->fh = opens_add(face->opens, file, file_close);
    fi->direct_io = 1;
    fi->nonseekable = inode->node->flags & NODE_EVENTS ? 1 : 0;
    if (fuse_reply_open(req, fi) == -ENOENT)
        opens_drop(face->opens, face, fi->fh);
}

static void do_read(fuse_req_t req, fuse_ino_t id, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    Face *face = session_face(req);
    File *file = file_of(fi);

    if (file->reader)
        reader_read(face->blocking, file->reader, req, size, offset, fi->flags & O_NONBLOCK);
    else
        file_read(face, file, req, size, offset);
}

static void do_poll(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi,
                    struct fuse_pollhandle *handle)
{
    File *file = file_of(fi);

    if (file->reader) {
        reader_poll(session_face(req)->blocking, file->reader, req, handle);
        return;
    }
    if (handle)
        fuse_pollhandle_destroy(handle);
    fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

/* Each close comes here, also that of a descriptor that others share. */
static void do_flush(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    File *file = file_of(fi);

    if (file->inode->node->replace)
        state_file_flush(req, file);
    else
        fuse_reply_err(req, 0);
}

static void do_release(fuse_req_t req, fuse_ino_t id, struct fuse_file_info *fi)
{
    opens_drop(session_face(req)->opens, session_face(req), fi->fh);
    fuse_reply_err(req, 0);
}

/* ---- the mount ---- */

static void do_statfs(fuse_req_t req, fuse_ino_t id)
{
    space_answer(session_face(req)->space, req);
}

static void do_init(void *data, struct fuse_conn_info *connection)
{
    Face *face = data;

    face->served(face->served_data);
}

const struct fuse_lowlevel_ops *session_operations(void)
{
    static const struct fuse_lowlevel_ops operations = {
        .init = do_init,
        .lookup = do_lookup,
        .forget = do_forget,
        .forget_multi = do_forget_multi,
        .getattr = do_getattr,
        .setattr = session_setattr,
        .readlink = do_readlink,
        .listxattr = do_listxattr,
        .mknod = session_mknod,
        .mkdir = session_mkdir,
        .unlink = session_unlink,
        .rmdir = session_rmdir,
        .symlink = session_symlink,
        .rename = session_rename,
        .link = session_link,
        .open = do_open,
        .read = do_read,
        .write = session_write,
        .flush = do_flush,
        .release = do_release,
        .opendir = do_opendir,
        .readdir = do_readdir,
        .readdirplus = do_readdirplus,
        .releasedir = do_releasedir,
        .statfs = do_statfs,
        .create = session_create,
        .poll = do_poll,
    };

    return &operations;
}

static void touch(Stamps *stamps, ChangeKind kind, const char *uuid)
{
    static const Stamp stamped[] = {
        [CHANGE_VMS] = STAMP_TREE,      [CHANGE_VM] = STAMP_TREE,
        [CHANGE_JOBS] = STAMP_TREE,     [CHANGE_PROGRESS] = STAMP_PROGRESS,
        [CHANGE_ERRORS] = STAMP_ERRORS,
    };

    stamps_touch(stamps, uuid, stamped[kind]);
    if (kind == CHANGE_ERRORS)
        stamps_touch(stamps, "", STAMP_ERRORS); /* the host's ring has every line */
}

void session_changed(ChangeKind kind, const char *uuid, const char *event, void *data)
{
    Face *face = data;

    touch(face->stamps, kind, uuid ? uuid : "");
    blocking_changed(face->blocking, uuid, event);
    if (kind == CHANGE_VMS || kind == CHANGE_VM || kind == CHANGE_JOBS)
        notifier_changed(face->notifier);
}
