#include "plan/life.h"

#include "plan/checks.h"

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
