/* From an operation on a node to a request of the engine, or a refusal. Each function is a column
 * of the node table; it checks nothing that the engine checks. The returned request's uid, pid and
 * operation are filled by the caller. */
#pragma once

#include "fs/place.h"

Request *request_create(const Place *directory, const char *name, mode_t mode, GError **error);
Request *request_rename(const Place *place, const char *new_name, GError **error);
/* Of a VM. */
Request *request_move(const Place *place, const char *new_name, GError **error);
Request *request_expunge(const Place *place, GError **error);
Request *request_remove(const Place *place, GError **error);
Request *request_describe(const Place *place, const char *text, GError **error);
Request *request_mode(const Place *place, mode_t mode);
/* @target is what the link says; its last component names the snapshot. */
Request *request_revert(const Place *vm, const char *target, GError **error);
Request *request_move_link(const Place *link, const char *new_name, GError **error);
Request *request_power(const Place *place, const char *text, GError **error);
/* rescan, adopt */
Request *request_drift(const Place *place, const char *text, GError **error);
Request *request_policy(const Place *place, const char *text, GError **error);
Request *request_bandwidth(const Place *place, const char *text, GError **error);
/* Contents: the VM's own variables, NULL if there are none; and those kept with a snapshot. */
Request *load_vars(const Place *place);
Request *load_vars_digest(const Place *place);
Request *load_snapshot_vars(const Place *place);
Request *load_tpm_file(const Place *place);
Request *request_set_vars(const Place *place, GBytes *content);
/* How many bytes they are replaced by; refused while they cannot be. */
bool whole_vars(const Place *place, uint64_t *out_size, GError **error);
Request *request_reset_vars(const Place *place, GError **error);
Request *request_free_orphan(const Place *orphan, GError **error);
Request *request_job_drop(const Place *place, GError **error);
