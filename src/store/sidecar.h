/* Sidecars: the copies of a VM's UEFI variables and vTPM state that belong to its snapshots,
 * <home>/.vmsnapfs/<uuid>/vars/<id>.fd and tpm/<id>/ (docs/catalog-format.md; design 4 and 6). @id
 * is the snapshot's.
 *
 * While the guest stands still they are put, whole, so that a full file system shows; when it runs
 * again sidecar_sync makes them durable, before the snapshot is recorded (S-26, E-24). */
#pragma once

#include "model/vars.h"
#include "store/files.h"

/* Make the directories durably in which sidecars are put, of the kinds that are wanted: so that
 * nothing is waited for when they are. */
bool sidecar_prepare(Files *files, const char *home, const char *uuid, bool vars, bool tpm,
                     GError **error);
/* A new sidecar, not yet durable. ERR_EXISTS if there is one; after an error there is none.
 * The directory vars/ or tpm/ is made durably, once for each VM. @state: of StateFile. */
bool sidecar_put_vars(Files *files, const char *home, const char *uuid, const char *id,
                      GBytes *content, GError **error);
bool sidecar_put_tpm(Files *files, const char *home, const char *uuid, const char *id,
                     const GPtrArray *state, GError **error);
/* Make durable what there is of @id. */
bool sidecar_sync(Files *files, const char *home, const char *uuid, const char *id, GError **error);

/* The content, yours, if it has the size and the checksum (state_digest, state_files_digest) that
 * the catalog says; else ERR_IO with a sentence, ERR_NOT_FOUND if there is none. */
GBytes *sidecar_read_vars(Files *files, const char *home, const char *uuid, const char *id,
                          uint64_t size, const char *sha256, GError **error);
GPtrArray *sidecar_read_tpm(Files *files, const char *home, const char *uuid, const char *id,
                            uint64_t size, const char *sha256, GError **error);

/* Remove what there is of @id, also what is half there; success if nothing is. Durable. */
bool sidecar_remove(Files *files, const char *home, const char *uuid, const char *id,
                    GError **error);
/* Bytes of all that there is of @id. */
uint64_t sidecar_size(Files *files, const char *home, const char *uuid, const char *id);
/* The ids that have files or directories, each once, sorted; of char *, yours. What is not named
 * as ours would be is left out. */
GPtrArray *sidecar_list(Files *files, const char *home, const char *uuid);

/* Where they are; yours. */
char *sidecar_vars_path(const char *home, const char *uuid, const char *id);
char *sidecar_tpm_path(const char *home, const char *uuid, const char *id);
