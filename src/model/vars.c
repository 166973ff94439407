#include "model/vars.h"

#include <string.h>

/* EFI_FIRMWARE_VOLUME_HEADER.Signature */
#define SIGNATURE        "_FVH"
#define SIGNATURE_OFFSET 40
#define NAME_LIMIT       200

StateFile *state_file_new(const char *name, GBytes *content)
{
    StateFile *file = g_new0(StateFile, 1);

    file->name = g_strdup(name);
    file->content = g_bytes_ref(content);
    return file;
}

void state_file_free(StateFile *file)
{
    if (!file)
        return;
    g_free(file->name);
    g_bytes_unref(file->content);
    g_free(file);
}

GPtrArray *state_files_new(void)
{
    return g_ptr_array_new_with_free_func((GDestroyNotify)state_file_free);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp((*(StateFile *const *)a)->name, (*(StateFile *const *)b)->name);
}

void state_files_sort(GPtrArray *files)
{
    g_ptr_array_sort(files, compare_names);
}

uint64_t state_files_size(const GPtrArray *files)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < files->len; i++)
        size += g_bytes_get_size(((const StateFile *)files->pdata[i])->content);
    return size;
}

bool state_name_is_legal(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > NAME_LIMIT || !strcmp(name, ".") || !strcmp(name, "..") ||
        !strcmp(name, ".lock"))
        return false;
    for (size_t i = 0; i < length; i++)
        if (!g_ascii_isgraph(name[i]) || name[i] == '/')
            return false;
    return true;
}

char *state_digest(GBytes *content)
{
    return g_compute_checksum_for_bytes(G_CHECKSUM_SHA256, content);
}

/* Each file by its own digest, so that no name can pretend to be content. */
char *state_files_digest(const GPtrArray *files)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (unsigned i = 0; i < files->len; i++) {
        const StateFile *file = files->pdata[i];
        g_autofree char *digest = state_digest(file->content);

        g_string_append_printf(text, "%s  %s\n", digest, file->name);
    }
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text->str, (gssize)text->len);
}

const char *vars_state_name(VarsState state)
{
    static const char *const names[N_VARS_STATE] = {
        [VARS_NONE] = "none",   [VARS_READY] = "ready",     [VARS_MISSING] = "missing",
        [VARS_EMPTY] = "empty", [VARS_BADSIZE] = "badsize", [VARS_UNUSED] = "unused",
    };

    return names[state];
}

static bool is_blank(const unsigned char *content, gsize length)
{
    if (length > 0 && content[0] != 0 && content[0] != 0xff)
        return false;
    return length < 2 || memcmp(content, content + 1, length - 1) == 0;
}

bool vars_is_store(const void *content, gsize length)
{
    return is_blank(content, length) ||
           vars_judge(length, content, MIN(length, VARS_HEAD), 0) == VARS_READY;
}

VarsState vars_judge(uint64_t size, const void *head, gsize head_length, uint64_t template_size)
{
    const gsize end = SIGNATURE_OFFSET + strlen(SIGNATURE);

    if (size < end || head_length < end ||
        memcmp((const char *)head + SIGNATURE_OFFSET, SIGNATURE, strlen(SIGNATURE)) != 0)
        return VARS_EMPTY;
    return template_size > 0 && size != template_size ? VARS_BADSIZE : VARS_READY;
}
