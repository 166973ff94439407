/* How long the kernel may keep what.
 *
 * Text changes behind the kernel's back, and `ls -l` promises its true length: the attributes of
 * files are asked for each time, which costs no more than rendering a few lines from a view.
 * Directories and names are kept for a second and the notifier shortens that; nothing goes wrong
 * while it is parked, since an object that is gone answers ENOENT by itself. What comes and goes by
 * itself is looked up each time, but the parent of a snapshot: who removes the snapshot (rm -r)
 * must be able to unlink what the directory held a moment ago. */
#include "fs/attr.h"

#include "fs/stamps.h"

#include <string.h>

#define KEEP 1.0

static bool is_snapshot(const Node *node)
{
    return node->scope == SCOPE_SNAPSHOT || node->scope == SCOPE_HIDDEN;
}

static mode_t mode_of(const Node *node, const Place *place)
{
    if (!is_snapshot(node) || !node_is_directory(node))
        return node->mode; /* else of it, or of tpm/ in it, which goes with it */
    mode_t bits = place->snapshot->mode & 0777;
    return S_IFDIR | (node->scope == SCOPE_HIDDEN ? bits & ~(mode_t)0222 : bits);
}

/* Bytes of the image files that a directory or an orphan stands for, so that du adds up to what the
 * store holds.
 */
static uint64_t allocation(const Node *node, const Place *place)
{
    uint64_t bytes = 0;

    if (node->scope == SCOPE_ORPHAN)
        return place->orphan->allocation;
    /* Whole as they are, so that cp does not take them for sparse. */
    if (node->size && !(node->flags & NODE_DIGEST))
        return node->size(place);
    if (!node_is_directory(node))
        return 0;
    if (node->scope == SCOPE_DISK)
        return place->disk->allocation;
    if (!node_is_snapshot(node))
        return 0;
    for (guint i = 0; i < place->snapshot->disks->len; i++)
        bytes += ((const LayerView *)g_ptr_array_index(place->snapshot->disks, i))->allocation;
    return bytes;
}

static Stamp stamp_of(const Node *node)
{
    if (node->flags & NODE_LIVE)
        return STAMP_ERRORS;
    return node->flags & NODE_PROGRESS ? STAMP_PROGRESS : STAMP_TREE;
}

static int64_t time_of(const Node *node, const Place *place)
{
    if (place->snapshot)
        return place->snapshot->created;
    if (place->job && !S_ISREG(node->mode))
        return engine_job_created(place->job);
    return stamps_time(place->face->stamps, place_uuid(place), stamp_of(node));
}

static off_t size_of(const Node *node, const Place *place)
{
    if (node->size)
        return (off_t)node->size(place);
    g_autofree char *text = node->show ? node->show(place) : NULL;
    return text ? (off_t)strlen(text) : 0;
}

static struct timespec timespec_of(int64_t microseconds)
{
    int64_t seconds = microseconds / G_USEC_PER_SEC;

    return (struct timespec){.tv_sec = seconds,
                             .tv_nsec = (microseconds - seconds * G_USEC_PER_SEC) * 1000};
}

void attr_fill(struct stat *attr, const Node *node, const Place *place)
{
    g_autofree char *object = place_object(place, node->scope);

    memset(attr, 0, sizeof *attr);
    attr->st_ino = node_ino(node, place_uuid(place), object);
    attr->st_mode = mode_of(node, place);
    attr->st_nlink = 1; /* of a directory: unknown, so nobody infers the number of subdirectories */
    attr->st_uid = node->scope == SCOPE_SNAPSHOT ? place->snapshot->uid : place->face->owner;
    attr->st_gid = (gid_t)g_atomic_int_get(&place->face->group);
    attr->st_size = size_of(node, place);
    attr->st_blksize = 4096;
    attr->st_blocks = (blkcnt_t)((allocation(node, place) + 511) / 512);
    attr->st_mtim = timespec_of(time_of(node, place));
    attr->st_atim = attr->st_ctim = attr->st_mtim;
}

double attr_timeout(const Node *node)
{
    return node_is_directory(node) && !node->present ? KEEP : 0.0;
}

double attr_entry_timeout(const Node *node)
{
    bool comes_and_goes = node->present && !node_in_snapshot(node);

    return node->flags & NODE_FLEETING || comes_and_goes ? 0.0 : KEEP;
}
