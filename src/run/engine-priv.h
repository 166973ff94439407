/* What the files of the engine share; no other floor includes this, tests may.
 *
 * The parts: engine.c is the door's life, submit.c what comes in, engine-host.c the list of VMs and
 * the hypervisor's events, engine-vm.c one VM and what is published, queue.c the order of work on
 * one VM, work.c what a request does, power.c the state file, life.c a VM's own
 * name, merge.c the work that removals leave,
 * merge-jobs.c its jobs, thaw-job.c that of a guest that is to be thawed, job.c one job,
 * configure.c the configuration, engine-orphans.c files that nobody needs, refresh.c and view.c the
 * views, retry.c what is tried again, events.c the JSON lines, errors.c the rings, stats.c the
 * counters.
 *
 * Locks, outermost first:
 *   engine->lock   the table of VMs, queues, job lists, tickets, the views' pointers
 *   job->lock      numbers and outcome of one job; may be taken while engine->lock is held
 *   errors->lock   the rings; taken alone
 * They are held for loads, stores and swaps only. No callback (EngineDone, EngineChange), no call
 * of hv, images or vm_… is made while one is held; so hooks that vm.c calls, whatever it holds, may
 * take ours. A function whose name ends in _locked wants engine->lock held.
 *
 * Threads: everything runs as a task of one pool without a limit; engine->active counts tasks, so
 * that engine_stop knows when the last one is through. A VM has a main lane (one operation at a
 * time, in order of arrival) and, only while a merge is what the main lane does, a side lane for
 * what may run beside a merge: labels and further removals. Refreshes and job requests run beside
 * both. */
#pragma once

#include "engine.h"
#include "run/vm.h"

typedef struct Errors Errors;
typedef struct EngineVm EngineVm;
typedef struct Work Work;

/* Something that failed and is to be tried again; engine->lock. */
typedef struct {
    int64_t at;        /* monotonic µs; 0: it was not asked for, or is being tried */
    unsigned failures; /* in a row */
} Retry;

/* Counted since the start, without a lock; see engine_stats. */
typedef struct {
    int64_t since; /* monotonic µs */
    _Atomic uint64_t requests[REQUEST_KINDS], failures[REQUEST_KINDS];
    _Atomic uint64_t jobs[JOB_CANCELLED + 1]; /* by how they ended */
    _Atomic uint64_t bytes_merged, errors, events;
} Stats;

struct Engine {
    /* Constant while threads run. */
    char *uri;
    World world;
    bool owns_tables;
    char
        *remote; /* why nothing can be changed: the host is another machine; NULL: it is this one */
    Errors *errors;
    EngineChange change;
    void *change_data;
    Stats stats;
    GThreadPool *pool;
    unsigned retry_ms;         /* the first wait before something is tried again */
    unsigned start_wait_ms;    /* how long engine_start waits for the VMs' first views */
    unsigned shutdown_wait_ms; /* how long a guest may take to shut down */
    unsigned revert_wait_ms; /* how long a revert may take, from its request to its commit point */
    unsigned cancel_wait_ms; /* how long cancelling or limiting a job may take */
    unsigned done_kept_ms;   /* how long a job that went well is shown */
    unsigned answer_wait_ms; /* how long any other request may wait for its turn, and a create for
                                its first effect */

    GMutex lock;
    GCond changed; /* active, listed or an EngineVm's opened changed */
    HostView *view;
    Config *config;       /* never NULL */
    char *config_problem; /* never NULL */
    GHashTable *vms;      /* uuid → EngineVm; one that vanished stays, with present=false */
    GHashTable *tickets;  /* &Work.ticket → Work not yet answered */
    uint64_t last_ticket;
    unsigned last_job;
    uint64_t last_event; /* counts block job events and wake-ups, see EngineVm.event */
    unsigned active;
    bool stopping, up, up_known;
    uint64_t lost; /* how often libvirt was */
    char *problem; /* why the host is not up; never NULL */
    bool listing, list_wanted, reopen_wanted;
    int64_t
        forget_at; /* monotonic µs: no done job has been shown for too long before; 0: none is */
    Retry retry;   /* of the list */
    GPtrArray *orphans;    /* of OrphanView; not changed once it is here */
    char *orphans_problem; /* never NULL */
    bool orphans_wanted, orphans_looking;
    GHashTable *expunged_homes; /* directories in which something of an expunged VM was left */
    bool retrying;              /* the task that waits for retries is there */
    bool listed;                /* the first list was answered, with whatever */
};

typedef enum { WORK_REQUEST, WORK_OPEN, WORK_FINISH } WorkKind;

struct Work {
    WorkKind kind;
    Request *request; /* NULL for open and finish */
    uint64_t ticket;
    EngineDone done;
    void *data;
    int64_t since;     /* monotonic µs */
    int64_t answer_by; /* monotonic µs; 0: whenever */
    gint interrupted;  /* atomic */
    bool queued;       /* engine->lock: in its VM's queue */
    bool begun;        /* engine->lock: its first effect is on its way */
    bool answered;     /* engine->lock: its caller was told that it is given up */
    GError *outcome;   /* of a work that is answered without being run */
};

struct EngineVm {
    gint references;
    Engine *engine; /* outlives it */
    char *uuid;
    Vm *vm;

    /* engine->lock: */
    char *name;
    VmView *view;
    bool present;     /* libvirt has it */
    bool shown;       /* in the list: its first whole view is there */
    bool opened;      /* tried: recovery is over, the view stands */
    uint64_t lost;    /* engine->lost when it was opened: what was interrupted then is recovered */
    char *unopened;   /* why it has to be tried again; NULL if not */
    Retry retry;      /* of opening it if unopened, else of looking at it */
    GQueue queue;     /* of Work */
    bool main, side;  /* something is in the lane */
    Work *running;    /* the request in the main lane until it is answered; NULL */
    bool watching;    /* somebody looks that nothing waits in the queue for too long */
    bool main_merges; /* what is in the main lane is a finish */
    bool changing;    /* the chain is being changed by create or revert: drift means nothing */
    bool expunging;   /* what its rmdir still removes is no orphan */
    bool yield;       /* the running merge is to be parked: somebody else needs the main lane */
    GPtrArray *jobs;  /* of EngineJob, oldest first */
    GHashTable *cancelled; /* names whose removal was cancelled before its turn came */
    GCond changed;         /* event, refreshing */
    uint64_t event;        /* engine->last_event at the newest wake-up */
    int64_t progress_at;   /* monotonic µs of the last CHANGE_PROGRESS */
    bool refreshing, observe_wanted, refresh_queued;
    uint64_t refresh_wanted, refresh_done;
    bool loaded; /* the view has been built from a catalog: from now on differences are events */

    /* Only who set refreshing: */
    Observation *observation;
    char *drift;
    char *unseen; /* why it could not be looked at; NULL if it could, or the host is down */
    bool stale, behind;
};

/* ---- engine.c ---- */

/* An engine on tables of the caller's, which outlive it. */
Engine *engine_new_on(Hypervisor *hv, Images *images, Files *files);
/* Before engine_start: the host's files are not ours to touch. engine_new() does it by the URI. */
void engine_set_remote(Engine *engine);
typedef void (*EngineTask)(Engine *engine, EngineVm *vm, Work *work);
/* Run @task on the pool; @vm may be NULL and is kept alive until it is through. */
void engine_push_locked(Engine *engine, EngineTask task, EngineVm *vm, Work *work);
/* Tell the subscriber. @event is taken, may be NULL. */
void engine_emit(Engine *engine, ChangeKind kind, const char *vm_uuid, char *event);

/* ---- engine-vm.c: one VM of the table ---- */

EngineVm *engine_vm_new(Engine *engine, const char *uuid, const char *name);
EngineVm *engine_vm_ref(EngineVm *vm);
void engine_vm_unref(EngineVm *vm);
char *engine_vm_name(EngineVm *vm);   /* as it is now; yours */
VmView *engine_vm_view(EngineVm *vm); /* a reference */
/* Everybody who waits for this VM looks again. */
void engine_vm_wake_locked(EngineVm *vm);
/* Replace the VM's view (taken) and the host's. Returns the old one, yours. */
VmView *engine_vm_publish_locked(EngineVm *vm, VmView *view);
/* The same with the present view and a new list of jobs. */
void engine_vm_publish_jobs_locked(EngineVm *vm);
/* Done jobs that were shown for long enough go. There is no timer for this, an idle daemon does
 * nothing: who looks at the view sees to it. */
void engine_forget_jobs_locked(Engine *engine);
/* The list of VMs or the host's state changed: who looks next gets a new view of the host. It is
 * made then, since with thousands of VMs there are more changes than looks. */
void engine_publish_locked(Engine *engine);
/* Borrowed from @engine until the lock is let go. */
HostView *engine_view_locked(Engine *engine);

/* ---- engine-host.c ---- */

/* Open the VM, take up what was left, build its first view. */
void host_open_vm(EngineVm *vm);
/* @vm has just been opened: its merges go on, and what was said of it until now is over. */
bool host_opened(EngineVm *vm, GError **error);
void host_queue_open_locked(EngineVm *vm);
/* The VM could not be opened, or what removals left there could not be found out: it is opened
 * again later, unless nothing is to be hoped from that. */
void host_open_failed(EngineVm *vm, const GError *error, int64_t since);
/* The same, and nothing is put into the rings. True: it is the first failure, which is news. */
bool host_open_again(EngineVm *vm, const GError *error);

/* How often libvirt was lost until now. Asked before the VM is opened, and given back with the
 * outcome (@error may be NULL): what was interrupted then is recovered, or cannot be. */
uint64_t host_lost_count(Engine *engine);
void host_note_recovery(EngineVm *vm, uint64_t lost, const GError *error);
/* libvirt was lost since, and nothing says what the chain is to be. A merge that outlived that goes
 * by what it sees. */
bool host_is_behind_locked(const EngineVm *vm);

/* libvirt does not have it any more: it goes from the list, if it is still there. */
void host_lose_vm(EngineVm *vm);

void host_event(HvEventKind kind, const char *uuid, const char *target, void *data);
/* List the domains soon; @reopen: and open every VM, since we may have missed anything. */
void host_list_locked(Engine *engine, bool reopen);
/* A call said that the host is down: if so, show it. False: it is up, and nobody will say so. */
bool host_lost(Engine *engine, const char *why);

/* ---- engine-orphans.c ---- */

/* Look for orphans soon, from the pool: after whatever may have left some, or hidden some. */
void orphans_look_soon_locked(Engine *engine);
void orphans_free(Engine *engine, EngineVm *vm, Work *work);

/* ---- engine-expunged.c ---- */

/* Something of @vm could not be removed: it is looked for where the VM's files are. */
void expunged_note_homes(EngineVm *vm);
/* Remove what expunged VMs left, and add what cannot be removed to @orphans. */
void expunged_look(Engine *engine, GPtrArray *orphans);
/* Try it again for @path. False: it is of none of them. @error: it is still there. */
bool expunged_free_path(Engine *engine, const char *path, GError **error);

/* ---- queue.c ---- */

Work *work_new(WorkKind kind, Request *request, EngineDone done, void *data);
void work_free(Work *work);
void queue_add_locked(EngineVm *vm, Work *work);
/* Queue a finish unless one waits there already. */
void queue_finish_locked(EngineVm *vm);
/* Start what may start now. */
void queue_start_locked(EngineVm *vm);
/* Take @work out of the queue, if it is there, and answer it with @error (taken; NULL: success)
 * from the pool. */
void queue_refuse_locked(EngineVm *vm, Work *work, GError *error);
/* Answer in time who said by when; to be called for a new one. */
void queue_watch_locked(EngineVm *vm);
/* Answer @work with @error (taken), which says that nothing was changed, if that can still be made
 * true: it waits in the queue, or it is being looked at whether and how it can be done. */
void queue_give_up_locked(EngineVm *vm, Work *work, GError *error);
/* Answer @work, which runs, with @error (taken): its caller need not wait until libvirt, the
 * storage or an image lock answers. If nothing of it has begun it will find that it was
 * interrupted. */
void queue_answer_early_locked(Engine *engine, EngineVm *vm, Work *work, GError *error);
/* queue_give_up_locked for all of them, and for the one that runs, with copies of @error. */
void queue_refuse_all_locked(EngineVm *vm, const GError *error);

/* ---- submit.c ---- */

const char *request_kind_name(RequestKind kind); /* "create" */

/* ---- work.c ---- */

/* Do it; false: it is answered later, by its job. */
bool work_run(EngineVm *vm, Work *work, GError **error);
/* Log it, put a failure into the rings, call back, free. */
void work_answer(Engine *engine, EngineVm *vm, Work *work, const GError *error);
void work_answer_task(Engine *engine, EngineVm *vm, Work *work);
/* A work in its lane, for its hooks. */
typedef struct {
    EngineVm *vm;
    Work *work;
} WorkRunning;
/* VmHooks.interrupted, of a WorkRunning. Asked before each effect up to the commit point: who is
 * told no has it done. */
bool work_is_interrupted(void *running);
/* ERR_BUSY if a merge runs: it may have been accepted while this waited in the queue. */
bool work_check_idle(EngineVm *vm, GError **error);
/* Job requests, and a look: beside the lanes. */
void work_drop_job(Engine *engine, EngineVm *vm, Work *work);
void work_set_bandwidth(Engine *engine, EngineVm *vm, Work *work);
void work_rescan(Engine *engine, EngineVm *vm, Work *work);

/* ---- vars.c ---- */

/* Beside the lanes: nothing is changed. */
void vars_read(Engine *engine, EngineVm *vm, Work *work);
bool vars_run_set(EngineVm *vm, Work *work, GError **error);
bool vars_run_reset(EngineVm *vm, Work *work, GError **error);

/* ---- power.c ---- */

bool power_run(EngineVm *vm, Work *work, GError **error);

/* ---- life.c ---- */

bool life_move(EngineVm *vm, Work *work, GError **error);
bool life_expunge(EngineVm *vm, Work *work, GError **error);

/* ---- job.c ---- */

#define JOB_MERGE "merge"
#define JOB_THAW  "thaw"
/* @kind: one of these. */
EngineJob *job_new(const char *kind, unsigned id, const char *vm_uuid, const char *target,
                   const char *snapshot, const GPtrArray *disk_targets, uint64_t bandwidth);
EngineJob *job_ref(EngineJob *job);
void job_unref(EngineJob *job);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EngineJob, job_unref)
bool job_is_merge(const EngineJob *job);
const char *job_snapshot(const EngineJob *job); /* id, or NULL if not known */
void job_set_owner(EngineJob *job, uid_t uid, pid_t pid);
uid_t job_uid(const EngineJob *job);
pid_t job_pid(const EngineJob *job);
/* Drafts are jobs of removals not accepted yet: found by the merge, not shown. */
void job_show(EngineJob *job);
bool job_is_shown(EngineJob *job);
/* The work that runs is about it; engine->lock. */
void job_set_begun(EngineJob *job, bool begun);
bool job_is_begun(EngineJob *job);
void job_set_pass(EngineJob *job, unsigned pass);
void job_set_cancelled(EngineJob *job, bool cancelled); /* asked for */
bool job_is_cancelled(EngineJob *job);
void job_set_bandwidth(EngineJob *job, uint64_t bandwidth);
/* What copies on @target keeps to that limit now; BANDWIDTH_NONE: nothing copies there. Returns
 * whether that is news. */
bool job_set_limit(EngineJob *job, const char *target, uint64_t bandwidth);
/* The wanted bandwidth is in force wherever something copies. */
bool job_is_limited(EngineJob *job);
void job_set_progress(EngineJob *job, const char *target, uint64_t done, uint64_t total,
                      bool finished);
/* The end: @error NULL is success. Only the first call counts; returns false for the others. */
bool job_end(EngineJob *job, JobState state, const GError *error);
/* How it failed; new, NULL if it did not. */
GError *job_error(EngineJob *job);
int64_t job_since(const EngineJob *job); /* monotonic µs */
int64_t job_ended(EngineJob *job);       /* monotonic µs, 0 while running */
/* Works that are answered when it ends; @drop: with success in any case. engine->lock. */
void job_add_waiter_locked(EngineJob *job, Work *work, bool drop);
GPtrArray *job_steal_waiters_locked(EngineJob *job, bool drop);
/* Those of them that wait for the job to stop; borrowed. */
const GPtrArray *job_droppers_locked(const EngineJob *job);
/* @work does not wait for the job any more; false: it did not. */
bool job_take_waiter_locked(EngineJob *job, Work *work);

/* ---- merge-jobs.c ---- */

EngineJob *merge_find_locked(EngineVm *vm, const char *target);
EngineJob *merge_running_locked(EngineVm *vm); /* any shown one; NULL */
/* Put a new job of any kind, which is in the list, into the view, and tell. */
void merge_show(EngineVm *vm, EngineJob *job);
/* Make the job of the next piece of work, if there is one; a finish is queued if there is any. */
bool merge_adopt(EngineVm *vm, GError **error);
/* The running job named @target, made and shown if there is none; a reference. */
EngineJob *merge_obtain_job(EngineVm *vm, const char *target, const GPtrArray *targets);
/* The id of the snapshot that work named @target is about, or NULL. */
const char *merge_removed_snapshot(const Catalog *catalog, const char *target);
/* Make the jobs of everything that waits for its merge. */
void merge_announce(EngineVm *vm);
/* A request began with the recovery of a removal that had failed: if that goes on now, so does its
 * job, and the view says so when the request is answered. */
void merge_take_up(EngineVm *vm);
/* A removal is about to be asked for: its job, as a draft. */
EngineJob *merge_draft(EngineVm *vm, const Request *request);
void merge_forget_draft(EngineVm *vm, EngineJob *job);
/* The removal was accepted and has work. */
void merge_accept(EngineVm *vm, EngineJob *job);
/* Set the limit of @job and of those that are one pass with it. */
void merge_limit_locked(EngineVm *vm, EngineJob *job, uint64_t bandwidth);
/* End a job, publish, tell, answer its waiters. */
void merge_end(EngineVm *vm, EngineJob *job, JobState state, const GError *error);
/* End the jobs of whatever has nothing left to be done, with @cause if that is why. */
void merge_end_settled(EngineVm *vm, const GError *cause);
/* Answer and free all of @works, and the array. */
void merge_answer_all(EngineVm *vm, GPtrArray *works, const GError *error);
/* @work does not wait for its job any more: the caller answers it. False: it waits for none. */
bool merge_take_waiter_locked(EngineVm *vm, Work *work);
/* Failed jobs of that snapshot are no longer news. */
void merge_dismiss_failed(EngineVm *vm, const char *target, const char *snapshot);

/* ---- thaw-job.c ---- */

/* A thaw that is owed to the guest has a job, from now on; nothing to do if none is. */
void thaw_watch(EngineVm *vm);
/* ERR_BUSY if a snapshot that would freeze the guest has to wait for that job. */
bool thaw_check(EngineVm *vm, GError **error);

/* ---- merge.c ---- */

/* Do work until nothing is left or something needs the lane. */
void merge_run(EngineVm *vm);

/* ---- retry.c ---- */

/* Is @vm to be opened again? Else it is only looked at. */
bool retry_is_to_open(EngineVm *vm);
/* Try it again later, the later the more often it has failed. True: this is the first failure. */
bool retry_later_locked(Engine *engine, Retry *retry);
/* After an operation of which @error came: a catalog that turns out to be unusable is looked at
 * again until somebody has mended it. */
void retry_unusable(EngineVm *vm, const GError *error);
/* What an operation has left open is brought to its end by opening the VM, which nobody need ask
 * for; where libvirt is gone (@failure: its error, or NULL) it is opened when that is back. */
void retry_left(EngineVm *vm, const GError *failure);
/* It has worked, or need not be tried. */
void retry_not_locked(Retry *retry);
/* The VM could be opened, or looked at; a merge of it that is to go on may still fail as before. */
void retry_well_locked(EngineVm *vm);

/* ---- stats.c ---- */

void stats_count_request(Stats *stats, RequestKind kind, bool failed);
/* One that has ended. */
void stats_count_job(Stats *stats, EngineJob *job);

/* ---- refresh.c ---- */

/* Build the view again and publish it; returns when a build that began after this call is out.
 * @observe: with fresh facts from the hypervisor, else only the catalog is read again. True: this
 * call built it, and the VM runs on variables of which its catalog does not know (vm_has_news). */
bool refresh_now(EngineVm *vm, bool observe);
/* The same, soon, from the pool; requests that have not begun are one. */
void refresh_soon_locked(EngineVm *vm);

/* ---- view.c ---- */

/* What a view of a VM is made of. observation may be NULL: @previous is used for what it lacks. */
typedef struct {
    const char *uuid, *name;
    const Observation *observation;
    const Catalog *catalog;
    const char *home, *drift;
    const char *problem; /* the catalog cannot be used */
    const char *trouble; /* something else that the user should know; NULL: nothing */
    Files *files;        /* ours, where what snapshots keep is */
    const VmView *previous;
} ViewFacts;
VmView *view_build(const ViewFacts *facts);
VmView *view_first(const HvDomain *domain);
/* Same facts; what is inside is shared. */
VmView *view_copy(const VmView *view);
void view_set_jobs(VmView *view, GPtrArray *jobs);
HostView *view_host(const Engine *engine, GPtrArray *vms); /* @vms is taken */

/* ---- events.c: JSON objects, new strings ---- */

/* Pairs of key and value end with NULL. */
char *event_make(const char *type, const VmView *vm, ...) G_GNUC_NULL_TERMINATED;
char *event_of_job(const char *type, const VmView *vm, EngineJob *job);
/* What changed from @before to @after, one object each. */
GPtrArray *events_between(const VmView *before, const VmView *after);

/* ---- errors.c ---- */

Errors *errors_new(void);
void errors_free(Errors *errors);
const char *errors_name(const GError *error); /* "EBUSY" */
/* The next number of an operation; a failure's line goes into both rings. */
uint64_t errors_add(Errors *errors, const char *vm_uuid, uid_t uid, pid_t pid,
                    const char *operation, const GError *error);
char *errors_text(Errors *errors, const char *vm_uuid);
uint64_t errors_sequence(Errors *errors, const char *vm_uuid);
/* errors_add, the log line, CHANGE_ERRORS. @since monotonic µs. */
void errors_operation(Engine *engine, EngineVm *vm, uid_t uid, pid_t pid, const char *operation,
                      const GError *error, int64_t since);
