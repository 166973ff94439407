/* Who has `errors` open. Lines fall out of the ring behind it, but an open file keeps what can be
 * read of it at the offsets where it was: so for the process that follows it (tail -f) the file is
 * as long as what it can read, and for everybody else as long as the ring. Told the ring's length,
 * tail would find the file truncated and print everything again with each new line. Thread-safe. */
#pragma once

#include "fs/file.h"

Followers *followers_new(void);
void followers_free(Followers *followers);

/* @file was opened by the thread @pid. Borrowed until followers_drop, which any other file may be
 * given to, too. */
void followers_add(Followers *followers, File *file, pid_t pid);
void followers_drop(Followers *followers, const File *file);

/* How long the file of @inode is for the process of @pid, if that has it open. */
bool followers_length(Followers *followers, Face *face, const Inode *inode, pid_t pid,
                      off_t *out_length);
