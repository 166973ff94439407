/* Image files as qemu-img and the file system treat them, QEMU's lock included. */
#include "model/simhost-priv.h"

#include "base/str.h"

/* QEMU's lock: a running VM has it open, or somebody holds it. */
bool sim_check_free(SimHost *host, const char *path, GError **error)
{
    const SimDomain *opener = sim_opener(host, path);

    if (opener)
        return sim_error(error, ERR_BUSY,
                         "\"%s\" is in use: the VM %s has it open; shut it down first.", path,
                         opener->name);
    if (g_hash_table_contains(host->locks, path))
        return sim_error(error, ERR_BUSY,
                         "\"%s\" is in use: its image lock is held; try again later.", path);
    return true;
}

bool simhost_lock(SimHost *host, const char *path, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (!sim_image(host, path) && !sim_state(host, path))
        return sim_error(error, ERR_NOT_FOUND,
                         "\"%s\" cannot be locked because there is no such file.", path);
    if (!sim_check_free(host, path, error))
        return false;
    g_hash_table_add(host->locks, g_strdup(path));
    return true;
}

void simhost_unlock(SimHost *host, const char *path)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    g_hash_table_remove(host->locks, path);
}

static bool check_backing(SimHost *host, const char *path, const char *backing, const char *format,
                          GError **error)
{
    const SimImage *below = sim_image(host, backing);

    if (!below)
        return sim_error(error, ERR_NOT_FOUND,
                         "\"%s\" cannot be made because its backing file \"%s\" is missing.", path,
                         backing);
    if (g_strcmp0(below->format, format) != 0)
        sim_misuse(host, "\"%s\" is made on \"%s\" as %s, and that is %s.", path, backing, format,
                   below->format);
    return true;
}

bool simhost_overlay(SimHost *host, const char *path, const char *backing,
                     const char *backing_format, uint64_t capacity, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    if (sim_image(host, path))
        return sim_error(error, ERR_EXISTS, "\"%s\" cannot be made because it is there already.",
                         path);
    if (!check_backing(host, path, backing, backing_format, error))
        return false;
    if (host->free_bytes < SIM_BLOCK)
        return sim_error(error, ERR_NO_SPACE,
                         "There is no room to make \"%s\"; free some space and try again.", path);
    sim_image_add(host, path, "qcow2", backing, backing_format, capacity);
    return true;
}

static bool content_equal(const GArray *a, const GArray *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len * 8) == 0);
}

/* What qemu-img rebase -u does not check. */
static void check_repointed(SimHost *host, const char *path, const GArray *before)
{
    g_autoptr(GArray) after = sim_image_content(host, path);

    if (!after)
        sim_misuse(host, "\"%s\" is pointed at a backing file that is not there.", path);
    else if (before && !content_equal(before, after))
        sim_misuse(host, "\"%s\" shows something else after it was pointed at \"%s\".", path,
                   sim_image(host, path)->backing);
}

static void array_unref(GArray *array)
{
    if (array)
        g_array_unref(array);
}

bool simhost_repoint(SimHost *host, const char *path, const char *backing,
                     const char *backing_format, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimImage *image = sim_image(host, path);

    if (!image)
        return sim_error(error, ERR_NOT_FOUND,
                         "\"%s\" cannot be re-pointed because there is no such file.", path);
    if (g_strcmp0(image->format, "qcow2") != 0)
        return sim_error(error, ERR_INVALID, "\"%s\" cannot be re-pointed because it is not qcow2.",
                         path);
    if (!sim_check_free(host, path, error))
        return false;

    GArray *before = sim_image_content(host, path);
    str_set(&image->backing, backing);
    str_set(&image->backing_format, backing_format);
    check_repointed(host, path, before);
    array_unref(before);
    return true;
}

/* Would the VM still start? The live chains are guarded by QEMU's lock. */
static void check_unlinked(SimHost *host, const char *path)
{
    for (unsigned i = 0; i < host->domains->len; i++) {
        const SimDomain *domain = host->domains->pdata[i];

        for (unsigned j = 0; domain->inactive && j < domain->inactive->disks->len; j++) {
            const SimDisk *disk = domain->inactive->disks->pdata[j];
            g_autoptr(GPtrArray) chain = sim_disk_chain(host, disk);

            if (sim_links_find(chain, path) >= 0)
                sim_misuse(host, "\"%s\" is unlinked, and the definition of %s holds it (disk %s).",
                           path, domain->name, disk->target);
        }
    }
}

/* Only the QEMU that runs on @beside has it, and has left it. */
static bool is_left(SimHost *host, const char *path, const char *beside)
{
    const SimDomain *opener = sim_opener(host, path);

    return beside && opener && sim_uses(opener, beside) && !sim_uses(opener, path) &&
           !g_hash_table_contains(host->locks, path);
}

bool simhost_unlink(SimHost *host, const char *path, const char *beside, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimImage *image = sim_image(host, path);

    if (!image && !sim_state(host, path))
        return true;
    if (!is_left(host, path, beside) && !sim_check_free(host, path, error))
        return false;
    check_unlinked(host, path);
    if (!image) {
        sim_state_remove(host, path);
        return true;
    }
    host->free_bytes += (uint64_t)g_hash_table_size(image->blocks) * SIM_BLOCK;
    g_hash_table_remove(host->images, path);
    return true;
}
