#include "run/users-known.h"

/* One look. Everything is keyed by file_key(). */
typedef struct {
    const World *world;
    const char *uuid;
    const Catalog *catalog;
    const GPtrArray *more; /* directories of the configuration */
    GHashTable *users;     /* → who; what is handed out */
    GHashTable *walked;    /* whose chain was followed */
    GHashTable *raws;      /* what is used as raw: a header in it is the guest's */
    GHashTable *own;       /* this VM's layers and disks */
} Look;

static GHashTable *key_set(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

static void add_key(const Look *look, GHashTable *set, const char *path)
{
    ImageIdentity identity;
    char *key = users_key(look->world, path, &identity);

    if (key)
        g_hash_table_add(set, key);
}

/* ---- marking ---- */

/* @path and all that lies below it are used by @who. */
static void mark_chain(Look *look, const char *path, bool raw, const char *who)
{
    g_autofree char *next = g_strdup(path);

    for (unsigned depth = 0; next && depth < CHAIN_LIMIT; depth++) {
        g_autofree char *here = g_steal_pointer(&next);
        ImageIdentity identity;
        g_autofree char *key = users_key(look->world, here, &identity);

        if (!key)
            return;
        if (!g_hash_table_contains(look->users, key))
            g_hash_table_insert(look->users, g_strdup(key), g_strdup(who));
        if (!g_hash_table_add(raw ? look->raws : look->walked, g_steal_pointer(&key)) || raw)
            return;
        next = users_below(look->world, here, &identity, &raw);
    }
}

/* Of this VM's own definitions only what runs on no layer of the catalog counts: a disk of the
 * catalog, attached a second time by another name. Its variable store is its own. */
static bool is_own(const Look *look, const HvDomain *domain, const Use *use)
{
    return g_str_equal(domain->uuid, look->uuid) &&
           (use->vars || (use->source && catalog_disk_of_path(look->catalog, use->source, NULL)));
}

static void mark_uses(Look *look, const HvDomain *domain, const GPtrArray *uses)
{
    for (guint i = 0; i < uses->len; i++) {
        const Use *use = uses->pdata[i];

        if (use->raw)
            add_key(look, look->raws, use->path);
        if (is_own(look, domain, use))
            continue;
        mark_chain(look, use->path, use->raw, use->who);
        if (g_str_equal(domain->uuid, look->uuid))
            add_key(look, look->own, use->path);
    }
}

static bool mark_domains(Look *look, int64_t since, GError **error)
{
    Hypervisor *hv = look->world->hv;
    g_autoptr(GPtrArray) domains = hv->ops->list(hv, error);

    if (!domains)
        return false;
    users_forget_others(look->world->users, domains);
    for (guint i = 0; i < domains->len; i++) {
        const HvDomain *domain = domains->pdata[i];
        bool mine = g_str_equal(domain->uuid, look->uuid);
        g_autoptr(GPtrArray) uses =
            users_of_domain(look->world, domain, mine ? G_MAXINT64 : since, error);

        if (!uses)
            return false;
        mark_uses(look, domain, uses);
    }
    return true;
}

/* ---- images ---- */

static void mark_image(Look *look, const char *path)
{
    g_autofree char *below = NULL, *who = NULL;
    ImageIdentity identity;
    g_autofree char *key = users_key(look->world, path, &identity);
    bool raw = false;

    if (!key || g_hash_table_contains(look->own, key) || g_hash_table_contains(look->raws, key) ||
        g_hash_table_contains(look->walked, key))
        return;
    below = users_below(look->world, path, &identity, &raw);
    if (!below)
        return;
    who = g_strdup_printf("image %s", path);
    mark_chain(look, below, raw, who);
}

static bool mark_directory(Look *look, const char *directory, GError **error)
{
    Images *images = look->world->images;
    g_autoptr(GPtrArray) paths = images->ops->list(images, directory, error);

    for (guint i = 0; paths && i < paths->len; i++)
        mark_image(look, paths->pdata[i]);
    return paths != NULL;
}

static void add_directory(GHashTable *directories, const char *path)
{
    char *directory = g_path_get_dirname(path);

    g_hash_table_add(directories, directory);
}

/* What is not may be behind a symlink of somebody who has no business here. */
static bool is_readable(const ImageFacts *facts)
{
    return facts->exists && !facts->error;
}

/* Those of the catalog's layers, of what @seen could read, and the configured ones. */
static GHashTable *find_directories(const Look *look, const Observation *seen)
{
    GHashTable *directories = key_set();
    GHashTableIter iter;
    gpointer path, facts;

    for (guint i = 0; i < look->catalog->disks->len; i++) {
        const Disk *disk = look->catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++)
            add_directory(directories, ((Layer *)disk->layers->pdata[j])->path);
    }
    if (seen) {
        g_hash_table_iter_init(&iter, seen->files);
        while (g_hash_table_iter_next(&iter, &path, &facts))
            if (is_readable(facts))
                add_directory(directories, path);
    }
    for (guint i = 0; i < look->more->len; i++)
        g_hash_table_add(directories, g_strdup(look->more->pdata[i]));
    return directories;
}

static bool mark_images(Look *look, const Observation *seen, GError **error)
{
    g_autoptr(GHashTable) directories = find_directories(look, seen);
    GHashTableIter iter;
    gpointer directory;

    g_hash_table_iter_init(&iter, directories);
    while (g_hash_table_iter_next(&iter, &directory, NULL))
        if (!mark_directory(look, directory, error))
            return false;
    return true;
}

/* ---- one look ---- */

static void add_own_layers(Look *look)
{
    for (guint i = 0; i < look->catalog->disks->len; i++) {
        const Disk *disk = look->catalog->disks->pdata[i];

        for (guint j = 0; j < disk->layers->len; j++) {
            const Layer *layer = disk->layers->pdata[j];

            add_key(look, look->own, layer->path);
            if (g_str_equal(layer->format, "raw"))
                add_key(look, look->raws, layer->path);
        }
    }
}

/* What an open plan is about to unlink is still ours, though the catalog does not name it any more.
 */
static void add_leaving(Look *look, const Plan *open)
{
    for (guint i = 0; open && i < open->steps->len; i++) {
        const Step *step = open->steps->pdata[i];

        if (step->kind == STEP_UNLINK)
            add_key(look, look->own, step_get(step, "path"));
    }
}

/* The table of users, yours; NULL on error. @seen may be NULL. */
static GHashTable *look_around(Vm *vm, const Observation *seen, const Plan *open, int64_t since,
                               GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    g_autoptr(Config) config = vm_config(vm);
    g_autoptr(GHashTable) walked = key_set(), raws = key_set(), own = key_set();
    g_autoptr(GHashTable) users = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    Look look = {.world = vm->world,
                 .uuid = vm->uuid,
                 .catalog = catalog,
                 .more = config->image_directories,
                 .users = users,
                 .walked = walked,
                 .raws = raws,
                 .own = own};

    add_own_layers(&look);
    add_leaving(&look, open);
    if (!mark_domains(&look, since, error) || !mark_images(&look, seen, error))
        return NULL;
    return g_steal_pointer(&users);
}

bool users_observe(Vm *vm, const Plan *open, int64_t since, Observation *observation,
                   GError **error)
{
    GHashTable *users = look_around(vm, observation, open, since, error);

    if (!users)
        return false;
    g_hash_table_unref(observation->users);
    observation->users = users;
    return true;
}

static bool check_none(const World *world, GHashTable *users, const char *path, GError **error)
{
    ImageIdentity identity;
    g_autofree char *key = users_key(world, path, &identity);
    const char *who = key ? g_hash_table_lookup(users, key) : NULL;

    if (who)
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "%s is also used by %s, so it is left as it is; end that use, then try again",
                    path, who);
    return !who;
}

bool users_check_none(Operation *op, const GPtrArray *paths, GError **error)
{
    const Plan *open = op->journal ? op->journal->plan : NULL;
    g_autoptr(GHashTable) users = look_around(op->vm, NULL, open, op->begun, error);

    for (guint i = 0; users && i < paths->len; i++)
        if (!check_none(op->vm->world, users, paths->pdata[i], error))
            return false;
    return users != NULL;
}
