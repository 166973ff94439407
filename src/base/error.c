#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>

/* Not by G_DEFINE_QUARK, whose variable is read and written by all threads without an order. */
GQuark vmsnapfs_error_quark(void)
{
    static gsize quark;

    if (g_once_init_enter(&quark))
        g_once_init_leave(&quark, g_quark_from_static_string("vmsnapfs-error-quark"));
    return (GQuark)quark;
}

gboolean error_is(const GError *error, ErrorCode code)
{
    return error && error->domain == VMSNAPFS_ERROR && error->code == (int)code;
}

ErrorCode error_code(const GError *error)
{
    return error && error->domain == VMSNAPFS_ERROR ? (ErrorCode)error->code : ERR_IO;
}

char *error_line(const char *text)
{
    GString *line = g_string_new(NULL);

    while (*text) {
        gunichar c = g_utf8_get_char_validated(text, -1);
        bool broken = c == (gunichar)-1 || c == (gunichar)-2;
        gsize length = broken ? 1 : (gsize)(g_utf8_next_char(text) - text);

        if (broken || g_unichar_iscntrl(c)) {
            for (gsize i = 0; i < length; i++)
                g_string_append_printf(line, "\\%03o", (unsigned char)text[i]);
        } else {
            g_string_append_len(line, text, (gssize)length);
        }
        text += length;
    }
    return g_string_free(line, FALSE);
}

void error_set(GError **error, ErrorCode code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *line = error_line(text);
    g_set_error_literal(error, VMSNAPFS_ERROR, (int)code, line);
}

static ErrorCode code_of_errno(int err)
{
    switch (err) {
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EROFS:
        return ERR_READ_ONLY;
    case EACCES:
    case EPERM:
        return ERR_ACCESS;
    case EEXIST:
        return ERR_EXISTS;
    case EAGAIN:
    case EBUSY:
        return ERR_BUSY;
    case EDEADLK:
        return ERR_UNSUPPORTED;
    default:
        return ERR_IO;
    }
}

/* EDEADLK is base/walk.h's. */
static const char *text_of_errno(int err)
{
    return err == EDEADLK ? "that is in the very tree that this vmsnapfs has mounted, which would "
                            "wait for itself; it must be somewhere else"
                          : g_strerror(err);
}

void error_set_errno(GError **error, int err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, VMSNAPFS_ERROR, (int)code_of_errno(err), "%s: %s", what, text_of_errno(err));
}
