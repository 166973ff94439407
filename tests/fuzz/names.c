/* Names and escapes: nothing that is taken for a name leaves its directory, and every escape comes
 * back. */
#include "fuzz.h"
#include "model/names.h"
#include "model/vars.h"

#include <string.h>

#define ID "abcdefghi9"

static void check_escapes(const char *text)
{
    g_autofree char *all = text_escape(text), *bytes = text_escape_bytes(text);
    g_autofree char *of_all = text_unescape(all), *of_bytes = text_unescape(bytes);
    g_autofree char *raw = text_unescape(text);

    if (*text)
        fuzz_sentence(all);
    fuzz_check(!strchr(all, ' '), "a space is left in %s", all);
    fuzz_check(g_utf8_validate(bytes, -1, NULL), "it is not UTF-8: %s", bytes);
    fuzz_check(!g_strcmp0(of_all, text), "it came back as another: %s", all);
    fuzz_check(!g_strcmp0(of_bytes, text), "it came back as another: %s", bytes);
    if (raw) {
        g_autofree char *again = text_escape(raw), *same = text_unescape(again);

        fuzz_check(!g_strcmp0(raw, same), "it came back as another: %s", again);
    }
}

static void check_name(const char *name)
{
    g_autoptr(GError) error = NULL, vm_error = NULL;
    bool vm = vm_name_check(name, &vm_error);

    if (!vm)
        fuzz_error(vm_error);
    if (!name_check(name, &error)) {
        fuzz_error(error);
        fuzz_check(!vm, "a VM may be called what a snapshot may not");
        return;
    }
    fuzz_sentence(name);
    fuzz_check(strlen(name) <= NAME_MAX_BYTES, "a name is too long");
    fuzz_check(!strchr(name, '/') && name[0] != '.' && name[0] != '-', "it is no name: %s", name);
}

static void check_beside(const char *covered, const char *path, const char *extension)
{
    const char *slash = strrchr(covered, '/'), *base = strrchr(path, '/');
    size_t directory = slash ? (size_t)(slash - covered) + 1 : 0;

    fuzz_check(!strncmp(path, covered, directory), "it is in another directory: %s", path);
    fuzz_check(!strchr(path + directory, '/'), "it is in a directory below: %s", path);
    fuzz_check(strlen(base ? base + 1 : path) <= 255, "it is too long: %s", path);
    fuzz_check(g_str_has_suffix(path, extension), "it has no %s: %s", extension, path);
    fuzz_check(!g_utf8_validate(covered, -1, NULL) || g_utf8_validate(path, -1, NULL),
               "it was UTF-8: %s", path);
}

static void check_paths(const char *covered)
{
    g_autofree char *overlay = names_overlay_path(covered, ID);
    g_autofree char *store = names_store_path(covered, ID);
    g_autofree char *id = names_overlay_id(overlay), *other = names_overlay_id(covered);
    g_autofree char *again = names_overlay_path(overlay, "zyxwvutsr0");

    check_beside(covered, overlay, "." ID ".qcow2");
    check_beside(covered, store, "." ID ".fd");
    check_beside(covered, again, ".zyxwvutsr0.qcow2");
    fuzz_check(!g_strcmp0(id, ID), "%s is not seen to be an overlay", overlay);
    fuzz_check(!other || names_is_id(other), "an id that is none: %s", other);
}

static void check_untaken(const char *name)
{
    g_autoptr(GHashTable) taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    if (!name_check(name, NULL))
        return;
    for (unsigned i = 0; i < 12; i++) {
        char *untaken = names_untaken(name, taken);

        fuzz_check(name_check(untaken, NULL), "it is no name: %s", untaken);
        fuzz_check(g_hash_table_add(taken, untaken), "it is taken: %s", untaken);
    }
}

static void check_size(const char *text)
{
    g_autoptr(GError) error = NULL;
    uint64_t bytes = 0;

    if (!size_parse(text, &bytes, &error)) {
        fuzz_error(error);
        return;
    }
    g_autofree char *shown = size_format(bytes);
    fuzz_check(bytes <= INT64_MAX, "an impossible size");
    fuzz_sentence(shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = fuzz_text(data, size);

    check_escapes(text);
    check_name(text);
    check_paths(text);
    check_untaken(text);
    check_size(text);
    if (state_name_is_legal(text))
        fuzz_check(!strchr(text, '/') && strcmp(text, "..") && strcmp(text, "."),
                   "a file of a vTPM leaves its directory: %s", text);
    return 0;
}
