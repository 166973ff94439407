/* Effects on VMs. One table of functions, all required; hv_libvirt_open() is the real one,
 * hv_fake_open() a host in memory (URI fake:///path/host.yaml; ships in the program), hv_faulty()
 * decorates either. hv_open() chooses by URI.
 *
 * Domains are named by uuid (lower case, with dashes). Calls block, from worker threads, with a
 * deadline of their own: ERR_TIMEOUT. Connection lost: ERR_HOST_DOWN (the effect may have
 * happened). No such domain: ERR_NOT_FOUND. A call that the domain's present state does not allow
 * (start of a running one, suspend of one that is off): ERR_BUSY. libvirt's text is in the message.
 * "Whatever libvirt answers, the chain decides" (rule 14): callers look again. */
#pragma once

#include "base/error.h"
#include "model/domain.h"
#include "plan/planner.h"

typedef struct Hypervisor Hypervisor;

typedef struct {
    char *uuid, *name;
    DomainState state;
    bool persistent, managed_save;
} HvDomain;
void hv_domain_free(HvDomain *domain);

typedef enum {
    HV_EVENT_DOMAIN,    /* something about this domain changed: lifecycle, definition, devices,
                           metadata, its agent came or went */
    HV_EVENT_BLOCK_JOB, /* a block job of @target changed: ready, completed, failed, cancelled */
    HV_EVENT_DOWN,      /* connection lost; uuid NULL */
    HV_EVENT_UP,        /* connected again: list everything */
} HvEventKind;
/* Called from the hypervisor's event thread, holding no lock; must not block nor call the
 * hypervisor. */
typedef void (*HvEvent)(HvEventKind kind, const char *uuid, const char *target, void *data);

typedef struct {
    /* All domains, running or not. Array of HvDomain. */
    GPtrArray *(*list)(Hypervisor *hv, GError **error);
    /* Fresh facts of one domain: state, managed save, persistence, its live XML (NULL when off) and
     * its inactive XML (INACTIVE|SECURE; NULL when transient). Also the name of a foreign domain
     * job and libvirt's own snapshot count. All out_ may not be NULL. */
    bool (*inspect)(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                    char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                    GError **error);
    /* The definitions of one domain that name files: live (NULL when off), inactive (NULL when
     * transient) and the one in its managed save image, which its next start would use (NULL if
     * there is none). Asks for no job, so a busy domain answers, too. Secrets may be left out. */
    bool (*definitions)(Hypervisor *hv, const char *uuid, char **out_live, char **out_inactive,
                        char **out_saved, GError **error);
    /* What the host can do for UEFI and TPM, as read at the latest when it was first asked since
     * this life of the connection began; a reference. Where libvirt is another host's, its files
     * are not looked at. One that cannot say can do nothing. */
    Capabilities *(*capabilities)(Hypervisor *hv, GError **error);
    /* Block job on @target: true with *out_job NULL if there is none. kind "active-commit",
     * "commit", "copy", "pull", "backup", "unknown". ready only from the READY event's state or
     * <mirror ready='yes'>, never from the numbers. */
    bool (*block_job)(Hypervisor *hv, const char *uuid, const char *target, BlockJobFacts **out_job,
                      GError **error);

    /* Replace the persistent definition by @xml, as read from inspect and switched (domain.h). It
     * never makes a domain: ERR_NOT_FOUND if there is none of @uuid, ERR_INVALID if @xml is no
     * definition or one of another uuid. */
    bool (*define)(Hypervisor *hv, const char *uuid, const char *xml, GError **error);
    /* Give a persistent domain that is off another name. ERR_EXISTS: another domain has it.
     * ERR_BUSY: it is not off, or has a managed save image or snapshots or checkpoints of libvirt's
     * own. The default path of an automatically chosen variable store follows the name; no file
     * does. */
    bool (*rename)(Hypervisor *hv, const char *uuid, const char *new_name, GError **error);
    /* Forget a persistent domain that is off, and libvirt's notes of its checkpoints. No file is
     * touched: disks, variable store and vTPM state stay. ERR_BUSY as for rename; a domain that
     * runs is never made a transient one, as far as that can be seen. */
    bool (*undefine)(Hypervisor *hv, const char *uuid, GError **error);
    /* One atomic snapshot: DISK_ONLY|ATOMIC|REUSE_EXT|NO_METADATA with domain_snapshot_xml.
     * Overlays exist. */
    bool (*snapshot)(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                     const GPtrArray *excluded, GError **error);
    /* Start a block commit of @top into @base on @target; @active: with a later pivot. bandwidth
     * bytes/s, 0 = no limit.
     * @top and @base are paths as libvirt has them (absolute). Returns when the job is started. */
    bool (*block_commit)(Hypervisor *hv, const char *uuid, const char *target, const char *top,
                         const char *base, bool active, uint64_t bandwidth, GError **error);
    /* No job: ERR_NOT_FOUND (also for block_speed). Not ready yet: ERR_BUSY. */
    bool (*block_pivot)(Hypervisor *hv, const char *uuid, const char *target, GError **error);
    /* Synchronous: returns when the job is gone. Success if there is none. */
    bool (*block_abort)(Hypervisor *hv, const char *uuid, const char *target, GError **error);
    bool (*block_speed)(Hypervisor *hv, const char *uuid, const char *target, uint64_t bandwidth,
                        GError **error);

    bool (*start)(Hypervisor *hv, const char *uuid, GError **error);
    /* Ask the guest to shut down (does not wait). */
    bool (*shutdown)(Hypervisor *hv, const char *uuid, GError **error);
    bool (*destroy)(Hypervisor *hv, const char *uuid, GError **error);
    bool (*suspend)(Hypervisor *hv, const char *uuid, GError **error);
    bool (*resume)(Hypervisor *hv, const char *uuid, GError **error);

    /* The guest agent. Its answers are the guest's, believed only as far as that. A silent agent:
     * ERR_TIMEOUT, and what it was asked may still happen, later; it does things in order, so once
     * it answers again, all that was asked before is done. No agent, or nobody connected to its
     * channel: ERR_UNSUPPORTED. It answered with an error: ERR_IO.
     *
     * How many seconds libvirt waits for the agent's answer from now on; a setting of the running
     * domain. To be called before any other of these: without it libvirt waits for ever, and the
     * domain is locked meanwhile. */
    bool (*agent_timeout)(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error);
    /* Freeze all file systems; how many were. It may succeed with 0. */
    bool (*freeze)(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error);
    bool (*thaw)(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error);
    /* Does the agent say that they are frozen? It is given @seconds. */
    bool (*frozen)(Hypervisor *hv, const char *uuid, unsigned seconds, bool *out_frozen,
                   GError **error);

    /* Our metadata element in the persistent definition and, when running, the live one. */
    bool (*set_metadata)(Hypervisor *hv, const char *uuid, const char *home, uint64_t generation,
                         GError **error);

    /* One subscriber; NULL ends it and returns after the last callback. */
    void (*subscribe)(Hypervisor *hv, HvEvent event, void *data);
    bool (*is_up)(Hypervisor *hv);
    void (*free)(Hypervisor *hv);
} HvOps;

struct Hypervisor {
    const HvOps *ops;
    _Atomic uint64_t calls; /* that libvirt was asked to answer; hv_calls() */
};

/* How many questions and effects libvirt was asked for: for finding out that none was. Reconnecting
 * and what libvirt tells by itself do not count. */
static inline uint64_t hv_calls(Hypervisor *hv)
{
    return hv->calls;
}

/* Does @uri mean this machine, whose files we see? False for other transports than a UNIX socket,
 * even to this machine. */
bool hv_is_local(const char *uri);

/* Never fails for an unreachable libvirt: it keeps trying (1, 2, 4 … 30 s) in the background and is
 * down until then; HV_EVENT_UP follows. It returns after the first attempt. ERR_INVALID for a
 * malformed URI or host file. The first hv_libvirt_open() starts libvirt's event thread and ignores
 * SIGPIPE: call it after any fork. qemu:///embed?root=DIR makes DIR/etc/qemu.conf if there is none,
 * and is for one process per DIR. */
Hypervisor *hv_open(const char *uri, GError **error);
Hypervisor *hv_libvirt_open(const char *uri, GError **error);
static inline void hv_free(Hypervisor *hv)
{
    if (hv)
        hv->ops->free(hv);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Hypervisor, hv_free)
