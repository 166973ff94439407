/* Each effect asks before and after. Reading is a question, which is not counted among the effects;
 * except a look at a block job that is there, so that the program can also die while a job is half
 * done. */
#include "hv/faulty.h"

typedef struct {
    Hypervisor hypervisor;
    Hypervisor *inner; /* both borrowed */
    Fault *fault;
} FaultyHypervisor;

static Hypervisor *inner_of(Hypervisor *hv)
{
    return ((FaultyHypervisor *)hv)->inner;
}

static bool before(Hypervisor *hv, const char *what, GError **error)
{
    return fault_before(((FaultyHypervisor *)hv)->fault, what, error);
}

/* Asked also when the call failed by itself, whose error stays: else the armed answer would wait
 * for a later call. */
static bool after(Hypervisor *hv, const char *what, bool done, GError **error)
{
    return fault_after(((FaultyHypervisor *)hv)->fault, what, done ? error : NULL) && done;
}

static bool is_alive(Hypervisor *hv, const char *what, GError **error)
{
    return fault_question(((FaultyHypervisor *)hv)->fault, what, error);
}

/* One effect of the inner table, between the two questions. */
#define EFFECT(name, ...)                                                                          \
    (before(hv, "hv." #name, error) &&                                                             \
     after(hv, "hv." #name, inner_of(hv)->ops->name(inner_of(hv), __VA_ARGS__, error), error))

static GPtrArray *faulty_list(Hypervisor *hv, GError **error)
{
    return is_alive(hv, "hv.list", error) ? inner_of(hv)->ops->list(inner_of(hv), error) : NULL;
}

static bool faulty_inspect(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                           char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                           GError **error)
{
    return is_alive(hv, "hv.inspect", error) &&
           inner_of(hv)->ops->inspect(inner_of(hv), uuid, out_domain, out_live, out_inactive,
                                      out_foreign_job, out_snapshots, error);
}

static bool faulty_definitions(Hypervisor *hv, const char *uuid, char **out_live,
                               char **out_inactive, char **out_saved, GError **error)
{
    return is_alive(hv, "hv.definitions", error) &&
           inner_of(hv)->ops->definitions(inner_of(hv), uuid, out_live, out_inactive, out_saved,
                                          error);
}

static Capabilities *faulty_capabilities(Hypervisor *hv, GError **error)
{
    if (!is_alive(hv, "hv.capabilities", error))
        return NULL;
    return inner_of(hv)->ops->capabilities(inner_of(hv), error);
}

static bool faulty_block_job(Hypervisor *hv, const char *uuid, const char *target,
                             BlockJobFacts **out_job, GError **error)
{
    BlockJobFacts *job = NULL;

    if (!is_alive(hv, "hv.block_job", error) ||
        !inner_of(hv)->ops->block_job(inner_of(hv), uuid, target, &job, error))
        return false;
    if (job && !(before(hv, "hv.block_job", error) && after(hv, "hv.block_job", true, error))) {
        block_job_facts_free(job);
        return false;
    }
    *out_job = job;
    return true;
}

static bool faulty_define(Hypervisor *hv, const char *uuid, const char *xml, GError **error)
{
    return EFFECT(define, uuid, xml);
}

static bool faulty_rename(Hypervisor *hv, const char *uuid, const char *new_name, GError **error)
{
    return EFFECT(rename, uuid, new_name);
}

static bool faulty_undefine(Hypervisor *hv, const char *uuid, GError **error)
{
    return EFFECT(undefine, uuid);
}

static bool faulty_snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                            const GPtrArray *excluded, GError **error)
{
    return EFFECT(snapshot, uuid, switches, excluded);
}

static bool faulty_block_commit(Hypervisor *hv, const char *uuid, const char *target,
                                const char *top, const char *base, bool active, uint64_t bandwidth,
                                GError **error)
{
    return EFFECT(block_commit, uuid, target, top, base, active, bandwidth);
}

static bool faulty_block_pivot(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    return EFFECT(block_pivot, uuid, target);
}

static bool faulty_block_abort(Hypervisor *hv, const char *uuid, const char *target, GError **error)
{
    return EFFECT(block_abort, uuid, target);
}

static bool faulty_block_speed(Hypervisor *hv, const char *uuid, const char *target,
                               uint64_t bandwidth, GError **error)
{
    return EFFECT(block_speed, uuid, target, bandwidth);
}

static bool faulty_start(Hypervisor *hv, const char *uuid, GError **error)
{
    return EFFECT(start, uuid);
}

static bool faulty_shutdown(Hypervisor *hv, const char *uuid, GError **error)
{
    return EFFECT(shutdown, uuid);
}

static bool faulty_destroy(Hypervisor *hv, const char *uuid, GError **error)
{
    return EFFECT(destroy, uuid);
}

static bool faulty_suspend(Hypervisor *hv, const char *uuid, GError **error)
{
    return EFFECT(suspend, uuid);
}

static bool faulty_resume(Hypervisor *hv, const char *uuid, GError **error)
{
    return EFFECT(resume, uuid);
}

static bool faulty_agent_timeout(Hypervisor *hv, const char *uuid, unsigned seconds, GError **error)
{
    return EFFECT(agent_timeout, uuid, seconds);
}

static bool faulty_freeze(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    return EFFECT(freeze, uuid, out_count);
}

static bool faulty_thaw(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    return EFFECT(thaw, uuid, out_count);
}

/* Counted: between a freeze and its thaw every call may be the last one. */
static bool faulty_frozen(Hypervisor *hv, const char *uuid, unsigned seconds, bool *out_frozen,
                          GError **error)
{
    return EFFECT(frozen, uuid, seconds, out_frozen);
}

static bool faulty_set_metadata(Hypervisor *hv, const char *uuid, const char *home,
                                uint64_t generation, GError **error)
{
    return EFFECT(set_metadata, uuid, home, generation);
}

static void faulty_subscribe(Hypervisor *hv, HvEvent event, void *data)
{
    inner_of(hv)->ops->subscribe(inner_of(hv), event, data);
}

static bool faulty_is_up(Hypervisor *hv)
{
    return inner_of(hv)->ops->is_up(inner_of(hv));
}

static void faulty_free(Hypervisor *hv)
{
    g_free(hv);
}

static const HvOps faulty_ops = {
    .list = faulty_list,
    .inspect = faulty_inspect,
    .definitions = faulty_definitions,
    .capabilities = faulty_capabilities,
    .block_job = faulty_block_job,
    .define = faulty_define,
    .rename = faulty_rename,
    .undefine = faulty_undefine,
    .snapshot = faulty_snapshot,
    .block_commit = faulty_block_commit,
    .block_pivot = faulty_block_pivot,
    .block_abort = faulty_block_abort,
    .block_speed = faulty_block_speed,
    .start = faulty_start,
    .shutdown = faulty_shutdown,
    .destroy = faulty_destroy,
    .suspend = faulty_suspend,
    .resume = faulty_resume,
    .agent_timeout = faulty_agent_timeout,
    .freeze = faulty_freeze,
    .thaw = faulty_thaw,
    .frozen = faulty_frozen,
    .set_metadata = faulty_set_metadata,
    .subscribe = faulty_subscribe,
    .is_up = faulty_is_up,
    .free = faulty_free,
};

Hypervisor *hv_faulty(Hypervisor *inner, Fault *fault)
{
    FaultyHypervisor *faulty = g_new0(FaultyHypervisor, 1);

    faulty->hypervisor.ops = &faulty_ops;
    faulty->inner = inner;
    faulty->fault = fault;
    return &faulty->hypervisor;
}
