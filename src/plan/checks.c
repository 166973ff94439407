#include "plan/checks.h"

#include <string.h>

#include "model/names.h"

bool refuse(GError **error, ErrorCode code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error)
        *error = g_error_new_valist(VMSNAPFS_ERROR, (int)code, format, args);
    va_end(args);
    return false;
}

bool check_persistent(const Observation *observation, GError **error)
{
    if (observation->persistent && observation->inactive)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "VM %s is transient, so its next start would use the old files; make it "
                  "persistent with virsh define first",
                  observation_name(observation));
}

bool check_chains(const Catalog *catalog, const Observation *observation, GError **error)
{
    g_autofree char *drift = drift_of_chains(catalog, observation);

    if (!drift)
        return true;
    *strchrnul(drift, '\n') = '\0';
    return refuse(error, ERR_DRIFT, "VM %s has drifted from its catalog: %s; see its file drift",
                  observation_name(observation), drift);
}

bool check_no_drift(const Catalog *catalog, const Observation *observation, GError **error)
{
    return check_chains(catalog, observation, error) &&
           plan_check_pivots(catalog, observation, error);
}

/* --- live and persistent --- */

static bool check_other_side(const Observation *observation, const Domain *one, const Domain *other,
                             GError **error)
{
    for (unsigned i = 0; i < one->disks->len; i++) {
        const DomainDisk *disk = one->disks->pdata[i];
        const DomainDisk *twin = domain_disk(other, disk->target);

        if (domain_disk_excluded(disk))
            continue;
        if (!twin || g_strcmp0(twin->path, disk->path) != 0 ||
            g_strcmp0(twin->format, disk->format) != 0)
            return refuse(error, ERR_DRIFT,
                          "disk %s of VM %s is not the same in the running VM and in its "
                          "persistent definition (%s); make them equal with virsh attach-disk, "
                          "detach-disk or edit first",
                          disk->target, observation_name(observation),
                          disk->path ? disk->path : "no file");
    }
    return true;
}

bool check_same_disks(const Observation *observation, GError **error)
{
    const Domain *live = observation->live;
    const Domain *stored = observation->inactive;

    return !live || (check_other_side(observation, live, stored, error) &&
                     check_other_side(observation, stored, live, error));
}

/* --- busy --- */

/* Nothing that needs libvirt can be done on such a disk: QEMU does not know it by the name that
 * libvirt has for it. */
static bool check_not_lost(const Observation *observation, GError **error)
{
    for (unsigned i = 0; observation->live && i < observation->live->disks->len; i++) {
        g_autofree char *lost =
            observation_lost_disk(observation, observation->live->disks->pdata[i]);

        if (lost)
            return refuse(error, ERR_DRIFT, "VM %s cannot be changed now: %s",
                          observation_name(observation), lost);
    }
    return true;
}

bool check_settled_state(const Observation *observation, GError **error)
{
    if (!check_not_lost(observation, error))
        return false;
    if (observation->foreign_job)
        return refuse(error, ERR_BUSY,
                      "VM %s is busy with a job of somebody else (%s); wait for it",
                      observation_name(observation), observation->foreign_job);
    if (observation->state == DOMAIN_OTHER)
        return refuse(error, ERR_BUSY,
                      "VM %s is neither running, paused nor off; wait until it is, or end it with "
                      "virsh destroy",
                      observation_name(observation));
    return true;
}

bool check_no_block_job(const Observation *observation, const DomainDisk *disk, GError **error)
{
    const BlockJobFacts *job = g_hash_table_lookup(observation->jobs, disk->target);
    const char *kind = job ? job->kind : disk->mirror_path ? disk->mirror_job : NULL;

    if (!job && !disk->mirror_path)
        return true;
    /* Killed before it began the job, or in its end: it never ends for libvirt. */
    if (!job)
        return refuse(error, ERR_BUSY,
                      "libvirt names a block job (%s) of disk %s of VM %s that does not run; if it "
                      "still does in a moment, it lost track of it: shut the VM down once",
                      kind ? kind : "unknown", disk->target, observation_name(observation));
    return refuse(error, ERR_BUSY,
                  "disk %s of VM %s has a block job (%s); wait for it, or end it with virsh "
                  "blockjob --abort",
                  disk->target, observation_name(observation), kind ? kind : "unknown");
}

bool check_no_managed_save(const Observation *observation, GError **error)
{
    if (!observation->managed_save)
        return true;
    return refuse(error, ERR_BUSY,
                  "VM %s has a managed save image, so it is not really off; start it, or drop the "
                  "image with virsh managedsave-remove",
                  observation_name(observation));
}

bool check_sidecar_gates(const Observation *observation, const Snapshot *snapshot, const char *what,
                         GError **error)
{
    const Capabilities *host = observation->capabilities;
    const char *lacks = snapshot->vars && !host->uefi ? "UEFI firmware with variables"
                        : snapshot->tpm && !host->tpm ? "emulated TPMs"
                                                      : NULL;

    if (!lacks)
        return true;
    return refuse(error, ERR_UNSUPPORTED,
                  "snapshot %s of VM %s cannot be %s now: libvirt says that this host cannot do "
                  "%s; install that, then restart libvirt",
                  snapshot->name, observation_name(observation), what, lacks);
}

/* --- rule 10 --- */

const char *image_unsupported(const ImageFacts *facts)
{
    if (facts->internal_snapshots > 0)
        return "has internal snapshots (delete them with virsh snapshot-delete)";
    if (facts->encrypted)
        return "is encrypted";
    return facts->data_file ? "keeps its data in an external data file" : NULL;
}

const char *image_problem(const ImageFacts *facts, const char *format)
{
    if (!facts || !facts->exists)
        return "does not exist";
    if (g_strcmp0(format, "raw") == 0)
        return g_strcmp0(facts->probed, "qcow2") == 0 ? "is a qcow2 image though it is used as raw"
                                                      : NULL;
    if (image_unsupported(facts))
        return image_unsupported(facts);
    if (g_strcmp0(format, "qcow2") != 0)
        return NULL; /* below what is ours may stand anything that QEMU reads */
    if (g_strcmp0(facts->probed, "qcow2") != 0)
        return "is not a qcow2 image though it is used as one";
    if (facts->backing && !facts->backing_format)
        return "names a backing file without its format (qemu-img rebase -u -F sets it)";
    return NULL;
}

static bool check_images(const Observation *observation, const DomainDisk *disk, GError **error)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, disk->path);
    const char *format = disk->format;

    for (unsigned i = 0; i < chain->len; i++) {
        const char *path = chain->pdata[i];
        const ImageFacts *facts = observation_file(observation, path);
        const char *problem = image_problem(facts, format);

        if (facts && facts->error)
            return refuse(error, ERR_UNSUPPORTED, "disk %s of VM %s cannot be used: %s",
                          disk->target, observation_name(observation), facts->error);
        if (problem)
            return refuse(error, ERR_UNSUPPORTED, "disk %s of VM %s cannot be used: %s %s",
                          disk->target, observation_name(observation), path, problem);
        format = facts->backing_format;
    }
    if (observation_chain_is_endless(observation, disk->path))
        return refuse(error, ERR_UNSUPPORTED,
                      "disk %s of VM %s cannot be used: the backing files of %s go round in a "
                      "circle, or are too many",
                      disk->target, observation_name(observation), disk->path);
    return true;
}

static bool same_file(const ImageFacts *a, const ImageFacts *b)
{
    return a && b && a->exists && b->exists && a->inode && a->inode == b->inode &&
           a->device == b->device;
}

static bool check_shared(const Observation *observation, const DomainDisk *disk, GError **error)
{
    const Domain *domain = observation_domain(observation);

    for (unsigned i = 0; i < domain->disks->len; i++) {
        const DomainDisk *other = domain->disks->pdata[i];

        if (other == disk || !other->path || g_strcmp0(other->target, disk->target) == 0)
            continue;
        if (g_str_equal(other->path, disk->path) ||
            same_file(observation_file(observation, disk->path),
                      observation_file(observation, other->path)))
            return refuse(error, ERR_UNSUPPORTED,
                          "disks %s and %s of VM %s are the same file %s; give each its own",
                          disk->target, other->target, observation_name(observation), disk->path);
    }
    return true;
}

bool check_disk(const Observation *observation, const DomainDisk *disk, GError **error)
{
    g_autofree char *why = domain_disk_unsupported(disk);

    if (why)
        return refuse(error, ERR_UNSUPPORTED,
                      "disk %s of VM %s %s, so it cannot be part of a snapshot; exclude it with "
                      "snapshot='no' in the definition",
                      disk->target, observation_name(observation), why);
    return check_images(observation, disk, error) && check_shared(observation, disk, error) &&
           check_stated_chain(observation, disk, error);
}

static bool agrees_with_headers(const Observation *observation, const DomainDisk *disk)
{
    g_autoptr(GPtrArray) chain = observation_chain(observation, disk->path);
    bool agrees;

    if (!disk->chain_stated)
        return true;
    /* An empty element ends the chain; one that is shorter leaves the rest to the headers. */
    agrees = disk->chain->len < chain->len && (disk->chain->len > 0 || chain->len == 1);
    for (unsigned i = 0; agrees && i < disk->chain->len; i++) {
        const ChainLink *link = disk->chain->pdata[i];
        const ImageFacts *above = observation_file(observation, chain->pdata[i]);

        agrees = g_strcmp0(link->path, chain->pdata[i + 1]) == 0 &&
                 (!link->format || g_strcmp0(link->format, above->backing_format) == 0);
    }
    return agrees;
}

bool check_stated_chain(const Observation *observation, const DomainDisk *disk, GError **error)
{
    if (agrees_with_headers(observation, disk))
        return true;
    return refuse(error, ERR_DRIFT,
                  "the definition of VM %s states another backing chain for disk %s than the "
                  "headers of its images; correct it with virsh edit, or, if libvirt was killed in "
                  "a merge, let the VM be off once",
                  observation_name(observation), disk->target);
}

/* --- room --- */

static void room_need_free(RoomNeed *need)
{
    g_free(need->directory);
    g_free(need);
}

GPtrArray *room_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)room_need_free);
}

void room_add(GPtrArray *room, const char *path, uint64_t bytes)
{
    g_autofree char *directory = g_path_get_dirname(path);
    RoomNeed *need;

    for (unsigned i = 0; i < room->len; i++) {
        need = room->pdata[i];
        if (g_str_equal(need->directory, directory)) {
            need->bytes += bytes;
            return;
        }
    }
    need = g_new0(RoomNeed, 1);
    need->directory = g_steal_pointer(&directory);
    need->bytes = bytes;
    g_ptr_array_add(room, need);
}

/* Many directories may be on one file system. */
static uint64_t needed_on(const Observation *observation, const GPtrArray *room, uint64_t device)
{
    uint64_t bytes = 0;

    for (unsigned i = 0; i < room->len; i++) {
        const RoomNeed *need = room->pdata[i];
        const FreeSpace *space = g_hash_table_lookup(observation->free_space, need->directory);

        if (space && space->device == device)
            bytes += need->bytes;
    }
    return bytes;
}

bool check_room(const Observation *observation, const GPtrArray *room, GError **error)
{
    for (unsigned i = 0; i < room->len; i++) {
        const RoomNeed *need = room->pdata[i];
        const FreeSpace *space = g_hash_table_lookup(observation->free_space, need->directory);
        uint64_t bytes = space ? needed_on(observation, room, space->device) : 0;

        if (space && space->bytes < bytes) {
            g_autofree char *wanted = size_format(bytes);
            g_autofree char *there = size_format(space->bytes);

            return refuse(error, ERR_NO_SPACE,
                          "%s has %s free, and this may need %s; make room there and try again",
                          need->directory, there, wanted);
        }
    }
    return true;
}

/* --- ids --- */

void ids_init(IdSource *ids, const Catalog *catalog, const Observation *observation,
              const uint64_t *random)
{
    *ids = (IdSource){.catalog = catalog, .observation = observation, .random = random};
    ids->given = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

void ids_clear(IdSource *ids)
{
    g_hash_table_unref(ids->given);
}

static bool is_taken(const IdSource *ids, const char *id)
{
    const Catalog *catalog = ids->catalog;

    if (g_hash_table_contains(ids->given, id) || catalog_snapshot(catalog, id) ||
        catalog_disk(catalog, id))
        return true;
    for (unsigned i = 0; i < catalog->disks->len; i++)
        if (disk_layer(catalog->disks->pdata[i], id))
            return true;
    return false;
}

/* The caller's 64 numbers as they are; whoever needs more (a VM of very many disks) gets them
 * again, stirred. */
static uint64_t next_random(IdSource *ids)
{
    unsigned used = ids->used++;
    uint64_t value = ids->random[used % 64];

    if (used < 64)
        return value;
    value += (used / 64) * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15) + used;
    value = (value ^ (value >> 30)) * G_GUINT64_CONSTANT(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * G_GUINT64_CONSTANT(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

char *ids_next(IdSource *ids)
{
    for (;;) {
        g_autofree char *id = names_make_id(next_random(ids));

        if (is_taken(ids, id))
            continue;
        g_hash_table_add(ids->given, g_strdup(id));
        return g_steal_pointer(&id);
    }
}

char *ids_next_layer(IdSource *ids, const char *covered, char **out_path)
{
    for (;;) {
        g_autofree char *id = ids_next(ids);
        g_autofree char *path = names_overlay_path(covered, id);
        const ImageFacts *facts = observation_file(ids->observation, path);

        if ((facts && facts->exists) || catalog_disk_of_path(ids->catalog, path, NULL))
            continue;
        *out_path = g_steal_pointer(&path);
        return g_steal_pointer(&id);
    }
}
