#include "fs/nodes.h"

#include "fs/requests.h"
#include "fs/show.h"

#include <string.h>
#include <sys/stat.h>

#define DIRECTORY    (S_IFDIR | 0550)
#define WORK         (S_IFDIR | 0770) /* where the group may make and remove */
#define TEXT         (S_IFREG | 0440)
#define KNOB         (S_IFREG | 0660)
#define SECRET       (S_IFREG | 0400)
#define LINK         (S_IFLNK | 0777)
#define SNAPSHOT_DIR "<vm>/snapshots/<name>"
#define HIDDEN_DIR   "<vm>/hidden/<id>"

/* What listed and hidden snapshots have in common. */
#define SNAPSHOT_TEXTS(dir, where)                                                                 \
    {.pattern = dir "/id", .scope = where, .mode = TEXT, .show = show_snapshot_id},                \
        {.pattern = dir "/state", .scope = where, .mode = TEXT, .show = show_snapshot_state},      \
        {.pattern = dir "/created", .scope = where, .mode = TEXT, .show = show_snapshot_created},  \
        {.pattern = dir "/consistency",                                                            \
         .scope = where,                                                                           \
         .mode = TEXT,                                                                             \
         .show = show_snapshot_consistency},                                                       \
        {.pattern = dir "/children",                                                               \
         .scope = where,                                                                           \
         .mode = TEXT,                                                                             \
         .show = show_snapshot_children},                                                          \
        {.pattern = dir "/disks", .scope = where, .mode = TEXT, .show = show_snapshot_disks},      \
        {.pattern = dir "/warnings",                                                               \
         .scope = where,                                                                           \
         .mode = TEXT,                                                                             \
         .show = show_snapshot_warnings},                                                          \
        {.pattern = dir "/error", .scope = where, .mode = TEXT, .show = show_snapshot_error},      \
        {.pattern = dir "/info.yaml", .scope = where, .mode = TEXT, .show = show_snapshot_info},   \
        {.pattern = dir "/parent",                                                                 \
         .scope = where,                                                                           \
         .mode = LINK,                                                                             \
         .present = has_parent,                                                                    \
         .show = show_snapshot_parent},                                                            \
        {.pattern = dir "/vars.fd",                                                                \
         .scope = where,                                                                           \
         .mode = TEXT,                                                                             \
         .present = has_vars,                                                                      \
         .load = load_snapshot_vars,                                                               \
         .size = size_of_snapshot_vars},                                                           \
    {                                                                                              \
        .pattern = dir "/tpm", .scope = where, .mode = S_IFDIR | 0555, .present = has_tpm          \
    }

static bool has_hidden(const Place *place)
{
    for (guint i = 0; i < place->vm->snapshots->len; i++)
        if (((const SnapshotView *)g_ptr_array_index(place->vm->snapshots, i))->hidden)
            return true;
    return false;
}

static bool has_current(const Place *place)
{
    return place->vm->current && vm_view_snapshot(place->vm, place->vm->current);
}

static bool has_parent(const Place *place)
{
    return place->snapshot->parent && vm_view_snapshot(place->vm, place->snapshot->parent);
}

static bool has_vars(const Place *place)
{
    return place->snapshot->vars != NULL;
}

static bool has_tpm(const Place *place)
{
    return place->snapshot->tpm != NULL;
}

/* One that has vanished is listed: reading it says so, rm says that this is well. */
static bool has_own_vars(const Place *place)
{
    return place->vm->nvram->exists || place->vm->nvram->vanished;
}

static const Node nodes[] = {
    {.pattern = "", .scope = SCOPE_HOST, .mode = S_IFDIR | 0750},
    {.pattern = "README", .scope = SCOPE_HOST, .mode = TEXT, .show = show_readme},

    {.pattern = ".vmsnapfs", .scope = SCOPE_HOST, .mode = DIRECTORY},
    {.pattern = ".vmsnapfs/version", .scope = SCOPE_HOST, .mode = TEXT, .show = show_version},
    {.pattern = ".vmsnapfs/status", .scope = SCOPE_HOST, .mode = TEXT, .show = show_host_status},
    {.pattern = ".vmsnapfs/errors",
     .scope = SCOPE_HOST,
     .mode = TEXT,
     .flags = NODE_LIVE,
     .show = show_errors},
    {.pattern = ".vmsnapfs/events",
     .scope = SCOPE_HOST,
     .mode = TEXT,
     .flags = NODE_UNLISTED | NODE_EVENTS},
    {.pattern = ".vmsnapfs/stats", .scope = SCOPE_HOST, .mode = TEXT, .show = show_stats},
    {.pattern = ".vmsnapfs/by-uuid", .scope = SCOPE_HOST, .mode = DIRECTORY},
    {.pattern = ".vmsnapfs/by-uuid/<uuid>",
     .scope = SCOPE_UUID,
     .mode = LINK,
     .show = show_by_uuid},
    {.pattern = ".vmsnapfs/jobs", .scope = SCOPE_HOST, .mode = DIRECTORY},
    {.pattern = ".vmsnapfs/jobs/<id>",
     .scope = SCOPE_RUNNING,
     .mode = LINK,
     .flags = NODE_FLEETING,
     .show = show_job_link},
    {.pattern = ".vmsnapfs/orphans", .scope = SCOPE_HOST, .mode = WORK, .flags = NODE_GUARDED},
    {.pattern = ".vmsnapfs/orphans/<file>",
     .scope = SCOPE_ORPHAN,
     .mode = TEXT,
     .flags = NODE_FLEETING,
     .show = show_orphan,
     .drop = request_free_orphan},

    {.pattern = "<vm>",
     .scope = SCOPE_VM,
     .mode = WORK,
     .drop = request_expunge,
     .move = request_move,
     .link = request_revert},
    {.pattern = "<vm>/uuid", .scope = SCOPE_VM, .mode = TEXT, .show = show_uuid},
    {.pattern = "<vm>/state",
     .scope = SCOPE_VM,
     .mode = KNOB,
     .show = show_state,
     .store = request_power},
    {.pattern = "<vm>/status", .scope = SCOPE_VM, .mode = TEXT, .show = show_status},
    {.pattern = "<vm>/drift",
     .scope = SCOPE_VM,
     .mode = KNOB,
     .show = show_drift,
     .store = request_drift},
    {.pattern = "<vm>/info.yaml", .scope = SCOPE_VM, .mode = TEXT, .show = show_info},
    {.pattern = "<vm>/tree", .scope = SCOPE_VM, .mode = TEXT, .show = show_tree},
    {.pattern = "<vm>/progress",
     .scope = SCOPE_VM,
     .mode = TEXT,
     .flags = NODE_PROGRESS,
     .show = show_progress},
    {.pattern = "<vm>/wait", .scope = SCOPE_VM, .mode = TEXT, .flags = NODE_UNLISTED | NODE_WAIT},
    {.pattern = "<vm>/errors",
     .scope = SCOPE_VM,
     .mode = TEXT,
     .flags = NODE_LIVE,
     .show = show_errors},
    {.pattern = "<vm>/current",
     .scope = SCOPE_VM,
     .mode = LINK,
     .flags = NODE_FLEETING,
     .present = has_current,
     .show = show_current},
    {.pattern = "<vm>/<link>",
     .scope = SCOPE_LINK,
     .mode = LINK,
     .flags = NODE_FLEETING | NODE_UNLISTED,
     .show = show_temporary_link,
     .move = request_move_link},

    {.pattern = "<vm>/snapshots", .scope = SCOPE_VM, .mode = WORK, .make = request_create},
    {.pattern = SNAPSHOT_DIR,
     .scope = SCOPE_SNAPSHOT,
     .mode = S_IFDIR | 0755,
     .drop = request_remove,
     .move = request_rename},
    {.pattern = SNAPSHOT_DIR "/description",
     .scope = SCOPE_SNAPSHOT,
     .mode = S_IFREG | 0640,
     .flags = NODE_OFFSETS,
     .show = show_snapshot_description,
     .store = request_describe},
    SNAPSHOT_TEXTS(SNAPSHOT_DIR, SCOPE_SNAPSHOT),
    {.pattern = SNAPSHOT_DIR "/tpm/<file>",
     .scope = SCOPE_TPM_FILE,
     .mode = SECRET,
     .load = load_tpm_file,
     .size = size_of_tpm_file},

    {.pattern = "<vm>/hidden", .scope = SCOPE_VM, .mode = DIRECTORY, .present = has_hidden},
    {.pattern = HIDDEN_DIR, .scope = SCOPE_HIDDEN, .mode = S_IFDIR | 0555},
    {.pattern = HIDDEN_DIR "/description",
     .scope = SCOPE_HIDDEN,
     .mode = TEXT,
     .show = show_snapshot_description},
    SNAPSHOT_TEXTS(HIDDEN_DIR, SCOPE_HIDDEN),
    {.pattern = HIDDEN_DIR "/tpm/<file>",
     .scope = SCOPE_HIDDEN_TPM_FILE,
     .mode = SECRET,
     .load = load_tpm_file,
     .size = size_of_tpm_file},

    {.pattern = "<vm>/jobs", .scope = SCOPE_VM, .mode = WORK},
    {.pattern = "<vm>/jobs/<id>", .scope = SCOPE_JOB, .mode = WORK, .drop = request_job_drop},
    {.pattern = "<vm>/jobs/<id>/kind", .scope = SCOPE_JOB, .mode = TEXT, .show = show_job_kind},
    {.pattern = "<vm>/jobs/<id>/state", .scope = SCOPE_JOB, .mode = TEXT, .show = show_job_state},
    {.pattern = "<vm>/jobs/<id>/created",
     .scope = SCOPE_JOB,
     .mode = TEXT,
     .show = show_job_created},
    {.pattern = "<vm>/jobs/<id>/target", .scope = SCOPE_JOB, .mode = TEXT, .show = show_job_target},
    {.pattern = "<vm>/jobs/<id>/progress",
     .scope = SCOPE_JOB,
     .mode = TEXT,
     .flags = NODE_PROGRESS,
     .show = show_job_progress},
    {.pattern = "<vm>/jobs/<id>/bandwidth",
     .scope = SCOPE_JOB,
     .mode = KNOB,
     .show = show_job_bandwidth,
     .store = request_bandwidth},
    {.pattern = "<vm>/jobs/<id>/result", .scope = SCOPE_JOB, .mode = TEXT, .show = show_job_result},

    {.pattern = "<vm>/policy", .scope = SCOPE_VM, .mode = DIRECTORY},
    {.pattern = "<vm>/policy/<key>",
     .scope = SCOPE_POLICY,
     .mode = KNOB,
     .show = show_policy,
     .store = request_policy},

    {.pattern = "<vm>/disks", .scope = SCOPE_VM, .mode = DIRECTORY},
    {.pattern = "<vm>/disks/<target>", .scope = SCOPE_DISK, .mode = DIRECTORY},
    {.pattern = "<vm>/disks/<target>/source",
     .scope = SCOPE_DISK,
     .mode = TEXT,
     .show = show_disk_source},
    {.pattern = "<vm>/disks/<target>/format",
     .scope = SCOPE_DISK,
     .mode = TEXT,
     .show = show_disk_format},
    {.pattern = "<vm>/disks/<target>/capacity",
     .scope = SCOPE_DISK,
     .mode = TEXT,
     .show = show_disk_capacity},
    {.pattern = "<vm>/disks/<target>/allocation",
     .scope = SCOPE_DISK,
     .mode = TEXT,
     .show = show_disk_allocation},
    {.pattern = "<vm>/disks/<target>/chain",
     .scope = SCOPE_DISK,
     .mode = TEXT,
     .show = show_disk_chain},
    {.pattern = "<vm>/disks/<target>/included",
     .scope = SCOPE_DISK,
     .mode = TEXT,
     .show = show_disk_included},

    {.pattern = "<vm>/nvram", .scope = SCOPE_VM, .mode = WORK, .flags = NODE_GUARDED},
    {.pattern = "<vm>/nvram/needed", .scope = SCOPE_VM, .mode = TEXT, .show = show_vars_needed},
    {.pattern = "<vm>/nvram/state", .scope = SCOPE_VM, .mode = TEXT, .show = show_vars_state},
    {.pattern = "<vm>/nvram/path", .scope = SCOPE_VM, .mode = TEXT, .show = show_vars_path},
    {.pattern = "<vm>/nvram/format", .scope = SCOPE_VM, .mode = TEXT, .show = show_vars_format},
    {.pattern = "<vm>/nvram/size", .scope = SCOPE_VM, .mode = TEXT, .show = show_vars_size},
    {.pattern = "<vm>/nvram/template", .scope = SCOPE_VM, .mode = TEXT, .show = show_vars_template},
    {.pattern = "<vm>/nvram/sha256",
     .scope = SCOPE_VM,
     .mode = TEXT,
     .flags = NODE_DIGEST,
     .load = load_vars_digest,
     .size = size_of_vars_digest},
    {.pattern = "<vm>/nvram/vars.fd",
     .scope = SCOPE_VM,
     .mode = KNOB,
     .flags = NODE_FLEETING,
     .present = has_own_vars,
     .load = load_vars,
     .size = size_of_vars,
     .replace = request_set_vars,
     .whole = whole_vars,
     .drop = request_reset_vars},

    {.pattern = "<vm>/tpm", .scope = SCOPE_VM, .mode = DIRECTORY},
    {.pattern = "<vm>/tpm/version", .scope = SCOPE_VM, .mode = TEXT, .show = show_tpm_version},
    {.pattern = "<vm>/tpm/state", .scope = SCOPE_VM, .mode = TEXT, .show = show_tpm_state},
    {.pattern = "<vm>/tpm/path", .scope = SCOPE_VM, .mode = TEXT, .show = show_tpm_path},
};

const Node *nodes_root(void)
{
    return &nodes[0];
}

const Node *nodes_all(unsigned *out_count)
{
    *out_count = G_N_ELEMENTS(nodes);
    return nodes;
}

bool node_is_child(const Node *node, const Node *directory)
{
    size_t length = strlen(directory->pattern);
    const char *rest = node->pattern;

    if (length > 0) {
        if (strncmp(rest, directory->pattern, length) != 0 || rest[length] != '/')
            return false;
        rest += length + 1;
    }
    return rest[0] && !strchr(rest, '/');
}

const char *node_leaf(const Node *node)
{
    const char *slash = strrchr(node->pattern, '/');

    return slash ? slash + 1 : node->pattern;
}

bool node_is_named(const Node *node)
{
    return node_leaf(node)[0] == '<';
}

bool node_is_directory(const Node *node)
{
    return S_ISDIR(node->mode);
}

bool node_is_present(const Node *node, const Place *place)
{
    return !node->present || node->present(place);
}

const char *node_list(const Node *node)
{
    static const char *const lists[] = {"snapshots", "jobs"};
    const char *rest = g_str_has_prefix(node->pattern, "<vm>/") ? node->pattern + 5 : "";

    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++)
        if (g_str_has_prefix(rest, lists[i]) && strchr("/", rest[strlen(lists[i])]))
            return lists[i];
    return NULL;
}

bool node_is_known(const Node *directory, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(nodes); i++)
        if (node_is_child(&nodes[i], directory) && strcmp(node_leaf(&nodes[i]), name) == 0)
            return true;
    return false;
}

bool node_in_snapshot(const Node *node)
{
    return node->scope == SCOPE_SNAPSHOT || node->scope == SCOPE_TPM_FILE;
}

bool node_is_snapshot(const Node *node)
{
    return strcmp(node->pattern, SNAPSHOT_DIR) == 0 || strcmp(node->pattern, HIDDEN_DIR) == 0;
}

const Node *nodes_creatable(const Node *directory, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(nodes); i++)
        if (nodes[i].replace && node_is_child(&nodes[i], directory) &&
            strcmp(node_leaf(&nodes[i]), name) == 0)
            return &nodes[i];
    return NULL;
}

static bool find_child(const Node *node, Place *place, const char *name)
{
    if (node_is_named(node))
        return place_find(place, node->scope, name);
    return strcmp(node_leaf(node), name) == 0 && node_is_present(node, place);
}

const Node *nodes_find(const Node *directory, Place *place, const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(nodes); i++)
        if (node_is_child(&nodes[i], directory) && find_child(&nodes[i], place, name))
            return &nodes[i];
    return NULL;
}

/* What the part @part of the pattern of @node is named by. */
static Scope scope_of_part(const Node *node, const char *part)
{
    if (strcmp(part, "<vm>") == 0)
        return SCOPE_VM;
    if (node->scope == SCOPE_TPM_FILE && strcmp(part, "<name>") == 0)
        return SCOPE_SNAPSHOT;
    if (node->scope == SCOPE_HIDDEN_TPM_FILE && strcmp(part, "<id>") == 0)
        return SCOPE_HIDDEN;
    return node->scope;
}

char *node_path(const Node *node, const Place *place)
{
    g_auto(GStrv) parts = g_strsplit(node->pattern, "/", -1);

    for (guint i = 0; parts[i]; i++) {
        if (parts[i][0] != '<')
            continue;
        Scope scope = scope_of_part(node, parts[i]);
        g_free(parts[i]);
        parts[i] = place_name(place, scope);
    }
    return g_strjoinv("/", parts);
}

/* Listed or hidden, a snapshot is one object: what it has is counted from "snapshot" on. */
static const char *identity(const Node *node, const char **out_prefix)
{
    static const char *const homes[] = {SNAPSHOT_DIR, HIDDEN_DIR};

    *out_prefix = "";
    for (gsize i = 0; i < G_N_ELEMENTS(homes); i++)
        if (g_str_has_prefix(node->pattern, homes[i])) {
            *out_prefix = "snapshot";
            return node->pattern + strlen(homes[i]);
        }
    return node->pattern;
}

uint64_t node_ino(const Node *node, const char *uuid, const char *object)
{
    const char *prefix;
    const char *rest = identity(node, &prefix);
    g_autofree char *text = g_strdup_printf("%s\n%s\n%s%s", uuid, object, prefix, rest);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    guint8 digest[32];
    gsize length = sizeof digest;
    uint64_t ino;

    if (node == nodes_root())
        return FUSE_ROOT_ID;
    g_checksum_update(sum, (const guchar *)text, -1);
    g_checksum_get_digest(sum, digest, &length);
    memcpy(&ino, digest, sizeof ino);
    return ino > FUSE_ROOT_ID ? ino : ino + 2;
}
