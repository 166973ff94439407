/* The one door to the engine: open, start, view, submit, subscribe. The face (fs/) includes this
 * and base/, model/names.h, model/catalog.h (state words, policy keys), model/config.h; nothing
 * else.
 *
 * Views are immutable and reference-counted: take one, read it without a lock, drop it. Everything
 * in a view is borrowed from it. Strings are never NULL unless said. */
#pragma once

#include "base/error.h"
#include "model/catalog.h"
#include "model/config.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct Engine Engine;
typedef struct EngineJob
    EngineJob; /* a running or finished job: thread-safe, reference-counted, its numbers live */

/* ---- views ---- */

typedef struct {
    char *target, *file, *format;
    uint64_t capacity, allocation; /* bytes */
} LayerView;

/* A file of a vTPM's state that is kept with a snapshot. */
typedef struct {
    char *name;
    uint64_t size; /* bytes */
} StateFileView;

typedef struct {
    char *id, *name;
    char *parent; /* snapshot id or NULL */
    SnapshotState state;
    bool hidden;     /* shown in hidden/<id>, not in snapshots/ */
    int64_t created; /* microseconds */
    char *consistency, *description, *warnings, *error;
    unsigned children;
    uid_t uid;
    mode_t mode;
    GPtrArray *disks;     /* of LayerView */
    Sidecar *vars, *tpm;  /* what is kept with it; NULL: nothing */
    GPtrArray *tpm_files; /* of StateFileView, by name; empty where nothing is kept or readable */
} SnapshotView;

typedef struct {
    char *target, *source, *format;
    uint64_t capacity, allocation;
    bool included;
    char *reason;     /* why not included, or "" */
    GPtrArray *chain; /* char *: paths, active first */
} DiskView;

/* The VM's own UEFI variable store (NVRAM), as it was when the VM was last looked at. */
typedef struct {
    char *needed; /* why: "secure-boot", "tpm", "uefi", or "no" */
    char *state;  /* "ready", "missing", "empty", "badsize", "unused", "none"; "" unknown */
    char *path, *template; /* "" if there is none, or it is not known */
    char *format;          /* what is in the file: "raw", "qcow2"; "" if it is not there */
    bool exists;           /* the file is there */
    bool vanished;         /* it is not there, but was */
    uint64_t size;         /* of the file; bytes */
    uint64_t whole;        /* how many bytes a new content has; 0: not known */
} VarsView;

/* The VM's TPM. */
typedef struct {
    char *version; /* "2.0", "1.2"; "" if it has none */
    char *state;   /* "ready", "missing", "none"; "passthrough" and "external": no files of ours; ""
                      unknown */
    char *path;    /* of the directory with its state, or "" */
} TpmView;

typedef struct {
    gint references; /* private */
    char *uuid, *name;
    char *state;    /* "running" "paused" "shutoff" "other" */
    bool frozen;    /* its guest was frozen by us, or may come to be, and was not seen thawed yet */
    bool stale;     /* libvirt cannot be asked now (the host is down), or what was interrupted when
                       it went away has not been recovered yet */
    bool read_only; /* its snapshots cannot be changed; `problem` says why */
    char *problem;  /* "" or a sentence: also what failed and is being tried again */
    char *drift;    /* "" or one sentence a line */
    char *home;     /* "" before the first snapshot */
    uint64_t generation;
    bool persistent, managed_save, uefi, tpm;
    VarsView *nvram;
    TpmView *vtpm;
    char *current;        /* snapshot id or NULL */
    GPtrArray *snapshots; /* of SnapshotView, oldest first, hidden ones too */
    GPtrArray *disks;     /* of DiskView, in the definition's order */
    GPtrArray *jobs; /* of EngineJob *, oldest first: running and finished ones not yet dismissed */
    GHashTable *policy; /* key → value, every key */
} VmView;

/* A file of ours that nothing refers to any more. */
typedef struct {
    char *name; /* of the file; with ~2, ~3 … where several have it */
    char *path;
    uint64_t allocation; /* bytes */
} OrphanView;

typedef struct {
    gint references; /* private */
    char *uri;
    bool up;               /* libvirt answers */
    char *problem;         /* why not, or what else keeps it from working as it should, or "" */
    char *config;          /* the configuration file in force, or "" */
    char *config_problem;  /* why not all of what that file now says is in force, or "" */
    GPtrArray *vms;        /* of VmView *, by name */
    GPtrArray *orphans;    /* of OrphanView *, by path; empty while they cannot be told */
    char *orphans_problem; /* why they cannot be told, or "" */
} HostView;

HostView *engine_view(Engine *engine); /* a reference: drop with host_view_unref */
void host_view_unref(HostView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostView, host_view_unref)
VmView *vm_view_ref(const VmView *view);
void vm_view_unref(VmView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VmView, vm_view_unref)
const VmView *host_view_find(const HostView *view, const char *name); /* by name; borrowed, NULL */
const VmView *host_view_of_uuid(const HostView *view, const char *uuid); /* likewise */
const SnapshotView *vm_view_snapshot(const VmView *view, const char *id);
const SnapshotView *vm_view_named(const VmView *view, const char *name); /* listed ones only */
/* Can the VM's own UEFI variables be replaced or reset, as far as this view knows? The request
 * asks again. ERR_BUSY: the VM is not off; ERR_UNSUPPORTED: it has none that could be. */
bool vm_view_check_vars(const VmView *view, GError **error);

/* ---- jobs ---- */

typedef enum { JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED } JobState;
typedef struct {
    char *target;
    uint64_t done, total; /* bytes; total 0 = not known yet */
    uint64_t rate;        /* bytes/s, smoothed; 0 = unknown */
    bool finished;
} JobDisk;
unsigned engine_job_id(
    const EngineJob *job); /* 1, 2, 3 … per VM since the daemon's start… unique on the host */
const char *engine_job_kind(const EngineJob *job);   /* "merge", "thaw" */
const char *engine_job_vm(const EngineJob *job);     /* uuid */
const char *engine_job_target(const EngineJob *job); /* the snapshot's name at the time; of a
                                                        thaw the VM's */
int64_t engine_job_created(const EngineJob *job);    /* microseconds */
/* The job that stands for the pass over the data which this one is part of: itself, or the first of
 * a run of removals that are merged together and show the same numbers. */
unsigned engine_job_pass(EngineJob *job);
JobState engine_job_state(EngineJob *job);
char *engine_job_result(EngineJob *job);       /* "" while running, "ok", or a sentence; yours */
uint64_t engine_job_bandwidth(EngineJob *job); /* bytes/s, 0 = no limit */
GPtrArray *engine_job_disks(EngineJob *job);   /* of JobDisk copies; yours; a thaw has none */
void job_disk_free(JobDisk *disk);

/* ---- requests ---- */

typedef enum {
    REQUEST_CREATE,        /* name (→ new snapshot), uid, mode; text = description */
    REQUEST_RENAME,        /* name → new_name */
    REQUEST_REMOVE,        /* name; flag `sync`: answered when merged */
    REQUEST_REVERT,        /* name */
    REQUEST_DESCRIBE,      /* name, text */
    REQUEST_MODE,          /* name, mode */
    REQUEST_POLICY,        /* name = key, text = value */
    REQUEST_POWER,         /* text: running, paused, shutoff, off */
    REQUEST_JOB_DROP,      /* job: cancel a running one (answered when it has stopped), dismiss a
                              finished one */
    REQUEST_JOB_BANDWIDTH, /* job, number bytes/s */
    REQUEST_ADOPT,         /* uid, mode (of what is found) */
    REQUEST_FREE,          /* text = path of an orphan; vm is "" */
    REQUEST_MOVE,          /* new_name: of the VM itself */
    REQUEST_EXPUNGE,       /* undefine the VM itself */
    REQUEST_RESCAN,        /* look at the VM again; answered when the fresh view is out */
    REQUEST_READ,          /* name = id of a snapshot, NULL: the VM's own; text = file of the vTPM's
                              state, NULL: the UEFI variables; content is filled in */
    REQUEST_SET_VARS,      /* content (→ the VM's own UEFI variables) */
    REQUEST_RESET_VARS,    /* they go; the next start makes them anew */
    REQUEST_KINDS          /* how many there are */
} RequestKind;

typedef struct {
    RequestKind kind;
    char *vm; /* uuid */
    char *name, *new_name, *text;
    uid_t uid;
    pid_t pid;
    mode_t mode;
    unsigned job;
    uint64_t number;
    bool sync;
    GBytes *content;
    char *operation; /* "mkdir web01/snapshots/x": for errors, log and journal */
} Request;
Request *request_new(RequestKind kind, const char *vm_uuid);
void request_free(Request *request);

/* How a request ended. Called once per request, from an engine thread (or from engine_submit's own
 * for a refusal that needs no waiting), holding no lock; @error is borrowed, NULL on success. By
 * then engine_view() shows the result. The request is there until this returns. */
typedef void (*EngineDone)(const GError *error, void *data);

/* Takes the request. Returns a ticket for engine_interrupt. The engine itself writes a line into
 * the error ring for each refusal or failure. */
uint64_t engine_submit(Engine *engine, Request *request, EngineDone done, void *data);
/* The caller was interrupted: before the point of no return the request ends with ERR_INTERRUPTED
 * (what was done is undone); after it, it goes on. */
void engine_interrupt(Engine *engine, uint64_t ticket);

/* ---- errors: the ring behind `errors` (design 2.2) ---- */

/* Add a line for a refusal the face made itself; @vm NULL: only the host's ring. "SEQ TIME uid=U
 * pid=P OP PATH ERRNO: sentence". */
void engine_report(Engine *engine, const char *vm_uuid, uid_t uid, pid_t pid, const char *operation,
                   const GError *error);
/* The last 256 lines, newest last; vm NULL: all. New text. */
char *engine_errors(Engine *engine, const char *vm_uuid);
/* Changes with every line of that ring. */
uint64_t engine_errors_sequence(Engine *engine, const char *vm_uuid);

/* ---- configuration ---- */

/* From now on that configuration is in force; @problem says what in it is not ("" if all is). Any
 * time, from one thread at a time. */
void engine_configure(Engine *engine, const Config *config, const char *problem);
/* It could not be read again: what was in force stays, and @error is shown and reported. */
void engine_configure_failed(Engine *engine, const char *path, const GError *error);

/* ---- numbers ---- */

typedef struct {
    char key[32]; /* a word of a-z and _ */
    uint64_t value;
} EngineStat;
/* What is counted, since the start or as it is now, always in the same order. Keys are only ever
 * added. Of EngineStat; yours. */
GArray *engine_stats(Engine *engine);

/* ---- changes ---- */

typedef enum {
    CHANGE_VMS,      /* the list of VMs, or the host's state */
    CHANGE_VM,       /* state, disks, catalog of a VM: its view was replaced */
    CHANGE_JOBS,     /* jobs came, went, ended */
    CHANGE_PROGRESS, /* numbers only; at most once a second per VM */
    CHANGE_ERRORS,
} ChangeKind;
/* Called from engine threads after the view was replaced, holding no lock; must not block. @event:
 * a JSON object without newline for `.vmsnapfs/events`, or NULL (progress has none). @vm is NULL
 * for CHANGE_VMS. */
typedef void (*EngineChange)(ChangeKind kind, const char *vm_uuid, const char *event, void *data);
void engine_subscribe(Engine *engine, EngineChange change,
                      void *data); /* one subscriber; before engine_start */

/* ---- life ---- */

/* Opens @uri (ERR_INVALID if malformed) and nothing else; no thread is made before engine_start
 * (the caller may fork between them). */
Engine *engine_new(const char *uri, GError **error);
/* Fork the process that thaws guests if this one dies with them frozen (run/guardian.h). Before
 * engine_start, while there is no thread. Nothing to do for a simulated or remote host. */
bool engine_guard(Engine *engine, GError **error);
/* Connects, lists, recovers what was interrupted (each VM in the background), and returns when
 * every VM is listed; an unreachable libvirt is no error. */
bool engine_start(Engine *engine, GError **error);
/* No new requests (ERR_INTERRUPTED); pending ones are answered: past the commit point with their
 * result, before it with ERR_INTERRUPTED. Merge jobs are parked: live ones go on in QEMU and are
 * adopted at the next start, offline ones stop and are redone. Returns when no engine thread works
 * any more. */
void engine_stop(Engine *engine);
/* While engine_stop waits for a libvirt or a storage that does not answer, and the process is to
 * end without them: answers all that is still pending (ERR_IO). Returns the names of the VMs on
 * which something still works, "web01, db01"; yours. */
char *engine_give_up(Engine *engine);
void engine_free(Engine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Engine, engine_free)
