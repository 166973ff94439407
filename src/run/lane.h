/* One disk's merge: what writes a newer layer down into an older one (rule 5), watched until it is
 * done. Each function runs one step and comes back when its disk is merged (seen in the chain,
 * whatever libvirt answered: rule 14), failed, or was told to stop. They may run side by side for
 * different disks. */
#pragma once
#include "run/vm-private.h"

/* commit-active and commit-live. A job of ours that already runs is adopted. Told to stop:
 * ERR_INTERRUPTED, the job aborted, or left running when parked. ERR_BUSY: the VM stopped, and may
 * run again; plan anew. */
bool lane_commit_live(Operation *op, const Step *step, GError **error);
/* commit-offline. ERR_BUSY: the VM was started when qemu-img had given the layer back. */
bool lane_commit_offline(Operation *op, const Step *step, GError **error);
