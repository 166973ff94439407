/* What is on the disk, what was done to it, and what of that is durable. */
#include "power-private.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>

PowerDisk power_disk;

/* ---- nodes ---- */

static GHashTable *entries_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

GHashTable *power_entries_copy(GHashTable *entries)
{
    GHashTable *copy = entries_new();
    GHashTableIter iter;
    gpointer name, node;

    g_hash_table_iter_init(&iter, entries);
    while (g_hash_table_iter_next(&iter, &name, &node))
        g_hash_table_insert(copy, g_strdup(name), node);
    return copy;
}

static PowerNode *node_new(bool directory, const char *path)
{
    PowerNode *node = g_new0(PowerNode, 1);

    node->directory = directory;
    node->path = g_strdup(path);
    node->data = g_bytes_new_static("", 0);
    node->durable_data = g_bytes_ref(node->data);
    if (directory) {
        node->entries = entries_new();
        node->durable_entries = entries_new();
    }
    g_ptr_array_add(power_disk.nodes, node);
    return node;
}

static void node_free(gpointer data)
{
    PowerNode *node = data;

    g_free(node->path);
    g_clear_pointer(&node->entries, g_hash_table_unref);
    g_clear_pointer(&node->durable_entries, g_hash_table_unref);
    g_clear_pointer(&node->built_entries, g_hash_table_unref);
    g_clear_pointer(&node->data, g_bytes_unref);
    g_clear_pointer(&node->durable_data, g_bytes_unref);
    g_clear_pointer(&node->built_data, g_bytes_unref);
    g_free(node);
}

void power_set_bytes(GBytes **place, GBytes *bytes)
{
    g_bytes_ref(bytes);
    g_clear_pointer(place, g_bytes_unref);
    *place = bytes;
}

/* ---- places ---- */

char *power_real_path(const char *path)
{
    size_t length = power_disk.root ? strlen(power_disk.root) : 0;

    if (length == 0 || strncmp(path, power_disk.root, length) != 0 ||
        (path[length] && path[length] != '/'))
        return g_strdup(path);
    return g_strconcat(power_disk.directory, path + length, NULL);
}

PowerPlace power_place(PowerNode *from, const char *path)
{
    size_t length = power_disk.root ? strlen(power_disk.root) : 0;
    bool below = length > 0 && strncmp(path, power_disk.root, length) == 0 &&
                 (!path[length] || path[length] == '/');
    g_auto(GStrv) parts = g_strsplit(below ? path + length : path, "/", -1);
    PowerPlace place = {.directory = below ? power_disk.top : *path == '/' ? NULL : from};

    for (guint i = 0; place.directory && parts[i]; i++) {
        if (!*parts[i] || strcmp(parts[i], ".") == 0)
            continue;
        if (place.owned)
            place.directory = g_hash_table_lookup(place.directory->entries, place.owned);
        g_free(place.owned);
        place.owned = g_strdup(parts[i]);
        if (place.directory && !place.directory->directory)
            place.directory = NULL;
    }
    place.name = place.owned;
    return place;
}

PowerNode *power_node(const PowerPlace *place)
{
    if (!place->directory || !place->name)
        return place->directory;
    return g_hash_table_lookup(place->directory->entries, place->name);
}

void power_place_clear(PowerPlace *place)
{
    g_clear_pointer(&place->owned, g_free);
}

/* ---- effects ---- */

static void effect_free(gpointer data)
{
    Effect *effect = data;

    g_free(effect->names[0]);
    g_free(effect->names[1]);
    g_clear_pointer(&effect->data, g_bytes_unref);
    g_free(effect);
}

static Effect *log_effect(EffectKind kind, PowerNode *node, const PowerPlace *from,
                          const PowerPlace *to)
{
    Effect *effect = g_new0(Effect, 1);

    effect->kind = kind;
    effect->node = node;
    if (from) {
        effect->directories[0] = from->directory;
        effect->names[0] = g_strdup(from->name);
    }
    if (to) {
        effect->directories[1] = to->directory;
        effect->names[1] = g_strdup(to->name);
    }
    effect->durable[1] = !to;
    g_ptr_array_add(power_disk.log, effect);
    return effect;
}

void power_before(void)
{
    if (power_disk.watch)
        power_disk.watch(power_disk.watch_data);
}

static void name_node(PowerNode *node, const PowerPlace *place)
{
    g_free(node->path);
    node->path = g_build_filename(place->directory->path, place->name, NULL);
}

void power_linked(const PowerPlace *place, PowerNode *node)
{
    g_hash_table_insert(place->directory->entries, g_strdup(place->name), node);
    name_node(node, place);
    log_effect(EFFECT_LINK, node, place, NULL);
}

PowerNode *power_made(const PowerPlace *place, bool directory)
{
    PowerNode *node = node_new(directory, "");

    power_linked(place, node);
    return node;
}

void power_written(PowerNode *node, GBytes *content)
{
    g_bytes_unref(node->data);
    node->data = content;
    log_effect(EFFECT_WRITE, node, NULL, NULL)->data = g_bytes_ref(content);
}

void power_unlinked(const PowerPlace *place)
{
    log_effect(EFFECT_UNLINK, power_node(place), place, NULL);
    g_hash_table_remove(place->directory->entries, place->name);
}

void power_moved(const PowerPlace *from, const PowerPlace *to, bool exchange)
{
    PowerNode *node = power_node(from), *other = exchange ? power_node(to) : NULL;

    log_effect(exchange ? EFFECT_EXCHANGE : EFFECT_MOVE, node, from, to)->other = other;
    g_hash_table_remove(from->directory->entries, from->name);
    if (other)
        g_hash_table_insert(from->directory->entries, g_strdup(from->name), other);
    g_hash_table_insert(to->directory->entries, g_strdup(to->name), node);
    name_node(node, to);
}

void power_synced(PowerNode *node)
{
    if (power_disk.ignored && power_disk.ignored(node->path, node->directory)) {
        power_disk.ignored_count++;
        return;
    }
    for (guint i = 0; i < power_disk.log->len; i++) {
        Effect *effect = power_disk.log->pdata[i];

        for (unsigned j = 0; j < 2; j++)
            if (effect->kind == EFFECT_WRITE ? effect->node == node
                                             : effect->directories[j] == node)
                effect->durable[j] = true;
    }
}

/* ---- on the real disk ---- */

static void store_node(const PowerNode *node, const char *path)
{
    if (!node->directory) {
        g_autoptr(GError) error = NULL;
        gsize length;
        const char *data = g_bytes_get_data(node->built_data, &length);
        FILE *file = fopen(path, "wx");

        g_assert_nonnull(file);
        g_assert_cmpuint(fwrite(data ? data : "", 1, length, file), ==, length);
        g_assert_cmpint(fclose(file), ==, 0);
        return;
    }
    GHashTableIter iter;
    gpointer name, entry;

    g_assert_cmpint(power_real_mkdir(path), ==, 0);
    g_hash_table_iter_init(&iter, node->built_entries);
    while (g_hash_table_iter_next(&iter, &name, &entry)) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        store_node(entry, child);
    }
}

static void go_to(const char *name)
{
    g_free(power_disk.directory);
    power_disk.directory = g_build_filename(power_disk.scratch, name, NULL);
    store_node(power_disk.top, power_disk.directory);
    power_calls_reset();
}

void power_settle(void)
{
    g_ptr_array_set_size(power_disk.log, 0);
    g_hash_table_remove_all(power_disk.given);
    for (guint i = 0; i < power_disk.nodes->len; i++) {
        PowerNode *node = power_disk.nodes->pdata[i];

        power_set_bytes(&node->durable_data, node->data);
        g_clear_pointer(&node->durable_entries, g_hash_table_unref);
        if (node->directory)
            node->durable_entries = power_entries_copy(node->entries);
    }
}

void power_lose(const PowerState *state, const char *name)
{
    power_build(state);
    for (guint i = 0; i < power_disk.nodes->len; i++) {
        PowerNode *node = power_disk.nodes->pdata[i];

        power_set_bytes(&node->data, node->built_data);
        g_clear_pointer(&node->entries, g_hash_table_unref);
        if (node->directory)
            node->entries = power_entries_copy(node->built_entries);
    }
    go_to(name);
    power_settle();
}

void power_kill(const char *name)
{
    for (guint i = 0; i < power_disk.nodes->len; i++) {
        PowerNode *node = power_disk.nodes->pdata[i];

        g_clear_pointer(&node->built_entries, g_hash_table_unref);
        if (node->directory)
            node->built_entries = power_entries_copy(node->entries);
        power_set_bytes(&node->built_data, node->data);
    }
    go_to(name);
}

void power_begin(const char *root, const char *scratch)
{
    g_autofree char *template = g_build_filename(scratch, "vmsnapfs-power-XXXXXX", NULL);

    power_disk.scratch = g_strdup(g_mkdtemp(template));
    g_assert_nonnull(power_disk.scratch);
    power_disk.root = g_strdup(root);
    power_disk.nodes = g_ptr_array_new_with_free_func(node_free);
    power_disk.log = g_ptr_array_new_with_free_func(effect_free);
    power_disk.given = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    power_disk.top = node_new(true, "");
    power_kill("first");
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    return remove(path);
}

void power_remove(const char *name)
{
    g_autofree char *path = g_build_filename(power_disk.scratch, name, NULL);

    g_assert_cmpint(nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS), ==, 0);
}

void power_end(void)
{
    power_remove("");
    g_clear_pointer(&power_disk.root, g_free);
    g_clear_pointer(&power_disk.scratch, g_free);
    g_clear_pointer(&power_disk.directory, g_free);
    g_clear_pointer(&power_disk.nodes, g_ptr_array_unref);
    g_clear_pointer(&power_disk.log, g_ptr_array_unref);
    g_clear_pointer(&power_disk.given, g_hash_table_unref);
    power_disk.watch = NULL;
    power_disk.ignored = NULL;
    power_calls_reset();
}

void power_watch(PowerWatch watch, void *data)
{
    power_disk.watch = watch;
    power_disk.watch_data = data;
}

void power_ignore(PowerIgnored ignored)
{
    power_disk.ignored = ignored;
    power_disk.ignored_count = 0;
}

unsigned power_ignored(void)
{
    return power_disk.ignored_count;
}

void power_other_effect(void)
{
    g_hash_table_remove_all(power_disk.given);
    power_before();
    g_hash_table_remove_all(power_disk.given);
}

/* ---- what others wrote, and what we did not see ---- */

static GBytes *content_of(const PowerNode *node)
{
    g_autofree char *path = g_build_filename(power_disk.directory, node->path, NULL);
    char *content = NULL;
    gsize length = 0;

    return g_file_get_contents(path, &content, &length, NULL) ? g_bytes_new_take(content, length)
                                                              : NULL;
}

static void rescan_below(PowerNode *directory)
{
    GHashTableIter iter;
    gpointer entry;

    g_hash_table_iter_init(&iter, directory->entries);
    while (g_hash_table_iter_next(&iter, NULL, &entry)) {
        PowerNode *node = entry;

        if (node->directory) {
            rescan_below(node);
            continue;
        }
        GBytes *content = content_of(node);
        if (content && !g_bytes_equal(content, node->data))
            power_written(node, content);
        else
            g_clear_pointer(&content, g_bytes_unref);
    }
}

void power_rescan(void)
{
    rescan_below(power_disk.top);
}

static char *compare(const PowerNode *node, const char *path)
{
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    const char *name;
    char *why = NULL;
    guint found = 0;

    if (!directory)
        return g_strdup_printf("%s is not there", path);
    for (; !why && (name = g_dir_read_name(directory)); found++) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        const PowerNode *known = g_hash_table_lookup(node->entries, name);
        g_autofree char *content = NULL;
        gsize length = 0;

        if (!known)
            return g_strdup_printf("%s was made by a call that is not seen", child);
        if (known->directory)
            why = compare(known, child);
        else if (!g_file_get_contents(child, &content, &length, NULL) ||
                 length != g_bytes_get_size(known->data) ||
                 (length > 0 && memcmp(content, g_bytes_get_data(known->data, NULL), length) != 0))
            why = g_strdup_printf("%s was written by a call that is not seen", child);
    }
    if (!why && found != g_hash_table_size(node->entries))
        why = g_strdup_printf("something in %s went by a call that is not seen", path);
    return why;
}

char *power_blind_spot(void)
{
    return compare(power_disk.top, power_disk.directory);
}
