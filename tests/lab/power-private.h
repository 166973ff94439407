/* Between the calls (power-calls.c), what they did to the disk (power.c), and what of it may be
 * there after a loss (power-states.c). */
#pragma once

#include "power.h"

typedef struct PowerNode {
    bool directory;
    char *path;          /* where it was last made or moved to, relative to the root */
    GHashTable *entries; /* name → PowerNode *, borrowed; NULL: a file */
    GBytes *data;
    GHashTable *durable_entries; /* since power_settle; what was made durable later is in the log */
    GBytes *durable_data;
    GHashTable *built_entries; /* while a state is built */
    GBytes *built_data;
} PowerNode;

typedef enum { EFFECT_WRITE, EFFECT_LINK, EFFECT_UNLINK, EFFECT_MOVE, EFFECT_EXCHANGE } EffectKind;

typedef struct {
    EffectKind kind;
    PowerNode *node, *other;   /* written, linked, moved; what it was exchanged with */
    PowerNode *directories[2]; /* whose entries change */
    char *names[2];            /* from, to */
    GBytes *data;
    bool durable[2]; /* the data or the first directory; the second directory */
} Effect;

typedef struct {
    char *root, *scratch, *directory; /* all NULL: there is none */
    GPtrArray *nodes;
    PowerNode *top;
    GPtrArray *log;    /* of Effect *, since power_settle */
    GHashTable *given; /* sums of the states that were given out */
    PowerWatch watch;
    void *watch_data;
    PowerIgnored ignored;
    unsigned ignored_count;
} PowerDisk;
extern PowerDisk power_disk;

GHashTable *power_entries_copy(GHashTable *entries);
void power_set_bytes(GBytes **place, GBytes *bytes);
/* What @state says, in the nodes' built_entries and built_data. */
void power_build(const PowerState *state);

typedef struct {
    PowerNode *directory; /* NULL: not below the root */
    const char *name;     /* NULL: the root itself, or @directory itself */
    char *owned;
} PowerPlace;

/* Of a path, relative to @from (NULL: must be absolute). */
PowerPlace power_place(PowerNode *from, const char *path);
PowerNode *power_node(const PowerPlace *place); /* NULL: there is none */
void power_place_clear(PowerPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PowerPlace, power_place_clear)

/* Before an effect, and when it has happened. */
void power_before(void);
PowerNode *power_made(const PowerPlace *place, bool directory);
void power_written(PowerNode *node, GBytes *content /* taken */);
void power_linked(const PowerPlace *place, PowerNode *node);
void power_unlinked(const PowerPlace *place);
void power_moved(const PowerPlace *from, const PowerPlace *to, bool exchange);
void power_synced(PowerNode *node);

/* The calls themselves: what a descriptor is of. */
void power_calls_reset(void);
int power_real_mkdir(const char *path);
