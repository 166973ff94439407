#include "fs/directory.h"

#include "fs/attr.h"

typedef struct {
    char *name;
    const Node *node;
    uint64_t ino;
} Entry;

struct Directory {
    Inode *inode;
    GPtrArray *entries; /* of Entry, sorted by name after "." and ".." */
};

static void entry_free(void *data)
{
    Entry *entry = data;

    g_free(entry->name);
    g_free(entry);
}

static void add(Directory *directory, const char *name, const Node *node, const Place *place)
{
    Entry *entry = g_new0(Entry, 1);
    g_autofree char *object = place_object(place, node->scope);

    entry->name = g_strdup(name);
    entry->node = node;
    entry->ino = node_ino(node, place_uuid(place), object);
    g_ptr_array_add(directory->entries, entry);
}

typedef struct {
    Directory *directory;
    const Node *node;
} Listing;

static void add_named(const Place *child, void *data)
{
    Listing *listing = data;
    g_autofree char *name = place_name(child, listing->node->scope);

    add(listing->directory, name, listing->node, child);
}

static int by_name(gconstpointer a, gconstpointer b)
{
    const Entry *left = *(Entry *const *)a, *right = *(Entry *const *)b;

    return g_strcmp0(left->name, right->name);
}

static void add_children(Directory *directory, const Node *node, const Place *place)
{
    Listing listing = {.directory = directory, .node = node};

    if (node->flags & NODE_UNLISTED || !node_is_child(node, directory->inode->node))
        return;
    if (node_is_named(node))
        place_each(place, node->scope, add_named, &listing);
    else if (node_is_present(node, place))
        add(directory, node_leaf(node), node, place);
}

Directory *directory_new(const Inode *inode, const Place *place)
{
    Directory *directory = g_new0(Directory, 1);
    unsigned count;
    const Node *nodes = nodes_all(&count);

    directory->inode = inodes_get(place->face->inodes, inode->id);
    directory->entries = g_ptr_array_new_with_free_func(entry_free);
    for (unsigned i = 0; i < count; i++)
        add_children(directory, &nodes[i], place);
    add(directory, ".", inode->node, place);
    add(directory, "..", inode->node, place);
    g_ptr_array_sort(directory->entries, by_name);
    return directory;
}

void directory_free(Directory *directory)
{
    g_ptr_array_unref(directory->entries);
    inode_unref(directory->inode);
    g_free(directory);
}

static bool is_dots(const Entry *entry)
{
    return g_str_equal(entry->name, ".") || g_str_equal(entry->name, "..");
}

/* One entry with its attributes; the kernel counts it as looked up, unless it did not fit. */
static size_t add_plus(Face *face, const Directory *directory, fuse_req_t req, char *buffer,
                       size_t room, const Entry *entry, off_t next)
{
    struct fuse_entry_param param = {.attr = {.st_ino = entry->ino, .st_mode = entry->node->mode}};
    g_auto(Place) place = {0};
    g_autoptr(Inode) inode = NULL;
    const Node *node = NULL;

    if (!is_dots(entry) && inode_place(directory->inode, face, &place))
        node = nodes_find(directory->inode->node, &place, entry->name);
    if (node) {
        inode = inodes_enter(face->inodes, node, &place);
        param.ino = inode->id;
        param.attr_timeout = attr_timeout(node);
        param.entry_timeout = attr_entry_timeout(node);
        attr_fill(&param.attr, node, &place);
    }
    size_t used = fuse_add_direntry_plus(req, buffer, room, entry->name, &param, next);
    if (inode && used > room)
        inodes_forget(face->inodes, inode->id, 1);
    return used;
}

static size_t add_plain(fuse_req_t req, char *buffer, size_t room, const Entry *entry, off_t next)
{
    struct stat attr = {.st_ino = entry->ino, .st_mode = entry->node->mode};

    return fuse_add_direntry(req, buffer, room, entry->name, &attr, next);
}

void directory_read(Face *face, Directory *directory, fuse_req_t req, size_t size, off_t offset,
                    bool plus)
{
    g_autofree char *buffer = g_malloc(size);
    size_t filled = 0;

    for (guint i = (guint)offset; i < directory->entries->len; i++) {
        const Entry *entry = g_ptr_array_index(directory->entries, i);
        size_t used =
            plus ? add_plus(face, directory, req, buffer + filled, size - filled, entry, i + 1)
                 : add_plain(req, buffer + filled, size - filled, entry, i + 1);
        if (used > size - filled)
            break;
        filled += used;
    }
    fuse_reply_buf(req, buffer, filled);
}
