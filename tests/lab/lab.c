#include "lab.h"

#include "firmware.h"

#include "hv/fake.h"
#include "hv/faulty.h"
#include "image/fake.h"
#include "image/faulty.h"
#include "model/simhost-face.h"
#include "run/users.h"
#include "store/faulty.h"

static const char *const targets[] = {"vda", "vdb", "vdc"};

/* ---- the world ---- */

/* splitmix64: the same numbers for the same seed on every machine. */
uint64_t lab_random(Lab *lab)
{
    uint64_t z = (lab->seed += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

static uint64_t random_of_world(void *data)
{
    return lab_random(data);
}

static int64_t now_of_world(void *data)
{
    Lab *lab = data;

    return lab->clock += G_USEC_PER_SEC;
}

static GArray *zeros(void)
{
    GArray *content = g_array_sized_new(FALSE, TRUE, sizeof(guint64), LAB_BLOCKS);

    g_array_set_size(content, LAB_BLOCKS);
    return content;
}

static void array_unref(gpointer data)
{
    g_array_unref(data);
}

static GPtrArray *contents_new(void)
{
    return g_ptr_array_new_with_free_func(array_unref);
}

static GPtrArray *contents_copy(const GPtrArray *contents)
{
    GPtrArray *copy = contents_new();

    for (guint i = 0; i < contents->len; i++)
        g_ptr_array_add(copy, g_array_copy(contents->pdata[i]));
    return copy;
}

static void contents_unref(gpointer data)
{
    g_ptr_array_unref(data);
}

static void add_disks(Lab *lab)
{
    lab->active = contents_new();
    for (unsigned i = 0; i < lab->disks; i++) {
        g_autofree char *path = g_strdup_printf("%s/%s.qcow2", LAB_HOME, targets[i]);

        simhost_add_image(lab->host, path, "qcow2", NULL, NULL, (uint64_t)LAB_BLOCKS * SIM_BLOCK);
        simhost_add_disk(lab->host, LAB_UUID, targets[i], path, "qcow2");
        g_ptr_array_add(lab->active, zeros());
    }
}

/* A call that hangs lets all time pass that anybody has. */
static void let_time_pass(void *data)
{
    Lab *lab = data;

    lab->clock += G_TIME_SPAN_HOUR;
    lab->hooks.answer_by = 1;
}

/* Broken operations complain in the log by the thousand. */
static void drop_message(const char *domain, GLogLevelFlags level, const char *message, void *data)
{
}

Lab *lab_new(unsigned disks, uint64_t seed)
{
    return lab_new_on(files_memory(), disks, seed);
}

Lab *lab_new_on(Files *files, unsigned disks, uint64_t seed)
{
    Lab *lab = g_new0(Lab, 1);

    g_log_set_handler(NULL, G_LOG_LEVEL_MESSAGE, drop_message, NULL);

    lab->disks = disks;
    lab->seed = seed;
    lab->clock = G_GINT64_CONSTANT(1700000000) * G_USEC_PER_SEC;
    lab->host = simhost_new();
    lab->memory = files;
    lab->fault = fault_new();
    fault_on_hang(lab->fault, let_time_pass, lab);
    lab->hv = hv_fake_new(lab->host);
    lab->images = image_fake(lab->host);
    lab->faulty_hv = hv_faulty(lab->hv, lab->fault);
    lab->faulty_images = image_faulty(lab->images, lab->fault);
    lab->faulty_files = files_faulty(lab->memory, lab->fault);
    lab->world = (World){.hv = lab->faulty_hv,
                         .images = lab->faulty_images,
                         .files = lab->faulty_files,
                         .now = now_of_world,
                         .random = random_of_world,
                         .data = lab,
                         .users = users_new(),
                         .serial = true};
    lab->kept = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    lab->words = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    lab->contents = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, contents_unref);
    lab->accepted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    simhost_add_domain(lab->host, LAB_UUID, "web01", DOMAIN_OFF);
    add_disks(lab);
    lab->vm = vm_new(&lab->world, LAB_UUID, "web01");
    return lab;
}

void lab_free(Lab *lab)
{
    if (!lab)
        return;
    vm_free(lab->vm);
    users_free(lab->world.users);
    hv_free(lab->faulty_hv);
    images_free(lab->faulty_images);
    files_free(lab->faulty_files);
    hv_free(lab->hv);
    images_free(lab->images);
    files_free(lab->memory);
    fault_free(lab->fault);
    simhost_free(lab->host);
    g_ptr_array_unref(lab->active);
    g_hash_table_unref(lab->contents);
    g_hash_table_unref(lab->kept);
    g_hash_table_unref(lab->words);
    g_hash_table_unref(lab->accepted);
    g_free(lab->taken);
    g_free(lab->stored_text);
    catalog_free(lab->stored);
    g_free(lab);
}

bool lab_came_back(Lab *lab, const Snapshot *snapshot)
{
    return snapshot->state == SNAPSHOT_READY && !snapshot->hidden &&
           g_hash_table_contains(lab->accepted, snapshot->id);
}

void lab_restart(Lab *lab)
{
    vm_free(lab->vm);
    fault_arm(lab->fault, FAULT_NONE, 0);
    lab->vm = vm_new(&lab->world, LAB_UUID, "web01");
}

/* What qemu-img and the program had locked; locks of running VMs are none of these. */
static void drop_locks(Lab *lab)
{
    g_autoptr(GPtrArray) images = simhost_images(lab->host);

    for (guint i = 0; i < images->len; i++)
        simhost_unlock(lab->host, images->pdata[i]);
}

void lab_abandon(Lab *lab)
{
    drop_locks(lab);
    images_free(lab->faulty_images);
    images_free(lab->images);
    lab->images = image_fake(lab->host);
    lab->faulty_images = image_faulty(lab->images, lab->fault);
    lab->world.images = lab->faulty_images;
    lab->world.users = users_new();
    lab->vm = vm_new(&lab->world, LAB_UUID, "web01");
}

void lab_write(Lab *lab)
{
    lab_firmware_write(lab);
    for (unsigned i = 0; i < lab->disks; i++) {
        unsigned block = lab_random(lab) % LAB_BLOCKS;
        uint64_t value = ++lab->written;

        simhost_write(lab->host, LAB_UUID, targets[i], block, value);
        g_array_index((GArray *)lab->active->pdata[i], guint64, block) = value;
    }
}

bool lab_is_off(Lab *lab)
{
    return simhost_state(lab->host, LAB_UUID) == DOMAIN_OFF;
}

void lab_go_back_by_stranger(Lab *lab)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const SnapshotDisk *entry = catalog_named(catalog, "s2")->disks->pdata[0];
    const Disk *disk = catalog_disk(catalog, entry->disk);

    simhost_stranger_edit(lab->host, LAB_UUID, "vda", disk_layer(disk, entry->layer)->path,
                          "qcow2");
    simhost_stranger_unlink(lab->host, disk_active(disk)->path);
}

bool lab_start(Lab *lab)
{
    return !lab_is_off(lab) || simhost_start(lab->host, LAB_UUID);
}

void lab_stop(Lab *lab)
{
    if (!lab_is_off(lab))
        simhost_stop(lab->host, LAB_UUID);
}

/* ---- words ---- */

bool lab_finish(Lab *lab, GError **error)
{
    bool done = true;

    while (done) {
        g_autofree char *name = NULL;

        if (!vm_finish(lab->vm, NULL, &done, &name, error))
            return false;
    }
    return true;
}

/* What was made holds what the disks hold now. */
static void remember_created(Lab *lab, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Snapshot *snapshot = catalog_named(catalog, name);

    g_assert_nonnull(snapshot);
    g_assert_null(lab_false_claim(lab, snapshot));
    g_hash_table_insert(lab->contents, g_strdup(snapshot->id), contents_copy(lab->active));
    lab_firmware_remember(lab, snapshot->id);
}

static void remember_reverted(Lab *lab, const char *name)
{
    g_autoptr(Catalog) catalog = vm_catalog(lab->vm);
    const Snapshot *snapshot = catalog_named(catalog, name);

    g_assert_nonnull(snapshot);
    g_assert_true(lab_firmware_is_back(lab, snapshot->id));
    g_ptr_array_unref(lab->active);
    lab->active = contents_copy(g_hash_table_lookup(lab->contents, snapshot->id));
    lab_firmware_revert(lab, snapshot->id);
}

static bool do_create(Lab *lab, const char *name, GError **error)
{
    lab_firmware_take(lab);
    if (!vm_create(lab->vm, name, "", 1000, 0750, "mkdir", &lab->hooks, error))
        return false;
    remember_created(lab, name);
    return true;
}

static bool do_revert(Lab *lab, const char *name, bool finish, GError **error)
{
    if (!vm_revert(lab->vm, name, "ln", &lab->hooks, error))
        return false;
    remember_reverted(lab, name);
    return !finish || lab_finish(lab, error);
}

static bool do_remove(Lab *lab, const char *name, bool finish, GError **error)
{
    g_autoptr(Catalog) before = vm_catalog(lab->vm);
    const Snapshot *snapshot = catalog_named(before, name);
    bool work;

    if (!vm_remove(lab->vm, name, "rmdir", &work, error))
        return false;
    if (snapshot)
        g_hash_table_add(lab->accepted, g_strdup(snapshot->id));
    return !finish || lab_finish(lab, error);
}

static bool do_on_snapshot(Lab *lab, const char *word, GError **error)
{
    g_autofree char *name = g_strdup_printf("s%s", word + 1),
                    *other = g_strdup_printf("t%s", word + 1);

    switch (word[0]) {
    case 'c':
        return do_create(lab, name, error);
    case 'r':
    case 'R':
        return do_revert(lab, name, word[0] == 'r', error);
    case 'd':
    case 'x':
        return do_remove(lab, name, word[0] == 'd', error);
    case 'm':
        return vm_rename(lab->vm, name, other, "mv", error);
    case 'n':
        return vm_rename(lab->vm, other, name, "mv", error);
    case 'e':
        return vm_describe(lab->vm, name, "what it is for", "write", error);
    case 'h':
    case 'u':
        return vm_set_mode(lab->vm, name, word[0] == 'h' ? 0550 : 0750, "chmod", error);
    default:
        g_assert_not_reached();
    }
}

bool lab_do(Lab *lab, const char *word, GError **error)
{
    switch (word[0]) {
    case 'w':
        lab_write(lab);
        return true;
    case 'A':
        simhost_set_agent(lab->host, LAB_UUID, (SimAgent)(word[1] - '0'));
        return true;
    case 'S':
        g_assert_true(lab_start(lab));
        return true;
    case 'P':
        lab_stop(lab);
        return true;
    case 'Z':
        lab->paused = true;
        return simhost_pause(lab->host, LAB_UUID, true, error);
    case 'U':
    case 'E':
        lab_firmware_add(lab, word[0] == 'E');
        return true;
    case 'p':
        return vm_set_policy(lab->vm, "max_depth", "50", "write", error);
    case 'f':
        return lab_finish(lab, error);
    default:
        return do_on_snapshot(lab, word, error);
    }
}

bool lab_script(Lab *lab, const char *script, GError **error)
{
    g_auto(GStrv) words = g_strsplit(script, " ", -1);

    for (unsigned i = 0; words[i]; i++)
        if (words[i][0] && !lab_do(lab, words[i], error)) {
            g_prefix_error(error, "%s: ", words[i]);
            return false;
        }
    return true;
}
