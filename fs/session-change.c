/* Operations that make, remove and move: resolve, build one request from the node table, send it.
 * What no row of the table knows how to do is EPERM, with a sentence in `errors`. */
#include "fs/session.h"

#include "fs/act.h"
#include "fs/errmap.h"
#include "fs/requests.h"
#include "fs/state-file.h"
#include "fs/sweep.h"
#include "fs/templinks.h"

#include <errno.h>
#include <string.h>

#define RENAME_NOREPLACE_FLAG 1u

void session_forbid(fuse_req_t req, const char *verb, const Node *node, const Place *place,
                    const char *name, const char *sentence)
{
    g_autofree char *path = node_path(node, place);
    g_autofree char *operation = act_operation(verb, node, place, name);
    g_autofree char *whole =
        name ? g_strconcat(path, path[0] ? "/" : "", name, NULL) : g_strdup(path);
    g_autoptr(GError) error =
        g_error_new(VMSNAPFS_ERROR, ERR_FORBIDDEN, "\"%s\" %s", whole, sentence);

    act_refuse(session_face(req), req, place_uuid(place), operation, EPERM, error);
}

void session_refuse(fuse_req_t req, const Place *place, const char *operation, const GError *error)
{
    act_refuse(session_face(req), req, place_uuid(place), operation, errmap_errno(error), error);
}

/* ---- making ---- */

typedef struct {
    Inode *directory;
    char *name;
} NewEntry;

static void new_entry_free(void *data)
{
    NewEntry *entry = data;

    inode_unref(entry->directory);
    g_free(entry->name);
    g_free(entry);
}

/* It is there now, unless somebody was quick to remove it. */
static void reply_new_entry(Face *face, fuse_req_t req, void *data)
{
    const NewEntry *entry = data;
    g_auto(Place) place = {0};
    const Node *node = inode_place(entry->directory, face, &place)
                           ? nodes_find(entry->directory->node, &place, entry->name)
                           : NULL;

    if (node)
        session_reply_entry(req, node, &place);
    else
        fuse_reply_err(req, ENOENT);
}

static Answer answer_new_entry(Face *face, const Inode *directory, const char *name)
{
    NewEntry *entry = g_new0(NewEntry, 1);

    entry->directory = inodes_get(face->inodes, directory->id);
    entry->name = g_strdup(name);
    return (Answer){.reply = reply_new_entry,
                    .data = entry,
                    .free_data = new_entry_free,
                    .holds_directory = true};
}

void session_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};
    g_autoptr(GError) error = NULL;

    if (!session_open_place(req, parent, &directory, &place))
        return;
    if (!directory->node->make) {
        session_forbid(req, "mkdir", directory->node, &place, name,
                       "cannot be made: mkdir takes a snapshot, in the snapshots/ of a VM and "
                       "nowhere else");
        return;
    }
    if (!sweep_allows_mkdir(session_face(req)->sweep, act_caller(req), directory->uuid, name)) {
        session_forbid(req, "mkdir", directory->node, &place, name,
                       "was not taken: this process was refused to move a snapshot here, and would "
                       "now copy it; a snapshot belongs to its VM");
        return;
    }
    g_autofree char *operation = act_operation("mkdir", directory->node, &place, name);
    Request *request = directory->node->make(&place, name, mode, &error);
    if (request)
        act_submit(session_face(req), req, request, g_steal_pointer(&operation),
                   answer_new_entry(session_face(req), directory, name));
    else
        session_refuse(req, &place, operation, error);
}

static void forbid_new(fuse_req_t req, fuse_ino_t parent, const char *verb, const char *name)
{
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};

    if (session_open_place(req, parent, &directory, &place))
        session_forbid(
            req, verb, directory->node, &place, name,
            "cannot be made: no files can be created in this tree (a snapshot is taken by "
            "mkdir)");
}

void session_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
    forbid_new(req, parent, "create", name);
}

void session_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                    struct fuse_file_info *fi)
{
    g_autoptr(Inode) directory = inodes_get(session_face(req)->inodes, parent);
    const Node *node = directory ? nodes_creatable(directory->node, name) : NULL;

    if (node)
        state_file_create(req, directory, node, fi->flags);
    else
        forbid_new(req, parent, "create", name);
}

void session_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent, const char *new_name)
{
    forbid_new(req, new_parent, "link", new_name);
}

void session_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    Face *face = session_face(req);
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};
    g_autoptr(GError) error = NULL;

    if (!session_open_place(req, parent, &directory, &place))
        return;
    if (!directory->node->link) {
        session_forbid(req, "symlink", directory->node, &place, name,
                       "cannot be made: the only link here is current, in a VM's directory "
                       "(ln -sfn snapshots/NAME current; without -n, ln follows current)");
        return;
    }
    if (strcmp(name, "current") != 0) {
        templinks_add(face->links, directory->uuid, name, target);
        Answer answer = answer_new_entry(face, directory, name);
        answer.reply(face, req, answer.data);
        answer.free_data(answer.data);
        return;
    }
    g_autofree char *operation = act_operation("symlink", directory->node, &place, name);
    Request *request = directory->node->link(&place, target, &error);
    if (request)
        act_submit(face, req, request, g_steal_pointer(&operation),
                   answer_new_entry(face, directory, name));
    else
        session_refuse(req, &place, operation, error);
}

/* ---- removing ---- */

static const char guarded[] =
    "was not removed: this process is deleting its way through the tree (it was refused elsewhere "
    "in the last 10 seconds, walked through snapshots/, or copied the snapshot); give the snapshot "
    "by name, as in rmdir";

static const char guarded_vm[] = "was not undefined: this process is deleting its way through the "
                                 "tree (it was refused elsewhere "
                                 "in the last 10 seconds); give the VM by name, as in rmdir";

/* Refuse, and remember that this process was refused outside snapshots/. */
static void forbid_sweep(fuse_req_t req, const char *verb, const Inode *directory,
                         const Place *place, const char *name, const char *sentence)
{
    sweep_refused(session_face(req)->sweep, act_caller(req), directory->uuid);
    session_forbid(req, verb, directory->node, place, name, sentence);
}

static bool is_held(const Place *place)
{
    return place->snapshot && !(place->snapshot->mode & 0200);
}

static void refuse_held(fuse_req_t req, const Inode *directory, const Place *place,
                        const char *name)
{
    g_autofree char *operation = act_operation("unlink", directory->node, place, name);
    g_autoptr(GError) error =
        g_error_new(VMSNAPFS_ERROR, ERR_BUSY,
                    "snapshot \"%s\" of \"%s\" is held: release it with chmod u+w first",
                    place->snapshot->name, place->vm->name);

    session_refuse(req, place, operation, error);
}

/* Of a snapshot or a job: rm -r begins like that, and its rmdir is what counts. @node is NULL for
 * what was there a moment ago (the parent, when it was merged). */
static void unlink_in_removable(fuse_req_t req, const Inode *directory, const Place *place,
                                const Node *node, const char *name)
{
    Face *face = session_face(req);

    if (!sweep_allows_unlink(face->sweep, act_caller(req), directory->uuid,
                             node_list(directory->node), directory->object)) {
        session_forbid(req, "unlink", directory->node, place, name, guarded);
        return;
    }
    if (is_held(place)) {
        refuse_held(req, directory, place, name);
        return;
    }
    if (node) {
        g_autoptr(Inode) inode = inodes_enter(face->inodes, node, place);
        inodes_retire(face->inodes, inode);
        inodes_forget(face->inodes, inode->id, 1);
    }
    fuse_reply_err(req, 0);
}

static void unlink_link(fuse_req_t req, const Place *place)
{
    templinks_drop(session_face(req)->links, place->vm->uuid, place->link_name);
    fuse_reply_err(req, 0);
}

static const char *why_not_unlinked(const Node *node)
{
    if (strcmp(node_leaf(node), "current") == 0)
        return "cannot be removed: it says where the VM is. To revert with an ln that removes it "
               "first (busybox): ln -s NEW x && mv -T x current";
    return "cannot be removed: it is part of the tree";
}

/* The kernel takes the node for dead from the answer on: from now on it has another id. */
static void reply_gone(Face *face, fuse_req_t req, void *inode)
{
    inodes_retire(face->inodes, inode);
    fuse_reply_err(req, 0);
}

static void drop(fuse_req_t req, const char *verb, const Node *node, const Place *place)
{
    Face *face = session_face(req);
    g_autofree char *operation = act_operation(verb, node, place, NULL);
    g_autoptr(GError) error = NULL;
    Request *request = node->drop(place, &error);

    if (!request) {
        session_refuse(req, place, operation, error);
        return;
    }
    Inode *inode = inodes_enter(face->inodes, node, place);
    inodes_forget(face->inodes, inode->id, 1);
    act_submit(face, req, request, g_steal_pointer(&operation),
               (Answer){.reply = reply_gone,
                        .data = inode,
                        .free_data = (GDestroyNotify)inode_unref,
                        .holds_root = node->scope == SCOPE_VM,
                        .arms_guard = node->scope == SCOPE_VM,
                        .holds_directory = true});
}

static bool allows_drop(fuse_req_t req, const Node *node, const Place *place)
{
    g_autofree char *object = place_object(place, node->scope);

    const char *list = node_list(node);

    return sweep_allows_rmdir(session_face(req)->sweep, act_caller(req), place_uuid(place),
                              list ? list : "", object);
}

/* A file that stands for one elsewhere. */
static void unlink_file(fuse_req_t req, const Inode *directory, const Node *node,
                        const Place *place, const char *name)
{
    if (sweep_allows_unlink(session_face(req)->sweep, act_caller(req), directory->uuid,
                            node_leaf(directory->node), ""))
        drop(req, "unlink", node, place);
    else
        session_forbid(req, "unlink", directory->node, place, name,
                       "was not removed: this process is deleting its way through the tree, or has "
                       "copied the file; give it by name, as in rm .vmsnapfs/orphans/FILE or rm "
                       "nvram/vars.fd");
}

/* Is @name part of something that an rmdir removes, or was it a moment ago? What is taken out of
 * tpm/ is. */
static bool is_removable(const Inode *directory, const Node *node, const char *name)
{
    if (node_in_snapshot(directory->node) && !directory->node->drop)
        return node != NULL;
    return directory->node->drop && node_list(directory->node) &&
           node_is_known(directory->node, name);
}

void session_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, parent, &directory, &place))
        return;
    const Node *node = nodes_find(directory->node, &place, name);
    if (is_removable(directory, node, name))
        unlink_in_removable(req, directory, &place, node, name);
    else if (!node)
        fuse_reply_err(req, ENOENT);
    else if (node->scope == SCOPE_LINK)
        unlink_link(req, &place);
    else if (node->drop && !node_is_directory(node))
        unlink_file(req, directory, node, &place, name);
    else
        forbid_sweep(req, "unlink", directory, &place, name, why_not_unlinked(node));
}

void session_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};

    if (!session_open_place(req, parent, &directory, &place))
        return;
    const Node *node = nodes_find(directory->node, &place, name);
    if (!node)
        fuse_reply_err(req, ENOENT);
    else if (!node_is_directory(node))
        fuse_reply_err(req, ENOTDIR);
    else if (is_removable(directory, node, name))
        unlink_in_removable(req, directory, &place, node, name);
    else if (!node->drop)
        forbid_sweep(req, "rmdir", directory, &place, name,
                     "cannot be removed: only snapshots, jobs and VMs can");
    else if (!allows_drop(req, node, &place))
        session_forbid(req, "rmdir", directory->node, &place, name,
                       node->scope == SCOPE_VM ? guarded_vm : guarded);
    else
        drop(req, "rmdir", node, &place);
}

/* ---- moving ---- */

typedef struct {
    char *uuid, *link;
} MovedLink;

static void moved_link_free(void *data)
{
    MovedLink *moved = data;

    g_free(moved->uuid);
    g_free(moved->link);
    g_free(moved);
}

static void reply_moved_link(Face *face, fuse_req_t req, void *data)
{
    const MovedLink *moved = data;

    templinks_drop(face->links, moved->uuid, moved->link);
    fuse_reply_err(req, 0);
}

static Answer answer_move(const Inode *directory, const Place *place)
{
    Answer answer = {.errno_of = errmap_rename_errno,
                     .holds_root = directory->id == FUSE_ROOT_ID,
                     .holds_directory = true};

    if (place->link_name) {
        MovedLink *moved = g_new0(MovedLink, 1);
        moved->uuid = g_strdup(place->vm->uuid);
        moved->link = g_strdup(place->link_name);
        answer.reply = reply_moved_link;
        answer.data = moved;
        answer.free_data = moved_link_free;
    }
    return answer;
}

static char *move_operation(const Inode *directory, const Place *place, const char *name,
                            const char *new_name)
{
    g_autofree char *from = act_operation("mv", directory->node, place, name);
    g_autofree char *to = act_operation("", directory->node, place, new_name);

    return g_strconcat(from, to, NULL);
}

static void move(fuse_req_t req, const Inode *directory, const Node *node, const Place *place,
                 const char *name, const char *new_name)
{
    g_autofree char *operation = move_operation(directory, place, name, new_name);
    g_autoptr(GError) error = NULL;
    Request *request = node->move(place, new_name, &error);

    if (request)
        act_submit(session_face(req), req, request, g_steal_pointer(&operation),
                   answer_move(directory, place));
    else
        act_refuse(session_face(req), req, place_uuid(place), operation, errmap_rename_errno(error),
                   error);
}

static void forbid_move_away(fuse_req_t req, const Inode *directory, const Place *place,
                             const char *name, fuse_ino_t new_parent, const char *new_name)
{
    Face *face = session_face(req);
    g_autoptr(Inode) target = inodes_get(face->inodes, new_parent);

    if (target)
        sweep_refused_move(face->sweep, act_caller(req), target->uuid, new_name);
    session_forbid(req, "mv", directory->node, place, name,
                   directory->id == FUSE_ROOT_ID
                       ? "cannot be moved into a directory: a VM stays at the top of the tree"
                       : "cannot be moved to another directory: a snapshot belongs to its VM");
}

void session_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                    const char *new_name, unsigned int flags)
{
    g_autoptr(Inode) directory = NULL;
    g_auto(Place) place = {0};

    if (flags & ~RENAME_NOREPLACE_FLAG) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    if (!session_open_place(req, parent, &directory, &place))
        return;
    const Node *node = nodes_find(directory->node, &place, name);
    if (!node)
        fuse_reply_err(req, ENOENT);
    else if (!node->move)
        session_forbid(req, "mv", directory->node, &place, name,
                       "cannot be moved: only snapshots and VMs can be renamed");
    else if (new_parent != parent)
        forbid_move_away(req, directory, &place, name, new_parent, new_name);
    else
        move(req, directory, node, &place, name, new_name);
}
