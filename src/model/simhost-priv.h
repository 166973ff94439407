/* The inside of a SimHost, shared by simhost*.c only. Everything is guarded by host->mutex; the
 * functions here expect it held. */
#pragma once

#include "base/error.h"
#include "model/simhost-face.h"

typedef struct {
    char *path, *format, *backing, *backing_format;
    uint64_t capacity, inode;
    GHashTable *blocks; /* unsigned → guint64 *: what is allocated */
    bool torn; /* QEMU was killed in the end of a commit into it, which may be done again */
} SimImage;

typedef struct {
    GBytes *content; /* NULL: a directory */
    uint64_t inode;
} SimState;

typedef struct {
    char *path, *format; /* path NULL: an empty drive */
} SimLink;

/* A disk of a definition. links[0] is its source, the others the <backingStore> elements that are
 * stated below it. @ended: an empty <backingStore/> follows them; else what comes below is probed
 * from the last one's header at start. */
typedef struct {
    char *target, *device, *type;
    GPtrArray *links; /* of SimLink, at least one */
    bool ended, readonly, shareable, snapshot_no;
    bool lost;     /* links[0] is QEMU's; libvirt goes on naming links[1] */
    char *kept_on; /* libvirt has a merged layer below this link in its chain, @kept; NULL: none */
    SimLink *kept;
    char *pivoted; /* QEMU left this file for links[0], and libvirt does not know it yet */
} SimDisk;

typedef struct {
    char *home;
    uint64_t generation;
    char *nvram;      /* where the variables are; NULL: it does not say */
    GPtrArray *disks; /* of SimDisk */
} SimDefinition;

typedef struct {
    char *top, *base;
    bool active, ready;
    uint64_t capacity; /* of top */
    GArray *blocks;    /* of unsigned: to be copied, in this order */
    GArray *added;     /* of unsigned: what the base did not have before */
    unsigned done;
} SimJob;

typedef struct {
    char *uuid, *name;
    DomainState state;
    bool secure, tpm, managed_save, deaf;
    SimFirmware firmware;
    SimAgent agent;
    bool agent_timed, frozen, was_frozen;
    GArray *asked; /* of bool: freezes and thaws that a silent agent has not done yet, in order */
    char *foreign_job;
    char *saved; /* the definition in the managed save image */
    unsigned snapshots, starts;
    SimDefinition *live;     /* NULL when off; its disks have their whole chain */
    SimDefinition *inactive; /* NULL when transient */
    GHashTable *jobs;        /* target → SimJob */
    GHashTable *aside;       /* paths that QEMU has open and does not use; NULL: to read */
} SimDomain;

struct SimHost {
    GMutex mutex;
    GHashTable *images; /* path → SimImage */
    GHashTable *states; /* path → SimState */
    GHashTable *locks;  /* path → itself: held by an ImageLock or a commit */
    GPtrArray *domains; /* of SimDomain */
    unsigned job_speed, guest_writes, slow[N_SIM_SLOW];
    unsigned commits; /* begun, live and offline */
    bool forgetful, down, torn, started_again;
    SimDeath death;
    uint64_t free_bytes, next_inode, next_value;
    char *misuse;
    Capabilities *capabilities; /* as they were at the last connection */
    Capabilities *offered;      /* as they are */
    SimNotice notice;
    void *notice_data;
};

bool sim_error(GError **error, ErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* libvirtd dies as the test asked for: ERR_HOST_DOWN from here on; always false. */
bool sim_die(SimHost *host, GError **error);
void sim_misuse(SimHost *host, const char *format, ...) G_GNUC_PRINTF(2, 3);
void sim_notify(SimHost *host, SimNoticeKind kind, const char *uuid, const char *target);

/* simhost-image.c */
SimImage *sim_image(SimHost *host, const char *path); /* NULL if there is none, also for NULL */
SimImage *sim_image_add(SimHost *host, const char *path, const char *format, const char *backing,
                        const char *backing_format, uint64_t capacity);
void sim_image_free(SimImage *image);
/* What it shows through the headers below it; NULL if a file is missing. */
GArray *sim_image_content(SimHost *host, const char *path);
bool sim_image_has(const SimImage *image, unsigned block);
/* Takes its room: ERR_NO_SPACE. */
bool sim_image_put(SimHost *host, SimImage *image, unsigned block, uint64_t value, GError **error);
unsigned sim_blocks(uint64_t capacity);
SimLink *sim_link_new(const char *path, const char *format);
void sim_link_free(SimLink *link);
GPtrArray *sim_links_copy(const GPtrArray *links);
/* Add what the last link's header says, and so on. */
void sim_links_probe(SimHost *host, GPtrArray *links);
int sim_links_find(const GPtrArray *links, const char *path); /* -1 */
/* What is seen through @links, array of guint64; NULL if a file of it is missing. */
GArray *sim_links_content(SimHost *host, const GPtrArray *links);
uint64_t sim_links_value(SimHost *host, const GPtrArray *links, unsigned block);
/* The blocks that the first @count of @links have, sorted. */
GArray *sim_links_blocks(SimHost *host, const GPtrArray *links, unsigned count);
/* The first of @links is about to be written down into the last. Kept as misuse if one below it
 * shows through an image that is not the next one up, or is itself the disk of a definition. */
void sim_check_commit(SimHost *host, const GPtrArray *links);

/* simhost-state.c */
void sim_state_free(SimState *state);
SimState *sim_state(SimHost *host, const char *path); /* a file; NULL if there is none, or NULL */
void sim_state_put(SimHost *host, const char *path, GBytes *content);
void sim_state_put_directory(SimHost *host, const char *path);
/* The file or, with all in it, the directory goes. */
void sim_state_remove(SimHost *host, const char *path);

/* simhost-boot.c */
/* What the host's firmware makes new stores from. */
void sim_templates_add(SimHost *host);
/* Would store and vTPM let it start? */
bool sim_boot_check(SimHost *host, const SimDomain *domain, GError **error);
/* It runs: they are made where they are missing, and change. */
void sim_boot(SimHost *host, SimDomain *domain);

/* simhost-agent.c */
/* The guest ended, or another one began: what its agent was goes with it. */
void sim_agent_reset(SimDomain *domain);
/* Its disks are switched just now. */
void sim_agent_snapshot(SimDomain *domain);
/* What libvirt says of the channel in the live definition; NULL: there is none. */
const char *sim_agent_state(const SimDomain *domain);

/* simhost-files.c */
/* ERR_BUSY if a running VM has it open, or somebody holds its lock. */
bool sim_check_free(SimHost *host, const char *path, GError **error);

/* simhost-domain.c */
SimDomain *sim_domain(SimHost *host, const char *uuid, GError **error);
/* One that the caller knows to exist: a test's own. */
SimDomain *sim_known_domain(SimHost *host, const char *uuid);
SimDisk *sim_disk(const SimDefinition *definition, const char *target);
void sim_domain_free(SimDomain *domain);
SimDefinition *sim_definition_new(void);
void sim_definition_free(SimDefinition *definition);
SimDisk *sim_disk_new(const char *target, const char *path, const char *format);
void sim_disk_free(SimDisk *disk);
/* The chain of @disk as a start would have it; yours. */
GPtrArray *sim_disk_chain(SimHost *host, const SimDisk *disk);
/* The running domain that has @path open, NULL if none. */
SimDomain *sim_opener(SimHost *host, const char *path);
bool sim_is_on(const SimDomain *domain);
/* Has the running domain @path in a chain, not just open? */
bool sim_uses(const SimDomain *domain, const char *path);

/* simhost-firmware.c */
/* Where the variables of @domain are while it runs; yours, NULL if it has none. */
char *sim_nvram_started(const SimDomain *domain);
/* What the definition says of where they are, as libvirt would store @stated; yours. */
char *sim_nvram_defined(const SimDomain *domain, const char *stated);
Capabilities *sim_capabilities_new(bool uefi, bool tpm);
/* Somebody connects: what the host can do is read. */
void sim_connected(SimHost *host);

/* simhost-power.c */
bool sim_start(SimHost *host, SimDomain *domain, GError **error);
void sim_stop(SimHost *host, SimDomain *domain);
void sim_guest_writes(SimHost *host, SimDomain *domain);

/* simhost-job.c */
void sim_job_free(SimJob *job);
/* Everything that QEMU does by itself while nobody looks. */
void sim_jobs_run(SimHost *host, SimDomain *domain);
/* libvirt is back, and sees what QEMU of @domain has done meanwhile. */
void sim_jobs_note(SimHost *host, SimDomain *domain);
/* The guest wrote @block. */
void sim_job_dirty(SimDomain *domain, const char *target, unsigned block);

/* simhost-xml.c: libvirt's text of a definition. @jobs: target → SimJob, for <mirror>; NULL for a
 * persistent one. */
char *sim_xml(const SimDomain *domain, const SimDefinition *definition, GHashTable *jobs);
