/* A kernel for one FUSE session, in this process: requests go in as the bytes that the real one
 * sends, answers come back from whatever thread gives them. What the face tells the kernel by
 * itself is thrown away. */
#pragma once

#include <glib.h>
#include <linux/fuse.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct fuse_session;

/* Of all requests that follow: who asks. */
extern uid_t kernel_uid;

/* Take the place of the mount of @session, and say hello. */
void kernel_start(struct fuse_session *session);
void kernel_stop(void);

/* Send a request of @opcode about @node: its argument, then up to two names or data (NULL: none),
 * and wait for the answer. Its errno, 0: none; what is answered (at most @length bytes, the rest as
 * 0) goes to @out. The program ends if there is no answer in time. */
typedef struct {
    const void *bytes;
    size_t length;
} KernelPart;
int kernel_call(uint32_t opcode, uint64_t node, const KernelPart *parts, unsigned count, void *out,
                size_t length, size_t *out_length);
/* The node @name in @parent, or an errno. */
int kernel_lookup(uint64_t parent, const char *name, uint64_t *out_node);
/* Is @node, as it was when it was looked up, of that type (S_IFDIR …)? The real kernel asks of each
 * type only what it can do. */
bool kernel_is(uint64_t node, mode_t type);
void kernel_forget(uint64_t node, uint64_t count);

/* ---- what programs do with it (kernel-files.c) ---- */

/* A request with an argument of @size bytes, and up to two names; its errno. */
int kernel_ask(uint32_t opcode, uint64_t node, const void *argument, size_t size, const char *first,
               const char *second);
/* FUSE_OPEN or FUSE_OPENDIR: a handle, to be released. */
uint64_t kernel_open(uint32_t opcode, uint64_t node, uint32_t flags, int *out_error);
void kernel_release(uint32_t opcode, uint64_t node, uint64_t handle);
/* All that is in a file, at most 256 KiB; NULL: it cannot be opened. Yours. */
char *kernel_read_text(uint64_t node, int *out_error);
/* The names in a directory, char *. Yours. */
GPtrArray *kernel_list(uint64_t node, int *out_error);
