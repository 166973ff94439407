#include "fs/file.h"

#include "fs/followers.h"

#include <fcntl.h>
#include <string.h>

#define VALUE_MAX   4096
#define LEFT_BEHIND (1024 * 1024) /* bytes that a follower may go back, at least */

static bool is_for(int flags, int mode)
{
    return (flags & O_ACCMODE) == mode || (flags & O_ACCMODE) == O_RDWR;
}

/* Each line of `errors` begins with its sequence number. Appends the lines after @last; returns the
 * new last one. */
static uint64_t append_new_lines(GString *text, const char *lines, uint64_t last)
{
    for (const char *line = lines; *line;) {
        const char *end = strchrnul(line, '\n');
        uint64_t sequence = g_ascii_strtoull(line, NULL, 10);
        if (sequence > last) {
            g_string_append_len(text, line, end - line);
            g_string_append_c(text, '\n');
            last = sequence;
        }
        line = *end ? end + 1 : end;
    }
    return last;
}

static void render(File *file, const Place *place)
{
    g_autofree char *text = file->inode->node->show(place);

    if (file->inode->node->flags & NODE_LIVE)
        file->last = append_new_lines(file->text, text, 0);
    else
        g_string_assign(file->text, text);
}

static File *file_new_empty(Face *face, const Inode *inode, int flags)
{
    File *file = g_new0(File, 1);

    g_mutex_init(&file->lock);
    file->inode = inodes_get(face->inodes, inode->id);
    file->flags = flags;
    file->text = g_string_new(NULL);
    file->draft = g_string_new(NULL);
    return file;
}

File *file_new_loaded(Face *face, const Inode *inode, GBytes *content, int flags)
{
    File *file = file_new_empty(face, inode, flags);
    gsize length = 0;
    const char *bytes = g_bytes_get_data(content, &length);

    g_string_append_len(file->text, bytes, (gssize)length);
    if (inode->node->replace && is_for(flags, O_WRONLY))
        g_string_append_len(file->draft, bytes, (gssize)length);
    return file;
}

File *file_new(Face *face, const Inode *inode, const Place *place, int flags)
{
    File *file = file_new_empty(face, inode, flags);

    if (inode->node->flags & (NODE_WAIT | NODE_EVENTS))
        file->reader =
            reader_open(face->blocking, inode->node->flags & NODE_WAIT ? place_uuid(place) : NULL);
    else
        render(file, place);
    if (inode->node->flags & NODE_OFFSETS && is_for(flags, O_WRONLY) && !(flags & O_TRUNC))
        g_string_assign(file->draft, file->text->str);
    return file;
}

void file_close(Face *face, void *data)
{
    File *file = data;

    followers_drop(face->followers, file);
    if (file->reader)
        reader_close(face->blocking, file->reader);
    g_string_free(file->text, TRUE);
    g_string_free(file->draft, TRUE);
    inode_unref(file->inode);
    g_mutex_clear(&file->lock);
    g_free(file);
}

/* With the lock held. Lines that the ring has dropped stay in this open file, so that offsets mean
 * what they meant. */
static void refresh(Face *face, File *file)
{
    const char *uuid = file->inode->uuid;
    g_autofree char *lines = engine_errors(face->engine, uuid[0] ? uuid : NULL);

    file->last = append_new_lines(file->text, lines, file->last);
}

off_t file_length(Face *face, File *file)
{
    g_mutex_lock(&file->lock);
    refresh(face, file);
    off_t length = (off_t)(file->gone + file->text->len);
    g_mutex_unlock(&file->lock);
    return length;
}

/* With the lock held. Who begins anew sees the ring as it is now; what a follower has read long ago
 * is let go. */
static void follow(Face *face, File *file, gsize offset)
{
    if (offset == 0) {
        g_string_truncate(file->text, 0);
        file->gone = 0;
        file->last = 0;
    }
    refresh(face, file);
    if (offset > file->gone + LEFT_BEHIND && offset <= file->gone + file->text->len) {
        g_string_erase(file->text, 0, (gssize)(offset - file->gone));
        file->gone = offset;
    }
}

/* With the lock held. */
static GBytes *part(const File *file, size_t size, gsize offset)
{
    gsize from = offset < file->gone ? file->text->len : MIN(offset - file->gone, file->text->len);

    return g_bytes_new(file->text->str + from, MIN(size, file->text->len - from));
}

void file_read(Face *face, File *file, fuse_req_t req, size_t size, off_t offset)
{
    g_mutex_lock(&file->lock);
    if (file->inode->node->flags & NODE_LIVE)
        follow(face, file, (gsize)offset);
    g_autoptr(GBytes) bytes = part(file, size, (gsize)offset);
    g_mutex_unlock(&file->lock);
    fuse_reply_buf(req, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
}

char *file_value(const char *text, gsize length)
{
    return g_strndup(text, length > 0 && text[length - 1] == '\n' ? length - 1 : length);
}

bool file_cut(File *file, gsize size, char **out_value)
{
    g_mutex_lock(&file->lock);
    bool enough = size <= file->draft->len;
    *out_value = size < file->draft->len ? file_value(file->draft->str, size) : NULL;
    if (enough)
        g_string_truncate(file->draft, size);
    g_mutex_unlock(&file->lock);
    return enough;
}

static bool check_data(const char *data, size_t size, GError **error)
{
    if (size <= VALUE_MAX && !memchr(data, '\0', size))
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                size > VALUE_MAX ? "a value has at most %d bytes"
                                 : "a value is text and holds no NUL byte (%d bytes at most)",
                VALUE_MAX);
    return false;
}

/* Bash's printf writes line by line: each write puts its part in its place and asks for the whole.
 */
static char *write_part(File *file, const char *data, size_t size, off_t offset, GError **error)
{
    if ((gsize)offset > file->draft->len || (gsize)offset + size > VALUE_MAX) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "a write at offset %lld leaves a gap or makes the text longer than %d bytes",
                    (long long)offset, VALUE_MAX - 1);
        return NULL;
    }
    g_string_overwrite_len(file->draft, (gsize)offset, data, (gssize)size);
    return file_value(file->draft->str, file->draft->len);
}

/* The kernel puts an appending write at the end of what the file reads: that is the value's offset
 * 0, once. */
static char *write_whole(File *file, const char *data, size_t size, off_t offset, GError **error)
{
    bool first_append = file->flags & O_APPEND && !file->written;

    if (offset != 0 && !first_append) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "a value is one write at offset 0, not at %lld: write it whole, at once",
                    (long long)offset);
        return NULL;
    }
    file->written = true;
    return file_value(data, size);
}

char *file_write(File *file, const char *data, size_t size, off_t offset, GError **error)
{
    if (!check_data(data, size, error))
        return NULL;
    g_mutex_lock(&file->lock);
    char *value = file->inode->node->flags & NODE_OFFSETS
                      ? write_part(file, data, size, offset, error)
                      : write_whole(file, data, size, offset, error);
    g_mutex_unlock(&file->lock);
    return value;
}
