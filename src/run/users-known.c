#include "run/users-known.h"

#include "base/str.h"
#include "plan/firmware.h"

#define HEADERS_MAX 100000         /* then all are forgotten: files come and go */
#define FRESH_US    G_USEC_PER_SEC /* what was read so lately need not be asked again */

/* A definition as it was read last. */
typedef struct {
    char *text; /* NULL: never read */
    Domain *parsed;
} KnownDefinition;

/* A definition is current if nothing was heard of its domain since it was asked for. */
typedef struct {
    guint64 events, asked; /* how many events there were, and had been when it was asked */
    int64_t at;            /* when it was asked, monotonic µs */
    char *text;            /* what @uses was made of */
    GPtrArray *uses;       /* NULL: never read; not changed once it is here */
    KnownDefinition live, inactive;
} KnownDomain;

typedef struct {
    int64_t changed;
    char *below;
    bool raw;
} KnownHeader;

struct Users {
    GMutex lock;         /* guards the rest; held for loads and stores only */
    GHashTable *domains; /* uuid → KnownDomain */
    GHashTable *headers; /* file_key() → KnownHeader */
    guint64 events;      /* about any domain */
};

static void use_free(Use *use)
{
    g_free(use->path);
    g_free(use->who);
    g_free(use->source);
    g_free(use);
}

static void forget_definition(KnownDefinition *known)
{
    g_clear_pointer(&known->text, g_free);
    g_clear_pointer(&known->parsed, domain_free);
}

static void known_domain_free(KnownDomain *known)
{
    forget_definition(&known->live);
    forget_definition(&known->inactive);
    g_clear_pointer(&known->uses, g_ptr_array_unref);
    g_free(known->text);
    g_free(known);
}

static void known_header_free(KnownHeader *known)
{
    g_free(known->below);
    g_free(known);
}

Users *users_new(void)
{
    Users *users = g_new0(Users, 1);

    g_mutex_init(&users->lock);
    users->domains =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)known_domain_free);
    users->headers =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)known_header_free);
    return users;
}

void users_free(Users *users)
{
    if (!users)
        return;
    g_hash_table_unref(users->domains);
    g_hash_table_unref(users->headers);
    g_mutex_clear(&users->lock);
    g_free(users);
}

/* ---- definitions ---- */

static KnownDomain *obtain_locked(Users *users, const char *uuid)
{
    KnownDomain *known = g_hash_table_lookup(users->domains, uuid);

    if (!known) {
        known = g_new0(KnownDomain, 1);
        g_hash_table_insert(users->domains, g_strdup(uuid), known);
    }
    return known;
}

void users_changed(Users *users, const char *uuid)
{
    g_mutex_lock(&users->lock);
    if (uuid)
        obtain_locked(users, uuid)->events++;
    else
        users->events++;
    g_mutex_unlock(&users->lock);
}

void users_forget_others(Users *users, const GPtrArray *domains)
{
    g_autoptr(GHashTable) listed = g_hash_table_new(g_str_hash, g_str_equal);
    GHashTableIter iter;
    gpointer uuid;

    for (guint i = 0; i < domains->len; i++)
        g_hash_table_add(listed, ((HvDomain *)domains->pdata[i])->uuid);
    g_mutex_lock(&users->lock);
    g_hash_table_iter_init(&iter, users->domains);
    while (g_hash_table_iter_next(&iter, &uuid, NULL))
        if (!g_hash_table_contains(listed, uuid))
            g_hash_table_iter_remove(&iter);
    g_mutex_unlock(&users->lock);
}

static KnownDefinition *definition_locked(Users *users, const char *uuid, bool live)
{
    KnownDomain *known = obtain_locked(users, uuid);

    return live ? &known->live : &known->inactive;
}

static Domain *recall_definition(Users *users, const char *uuid, bool live, const char *xml)
{
    g_mutex_lock(&users->lock);
    const KnownDefinition *known = definition_locked(users, uuid, live);
    Domain *copy = g_strcmp0(known->text, xml) == 0 ? domain_copy(known->parsed) : NULL;
    g_mutex_unlock(&users->lock);
    return copy;
}

static void store_definition(Users *users, const char *uuid, bool live, const char *xml,
                             const Domain *parsed)
{
    g_mutex_lock(&users->lock);
    KnownDefinition *known = definition_locked(users, uuid, live);
    forget_definition(known);
    known->text = g_strdup(xml);
    known->parsed = domain_copy(parsed);
    g_mutex_unlock(&users->lock);
}

Domain *users_definition(const World *world, const char *uuid, bool live, const char *xml,
                         GError **error)
{
    Domain *domain = recall_definition(world->users, uuid, live, xml);

    if (domain)
        return domain;
    domain = domain_parse(xml, error);
    if (domain)
        store_definition(world->users, uuid, live, xml, domain);
    return domain;
}

static void add_use(GPtrArray *uses, const DomainDisk *disk, const char *path, const char *who)
{
    Use *use;

    if (!path || !g_path_is_absolute(path))
        return;
    use = g_new0(Use, 1);
    use->path = g_strdup(path);
    use->who = g_strdup(who);
    use->source = g_strdup(disk->path);
    use->raw = path == disk->path && g_strcmp0(disk->format, "raw") == 0;
    g_ptr_array_add(uses, use);
}

/* Also what the definition states below the disk, which libvirt believes more than the headers, and
 * what a block job copies to. */
static void add_disk(GPtrArray *uses, const DomainDisk *disk, const HvDomain *domain,
                     const char *state)
{
    g_autofree char *who = NULL;

    if (g_strcmp0(disk->type, "file") != 0)
        return;
    who = g_strdup_printf("disk %s of VM %s (%s)", disk->target, domain->name, state);
    add_use(uses, disk, disk->path, who);
    for (guint i = 0; i < disk->chain->len; i++)
        add_use(uses, disk, ((ChainLink *)disk->chain->pdata[i])->path, who);
    add_use(uses, disk, disk->mirror_path, who);
}

/* The variable store, or the loader that keeps the variables in itself. Where no definition says
 * where it is, it is where the next start would look for it. */
static void add_store(GPtrArray *uses, const Domain *definition, const Capabilities *capabilities,
                      const HvDomain *domain, const char *state)
{
    bool combined = definition->firmware && definition->firmware->combined;
    g_autofree char *path = combined ? g_strdup(definition->firmware->loader)
                                     : firmware_vars_path(NULL, definition, capabilities, NULL);
    Use *use;

    if (!path || !g_path_is_absolute(path))
        return;
    use = g_new0(Use, 1);
    use->path = g_steal_pointer(&path);
    use->who = g_strdup_printf("the UEFI variables of VM %s (%s)", domain->name, state);
    use->vars = use->raw = true;
    g_ptr_array_add(uses, use);
}

static void add_definition(GPtrArray *uses, const Domain *definition,
                           const Capabilities *capabilities, const HvDomain *domain,
                           const char *state)
{
    if (!definition)
        return;
    add_store(uses, definition, capabilities, domain, state);
    for (guint i = 0; i < definition->disks->len; i++)
        add_disk(uses, definition->disks->pdata[i], domain, state);
}

typedef struct {
    char *live, *inactive, *saved;
    char *text; /* all of them and how @domain is called, to be compared */
} Definitions;

static void definitions_clear(Definitions *definitions)
{
    g_free(definitions->live);
    g_free(definitions->inactive);
    g_free(definitions->saved);
    g_free(definitions->text);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Definitions, definitions_clear)

static bool ask(const World *world, const HvDomain *domain, Definitions *out, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (!world->hv->ops->definitions(world->hv, domain->uuid, &out->live, &out->inactive,
                                     &out->saved, &cause) &&
        !error_is(cause, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    out->text = g_strdup_printf("%s\n%s\n%s\n%s\n%s", domain->name,
                                domain_state_name(domain->state), out->live ? out->live : "",
                                out->inactive ? out->inactive : "", out->saved ? out->saved : "");
    return true;
}

static GPtrArray *find_uses(const World *world, const Definitions *from, const HvDomain *domain,
                            GError **error)
{
    g_autoptr(GPtrArray) uses = g_ptr_array_new_with_free_func((GDestroyNotify)use_free);
    g_autoptr(Capabilities) host = world->hv->ops->capabilities(world->hv, error);
    g_autoptr(Domain) live = NULL, inactive = NULL, saved = NULL;

    if (!host ||
        (from->live && !(live = users_definition(world, domain->uuid, true, from->live, error))) ||
        (from->inactive &&
         !(inactive = users_definition(world, domain->uuid, false, from->inactive, error))) ||
        (from->saved && !(saved = domain_parse(from->saved, error))))
        return NULL;
    add_definition(uses, live, host, domain, domain_state_name(domain->state));
    add_definition(uses, inactive, host, domain, from->live ? "its next start" : "off");
    add_definition(uses, saved, host, domain, "saved");
    return g_steal_pointer(&uses);
}

/* Texts that are the same as last time need not be parsed again. */
static GPtrArray *recall_uses(Users *users, const char *uuid, const char *text)
{
    g_mutex_lock(&users->lock);
    const KnownDomain *known = obtain_locked(users, uuid);
    GPtrArray *uses =
        known->uses && g_str_equal(known->text, text) ? g_ptr_array_ref(known->uses) : NULL;
    g_mutex_unlock(&users->lock);
    return uses;
}

/* An event that comes while libvirt is asked may tell of something newer than the answer. */
static void store_uses(Users *users, const char *uuid, GPtrArray *uses, const char *text,
                       guint64 asked, int64_t at)
{
    g_mutex_lock(&users->lock);
    KnownDomain *known = obtain_locked(users, uuid);
    g_ptr_array_ref(uses);
    g_clear_pointer(&known->uses, g_ptr_array_unref);
    known->uses = uses;
    str_set(&known->text, text);
    known->asked = asked;
    known->at = at;
    g_mutex_unlock(&users->lock);
}

static GPtrArray *ask_for_uses(const World *world, const HvDomain *domain, guint64 asked,
                               GError **error)
{
    int64_t at = g_get_monotonic_time();
    g_auto(Definitions) definitions = {0};
    GPtrArray *uses = NULL;

    if (ask(world, domain, &definitions, error) &&
        !(uses = recall_uses(world->users, domain->uuid, definitions.text)))
        uses = find_uses(world, &definitions, domain, error);
    if (uses)
        store_uses(world->users, domain->uuid, uses, definitions.text, asked, at);
    else
        g_prefix_error(
            error, "Whether VM %s uses the same image files cannot be found out: ", domain->name);
    return uses;
}

GPtrArray *users_of_domain(const World *world, const HvDomain *domain, int64_t since,
                           GError **error)
{
    Users *users = world->users;
    int64_t oldest = since ? MAX(since, g_get_monotonic_time() - FRESH_US) : 0;
    GPtrArray *uses = NULL;

    g_mutex_lock(&users->lock);
    const KnownDomain *known = obtain_locked(users, domain->uuid);
    guint64 now = known->events + users->events;
    if (known->uses && known->asked == now && known->at >= oldest)
        uses = g_ptr_array_ref(known->uses);
    g_mutex_unlock(&users->lock);
    return uses ? uses : ask_for_uses(world, domain, now, error);
}

/* ---- headers ---- */

static bool recall_header(Users *users, const char *key, int64_t changed, char **out_below,
                          bool *out_raw)
{
    g_mutex_lock(&users->lock);
    const KnownHeader *known = changed ? g_hash_table_lookup(users->headers, key) : NULL;
    bool current = known && known->changed == changed;
    if (current) {
        *out_below = g_strdup(known->below);
        *out_raw = known->raw;
    }
    g_mutex_unlock(&users->lock);
    return current;
}

static void store_header(Users *users, char *key, int64_t changed, const char *below, bool raw)
{
    KnownHeader *known = g_new0(KnownHeader, 1);

    known->changed = changed;
    known->below = g_strdup(below);
    known->raw = raw;
    g_mutex_lock(&users->lock);
    if (g_hash_table_size(users->headers) >= HEADERS_MAX)
        g_hash_table_remove_all(users->headers);
    g_hash_table_replace(users->headers, key, known);
    g_mutex_unlock(&users->lock);
}

char *users_key(const World *world, const char *path, ImageIdentity *out_identity)
{
    return world->images->ops->identify(world->images, path, out_identity)
               ? file_key(out_identity->device, out_identity->inode)
               : NULL;
}

char *users_below(const World *world, const char *path, const ImageIdentity *identity,
                  bool *out_raw)
{
    g_autofree char *key = file_key(identity->device, identity->inode);
    char *below = NULL;

    *out_raw = false;
    if (recall_header(world->users, key, identity->changed, &below, out_raw))
        return below;
    ImageFacts *facts = world->images->ops->inspect(world->images, path);
    below = g_steal_pointer(&facts->backing);
    *out_raw = g_strcmp0(facts->backing_format, "raw") == 0;
    image_facts_free(facts);
    store_header(world->users, g_steal_pointer(&key), identity->changed, below, *out_raw);
    return below;
}
