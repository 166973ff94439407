/* What /proc says about the process behind a FUSE request. The pid of a request is that of a
 * thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Is a signal that asks the caller to give up (INT, TERM, HUP, QUIT, KILL) pending for it? A
 * process that cannot be read counts as yes: it is gone, or in another pid namespace, and then the
 * kernel's word must do. */
bool process_wants_out(pid_t thread);

/* A process that stays the same one when its pid is used again: thread group and its start time.
 * false if unknown. */
typedef struct {
    pid_t group;
    uint64_t started; /* clock ticks after boot */
    uint64_t program; /* inode of what it runs since its last exec; 0: not known */
} ProcessKey;
bool process_key(pid_t thread, ProcessKey *out_key);
