/* What the cases of the contract are written with: asking, doing, and waiting for what is told.
 * Every assertion is the calling case's. */
#pragma once

#include "hv-contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Those of the running suite. */
extern const HvContract *contract;
extern Hypervisor *hv;

/* --- what was told --- */

void listen_begin(void);
void listen_end(void);
/* The HvEvent that remembers what is told since forget_events(). */
void hear(HvEventKind kind, const char *uuid, const char *target, void *data);
void forget_events(void);
bool heard(HvEventKind kind, const char *uuid, const char *target); /* so far; @target NULL: any */
void assert_told(HvEventKind kind, const char *uuid, const char *target); /* by the deadline */

/* --- asking --- */

void assert_worked(bool ok, GError *error);
void assert_refused(bool ok, GError *error, ErrorCode code);

typedef struct {
    HvDomain *domain;
    char *live_xml, *inactive_xml, *foreign_job;
    unsigned snapshots;
    Domain *live, *inactive;
} Facts;
void facts_clear(Facts *facts);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Facts, facts_clear)
Facts inspect(const char *uuid);
void assert_state(const char *uuid, DomainState state);
char *inactive_path(const char *uuid, const char *target);
void assert_live(const char *uuid, const char *target, const char *path);
void assert_inactive(const char *uuid, const char *target, const char *path);
bool has_no_job(const char *uuid, const char *target);
bool job_is_ready(const char *uuid, const char *target);
void wait_until(bool (*is_so)(const char *, const char *), const char *uuid, const char *target);

/* --- doing; it has to work --- */

typedef bool (*Power)(Hypervisor *, const char *, GError **);
void power(Power function, const char *uuid);
void start_paused(const char *uuid);
GPtrArray *switches_new(void);
void snapshot(const char *uuid, const char *target, const char *overlay);
void commit(const char *uuid, const char *target, const char *top, const char *base, bool active);
char *overlay_of(const char *backing);
/* A new machine; also in *@state, for after the case. */
char *make_vm(void **state, unsigned n_disks);
