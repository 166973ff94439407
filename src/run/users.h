/* Who else uses image files (rule 11): other VMs, running, off or saved, and other images. Files
 * are compared by device and inode, so links and bind mounts do not hide anything.
 *
 * Looked at are the definitions of all domains of this libvirt and what lies below their disks by
 * header, and the headers of all images in the directories of the VM's own chains and in
 * the configuration's image_directories. Nobody sees images elsewhere, other hosts' VMs, or disks
 * that are no files (docs/limits.md).
 *
 * How fresh: libvirt tells by an event of everything that gives a domain another file to use. So
 * USERS_KNOWN, for planning, takes a definition as it was read until an event names its domain, and
 * what would be refused is asked again. USERS_ASKED, before anything is written or unlinked, reads
 * every definition again unless that was done within the last second and no event named its domain
 * since. The list of domains and this VM's own definitions are asked for in both. What a header
 * said is believed while the file has the same ctime. */
#pragma once
#include "run/vm-private.h"

typedef enum { USERS_KNOWN, USERS_ASKED } UsersLook;

Users *users_new(void);
void users_free(Users *users);
/* Something about the domain @uuid (NULL: about any) changed. Only takes a lock of its own. */
void users_changed(Users *users, const char *uuid);

/* Fill in observation->users. */
bool users_observe(Vm *vm, UsersLook look, Observation *observation, GError **error);
/* Right before files of @vm are written to or unlinked: ERR_BUSY names whoever else uses @path, or
 * @other (may be NULL). */
bool users_check_none(Vm *vm, const char *path, const char *other, GError **error);
