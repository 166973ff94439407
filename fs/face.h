/* The FUSE face: one mount of one engine. What every file of fs/ shares.
 *
 * No FUSE thread waits: lookups, getattr, readdir and reads are served from the engine's views; a
 * change, and the opening of what stands in no view (state-file.c), becomes a request of the engine
 * and is answered from its completion (act.c); `wait` and `events` keep the FUSE request and answer
 * it from the engine's change callback (blocking.c).
 *
 * Each part below has its own lock, held for loads and stores only, and no part calls another one
 * with its lock held. */
#pragma once

#include "fs/fuse.h"
#include "engine.h"

typedef struct Inodes Inodes;
typedef struct Sweep Sweep;
typedef struct TempLinks TempLinks;
typedef struct Blocking Blocking;
typedef struct Notifier Notifier;
typedef struct Actions Actions;
typedef struct Stamps Stamps;
typedef struct Space Space;
typedef struct Opens Opens;
typedef struct Followers Followers;

typedef struct {
    Engine *engine;
    struct fuse_session *session;
    uid_t owner;    /* of everything that no user made */
    gint group;     /* gid_t of everything; atomic: the configuration may be read again */
    bool sync;      /* rmdir answers when merged */
    bool read_only; /* mounted ro */
    Inodes *inodes;
    Sweep *sweep;
    TempLinks *links;
    Blocking *blocking;
    Notifier *notifier;
    Actions *actions;
    Stamps *stamps;
    Space *space;
    Opens *opens;
    Followers *followers;
    void (*served)(void *data); /* the kernel has said hello */
    void *served_data;
} Face;
