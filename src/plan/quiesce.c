#include "plan/quiesce.h"

#include <string.h>

#include "plan/checks.h"

#define WAY_OUT "or write try or off to policy/quiesce"

static bool policy_is(const Catalog *catalog, const char *word)
{
    return g_str_equal(catalog_policy(catalog, "quiesce"), word);
}

static bool is_required(const Catalog *catalog)
{
    return policy_is(catalog, "require");
}

static bool refuse_required(const Observation *observation, GError **error)
{
    const char *name = observation_name(observation);

    if (observation->state == DOMAIN_PAUSED)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s is paused, so that its guest cannot be frozen, and policy/quiesce is "
                      "require; let it run, " WAY_OUT,
                      name);
    if (observation->live->agent == AGENT_NONE)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s has no channel " AGENT_CHANNEL " for a guest agent, and "
                      "policy/quiesce is require; add one and install qemu-guest-agent in the "
                      "guest, " WAY_OUT,
                      name);
    return refuse(error, ERR_UNSUPPORTED,
                  "The guest agent of VM %s is not connected, and policy/quiesce is require; start "
                  "qemu-guest-agent in the guest, " WAY_OUT,
                  name);
}

bool quiesce_decide(const Catalog *catalog, const Observation *observation, bool *out_freeze,
                    GError **error)
{
    const Domain *live = observation->live;
    bool able = live && observation->state == DOMAIN_RUNNING && live->agent == AGENT_CONNECTED;

    *out_freeze = false;
    if (!live || policy_is(catalog, "off"))
        return true;
    if (catalog->thaw_owed)
        return refuse(error, ERR_BUSY,
                      "The guest of VM %s was frozen, or may still come to be, and was not seen "
                      "thawed yet; wait for its thaw job (cat wait), or write off to "
                      "policy/quiesce",
                      observation_name(observation));
    if (!able && is_required(catalog))
        return refuse_required(observation, error);
    *out_freeze = able;
    return true;
}

void quiesce_add_freeze(Plan *plan, const Catalog *catalog)
{
    Step *step;

    plan_add(plan, STEP_RECORD_FREEZING);
    step = plan_add(plan, STEP_FREEZE);
    step_set(step, "timeout", catalog_policy(catalog, "quiesce_timeout"));
    step_set(step, "required", is_required(catalog) ? "yes" : "no");
}

void quiesce_add_thaw(Plan *plan, const Catalog *catalog)
{
    step_set(plan_add(plan, STEP_THAW), "timeout", catalog_policy(catalog, "quiesce_timeout"));
}
