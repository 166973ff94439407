#include "run/observe-firmware.h"

#include "plan/firmware.h"

#include <string.h>

#define TRIES 3 /* swtpm replaces its state now and then */

/* ---- variables ---- */

/* A VM that wrote into a snapshot's copy would spoil it. */
static bool check_place(const char *path, GError **error)
{
    if (!g_path_is_absolute(path))
        error_set(error, ERR_UNSUPPORTED,
                  "%s is no absolute path; name the file of the UEFI variables by one in <nvram> "
                  "(virsh edit)",
                  path);
    else if (strstr(path, "/.vmsnapfs/"))
        error_set(error, ERR_UNSUPPORTED,
                  "%s is a copy that belongs to a snapshot, or is beside such copies; name another "
                  "file in <nvram> (virsh edit), and put the copy there with cp",
                  path);
    else
        return true;
    return false;
}

/* Where the catalog says that a store of this VM was, what is no store is a spoiled one. */
static bool check_content(const char *path, const char *known, GBytes *content, GError **error)
{
    gsize length;
    const void *bytes = g_bytes_get_data(content, &length);

    if (g_strcmp0(path, known) == 0 || vars_is_store(bytes, length))
        return true;
    error_set(error, ERR_UNSUPPORTED,
              "%s holds something else than UEFI variables (no _FVH signature), so it is left "
              "alone; name another file in <nvram> (virsh edit), or move this one away if nobody "
              "needs it",
              path);
    return false;
}

GBytes *observe_vars(const World *world, const char *path, const char *known, GError **error)
{
    g_autoptr(GBytes) content = check_place(path, error)
                                    ? world->images->ops->read_state(world->images, path, error)
                                    : NULL;

    return content && check_content(path, known, content, error) ? g_steal_pointer(&content) : NULL;
}

static uint64_t size_of(const World *world, const char *path)
{
    g_autoptr(GBytes) content = path ? observe_vars(world, path, NULL, NULL) : NULL;

    return content ? g_bytes_get_size(content) : 0;
}

/* Whichever build of @firmware libvirt chooses: the size of its variables, if all that are there
 * have one. */
static uint64_t size_of_any(const World *world, const GPtrArray *firmware)
{
    uint64_t any = 0;

    for (guint i = 0; i < firmware->len; i++) {
        uint64_t size = size_of(world, ((FirmwareBuild *)firmware->pdata[i])->template);

        if (any > 0 && size > 0 && size != any)
            return 0;
        any = MAX(any, size);
    }
    return any;
}

static void judge(VarsFacts *facts, GBytes *content)
{
    gsize length;
    const char *head = g_bytes_get_data(content, &length);

    facts->size = length;
    facts->qcow2 = length >= 4 && memcmp(head, "QFI\xfb", 4) == 0;
    facts->state = vars_judge(length, head, MIN(length, VARS_HEAD), facts->whole);
}

static void look(const World *world, const Catalog *catalog, VarsFacts *facts)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) content =
        facts->path && check_place(facts->path, &error)
            ? world->images->ops->read_state(world->images, facts->path, &error)
            : NULL;

    facts->state = VARS_MISSING;
    if (content) {
        judge(facts, content);
        check_content(facts->path, catalog ? catalog->vars : NULL, content, &error);
    }
    if (error && !error_is(error, ERR_NOT_FOUND)) {
        facts->state = VARS_EMPTY;
        facts->error = g_strdup(error->message);
    }
}

static VarsFacts *look_at_needed(const World *world, const Catalog *catalog,
                                 const Observation *observation)
{
    const Capabilities *capabilities = observation->capabilities;
    const Domain *live = observation->live, *inactive = observation->inactive;
    VarsFacts *facts = g_new0(VarsFacts, 1);

    facts->path = firmware_vars_path(live, inactive, capabilities, catalog);
    facts->template = g_strdup(firmware_template(live, inactive, capabilities));
    facts->template_size = size_of(world, facts->template);
    facts->whole =
        facts->template ? facts->template_size : size_of_any(world, capabilities->firmware);
    look(world, catalog, facts);
    return facts;
}

/* NV-04: a VM that has no UEFI firmware any more keeps its variables. */
static VarsFacts *look_at_left(const World *world, const Catalog *catalog)
{
    VarsFacts *facts;

    if (!catalog || !catalog->vars)
        return NULL;
    facts = g_new0(VarsFacts, 1);
    facts->path = g_strdup(catalog->vars);
    look(world, catalog, facts);
    if (facts->state == VARS_MISSING)
        g_clear_pointer(&facts, vars_facts_free);
    else
        facts->state = VARS_UNUSED;
    return facts;
}

/* ---- vTPM ---- */

GPtrArray *observe_tpm_state(const World *world, const char *path, GError **error)
{
    for (unsigned tries = 1; tries < TRIES; tries++) {
        g_autoptr(GError) cause = NULL;
        GPtrArray *files = world->images->ops->read_state_directory(world->images, path, &cause);

        if (!cause)
            return files;
        if (!error_is(cause, ERR_BUSY)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return NULL;
        }
    }
    return world->images->ops->read_state_directory(world->images, path, error);
}

static TpmFacts *look_at_tpm(const World *world, const Observation *observation)
{
    TpmFacts *facts = g_new0(TpmFacts, 1);
    g_autoptr(GPtrArray) files = NULL;
    g_autoptr(GError) error = NULL;

    facts->path = firmware_tpm_path(observation_domain(observation), observation->capabilities);
    files = facts->path ? observe_tpm_state(world, facts->path, &error) : NULL;
    if (files && files->len > 0)
        facts->sha256 = state_files_digest(files);
    else if (error && !error_is(error, ERR_NOT_FOUND))
        facts->error = g_strdup(error->message);
    return facts;
}

void observe_firmware(const World *world, const Catalog *catalog, Observation *observation)
{
    const Domain *domain = observation_domain(observation);

    if (!domain)
        return;
    observation->vars = domain_needs_vars(domain) ? look_at_needed(world, catalog, observation)
                                                  : look_at_left(world, catalog);
    if (domain_needs_tpm(domain))
        observation->tpm = look_at_tpm(world, observation);
}
