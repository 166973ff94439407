/* Inside the real hypervisor; only the libvirt*.c files include this.
 *
 *     caller's thread ──call──▶ helper thread ──▶ libvirt           libvirt-call.c,
 * libvirt-inspect.c, libvirt-effects.c ◀──────────answer or deadline────┘ libvirt's event thread
 * ──notes──▶ connection thread ──▶ subscriber        libvirt-events.c, libvirt-connect.c
 *
 * A libvirt call blocks as long as it likes (a lock of the domain held by a hung agent, a dead
 * link). So every call runs in a helper thread, and its caller waits no longer than a deadline; an
 * answer that comes later is dropped by whoever holds the last reference. The connection thread of
 * each hypervisor opens, notices the loss, opens again and is the one thread that tells the
 * subscriber anything, so what it hears is in order. */
#pragma once

#include "hv/hypervisor.h"

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(virConnect, virConnectClose)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HvDomain, hv_domain_free)

/* libvirt itself gives up waiting for a domain's lock after 30 s, and says who holds it: a query
 * waits a little longer, to be able to tell. */
#define LIBVIRT_QUERY_SECONDS  35
#define LIBVIRT_EFFECT_SECONDS 120
/* The agent's own timeout, at most 300 s, ends its calls before this does. */
#define LIBVIRT_AGENT_SECONDS 340
/* One attempt to open, which hv_open() waits for. The embedded driver first asks each QEMU what it
 * can do, which takes seconds on an idle machine. */
#define LIBVIRT_OPEN_SECONDS  30
#define LIBVIRT_EMBED_SECONDS 120
/* How long hv_free() waits for the connection thread. */
#define LIBVIRT_CLOSE_SECONDS 5

/* So many calls are made at once: of the rest each waits for its turn. */
#define LIBVIRT_QUERIES 12
#define LIBVIRT_EFFECTS 12

typedef struct {
    unsigned most;
    unsigned used; /* calls that are made now */
    GQueue idle;   /* of virConnectPtr that no call uses */
} LibvirtPool;

typedef struct {
    Hypervisor base;
    gatomicrefcount refs; /* the owner, the connection thread, each LibvirtLink and call */
    char *uri;
    bool embedded;
    GAsyncQueue *notes; /* of LibvirtNote: to the connection thread */
    guint64 lives;      /* links made so far; the connection thread's */

    GMutex lock; /* guards what follows; held for loads and stores only */
    GCond changed;
    virConnectPtr main; /* hears the events, makes no calls; embedded: makes all; NULL while down */
    guint64 life;       /* of main */
    LibvirtPool queries, effects;
    char *why_down;
    Capabilities *capabilities; /* NULL until they were asked for */
    guint64 capabilities_life;  /* of main, when they were */
    GHashTable *names;          /* uuid → what libvirt called it last, for sentences */
    bool attempted, ended;
    HvEvent event;
    void *event_data;
    unsigned delivering;
} LibvirtHv;

LibvirtHv *libvirt_hv_ref(LibvirtHv *hv);
void libvirt_hv_unref(LibvirtHv *hv);
/* The root directory that @uri of an embedded driver names; NULL for another. Yours. */
char *libvirt_root(const char *uri);
/* What sentences call a domain. */
void libvirt_hv_learn_name(LibvirtHv *hv, const HvDomain *domain);
char *libvirt_hv_name(LibvirtHv *hv, const char *uuid); /* yours; @uuid if it is not known */

/* --- libvirt-error.c --- */

/* Make libvirt print nothing by itself. */
void libvirt_error_silence(void);
/* Set @error from this thread's last libvirt error: the formatted text, ": " and libvirt's.
 * @connection, if given, is asked whether it still lives: if not, it is ERR_HOST_DOWN. Always
 * false. */
bool libvirt_error_set(GError **error, virConnectPtr connection, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* --- libvirt-call.c --- */

typedef struct LibvirtCall LibvirtCall;
/* Runs in a helper thread; reads the question, writes the answers. */
typedef bool (*LibvirtRun)(LibvirtCall *call, GError **error);

struct LibvirtCall {
    /* The question: not changed once the call runs. */
    LibvirtRun run;
    LibvirtHv *hv;            /* a reference; NULL: the call needs no connection of the pool */
    LibvirtPool *pool;        /* of hv */
    guint64 life;             /* of hv when it was made */
    int64_t deadline;         /* monotonic µs */
    virConnectPtr connection; /* NULL in a call that opens one, and then its answer */
    char *what;               /* "start" */
    char *uri;
    char *uuid, *target, *xml, *top, *base, *new_name;
    char *name; /* of the domain; its uuid if the name is not known */
    uint64_t bandwidth;
    bool active;
    int (*power)(virDomainPtr domain);
    unsigned flags, seconds;

    /* The answers: the helper's until the call is done, the caller's afterwards. */
    GPtrArray *domains;
    HvDomain *domain;
    char *live, *inactive, *saved, *foreign_job;
    unsigned snapshots;
    BlockJobFacts *job;
    Capabilities *capabilities;
    unsigned count;
    bool frozen;

    GMutex lock; /* guards what follows */
    GCond ended;
    bool done, ok;
    GError *error;
};

/* A new call about @uuid (NULL: about the host); the rest of the question is the caller's to fill
 * in. */
LibvirtCall *libvirt_call_new(const char *what, const char *uuid, LibvirtRun run);
void libvirt_call_unref(LibvirtCall *call);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LibvirtCall, libvirt_call_unref)
/* Run @call and wait for it. The answers may be read only if this returns true. */
bool libvirt_call_query(Hypervisor *hv, LibvirtCall *call, GError **error);
bool libvirt_call_effect(Hypervisor *hv, LibvirtCall *call, GError **error);
bool libvirt_call_agent(Hypervisor *hv, LibvirtCall *call, GError **error);
/* Run it, and do not wait. */
void libvirt_call_push(LibvirtCall *call);
/* The same without a connection, for the one call that makes it. */
bool libvirt_call_run(LibvirtCall *call, unsigned seconds, GError **error);
/* For a LibvirtRun: the domain that the call is about; yours. */
virDomainPtr libvirt_call_domain(LibvirtCall *call, GError **error);
/* For a LibvirtRun: libvirt_error_set() with what the call does to what. Always false. */
bool libvirt_call_failed(LibvirtCall *call, GError **error);

/* --- libvirt-connect.c --- */

/* One life of a connection: what callbacks of that life point to. */
typedef struct {
    LibvirtHv *hv;
    guint64 life;      /* never used twice, unlike an address */
    GArray *event_ids; /* of int; the connection thread's */
} LibvirtLink;
LibvirtLink *libvirt_link_ref(LibvirtLink *link);
void libvirt_link_unref(void *link); /* a virFreeCallback */

typedef enum { NOTE_EVENT, NOTE_CLOSED, NOTE_STOP } LibvirtNoteKind;
typedef struct {
    LibvirtNoteKind kind;
    guint64 life; /* of NOTE_CLOSED: that of the link */
    HvEventKind event;
    char *uuid, *target;
} LibvirtNote;
LibvirtNote *libvirt_note_new(LibvirtNoteKind kind);
void libvirt_note_free(LibvirtNote *note);

void libvirt_connection_start(LibvirtHv *hv);
/* Ends the thread; waits for it, but not for a libvirt that does not answer. */
void libvirt_connection_stop(LibvirtHv *hv);
/* Have a libvirt that hangs noticed on @connection. */
bool libvirt_keep_alive(virConnectPtr connection);
bool libvirt_is_up(Hypervisor *hv);

/* --- libvirt-pool.c --- */

/* A connection that nobody else uses, for as long as it is not returned; may block as long as
 * libvirt does. NULL: the host is down, or it was not the caller's turn until @deadline. */
virConnectPtr libvirt_pool_take(LibvirtHv *hv, LibvirtPool *pool, int64_t deadline,
                                guint64 *out_life, GError **error);
void libvirt_pool_return(LibvirtHv *hv, LibvirtPool *pool, virConnectPtr connection, guint64 life);
/* Close what is not used. Does not block. */
void libvirt_pool_empty(LibvirtHv *hv, LibvirtPool *pool);
/* Which life of the connection this is; 0 while the host is down. */
guint64 libvirt_life(LibvirtHv *hv);

/* --- libvirt-events.c --- */

/* Start the one thread that runs libvirt's events, for all connections of this process. */
void libvirt_events_start(void);
/* Tell @link about @connection's domains. */
bool libvirt_events_register(virConnectPtr connection, LibvirtLink *link);
void libvirt_events_unregister(virConnectPtr connection, LibvirtLink *link);
void libvirt_deliver(LibvirtHv *hv, HvEventKind kind, const char *uuid, const char *target);
void libvirt_subscribe(Hypervisor *hv, HvEvent event, void *data);

/* --- libvirt-inspect.c --- */

GPtrArray *libvirt_list(Hypervisor *hv, GError **error);
bool libvirt_inspect(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                     char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                     GError **error);

bool libvirt_definitions(Hypervisor *hv, const char *uuid, char **out_live, char **out_inactive,
                         char **out_saved, GError **error);

/* --- libvirt-capabilities.c, libvirt-firmware.c --- */

Capabilities *libvirt_capabilities(Hypervisor *hv, GError **error);
/* Adds the builds of firmware that this machine has. */
void libvirt_firmware_read(Capabilities *capabilities);

/* --- libvirt-job.c --- */

bool libvirt_block_job(Hypervisor *hv, const char *uuid, const char *target,
                       BlockJobFacts **out_job, GError **error);

/* --- libvirt-agent.c --- */

bool libvirt_agent_timeout(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error);
bool libvirt_freeze(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error);
bool libvirt_thaw(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error);
bool libvirt_frozen(Hypervisor *hv, const char *uuid, unsigned seconds, bool *out_frozen,
                    GError **error);

/* --- libvirt-effects.c --- */

bool libvirt_define(Hypervisor *hv, const char *uuid, const char *xml, GError **error);
bool libvirt_snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                      const GPtrArray *excluded, GError **error);
bool libvirt_block_commit(Hypervisor *hv, const char *uuid, const char *target, const char *top,
                          const char *base, bool active, uint64_t bandwidth, GError **error);
bool libvirt_block_pivot(Hypervisor *hv, const char *uuid, const char *target, GError **error);
bool libvirt_block_abort(Hypervisor *hv, const char *uuid, const char *target, GError **error);
bool libvirt_block_speed(Hypervisor *hv, const char *uuid, const char *target, uint64_t bandwidth,
                         GError **error);
bool libvirt_start(Hypervisor *hv, const char *uuid, GError **error);
bool libvirt_shutdown(Hypervisor *hv, const char *uuid, GError **error);
bool libvirt_destroy(Hypervisor *hv, const char *uuid, GError **error);
bool libvirt_suspend(Hypervisor *hv, const char *uuid, GError **error);
bool libvirt_resume(Hypervisor *hv, const char *uuid, GError **error);
/* For a LibvirtRun that changed a definition: a power loss does not take that back. */
bool libvirt_sync_definitions(LibvirtCall *call, GError **error);
bool libvirt_set_metadata(Hypervisor *hv, const char *uuid, const char *home, uint64_t generation,
                          GError **error);

/* --- libvirt-life.c --- */

bool libvirt_rename(Hypervisor *hv, const char *uuid, const char *new_name, GError **error);
bool libvirt_undefine(Hypervisor *hv, const char *uuid, GError **error);
