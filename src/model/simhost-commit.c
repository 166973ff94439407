/* qemu-img commit -d: the top is written down into the image right below it, which grows if it is
 * smaller. Stopped early, the base is half written and the top is whole, so doing it again finishes
 * it. */
#include "model/simhost-priv.h"

#include "base/str.h"

static bool check_pair(const SimImage *top, const SimImage *base, GError **error)
{
    if (g_strcmp0(top->format, "qcow2") != 0 || g_strcmp0(top->backing, base->path) != 0)
        return sim_error(
            error, ERR_INVALID,
            "\"%s\" cannot be committed into \"%s\" because that is not its backing file.",
            top->path, base->path);
    return true;
}

static bool check_unused(SimHost *host, const char *path, GError **error)
{
    const SimDomain *opener = sim_opener(host, path);

    if (opener || g_hash_table_contains(host->locks, path))
        return sim_error(error, ERR_BUSY, "\"%s\" cannot be committed: %s%s has it open.", path,
                         opener ? "the VM " : "another program", opener ? opener->name : "");
    return true;
}

static void check_formats(SimHost *host, const SimImage *image, const char *format)
{
    if (g_strcmp0(image->format, format) != 0)
        sim_misuse(host, "\"%s\" is committed as %s, and it is %s.", image->path, format,
                   image->format);
}

static SimCommit *commit_new(SimHost *host, const SimImage *top, SimImage *base)
{
    SimCommit *commit = g_new0(SimCommit, 1);
    g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify)sim_link_free);

    g_ptr_array_add(links, sim_link_new(top->path, top->format));
    commit->host = host;
    commit->top = g_strdup(top->path);
    commit->base = g_strdup(base->path);
    commit->blocks = sim_links_blocks(host, links, 1);
    base->capacity = MAX(base->capacity, top->capacity);
    g_hash_table_add(host->locks, g_strdup(commit->top));
    g_hash_table_add(host->locks, g_strdup(commit->base));
    return commit;
}

SimCommit *simhost_commit_begin(SimHost *host, const char *top, const char *top_format,
                                const char *base, const char *base_format, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimImage *upper = sim_image(host, top), *lower = sim_image(host, base);

    if (!upper || !lower) {
        sim_error(error, ERR_NOT_FOUND, "\"%s\" cannot be committed because \"%s\" is missing.",
                  top, upper ? base : top);
        return NULL;
    }
    if (!check_pair(upper, lower, error) || !check_unused(host, top, error) ||
        !check_unused(host, base, error))
        return NULL;
    check_formats(host, upper, top_format);
    check_formats(host, lower, base_format);
    sim_check_written(host, base, top);
    return commit_new(host, upper, lower);
}

bool simhost_commit_step(SimCommit *commit, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&commit->host->mutex);
    unsigned block = g_array_index(commit->blocks, unsigned, commit->done);
    const SimImage *top = sim_image(commit->host, commit->top);
    const uint64_t *value = g_hash_table_lookup(top->blocks, GUINT_TO_POINTER(block));

    if (!sim_image_put(commit->host, sim_image(commit->host, commit->base), block, *value, error))
        return false;
    commit->done++;
    return true;
}

void simhost_commit_end(SimCommit *commit)
{
    g_mutex_lock(&commit->host->mutex);
    g_hash_table_remove(commit->host->locks, commit->top);
    g_hash_table_remove(commit->host->locks, commit->base);
    g_mutex_unlock(&commit->host->mutex);
    g_array_unref(commit->blocks);
    g_free(commit->top);
    g_free(commit->base);
    g_free(commit);
}
