/* Booting: what a start does to the variable store and to the vTPM's state, and what the guest
 * keeps in them.
 *
 * A store is made from its template where it is missing, as libvirt does without a word, and the
 * firmware counts its boots in it, so no store is byte for byte what it was before a boot. A vTPM
 * changes its state at each boot likewise. Both have a word of the guest's own. */
#include "model/simhost-priv.h"

#include "model/vars.h"

#include <string.h>

#define SIGNATURE_AT 40
#define COUNTER_AT   64
#define WORD_AT      72
#define STORE_SIZE   512
#define STATE_SIZE   96

void sim_templates_add(SimHost *host)
{
    static const char *const paths[] = {SIM_TEMPLATE, SIM_SECURE_TEMPLATE};

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        char content[STORE_SIZE] = {0};
        g_autoptr(GBytes) bytes = NULL;

        memcpy(content + SIGNATURE_AT, "_FVH", 4);
        content[STORE_SIZE - 1] = (char)(i + 1);
        bytes = g_bytes_new(content, sizeof(content));
        sim_state_put(host, paths[i], bytes);
    }
}

/* ---- words in a file ---- */

static uint64_t word_at(const SimState *state, gsize offset)
{
    gsize length = 0;
    const char *data = state ? g_bytes_get_data(state->content, &length) : NULL;
    uint64_t word = 0;

    if (length >= offset + sizeof(word))
        memcpy(&word, data + offset, sizeof(word));
    return word;
}

/* In place: it stays the same file. */
static void put_word(SimState *state, gsize offset, uint64_t word)
{
    gsize length;
    const char *data = g_bytes_get_data(state->content, &length);
    char *copy;

    if (length < offset + sizeof(word))
        return;
    copy = g_memdup2(data, length);
    memcpy(copy + offset, &word, sizeof(word));
    g_bytes_unref(state->content);
    state->content = g_bytes_new_take(copy, length);
}

static void count_boot(SimState *state)
{
    put_word(state, COUNTER_AT, word_at(state, COUNTER_AT) + 1);
}

/* ---- the variable store ---- */

static const char *template_of(const SimDomain *domain)
{
    return domain->secure ? SIM_SECURE_TEMPLATE : SIM_TEMPLATE;
}

static bool check_store_free(SimHost *host, const SimDomain *domain, const char *path,
                             GError **error)
{
    const SimDomain *other = sim_opener(host, path);

    if (!other && !g_hash_table_contains(host->locks, path))
        return true;
    return sim_error(error, ERR_BUSY,
                     "The VM %s cannot start: Failed to get the lock of \"%s\", which %s has.",
                     domain->name, path, other ? other->name : "another program");
}

static bool check_store(SimHost *host, const SimDomain *domain, const char *path, GError **error)
{
    const SimState *store = sim_state(host, path);

    if (!host->offered->uefi)
        return sim_error(error, ERR_IO,
                         "The VM %s cannot start: Unable to find 'efi' firmware that is compatible "
                         "with the current configuration.",
                         domain->name);
    if (!store && !sim_state(host, template_of(domain)))
        return sim_error(error, ERR_IO,
                         "The VM %s cannot start: Failed to open file \"%s\": No such file or "
                         "directory.",
                         domain->name, template_of(domain));
    if (store && g_bytes_get_size(store->content) == 0)
        return sim_error(error, ERR_IO,
                         "The VM %s cannot start: device \"%s\" has invalid size 0 bytes.",
                         domain->name, path);
    return check_store_free(host, domain, path, error);
}

/* A store without a file system of the firmware's is left as it is: that never gets going. */
static void boot_store(SimHost *host, const SimDomain *domain, const char *path)
{
    SimState *store = sim_state(host, path);
    gsize length;
    const char *data;

    if (!store) {
        sim_state_put(host, path, sim_state(host, template_of(domain))->content);
        store = sim_state(host, path);
    }
    data = g_bytes_get_data(store->content, &length);
    if (vars_judge(length, data, length, 0) == VARS_READY)
        count_boot(store);
}

/* ---- the vTPM ---- */

static char *tpm_directory(const SimDomain *domain)
{
    return g_strdup_printf(SIM_TPM_DIRECTORY "/%s/tpm2", domain->uuid);
}

static char *tpm_state_path(const SimDomain *domain)
{
    return g_strdup_printf(SIM_TPM_DIRECTORY "/%s/tpm2/tpm2-00.permall", domain->uuid);
}

/* Two vTPMs are never made the same. */
static void make_tpm_state(SimHost *host, const SimDomain *domain, const char *path)
{
    char content[STATE_SIZE] = {0};
    g_autoptr(GBytes) bytes = NULL;

    g_strlcpy(content, domain->uuid, COUNTER_AT);
    bytes = g_bytes_new(content, sizeof(content));
    sim_state_put(host, path, bytes);
}

static void boot_tpm(SimHost *host, const SimDomain *domain)
{
    g_autofree char *directory = tpm_directory(domain), *path = tpm_state_path(domain);
    g_autofree char *lock = g_strconcat(directory, "/.lock", NULL);
    g_autoptr(GBytes) nothing = g_bytes_new_static("", 0);

    if (!g_hash_table_contains(host->states, directory))
        sim_state_put_directory(host, directory);
    if (!sim_state(host, path))
        make_tpm_state(host, domain, path);
    if (!sim_state(host, lock))
        sim_state_put(host, lock, nothing);
    count_boot(sim_state(host, path));
}

/* ---- a start ---- */

bool sim_boot_check(SimHost *host, const SimDomain *domain, GError **error)
{
    g_autofree char *path = sim_nvram_started(domain);

    if (domain->tpm && !host->offered->tpm)
        return sim_error(error, ERR_IO,
                         "The VM %s cannot start: TPM emulator: \"swtpm\" is not installed.",
                         domain->name);
    return !path || check_store(host, domain, path, error);
}

void sim_boot(SimHost *host, SimDomain *domain)
{
    if (domain->live->nvram)
        boot_store(host, domain, domain->live->nvram);
    if (domain->tpm)
        boot_tpm(host, domain);
}

/* ---- the guest ---- */

static char *store_path(const SimDomain *domain)
{
    return domain->live ? g_strdup(domain->live->nvram) : sim_nvram_started(domain);
}

static void write_word(SimHost *host, const char *path, uint64_t word)
{
    SimState *state = sim_state(host, path);

    g_assert(state);
    put_word(state, WORD_AT, word);
}

void simhost_write_variable(SimHost *host, const char *uuid, uint64_t value)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autofree char *path = store_path(sim_known_domain(host, uuid));

    write_word(host, path, value);
}

uint64_t simhost_read_variable(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autofree char *path = store_path(sim_known_domain(host, uuid));

    return word_at(sim_state(host, path), WORD_AT);
}

void simhost_write_secret(SimHost *host, const char *uuid, uint64_t value)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autofree char *path = tpm_state_path(sim_known_domain(host, uuid));

    write_word(host, path, value);
}

uint64_t simhost_read_secret(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    g_autofree char *path = tpm_state_path(sim_known_domain(host, uuid));

    return word_at(sim_state(host, path), WORD_AT);
}

char *simhost_vars_path(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return store_path(sim_known_domain(host, uuid));
}

char *simhost_tpm_path(SimHost *host, const char *uuid)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return tpm_directory(sim_known_domain(host, uuid));
}
