/* The qcow2 header, versions 2 and 3 (QEMU docs/interop/qcow2.txt): big-endian numbers at fixed
 * offsets, then header extensions up to the backing file's name or the end of the first cluster.
 * All of it is within the first cluster, which is at most 2 MiB; what points further is refused. */
#include "image/header.h"

#include "base/fd.h"
#include "base/walk.h"
#include "image/lock.h"
#include "image/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER_V2 72
#define HEADER_V3 104
#define HEADER_MAX                                                                                 \
    (64 * 1024) /* extensions are small; no writer puts the name behind more than this */
#define BACKING_MAX      1023
#define SNAPSHOTS_MAX    65536
#define COMPRESSION_ZSTD 1
#define CLUSTER_BITS_LO  9
#define CLUSTER_BITS_HI  21
/* What QEMU opens at most, bytes. */
#define MAP_MAX            (32 * 1024 * 1024)
#define REFCOUNTS_MAX      (8 * 1024 * 1024)
#define REFCOUNT_ORDER_MAX 6

#define INCOMPATIBLE_CORRUPT   (UINT64_C(1) << 1)
#define INCOMPATIBLE_DATA_FILE (UINT64_C(1) << 2)
#define INCOMPATIBLE_KNOWN                                                                         \
    UINT64_C(0x1f) /* dirty, corrupt, data file, compression type, extended L2 */
#define INCOMPATIBLE_EXTENDED_L2 (UINT64_C(1) << 4)

#define EXTENSION_BACKING_FORMAT UINT32_C(0xe2792aca)

typedef struct {
    const char *path;
    uint8_t *bytes; /* the beginning of the file, at most HEADER_MAX */
    size_t length;
    uint64_t file; /* length of the whole file */
} Head;

static uint32_t get32(const Head *head, size_t offset)
{
    uint32_t value;

    memcpy(&value, head->bytes + offset, sizeof(value));
    return GUINT32_FROM_BE(value);
}

static uint64_t get64(const Head *head, size_t offset)
{
    uint64_t value;

    memcpy(&value, head->bytes + offset, sizeof(value));
    return GUINT64_FROM_BE(value);
}

static void fail(ImageFacts *facts, const Head *head, const char *why)
{
    if (!facts->error)
        facts->error = g_strdup_printf("The qcow2 header of %s %s", head->path, why);
}

/* A name as QEMU resolves it: relative ones against the directory of the image that names them. */
static char *resolve_backing(const char *path, const char *name)
{
    g_autofree char *directory = NULL;

    if (g_str_has_prefix(name, "file:/"))
        name += strlen("file:");
    if (*name == '/')
        return g_strdup(name);
    directory = g_path_get_dirname(path);
    return g_build_filename(directory, name, NULL);
}

/* "json:{…}", "nbd://host/x": QEMU takes what stands before the first ':' for a protocol if no '/'
 * is before it. */
static bool is_protocol(const char *name)
{
    const char *end = strpbrk(name, ":/");

    return end && *end == ':' && !g_str_has_prefix(name, "file:/");
}

static void read_backing(ImageFacts *facts, const Head *head)
{
    uint64_t offset = get64(head, 8);
    uint32_t size = get32(head, 16);
    g_autofree char *name = NULL;

    if (offset == 0)
        return;
    if (size == 0 || size > BACKING_MAX || offset > head->length || size > head->length - offset) {
        fail(facts, head, "names a backing file that is not within it");
        return;
    }
    name = g_strndup((char *)head->bytes + offset, size);
    if (strlen(name) != size)
        fail(facts, head, "has a backing file name with a NUL in it");
    else if (is_protocol(name))
        fail(facts, head, "names a backing file that is not a plain file");
    else
        facts->backing = resolve_backing(head->path, name);
}

static void read_backing_format(ImageFacts *facts, const Head *head, size_t offset, size_t length)
{
    g_autofree char *format = g_strndup((char *)head->bytes + offset, length);

    if (strlen(format) == length && length > 0 && length < 16)
        facts->backing_format = g_steal_pointer(&format);
    else
        fail(facts, head, "has a malformed backing format");
}

static void read_extensions(ImageFacts *facts, const Head *head, size_t offset)
{
    uint64_t name = get64(head, 8);
    size_t end = name && name < head->length ? name : head->length;

    while (offset + 8 <= end) {
        uint32_t type = get32(head, offset);
        uint32_t length = get32(head, offset + 4);

        if (type == 0)
            return;
        offset += 8;
        if (length > end - offset) {
            fail(facts, head, "has an extension that is longer than itself");
            return;
        }
        if (type == EXTENSION_BACKING_FORMAT && !facts->backing_format)
            read_backing_format(facts, head, offset, length);
        offset += MIN(end - offset, ((size_t)length + 7) & ~(size_t)7);
    }
}

static void read_features(ImageFacts *facts, const Head *head)
{
    uint64_t incompatible = get64(head, 72);

    facts->data_file = incompatible & INCOMPATIBLE_DATA_FILE;
    if (incompatible & ~INCOMPATIBLE_KNOWN)
        fail(facts, head, "has features that are too new");
    if (get32(head, 100) > HEADER_V3 && head->length > HEADER_V3 &&
        head->bytes[HEADER_V3] > COMPRESSION_ZSTD)
        fail(facts, head, "has a compression that is too new");
    if (incompatible & INCOMPATIBLE_CORRUPT)
        fail(facts, head, "is marked corrupt; repair it with qemu-img check -r all");
}

static void read_numbers(ImageFacts *facts, const Head *head)
{
    uint32_t cluster_bits = get32(head, 20);

    facts->capacity = get64(head, 24);
    facts->encrypted = get32(head, 32) != 0;
    facts->internal_snapshots = get32(head, 60);
    if (cluster_bits < CLUSTER_BITS_LO || cluster_bits > CLUSTER_BITS_HI)
        fail(facts, head, "has an impossible cluster size");
    if (facts->capacity > INT64_MAX)
        fail(facts, head, "has an impossible disk size");
    if (facts->internal_snapshots > SNAPSHOTS_MAX)
        fail(facts, head, "has an impossible number of internal snapshots");
}

/* QEMU takes what is beyond the end of the file for zeros: the image would be empty. */
static bool is_table(const Head *head, uint64_t offset, uint64_t bytes, uint64_t most)
{
    uint64_t cluster = UINT64_C(1) << get32(head, 20);

    return bytes <= most && bytes <= head->file && offset <= head->file - bytes &&
           offset % cluster == 0;
}

/* A new image ends with its table of clusters; what that leads to comes behind it. */
static bool is_used(const Head *head)
{
    uint64_t cluster = UINT64_C(1) << get32(head, 20);
    uint64_t end = get64(head, 40) + (uint64_t)get32(head, 36) * 8;

    return head->file > (end + cluster - 1) / cluster * cluster;
}

/* One that QEMU would not open would be found out in the middle of a merge. */
static void check_tables(ImageFacts *facts, const Head *head)
{
    bool v3 = get32(head, 4) == 3;
    unsigned bits = get32(head, 20), wide = v3 && get64(head, 72) & INCOMPATIBLE_EXTENDED_L2;
    uint64_t per_entry = UINT64_C(1) << (2 * bits - 3 - wide), entries = get32(head, 36);
    uint64_t needed = facts->capacity / per_entry + (facts->capacity % per_entry > 0);

    if (!is_table(head, get64(head, 40), entries * 8, MAP_MAX) || entries < needed)
        fail(facts, head, "has an impossible table of clusters");
    if (!is_table(head, get64(head, 48), (uint64_t)get32(head, 56) << bits, REFCOUNTS_MAX) ||
        (v3 && get32(head, 96) > REFCOUNT_ORDER_MAX))
        fail(facts, head, "has an impossible table of reference counts");
}

static void read_qcow2(ImageFacts *facts, const Head *head)
{
    uint32_t version = get32(head, 4);
    size_t length = version == 2 ? HEADER_V2 : HEADER_V3;

    if (version > 3) {
        fail(facts, head, "has a version that is too new");
        return;
    }
    if (head->length < length) {
        fail(facts, head, "is cut off");
        return;
    }
    read_numbers(facts, head);
    if (version == 3) {
        read_features(facts, head);
        length = get32(head, 100);
    }
    if (length < HEADER_V2 || length > head->length) {
        fail(facts, head, "has an impossible length");
        return;
    }
    if (!facts->error) {
        check_tables(facts, head);
        facts->used = is_used(head);
    }
    read_backing(facts, head);
    read_extensions(facts, head, length);
}

/* Version 1 is another format with the same magic, which QEMU calls qcow; to us it is opaque. */
static bool is_qcow2(const Head *head)
{
    return head->length >= 8 && !memcmp(head->bytes, "QFI\xfb", 4) && get32(head, 4) >= 2;
}

static bool read_head(int fd, Head *head, ImageFacts *facts)
{
    while (head->length < HEADER_MAX) {
        ssize_t got =
            pread(fd, head->bytes + head->length, HEADER_MAX - head->length, (off_t)head->length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            facts->error =
                g_strdup_printf("Cannot read the header of %s: %s", head->path, g_strerror(errno));
        if (got <= 0)
            return got == 0;
        head->length += (size_t)got;
    }
    return true;
}

/* Its length is asked for after its header was read: it grows before that names what is new. */
static void inspect_open(ImageFacts *facts, const char *path, int fd)
{
    g_autofree uint8_t *bytes = g_malloc(HEADER_MAX);
    Head head = {.path = path, .bytes = bytes};
    struct stat status;

    if (!read_head(fd, &head, facts))
        return;
    if (fstat(fd, &status) < 0) {
        facts->error = g_strdup_printf("Cannot look at %s: %s", path, g_strerror(errno));
        return;
    }
    head.file = (uint64_t)status.st_size;
    facts->probed = g_strdup(is_qcow2(&head) ? "qcow2" : "raw");
    if (is_qcow2(&head))
        read_qcow2(facts, &head);
    else
        facts->capacity = head.file;
}

static void note_file(ImageFacts *facts, const struct stat *status)
{
    facts->exists = true;
    facts->device = status->st_dev;
    facts->inode = status->st_ino;
    facts->allocation = (uint64_t)status->st_blocks * 512;
}

/* ERR_NOT_FOUND also where there cannot be a file. */
static bool look(const char *path, struct stat *out_status, GError **error)
{
    g_auto(Descriptor) fd = walk_open(path, NULL);

    if (fd >= 0 && fstat(fd, out_status) == 0)
        return true;
    error_set_errno(error, errno == ENOTDIR ? ENOENT : errno, "Cannot look at %s", path);
    return false;
}

ImageFacts *header_inspect(const char *path)
{
    ImageFacts *facts = image_facts_new();
    g_autoptr(GError) reason = NULL;
    struct stat status;
    int fd;

    if (!look(path, &status, &reason)) {
        facts->exists = !error_is(reason, ERR_NOT_FOUND);
        facts->error = facts->exists ? g_strdup(reason->message) : NULL;
        return facts;
    }
    note_file(facts, &status);
    fd = trust_open(path, O_RDONLY, &reason);
    if (fd < 0 || fstat(fd, &status) < 0) {
        facts->error = g_strdup(reason ? reason->message : g_strerror(errno));
    } else {
        note_file(facts, &status);
        inspect_open(facts, path, fd);
        facts->written = lock_is_written(fd);
    }
    if (fd >= 0)
        close(fd);
    return facts;
}
