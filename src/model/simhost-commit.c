/* qemu-img commit -d: the top and what is between are written down into the base, which grows if it
 * is smaller. Stopped early, the base is half written and the top is whole, so doing it again
 * finishes it. */
#include "model/simhost-priv.h"

#include "base/str.h"

/* The chain of @top by its headers, cut off below @base; NULL if base is not in it. Yours. */
static GPtrArray *links_between(SimHost *host, const SimImage *top, const char *base)
{
    g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify)sim_link_free);

    g_ptr_array_add(links, sim_link_new(top->path, top->format));
    sim_links_probe(host, links);
    int at = sim_links_find(links, base);
    if (at < 1)
        return NULL;
    g_ptr_array_set_size(links, at + 1);
    return g_steal_pointer(&links);
}

static GPtrArray *check_chain(SimHost *host, const SimImage *top, const char *base, GError **error)
{
    GPtrArray *links = links_between(host, top, base);

    if (!links || g_strcmp0(top->format, "qcow2") != 0)
        sim_error(
            error, ERR_INVALID,
            "\"%s\" cannot be committed into \"%s\" because that is not in its backing chain.",
            top->path, base);
    return links;
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

static SimCommit *commit_new(SimHost *host, const SimImage *top, SimImage *base,
                             const GPtrArray *links)
{
    SimCommit *commit = g_new0(SimCommit, 1);

    commit->host = host;
    commit->top = g_strdup(top->path);
    commit->base = g_strdup(base->path);
    commit->links = sim_links_copy(links);
    commit->blocks = sim_links_blocks(host, links, links->len - 1);
    base->capacity = MAX(base->capacity, top->capacity);
    host->commits++;
    for (unsigned i = 0; i < links->len; i++)
        g_hash_table_add(host->locks, g_strdup(((SimLink *)links->pdata[i])->path));
    return commit;
}

SimCommit *simhost_commit_begin(SimHost *host, const char *top, const char *top_format,
                                const char *base, const char *base_format, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    SimImage *upper = sim_image(host, top), *lower = sim_image(host, base);
    g_autoptr(GPtrArray) links = NULL;

    if (!upper || !lower) {
        sim_error(error, ERR_NOT_FOUND, "\"%s\" cannot be committed because \"%s\" is missing.",
                  top, upper ? base : top);
        return NULL;
    }
    links = check_chain(host, upper, base, error);
    if (!links)
        return NULL;
    for (unsigned i = 0; i < links->len; i++)
        if (!check_unused(host, ((SimLink *)links->pdata[i])->path, error))
            return NULL;
    check_formats(host, upper, top_format);
    check_formats(host, lower, base_format);
    sim_check_commit(host, links);
    return commit_new(host, upper, lower, links);
}

bool simhost_commit_step(SimCommit *commit, GError **error)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&commit->host->mutex);
    unsigned block = g_array_index(commit->blocks, unsigned, commit->done);
    uint64_t value = sim_links_value(commit->host, commit->links, block);

    if (!sim_image_put(commit->host, sim_image(commit->host, commit->base), block, value, error))
        return false;
    commit->done++;
    return true;
}

void simhost_commit_end(SimCommit *commit)
{
    g_mutex_lock(&commit->host->mutex);
    for (unsigned i = 0; i < commit->links->len; i++)
        g_hash_table_remove(commit->host->locks, ((SimLink *)commit->links->pdata[i])->path);
    g_mutex_unlock(&commit->host->mutex);
    g_ptr_array_unref(commit->links);
    g_array_unref(commit->blocks);
    g_free(commit->top);
    g_free(commit->base);
    g_free(commit);
}
