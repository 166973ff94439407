#include "run/view-firmware.h"

#include "base/str.h"
#include "plan/firmware.h"
#include "store/sidecar.h"

#include <string.h>

/* ---- making and freeing ---- */

static VarsView *vars_view_new(void)
{
    VarsView *view = g_new0(VarsView, 1);

    view->needed = g_strdup("");
    view->state = g_strdup("");
    view->path = g_strdup("");
    view->template = g_strdup("");
    view->format = g_strdup("");
    return view;
}

VarsView *vars_view_copy(const VarsView *view)
{
    VarsView *copy = g_memdup2(view, sizeof *view);

    copy->needed = g_strdup(view->needed);
    copy->state = g_strdup(view->state);
    copy->path = g_strdup(view->path);
    copy->template = g_strdup(view->template);
    copy->format = g_strdup(view->format);
    return copy;
}

void vars_view_free(VarsView *view)
{
    if (!view)
        return;
    g_free(view->needed);
    g_free(view->state);
    g_free(view->path);
    g_free(view->template);
    g_free(view->format);
    g_free(view);
}

static TpmView *tpm_view_new(const char *version, const char *state, const char *path)
{
    TpmView *view = g_new0(TpmView, 1);

    view->version = g_strdup(version);
    view->state = g_strdup(state);
    view->path = g_strdup(path);
    return view;
}

TpmView *tpm_view_copy(const TpmView *view)
{
    return tpm_view_new(view->version, view->state, view->path);
}

void tpm_view_free(TpmView *view)
{
    if (!view)
        return;
    g_free(view->version);
    g_free(view->state);
    g_free(view->path);
    g_free(view);
}

/* ---- the variable store ---- */

static const char *or_nothing(const char *text)
{
    return text ? text : "";
}

/* The template decides. Of firmware='efi' it is known while the VM runs only: then what is there,
 * or else what the newest snapshot keeps. */
static uint64_t whole_size(const VarsFacts *facts, const Catalog *catalog)
{
    uint64_t size = facts->whole ? facts->whole : facts->size;

    for (guint i = catalog->snapshots->len; size == 0 && i > 0; i--) {
        const Snapshot *snapshot = catalog->snapshots->pdata[i - 1];
        size = snapshot->vars ? snapshot->vars->size : 0;
    }
    return size;
}

/* One that cannot be read is there: reading it says why. */
static void show_facts(VarsView *view, const VarsFacts *facts, const Catalog *catalog)
{
    bool missing = facts->state == VARS_MISSING;

    str_set(&view->path, or_nothing(facts->path));
    str_set(&view->template, or_nothing(facts->template));
    if (!facts->path)
        return;
    str_set(&view->state, vars_state_name(facts->state));
    str_set(&view->format, missing || facts->error ? "" : facts->qcow2 ? "qcow2" : "raw");
    view->exists = !missing;
    view->vanished = missing && g_strcmp0(catalog->vars, facts->path) == 0;
    view->size = facts->size;
    view->whole = whole_size(facts, catalog);
}

VarsView *vars_view_of(const Observation *observation, const Catalog *catalog)
{
    const Domain *domain = observation ? observation_domain(observation) : NULL;
    VarsView *view = vars_view_new();

    if (!domain)
        return view;
    str_set(&view->needed, firmware_need(domain));
    if (observation->vars)
        show_facts(view, observation->vars, catalog);
    else if (!domain_needs_vars(domain))
        str_set(&view->state, vars_state_name(VARS_NONE));
    return view;
}

/* ---- the TPM ---- */

static const char *tpm_state(const Tpm *tpm, const TpmFacts *facts)
{
    if (!facts)
        return strcmp(tpm->backend, "emulator") ? tpm->backend : "";
    if (facts->error || !facts->path)
        return "";
    return facts->sha256 ? "ready" : "missing";
}

TpmView *tpm_view_of(const Observation *observation)
{
    const Domain *domain = observation ? observation_domain(observation) : NULL;

    if (!domain)
        return tpm_view_new("", "", "");
    if (!domain->tpm)
        return tpm_view_new("", "none", "");
    return tpm_view_new(domain->tpm->version, tpm_state(domain->tpm, observation->tpm),
                        observation->tpm ? or_nothing(observation->tpm->path) : "");
}

/* ---- sidecars ---- */

static void file_view_free(void *data)
{
    StateFileView *view = data;

    g_free(view->name);
    g_free(view);
}

GPtrArray *tpm_files_look(Files *files, const char *home, const char *uuid,
                          const Snapshot *snapshot)
{
    GPtrArray *views = g_ptr_array_new_with_free_func(file_view_free);
    const Sidecar *sidecar = snapshot->tpm;
    g_autoptr(GPtrArray) state = sidecar && home
                                     ? sidecar_read_tpm(files, home, uuid, snapshot->id,
                                                        sidecar->size, sidecar->sha256, NULL)
                                     : NULL;

    for (guint i = 0; state && i < state->len; i++) {
        const StateFile *file = state->pdata[i];
        StateFileView *view = g_new0(StateFileView, 1);
        view->name = g_strdup(file->name);
        view->size = g_bytes_get_size(file->content);
        g_ptr_array_add(views, view);
    }
    return views;
}
