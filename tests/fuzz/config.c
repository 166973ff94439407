/* The configuration: what is taken is a policy in normal form, and paths are absolute. */
#include "fuzz.h"
#include "model/catalog.h"
#include "model/config.h"

#include <string.h>

static void check_policy(GHashTable *policy)
{
    GHashTableIter iter;
    void *key, *value;

    g_hash_table_iter_init(&iter, policy);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        g_autofree char *normal = catalog_policy_check(key, value, NULL);

        fuzz_check(normal && !strcmp(normal, value), "policy %s is \"%s\"", (char *)key,
                   (char *)value);
    }
}

static void check(const Config *config)
{
    GHashTableIter iter;
    void *name;

    fuzz_check(!config->mountpoint || config->mountpoint[0] == '/', "the mountpoint is relative");
    fuzz_check(!config->uri || *config->uri, "the uri is empty");
    fuzz_check(!config->group || *config->group, "the group is empty");
    for (guint i = 0; i < config->image_directories->len; i++)
        fuzz_check(*(char *)config->image_directories->pdata[i] == '/', "a directory is relative");
    check_policy(config->policy);
    g_hash_table_iter_init(&iter, config->vms);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        GHashTable *policy = config_policy(config, "11111111-1111-4111-8111-111111111111", name);

        check_policy(policy);
        g_hash_table_unref(policy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Config) config = config_parse("/etc/vmsnapfs.yaml", (const char *)data, size, &error);

    if (config) {
        check(config);
    } else {
        fuzz_error(error);
        fuzz_check(g_str_has_prefix(error->message, "/etc/vmsnapfs.yaml, line "), "no place: %s",
                   error->message);
    }
    return 0;
}
