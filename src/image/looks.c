#include "image/looks.h"

#include <errno.h>
#include <glib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LABEL_MAX 4096

/* The security label, and the access list: with one, the group bits of the mode are the mask, and
 * copying the mode alone would open the file wider. */
static bool copy_attributes(int from, int to)
{
    static const char *const names[] = {"security.selinux", "system.posix_acl_access"};
    char value[LABEL_MAX];

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        ssize_t length = fgetxattr(from, names[i], value, sizeof(value));

        if (length < 0 && (errno == ENODATA || errno == EOPNOTSUPP))
            continue;
        if (length < 0 || fsetxattr(to, names[i], value, (size_t)length, 0) < 0)
            return false;
    }
    return true;
}

/* The mode once more at the end, where there is a mask: an access list brings its own. */
bool looks_copy(int from, int to, mode_t mask)
{
    struct stat status;

    return fstat(from, &status) == 0 && fchown(to, status.st_uid, status.st_gid) == 0 &&
           fchmod(to, status.st_mode & mask) == 0 && copy_attributes(from, to) &&
           (mask == 0777 || fchmod(to, status.st_mode & mask) == 0);
}
