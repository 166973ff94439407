#include "fs/errmap.h"

#include <errno.h>

static const int errnos[] = {
    [ERR_EXISTS] = EEXIST,     [ERR_NOT_FOUND] = ENOENT, [ERR_NAME_TOO_LONG] = ENAMETOOLONG,
    [ERR_INVALID] = EINVAL,    [ERR_FORBIDDEN] = EPERM,  [ERR_ACCESS] = EACCES,
    [ERR_READ_ONLY] = EROFS,   [ERR_BUSY] = EBUSY,       [ERR_QUOTA] = EDQUOT,
    [ERR_DEPTH] = EMLINK,      [ERR_NO_SPACE] = ENOSPC,  [ERR_UNSUPPORTED] = EOPNOTSUPP,
    [ERR_TIMEOUT] = ETIMEDOUT, [ERR_DRIFT] = EUCLEAN,    [ERR_HOST_DOWN] = EHOSTDOWN,
    [ERR_INTERRUPTED] = EINTR, [ERR_IO] = EIO,
};

int errmap_errno(const GError *error)
{
    unsigned code = (unsigned)error_code(error);

    return code < G_N_ELEMENTS(errnos) ? errnos[code] : EIO;
}

int errmap_rename_errno(const GError *error)
{
    return error_is(error, ERR_INVALID) ? EPERM : errmap_errno(error);
}
