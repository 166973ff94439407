#include "plan/keep.h"

#include <string.h>

#include "plan/checks.h"
#include "plan/firmware.h"

static bool keeps_vars(const Observation *observation)
{
    return domain_needs_vars(observation_domain(observation));
}

static bool keeps_tpm(const Observation *observation)
{
    return domain_needs_tpm(observation_domain(observation));
}

static bool keeps_anything(const Observation *observation)
{
    return keeps_vars(observation) || keeps_tpm(observation);
}

/* Nobody waits for one that is off, or that its owner has paused. */
static bool is_held(const Observation *observation)
{
    return keeps_anything(observation) && observation->state == DOMAIN_RUNNING;
}

/* --- refusals --- */

static bool check_host(const Observation *observation, GError **error)
{
    const char *name = observation_name(observation);

    if (keeps_vars(observation) && !observation->capabilities->uefi)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s has UEFI variables, and libvirt says that this host has no UEFI "
                      "firmware; install OVMF (the package ovmf), or see virsh domcapabilities",
                      name);
    if (keeps_tpm(observation) && !observation->capabilities->tpm)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s has a vTPM, and libvirt says that this host cannot emulate one; "
                      "install swtpm and swtpm-tools, or see virsh domcapabilities",
                      name);
    return true;
}

/* NV-17, and what libvirt 9.0 silently gives to QEMU as what it is not. */
static bool check_kind(const Observation *observation, GError **error)
{
    const Firmware *firmware = observation_domain(observation)->firmware;
    const VarsFacts *vars = observation->vars;
    const char *name = observation_name(observation);

    if (g_strcmp0(firmware->storage, "file") != 0)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s has its UEFI variables on storage of the type %s, of which none can "
                      "be kept with a snapshot; give it a file in <nvram>",
                      name, firmware->storage);
    if (!vars || !vars->path)
        return refuse(error, ERR_UNSUPPORTED,
                      "where VM %s has its UEFI variables is not known, or they are in the file of "
                      "its firmware; give it a read-only <loader> and a file in <nvram>",
                      name);
    if (g_strcmp0(firmware->format, "raw") != 0 || vars->qcow2)
        return refuse(error, ERR_UNSUPPORTED,
                      "the UEFI variables %s of VM %s: the format says %s, and the file %s; only "
                      "raw ones can be kept (qemu-img convert -O raw makes them so)",
                      vars->path, name, firmware->format,
                      vars->qcow2 ? "has a qcow2 header" : "has no qcow2 header");
    return true;
}

/* A VM that never ran has the variables of the template that its first start would take. */
static const char *source_of(const Catalog *catalog, const Observation *observation)
{
    const VarsFacts *vars = observation->vars;

    if (vars->state == VARS_READY)
        return vars->path;
    if (vars->state == VARS_MISSING && !observation->live && !catalog->vars && vars->template_size)
        return vars->template;
    return NULL;
}

static bool refuse_missing(const Catalog *catalog, const Observation *observation, GError **error)
{
    const char *path = observation->vars->path, *name = observation_name(observation);

    if (observation->live)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s runs, and its UEFI variables %s are not there any more; they end with "
                      "it, so shut it down and put a copy there (cp COPY nvram/vars.fd)",
                      name, path);
    if (catalog->vars)
        return refuse(error, ERR_UNSUPPORTED,
                      "the UEFI variables %s of VM %s have vanished; put a copy there (cp COPY "
                      "nvram/vars.fd), or let it go on with new ones (rm nvram/vars.fd)",
                      path, name);
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s has no UEFI variables yet (%s), and what its first start would make them "
                  "from is not known; start it once",
                  name, path);
}

static bool check_vars(const Catalog *catalog, const Observation *observation, GError **error)
{
    const VarsFacts *vars = observation->vars;

    if (!keeps_vars(observation))
        return true;
    if (!check_kind(observation, error))
        return false;
    if (source_of(catalog, observation))
        return true;
    if (vars->state == VARS_MISSING)
        return refuse_missing(catalog, observation, error);
    if (vars->error)
        return refuse(error, ERR_UNSUPPORTED, "the UEFI variables of VM %s cannot be kept: %s",
                      observation_name(observation), vars->error);
    return refuse(error, ERR_UNSUPPORTED,
                  "the UEFI variables %s of VM %s are not ready (%s, %" G_GUINT64_FORMAT
                  " bytes); shut it down and put a good copy there (cp COPY nvram/vars.fd)",
                  vars->path, observation_name(observation), vars_state_name(vars->state),
                  vars->size);
}

static bool check_tpm(const Observation *observation, GError **error)
{
    const TpmFacts *tpm = observation->tpm;

    if (!keeps_tpm(observation) || (tpm && tpm->sha256))
        return true;
    if (tpm && tpm->error)
        return refuse(error, ERR_UNSUPPORTED, "the state of the vTPM of VM %s cannot be kept: %s",
                      observation_name(observation), tpm->error);
    return refuse(error, ERR_UNSUPPORTED,
                  "the vTPM of VM %s has no state that could be kept (%s); %s",
                  observation_name(observation), tpm && tpm->path ? tpm->path : "not known where",
                  observation->live ? "see why it is not there" : "start the VM once");
}

bool keep_check(const Catalog *catalog, const Observation *observation, GError **error)
{
    return check_host(observation, error) && check_vars(catalog, observation, error) &&
           check_tpm(observation, error);
}

/* --- steps --- */

static void add_copy(Plan *plan, StepKind kind, const char *path)
{
    Step *step = plan_add(plan, kind);

    step_set(step, "snapshot", plan->snapshot);
    step_set(step, "path", path);
}

static Step *add_sync(Plan *plan, bool required)
{
    Step *step = plan_add(plan, STEP_SYNC_SIDECAR);

    step_set(step, "snapshot", plan->snapshot);
    step_set(step, "required", required ? "yes" : "no");
    return step;
}

void keep_add_copies(Plan *plan, const Catalog *catalog, const Observation *observation)
{
    if (!keeps_anything(observation))
        return;
    if (is_held(observation))
        plan_add(plan, STEP_SUSPEND);
    if (keeps_vars(observation))
        add_copy(plan, STEP_KEEP_VARS, source_of(catalog, observation));
    if (keeps_tpm(observation))
        add_copy(plan, STEP_KEEP_TPM, observation->tpm->path);
    if (!is_held(observation))
        add_sync(plan, true);
}

void keep_add_resume(Plan *plan, const Observation *observation)
{
    if (is_held(observation))
        plan_add(plan, STEP_RESUME);
}

void keep_add_sync(Plan *plan, const Observation *observation)
{
    if (is_held(observation))
        add_sync(plan, false);
}

void keep_describe(Step *create, const Observation *observation)
{
    const Domain *domain = observation_domain(observation);

    if (keeps_vars(observation) && observation->vars->state == VARS_READY)
        step_set(create, "nvram", observation->vars->path);
    if (!keeps_tpm(observation))
        return;
    step_set(create, "tpm_version", domain->tpm->version);
    if (domain->tpm->secret)
        step_set(create, "tpm_secret", domain->tpm->secret);
}

void keep_add_warning(Plan *plan, const Observation *observation)
{
    const Domain *domain = observation_domain(observation);
    g_autofree char *text = NULL;
    Step *step;

    if (!domain->tpm || keeps_tpm(observation))
        return;
    text = g_strdup_printf("the state of the TPM is not part of this snapshot, since its back end "
                           "is %s: what the guest has sealed with it may not open after a revert",
                           domain->tpm->backend);
    step = plan_add(plan, STEP_RECORD_WARNING);
    step_set(step, "snapshot", plan->snapshot);
    step_set(step, "text", text);
}

/* --- recovery --- */

#define NOT_WHOLE                                                                                  \
    "The UEFI variables or the vTPM state of this snapshot may not be whole, since the program "   \
    "ended while it was taken; it can never be reverted to: remove it, and take another"

static bool are_known(const Plan *journal, const Step *create)
{
    return (!plan_find(journal, STEP_KEEP_VARS) || step_get(create, "vars_sha256")) &&
           (!plan_find(journal, STEP_KEEP_TPM) || step_get(create, "tpm_sha256"));
}

static void state_sync(Plan *plan, const Step *create)
{
    static const char *const keys[] = {"vars_size", "vars_sha256", "tpm_size", "tpm_sha256"};
    Step *sync = add_sync(plan, false);

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        if (step_get(create, keys[i]))
            step_set(sync, keys[i], step_get(create, keys[i]));
}

Step *keep_recover(const Plan *journal, const Step *create, Plan *plan)
{
    Step *copy = step_copy(create);

    if (!are_known(journal, create)) {
        keep_undo(journal, plan);
        step_set(copy, "error", NOT_WHOLE);
    } else if (plan_find(journal, STEP_SYNC_SIDECAR)) {
        state_sync(plan, create);
    }
    return copy;
}

void keep_undo(const Plan *journal, Plan *plan)
{
    if (plan_find(journal, STEP_KEEP_VARS) || plan_find(journal, STEP_KEEP_TPM))
        step_set(plan_add(plan, STEP_DROP_SIDECAR), "snapshot", journal->snapshot);
}
