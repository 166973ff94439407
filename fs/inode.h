/* What the kernel remembers of the tree: node ids.
 *
 * A node id is a number that is handed out once and never again: after a successful rmdir the
 * kernel holds its id for dead for ever, and what stays or comes back (a failed or hidden snapshot)
 * must get a fresh one (design 2.4). The inode number that users see is another thing: it follows
 * the object (node_ino). Thread-safe. */
#pragma once

#include "fs/nodes.h"

typedef struct {
    gint references; /* private */
    fuse_ino_t id;
    uint64_t lookups; /* private */
    bool retired;     /* private */
    const Node *node;
    char *uuid, *object, *key;
} Inode;

Inodes *inodes_new(void);
void inodes_free(Inodes *inodes);

/* The inode with that node id; drop with inode_unref. NULL if there is none. */
Inode *inodes_get(Inodes *inodes, fuse_ino_t id);
/* The inode of @node at @place, made if it is new, its lookup count raised by one. */
Inode *inodes_enter(Inodes *inodes, const Node *node, const Place *place);
/* The kernel forgets @count lookups. */
void inodes_forget(Inodes *inodes, fuse_ino_t id, uint64_t count);
/* The kernel thinks that it is gone, with everything in it: whatever is shown there again gets a
 * fresh id. */
void inodes_retire(Inodes *inodes, const Inode *inode);
/* The node id under which the kernel knows @node of @uuid (object ""), 0 if it does not. */
fuse_ino_t inodes_known(Inodes *inodes, const Node *node, const char *uuid);
/* The node ids of all directories of the VM @uuid that the kernel knows; of fuse_ino_t. */
GArray *inodes_directories(Inodes *inodes, const char *uuid);

void inode_unref(Inode *inode);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Inode, inode_unref)

/* Open the place of @inode in a fresh view; false (and an empty place) if the object is gone. A
 * file that is replaced whole is not: who has it open may be about to make it. place_clear it
 * either way. */
bool inode_place(const Inode *inode, Face *face, Place *place);
