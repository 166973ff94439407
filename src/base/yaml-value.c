#include "base/yaml.h"

#include <stdarg.h>
#include <string.h>

static bool set_error(const YamlNode *node, ErrorCode code, GError **error, const char *format,
                      va_list args) G_GNUC_PRINTF(4, 0);
static bool set_error(const YamlNode *node, ErrorCode code, GError **error, const char *format,
                      va_list args)
{
    g_autofree char *what = g_strdup_vprintf(format, args);

    error_set(error, code, "line %u, column %u: %s", node->line, node->column, what);
    return false;
}

bool yaml_error(const YamlNode *node, GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_error(node, ERR_INVALID, error, format, args);
    va_end(args);
    return false;
}

bool yaml_error_code(const YamlNode *node, ErrorCode code, GError **error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    set_error(node, code, error, format, args);
    va_end(args);
    return false;
}

const YamlNode *yaml_get(const YamlNode *map, const char *key)
{
    if (!map || map->kind != YAML_IS_MAP)
        return NULL;
    if (map->index)
        return g_hash_table_lookup(map->index, key);
    for (guint i = 0; i < map->keys->len; i++)
        if (strcmp(((YamlNode *)map->keys->pdata[i])->text, key) == 0)
            return map->items->pdata[i];
    return NULL;
}

const YamlNode *yaml_need(const YamlNode *map, const char *key, GError **error)
{
    const YamlNode *value = yaml_get(map, key);

    if (map && !value)
        yaml_error(map, error, "the key \"%s\" is missing", key);
    return value;
}

bool yaml_check_keys(const YamlNode *map, const char *const *allowed, GError **error)
{
    if (!yaml_is_map(map, error))
        return false;
    for (guint i = 0; i < map->keys->len; i++) {
        const YamlNode *key = map->keys->pdata[i];

        if (!g_strv_contains(allowed, key->text))
            return yaml_error(key, error, "unknown key \"%s\"", key->text);
    }
    return true;
}

static bool is_scalar(const YamlNode *node, GError **error)
{
    if (node && node->kind != YAML_IS_SCALAR)
        return yaml_error(node, error, "a single value is needed, not a %s",
                          node->kind == YAML_IS_MAP ? "map" : "list");
    return node != NULL;
}

bool yaml_text(const YamlNode *node, const char **out_text, GError **error)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};

    if (!is_scalar(node, error))
        return false;
    if (!node->quoted && g_strv_contains(nulls, node->text))
        return yaml_error(node, error, "a value is missing");
    *out_text = node->text;
    return true;
}

bool yaml_u64(const YamlNode *node, uint64_t *out_number, GError **error)
{
    guint64 number;

    if (!is_scalar(node, error))
        return false;
    if (node->quoted || !g_ascii_string_to_unsigned(node->text, 10, 0, G_MAXUINT64, &number, NULL))
        return yaml_error(node, error, "a number is needed, not \"%s\"", node->text);
    *out_number = number;
    return true;
}

bool yaml_bool(const YamlNode *node, bool *out_value, GError **error)
{
    if (!is_scalar(node, error))
        return false;
    if (node->quoted || (strcmp(node->text, "true") && strcmp(node->text, "false")))
        return yaml_error(node, error, "true or false is needed, not \"%s\"", node->text);
    *out_value = node->text[0] == 't';
    return true;
}

bool yaml_is_map(const YamlNode *node, GError **error)
{
    if (node && node->kind != YAML_IS_MAP)
        return yaml_error(node, error, "a map (key: value) is needed here");
    return node != NULL;
}

bool yaml_is_list(const YamlNode *node, GError **error)
{
    if (node && node->kind != YAML_IS_LIST)
        return yaml_error(node, error, "a list (- item) is needed here");
    return node != NULL;
}
