/* A bench for tests of the engine: a simulated host with VMs, an engine on it, and waiting for
 * conditions by the engine's own notices (60 s at most). */
#pragma once

#include "run/engine-priv.h"

#include "hv/fake.h"
#include "image/fake.h"
#include "model/simhost-face.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define WEB "aaaaaaaa-0000-4000-8000-000000000001"
#define DB  "aaaaaaaa-0000-4000-8000-000000000002"

typedef struct {
    SimHost *host;
    Hypervisor *hv;
    Images *images;
    Files *files;
    Engine *engine;
    HvOps hv_ops; /* those of the fakes, with the troubles below */
    ImageOps image_ops;
    GMutex lock;                       /* guards what follows */
    char *hidden_vm;                   /* a uuid that the hypervisor says is not defined */
    char *garbled_vm;                  /* a uuid whose definition is no XML */
    bool lists_fail, looks_fail;       /* libvirt answers with an error */
    bool confused;                     /* which is no timeout */
    unsigned questions, lost_question; /* about domains and jobs so far; the one not answered */
    bool hangs;                        /* libvirt does not answer at all, for now */
    bool dies;                         /* libvirt goes down when it is asked about a domain */
    bool aborts_hang;                  /* libvirt does not answer when a block job is to end */
    bool late;                         /* the caller gives up in the middle of the commit point */
    bool events_at_commit;             /* libvirt tells of the VM in the middle of a snapshot */
    char *broken_disk; /* a target on which no block job can be started, limited or ended */
    bool events_lost;  /* those of block jobs do not come */
    bool dawdles;      /* who is told that libvirt is there takes its time */
    HvEvent event;     /* the engine's */
    void *event_data;
    GHashTable *busy;    /* path → for how many more milliseconds another program has its lock */
    GHashTable *grabbed; /* paths that another program locks as soon as they are free */
    GHashTable *locks;   /* ImageLock → path: what the engine holds */
    unsigned waited_ms;  /* for image locks, altogether */
    GCond changed;
    unsigned changes;
    GPtrArray *events; /* char * */
} Bench;

/* A host with the VMs web (two disks) and db (one), off; the engine is made, not started. */
Bench *bench_new(void);
void bench_free(Bench *bench);
void bench_start(Bench *bench);
/* The set-up and tear-down of a test: a started bench in *state. */
int bench_set_up(void **state);
int bench_tear_down(void **state);
/* The daemon ends, and another one begins on the same host. */
void bench_restart(Bench *bench);
/* The same, and the host is another machine. */
void bench_restart_remote(Bench *bench);
/* The hypervisor does not know @uuid any more; NULL: it knows all again. Says so by an event. */
void bench_hide(Bench *bench, const char *uuid);

/* The definition of @uuid is no XML any more; NULL: all are whole again. */
void bench_garble(Bench *bench, const char *uuid);
/* From now on libvirt answers with an error when it is asked for the list, or for one domain. */
void bench_fail(Bench *bench, bool lists, bool looks);
/* While @confused, what it is asked about one domain fails at once, as when that QEMU has died. */
void bench_confuse(Bench *bench, bool confused);
/* From now on libvirt does not answer when a block job is to be ended; false: it does so now. */
void bench_hang_aborts(Bench *bench, bool hang);
/* From now on no block job can be started, limited or ended on @target; NULL: on all. */
void bench_break_disk(Bench *bench, const char *target);
/* From now on libvirt tells nothing of block jobs. */
void bench_lose_events(Bench *bench);
/* The @n-th question about a domain or its block jobs from now on is answered with an error. */
void bench_lose_question(Bench *bench, unsigned n);
/* The next question about a domain finds that libvirt is not there any more. */
void bench_die_when_asked(Bench *bench);
/* While @hangs, who asks about a domain or its block jobs waits. */
void bench_hang(Bench *bench, bool hangs);
/* From now on a snapshot or a definition makes the newest request's caller give up. */
void bench_interrupt_at_commit(Bench *bench);
/* From now on libvirt says in the middle of a snapshot that the VM has changed, and all that
 * follows from that has been done before the snapshot goes on. */
void bench_tell_at_commit(Bench *bench);
/* Another program has QEMU's lock on @path for @milliseconds, of which only those count that
 * somebody waits; 0: not any more. */
#define FOR_EVER G_MAXUINT
void bench_set_busy(Bench *bench, const char *path, unsigned milliseconds);
/* Another program has it for ever as soon as the engine lets go of it. */
void bench_grab(Bench *bench, const char *path);
/* How long image locks were waited for since the last call. */
unsigned bench_waited(Bench *bench);
/* engine-bench-tables.c: the fakes with the troubles that a test asks for. */
void bench_wrap_tables(Bench *bench);
void bench_unwrap_tables(Bench *bench);

/* Wait until @is_so(bench, what); fails the test after 60 s. */
void bench_wait(Bench *bench, bool (*is_so)(Bench *bench, const char *what), const char *what);

/* A request under way. */
typedef struct {
    Bench *bench;
    bool answered;
    bool failed;
    ErrorCode code;
    char *message;
    uint64_t ticket;
} Call;
Call *bench_submit(Bench *bench, Request *request);
/* Wait for the answer and free the call: "ok" or the errno's name. */
const char *bench_answer(Call *call);
bool bench_is_answered(Call *call);

/* Submit and wait: "ok" or the errno's name. */
const char *bench_create(Bench *bench, const char *vm, const char *name);
const char *bench_remove(Bench *bench, const char *vm, const char *name);
const char *bench_revert(Bench *bench, const char *vm, const char *name);
const char *bench_power(Bench *bench, const char *vm, const char *state);
Call *bench_submit_drop(Bench *bench, const char *vm, unsigned job);
const char *bench_drop(Bench *bench, const char *vm, unsigned job);
Request *bench_request(RequestKind kind, const char *vm, const char *name);

/* What the view says now. */
char *bench_listed(Bench *bench, const char *vm);  /* "a b c", oldest first, hidden in brackets */
char *bench_current(Bench *bench, const char *vm); /* its name, "" if there is none */
unsigned bench_jobs(Bench *bench, const char *vm, JobState state);
unsigned bench_first_job(Bench *bench, const char *vm); /* id; 0 if there is none */
bool bench_has_event(Bench *bench, const char *part);
VmView *bench_view(Bench *bench, const char *vm); /* a reference, NULL if it is not listed */

/* Conditions for bench_wait; @what is a VM's uuid, or what the name says. */
bool no_job_runs(Bench *bench, const char *vm);
/* The file of a disk; yours, NULL if there is no such disk. */
char *bench_source(Bench *bench, const char *vm, const char *target);
bool a_job_runs(Bench *bench, const char *vm);
bool a_job_copies(Bench *bench, const char *vm);
bool is_stale(Bench *bench, const char *vm);
bool is_fresh(Bench *bench, const char *vm);
bool is_running(Bench *bench, const char *vm);
bool is_off(Bench *bench, const char *vm);
bool is_listed(Bench *bench, const char *vm);
bool is_not_listed(Bench *bench, const char *vm);
bool has_event(Bench *bench, const char *part);

#define assert_listed(bench, vm, wanted)                                                           \
    do {                                                                                           \
        g_autofree char *listed_now = bench_listed(bench, vm);                                     \
        assert_string_equal(listed_now, wanted);                                                   \
    } while (0)
