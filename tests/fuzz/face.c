/* The mounted tree, on a host in memory: the input is a script of file operations, one a line, as
 * in corpus/face. There is no mount: kernel.c sends what the kernel would send. Paths go from the
 * root, with any bytes in names; "@" is the node that `keep` kept, also when it is gone.
 *
 *     mkdir P | rmdir P | rm P | mv P P | exchange P P | ln TARGET P | link P P | mknod P | create
 * P | keep P | forget P ls P | stat P | cat P | readlink P | statfs | write P TEXT | append P TEXT
 * | truncate P BYTES | chmod MODE P | chown UID P | setxattr P | user UID
 */
#include "face.h"
#include "fuzz.h"
#include "kernel.h"

/* All of the program but its main. */
#define main vmsnapfs_main
int vmsnapfs_main(int argc, char **argv);
#include "fs/main.c"
#undef main

#include "base/yaml.h"
#include "model/names.h"

static const char host_text[] =
    "vms:\n"
    "- {name: web01, uuid: 11111111-1111-4111-8111-111111111111, disks: [\n"
    "    {target: vda, path: /images/web01.qcow2, capacity: 67108864},\n"
    "    {target: vdb, path: /images/web01.raw, format: raw, capacity: 67108864}]}\n"
    "- {name: db01, uuid: 22222222-2222-4222-8222-222222222222, state: running, agent: well,\n"
    "   disks: [{target: vda, path: /images/db01.qcow2, capacity: 67108864}]}\n"
    "- {name: efi01, uuid: 33333333-3333-4333-8333-333333333333, firmware: loader, nvram: ready,\n"
    "   tpm: true, disks: [{target: vda, path: /images/efi01.qcow2, capacity: 67108864}]}\n"
    "guest_writes: true\n";

/* ---- laws, when all is said ---- */

static void check_text(const char *path)
{
    const Run root = {0};
    uint64_t node = face_node(&root, path);
    int error = 0;
    g_autofree char *text = node ? kernel_read_text(node, &error) : NULL;
    g_auto(GStrv) lines = text ? g_strsplit(text, "\n", -1) : NULL;

    fuzz_check(error == 0, "%s cannot be read: %s", path, g_strerror(error));
    for (char **line = lines; line && *line; line++)
        if (**line)
            fuzz_sentence(*line);
    if (text && g_str_has_suffix(path, "info.yaml")) {
        g_autoptr(GError) why = NULL;
        g_autoptr(YamlNode) root_node = yaml_parse(text, strlen(text), &why);

        fuzz_check(root_node, "%s is no YAML: %s: %s", path, why->message, text);
    }
}

static void check_snapshot(const VmView *vm, const SnapshotView *snapshot)
{
    fuzz_check(name_check(snapshot->name, NULL), "a snapshot is called %s", snapshot->name);
    fuzz_check(!snapshot->parent || vm_view_snapshot(vm, snapshot->parent),
               "the parent of %s is gone", snapshot->name);
    fuzz_check(snapshot->hidden || vm_view_named(vm, snapshot->name) == snapshot,
               "%s is not found by its name", snapshot->name);
}

/* What is listed was made, or is what came back of it; what was made is listed, or failed. */
static void check_model(const Run *run, const VmView *vm)
{
    g_autofree char *prefix = g_strconcat(vm->name, "/", NULL);
    GHashTableIter iter;
    void *key;

    for (guint i = 0; i < vm->snapshots->len; i++) {
        const SnapshotView *snapshot = vm->snapshots->pdata[i];
        g_autofree char *name = g_strconcat(prefix, snapshot->name, NULL);

        fuzz_check(snapshot->hidden || snapshot->state != SNAPSHOT_READY ||
                       g_hash_table_contains(run->ever, name),
                   "nobody made %s", name);
    }
    g_hash_table_iter_init(&iter, run->snapshots);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        fuzz_check(!g_str_has_prefix(key, prefix) ||
                       vm_view_named(vm, (char *)key + strlen(prefix)),
                   "%s is gone", (char *)key);
}

static void check_vm(const Run *run, const VmView *vm)
{
    static const char *const texts[] = {"errors", "info.yaml", "tree",
                                        "status", "drift",     "progress"};

    fuzz_check(!vm->current || vm_view_snapshot(vm, vm->current), "the current one is gone");
    for (guint i = 0; i < vm->snapshots->len; i++)
        check_snapshot(vm, vm->snapshots->pdata[i]);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *path = g_strconcat(vm->name, "/", texts[i], NULL);

        check_text(path);
    }
    if (!run->moved)
        check_model(run, vm);
}

static void check_laws(const Run *run, Engine *engine)
{
    g_autoptr(HostView) view = engine_view(engine);

    kernel_uid = 0;
    fuzz_check(view->up && view->vms->len == 3, "VMs are gone");
    for (guint i = 0; i < view->vms->len; i++)
        check_vm(run, view->vms->pdata[i]);
    check_text(".vmsnapfs/errors");
    check_text(".vmsnapfs/status");
}

static void serve_nobody(void *data)
{
}

static void play(Engine *engine, const char *script)
{
    char *argv[] = {(char *)"fuzz", NULL};
    struct fuse_args arguments = FUSE_ARGS_INIT(1, argv);
    Options options = {.config = config_new()};
    Program program = {0};
    Run run = {.kept = FUSE_ROOT_ID, .engine = engine};
    Face *face = &program.face;

    run.snapshots = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    run.ever = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    run.contents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    face->session = fuse_session_new(&arguments, session_operations(),
                                     sizeof(struct fuse_lowlevel_ops), &program);
    fuse_opt_free_args(&arguments);
    engine_configure(engine, options.config, "");
    face_start(face, engine, &options);
    face->served = serve_nobody;
    engine_subscribe(engine, session_changed, face);
    fuzz_check(engine_start(engine, NULL), "the engine does not start");
    kernel_start(face->session);
    face_play(&run, script);
    check_laws(&run, engine);
    face_check_contents(engine, run.contents);
    face_stop(face);
    kernel_stop();
    face_clear(face);
    fuse_session_destroy(face->session);
    config_unref(options.config);
    g_hash_table_unref(run.snapshots);
    g_hash_table_unref(run.ever);
    g_hash_table_unref(run.contents);
}

static GLogWriterOutput say_nothing(GLogLevelFlags level, const GLogField *fields, gsize count,
                                    gpointer data)
{
    return G_LOG_WRITER_HANDLED;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool quiet;
    g_autofree char *script = fuzz_text(data, size);
    g_autofree char *uri =
        g_strconcat("fake://", fuzz_file((const uint8_t *)host_text, strlen(host_text)), NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(Engine) engine = engine_new(uri, &error);

    if (!quiet)
        g_log_set_writer_func(say_nothing, NULL, NULL);
    quiet = true;
    fuzz_check(engine, "%s", error->message);
    play(engine, script);
    return 0;
}
