#include "fs/inode.h"

#include <string.h>

struct Inodes {
    GMutex lock;
    GHashTable *by_id;  /* &inode->id → Inode, owned */
    GHashTable *by_key; /* inode->key → Inode, borrowed from by_id; retired ones are not in it */
    fuse_ino_t last;
};

static void unref(void *inode)
{
    inode_unref(inode);
}

static guint hash_id(gconstpointer key)
{
    return (guint) * (const fuse_ino_t *)key;
}

static gboolean equal_id(gconstpointer a, gconstpointer b)
{
    return *(const fuse_ino_t *)a == *(const fuse_ino_t *)b;
}

static char *make_key(const Node *node, const char *uuid, const char *object)
{
    return g_strdup_printf("%s\n%s\n%s", node->pattern, uuid, object);
}

/* With the lock held. */
static Inode *inode_add(Inodes *inodes, const Node *node, const char *uuid, const char *object)
{
    Inode *inode = g_new0(Inode, 1);

    inode->references = 1;
    inode->id = ++inodes->last;
    inode->node = node;
    inode->uuid = g_strdup(uuid);
    inode->object = g_strdup(object);
    inode->key = make_key(node, uuid, object);
    g_hash_table_insert(inodes->by_id, &inode->id, inode);
    g_hash_table_insert(inodes->by_key, inode->key, inode);
    return inode;
}

Inodes *inodes_new(void)
{
    Inodes *inodes = g_new0(Inodes, 1);

    g_mutex_init(&inodes->lock);
    inodes->by_id = g_hash_table_new_full(hash_id, equal_id, NULL, unref);
    inodes->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    inodes->last = FUSE_ROOT_ID - 1;
    inode_add(inodes, nodes_root(), "", "")->lookups = 1;
    return inodes;
}

void inodes_free(Inodes *inodes)
{
    g_hash_table_destroy(inodes->by_key);
    g_hash_table_destroy(inodes->by_id);
    g_mutex_clear(&inodes->lock);
    g_free(inodes);
}

void inode_unref(Inode *inode)
{
    if (!g_atomic_int_dec_and_test(&inode->references))
        return;
    g_free(inode->uuid);
    g_free(inode->object);
    g_free(inode->key);
    g_free(inode);
}

static Inode *inode_ref(Inode *inode)
{
    if (inode)
        g_atomic_int_inc(&inode->references);
    return inode;
}

Inode *inodes_get(Inodes *inodes, fuse_ino_t id)
{
    g_mutex_lock(&inodes->lock);
    Inode *inode = inode_ref(g_hash_table_lookup(inodes->by_id, &id));
    g_mutex_unlock(&inodes->lock);
    return inode;
}

Inode *inodes_enter(Inodes *inodes, const Node *node, const Place *place)
{
    g_autofree char *object = place_object(place, node->scope);
    g_autofree char *key = make_key(node, place_uuid(place), object);

    g_mutex_lock(&inodes->lock);
    Inode *inode = g_hash_table_lookup(inodes->by_key, key);
    if (!inode)
        inode = inode_add(inodes, node, place_uuid(place), object);
    inode->lookups++;
    inode_ref(inode);
    g_mutex_unlock(&inodes->lock);
    return inode;
}

/* With the lock held. */
static void unlist(Inodes *inodes, Inode *inode)
{
    if (!inode->retired)
        g_hash_table_remove(inodes->by_key, inode->key);
    inode->retired = true;
}

void inodes_forget(Inodes *inodes, fuse_ino_t id, uint64_t count)
{
    g_mutex_lock(&inodes->lock);
    Inode *inode = g_hash_table_lookup(inodes->by_id, &id);
    if (inode && id != FUSE_ROOT_ID) {
        inode->lookups -= MIN(count, inode->lookups);
        if (inode->lookups == 0) {
            unlist(inodes, inode);
            g_hash_table_remove(inodes->by_id, &id);
        }
    }
    g_mutex_unlock(&inodes->lock);
}

static bool is_in(const Inode *inode, const Inode *directory)
{
    bool whole_vm = strcmp(directory->node->pattern, "<vm>") == 0;
    bool same = inode->node->scope == directory->node->scope &&
                strcmp(inode->object, directory->object) == 0;

    return (whole_vm || same) && strcmp(inode->uuid, directory->uuid) == 0 &&
           g_str_has_prefix(inode->node->pattern, directory->node->pattern);
}

void inodes_retire(Inodes *inodes, const Inode *inode)
{
    GHashTableIter iter;
    void *other;

    g_mutex_lock(&inodes->lock);
    g_hash_table_iter_init(&iter, inodes->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &other))
        if (is_in(other, inode))
            unlist(inodes, other);
    g_mutex_unlock(&inodes->lock);
}

fuse_ino_t inodes_known(Inodes *inodes, const Node *node, const char *uuid)
{
    g_autofree char *key = make_key(node, uuid, "");

    g_mutex_lock(&inodes->lock);
    const Inode *inode = g_hash_table_lookup(inodes->by_key, key);
    fuse_ino_t id = inode ? inode->id : 0;
    g_mutex_unlock(&inodes->lock);
    return id;
}

GArray *inodes_directories(Inodes *inodes, const char *uuid)
{
    GArray *ids = g_array_new(FALSE, FALSE, sizeof(fuse_ino_t));
    GHashTableIter iter;
    void *value;

    g_mutex_lock(&inodes->lock);
    g_hash_table_iter_init(&iter, inodes->by_key);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Inode *inode = value;
        if (node_is_directory(inode->node) && strcmp(inode->uuid, uuid) == 0)
            g_array_append_val(ids, inode->id);
    }
    g_mutex_unlock(&inodes->lock);
    return ids;
}

bool inode_place(const Inode *inode, Face *face, Place *place)
{
    place_init(place, face);
    return place_bind(place, inode->node->scope, inode->uuid, inode->object) &&
           (inode->node->replace || node_is_present(inode->node, place));
}
