#include "plan/planner.h"

#include <string.h>

#include "model/names.h"
#include "plan/checks.h"
#include "plan/labels.h"

#define DESCRIPTION_MAX 4095

Snapshot *listed_snapshot(const Catalog *catalog, const char *snapshot_id, GError **error)
{
    Snapshot *snapshot = catalog_snapshot(catalog, snapshot_id);

    if (snapshot && !snapshot->hidden)
        return snapshot;
    refuse(error, ERR_NOT_FOUND, "VM %s has no snapshot %s (any more)", catalog->name,
           snapshot      ? snapshot->name
           : snapshot_id ? snapshot_id
                         : "without an id");
    return NULL;
}

static Step *add_label(Plan *plan, StepKind kind)
{
    Step *step = plan_add(plan, kind);

    step_set(step, "snapshot", plan->snapshot);
    return step;
}

Plan *plan_rename(const Catalog *catalog, const char *snapshot_id, const char *new_name,
                  GError **error)
{
    const Snapshot *snapshot = listed_snapshot(catalog, snapshot_id, error);
    const Snapshot *taken;
    Plan *plan;

    if (!snapshot || !name_check(new_name, error))
        return NULL;
    taken = catalog_named(catalog, new_name);
    if (taken && taken != snapshot) {
        refuse(error, ERR_EXISTS,
               "VM %s has a snapshot %s already; nothing ever replaces a snapshot", catalog->name,
               new_name);
        return NULL;
    }
    plan = plan_new(PLAN_LABEL, snapshot_id);
    step_set(add_label(plan, STEP_RECORD_RENAME), "name", new_name);
    return plan;
}

static bool check_text(const char *text, GError **error)
{
    size_t length = strlen(text);

    if (length > DESCRIPTION_MAX)
        return refuse(error, ERR_INVALID, "a description of %zu bytes is too long: use at most %d",
                      length, DESCRIPTION_MAX);
    if (!g_utf8_validate(text, -1, NULL))
        return refuse(error, ERR_INVALID, "a description must be UTF-8 text");
    return true;
}

Plan *plan_describe(const Catalog *catalog, const char *snapshot_id, const char *text,
                    GError **error)
{
    Plan *plan;

    if (!listed_snapshot(catalog, snapshot_id, error) || !check_text(text, error))
        return NULL;
    plan = plan_new(PLAN_LABEL, snapshot_id);
    step_set(add_label(plan, STEP_RECORD_DESCRIBE), "description", text);
    return plan;
}

Plan *plan_mode(const Catalog *catalog, const char *snapshot_id, mode_t mode, GError **error)
{
    const Snapshot *snapshot = listed_snapshot(catalog, snapshot_id, error);
    g_autofree char *text = g_strdup_printf("%04o", (unsigned)mode);
    Plan *plan;

    if (!snapshot)
        return NULL;
    if (mode & ~(mode_t)0777) {
        refuse(error, ERR_INVALID,
               "snapshot %s cannot have the mode %s: only the permission bits 0777 exist here",
               snapshot->name, text);
        return NULL;
    }
    plan = plan_new(PLAN_LABEL, snapshot_id);
    step_set(add_label(plan, STEP_RECORD_MODE), "mode", text);
    return plan;
}

Plan *plan_policy(const Catalog *catalog, const char *key, const char *value, GError **error)
{
    bool drops = catalog_policy_default(key) && catalog_policy_drops(value);
    g_autofree char *normal =
        drops ? g_strdup(POLICY_DEFAULT) : catalog_policy_check(key, value, error);
    Plan *plan;
    Step *step;

    if (!normal)
        return NULL;
    plan = plan_new(PLAN_LABEL, NULL);
    if (drops && !g_hash_table_contains(catalog->policy, key))
        return plan;
    step = plan_add(plan, STEP_RECORD_POLICY);
    step_set(step, "key", key);
    step_set(step, "value", normal);
    return plan;
}
