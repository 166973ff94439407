/* The lab's VM has UEFI variables and a vTPM, of which other bytes are there after each write and
 * each start of the guest; and what every snapshot has of them. */
#pragma once
#include "lab.h"

/* From now on; the VM must be off, and was started once then. @automatic: firmware='efi'. */
void lab_firmware_add(Lab *lab, bool automatic);
/* The guest writes. */
void lab_firmware_write(Lab *lab);
/* A snapshot, perhaps, is taken of what is there now … */
void lab_firmware_take(Lab *lab);
/* … and it came to be @id. */
void lab_firmware_remember(Lab *lab, const char *id);
/* Is there what there was when @id was taken? */
bool lab_firmware_is_back(Lab *lab, const char *id);
/* The VM was reverted to the snapshot @id (may be NULL). */
void lab_firmware_revert(Lab *lab, const char *id);
/* Has every snapshot what it was taken of, and the VM what belongs to its disks, and is nothing
 * else there? A text if not; yours. */
char *lab_firmware_broken_law(Lab *lab, const Catalog *catalog);
