/* Images: what they hold, what is seen through chains of them, and what qemu-img does to them. */
#include "model/simhost-priv.h"

#define CHAIN_MAX 300

unsigned sim_blocks(uint64_t capacity)
{
    return (unsigned)((capacity + SIM_BLOCK - 1) / SIM_BLOCK);
}

SimImage *sim_image(SimHost *host, const char *path)
{
    return path ? g_hash_table_lookup(host->images, path) : NULL;
}

void sim_image_free(SimImage *image)
{
    g_free(image->path);
    g_free(image->format);
    g_free(image->backing);
    g_free(image->backing_format);
    g_hash_table_unref(image->blocks);
    g_free(image);
}

SimImage *sim_image_add(SimHost *host, const char *path, const char *format, const char *backing,
                        const char *backing_format, uint64_t capacity)
{
    SimImage *image = g_new0(SimImage, 1);

    image->path = g_strdup(path);
    image->format = g_strdup(format);
    image->backing = g_strdup(backing);
    image->backing_format = g_strdup(backing_format);
    image->capacity = capacity;
    image->inode = host->next_inode++;
    image->blocks = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_hash_table_replace(host->images, image->path, image);
    return image;
}

void simhost_add_image(SimHost *host, const char *path, const char *format, const char *backing,
                       const char *backing_format, uint64_t capacity)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    sim_image_add(host, path, format, backing, backing_format, capacity);
}

bool sim_image_has(const SimImage *image, unsigned block)
{
    return g_hash_table_contains(image->blocks, GUINT_TO_POINTER(block));
}

bool sim_image_put(SimHost *host, SimImage *image, unsigned block, uint64_t value, GError **error)
{
    if (!sim_image_has(image, block)) {
        if (host->free_bytes < SIM_BLOCK)
            return sim_error(error, ERR_NO_SPACE,
                             "There is no room to write \"%s\"; free some space and try again.",
                             image->path);
        host->free_bytes -= SIM_BLOCK;
    }
    g_hash_table_insert(image->blocks, GUINT_TO_POINTER(block),
                        g_memdup2(&value, sizeof(uint64_t)));
    return true;
}

SimLink *sim_link_new(const char *path, const char *format)
{
    SimLink *link = g_new0(SimLink, 1);

    link->path = g_strdup(path);
    link->format = g_strdup(format);
    return link;
}

void sim_link_free(SimLink *link)
{
    g_free(link->path);
    g_free(link->format);
    g_free(link);
}

static gpointer link_copy(gconstpointer link, gpointer data)
{
    return sim_link_new(((const SimLink *)link)->path, ((const SimLink *)link)->format);
}

GPtrArray *sim_links_copy(const GPtrArray *links)
{
    GPtrArray *copy = g_ptr_array_new_with_free_func((GDestroyNotify)sim_link_free);

    for (unsigned i = 0; i < links->len; i++)
        g_ptr_array_add(copy, link_copy(links->pdata[i], NULL));
    return copy;
}

int sim_links_find(const GPtrArray *links, const char *path)
{
    for (unsigned i = 0; i < links->len; i++)
        if (g_strcmp0(((SimLink *)links->pdata[i])->path, path) == 0)
            return (int)i;
    return -1;
}

/* A header that states no backing format is probed, as QEMU would. */
void sim_links_probe(SimHost *host, GPtrArray *links)
{
    while (links->len < CHAIN_MAX) {
        const SimLink *last = links->pdata[links->len - 1];
        const SimImage *image = sim_image(host, last->path);

        if (!image || !image->backing || g_strcmp0(last->format, "qcow2") != 0)
            return;

        const SimImage *below = sim_image(host, image->backing);
        const char *format = image->backing_format ? image->backing_format
                             : below               ? below->format
                                                   : "raw";
        g_ptr_array_add(links, sim_link_new(image->backing, format));
    }
}

/* The image of a link of a chain that is known to be whole. */
static const SimImage *link_image(SimHost *host, const GPtrArray *links, unsigned at)
{
    const SimImage *image = sim_image(host, ((SimLink *)links->pdata[at])->path);

    g_assert(image);
    return image;
}

uint64_t sim_links_value(SimHost *host, const GPtrArray *links, unsigned block)
{
    for (unsigned i = 0; i < links->len; i++) {
        const SimImage *image = link_image(host, links, i);
        const uint64_t *value = g_hash_table_lookup(image->blocks, GUINT_TO_POINTER(block));

        if (block >= sim_blocks(image->capacity))
            return 0;
        if (value)
            return *value;
    }
    return 0;
}

GArray *sim_links_content(SimHost *host, const GPtrArray *links)
{
    for (unsigned i = 0; i < links->len; i++)
        if (!sim_image(host, ((SimLink *)links->pdata[i])->path))
            return NULL;

    unsigned count = sim_blocks(link_image(host, links, 0)->capacity);
    GArray *content = g_array_sized_new(FALSE, FALSE, sizeof(guint64), count);
    for (unsigned block = 0; block < count; block++) {
        guint64 value = sim_links_value(host, links, block);

        g_array_append_val(content, value);
    }
    return content;
}

GArray *sim_links_blocks(SimHost *host, const GPtrArray *links, unsigned count)
{
    const SimImage *top = link_image(host, links, 0);
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(unsigned));

    for (unsigned block = 0; block < sim_blocks(top->capacity); block++)
        for (unsigned i = 0; i < count; i++)
            if (sim_image_has(link_image(host, links, i), block)) {
                g_array_append_val(blocks, block);
                break;
            }
    return blocks;
}

GArray *sim_image_content(SimHost *host, const char *path)
{
    const SimImage *image = sim_image(host, path);

    if (!image)
        return NULL;

    g_autoptr(GPtrArray) links = g_ptr_array_new_with_free_func((GDestroyNotify)sim_link_free);
    g_ptr_array_add(links, sim_link_new(path, image->format));
    sim_links_probe(host, links);
    return sim_links_content(host, links);
}

GArray *simhost_image_content(SimHost *host, const char *path)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return sim_image_content(host, path);
}

bool simhost_image_exists(SimHost *host, const char *path)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);

    return sim_image(host, path) != NULL;
}

static int by_text(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

GPtrArray *simhost_images(SimHost *host)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer path;

    g_hash_table_iter_init(&iter, host->images);
    while (g_hash_table_iter_next(&iter, &path, NULL))
        g_ptr_array_add(paths, g_strdup(path));
    g_ptr_array_sort(paths, by_text);
    return paths;
}

void sim_image_facts_clear(SimImageFacts *facts)
{
    g_free(facts->format);
    g_free(facts->backing);
    g_free(facts->backing_format);
    *facts = (SimImageFacts){0};
}

static bool is_written(SimHost *host, const char *path)
{
    if (g_hash_table_contains(host->locks, path))
        return true;
    for (unsigned i = 0; i < host->domains->len; i++) {
        const SimDomain *domain = host->domains->pdata[i];

        if (g_hash_table_lookup(domain->aside, path))
            return true;
        for (unsigned j = 0; domain->live && j < domain->live->disks->len; j++) {
            const SimDisk *disk = domain->live->disks->pdata[j];
            const SimJob *job = g_hash_table_lookup(domain->jobs, disk->target);

            if ((!disk->readonly && sim_links_find(disk->links, path) == 0) ||
                (job && g_str_equal(job->base, path)))
                return true;
        }
    }
    return false;
}

/* A state file, as whoever looks for an image in it sees it. */
static bool state_facts(SimHost *host, const char *path, SimImageFacts *out_facts)
{
    const SimState *state = sim_state(host, path);

    if (!state)
        return false;
    *out_facts = (SimImageFacts){
        .format = g_strdup("raw"),
        .capacity = g_bytes_get_size(state->content),
        .allocation = g_bytes_get_size(state->content),
        .inode = state->inode,
        .written = is_written(host, path),
    };
    return true;
}

bool simhost_image_facts(SimHost *host, const char *path, SimImageFacts *out_facts)
{
    g_autoptr(GMutexLocker) locker G_GNUC_UNUSED = g_mutex_locker_new(&host->mutex);
    const SimImage *image = sim_image(host, path);

    if (!image)
        return state_facts(host, path, out_facts);
    *out_facts = (SimImageFacts){
        .format = g_strdup(image->format),
        .backing = g_strdup(image->backing),
        .backing_format = g_strdup(image->backing_format),
        .capacity = image->capacity,
        .allocation = (uint64_t)g_hash_table_size(image->blocks) * SIM_BLOCK,
        .inode = image->inode,
        .written = is_written(host, path),
    };
    return true;
}

/* The state of a definition that counts for what may be written: the live one of a running domain.
 */
static void check_definitions(SimHost *host, const char *path)
{
    for (unsigned i = 0; i < host->domains->len; i++) {
        const SimDomain *domain = host->domains->pdata[i];
        const SimDefinition *definition = domain->live ? domain->live : domain->inactive;

        for (unsigned j = 0; j < definition->disks->len; j++) {
            const SimDisk *disk = definition->disks->pdata[j];

            if (sim_links_find(disk->links, path) == 0)
                sim_misuse(host, "\"%s\" is committed into, and it is disk %s of %s itself.", path,
                           disk->target, domain->name);
        }
    }
}

/* @path may show through @allowed only. */
static void check_shown(SimHost *host, const char *path, const char *allowed)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, host->images);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const SimImage *image = value;

        if (g_strcmp0(image->backing, path) == 0 && g_strcmp0(image->path, allowed) != 0)
            sim_misuse(host, "A commit ruins \"%s\", which shows through \"%s\".", path,
                       image->path);
    }
}

/* A commit that was done already may be done again: it changes nothing, whoever stands on the base.
 */
static bool changes_base(SimHost *host, const GPtrArray *links)
{
    const SimImage *base = link_image(host, links, links->len - 1);
    g_autoptr(GArray) blocks = sim_links_blocks(host, links, links->len - 1);

    for (unsigned i = 0; i < blocks->len; i++) {
        unsigned block = g_array_index(blocks, unsigned, i);
        const uint64_t *value = g_hash_table_lookup(base->blocks, GUINT_TO_POINTER(block));

        if (!value || *value != sim_links_value(host, links, block))
            return true;
    }
    return false;
}

void sim_check_commit(SimHost *host, const GPtrArray *links)
{
    bool changes = changes_base(host, links) && !link_image(host, links, links->len - 1)->torn;

    for (unsigned i = 1; i < links->len; i++) {
        const char *path = ((SimLink *)links->pdata[i])->path;

        check_definitions(host, path);
        if (changes)
            check_shown(host, path, ((SimLink *)links->pdata[i - 1])->path);
    }
}
