/* The sweep guard (design 2.1): a process that deletes its way through the tree removes no
 * snapshot, one that is given a snapshot by name is taken at its word.
 *
 * Per process and VM, unlink inside a snapshot and rmdir of it are refused for ten seconds, renewed
 * by each refusal, after (a) an unlink or rmdir outside snapshots/ was refused to it (at root
 * level: for all VMs), (b) it opened both snapshots/ and that snapshot as directories, (c) it
 * opened a file of that snapshot for reading and then unlinked one there. The same goes for jobs/
 * and each job, for the files of orphans/ as a whole, and for that of nvram/. A process is its
 * thread group and start time; one that /proc does not know is judged by its uid. Thread-safe. */
#pragma once

#include "fs/face.h"

typedef struct {
    pid_t pid;
    uid_t uid;
} Caller;

Sweep *sweep_new(void);
void sweep_free(Sweep *sweep);

/* (a); @uuid "" for all VMs. */
void sweep_refused(Sweep *sweep, Caller caller, const char *uuid);
/* Of what follows, @list is "snapshots" or "jobs", and @id one in it; or "orphans" or "nvram", and
 * @id is "". */

/* (b): the list of a VM was opened as a directory (@id NULL), or one in it was. */
void sweep_opened(Sweep *sweep, Caller caller, const char *uuid, const char *list, const char *id);
/* (c): a file in it was opened for reading. */
void sweep_read(Sweep *sweep, Caller caller, const char *uuid, const char *list, const char *id);

/* May @caller unlink something in it, or remove it? A "no" renews itself. */
bool sweep_allows_unlink(Sweep *sweep, Caller caller, const char *uuid, const char *list,
                         const char *id);
bool sweep_allows_rmdir(Sweep *sweep, Caller caller, const char *uuid, const char *list,
                        const char *id);

/* A move of a snapshot to @name of the VM @uuid was refused: Python's shutil.move and its like now
 * make that directory to copy into it, and no snapshot shall be taken by that (design 2.2). */
void sweep_refused_move(Sweep *sweep, Caller caller, const char *uuid, const char *name);
bool sweep_allows_mkdir(Sweep *sweep, Caller caller, const char *uuid, const char *name);
