/* State files: the UEFI variable store (NVRAM) of a VM, and the files in the directory of its vTPM.
 * What they are worth and what their checksums are; pure. They are bytes to us (design 6). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* None of them is larger, nor is a whole vTPM directory. */
#define STATE_MAX (16 * 1024 * 1024)
/* How much of a store vars_judge looks at. */
#define VARS_HEAD 64

/* A file of a vTPM's directory. */
typedef struct {
    char *name;
    GBytes *content;
} StateFile;
StateFile *state_file_new(const char *name, GBytes *content /* referenced */);
void state_file_free(StateFile *file);
/* An empty array of StateFile that owns them. */
GPtrArray *state_files_new(void);
/* By name, as digests and lists have them. */
void state_files_sort(GPtrArray *files);
/* Bytes of all contents. */
uint64_t state_files_size(const GPtrArray *files);
/* Can a file of that name be kept? No path, nothing that a terminal would obey, and not swtpm's
 * lock, which is no state. */
bool state_name_is_legal(const char *name);

/* SHA-256 in hexadecimal; yours. That of a directory covers names and contents, in order of name:
 * sort it first. */
char *state_digest(GBytes *content);
char *state_files_digest(const GPtrArray *files);

typedef enum {
    VARS_NONE,    /* not needed, not there */
    VARS_READY,   /* a variable store */
    VARS_MISSING, /* needed, not there */
    VARS_EMPTY,   /* no variable store in it: no bytes, or none that a firmware wrote */
    VARS_BADSIZE, /* another size than its template: of another firmware */
    VARS_UNUSED,  /* not needed, there */
    N_VARS_STATE,
} VarsState;
/* As nvram/state shows it. */
const char *vars_state_name(VarsState state);
/* A raw store of @size bytes that begins with @head (VARS_HEAD bytes, or all of a shorter one):
 * VARS_READY, VARS_EMPTY or VARS_BADSIZE. @template_size 0: not known. */
VarsState vars_judge(uint64_t size, const void *head, gsize head_length, uint64_t template_size);
/* Is it a store, of whatever size, or is there nothing in it: no bytes, or only those of memory
 * that was never written, 0 or 0xff? Anything else is somebody's file. */
bool vars_is_store(const void *content, gsize length);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(StateFile, state_file_free)
