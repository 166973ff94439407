/* Scripts of file operations (face.c), and what they are known to have made. */
#pragma once

#include "engine.h"

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    uint64_t kept;         /* a node id */
    GHashTable *snapshots; /* "vm/name": what was made, by mkdir or mv, and not removed */
    GHashTable *ever;      /* likewise, and never taken out */
    GHashTable *contents;  /* of what each snapshot owns: what it held when it was seen first */
    Engine *engine;
    bool moved; /* a VM got another name */
} Run;

/* The node at @path; 0: there is none. */
uint64_t face_node(const Run *run, const char *path);
/* Every line of @script, up to a number. The program ends at an answer that the design does not
 * know. */
void face_play(Run *run, const char *script);
/* Snapshots that were not there before, and what they hold. */
void face_note_contents(Engine *engine, GHashTable *contents);
/* Those that are ready hold that still. */
void face_check_contents(Engine *engine, GHashTable *contents);
