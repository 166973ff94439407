/* A host in memory: images with contents, domains with live and persistent chains, block jobs.
 * Deterministic, no clock. hv/fake and image/fake are two faces of one SimHost; tests look inside
 * and write guest data through it.
 *
 * Content is a small number of blocks per image (SIM_BLOCK bytes of capacity each); each block of a
 * qcow2 is either absent (seen from the backing file named in its header, zero past its end) or a
 * 64-bit value. So whole-disk contents compare exactly.
 *
 * It catches misuse of its callers, each as the real things would let it happen and ruin something:
 * - a commit into a file that shows through an image which is not part of the commit (a side
 * branch, another VM's overlay), or that is itself a disk of a definition;
 * - a repoint that changes what the image shows, or names a file that is not there;
 * - an unlink of a file that a persistent definition holds;
 * - a redefinition of a running VM's disks that makes them differ from its live ones;
 * - a live snapshot onto an overlay that was not made for it, or that leaves a disk out;
 * - a live snapshot or block job of a disk that libvirt lost track of;
 * - a block job of a disk in whose chain libvirt has a layer that was merged: QEMU may end;
 * - an agent asked before its timeout was set: the domain may be locked for ever;
 * - a format stated other than it is, a commit of two images that are not neighbours.
 * The first one is kept as text; tests assert that it is NULL. Files that a running VM has open are
 * no misuse: QEMU's lock answers (ERR_BUSY).
 *
 * All functions take the host's own mutex. */
#pragma once

#include "model/domain.h"
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SIM_BLOCK 65536
typedef struct SimHost SimHost;

SimHost *simhost_new(void);
void simhost_free(SimHost *host);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SimHost, simhost_free)

/* Set-up. */
void simhost_add_image(SimHost *host, const char *path, const char *format, const char *backing,
                       const char *backing_format, uint64_t capacity);
void simhost_add_domain(SimHost *host, const char *uuid, const char *name, DomainState state);
void simhost_add_disk(SimHost *host, const char *uuid, const char *target, const char *path,
                      const char *format);
void simhost_remove_disk(SimHost *host, const char *uuid, const char *target);
/* What else a definition can say of a disk (design rule 10); @device and @type as in the XML. */
void simhost_set_disk(SimHost *host, const char *uuid, const char *target, const char *device,
                      const char *type, bool readonly, bool shareable);
/* The disk now has @capacity (virsh blockresize, qemu-img resize): its active image grows. */
void simhost_grow(SimHost *host, const char *uuid, const char *target, uint64_t capacity);
/* @firmware: BIOS (the default), an explicit loader, whose definition says where its variables are,
 * or firmware='efi', of which libvirt knows that while it runs. */
typedef enum { SIM_BIOS, SIM_LOADER, SIM_EFI, N_SIM_FIRMWARE } SimFirmware;
void simhost_set_firmware(SimHost *host, const char *uuid, SimFirmware firmware, bool secure);
/* The definitions say that the variables are there. */
void simhost_set_nvram(SimHost *host, const char *uuid, const char *path);
/* An emulated TPM 2.0. */
void simhost_set_tpm(SimHost *host, const char *uuid, bool tpm);
/* What the host can do (at first all), which is read at each (re)connection. */
void simhost_set_capabilities(SimHost *host, bool uefi, bool tpm);
#define SIM_NVRAM_DIRECTORY "/var/lib/libvirt/qemu/nvram"
#define SIM_TPM_DIRECTORY   "/var/lib/libvirt/swtpm"
#define SIM_LOADER_PATH     "/usr/share/OVMF/OVMF_CODE_4M.fd"
#define SIM_SECURE_LOADER   "/usr/share/OVMF/OVMF_CODE_4M.ms.fd"
#define SIM_TEMPLATE        "/usr/share/OVMF/OVMF_VARS_4M.fd"
#define SIM_SECURE_TEMPLATE "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"
/* Without a persistent definition (only while it runs). */
void simhost_set_transient(SimHost *host, const char *uuid);
/* The image holds the persistent definition as it is now. */
void simhost_set_managed_save(SimHost *host, const char *uuid, bool managed_save);
/* The guest does not obey a shutdown. */
void simhost_set_deaf(SimHost *host, const char *uuid, bool deaf);
/* The guest's agent, and what is wrong with it. A guest that is frozen writes nothing. */
typedef enum {
    SIM_AGENT_NONE,         /* no channel: the default */
    SIM_AGENT_DISCONNECTED, /* a channel, nobody in the guest listens */
    SIM_AGENT_WELL,
    SIM_AGENT_SILENT,   /* answers nothing, and does later, once it is well again, what it was asked
                         */
    SIM_AGENT_STUMBLES, /* goes silent when it is asked to freeze, before it does */
    SIM_AGENT_DAZED,    /* goes silent when it has frozen and said so */
    SIM_AGENT_FAILS,    /* answers a freeze with an error */
    SIM_AGENT_EMPTY,    /* has no file system to freeze */
    SIM_AGENT_LIES,     /* says that it has frozen, and that it is thawed */
    SIM_AGENT_WAKES,    /* is thawed by itself when the snapshot is taken */
    SIM_AGENT_STUCK,    /* answers a thaw with an error */
    N_SIM_AGENT,
} SimAgent;
void simhost_set_agent(SimHost *host, const char *uuid, SimAgent agent);
bool simhost_is_frozen(SimHost *host, const char *uuid);
/* Somebody in the guest freezes or thaws it. */
void simhost_set_frozen(SimHost *host, const char *uuid, bool frozen);
/* Was the guest frozen when its last live snapshot was taken? */
bool simhost_was_frozen(SimHost *host, const char *uuid);
/* A domain job of somebody else (backup, migration); NULL: none. And libvirt's own snapshots. */
void simhost_set_foreign(SimHost *host, const char *uuid, const char *job, unsigned snapshots);

/* The guest: write @value to block @block of the active layer (live chain if running, else the
 * persistent one). */
void simhost_write(SimHost *host, const char *uuid, const char *target, unsigned block,
                   uint64_t value);
/* What the guest would read now; array of guint64. And what an image shows through its backing
 * chain. */
GArray *simhost_read(SimHost *host, const char *uuid, const char *target);
GArray *simhost_image_content(SimHost *host, const char *path);
bool simhost_image_exists(SimHost *host, const char *path);
GPtrArray *simhost_images(SimHost *host); /* char *, sorted paths */

/* State files: variable stores, and what is in a vTPM's directory, by path. Whoever writes one here
 * asks nobody; NULL removes it. And a directory, empty or not, that is made or goes with all that
 * is in it. */
void simhost_set_state(SimHost *host, const char *path, const char *content);
void simhost_set_state_bytes(SimHost *host, const char *path, GBytes *content);
void simhost_set_state_directory(SimHost *host, const char *path, bool present);
GBytes *simhost_state_content(SimHost *host, const char *path); /* yours; NULL: none */
/* char *, sorted paths of files; without the firmware's templates. */
GPtrArray *simhost_states(SimHost *host);
/* What the guest has in its variables, and in its vTPM; 0 before it has written. They must be there
 * to be written: it was started once. And where they are; yours. */
void simhost_write_variable(SimHost *host, const char *uuid, uint64_t value);
uint64_t simhost_read_variable(SimHost *host, const char *uuid);
void simhost_write_secret(SimHost *host, const char *uuid, uint64_t value);
uint64_t simhost_read_secret(SimHost *host, const char *uuid);
char *simhost_vars_path(SimHost *host, const char *uuid); /* NULL: it has none */
char *simhost_tpm_path(SimHost *host, const char *uuid);

/* Power and life behind everybody's back. false if it cannot start (a chain file is missing or its
 * backing is). */
bool simhost_start(SimHost *host, const char *uuid);
void simhost_stop(SimHost *host, const char *uuid);
DomainState simhost_state(SimHost *host, const char *uuid);
/* Somebody else at work, with the virsh and qemu-img of a careless hand; what that ruins is no
 * misuse of ours. The definitions follow as libvirt's would. */
/* Snapshot of the listed targets (NULL-terminated) of a VM, running or off, as snapshot-create-as
 * and qemu-img create make them: each gets an overlay "<path>.<name>". */
void simhost_stranger_snapshot(SimHost *host, const char *uuid, const char *name,
                               const char *const *targets);
/* Write everything from the layer @from (0: the active one) down to just above @into into that, and
 * leave it out of the chain; the files stay. */
void simhost_stranger_commit(SimHost *host, const char *uuid, const char *target, unsigned from,
                             unsigned into);
/* Pull everything between the active layer and @base into it; 0: all that is below. */
void simhost_stranger_pull(SimHost *host, const char *uuid, const char *target, unsigned base);
/* The definition of a VM that is off names another file. */
void simhost_stranger_edit(SimHost *host, const char *uuid, const char *target, const char *path,
                           const char *format);
void simhost_stranger_unlink(SimHost *host, const char *path);

/* Slow block jobs: each block_job query of a job copies this many blocks (default: all at once). 0
 * = it stands still. */
void simhost_set_job_speed(SimHost *host, unsigned blocks_per_look);
/* How many block commits were begun, live and offline. */
unsigned simhost_commits(SimHost *host);
/* The guest of a running VM writes this many blocks to each disk when it starts and after every
 * live snapshot (default 0). */
void simhost_set_guest_writes(SimHost *host, unsigned blocks);
/* libvirt forgets to store the persistent definition after live snapshots and pivots (rule 14)
 * while set. */
void simhost_set_forgetful(SimHost *host, bool forgetful);
/* libvirtd died: every call of the fake hypervisor answers ERR_HOST_DOWN; QEMU goes on: running
 * non-active commits finish. */
void simhost_set_down(SimHost *host, bool down);
/* libvirtd is killed in its next live snapshot: when QEMU has opened the overlays, or when it has
 * switched to them, of neither of which libvirt gets to know; or in its next pivot: before QEMU is
 * asked, when QEMU has pivoted and libvirt will note that only if it is back before QEMU ends, or
 * when it is done and noted and QEMU still has the old file open; or in the end of its next merge
 * inside a chain, which QEMU has done and libvirt does not get to know. QEMU goes on. */
typedef enum {
    SIM_LIVES,
    SIM_DIES_BEFORE_SWITCH,
    SIM_DIES_AFTER_SWITCH,
    SIM_DIES_BEFORE_PIVOT,
    SIM_DIES_IN_PIVOT,
    SIM_DIES_AFTER_PIVOT,
    SIM_DIES_AFTER_COMMIT
} SimDeath;
void simhost_set_death(SimHost *host, SimDeath death);
/* QEMU is killed in the end of its next merge inside a chain, when the header above names the base,
 * and the base's tables are not written: it does not have what it did not have before. Somebody may
 * start the VM again at once. */
void simhost_tear_commit(SimHost *host, bool started_again);
/* Bytes left in every directory (default: plenty). Commits and overlays that need more fail with
 * ERR_NO_SPACE. */
void simhost_set_free(SimHost *host, uint64_t bytes);
/* First misuse, NULL if none. Borrowed. */
const char *simhost_misuse(SimHost *host);
