#include "model/config.h"

#include "model/catalog.h"
#include <string.h>

/* ---- policies ---- */

static GHashTable *policy_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static bool read_value(const YamlNode *key, const YamlNode *node, GHashTable *policy,
                       GError **error)
{
    const char *value;
    g_autoptr(GError) why = NULL;

    if (!catalog_policy_default(key->text))
        return yaml_error(key, error, "there is no policy \"%s\"", key->text);
    if (!yaml_text(node, &value, error))
        return false;
    char *normal = catalog_policy_check(key->text, value, &why);
    if (!normal)
        return yaml_error_code(node, error_code(why), error, "%s", why->message);
    g_hash_table_insert(policy, g_strdup(key->text), normal);
    return true;
}

bool policy_read(const YamlNode *map, GHashTable *policy, GError **error)
{
    if (!yaml_is_map(map, error))
        return false;
    for (guint i = 0; i < map->keys->len; i++)
        if (!read_value(map->keys->pdata[i], map->items->pdata[i], policy, error))
            return false;
    return true;
}

/* ---- VMs ---- */

static bool read_vm(const YamlNode *key, const YamlNode *map, GHashTable *vms, GError **error)
{
    static const char *const keys[] = {"policy", NULL};
    const YamlNode *node = yaml_get(map, "policy");
    g_autoptr(GHashTable) policy = policy_new();
    char *name =
        g_uuid_string_is_valid(key->text) ? g_ascii_strdown(key->text, -1) : g_strdup(key->text);

    bool twice = g_hash_table_contains(vms, name);
    g_hash_table_insert(vms, name, g_hash_table_ref(policy));
    if (twice)
        return yaml_error(key, error, "VM %s stands here twice", key->text);
    return yaml_check_keys(map, keys, error) && (!node || policy_read(node, policy, error));
}

static bool read_vms(const YamlNode *map, Config *config, GError **error)
{
    if (!map)
        return true;
    if (!yaml_is_map(map, error))
        return false;
    for (guint i = 0; i < map->keys->len; i++)
        if (!read_vm(map->keys->pdata[i], map->items->pdata[i], config->vms, error))
            return false;
    return true;
}

/* ---- the rest ---- */

static bool read_text(const YamlNode *root, const char *key, char **field, GError **error)
{
    const YamlNode *node = yaml_get(root, key);
    const char *text;

    if (!node)
        return true;
    if (!yaml_text(node, &text, error))
        return false;
    if (!text[0])
        return yaml_error(node, error, "a value is missing");
    *field = g_strdup(text);
    return true;
}

static bool read_path(const YamlNode *node, char **out_path, GError **error)
{
    const char *path;

    if (!yaml_text(node, &path, error))
        return false;
    if (!g_path_is_absolute(path))
        return yaml_error(node, error, "\"%s\" is no absolute path; it must begin with /", path);
    *out_path = g_strdup(path);
    return true;
}

static bool read_directories(const YamlNode *list, GPtrArray *directories, GError **error)
{
    if (!list)
        return true;
    if (!yaml_is_list(list, error))
        return false;
    for (guint i = 0; i < list->items->len; i++) {
        char *path = NULL;

        if (!read_path(list->items->pdata[i], &path, error))
            return false;
        g_ptr_array_add(directories, path);
    }
    return true;
}

/* Known words that nothing here would obey: better no start than a setting that does nothing. */
static bool check_later(const YamlNode *root, GError **error)
{
    static const char *const later[] = {"hosts", "backup_targets", NULL};

    for (guint i = 0; i < root->keys->len; i++) {
        const YamlNode *key = root->keys->pdata[i];

        if (g_strv_contains(later, key->text))
            return yaml_error_code(key, ERR_UNSUPPORTED, error,
                                   "\"%s\" is not supported by this version; remove it", key->text);
    }
    return true;
}

static bool read_root(const YamlNode *root, Config *config, GError **error)
{
    static const char *const keys[] = {"uri", "mountpoint",        "group",   "policy",
                                       "vms", "image_directories", "expunge", NULL};
    const YamlNode *expunge = yaml_get(root, "expunge");
    const YamlNode *mountpoint = yaml_get(root, "mountpoint");
    const YamlNode *policy = yaml_get(root, "policy");

    return yaml_is_map(root, error) && check_later(root, error) &&
           yaml_check_keys(root, keys, error) && read_text(root, "uri", &config->uri, error) &&
           read_text(root, "group", &config->group, error) &&
           (!mountpoint || read_path(mountpoint, &config->mountpoint, error)) &&
           (!policy || policy_read(policy, config->policy, error)) &&
           (!expunge || yaml_bool(expunge, &config->expunge, error)) &&
           read_vms(yaml_get(root, "vms"), config, error) &&
           read_directories(yaml_get(root, "image_directories"), config->image_directories, error);
}

/* No document at all is an error to the parser of YAML; here it is a file that says nothing. */
static bool is_blank(const char *text, gsize length)
{
    bool comment = false;

    for (gsize i = 0; i < length; i++) {
        if (text[i] == '\n')
            comment = false;
        else if (text[i] == '#')
            comment = true;
        else if (!comment && !g_ascii_isspace(text[i]))
            return false;
    }
    return true;
}

Config *config_parse(const char *path, const char *text, gsize length, GError **error)
{
    g_autoptr(Config) config = config_new();
    g_autoptr(YamlNode) root = NULL;

    g_free(config->path);
    config->path = g_strdup(path);
    if (is_blank(text, length))
        return g_steal_pointer(&config);
    root = yaml_parse(text, length, error);
    if (root && read_root(root, config, error))
        return g_steal_pointer(&config);
    g_prefix_error(error, "%s, ", path);
    return NULL;
}

/* ---- life and lookup ---- */

Config *config_new(void)
{
    Config *config = g_new0(Config, 1);

    config->references = 1;
    config->path = g_strdup("");
    config->policy = policy_new();
    config->vms =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_hash_table_unref);
    config->image_directories = g_ptr_array_new_with_free_func(g_free);
    return config;
}

Config *config_ref(const Config *config)
{
    Config *same = (Config *)config;

    g_atomic_int_inc(&same->references);
    return same;
}

void config_unref(Config *config)
{
    if (!config || !g_atomic_int_dec_and_test(&config->references))
        return;
    g_free(config->path);
    g_free(config->uri);
    g_free(config->mountpoint);
    g_free(config->group);
    g_hash_table_unref(config->policy);
    g_hash_table_unref(config->vms);
    g_ptr_array_unref(config->image_directories);
    g_free(config);
}

static void overlay(GHashTable *policy, GHashTable *above)
{
    GHashTableIter iter;
    gpointer key, value;

    if (!above)
        return;
    g_hash_table_iter_init(&iter, above);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(policy, g_strdup(key), g_strdup(value));
}

GHashTable *config_policy(const Config *config, const char *uuid, const char *name)
{
    GHashTable *by_uuid = g_hash_table_lookup(config->vms, uuid);
    GHashTable *by_name = g_hash_table_lookup(config->vms, name);

    if (!by_uuid && !by_name)
        return g_hash_table_ref(config->policy);
    GHashTable *policy = policy_new();
    overlay(policy, config->policy);
    overlay(policy, by_name);
    overlay(policy, by_uuid);
    return policy;
}
