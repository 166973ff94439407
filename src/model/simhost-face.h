/* What the two faces of a SimHost (hv/fake, image/fake) ask of it: the effects and facts of
 * libvirt, QEMU and qemu-img. Tests use model/simhost.h. Every function takes the host's mutex;
 * errors are sentences of our domain. */
#pragma once

#include "model/capabilities.h"
#include "model/simhost.h"

/* What happened, told to the one listener. Called with the host's mutex held: it may only put it
 * into a queue. */
typedef enum { SIM_DOMAIN, SIM_BLOCK_JOB, SIM_DOWN, SIM_UP } SimNoticeKind;
typedef void (*SimNotice)(SimNoticeKind kind, const char *uuid, const char *target, void *data);
void simhost_listen(SimHost *host, SimNotice notice, void *data); /* NULL ends it */
bool simhost_is_down(SimHost *host);

/* How long a call takes, for tests of what waits: the faces sleep that long, holding nothing. */
typedef enum {
    SIM_SLOW_SNAPSHOT,
    SIM_SLOW_DEFINE,
    SIM_SLOW_START,
    SIM_SLOW_SHUTDOWN,
    SIM_SLOW_OVERLAY,
    SIM_SLOW_COMMIT, /* each block of an offline commit */
    N_SIM_SLOW
} SimSlow;
void simhost_set_slow(SimHost *host, SimSlow call, unsigned milliseconds);
unsigned simhost_slow(SimHost *host, SimSlow call);

/* Domains. ERR_NOT_FOUND if there is no such one. */
typedef struct {
    char *uuid, *name;
    DomainState state;
    bool persistent, managed_save;
    unsigned snapshots;
    char *foreign_job;
    char *live, *inactive, *saved; /* XML, NULL where there is none */
} SimFacts;
void sim_facts_clear(SimFacts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SimFacts, sim_facts_clear)
GPtrArray *simhost_list(SimHost *host); /* char * uuids, in order of making; yours */
bool simhost_glance(SimHost *host, const char *uuid, SimFacts *out_facts); /* without any XML */
bool simhost_inspect(SimHost *host, const char *uuid, SimFacts *out_facts, GError **error);

/* A reference. */
Capabilities *simhost_capabilities(SimHost *host);

bool simhost_define(SimHost *host, const char *uuid, const char *xml, GError **error);
bool simhost_rename(SimHost *host, const char *uuid, const char *new_name, GError **error);
bool simhost_undefine(SimHost *host, const char *uuid, GError **error);
bool simhost_set_metadata(SimHost *host, const char *uuid, const char *home, uint64_t generation,
                          GError **error);
bool simhost_snapshot(SimHost *host, const char *uuid, const GPtrArray *switches,
                      const GPtrArray *excluded, GError **error);
bool simhost_power_on(SimHost *host, const char *uuid, GError **error);
bool simhost_shutdown(SimHost *host, const char *uuid, GError **error);
bool simhost_destroy(SimHost *host, const char *uuid, GError **error);
/* Running to paused and back. */
bool simhost_pause(SimHost *host, const char *uuid, bool paused, GError **error);

/* The guest agent: ERR_UNSUPPORTED without one, ERR_TIMEOUT from a silent one, ERR_IO from one that
 * answers with an error. */
bool simhost_agent_timeout(SimHost *host, const char *uuid, unsigned seconds, GError **error);
bool simhost_freeze(SimHost *host, const char *uuid, unsigned *out_count, GError **error);
bool simhost_thaw(SimHost *host, const char *uuid, unsigned *out_count, GError **error);
bool simhost_ask_frozen(SimHost *host, const char *uuid, bool *out_frozen, GError **error);

/* Block jobs. */
typedef struct {
    bool exists, active, ready;
    uint64_t done, total;
} SimJobLook;
bool simhost_job_start(SimHost *host, const char *uuid, const char *target, const char *top,
                       const char *base, bool active, GError **error);
/* Lets the job go on by one portion, then tells how it stands. */
bool simhost_job_look(SimHost *host, const char *uuid, const char *target, SimJobLook *out_look,
                      GError **error);
bool simhost_job_pivot(SimHost *host, const char *uuid, const char *target, GError **error);
bool simhost_job_abort(SimHost *host, const char *uuid, const char *target, GError **error);
/* Is there a job whose bandwidth could be set? It has no meaning here. */
bool simhost_job_speed(SimHost *host, const char *uuid, const char *target, GError **error);

/* Image files, as qemu-img and our own reader see them. */
typedef struct {
    char *format, *backing, *backing_format;
    uint64_t capacity, allocation, inode;
    bool written; /* QEMU writes to it, or a lock is held on it */
} SimImageFacts;
void sim_image_facts_clear(SimImageFacts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(SimImageFacts, sim_image_facts_clear)
bool simhost_image_facts(SimHost *host, const char *path,
                         SimImageFacts *out_facts); /* false: no such file */
bool simhost_overlay(SimHost *host, const char *path, const char *backing,
                     const char *backing_format, uint64_t capacity, GError **error);
bool simhost_repoint(SimHost *host, const char *path, const char *backing,
                     const char *backing_format, GError **error);
/* @beside: also though the running VM that is on @beside has it open, but in no chain. */
bool simhost_unlink(SimHost *host, const char *path, const char *beside, GError **error);
uint64_t simhost_free_space(SimHost *host);
bool simhost_lock(SimHost *host, const char *path, GError **error);
void simhost_unlock(SimHost *host, const char *path);

/* State files and directories of them, by path (ImageOps.read_state …). What is in a directory has
 * its path; a file elsewhere needs none. */
GBytes *simhost_state_read(SimHost *host, const char *path, GError **error);
bool simhost_state_write(SimHost *host, const char *path, GBytes *content, bool replace,
                         GError **error);
GPtrArray *simhost_state_read_directory(SimHost *host, const char *path, GError **error);
bool simhost_state_write_directory(SimHost *host, const char *path, const GPtrArray *files,
                                   GError **error);
bool simhost_state_exchange(SimHost *host, const char *a, const char *b, GError **error);
GPtrArray *simhost_state_paths(SimHost *host); /* of files and directories; char *, yours */
bool simhost_state_remove_directory(SimHost *host, const char *path, GError **error);

/* An offline commit, block by block; both files are locked from begin to end. */
typedef struct {
    SimHost *host; /* borrowed */
    char *top, *base;
    GArray *blocks; /* of unsigned: what is to be copied */
    unsigned done;
    GPtrArray *links; /* top … base */
} SimCommit;
SimCommit *simhost_commit_begin(SimHost *host, const char *top, const char *top_format,
                                const char *base, const char *base_format, GError **error);
/* Copies the next block. Not to be called when done == blocks->len. */
bool simhost_commit_step(SimCommit *commit, GError **error);
void simhost_commit_end(SimCommit *commit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimCommit, simhost_commit_end)
