/* What the host's firmware descriptors say (QEMU's docs/interop/firmware.json): files of one JSON
 * object each, in several directories, of which a later one hides those of the same name before it,
 * and an empty one hides without putting anything in its place. libvirt chooses by the same. */
#include "hv/libvirt-private.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* bytes; real ones have less than one KiB, and no nesting that fits in here is too deep for a
 * parser */
#define DESCRIPTOR_MAX (16 * 1024)

static const char *const directories[] = {"/usr/share/qemu/firmware", "/etc/qemu/firmware"};

/* Name → path of what is in force. */
static GTree *find_descriptors(void)
{
    GTree *found = g_tree_new_full((GCompareDataFunc)(void (*)(void))strcmp, NULL, g_free, g_free);

    for (unsigned i = 0; i < G_N_ELEMENTS(directories); i++) {
        g_autoptr(GDir) directory = g_dir_open(directories[i], 0, NULL);
        const char *name;

        while (directory && (name = g_dir_read_name(directory)))
            if (g_str_has_suffix(name, ".json"))
                g_tree_replace(found, g_strdup(name), g_build_filename(directories[i], name, NULL));
    }
    return found;
}

static JsonObject *object_of(JsonObject *parent, const char *key)
{
    JsonNode *node = parent ? json_object_get_member(parent, key) : NULL;

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static const char *filename_of(JsonObject *mapping, const char *key)
{
    JsonObject *file = object_of(mapping, key);

    return file ? json_object_get_string_member_with_default(file, "filename", NULL) : NULL;
}

static bool lists(JsonObject *root, const char *key, const char *word)
{
    JsonNode *node = json_object_get_member(root, key);
    JsonArray *array = node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node) : NULL;

    for (guint i = 0; array && i < json_array_get_length(array); i++) {
        JsonNode *each = json_array_get_element(array, i);

        if (JSON_NODE_HOLDS_VALUE(each) && !g_strcmp0(json_node_get_string(each), word))
            return true;
    }
    return false;
}

static void add_build(Capabilities *capabilities, JsonObject *root)
{
    JsonObject *mapping = object_of(root, "mapping");
    const char *loader = filename_of(mapping, "executable");
    const char *template = filename_of(mapping, "nvram-template");

    if (loader && template && lists(root, "interface-types", "uefi") &&
        g_file_test(loader, G_FILE_TEST_EXISTS) && g_file_test(template, G_FILE_TEST_EXISTS))
        capabilities_add_firmware(capabilities, loader, template,
                                  lists(root, "features", "secure-boot"),
                                  lists(root, "features", "enrolled-keys"));
}

/* One that is no descriptor is none, as for libvirt. */
static gboolean read_descriptor(void *name, void *path, void *data)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autofree char *text = NULL;
    gsize length = 0;
    JsonNode *root;

    if (!g_file_get_contents(path, &text, &length, NULL) || length == 0 ||
        length > DESCRIPTOR_MAX || !json_parser_load_from_data(parser, text, (gssize)length, NULL))
        return FALSE;
    root = json_parser_get_root(parser);
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        add_build(data, json_node_get_object(root));
    return FALSE;
}

void libvirt_firmware_read(Capabilities *capabilities)
{
    GTree *descriptors = find_descriptors();

    g_tree_foreach(descriptors, read_descriptor, capabilities);
    g_tree_unref(descriptors);
}
