/* What LeakSanitizer has to know of libvirt: linked into the daemon's ASan build, before the
 * library.
 *
 * libvirtd closes the socket when it has answered that a connection is closed. If the thread of
 * libvirt's event loop sees that in the middle of virConnectClose, libvirt 9.0 notes an error in a
 * connection whose errors have been freed already, and it is lost with it. Where that is taken from
 * cannot be seen in a report, since GLib keeps no frame pointers. */
#include <dlfcn.h>
#include <libvirt/virterror.h>
#include <sanitizer/lsan_interface.h>
#include <stdlib.h>
#include <string.h>

static int is_libvirt(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && strstr(info.dli_fname, "/libvirt.so");
}

virErrorPtr virSaveLastError(void)
{
    virErrorPtr (*save)(void);
    virErrorPtr error;

    *(void **)&save = dlsym(RTLD_NEXT, "virSaveLastError");
    if (!save)
        abort();
    error = save();
    if (error && is_libvirt(__builtin_return_address(0)))
        __lsan_ignore_object(error);
    return error;
}
