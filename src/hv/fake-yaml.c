/* The description of a fake host. All keys but name, uuid, target, path and capacity are optional:
 *
 *     vms:
 *       - name: web01
 *         uuid: 11111111-1111-4111-8111-111111111111
 *         state: off                 # running, paused, off (the default)
 *         firmware: bios             # loader (UEFI, an explicit one), efi (libvirt chooses)
 *         secure_boot: false
 *         tpm: false                 # true: with a state
 *         nvram: missing             # the UEFI variables: ready, empty, badsize
 *         transient: false
 *         deaf: false                # its guest does not obey a shutdown
 *         managed_save: false
 *         agent: none                # the guest's: disconnected, well, silent, stumbles, dazed,
 *                                    # fails, empty, lies, wakes, stuck; see model/simhost.h
 *         disks:
 *           - target: vda
 *             path: images/vda.qcow2 # absolute, or from the directory of this file
 *             format: qcow2          # the default; raw
 *             capacity: 67108864     # bytes
 *             device: disk           # cdrom, floppy, lun
 *             type: file             # block, network, volume; as in libvirt's XML
 *             readonly: false
 *             shareable: false
 *             backing: images/base   # an image of the same capacity, made if no other disk has it
 *             backing_format: qcow2
 *     job_blocks_per_look: 4         # a block job copies that many blocks each time it is looked
 *                                    # at; 0: stands still
 *     free_bytes: 1073741824
 *     capabilities: {uefi: true, tpm: true}
 *     guest_writes: true             # running guests write a few blocks at start and after each
 *                                    # snapshot
 *     forgetful: false               # libvirt does not store the persistent definition after
 *                                    # snapshots and pivots
 *     down: false                    # libvirt cannot be reached
 *     slow_ms: {snapshot: 0, define: 0, start: 0, shutdown: 0, overlay: 0, commit: 0}
 *                                    # commit: each block
 *     images:                        # files that no VM has
 *       - {path: images/x.qcow2, backing: images/vda.qcow2, capacity: 67108864}
 */
#include "hv/fake-yaml.h"

#include <string.h>

#include "base/yaml.h"
#include "model/simhost-face.h"

#define SCHEME       "fake://"
#define GUEST_BLOCKS 8
#define CAPACITY_MAX (UINT64_C(1) << 40)
#define STORE_BYTES  540672 /* as OVMF has it */

/* Optional values: absent leaves what is there. */
static bool opt_text(const YamlNode *map, const char *key, const char **text, GError **error)
{
    const YamlNode *node = yaml_get(map, key);

    return !node || yaml_text(node, text, error);
}

static bool opt_bool(const YamlNode *map, const char *key, bool *value, GError **error)
{
    const YamlNode *node = yaml_get(map, key);

    return !node || yaml_bool(node, value, error);
}

static bool opt_unsigned(const YamlNode *map, const char *key, unsigned *value, GError **error)
{
    const YamlNode *node = yaml_get(map, key);
    uint64_t number = 0;

    if (!node)
        return true;
    if (!yaml_u64(node, &number, error))
        return false;
    if (number > G_MAXUINT)
        return yaml_error(node, error, "the value of \"%s\" is too large", key);
    *value = (unsigned)number;
    return true;
}

/* One of @words, NULL-terminated. */
static bool opt_word(const YamlNode *map, const char *key, const char *const *words,
                     const char **word, GError **error)
{
    g_autofree char *known = g_strjoinv(", ", (char **)words);

    if (!opt_text(map, key, word, error))
        return false;
    if (!g_strv_contains(words, *word))
        return yaml_error(yaml_get(map, key), error, "\"%s\" of \"%s\" is none of %s", *word, key,
                          known);
    return true;
}

typedef struct {
    const char *target, *path, *format, *device, *type, *backing, *backing_format;
    uint64_t capacity;
    bool readonly, shareable;
} DiskText;

static bool read_disk_words(const YamlNode *node, DiskText *disk, GError **error)
{
    static const char *const formats[] = {"qcow2", "raw", NULL};
    static const char *const devices[] = {"disk", "cdrom", "floppy", "lun", NULL};
    static const char *const types[] = {"file", "block", "network", "volume", NULL};

    return opt_word(node, "format", formats, &disk->format, error) &&
           opt_word(node, "backing_format", formats, &disk->backing_format, error) &&
           opt_word(node, "device", devices, &disk->device, error) &&
           opt_word(node, "type", types, &disk->type, error);
}

static bool read_disk(const YamlNode *node, DiskText *disk, GError **error)
{
    static const char *const keys[] = {"target",  "path",           "format",   "capacity",
                                       "device",  "type",           "readonly", "shareable",
                                       "backing", "backing_format", NULL};

    *disk =
        (DiskText){.format = "qcow2", .backing_format = "qcow2", .device = "disk", .type = "file"};
    if (!yaml_is_map(node, error) || !yaml_check_keys(node, keys, error) ||
        !yaml_text(yaml_need(node, "target", error), &disk->target, error) ||
        !yaml_text(yaml_need(node, "path", error), &disk->path, error) ||
        !yaml_u64(yaml_need(node, "capacity", error), &disk->capacity, error) ||
        !read_disk_words(node, disk, error) || !opt_text(node, "backing", &disk->backing, error) ||
        !opt_bool(node, "readonly", &disk->readonly, error) ||
        !opt_bool(node, "shareable", &disk->shareable, error))
        return false;
    if (disk->capacity == 0 || disk->capacity > CAPACITY_MAX)
        return yaml_error(node, error,
                          "the capacity of disk \"%s\" is not from 1 to %" G_GUINT64_FORMAT,
                          disk->target, CAPACITY_MAX);
    if (disk->backing && g_str_equal(disk->format, "raw"))
        return yaml_error(node, error, "disk \"%s\" is raw and cannot have a backing file",
                          disk->target);
    return true;
}

static void add_image(SimHost *host, const char *path, const char *format, const char *backing,
                      const char *backing_format, uint64_t capacity)
{
    if (!simhost_image_exists(host, path))
        simhost_add_image(host, path, format, backing, backing ? backing_format : NULL, capacity);
}

static void add_disk(SimHost *host, const char *uuid, const char *directory, const DiskText *disk)
{
    g_autofree char *path = g_canonicalize_filename(disk->path, directory);
    g_autofree char *backing =
        disk->backing ? g_canonicalize_filename(disk->backing, directory) : NULL;

    if (backing)
        add_image(host, backing, disk->backing_format, NULL, NULL, disk->capacity);
    add_image(host, path, disk->format, backing, disk->backing_format, disk->capacity);
    simhost_add_disk(host, uuid, disk->target, path, disk->format);
    simhost_set_disk(host, uuid, disk->target, disk->device, disk->type, disk->readonly,
                     disk->shareable);
}

static bool add_disks(SimHost *host, const char *uuid, const char *directory, const YamlNode *list,
                      GError **error)
{
    g_autoptr(GHashTable) targets = g_hash_table_new(g_str_hash, g_str_equal);

    if (!yaml_is_list(list, error))
        return false;
    for (unsigned i = 0; i < list->items->len; i++) {
        const YamlNode *node = list->items->pdata[i];
        DiskText disk;

        if (!read_disk(node, &disk, error))
            return false;
        if (!g_hash_table_add(targets, (char *)disk.target))
            return yaml_error(node, error, "there are two disks \"%s\"", disk.target);
        add_disk(host, uuid, directory, &disk);
    }
    return true;
}

typedef struct {
    const char *name, *uuid, *state, *agent, *firmware, *nvram;
    bool secure_boot, tpm, transient, deaf, managed_save;
} VmText;

static const char *const agents[] = {
    [SIM_AGENT_NONE] = "none",         [SIM_AGENT_DISCONNECTED] = "disconnected",
    [SIM_AGENT_WELL] = "well",         [SIM_AGENT_SILENT] = "silent",
    [SIM_AGENT_STUMBLES] = "stumbles", [SIM_AGENT_DAZED] = "dazed",
    [SIM_AGENT_FAILS] = "fails",       [SIM_AGENT_EMPTY] = "empty",
    [SIM_AGENT_LIES] = "lies",         [SIM_AGENT_WAKES] = "wakes",
    [SIM_AGENT_STUCK] = "stuck",       [N_SIM_AGENT] = NULL,
};

static SimAgent agent_named(const char *name)
{
    SimAgent agent = SIM_AGENT_NONE;

    while (!g_str_equal(agents[agent], name))
        agent++;
    return agent;
}

static const char *const firmwares[] = {
    [SIM_BIOS] = "bios",
    [SIM_LOADER] = "loader",
    [SIM_EFI] = "efi",
    [N_SIM_FIRMWARE] = NULL,
};

static SimFirmware firmware_named(const char *name)
{
    SimFirmware firmware = SIM_BIOS;

    while (!g_str_equal(firmwares[firmware], name))
        firmware++;
    return firmware;
}

static bool read_vm(const YamlNode *node, VmText *vm, GError **error)
{
    static const char *const keys[] = {"name",  "uuid",      "state", "firmware",     "secure_boot",
                                       "tpm",   "transient", "deaf",  "managed_save", "agent",
                                       "disks", "nvram",     NULL};
    static const char *const states[] = {"running", "paused", "off", NULL};
    static const char *const stores[] = {"missing", "ready", "empty", "badsize", NULL};

    *vm = (VmText){.state = "off", .agent = "none", .firmware = "bios", .nvram = "missing"};
    if (!yaml_is_map(node, error) || !yaml_check_keys(node, keys, error) ||
        !yaml_text(yaml_need(node, "name", error), &vm->name, error) ||
        !yaml_text(yaml_need(node, "uuid", error), &vm->uuid, error) ||
        !opt_word(node, "state", states, &vm->state, error) ||
        !opt_word(node, "agent", agents, &vm->agent, error) ||
        !opt_word(node, "firmware", firmwares, &vm->firmware, error) ||
        !opt_word(node, "nvram", stores, &vm->nvram, error) ||
        !opt_bool(node, "secure_boot", &vm->secure_boot, error) ||
        !opt_bool(node, "tpm", &vm->tpm, error) ||
        !opt_bool(node, "transient", &vm->transient, error) ||
        !opt_bool(node, "deaf", &vm->deaf, error) ||
        !opt_bool(node, "managed_save", &vm->managed_save, error))
        return false;
    if (!g_uuid_string_is_valid(vm->uuid))
        return yaml_error(node, error, "\"%s\" of VM \"%s\" is not a uuid", vm->uuid, vm->name);
    if (vm->transient && g_str_equal(vm->state, "off"))
        return yaml_error(node, error, "VM \"%s\" is transient and cannot be off", vm->name);
    return true;
}

/* As firmware brings it, so long as nothing is written to it. */
static void put_store(SimHost *host, const char *path, gsize size)
{
    char *content = g_malloc0(STORE_BYTES);

    memcpy(content + 40, "_FVH", 4);
    g_autoptr(GBytes) whole = g_bytes_new_take(content, STORE_BYTES);
    g_autoptr(GBytes) part = g_bytes_new_from_bytes(whole, 0, size);
    simhost_set_state_bytes(host, path, part);
}

static void add_vars(SimHost *host, const VmText *vm)
{
    g_autofree char *path = g_strdup_printf(SIM_NVRAM_DIRECTORY "/%s_VARS.fd", vm->name);

    if (g_str_equal(vm->firmware, "bios"))
        return;
    put_store(host, SIM_TEMPLATE, STORE_BYTES);
    put_store(host, SIM_SECURE_TEMPLATE, STORE_BYTES);
    if (!g_str_equal(vm->nvram, "missing"))
        put_store(host, path,
                  g_str_equal(vm->nvram, "ready")   ? STORE_BYTES
                  : g_str_equal(vm->nvram, "empty") ? 0
                                                    : STORE_BYTES / 2);
}

static void add_tpm_state(SimHost *host, const VmText *vm, const char *uuid)
{
    g_autofree char *directory = g_strdup_printf(SIM_TPM_DIRECTORY "/%s/tpm2", uuid);
    g_autofree char *path = g_strconcat(directory, "/tpm2-00.permall", NULL);

    if (!vm->tpm)
        return;
    simhost_set_state_directory(host, directory, true);
    simhost_set_state(host, path, "secrets of the guest\n");
}

static bool add_vm(SimHost *host, const char *directory, const YamlNode *node, GError **error)
{
    const YamlNode *disks = yaml_get(node, "disks");
    VmText vm;

    if (!read_vm(node, &vm, error))
        return false;

    g_autofree char *uuid = g_ascii_strdown(vm.uuid, -1);
    DomainState state = g_str_equal(vm.state, "off")       ? DOMAIN_OFF
                        : g_str_equal(vm.state, "running") ? DOMAIN_RUNNING
                                                           : DOMAIN_PAUSED;
    simhost_add_domain(host, uuid, vm.name, state);
    simhost_set_firmware(host, uuid, firmware_named(vm.firmware), vm.secure_boot);
    simhost_set_tpm(host, uuid, vm.tpm);
    add_vars(host, &vm);
    add_tpm_state(host, &vm, uuid);
    simhost_set_deaf(host, uuid, vm.deaf);
    simhost_set_agent(host, uuid, agent_named(vm.agent));
    simhost_set_managed_save(host, uuid, vm.managed_save);
    if (disks && !add_disks(host, uuid, directory, disks, error))
        return false;
    if (vm.transient)
        simhost_set_transient(host, uuid);
    return true;
}

static bool is_taken(GHashTable *seen, const YamlNode *node, const char *key, GError **error)
{
    const YamlNode *value = yaml_get(node, key);
    bool taken = value && value->text && !g_hash_table_add(seen, value->text);

    if (taken)
        yaml_error(value, error, "there are two VMs with the %s \"%s\"", key, value->text);
    return taken;
}

static bool add_vms(SimHost *host, const char *directory, const YamlNode *list, GError **error)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    if (!yaml_is_list(list, error))
        return false;
    for (unsigned i = 0; i < list->items->len; i++) {
        const YamlNode *node = list->items->pdata[i];

        if (is_taken(seen, node, "name", error) || is_taken(seen, node, "uuid", error) ||
            !add_vm(host, directory, node, error))
            return false;
    }
    return true;
}

static bool add_loose_image(SimHost *host, const char *directory, const YamlNode *node,
                            GError **error)
{
    static const char *const keys[] = {"path", "backing", "capacity", NULL};
    const char *path = NULL, *backing = NULL;
    uint64_t capacity = 0;

    if (!yaml_is_map(node, error) || !yaml_check_keys(node, keys, error) ||
        !yaml_text(yaml_need(node, "path", error), &path, error) ||
        !opt_text(node, "backing", &backing, error) ||
        !yaml_u64(yaml_need(node, "capacity", error), &capacity, error))
        return false;
    g_autofree char *file = g_canonicalize_filename(path, directory);
    g_autofree char *below = backing ? g_canonicalize_filename(backing, directory) : NULL;
    add_image(host, file, "qcow2", below, "qcow2", capacity);
    return true;
}

static bool add_images(SimHost *host, const char *directory, const YamlNode *list, GError **error)
{
    if (!list)
        return true;
    if (!yaml_is_list(list, error))
        return false;
    for (unsigned i = 0; i < list->items->len; i++)
        if (!add_loose_image(host, directory, list->items->pdata[i], error))
            return false;
    return true;
}

static bool set_slow(SimHost *host, const YamlNode *map, GError **error)
{
    static const char *const keys[] = {
        [SIM_SLOW_SNAPSHOT] = "snapshot",
        [SIM_SLOW_DEFINE] = "define",
        [SIM_SLOW_START] = "start",
        [SIM_SLOW_SHUTDOWN] = "shutdown",
        [SIM_SLOW_OVERLAY] = "overlay",
        [SIM_SLOW_COMMIT] = "commit",
        [N_SIM_SLOW] = NULL,
    };

    if (!map)
        return true;
    if (!yaml_is_map(map, error) || !yaml_check_keys(map, keys, error))
        return false;
    for (unsigned call = 0; call < N_SIM_SLOW; call++) {
        unsigned milliseconds = 0;

        if (!opt_unsigned(map, keys[call], &milliseconds, error))
            return false;
        simhost_set_slow(host, (SimSlow)call, milliseconds);
    }
    return true;
}

static bool set_free(SimHost *host, const YamlNode *node, GError **error)
{
    uint64_t bytes = 0;

    if (!node)
        return true;
    if (!yaml_u64(node, &bytes, error))
        return false;
    simhost_set_free(host, bytes);
    return true;
}

static bool set_capabilities(SimHost *host, const YamlNode *map, GError **error)
{
    static const char *const keys[] = {"uefi", "tpm", NULL};
    bool uefi = true, tpm = true;

    if (!map)
        return true;
    if (!yaml_is_map(map, error) || !yaml_check_keys(map, keys, error) ||
        !opt_bool(map, "uefi", &uefi, error) || !opt_bool(map, "tpm", &tpm, error))
        return false;
    simhost_set_capabilities(host, uefi, tpm);
    return true;
}

static bool set_behaviour(SimHost *host, const YamlNode *root, GError **error)
{
    unsigned speed = G_MAXUINT;
    bool writes = false, forgetful = false, down = false;

    if (!opt_unsigned(root, "job_blocks_per_look", &speed, error) ||
        !set_free(host, yaml_get(root, "free_bytes"), error) ||
        !set_capabilities(host, yaml_get(root, "capabilities"), error) ||
        !opt_bool(root, "guest_writes", &writes, error) ||
        !opt_bool(root, "forgetful", &forgetful, error) || !opt_bool(root, "down", &down, error) ||
        !set_slow(host, yaml_get(root, "slow_ms"), error))
        return false;
    simhost_set_job_speed(host, speed);
    simhost_set_guest_writes(host, writes ? GUEST_BLOCKS : 0);
    simhost_set_forgetful(host, forgetful);
    simhost_set_down(host, down);
    return true;
}

static SimHost *make_host(const YamlNode *root, const char *directory, GError **error)
{
    static const char *const keys[] = {
        "vms",          "job_blocks_per_look", "free_bytes", "capabilities", "down",
        "guest_writes", "forgetful",           "slow_ms",    "images",       NULL};
    g_autoptr(SimHost) host = simhost_new();

    if (!yaml_is_map(root, error) || !yaml_check_keys(root, keys, error) ||
        !add_vms(host, directory, yaml_need(root, "vms", error), error) ||
        !add_images(host, directory, yaml_get(root, "images"), error) ||
        !set_behaviour(host, root, error))
        return NULL;
    return g_steal_pointer(&host);
}

static char *read_file(const char *path, gsize *out_length, GError **error)
{
    g_autoptr(GError) failure = NULL;
    char *text = NULL;

    if (g_file_get_contents(path, &text, out_length, &failure))
        return text;
    g_set_error(error, VMSNAPFS_ERROR,
                g_error_matches(failure, G_FILE_ERROR, G_FILE_ERROR_NOENT) ? ERR_NOT_FOUND : ERR_IO,
                "The description of the fake host cannot be read: %s", failure->message);
    return NULL;
}

SimHost *fake_yaml_load(const char *uri, GError **error)
{
    if (!g_str_has_prefix(uri, SCHEME "/")) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "\"%s\" is not the URI of a fake host; write fake:///path/host.yaml.", uri);
        return NULL;
    }

    const char *path = uri + strlen(SCHEME);
    g_autofree char *directory = g_path_get_dirname(path);
    gsize length = 0;
    g_autofree char *text = read_file(path, &length, error);
    if (!text)
        return NULL;

    g_autoptr(YamlNode) root = yaml_parse(text, length, error);
    SimHost *host = root ? make_host(root, directory, error) : NULL;
    if (!host)
        g_prefix_error(error, "%s: ", path);
    return host;
}
