#include "fs/covered.h"

#include <stdlib.h>

/* A file that is not there is where its definition says. */
static bool is_below(const char *path, const char *directory)
{
    char *found = realpath(path, NULL);
    const char *real = found ? found : path;
    size_t length = strlen(directory);
    bool below = g_str_has_prefix(real, directory) &&
                 (real[length] == '/' || real[length] == '\0' || directory[length - 1] == '/');

    free(found);
    return below;
}

/* Borrowed, NULL: none. */
static const char *covered_image(const VmView *vm, const char *directory)
{
    for (guint i = 0; i < vm->disks->len; i++) {
        const DiskView *disk = vm->disks->pdata[i];

        if (is_below(disk->source, directory))
            return disk->source;
        for (guint j = 0; j < disk->chain->len; j++)
            if (is_below(disk->chain->pdata[j], directory))
                return disk->chain->pdata[j];
    }
    return NULL;
}

static const char *covered_file(const VmView *vm, const char *directory)
{
    const char *others[] = {vm->home, vm->nvram->path, vm->vtpm->path};

    for (guint i = 0; i < G_N_ELEMENTS(others); i++)
        if (is_below(others[i], directory))
            return others[i];
    return covered_image(vm, directory);
}

bool covered_check(const HostView *view, const char *mountpoint, GError **error)
{
    for (guint i = 0; i < view->vms->len; i++) {
        const VmView *vm = view->vms->pdata[i];
        const char *path = covered_file(vm, mountpoint);

        if (!path)
            continue;
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "cannot mount on \"%s\": that would hide \"%s\", which VM %s needs; take an "
                    "empty directory of its own",
                    mountpoint, path, vm->name);
        return false;
    }
    return true;
}
