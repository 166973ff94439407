#include "fs/space.h"

#include "base/walk.h"
#include "model/names.h"

#include <string.h>
#include <sys/statvfs.h>

struct Space {
    Face *face;
    GThreadPool *pool; /* one thread */
};

/* Asked of our own tree, this would ask again. */
static bool ask(const char *directory, struct statvfs *out)
{
    return !walk_is_own(directory) && statvfs(directory, out) == 0;
}

static bool look(const VmView *vm, struct statvfs *out)
{
    if (vm->home[0] && ask(vm->home, out))
        return true;
    for (guint i = 0; i < vm->disks->len; i++) {
        const DiskView *disk = g_ptr_array_index(vm->disks, i);
        g_autofree char *directory = g_path_get_dirname(disk->source);
        if (disk->included && ask(directory, out))
            return true;
    }
    return false;
}

static void answer(void *req, void *data)
{
    Space *space = data;
    g_autoptr(HostView) host = engine_view(space->face->engine);
    struct statvfs found = {.f_bsize = 4096, .f_frsize = 4096};

    for (guint i = 0; i < host->vms->len; i++)
        if (look(g_ptr_array_index(host->vms, i), &found))
            break;
    found.f_namemax = NAME_MAX_BYTES;
    fuse_reply_statfs(req, &found);
}

Space *space_new(Face *face)
{
    Space *space = g_new0(Space, 1);

    space->face = face;
    space->pool = g_thread_pool_new(answer, space, 1, FALSE, NULL);
    return space;
}

void space_free(Space *space)
{
    g_thread_pool_free(space->pool, FALSE, TRUE);
    g_free(space);
}

void space_answer(Space *space, fuse_req_t req)
{
    g_thread_pool_push(space->pool, req, NULL);
}
