/* The one error domain.
 *
 * Every function that can fail takes a GError ** last and sets one of these codes with a whole
 * sentence: what failed, on which object, why, and what to do. The codes are the outcomes of
 * design 2.2; fs/errmap.c alone turns them into errno. The sentence is set where the failure is
 * understood and only prefixed on the way up. */
#pragma once

#include <glib.h>

typedef enum {
    ERR_EXISTS,        /* EEXIST */
    ERR_NOT_FOUND,     /* ENOENT */
    ERR_NAME_TOO_LONG, /* ENAMETOOLONG */
    ERR_INVALID,       /* EINVAL: not a legal name or value, malformed input */
    ERR_FORBIDDEN,     /* EPERM: never possible here */
    ERR_ACCESS,        /* EACCES */
    ERR_READ_ONLY,     /* EROFS */
    ERR_BUSY,          /* EBUSY */
    ERR_QUOTA,         /* EDQUOT: policy max_snapshots */
    ERR_DEPTH,         /* EMLINK: chain too deep */
    ERR_NO_SPACE,      /* ENOSPC */
    ERR_UNSUPPORTED,   /* EOPNOTSUPP */
    ERR_TIMEOUT,       /* ETIMEDOUT */
    ERR_DRIFT,         /* EUCLEAN: libvirt has another chain than the catalog */
    ERR_HOST_DOWN,     /* EHOSTDOWN: libvirt cannot be reached */
    ERR_INTERRUPTED,   /* EINTR: cancelled before the point of no return */
    ERR_IO,            /* EIO: libvirt, QEMU or the storage failed */
} ErrorCode;

#define VMSNAPFS_ERROR (vmsnapfs_error_quark())
GQuark vmsnapfs_error_quark(void);

/* True if @error is of our domain and has @code. */
gboolean error_is(const GError *error, ErrorCode code);

/* The code of @error; ERR_IO for a foreign domain. */
ErrorCode error_code(const GError *error);

/* @text as one line of UTF-8 that no terminal obeys: control characters, and bytes that are not
 * UTF-8, become octal escapes. New string. */
char *error_line(const char *text);
/* Set @error to the formatted sentence, as such a line, whatever was quoted in it. */
void error_set(GError **error, ErrorCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Set @error from errno value @err, with the code that fits (ENOSPC and EDQUOT → ERR_NO_SPACE,
 * ENOENT → ERR_NOT_FOUND, EROFS → ERR_READ_ONLY, EACCES and EPERM → ERR_ACCESS, EEXIST →
 * ERR_EXISTS, EAGAIN and EBUSY → ERR_BUSY, else ERR_IO). The sentence is the formatted text, ": "
 * and strerror. */
void error_set_errno(GError **error, int err, const char *format, ...) G_GNUC_PRINTF(3, 4);
