#include "plan/revert-state.h"

#include "model/names.h"
#include "plan/firmware.h"

/* --- refusals --- */

static bool cannot(const Observation *observation, const Snapshot *snapshot, GError **error,
                   const char *why)
{
    return refuse(error, ERR_UNSUPPORTED, "VM %s cannot be reverted to %s: %s",
                  observation_name(observation), snapshot->name, why);
}

/* S-30, U-3, U-4: with newer variables, or another vTPM state, it might not boot. */
static bool check_kinds(const Observation *observation, const Snapshot *snapshot, GError **error)
{
    const Domain *domain = observation->inactive;
    bool uefi = domain_needs_vars(domain), tpm = domain_needs_tpm(domain);

    if (uefi && !snapshot->vars)
        return cannot(observation, snapshot, error,
                      "the snapshot has no copy of its UEFI variables, without which it might not "
                      "boot; such a snapshot can only be removed");
    if (!uefi && snapshot->vars)
        return cannot(observation, snapshot, error,
                      "it had UEFI variables then and needs none now; give it its UEFI firmware "
                      "again with virsh edit");
    if (tpm && !snapshot->tpm)
        return cannot(observation, snapshot, error,
                      "the snapshot has no copy of its TPM's state, without which it might lock "
                      "itself out; such a snapshot can only be removed");
    if (!tpm && snapshot->tpm)
        return cannot(observation, snapshot, error,
                      "it had an emulated TPM then and has none now; give it one again with virsh "
                      "edit");
    return true;
}

/* What stands there now could not be put aside, nor come back if the revert failed: @what, for
 * @cause, or NULL if it can. */
static bool check_present(const Observation *observation, const Snapshot *snapshot,
                          const char *what, const char *cause, GError **error)
{
    g_autofree char *why = cause ? g_strdup_printf("%s: %s", what, cause) : NULL;

    return !why || cannot(observation, snapshot, error, why);
}

static bool check_tpm(const Observation *observation, const Snapshot *snapshot, GError **error)
{
    const Tpm *tpm = observation->inactive->tpm;
    const Sidecar *kept = snapshot->tpm;
    g_autofree char *path = firmware_tpm_path(observation->inactive, observation->capabilities);

    if (!kept)
        return true;
    if (g_strcmp0(tpm->version, kept->version) != 0)
        return cannot(
            observation, snapshot, error,
            "its TPM has another version now than then; change that back with virsh edit");
    if (g_strcmp0(tpm->secret, kept->secret) != 0)
        return cannot(observation, snapshot, error,
                      "its TPM's state is encrypted with another secret now than then; change that "
                      "back with virsh edit");
    if (!path)
        return cannot(observation, snapshot, error,
                      "it is not known where this libvirt keeps the state of TPMs");
    return check_present(observation, snapshot, "the state that its TPM has now cannot be read",
                         observation->tpm ? observation->tpm->error : NULL, error);
}

static bool check_store(const Catalog *catalog, const Observation *observation,
                        const Snapshot *snapshot, GError **error)
{
    const Firmware *firmware = observation->inactive->firmware;
    g_autofree char *path = snapshot->vars
                                ? firmware_vars_path(observation->live, observation->inactive,
                                                     observation->capabilities, catalog)
                                : NULL;

    if (!snapshot->vars)
        return true;
    if (firmware->combined)
        return cannot(observation, snapshot, error,
                      "it keeps its UEFI variables in the file of its firmware; give it a store of "
                      "its own with virsh edit");
    if (g_strcmp0(firmware->storage, "file") != 0 || g_strcmp0(firmware->format, "raw") != 0)
        return cannot(observation, snapshot, error,
                      "its UEFI variables are not in a raw file; change that with virsh edit");
    if (!path)
        return cannot(observation, snapshot, error,
                      "it is not known where its UEFI variables are; start it once");
    if (observation->vars && observation->vars->template_size &&
        observation->vars->template_size != snapshot->vars->size)
        return cannot(observation, snapshot, error,
                      "its firmware keeps UEFI variables of another size now than then; give it "
                      "the firmware of then with virsh edit");
    if (firmware_is_shared(observation->inactive, observation->capabilities, path))
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot be reverted to %s: its definition says that its UEFI variables "
                      "are in %s, which belongs to the firmware; correct that with virsh edit",
                      observation_name(observation), snapshot->name, path);
    return check_present(observation, snapshot,
                         "what its UEFI variables are now cannot be put aside",
                         observation->vars ? observation->vars->error : NULL, error);
}

bool check_state(const Catalog *catalog, const Observation *observation, const Snapshot *snapshot,
                 GError **error)
{
    return check_kinds(observation, snapshot, error) &&
           check_sidecar_gates(observation, snapshot, "reverted to", error) &&
           check_store(catalog, observation, snapshot, error) &&
           check_tpm(observation, snapshot, error);
}

/* --- steps --- */

StateTurn *state_turn_new(const Catalog *catalog, const Observation *observation,
                          const Snapshot *snapshot, IdSource *ids)
{
    StateTurn *turn = g_new0(StateTurn, 1);
    g_autofree char *id = snapshot->vars || snapshot->tpm ? ids_next(ids) : NULL;

    turn->snapshot = snapshot;
    if (snapshot->vars) {
        const ImageFacts *facts;

        turn->vars = firmware_vars_path(observation->live, observation->inactive,
                                        observation->capabilities, catalog);
        turn->store = names_store_path(turn->vars, id);
        facts = observation_file(observation, turn->vars);
        turn->vars_there = facts && facts->exists;
    }
    if (snapshot->tpm) {
        turn->tpm = firmware_tpm_path(observation->inactive, observation->capabilities);
        turn->staged = g_strdup_printf("%s.%s", turn->tpm, id);
    }
    return turn;
}

void state_turn_free(StateTurn *turn)
{
    if (!turn)
        return;
    g_free(turn->vars);
    g_free(turn->store);
    g_free(turn->tpm);
    g_free(turn->staged);
    g_free(turn);
}

static Step *add_about(Plan *plan, StepKind kind, const Snapshot *snapshot, const char *path)
{
    Step *step = plan_add(plan, kind);

    step_set(step, "snapshot", snapshot->id);
    step_set(step, "path", path);
    return step;
}

void state_turn_add_before(const StateTurn *turn, Plan *plan, const char *like)
{
    if (turn->vars)
        step_set(add_about(plan, STEP_PLACE_VARS, turn->snapshot, turn->store), "like",
                 turn->vars_there ? turn->vars : like);
    if (!turn->tpm)
        return;
    step_set(add_about(plan, STEP_STAGE_TPM, turn->snapshot, turn->staged), "like", turn->tpm);
    step_set(add_about(plan, STEP_EXCHANGE_TPM, turn->snapshot, turn->tpm), "staged", turn->staged);
}

/* What cannot be removed then is a warning on the snapshot, which the steps name. */
void state_turn_add_farewell(const StateTurn *turn, const Observation *observation, Plan *plan)
{
    const char *who = turn->vars ? observation_user(observation, turn->vars) : NULL;

    if (who)
        g_ptr_array_add(plan->steps, kept_warning(turn->snapshot->id, turn->vars, who));
    else if (turn->vars_there)
        add_about(plan, STEP_UNLINK, turn->snapshot, turn->vars);
    if (turn->tpm)
        add_about(plan, STEP_DROP_STATE, turn->snapshot, turn->staged);
}
