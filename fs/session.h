/* The FUSE operations. Reading ones are in session-read.c, those that make, remove and
 * move in session-change.c, those that set attributes and write in session-write.c. */
#pragma once

#include "fs/inode.h"

const struct fuse_lowlevel_ops *session_operations(void);

/* From the engine: something changed. @data: the face. */
void session_changed(ChangeKind kind, const char *uuid, const char *event, void *data);

/* ---- shared by them ---- */

Face *session_face(fuse_req_t req);
/* The inode and its place, or an answer (ENOENT) and false. inode_unref and place_clear either way.
 */
bool session_open_place(fuse_req_t req, fuse_ino_t id, Inode **out_inode, Place *place);
/* Enter @node at @place and answer with it. */
void session_reply_entry(fuse_req_t req, const Node *node, const Place *place);
void session_reply_attr(fuse_req_t req, const Node *node, const Place *place);
/* For an Answer: with the attributes of an inode, with how many bytes were written. */
void session_reply_attr_of(Face *face, fuse_req_t req, void *inode);
void session_reply_written(Face *face, fuse_req_t req, void *size);

void session_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void session_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void session_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void session_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                    const char *new_name, unsigned int flags);
void session_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void session_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device);
void session_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                    struct fuse_file_info *fi);
void session_link(fuse_req_t req, fuse_ino_t id, fuse_ino_t new_parent, const char *new_name);
void session_setattr(fuse_req_t req, fuse_ino_t id, struct stat *attr, int to_set,
                     struct fuse_file_info *fi);
void session_write(fuse_req_t req, fuse_ino_t id, const char *data, size_t size, off_t offset,
                   struct fuse_file_info *fi);

/* The error outside any request of the engine, and the sentence that goes with it. */
void session_forbid(fuse_req_t req, const char *verb, const Node *node, const Place *place,
                    const char *name, const char *sentence);
/* Answer with a refusal that building a request set. */
void session_refuse(fuse_req_t req, const Place *place, const char *operation, const GError *error);
