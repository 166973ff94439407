/* Operations that set attributes and write files. As in session-change.c: resolve, build one
 * request from the node table, send it. */
#include "fs/session.h"

#include "fs/act.h"
#include "fs/attr.h"
#include "fs/file.h"
#include "fs/requests.h"
#include "fs/state-file.h"

#include <string.h>

/* ---- attributes ---- */

void session_reply_attr_of(Face *face, fuse_req_t req, void *data)
{
    g_auto(Place) place = {0};
    const Inode *inode = data;

    if (inode_place(inode, face, &place))
        session_reply_attr(req, inode->node, &place);
    else
        fuse_reply_err(req, ENOENT);
}

static void change_mode(fuse_req_t req, const Inode *inode, const Place *place, mode_t mode)
{
    Face *face = session_face(req);

    act_submit(face, req, request_mode(place, mode),
               act_operation("chmod", inode->node, place, NULL),
               (Answer){.reply = session_reply_attr_of,
                        .data = inodes_get(face->inodes, inode->id),
                        .free_data = (GDestroyNotify)inode_unref});
}

/* What is set to something else than it is, and what for: chmod, chown and truncate to the present
 * value do nothing, and times are taken and forgotten (vim, cp -p, install and Ansible set them).
 */
static bool changes_owner(const struct stat *now, const struct stat *wanted, int to_set)
{
    return (to_set & FUSE_SET_ATTR_UID && wanted->st_uid != now->st_uid) ||
           (to_set & FUSE_SET_ATTR_GID && wanted->st_gid != now->st_gid);
}

static bool changes_mode(const struct stat *now, const struct stat *wanted, int to_set)
{
    return to_set & FUSE_SET_ATTR_MODE && (wanted->st_mode & 07777) != (now->st_mode & 07777);
}

/* Only a text that is written part by part can be cut; a value stays as long as it is. */
static bool cut(const Inode *inode, const Place *place, const struct stat *now, gsize size,
                const struct fuse_file_info *fi, char **out_value)
{
    *out_value = NULL;
    if (!(inode->node->flags & NODE_OFFSETS))
        return size == 0 || size == (gsize)now->st_size;
    if (fi && fi->fh)
        return file_cut((File *)(uintptr_t)fi->fh, size, out_value);
    g_autofree char *text = inode->node->show(place);
    gsize length = strlen(text);
    if (size < length)
        *out_value = file_value(text, size);
    return size <= length;
}

static void store_rest(fuse_req_t req, const Inode *inode, const Place *place, const char *value)
{
    Face *face = session_face(req);
    g_autofree char *operation = act_operation("truncate", inode->node, place, NULL);
    g_autoptr(GError) error = NULL;
    Request *request = inode->node->store(place, value, &error);

    if (request)
        act_submit(face, req, request, g_steal_pointer(&operation),
                   (Answer){.reply = session_reply_attr_of,
                            .data = inodes_get(face->inodes, inode->id),
                            .free_data = (GDestroyNotify)inode_unref});
    else
        session_refuse(req, place, operation, error);
}

/* false: there is nothing to be done, and nobody was answered. */
static bool truncated(fuse_req_t req, const Inode *inode, const Place *place,
                      const struct stat *now, off_t size, const struct fuse_file_info *fi)
{
    g_autofree char *value = NULL;

    if (!inode->node->store)
        session_forbid(req, "truncate", inode->node, place, NULL, "is read only");
    else if (!cut(inode, place, now, (gsize)size, fi, &value))
        session_forbid(req, "truncate", inode->node, place, NULL,
                       "cannot be made longer or cut: write the value whole");
    else if (value)
        store_rest(req, inode, place, value);
    else
        return false;
    return true;
}

void session_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int to_set,
                     struct fuse_file_info *fi)
{
    g_autoptr(Inode) inode = NULL;
    g_auto(Place) place = {0};
    struct stat now;

    if (!session_open_place(req, id, &inode, &place))
        return;
    const Node *node = inode->node;
    attr_fill(&now, node, &place);
    if (to_set & FUSE_SET_ATTR_SIZE && node->replace) {
        state_file_truncate(req, inode, &place, (gsize)attr->st_size, fi);
        return;
    }
    if (to_set & FUSE_SET_ATTR_SIZE && truncated(req, inode, &place, &now, attr->st_size, fi))
        return;
    if (changes_owner(&now, attr, to_set))
        session_forbid(req, "chown", node, &place, NULL,
                       "belongs to who made it: its owner and group cannot be changed");
    else if (!changes_mode(&now, attr, to_set))
        session_reply_attr(req, node, &place);
    else if (!node_in_snapshot(node) || !node_is_snapshot(node))
        session_forbid(req, "chmod", node, &place, NULL,
                       "has a fixed mode: only a snapshot's directory can be held and released");
    else if (attr->st_mode & 07000)
        session_forbid(req, "chmod", node, &place, NULL,
                       "has no set-id bits and no sticky bit, only rwxrwxrwx");
    else
        change_mode(req, inode, &place, attr->st_mode);
}

/* ---- writing ---- */

void session_reply_written(Face *face, fuse_req_t req, void *size)
{
    fuse_reply_write(req, GPOINTER_TO_SIZE(size));
}

void session_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset,
                   struct fuse_file_info *fi)
{
    g_autoptr(Inode) inode = NULL;
    g_auto(Place) place = {0};
    g_autoptr(GError) error = NULL;

    if (!session_open_place(req, id, &inode, &place))
        return;
    if (inode->node->replace) {
        state_file_write(req, (File *)(uintptr_t)fi->fh, &place, data, size, offset);
        return;
    }
    g_autofree char *operation = act_operation("write", inode->node, &place, NULL);
    g_autofree char *value = file_write((File *)(uintptr_t)fi->fh, data, size, offset, &error);
    Request *request = value ? inode->node->store(&place, value, &error) : NULL;
    if (request)
        act_submit(session_face(req), req, request, g_steal_pointer(&operation),
                   (Answer){.reply = session_reply_written, .data = GSIZE_TO_POINTER(size)});
    else
        session_refuse(req, &place, operation, error);
}
