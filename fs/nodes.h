/* The tree: one row per kind of entry. A row says where it stands, its mode, how it reads and what
 * may be done with it; everything else in fs/ works from the row. docs/tree.md describes the same
 * rows for people, and a test compares them. */
#pragma once

#include "fs/place.h"

typedef enum {
    NODE_UNLISTED = 1 << 0, /* found by name only: reading it would hang whatever walks the tree */
    NODE_OFFSETS = 1 << 1,  /* writes honour offsets within one open file */
    NODE_LIVE = 1 << 2,     /* read as it is at each read, not as it was at open */
    NODE_WAIT = 1 << 3,     /* `wait` */
    NODE_EVENTS = 1 << 4,   /* `events` */
    NODE_FLEETING = 1 << 5, /* the kernel keeps neither its name nor its attributes */
    NODE_PROGRESS = 1 << 6, /* shows how far jobs are */
    NODE_GUARDED = 1 << 7,  /* whose files are removed by name only, not by who walks through it */
    NODE_DIGEST = 1 << 8,   /* shows the checksum of what is loaded, not itself */
} NodeFlags;

typedef struct Node Node;
struct Node {
    const char *pattern; /* from the mount, "<…>" for what is not fixed */
    Scope scope;
    mode_t mode;
    unsigned flags;
    bool (*present)(const Place *place); /* NULL: whenever its directory is */
    char *(*show)(const Place *place);   /* text of a file, target of a link; yours */
    /* Instead of it: the content is in a file of the host, which a thread of the engine reads when
     * this one is opened. NULL: it is empty. */
    Request *(*load)(const Place *place);
    uint64_t (*size)(const Place *place); /* of what is loaded, bytes */
    /* Each of these turns an operation into a request, or refuses it with @error. NULL: never
     * possible here. */
    Request *(*store)(const Place *place, const char *text, GError **error);
    /* Of what is loaded: only as a whole, of as many bytes as whole() says. */
    Request *(*replace)(const Place *place, GBytes *content);
    bool (*whole)(const Place *place, uint64_t *out_size, GError **error);
    Request *(*make)(const Place *directory, const char *name, mode_t mode, GError **error);
    Request *(*drop)(const Place *place, GError **error);
    Request *(*move)(const Place *place, const char *new_name,
                     GError **error); /* in its directory */
    Request *(*link)(const Place *directory, const char *target,
                     GError **error); /* named `current` */
};

const Node *nodes_root(void);
/* All of them; @out_count rows. */
const Node *nodes_all(unsigned *out_count);
/* Is @node an entry of the directory @directory? */
bool node_is_child(const Node *node, const Node *directory);
/* The last part of the pattern. */
const char *node_leaf(const Node *node);
/* Does its name come from the world ("<vm>") and not from the table? */
bool node_is_named(const Node *node);
bool node_is_directory(const Node *node);
bool node_is_present(const Node *node, const Place *place);
/* The list of removable things that it is, or that it is in: "snapshots", "jobs"; NULL. */
const char *node_list(const Node *node);
/* Is it a row of the table in @directory, whether present now or not? */
bool node_is_known(const Node *directory, const char *name);
/* Is it, or is it in, a listed snapshot? */
bool node_in_snapshot(const Node *node);
/* Is it the directory of a snapshot, listed or hidden? */
bool node_is_snapshot(const Node *node);
/* What can be made as @name in @directory by opening it: a row that is replaced whole. NULL. */
const Node *nodes_creatable(const Node *directory, const char *name);

/* The entry @name of @directory: moves @place there. NULL if there is none. */
const Node *nodes_find(const Node *directory, Place *place, const char *name);
/* The path of @node at @place as users see it, without the mount point. New string. */
char *node_path(const Node *node, const Place *place);
/* The inode number: the same for the same object in every mount, whatever its name; not 0, not the
 * root's. */
uint64_t node_ino(const Node *node, const char *uuid, const char *object);
