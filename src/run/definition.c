#include "run/definition.h"

#include "run/observe.h"
#include "run/users-known.h"

typedef struct {
    char *live, *inactive;
} Texts;

static void texts_clear(Texts *texts)
{
    g_free(texts->live);
    g_free(texts->inactive);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Texts, texts_clear)

static bool read_texts(Operation *op, Texts *texts, GError **error)
{
    const World *world = op->vm->world;
    g_autofree char *foreign = NULL;
    HvDomain *domain = NULL;
    unsigned snapshots;

    texts_clear(texts);
    *texts = (Texts){0};
    if (!world->hv->ops->inspect(world->hv, op->vm->uuid, &domain, &texts->live, &texts->inactive,
                                 &foreign, &snapshots, error))
        return false;
    hv_domain_free(domain);
    return true;
}

static bool domain_has(const Domain *domain, const GPtrArray *switches)
{
    for (guint i = 0; switches && i < switches->len; i++) {
        const DiskSwitch *change = switches->pdata[i];
        const DomainDisk *disk = domain_disk(domain, change->target);

        if (!disk || g_strcmp0(disk->path, change->path) != 0)
            return false;
    }
    return true;
}

static bool has_nvram(const Domain *domain, const char *path)
{
    return !path || (domain->firmware && g_strcmp0(domain->firmware->path, path) == 0);
}

bool definition_live_has(Operation *op, const GPtrArray *switches, bool *out_has,
                         DomainState *out_state, GError **error)
{
    g_autoptr(Observation) seen = observe_domain(op->vm->world, op->vm->uuid, NULL, error);

    if (!seen)
        return false;
    *out_has = seen->live && domain_has(seen->live, switches);
    *out_state = seen->state;
    return true;
}

/* ---- the chain of a running disk ---- */

/* The files of a live disk's chain, top first. libvirt states them while the VM runs; the headers
 * say it where not. */
static GPtrArray *live_paths(const World *world, const DomainDisk *disk)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(paths, g_strdup(disk->path));
    for (guint i = 0; i < disk->chain->len; i++)
        g_ptr_array_add(paths, g_strdup(((ChainLink *)disk->chain->pdata[i])->path));
    while (!disk->chain_stated && paths->len < 300) {
        ImageFacts *facts =
            world->images->ops->inspect(world->images, paths->pdata[paths->len - 1]);
        char *backing = facts->exists ? g_strdup(facts->backing) : NULL;

        image_facts_free(facts);
        if (!backing)
            break;
        g_ptr_array_add(paths, backing);
    }
    return paths;
}

static bool has_path(GPtrArray *paths, const char *path)
{
    return g_ptr_array_find_with_equal_func(paths, path, g_str_equal, NULL);
}

static ChainState chain_state(GPtrArray *paths, const char *top, const GPtrArray *between,
                              const char *base)
{
    if (has_path(paths, top))
        return CHAIN_BEFORE;
    if (!has_path(paths, base))
        return CHAIN_FOREIGN;
    for (guint i = 0; i < between->len; i++)
        if (has_path(paths, between->pdata[i]))
            return CHAIN_PARTLY;
    return CHAIN_MERGED;
}

/* It has not been off since it was planned for. */
static bool runs_on(const Operation *op, const Observation *seen)
{
    const Domain *before = op->seen ? op->seen->live : NULL;

    return seen->live && before && g_strcmp0(seen->live->run, before->run) == 0;
}

bool definition_live_chain(Operation *op, const char *target, const char *top,
                           const GPtrArray *between, const char *base, ChainState *out_state,
                           GError **error)
{
    const World *world = op->vm->world;
    g_autoptr(Observation) seen = observe_domain(world, op->vm->uuid, NULL, error);
    g_autoptr(GPtrArray) paths = NULL;
    const DomainDisk *disk;

    if (!seen)
        return false;
    *out_state = runs_on(op, seen) ? CHAIN_FOREIGN : CHAIN_OFF;
    disk = *out_state == CHAIN_OFF ? NULL : domain_disk(seen->live, target);
    if (!disk || !disk->path)
        return true;
    paths = live_paths(world, disk);
    *out_state = chain_state(paths, top, between, base);
    return true;
}

/* ---- the persistent definition ---- */

void definition_put_back(Operation *op, const char *before)
{
    const World *world = op->vm->world;
    g_autoptr(GError) error = NULL;

    if (!world->hv->ops->define(world->hv, op->vm->uuid, before, &error))
        g_message("VM %s: its old definition could not be stored again: %s", op->vm_name,
                  error->message);
}

static bool define_and_compare(Operation *op, const char *before, const DomainChange *change,
                               Texts *after, GError **error)
{
    const World *world = op->vm->world;
    g_autofree char *xml = domain_xml_switch(before, change, error);

    if (!xml || !world->hv->ops->define(world->hv, op->vm->uuid, xml, error) ||
        !read_texts(op, after, error))
        return false;
    if (after->inactive && domain_xml_same(before, after->inactive, change, error))
        return true;
    /* libvirt stored something else than it was given: what the user had goes back. */
    if (after->inactive) {
        definition_put_back(op, before);
        return false;
    }
    g_set_error(error, VMSNAPFS_ERROR, ERR_DRIFT,
                "VM %s lost its persistent definition while it was being changed; define it again",
                op->vm_name);
    return false;
}

static bool read_inactive(Operation *op, Texts *texts, GError **error)
{
    if (!read_texts(op, texts, error))
        return false;
    if (texts->inactive)
        return true;
    g_set_error(
        error, VMSNAPFS_ERROR, ERR_UNSUPPORTED,
        "VM %s has no persistent definition, so its disks cannot be changed; define it first",
        op->vm_name);
    return false;
}

char *definition_text(Operation *op, GError **error)
{
    g_auto(Texts) texts = {0};

    return read_inactive(op, &texts, error) ? g_steal_pointer(&texts.inactive) : NULL;
}

/* The VM was started between our look and the change. If it runs on the old files, they must stay
 * its definition. */
static bool take_back(Operation *op, const char *before, const char *live,
                      const DomainChange *change, GError **error)
{
    const World *world = op->vm->world;
    g_autoptr(Domain) domain = users_definition(world, op->vm->uuid, true, live, error);

    if (!domain)
        return false;
    if (domain_has(domain, change->switches) && has_nvram(domain, change->nvram))
        return true;
    if (!world->hv->ops->define(world->hv, op->vm->uuid, before, error)) {
        g_prefix_error(
            error,
            "VM %s was started meanwhile, and its old definition could not be stored again: ",
            op->vm_name);
        return false;
    }
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "VM %s was started while its disks were being changed; the change was taken back",
                op->vm_name);
    return false;
}

/* The old active layers are free from here on: the definition does not name them any more. */
static void release_old(Operation *op, const char *before, const GPtrArray *switches)
{
    g_autoptr(Domain) domain = users_definition(op->vm->world, op->vm->uuid, false, before, NULL);

    for (guint i = 0; domain && switches && i < switches->len; i++) {
        const DiskSwitch *change = switches->pdata[i];
        const DomainDisk *disk = domain_disk(domain, change->target);

        if (disk && disk->path)
            guard_release(op->guard, disk->path);
    }
}

static bool switch_locked(Operation *op, const DomainChange *change, GError **error)
{
    g_auto(Texts) before = {0}, after = {0};

    if (!read_inactive(op, &before, error))
        return false;
    if (before.live) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                    "VM %s was started meanwhile; it must be off for this", op->vm_name);
        return false;
    }
    if (!define_and_compare(op, before.inactive, change, &after, error) ||
        (after.live && !take_back(op, before.inactive, after.live, change, error)))
        return false;
    release_old(op, before.inactive, change->switches);
    return true;
}

bool definition_switch(Operation *op, const DomainChange *change, GError **error)
{
    g_mutex_lock(&op->vm->definition);
    bool switched = switch_locked(op, change, error);
    g_mutex_unlock(&op->vm->definition);
    return switched;
}

bool definition_settle(Operation *op, const DomainChange *change, GError **error)
{
    g_auto(Texts) before = {0}, after = {0};

    g_mutex_lock(&op->vm->definition);
    bool settled = read_inactive(op, &before, error) &&
                   define_and_compare(op, before.inactive, change, &after, error);
    g_mutex_unlock(&op->vm->definition);
    return settled;
}
