/* An open file: text rendered at open, what was written so far, or a reader that waits. */
#pragma once

#include "fs/blocking.h"
#include "fs/inode.h"

typedef struct {
    Inode *inode;
    int flags;      /* of open(2) */
    Reader *reader; /* `wait` and `events`; NULL for all others */
    GMutex lock;    /* guards all below */
    GString *text;  /* what reads see, from offset `gone` on */
    gsize gone;     /* NODE_LIVE: bytes before text that its reader left behind long ago */
    uint64_t last;  /* NODE_LIVE: the sequence number of the last line in text */
    GString *draft; /* NODE_OFFSETS, and what is replaced whole: what the file would hold */
    bool written;   /* a whole value was written */
    bool unasked;   /* what is replaced whole: the draft was changed and not asked for since */
    bool told;      /* and it was said that this is not enough */
} File;

File *file_new(Face *face, const Inode *inode, const Place *place, int flags);
/* One whose content was loaded. */
File *file_new_loaded(Face *face, const Inode *inode, GBytes *content, int flags);
/* Frees the File: an OpenClose. */
void file_close(Face *face, void *file);

/* Answer a read of anything but a reader. */
void file_read(Face *face, File *file, fuse_req_t req, size_t size, off_t offset);
/* NODE_LIVE: where it ends now. */
off_t file_length(Face *face, File *file);
/* Truncated through this open file. false if what it would hold is shorter than @size; else
 * @out_value is what it asks for (see file_value), NULL if nothing is cut off. */
bool file_cut(File *file, gsize size, char **out_value);
/* The value that @length bytes of @text ask for: without a newline at the end. */
char *file_value(const char *text, gsize length);
/* The value that a write of @size bytes at @offset asks for, without its trailing newline; NULL
 * with @error. */
char *file_write(File *file, const char *data, size_t size, off_t offset, GError **error);
