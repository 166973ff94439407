#include "fuzz.h"
#include "kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int kernel_ask(uint32_t opcode, uint64_t node, const void *argument, size_t size, const char *first,
               const char *second)
{
    KernelPart parts[3];
    unsigned count = 0;

    if (argument)
        parts[count++] = (KernelPart){argument, size};
    if (first)
        parts[count++] = (KernelPart){first, strlen(first) + 1};
    if (second)
        parts[count++] = (KernelPart){second, strlen(second) + 1};
    return kernel_call(opcode, node, parts, count, NULL, 0, NULL);
}

uint64_t kernel_open(uint32_t opcode, uint64_t node, uint32_t flags, int *out_error)
{
    struct fuse_open_in in = {.flags = flags};
    const KernelPart part = {&in, sizeof(in)};
    struct fuse_open_out out;

    *out_error = kernel_call(opcode, node, &part, 1, &out, sizeof(out), NULL);
    return out.fh;
}

void kernel_release(uint32_t opcode, uint64_t node, uint64_t handle)
{
    struct fuse_release_in in = {.fh = handle};

    fuzz_check(kernel_ask(opcode, node, &in, sizeof(in), NULL, NULL) == 0, "it cannot be closed");
}

/* All of it; NULL with an errno. */
static GByteArray *read_all(uint32_t opcode, uint64_t node, uint64_t handle, int *out_error)
{
    GByteArray *all = g_byte_array_new();
    char bytes[4096];
    size_t got = 0;

    for (unsigned i = 0; i < 64; i++) {
        struct fuse_read_in in = {
            .fh = handle, .offset = all->len, .size = sizeof(bytes), .flags = O_NONBLOCK};
        const KernelPart part = {&in, sizeof(in)};

        *out_error = kernel_call(opcode, node, &part, 1, bytes, sizeof(bytes), &got);
        fuzz_check(got <= sizeof(bytes), "more than was asked for");
        if (*out_error || got == 0)
            break;
        g_byte_array_append(all, (const uint8_t *)bytes, (guint)got);
    }
    return all;
}

char *kernel_read_text(uint64_t node, int *out_error)
{
    uint64_t handle = kernel_open(FUSE_OPEN, node, O_RDONLY | O_NONBLOCK, out_error);
    GByteArray *all;

    if (*out_error)
        return NULL;
    all = read_all(FUSE_READ, node, handle, out_error);
    kernel_release(FUSE_RELEASE, node, handle);
    g_byte_array_append(all, (const uint8_t *)"", 1);
    return (char *)g_byte_array_free(all, FALSE);
}

GPtrArray *kernel_list(uint64_t node, int *out_error)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    uint64_t handle = kernel_open(FUSE_OPENDIR, node, O_RDONLY | O_DIRECTORY, out_error);
    struct fuse_read_in in = {.fh = handle, .size = 4096};
    char bytes[4096];
    size_t got = 0;

    if (*out_error)
        return names;
    do {
        const KernelPart part = {&in, sizeof(in)};
        *out_error = kernel_call(FUSE_READDIR, node, &part, 1, bytes, sizeof(bytes), &got);
        for (size_t at = 0; !*out_error && at < got;) {
            const struct fuse_dirent *entry = (const void *)(bytes + at);

            g_ptr_array_add(names, g_strndup(entry->name, entry->namelen));
            in.offset = entry->off;
            at += FUSE_DIRENT_SIZE(entry);
        }
    } while (!*out_error && got > 0 && names->len < 4096);
    kernel_release(FUSE_RELEASEDIR, node, handle);
    return names;
}
