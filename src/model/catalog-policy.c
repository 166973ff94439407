/* Policy of one VM: what keys there are, their defaults, and what values they take. */
#include "model/catalog.h"

#include "base/error.h"
#include "model/names.h"
#include <string.h>

typedef enum { POLICY_WORD, POLICY_NUMBER, POLICY_SIZE } PolicyType;

typedef struct {
    const char *key, *value; /* value: the default */
    PolicyType type;
    uint64_t minimum, maximum; /* of a number */
    const char *unit;          /* of a number, for the error text */
} PolicyKey;

/* libvirt gives up above a chain of 200. */
static const PolicyKey policies[] = {
    {"quiesce", "try", POLICY_WORD, 0, 0, NULL},
    {"quiesce_timeout", "10", POLICY_NUMBER, 1, 300, "seconds"},
    {"merge_timeout", "0", POLICY_NUMBER, 0, 31536000, "seconds"},
    {"bandwidth", "0", POLICY_SIZE, 0, 0, NULL},
    {"max_snapshots", "0", POLICY_NUMBER, 0, 100000, "snapshots"},
    {"max_depth", "100", POLICY_NUMBER, 0, 200, "layers"},
    {"start", "0", POLICY_NUMBER, 0, 1, "starts after a revert"},
};

static const PolicyKey *find(const char *key)
{
    for (unsigned i = 0; key && i < G_N_ELEMENTS(policies); i++)
        if (!strcmp(policies[i].key, key))
            return &policies[i];
    return NULL;
}

const char *const *catalog_policy_keys(void)
{
    static const char *const keys[] = {
        "quiesce",       "quiesce_timeout", "merge_timeout", "bandwidth",
        "max_snapshots", "max_depth",       "start",         NULL};

    G_STATIC_ASSERT(G_N_ELEMENTS(keys) == G_N_ELEMENTS(policies) + 1);
    return keys;
}

const char *catalog_policy_default(const char *key)
{
    const PolicyKey *policy = find(key);

    return policy ? policy->value : NULL;
}

const char *catalog_policy(const Catalog *catalog, const char *key)
{
    const PolicyKey *policy = find(key);
    const char *value = policy ? g_hash_table_lookup(catalog->policy, key) : NULL;

    if (policy && !value && catalog->defaults)
        value = g_hash_table_lookup(catalog->defaults, key);
    return value || !policy ? value : policy->value;
}

bool catalog_policy_drops(const char *value)
{
    return !value[0] || !strcmp(value, POLICY_DEFAULT);
}

static char *check_word(const PolicyKey *policy, const char *value, GError **error)
{
    static const char *const words[] = {"off", "try", "require", NULL};

    if (g_strv_contains(words, value))
        return g_strdup(value);
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                "policy %s takes the words off, try and require, nothing else", policy->key);
    return NULL;
}

static char *check_number(const PolicyKey *policy, const char *value, GError **error)
{
    guint64 number;

    if (g_ascii_string_to_unsigned(value, 10, policy->minimum, policy->maximum, &number, NULL))
        return g_strdup_printf("%" G_GUINT64_FORMAT, number);
    g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                "policy %s takes a whole number of %s from %" G_GUINT64_FORMAT
                " to %" G_GUINT64_FORMAT,
                policy->key, policy->unit, policy->minimum, policy->maximum);
    return NULL;
}

static char *check_size(const PolicyKey *policy, const char *value, GError **error)
{
    uint64_t bytes;

    if (size_parse(value, &bytes, error))
        return g_strdup_printf("%" G_GUINT64_FORMAT, bytes);
    g_prefix_error(error, "policy %s: ", policy->key);
    return NULL;
}

char *catalog_policy_check(const char *key, const char *value, GError **error)
{
    const PolicyKey *policy = find(key);

    if (!policy) {
        g_autofree char *shown = text_escape(key);

        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID, "there is no policy \"%s\"", shown);
        return NULL;
    }
    switch (policy->type) {
    case POLICY_WORD:
        return check_word(policy, value, error);
    case POLICY_NUMBER:
        return check_number(policy, value, error);
    case POLICY_SIZE:
        return check_size(policy, value, error);
    }
    return NULL;
}
