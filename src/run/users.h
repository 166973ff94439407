/* Who else uses image files and variable stores (rule 11): other VMs, running, off or saved, and
 * other images. Files are compared by device and inode, so links and bind mounts do not hide
 * anything.
 *
 * Looked at are the definitions of all domains of this libvirt and what lies below their disks by
 * header, and the headers of all images in the directories of the VM's own chains and in
 * the configuration's image_directories. Nobody sees images elsewhere, other hosts' VMs, or disks
 * that are no files (docs/limits.md).
 *
 * How fresh: libvirt tells by an event of most that gives a domain another file, not of all (virsh
 * attach-disk --config has none). So whoever is going to refuse, write or unlink says since when
 * the definitions must have been read, the beginning of its operation; even then those older than a
 * second are read again. Only a guess at what will be to do (@since 0) takes them as they were read
 * until an event names their domain. The list of domains and this VM's own definitions are always
 * asked for. What a header said is believed while the file has the same ctime. */
#pragma once
#include "run/vm-private.h"

Users *users_new(void);
void users_free(Users *users);
/* Something about the domain @uuid (NULL: about any) changed. Only takes a lock of its own. */
void users_changed(Users *users, const char *uuid);

/* Fill in observation->users. @open: a plan that is under way, whose files are the VM's own; NULL
 * if there is none. @since: monotonic µs, 0: whenever. */
bool users_observe(Vm *vm, const Plan *open, int64_t since, Observation *observation,
                   GError **error);
/* Right before files are written to or unlinked: ERR_BUSY names whoever else uses one of @paths (of
 * char *; one look for all of them). */
bool users_check_none(Operation *op, const GPtrArray *paths, GError **error);
