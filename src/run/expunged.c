#include "run/expunged.h"

#include "plan/firmware.h"
#include "run/observe-firmware.h"

static void left_free(void *data)
{
    ExpungeLeft *left = data;

    g_free(left->path);
    g_error_free(left->error);
    g_free(left);
}

/* @error is taken. */
static void add_left(GPtrArray *all, const char *path, GError *error)
{
    ExpungeLeft *left = g_new0(ExpungeLeft, 1);

    left->path = g_strdup(path);
    left->error = error;
    g_ptr_array_add(all, left);
}

/* ---- whose it is ---- */

/* By whom a domain is known: of two libvirts of one host neither knows those of the other. */
char *expunge_host(const World *world)
{
    return g_strdup_printf("%s %s", g_get_host_name(), world->uri ? world->uri : "");
}

/* ---- variable stores ---- */

/* By what it is, too: links and bind mounts give a file other names (rule 11). */
static bool is_same_file(const World *world, const char *a, const char *b)
{
    Images *images = world->images;
    ImageIdentity of_a, of_b;

    return g_strcmp0(a, b) == 0 ||
           (images->ops->identify(images, a, &of_a) && images->ops->identify(images, b, &of_b) &&
            of_a.device == of_b.device && of_a.inode == of_b.inode);
}

static bool names_store(const World *world, const char *xml, const Capabilities *capabilities,
                        const char *path)
{
    g_autoptr(Domain) domain = xml ? domain_parse(xml, NULL) : NULL;
    g_autofree char *store = domain ? firmware_vars_path(NULL, domain, capabilities, NULL) : NULL;

    return store && is_same_file(world, store, path);
}

static bool domain_uses(const World *world, const char *uuid, const char *path, bool *out_uses,
                        GError **error)
{
    Hypervisor *hv = world->hv;
    g_autoptr(Capabilities) capabilities = hv->ops->capabilities(hv, error);
    g_autofree char *live = NULL, *inactive = NULL, *saved = NULL;

    if (!capabilities || !hv->ops->definitions(hv, uuid, &live, &inactive, &saved, error))
        return false;
    *out_uses = names_store(world, live, capabilities, path) ||
                names_store(world, inactive, capabilities, path) ||
                names_store(world, saved, capabilities, path);
    return true;
}

/* *out_user: the VM whose next start would use the store @path; yours, NULL: none. */
static bool find_user(const World *world, const char *path, char **out_user, GError **error)
{
    g_autoptr(GPtrArray) domains = world->hv->ops->list(world->hv, error);

    for (guint i = 0; domains && !*out_user && i < domains->len; i++) {
        const HvDomain *domain = domains->pdata[i];
        g_autoptr(GError) cause = NULL;
        bool uses = false;

        if (!domain_uses(world, domain->uuid, path, &uses, &cause) &&
            !error_is(cause, ERR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        if (uses)
            *out_user = g_strdup(domain->name);
    }
    return domains != NULL;
}

/* *out_there: it is, and is a store. A definition may name anything: what else is there stays. */
static bool look_for_store(const World *world, const char *path, bool *out_there, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GBytes) content = observe_vars(world, path, NULL, &cause);

    *out_there = content != NULL;
    if (content || error_is(cause, ERR_NOT_FOUND))
        return true;
    if (error_is(cause, ERR_UNSUPPORTED)) {
        g_message("what is in the place of a variable store is left as it is: %s", cause->message);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static bool remove_store(const World *world, const char *path, GError **error)
{
    g_autofree char *user = NULL;
    bool there;

    if (!look_for_store(world, path, &there, error))
        return false;
    if (!there)
        return true;
    if (!find_user(world, path, &user, error))
        return false;
    if (!user)
        return world->images->ops->unlink(world->images, path, NULL, error);
    g_message("the variable store %s is left as it is: VM %s uses it", path, user);
    return true;
}

static void clean_store(const World *world, const char *path, GPtrArray *left)
{
    GError *error = NULL;

    if (path && !remove_store(world, path, &error))
        add_left(left, path, error);
}

/* ---- vTPM ---- */

/* libvirt's directory for the VM has one for each version. */
static void clean_tpm(const World *world, const char *directory, GPtrArray *left)
{
    static const char *const versions[] = {"tpm1.2", "tpm2", ""};
    Images *images = world->images;

    for (guint i = 0; directory && i < G_N_ELEMENTS(versions); i++) {
        g_autofree char *path =
            versions[i][0] ? g_build_filename(directory, versions[i], NULL) : g_strdup(directory);
        GError *error = NULL;

        if (!images->ops->remove_state_directory(images, path, &error)) {
            add_left(left, path, error);
            return;
        }
    }
}

/* ---- all ---- */

GPtrArray *expunged_clean(const World *world, const char *home, const char *uuid,
                          const Step *undefine)
{
    GPtrArray *left = g_ptr_array_new_with_free_func(left_free);
    GError *error = NULL;

    clean_store(world, step_get(undefine, "vars"), left);
    clean_store(world, step_get(undefine, "known"), left);
    clean_tpm(world, step_get(undefine, "tpm"), left);
    if (left->len == 0 && home && !store_forget(world->files, home, uuid, &error)) {
        g_autofree char *directory = store_directory(home, uuid);
        add_left(left, directory, error);
    }
    return left;
}

/* ---- afterwards ---- */

static void expunged_free(void *data)
{
    Expunged *expunged = data;

    g_free(expunged->home);
    g_free(expunged->uuid);
    journal_free(expunged->journal);
    g_free(expunged);
}

static const Step *step_of(const Expunged *expunged)
{
    return expunged->journal->plan->steps->pdata[0];
}

/* Only libvirt's plain word counts: it knows no such domain. */
static bool is_gone(const World *world, const char *uuid)
{
    g_autofree char *live = NULL, *inactive = NULL, *saved = NULL;
    g_autoptr(GError) error = NULL;

    return !world->hv->ops->definitions(world->hv, uuid, &live, &inactive, &saved, &error) &&
           error_is(error, ERR_NOT_FOUND);
}

static bool is_expunged(const World *world, const Expunged *expunged)
{
    const Plan *plan = expunged->journal ? expunged->journal->plan : NULL;
    g_autofree char *here = expunge_host(world);

    return plan && plan->kind == PLAN_EXPUNGE && plan->steps->len == 1 &&
           step_of(expunged)->kind == STEP_UNDEFINE &&
           g_strcmp0(step_get(step_of(expunged), "host"), here) == 0 &&
           is_gone(world, expunged->uuid);
}

static void find_in(const World *world, const char *home, GPtrArray *all)
{
    g_autofree char *directory = g_build_filename(home, ".vmsnapfs", NULL);
    g_autoptr(GPtrArray) uuids = world->files->ops->list(world->files, directory, NULL);

    for (guint i = 0; uuids && i < uuids->len; i++) {
        Expunged *expunged = g_new0(Expunged, 1);

        expunged->home = g_strdup(home);
        expunged->uuid = g_strdup(uuids->pdata[i]);
        /* One that cannot be read is told about by whoever looks for orphans. */
        expunged->journal = store_load_journal(world->files, home, expunged->uuid, NULL);
        if (is_expunged(world, expunged))
            g_ptr_array_add(all, expunged);
        else
            expunged_free(expunged);
    }
}

GPtrArray *expunged_find(const World *world, GHashTable *homes)
{
    GPtrArray *all = g_ptr_array_new_with_free_func(expunged_free);
    GHashTableIter iter;
    gpointer home;

    g_hash_table_iter_init(&iter, homes);
    while (g_hash_table_iter_next(&iter, &home, NULL))
        find_in(world, home, all);
    return all;
}

/* It may have been defined again since it was found, and may have another journal by now. */
static GPtrArray *finish_locked(const World *world, const Expunged *expunged)
{
    Expunged now = {.home = expunged->home, .uuid = expunged->uuid};

    now.journal = store_load_journal(world->files, now.home, now.uuid, NULL);
    GPtrArray *left = is_expunged(world, &now)
                          ? expunged_clean(world, now.home, now.uuid, step_of(&now))
                          : g_ptr_array_new_with_free_func(left_free);
    journal_free(now.journal);
    return left;
}

GPtrArray *expunged_finish(const World *world, const Expunged *expunged)
{
    GError *error = NULL;
    FilesLock *lock = store_lock(world->files, expunged->home, expunged->uuid, &error);
    GPtrArray *left;

    if (lock) {
        left = finish_locked(world, expunged);
        world->files->ops->unlock(world->files, lock);
        return left;
    }
    g_autofree char *directory = store_directory(expunged->home, expunged->uuid);
    left = g_ptr_array_new_with_free_func(left_free);
    add_left(left, directory, error);
    return left;
}

bool expunged_names(const Expunged *expunged, const char *path)
{
    static const char *const keys[] = {"vars", "known"};
    const char *tpm = step_get(step_of(expunged), "tpm");

    for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
        if (g_strcmp0(step_get(step_of(expunged), keys[i]), path) == 0)
            return true;
    return tpm && g_str_has_prefix(path, tpm);
}
