#include "fs/state-file.h"

#include "fs/act.h"
#include "fs/attr.h"
#include "fs/opens.h"
#include "fs/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

static bool is_written(int flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

/* ---- opening ---- */

static void reply_file(Face *face, fuse_req_t req, File *file)
{
    struct fuse_file_info fi = {.flags = file->flags, .direct_io = 1};

    fi.fh = opens_add(face->opens, file, file_close);
    if (fuse_reply_open(req, &fi) == -ENOENT)
        opens_drop(face->opens, face, fi.fh);
}

static void open_with(Face *face, fuse_req_t req, const Inode *inode, int flags, const char *bytes,
                      gsize length)
{
    g_autoptr(GBytes) content = g_bytes_new(bytes, length);

    reply_file(face, req, file_new_loaded(face, inode, content, flags));
}

typedef struct {
    Inode *inode;
    int flags;
    const Request *request; /* there until the reply returns */
} Loading;

static void loading_free(void *data)
{
    Loading *loading = data;

    inode_unref(loading->inode);
    g_free(loading);
}

static void reply_loaded(Face *face, fuse_req_t req, void *data)
{
    const Loading *loading = data;
    GBytes *content = loading->request->content;
    g_autofree char *digest = NULL;

    if (!(loading->inode->node->flags & NODE_DIGEST)) {
        reply_file(face, req, file_new_loaded(face, loading->inode, content, loading->flags));
        return;
    }
    g_autofree char *sum = g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, content);
    digest = g_strconcat(sum, "\n", NULL);
    open_with(face, req, loading->inode, loading->flags, digest, strlen(digest));
}

static void load(fuse_req_t req, const Inode *inode, const Place *place, int flags,
                 Request *request)
{
    Face *face = session_face(req);
    Loading *loading = g_new0(Loading, 1);

    loading->inode = inodes_get(face->inodes, inode->id);
    loading->flags = flags;
    loading->request = request;
    act_submit(face, req, request, act_operation("open", inode->node, place, NULL),
               (Answer){.reply = reply_loaded, .data = loading, .free_data = loading_free});
}

static bool check_writable(fuse_req_t req, const char *verb, const Node *node, const Place *place)
{
    g_autoptr(GError) error = NULL;
    uint64_t whole = 0;

    if (node->whole(place, &whole, &error))
        return true;
    g_autofree char *operation = act_operation(verb, node, place, NULL);
    session_refuse(req, place, operation, error);
    return false;
}

void state_file_open(fuse_req_t req, const Inode *inode, const Place *place, int flags)
{
    const Node *node = inode->node;

    if (is_written(flags) && !check_writable(req, "open", node, place))
        return;
    bool anew = is_written(flags) && (flags & O_TRUNC || !node_is_present(node, place));
    Request *request = anew ? NULL : node->load(place);
    if (request)
        load(req, inode, place, flags, request);
    else
        open_with(session_face(req), req, inode, flags, "", 0);
}

void state_file_create(fuse_req_t req, const Inode *directory, const Node *node, int flags)
{
    Face *face = session_face(req);
    struct fuse_file_info fi = {.flags = flags, .direct_io = 1};
    g_auto(Place) place = {0};

    if (!inode_place(directory, face, &place)) {
        fuse_reply_err(req, ENOENT);
        return;
    }
    if (!check_writable(req, "create", node, &place))
        return;
    g_autoptr(Inode) inode = inodes_enter(face->inodes, node, &place);
    g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
    struct fuse_entry_param entry = {.ino = inode->id};
    attr_fill(&entry.attr, node, &place);
    fi.fh = opens_add(face->opens, file_new_loaded(face, inode, nothing, flags), file_close);
    if (fuse_reply_create(req, &entry, &fi) == -ENOENT) {
        opens_drop(face->opens, face, fi.fh);
        inodes_forget(face->inodes, inode->id, 1);
    }
}

/* ---- the draft ---- */

/* The draft, if it is whole now; it counts as asked for then. With the lock held. */
static GBytes *take_whole(File *file, uint64_t whole, bool at_end)
{
    if (!at_end || !file->unasked || file->draft->len != whole)
        return NULL;
    file->unasked = false;
    return g_bytes_new(file->draft->str, file->draft->len);
}

/* As in any file, what lies between its end and a later write is zero. With the lock held. */
static void set_length(File *file, gsize length)
{
    gsize before = file->draft->len;

    if (before == length)
        return;
    g_string_set_size(file->draft, length);
    if (length > before)
        memset(file->draft->str + before, 0, length - before);
    file->unasked = true;
    file->told = false;
}

static bool check_length(const Place *place, uint64_t length, uint64_t whole, GError **error)
{
    if (length <= whole)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                "The UEFI variables of VM %s have %" PRIu64 " bytes, and what is written has at "
                "least %" PRIu64 ": they are those of another firmware",
                place->vm->name, whole, length);
    return false;
}

static void replace(fuse_req_t req, const File *file, const Place *place, const char *verb,
                    GBytes *content, Answer answer)
{
    const Node *node = file->inode->node;

    act_submit(session_face(req), req, node->replace(place, content),
               act_operation(verb, node, place, NULL), answer);
}

static void refuse(fuse_req_t req, const Inode *inode, const Place *place, const char *verb,
                   const GError *error)
{
    g_autofree char *operation = act_operation(verb, inode->node, place, NULL);

    session_refuse(req, place, operation, error);
}

static GBytes *put(File *file, const char *data, size_t size, gsize offset, uint64_t whole)
{
    g_mutex_lock(&file->lock);
    if (offset + size > file->draft->len)
        set_length(file, offset + size);
    memcpy(file->draft->str + offset, data, size);
    file->unasked = true;
    file->told = false;
    GBytes *content = take_whole(file, whole, offset + size == whole);
    g_mutex_unlock(&file->lock);
    return content;
}

void state_file_write(fuse_req_t req, File *file, const Place *place, const char *data, size_t size,
                      off_t offset)
{
    g_autoptr(GError) error = NULL;
    uint64_t whole = 0;

    if (!file->inode->node->whole(place, &whole, &error) ||
        !check_length(place, (uint64_t)offset + size, whole, &error)) {
        refuse(req, file->inode, place, "write", error);
        return;
    }
    g_autoptr(GBytes) content = put(file, data, size, (gsize)offset, whole);
    if (content)
        replace(req, file, place, "write", content,
                (Answer){.reply = session_reply_written, .data = GSIZE_TO_POINTER(size)});
    else
        fuse_reply_write(req, size);
}

/* ---- truncating ---- */

static void cut(fuse_req_t req, File *file, const Place *place, gsize size, uint64_t whole)
{
    Face *face = session_face(req);

    g_mutex_lock(&file->lock);
    set_length(file, size);
    g_autoptr(GBytes) content = take_whole(file, whole, true);
    g_mutex_unlock(&file->lock);
    if (content)
        replace(req, file, place, "truncate", content,
                (Answer){.reply = session_reply_attr_of,
                         .data = inodes_get(face->inodes, file->inode->id),
                         .free_data = (GDestroyNotify)inode_unref});
    else
        session_reply_attr(req, file->inode->node, place);
}

/* Without an open file there is no draft: it can only be told to stay as it is. */
static bool check_stays(const Inode *inode, const Place *place, gsize size, GError **error)
{
    if (size == inode->node->size(place))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                "The UEFI variables of VM %s cannot be cut or made longer: replace them whole, as "
                "cp does, or rm nvram/vars.fd to have them made anew",
                place->vm->name);
    return false;
}

void state_file_truncate(fuse_req_t req, const Inode *inode, const Place *place, gsize size,
                         const struct fuse_file_info *fi)
{
    g_autoptr(GError) error = NULL;
    File *file = fi ? (File *)(uintptr_t)fi->fh : NULL;
    uint64_t whole = 0;

    if (!inode->node->whole(place, &whole, &error) ||
        (file ? !check_length(place, size, whole, &error)
              : !check_stays(inode, place, size, &error)))
        refuse(req, inode, place, "truncate", error);
    else if (file)
        cut(req, file, place, size, whole);
    else
        session_reply_attr(req, inode->node, place);
}

/* ---- closing ---- */

/* Who shares the descriptor may go on writing: the draft stays, and it is said once. An empty one
 * is nobody's wish: a shell opens the file, and closes its own descriptor, before the command
 * writes.
 */
static gsize length_missed(File *file)
{
    g_mutex_lock(&file->lock);
    bool missed = file->unasked && !file->told && file->draft->len > 0;
    gsize length = missed ? file->draft->len : 0;
    file->told |= missed;
    g_mutex_unlock(&file->lock);
    return length;
}

void state_file_flush(fuse_req_t req, File *file)
{
    gsize length = length_missed(file);
    g_auto(Place) place = {0};

    if (length == 0 || !inode_place(file->inode, session_face(req), &place)) {
        fuse_reply_err(req, 0);
        return;
    }
    g_autoptr(GError) error =
        g_error_new(VMSNAPFS_ERROR, ERR_INVALID,
                    "The UEFI variables of VM %s were not replaced: the file was closed before the "
                    "last of their %" PRIu64 " bytes was written (%" G_GSIZE_FORMAT
                    " are there); write all of them from front to back, as cp does",
                    place.vm->name, place.vm->nvram->whole, length);
    refuse(req, file->inode, &place, "close", error);
}
