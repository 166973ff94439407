#include "plan/start.h"

#include <string.h>

#include "plan/checks.h"
#include "plan/firmware.h"

/* ---- where to look ---- */

/* The directory of the first disk that is a file and takes part in snapshots (NV-12). A piece of
 * the uuid is in the name: what another VM of this name has left there is not this one's. */
static char *place_beside(const Domain *domain)
{
    g_autofree char *file = g_strdup_printf("%s_VARS.%.8s.fd", domain->name, domain->uuid);

    for (guint i = 0; i < domain->disks->len; i++) {
        const DomainDisk *disk = domain->disks->pdata[i];

        if (disk->path && !g_strcmp0(disk->type, "file") && !domain_disk_excluded(disk)) {
            g_autofree char *directory = g_path_get_dirname(disk->path);
            return g_build_filename(directory, file, NULL);
        }
    }
    return NULL;
}

static const char *store_path(const Observation *observation)
{
    return observation->vars ? observation->vars->path : NULL;
}

/* libvirt chooses the place: nothing names one, and nothing is known. */
static bool is_open(const Domain *domain, const Catalog *catalog)
{
    return domain->firmware->automatic && !domain->firmware->path && !catalog->vars;
}

void start_places(const Observation *observation, const Catalog *catalog, StartPlaces *out_places)
{
    const Domain *domain = observation->inactive;

    *out_places = (StartPlaces){0};
    if (!domain || !domain_needs_vars(domain))
        return;
    out_places->loader = g_strdup(domain->firmware->loader);
    /* Where libvirt keeps its own is not known: whether there is one cannot be seen, so none is put
     * in its place. */
    if (store_path(observation) && is_open(domain, catalog) && !observation->managed_save)
        out_places->beside = place_beside(domain);
}

void start_places_clear(StartPlaces *places)
{
    g_free(places->loader);
    g_free(places->beside);
}

/* ---- what the host must be able to do ---- */

static bool check_uefi(const Observation *observation, const StartFacts *facts, GError **error)
{
    const Firmware *firmware = observation->inactive->firmware;
    const Capabilities *host = observation->capabilities;
    const char *name = observation_name(observation);

    if (!firmware->automatic && !facts->loader && !capabilities_firmware(host, firmware->loader))
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot be started: its UEFI firmware %s is not there; install it "
                      "(package ovmf), or name another in its definition",
                      name, firmware->loader ? firmware->loader : "(none named)");
    if (firmware->automatic && !host->uefi)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot be started: libvirt found no UEFI firmware on this host; "
                      "install it (package ovmf) and restart libvirt",
                      name);
    if (firmware->automatic && firmware->secure && !host->secure_boot)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s cannot be started: libvirt found no UEFI firmware with Secure Boot on "
                      "this host; install it (package ovmf) and restart libvirt",
                      name);
    return true;
}

static bool check_swtpm(const Observation *observation, GError **error)
{
    if (!domain_needs_tpm(observation->inactive) || observation->capabilities->tpm)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s cannot be started: it has a TPM, and libvirt found no swtpm on this host; "
                  "install it (packages swtpm and swtpm-tools) and restart libvirt",
                  observation_name(observation));
}

static bool check_host(const Observation *observation, const StartFacts *facts, GError **error)
{
    return check_swtpm(observation, error) &&
           (!domain_needs_vars(observation->inactive) || check_uefi(observation, facts, error));
}

/* ---- the vTPM's state ---- */

static bool has_kept_tpm(const Catalog *catalog)
{
    for (guint i = 0; i < catalog->snapshots->len; i++)
        if (((Snapshot *)catalog->snapshots->pdata[i])->tpm)
            return true;
    return false;
}

/* A state that cannot be read is there. */
static bool check_tpm(const Observation *observation, const Catalog *catalog, GError **error)
{
    const TpmFacts *tpm = observation->tpm;

    if (!tpm || !tpm->path || tpm->sha256 || tpm->error || !has_kept_tpm(catalog))
        return true;
    return refuse(error, ERR_NOT_FOUND,
                  "VM %s was not started: the state of its TPM, of which its snapshots keep "
                  "copies, is gone (tpm/path says from where), and a guest that measures its boot "
                  "would lock itself out of a new one; revert to a snapshot, or put it back (virsh "
                  "start makes a new one)",
                  observation_name(observation));
}

/* ---- the store ---- */

static bool check_storage(const Observation *observation, GError **error)
{
    const Firmware *firmware = observation->inactive->firmware;
    const char *name = observation_name(observation);

    if (firmware->storage && strcmp(firmware->storage, "file") != 0)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s was not started: it keeps its UEFI variables on %s storage, and only "
                      "files are supported; name a file in its definition",
                      name, firmware->storage);
    if (firmware->format && strcmp(firmware->format, "raw") != 0)
        return refuse(error, ERR_UNSUPPORTED,
                      "VM %s was not started: it keeps its UEFI variables in format %s, and only "
                      "raw is supported; convert them and change its definition",
                      name, firmware->format);
    return true;
}

static bool refuse_unready(const Observation *observation, const char *path, const char *why,
                           GError **error)
{
    return refuse(error, ERR_IO,
                  "VM %s was not started: its NVRAM %s %s; put a good one there (cp "
                  "snapshots/NAME/vars.fd nvram/vars.fd), or begin with new variables (rm "
                  "nvram/vars.fd)",
                  observation_name(observation), path, why);
}

static const char *why_not_ready(VarsState state, bool qcow2)
{
    if (qcow2)
        return "is a qcow2 image, and only raw ones work";
    return state == VARS_BADSIZE ? "has the size of another firmware's"
                                 : "has no UEFI variables in it (no _FVH signature)";
}

static bool check_store(const Observation *observation, GError **error)
{
    const VarsFacts *vars = observation->vars;

    if (vars->error)
        return refuse(error, ERR_IO, "VM %s was not started: its UEFI variables cannot be used: %s",
                      observation_name(observation), vars->error);
    return vars->state == VARS_READY ||
           refuse_unready(observation, vars->path, why_not_ready(vars->state, vars->qcow2), error);
}

/* libvirt looks for it there without being told. */
static bool is_default(const Observation *observation, const char *path)
{
    g_autofree char *place =
        firmware_vars_path(NULL, observation->inactive, observation->capabilities, NULL);

    return !g_strcmp0(place, path);
}

/* With a saved image libvirt goes by the definition in it. */
static bool has_to_be_stated(const Observation *observation, const char *path)
{
    return !observation->managed_save && !is_default(observation, path);
}

static bool decide_missing(const Observation *observation, const Catalog *catalog,
                           const StartPlaces *places, const StartFacts *facts,
                           StartDecision *decision, GError **error)
{
    const char *path = store_path(observation);

    if (!g_strcmp0(catalog->vars, path))
        return refuse(error, ERR_NOT_FOUND,
                      "VM %s was not started: its NVRAM %s is gone, and with it its UEFI variables "
                      "(boot entries, keys); put it back (cp snapshots/NAME/vars.fd "
                      "nvram/vars.fd), or begin with new variables (rm nvram/vars.fd)",
                      observation_name(observation), path);
    *decision = (StartDecision){.store = path, .made = true};
    if (!places->beside)
        return true;
    *decision = (StartDecision){
        .store = places->beside, .stated = true, .made = facts->beside == VARS_MISSING};
    return decision->made || facts->beside == VARS_READY ||
           refuse_unready(observation, places->beside, why_not_ready(facts->beside, false), error);
}

static bool decide_store(const Observation *observation, const Catalog *catalog,
                         const StartPlaces *places, const StartFacts *facts,
                         StartDecision *decision, GError **error)
{
    const char *path = store_path(observation);

    if (!path)
        return true;
    if (observation->vars->state == VARS_MISSING)
        return decide_missing(observation, catalog, places, facts, decision, error);
    *decision = (StartDecision){.store = path, .stated = has_to_be_stated(observation, path)};
    return check_store(observation, error);
}

bool start_decide(const Observation *observation, const Catalog *catalog, const StartPlaces *places,
                  const StartFacts *facts, StartDecision *out_decision, GError **error)
{
    StartDecision decision = {0};
    bool starts =
        !observation->inactive ||
        (check_host(observation, facts, error) && check_tpm(observation, catalog, error) &&
         (!domain_needs_vars(observation->inactive) ||
          (check_storage(observation, error) &&
           decide_store(observation, catalog, places, facts, &decision, error))));

    if (starts)
        *out_decision = decision;
    return starts;
}
