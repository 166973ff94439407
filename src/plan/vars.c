#include "plan/vars.h"

#include <inttypes.h>
#include <string.h>

#include "model/vars.h"
#include "plan/checks.h"
#include "plan/firmware.h"

static bool check_own(const Observation *observation, GError **error)
{
    const char *path = observation->vars ? observation->vars->path : NULL;

    if (!path || !firmware_is_shared(observation->inactive, observation->capabilities, path))
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "The definition of VM %s says that its UEFI variables are in %s, which belongs "
                  "to the firmware; name a file of its own with virsh edit",
                  observation_name(observation), path);
}

bool plan_check_vars(const Observation *observation, GError **error)
{
    if (!check_persistent(observation, error) || !check_settled_state(observation, error) ||
        !check_no_managed_save(observation, error))
        return false;
    if (observation->state != DOMAIN_OFF)
        return refuse(error, ERR_BUSY,
                      "VM %s is %s, so its UEFI variables are in use; shut it down first (echo "
                      "shutoff > state)",
                      observation_name(observation), domain_state_name(observation->state));
    return check_own(observation, error);
}

/* In what holds them: files only (NV-17). */
static bool check_storage(const Observation *observation, const Firmware *firmware, GError **error)
{
    const char *name = observation_name(observation);

    if (firmware->combined)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s keeps its UEFI variables in the file of its firmware (%s); give it a "
                      "read-only loader and an <nvram>",
                      name, firmware->loader ? firmware->loader : "none named");
    if (firmware->storage && strcmp(firmware->storage, "file") != 0)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s keeps its UEFI variables on %s storage, and only files are supported",
                      name, firmware->storage);
    return true;
}

static bool check_store(const Observation *observation, GError **error)
{
    const VarsFacts *facts = observation->vars;
    const char *name = observation_name(observation);

    if (!domain_needs_vars(observation->inactive))
        return refuse(error, ERR_UNSUPPORTED, "VM %s has no firmware that keeps UEFI variables",
                      name);
    if (!check_storage(observation, observation->inactive->firmware, error))
        return false;
    if (!facts || !facts->path)
        return refuse(error, ERR_UNSUPPORTED,
                      "It is not known where VM %s keeps its UEFI variables; start it once, or "
                      "name the file in its definition",
                      name);
    if (facts->error)
        return refuse(error, ERR_UNSUPPORTED, "NVRAM of VM %s was not replaced: %s", name,
                      facts->error);
    return true;
}

bool plan_check_new_vars(const Observation *observation, GBytes *content, GError **error)
{
    const VarsFacts *facts = observation->vars;
    gsize size = 0;
    const void *bytes = g_bytes_get_data(content, &size);

    if (!plan_check_vars(observation, error) || !check_store(observation, error))
        return false;
    /* The template decides; where that cannot be read, what is there (NV-22). */
    uint64_t whole = facts->whole ? facts->whole : facts->size;
    if (whole > 0 && size != whole)
        return refuse(error, ERR_INVALID,
                      "NVRAM %s of VM %s has %" PRIu64
                      " bytes, and what shall replace it has %" G_GSIZE_FORMAT
                      ": it is that of another firmware",
                      facts->path, observation_name(observation), whole, size);
    if (vars_judge(size, bytes, MIN(size, VARS_HEAD), whole) != VARS_READY)
        return refuse(error, ERR_INVALID,
                      "NVRAM %s of VM %s was not replaced: what is given is no UEFI variable store "
                      "(it has no _FVH signature)",
                      facts->path, observation_name(observation));
    return true;
}
