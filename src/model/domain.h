/* A libvirt domain as far as snapshots care, and the edits of its XML. Pure: text in, text out
 * (libxml2, never string pasting). */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    DOMAIN_RUNNING,
    DOMAIN_PAUSED,
    DOMAIN_OFF,
    DOMAIN_OTHER /* shutting down, crashed, pmsuspended */
} DomainState;
const char *domain_state_name(DomainState state); /* "running" "paused" "shutoff" "other" */

typedef struct {
    char *path;
    char *format;
} ChainLink;

typedef struct {
    char *target;      /* "vda" */
    char *device;      /* "disk", "cdrom", "floppy", "lun" */
    char *type;        /* "file", "block", "network", "volume", … */
    char *path;        /* source file or dev, NULL if empty */
    char *format;      /* driver type; "raw" where absent (rule 12) */
    GPtrArray *chain;  /* of ChainLink: explicit <backingStore> files below path, nearest first;
                          empty if not stated; path "" for a link without one (network) */
    bool chain_stated; /* a <backingStore> element is there (also the empty one, that ends a chain)
                        */
    bool readonly, shareable, transient, encrypted, snapshot_no, snapshot_internal, has_slices,
        has_data_store;
    char *mirror_path; /* <mirror> of a running block job, NULL if none, "" if it is no file */
    char *mirror_job;  /* "copy", "active-commit" */
    bool mirror_ready; /* ready='yes' */
} DomainDisk;

/* The QEMU guest agent's channel, of which libvirt knows whether somebody in the guest has it open.
 */
typedef enum {
    AGENT_NONE,         /* the definition has no such channel */
    AGENT_DISCONNECTED, /* nobody listens; always so in a definition that does not run */
    AGENT_CONNECTED,
} AgentState;

/* Once, before there are threads that parse: libxml2 sets itself up at its first use, and not by
 * several threads at a time. */
void domain_start_parsing(void);
/* UEFI firmware from pflash, and the variable store (NVRAM) that belongs to it. */
typedef struct {
    bool automatic; /* firmware='efi': libvirt chooses loader and template at each start */
    bool secure;    /* Secure Boot is asked for */
    bool stateless; /* no variables are kept */
    bool combined; /* they are kept in the loader's own file (a pflash loader that is not read-only)
                    */
    char *loader;  /* path, NULL while libvirt has not chosen */
    char *path;    /* of the store; NULL if the definition does not say: none, or automatic */
    char *template; /* what libvirt makes it from; NULL if the definition does not say */
    char *storage;  /* "file", "block", "network" */
    char *format;   /* "raw" where absent */
} Firmware;

typedef struct {
    char *backend; /* "emulator", "passthrough", "external" */
    char *version; /* "2.0", "1.2"; "2.0" where absent */
    char *secret;  /* uuid of the secret that its state is encrypted with, NULL if it is not */
} Tpm;

typedef struct {
    char *uuid, *name;
    char *run; /* libvirt's id of what runs: another one after each start; NULL if it is off */
    AgentState agent;
    Firmware *firmware;  /* NULL: BIOS, or UEFI from a ROM image */
    Tpm *tpm;            /* NULL: none */
    char *home;          /* from our metadata element, NULL if absent */
    uint64_t generation; /* from our metadata element */
    GPtrArray *disks;    /* of DomainDisk, in document order */
} Domain;

#define AGENT_CHANNEL "org.qemu.guest_agent.0"
#define METADATA_URI  "https://vmsnapfs.org/xmlns/domain/1"

Domain *domain_parse(const char *xml,
                     GError **error); /* ERR_INVALID; never reads the network or entities */
Domain *domain_copy(const Domain *domain);
void domain_free(Domain *domain);
Domain *domain_new(void); /* empty; for the parser and for hosts in memory */
DomainDisk *domain_disk_new(void);
void domain_disk_free(DomainDisk *disk);
void chain_link_free(ChainLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Domain, domain_free)
DomainDisk *domain_disk(const Domain *domain, const char *target);
DomainDisk *domain_disk_of_path(const Domain *domain, const char *path);

/* Is there a variable store that a snapshot has to keep? */
bool domain_needs_vars(const Domain *domain);
/* Is there a TPM whose state is kept in files of this host? */
bool domain_needs_tpm(const Domain *domain);

/* Rule 10. Excluded from snapshots (a reason for people) or NULL: cdrom, floppy, readonly,
 * shareable, snapshot='no', empty. */
const char *domain_disk_excluded(const DomainDisk *disk);
/* Why an included disk cannot be snapshotted, a new sentence part ("is a network disk"), or NULL.
 */
char *domain_disk_unsupported(const DomainDisk *disk);

/* One change of a disk's source, of a redefinition or of a live snapshot. */
typedef struct {
    char *target;
    char *path;
    char *format;
} DiskSwitch;
DiskSwitch *disk_switch_new(const char *target, const char *path, const char *format);
void disk_switch_free(DiskSwitch *change);

/* What a redefinition changes, at once. */
typedef struct {
    const GPtrArray *switches; /* of DiskSwitch; NULL: none */
    const char *nvram;         /* the variable store's new path; NULL: it stays as it is */
} DomainChange;

/* The inactive XML with each switched disk's source file and driver type replaced, <backingStore>
 * dropped from those disks, and the path of the variable store replaced or stated (rule 7). New
 * text, or NULL with ERR_INVALID / ERR_NOT_FOUND naming the target, ERR_UNSUPPORTED where the rest
 * could not be written back as it was read. */
char *domain_xml_switch(const char *xml, const DomainChange *change, GError **error);
/* Are @before, once changed, and @after the same but for backingStore? ERR_DRIFT with the first
 * difference. libvirt's own normalisation of both texts is assumed (both were read from it). */
bool domain_xml_same(const char *before, const char *after, const DomainChange *change,
                     GError **error);
/* The <domainsnapshot> document: each switch external with its file and driver type, each target of
 * @excluded (char *) snapshot='no' (rule 13). */
char *domain_snapshot_xml(const char *name, const GPtrArray *switches, const GPtrArray *excluded);
/* Our metadata element: <vmsnapfs home="…" generation="…"/> without namespace prefix, as
 * virDomainSetMetadata wants it. */
char *domain_metadata_xml(const char *home, uint64_t generation);
