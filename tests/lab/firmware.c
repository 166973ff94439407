#include "firmware.h"

#include "model/simhost-face.h"
#include "store/sidecar.h"

/* ---- what is there ---- */

/* Checksums of both; yours. */
static char *present(Lab *lab)
{
    g_autofree char *vars = simhost_vars_path(lab->host, LAB_UUID);
    g_autofree char *tpm = simhost_tpm_path(lab->host, LAB_UUID);
    g_autoptr(GBytes) store = simhost_state_read(lab->host, vars, NULL);
    g_autoptr(GPtrArray) state = simhost_state_read_directory(lab->host, tpm, NULL);
    g_autofree char *one = NULL, *other = NULL;

    g_assert(store && state);
    one = state_digest(store);
    other = state_files_digest(state);
    return g_strjoin(" ", one, other, NULL);
}

void lab_firmware_add(Lab *lab, bool automatic)
{
    simhost_set_firmware(lab->host, LAB_UUID, automatic ? SIM_EFI : SIM_LOADER, false);
    if (!automatic)
        simhost_set_nvram(lab->host, LAB_UUID, LAB_HOME "/web01_VARS.fd");
    simhost_set_tpm(lab->host, LAB_UUID, true);
    lab->firmware = true;
    g_assert_true(lab_start(lab));
    lab_stop(lab);
    lab_firmware_write(lab);
}

void lab_firmware_write(Lab *lab)
{
    if (!lab->firmware)
        return;
    lab->word = lab->written + 1;
    simhost_write_variable(lab->host, LAB_UUID, lab->word);
    simhost_write_secret(lab->host, LAB_UUID, lab->word + 1);
}

void lab_firmware_take(Lab *lab)
{
    g_clear_pointer(&lab->taken, g_free);
    lab->taken = lab->firmware ? present(lab) : NULL;
}

void lab_firmware_remember(Lab *lab, const char *id)
{
    if (!lab->firmware)
        return;
    g_hash_table_insert(lab->kept, g_strdup(id), g_strdup(lab->taken));
    g_hash_table_insert(lab->words, g_strdup(id), g_memdup2(&lab->word, sizeof lab->word));
}

void lab_firmware_revert(Lab *lab, const char *id)
{
    const uint64_t *word = id ? g_hash_table_lookup(lab->words, id) : NULL;

    if (word)
        lab->word = *word;
}

bool lab_firmware_is_back(Lab *lab, const char *id)
{
    const char *kept = g_hash_table_lookup(lab->kept, id);
    g_autofree char *now = kept ? present(lab) : NULL;

    return g_strcmp0(kept, now) == 0;
}

/* ---- what snapshots have ---- */

static bool are_readable(Lab *lab, const Snapshot *snapshot, GError **error)
{
    const char *id = snapshot->id;
    g_autoptr(GBytes) store = sidecar_read_vars(
        lab->memory, LAB_HOME, LAB_UUID, id, snapshot->vars->size, snapshot->vars->sha256, error);
    g_autoptr(GPtrArray) state =
        store ? sidecar_read_tpm(lab->memory, LAB_HOME, LAB_UUID, id, snapshot->tpm->size,
                                 snapshot->tpm->sha256, error)
              : NULL;

    return state != NULL;
}

static char *check_snapshot(Lab *lab, const Snapshot *snapshot)
{
    const char *taken = g_hash_table_lookup(lab->kept, snapshot->id);
    g_autoptr(GError) error = NULL;
    g_autofree char *kept = NULL;

    if (!taken || snapshot->state != SNAPSHOT_READY)
        return NULL;
    if (!snapshot->vars || !snapshot->tpm)
        return g_strdup_printf("%s has no sidecars", snapshot->name);
    if (!are_readable(lab, snapshot, &error))
        return g_strdup_printf("%s: %s", snapshot->name, error->message);
    kept = g_strjoin(" ", snapshot->vars->sha256, snapshot->tpm->sha256, NULL);
    return g_str_equal(kept, taken)
               ? NULL
               : g_strdup_printf("%s has sidecars of another time", snapshot->name);
}

/* S-28: nothing of what is gone is left. */
static char *check_left_over(Lab *lab, const Catalog *catalog)
{
    g_autoptr(GPtrArray) ids = sidecar_list(lab->memory, LAB_HOME, LAB_UUID);

    for (guint i = 0; i < ids->len; i++) {
        const Snapshot *snapshot = catalog_snapshot(catalog, ids->pdata[i]);

        if (!snapshot || (!snapshot->vars && !snapshot->tpm))
            return g_strdup_printf("the sidecar of %s is left over", (char *)ids->pdata[i]);
    }
    return NULL;
}

/* Disks, variables and vTPM state are of one side (rule 9). */
static char *check_own(Lab *lab)
{
    if (simhost_read_variable(lab->host, LAB_UUID) != lab->word)
        return g_strdup("the variables are not those of the disks");
    if (simhost_read_secret(lab->host, LAB_UUID) != lab->word + 1)
        return g_strdup("the vTPM's state is not that of the disks");
    return NULL;
}

static char *check_files(Lab *lab)
{
    g_autofree char *store = simhost_vars_path(lab->host, LAB_UUID);
    g_autofree char *tpm = simhost_tpm_path(lab->host, LAB_UUID);
    g_autofree char *in_tpm = g_strconcat(tpm, "/", NULL);
    g_autoptr(GPtrArray) paths = simhost_states(lab->host);

    for (guint i = 0; i < paths->len; i++) {
        const char *path = paths->pdata[i];

        if (!g_str_equal(path, store) && !g_str_has_prefix(path, in_tpm) &&
            !g_str_equal(path, SIM_TEMPLATE) && !g_str_equal(path, SIM_SECURE_TEMPLATE))
            return g_strdup_printf("%s is left over", path);
    }
    return NULL;
}

char *lab_firmware_broken_law(Lab *lab, const Catalog *catalog)
{
    char *why = check_left_over(lab, catalog);

    if (!why && lab->firmware)
        why = check_own(lab);
    if (!why && lab->firmware)
        why = check_files(lab);

    for (guint i = 0; !why && i < catalog->snapshots->len; i++)
        why = check_snapshot(lab, catalog->snapshots->pdata[i]);
    return why;
}
