/* Where a VM's variables and its TPM's state are, what they are made from, and what they are needed
 * for. Pure. */
#pragma once

#include "model/capabilities.h"
#include "model/catalog.h"
#include "model/domain.h"

/* The path of the variable store: as the live definition (may be NULL) says, else the inactive one
 * (likewise), else where it was when it was last known (@catalog may be NULL), else where libvirt
 * would look for it under the domain's name. NULL: the VM has none, or nobody knows. Yours. */
char *firmware_vars_path(const Domain *live, const Domain *inactive,
                         const Capabilities *capabilities, const Catalog *catalog);
/* What libvirt makes a missing one from; borrowed; NULL if that is not known before a start (of
 * firmware='efi' libvirt chooses then). */
const char *firmware_template(const Domain *live, const Domain *inactive,
                              const Capabilities *capabilities);
/* The directory of the emulated TPM's state; yours. NULL: none is kept in files of this host, or it
 * is not known where. */
char *firmware_tpm_path(const Domain *domain, const Capabilities *capabilities);
/* Is the file @path one of firmware itself, a loader or a template? Other VMs are started from it:
 * it is neither replaced nor unlinked, whatever @domain's definition says. */
bool firmware_is_shared(const Domain *domain, const Capabilities *capabilities, const char *path);
/* What @domain needs its variables for: "secure-boot", "tpm", "uefi", or "no". */
const char *firmware_need(const Domain *domain);
