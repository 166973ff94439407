/* The configuration: what /etc/vmsnapfs.yaml says. Pure: the text is given, nothing is opened.
 *
 * A Config is immutable and reference-counted. It holds only what was written; what is in force is
 * looked up per VM (config_policy), where the policy in a VM's catalog comes before it and the
 * built-in defaults come after it (catalog_policy). */
#pragma once

#include "base/yaml.h"

typedef struct {
    gint references;                /* private */
    char *path;                     /* the file; "" if there is none */
    char *uri, *mountpoint, *group; /* NULL if not given */
    GHashTable *policy;             /* key → value, normal form: of every VM */
    GHashTable *vms;                /* name, or uuid in lower case → GHashTable as `policy` */
    bool expunge;                   /* rmdir of a VM's directory undefines the VM */
    GPtrArray *image_directories; /* char *: absolute; where users of layers are looked for, too */
} Config;

Config *config_new(void); /* one that says nothing */
/* Strict: unknown keys, values that are none and keys of later versions are errors with line and
 * column, behind the name of the file, @path. A text of nothing but comments says nothing. */
Config *config_parse(const char *path, const char *text, gsize length, GError **error);
Config *config_ref(const Config *config);
void config_unref(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_unref)

/* What the configuration says of that VM: its own entry (by uuid before by name) before that of
 * every VM. key → value; a reference, never NULL, immutable. */
GHashTable *config_policy(const Config *config, const char *uuid, const char *name);

/* Read a map of policy keys into @policy (key → value, both new). */
bool policy_read(const YamlNode *map, GHashTable *policy, GError **error);
