/* libvirt syncs the file of a definition and renames it, and does not sync the directory (9.0):
 * after a power loss the old definition may be back. By then its files may be merged and unlinked,
 * or a snapshot's own, to which the VM would write. So whoever changed definitions syncs the
 * directory as well. */
#include "hv/libvirt-private.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SYSTEM_DEFINITIONS "/etc/libvirt/qemu"

/* Where libvirt keeps them unless it was built or started otherwise. */
static char *definitions_directory(const char *uri)
{
    g_autofree char *root = libvirt_root(uri);

    if (root)
        return g_build_filename(root, "etc", "qemu", NULL);
    if (uri && strstr(uri, ":///session"))
        return g_build_filename(g_get_user_config_dir(), "libvirt", "qemu", NULL);
    return g_strdup(SYSTEM_DEFINITIONS);
}

/* That it is elsewhere, or not ours to open, is no reason to fail what is done already. */
bool libvirt_sync_definitions(LibvirtCall *call, GError **error)
{
    g_autofree char *path = definitions_directory(call->hv->uri);
    g_auto(Descriptor) fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && (errno == ENOENT || errno == EACCES))
        return true;
    if (fd >= 0 && fsync(fd) == 0)
        return true;
    error_set_errno(error, errno, "Cannot make the definition of domain %s durable in %s",
                    call->name, path);
    return false;
}
