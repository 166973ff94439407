/* Renderers: what each file reads, where each link points. Columns of the node table; new strings.
 * A file's text ends in a newline; a value that is empty is an empty file. */
#pragma once

#include "fs/place.h"

char *show_readme(const Place *place);
char *show_version(const Place *place);
char *show_host_status(const Place *place);
char *show_errors(const Place *place);
char *show_stats(const Place *place);
char *show_by_uuid(const Place *place);
char *show_job_link(const Place *place);

char *show_uuid(const Place *place);
char *show_state(const Place *place);
char *show_status(const Place *place);
char *show_drift(const Place *place);
char *show_info(const Place *place);
char *show_tree(const Place *place);
char *show_progress(const Place *place);
char *show_current(const Place *place);
char *show_temporary_link(const Place *place);
char *show_policy(const Place *place);

char *show_snapshot_id(const Place *place);
char *show_snapshot_state(const Place *place);
char *show_snapshot_created(const Place *place);
char *show_snapshot_consistency(const Place *place);
char *show_snapshot_description(const Place *place);
char *show_snapshot_children(const Place *place);
char *show_snapshot_disks(const Place *place);
char *show_snapshot_warnings(const Place *place);
char *show_snapshot_error(const Place *place);
char *show_snapshot_info(const Place *place);
char *show_snapshot_parent(const Place *place);

char *show_orphan(const Place *place);

char *show_vars_needed(const Place *place);
char *show_vars_state(const Place *place);
char *show_vars_path(const Place *place);
char *show_vars_format(const Place *place);
char *show_vars_size(const Place *place);
char *show_vars_template(const Place *place);
char *show_tpm_version(const Place *place);
char *show_tpm_state(const Place *place);
char *show_tpm_path(const Place *place);

/* Of what is loaded. */
uint64_t size_of_vars(const Place *place);
uint64_t size_of_vars_digest(const Place *place);
uint64_t size_of_snapshot_vars(const Place *place);
uint64_t size_of_tpm_file(const Place *place);

char *show_job_kind(const Place *place);
char *show_job_state(const Place *place);
char *show_job_created(const Place *place);
char *show_job_target(const Place *place);
char *show_job_progress(const Place *place);
char *show_job_bandwidth(const Place *place);
char *show_job_result(const Place *place);

char *show_disk_source(const Place *place);
char *show_disk_format(const Place *place);
char *show_disk_capacity(const Place *place);
char *show_disk_allocation(const Place *place);
char *show_disk_chain(const Place *place);
char *show_disk_included(const Place *place);

/* Shared by them. */
char *show_line(const char *value);    /* value and newline; "" stays "" */
char *show_number(uint64_t value);     /* number and newline */
char *show_time(int64_t microseconds); /* RFC 3339 and newline */
void show_key(GString *out, const char *key, const char *value); /* "key value\n", value escaped */
void show_key_number(GString *out, const char *key, uint64_t value);
const char *show_job_state_name(EngineJob *job);
