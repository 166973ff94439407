#include "plan/life.h"

#include "plan/checks.h"
#include "plan/firmware.h"

static bool check_off(const Observation *observation, const char *what, GError **error)
{
    if (!check_no_managed_save(observation, error))
        return false;
    if (observation_is_off(observation) && !observation->live)
        return check_settled_state(observation, error);
    return refuse(error, ERR_BUSY,
                  "VM %s must be off to be %s; shut it down first (echo shutoff > state)",
                  observation_name(observation), what);
}

static bool check_no_libvirt_snapshots(const Observation *observation, const char *what,
                                       GError **error)
{
    if (observation->libvirt_snapshots == 0)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s cannot be %s: it has %u snapshots managed by libvirt itself; delete them "
                  "with virsh snapshot-delete first",
                  observation_name(observation), what, observation->libvirt_snapshots);
}

bool plan_check_rename(const Observation *observation, GError **error)
{
    return check_persistent(observation, error) && check_off(observation, "renamed", error) &&
           check_no_libvirt_snapshots(observation, "renamed", error);
}

/* ---- the end ---- */

static bool check_no_snapshots(const Catalog *catalog, const Observation *observation,
                               GError **error)
{
    unsigned hidden = 0;

    if (catalog->snapshots->len == 0)
        return true;
    for (unsigned i = 0; i < catalog->snapshots->len; i++)
        hidden += ((Snapshot *)catalog->snapshots->pdata[i])->hidden;
    return refuse(error, ERR_BUSY,
                  "VM %s cannot be undefined: it has %u snapshots, %u of them hidden; remove them "
                  "first, and wait until they are merged",
                  observation_name(observation), catalog->snapshots->len, hidden);
}

static bool is_a_file(const Domain *domain)
{
    return !domain->firmware || !domain->firmware->storage ||
           g_str_equal(domain->firmware->storage, "file");
}

static bool is_own(const Observation *observation, const char *path)
{
    return g_path_is_absolute(path) &&
           !firmware_is_shared(observation->inactive, observation->capabilities, path);
}

/* What cannot be found would be left behind without a word. */
static bool check_known_places(const Observation *observation, GError **error)
{
    const Domain *domain = observation->inactive;
    const Capabilities *capabilities = observation->capabilities;
    bool vars = domain_needs_vars(domain) && is_a_file(domain) && !domain->firmware->combined;
    g_autofree char *path = vars ? firmware_vars_path(NULL, domain, capabilities, NULL) : NULL;
    bool tpm = domain_needs_tpm(domain);

    if ((!vars || path) && (!tpm || capabilities->tpm_directory))
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s cannot be undefined here: libvirt does not say where it keeps its %s; use "
                  "virsh undefine --nvram --tpm",
                  observation_name(observation), vars && !path ? "UEFI variables" : "vTPM's state");
}

/* Of a VM whose firmware was changed, the store that was last known is nobody's after it (NV-04).
 */
static void add_stores(Step *step, const Catalog *catalog, const Observation *observation)
{
    const Domain *domain = observation->inactive;
    g_autofree char *path = is_a_file(domain)
                                ? firmware_vars_path(NULL, domain, observation->capabilities, NULL)
                                : NULL;

    if (path && is_own(observation, path))
        step_set(step, "vars", path);
    if (catalog->vars && g_strcmp0(catalog->vars, path) != 0 && is_own(observation, catalog->vars))
        step_set(step, "known", catalog->vars);
}

/* All of it is kept by uuid, whatever the definition says by now. */
static void add_tpm(Step *step, const Observation *observation)
{
    const char *directory = observation->capabilities->tpm_directory;
    g_autofree char *path =
        directory ? g_build_filename(directory, observation->inactive->uuid, NULL) : NULL;

    if (path && g_path_is_absolute(path))
        step_set(step, "tpm", path);
}

Plan *plan_expunge(const Catalog *catalog, const Observation *observation, const char *host,
                   GError **error)
{
    if (!check_persistent(observation, error) || !check_off(observation, "undefined", error) ||
        !check_no_libvirt_snapshots(observation, "undefined", error) ||
        !check_no_snapshots(catalog, observation, error) || !check_known_places(observation, error))
        return NULL;

    Plan *plan = plan_new(PLAN_EXPUNGE, NULL);
    Step *step = plan_add(plan, STEP_UNDEFINE);
    step_set(step, "host", host);
    add_stores(step, catalog, observation);
    add_tpm(step, observation);
    plan->commit = 1;
    return plan;
}
