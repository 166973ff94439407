#include "hv/libvirt-private.h"

#include <errno.h>
#include <stdarg.h>

typedef struct {
    int code;         /* of libvirt; VIR_ERR_OK: any */
    const char *text; /* in libvirt's message; NULL: any */
    ErrorCode ours;
} Meaning;

/* The first that fits. Where one code of libvirt means several things, its text decides. */
static const Meaning meanings[] = {
    {VIR_ERR_NO_DOMAIN, NULL, ERR_NOT_FOUND},
    {VIR_ERR_OK, "does not have an active block job", ERR_NOT_FOUND},
    {VIR_ERR_OPERATION_INVALID, "domain with name", ERR_EXISTS}, /* another one has it */
    {VIR_ERR_OK, "No space left on device", ERR_NO_SPACE},
    {VIR_ERR_OK, "Disk quota exceeded", ERR_NO_SPACE},
    {VIR_ERR_OK, "cannot acquire state change lock", ERR_BUSY},
    {VIR_ERR_OK, "active block job", ERR_BUSY},
    {VIR_ERR_OK, "Failed to get \"write\" lock", ERR_BUSY},
    {VIR_ERR_OK, "Failed to get shared \"write\" lock", ERR_BUSY},
    {VIR_ERR_OK, "Failed to get \"consistent read\" lock", ERR_BUSY},
    {VIR_ERR_BLOCK_COPY_ACTIVE, NULL, ERR_BUSY},
    {VIR_ERR_RESOURCE_BUSY, NULL, ERR_BUSY},
    {VIR_ERR_OPERATION_INVALID, NULL, ERR_BUSY},
    {VIR_ERR_OPERATION_TIMEOUT, NULL, ERR_TIMEOUT},
    {VIR_ERR_DOM_EXIST, NULL, ERR_EXISTS},
    {VIR_ERR_OPERATION_DENIED, NULL, ERR_ACCESS},
    {VIR_ERR_ACCESS_DENIED, NULL, ERR_ACCESS},
    {VIR_ERR_AUTH_FAILED, NULL, ERR_ACCESS},
    {VIR_ERR_AUTH_CANCELLED, NULL, ERR_ACCESS},
    {VIR_ERR_AUTH_UNAVAILABLE, NULL, ERR_ACCESS},
    {VIR_ERR_NO_SUPPORT, NULL, ERR_UNSUPPORTED},
    {VIR_ERR_CONFIG_UNSUPPORTED, NULL, ERR_UNSUPPORTED},
    {VIR_ERR_OPERATION_UNSUPPORTED, NULL, ERR_UNSUPPORTED},
    {VIR_ERR_ARGUMENT_UNSUPPORTED, NULL, ERR_UNSUPPORTED},
    /* "QEMU guest agent is not connected" means that nothing was asked; else it may come to hear
     * what it was asked. */
    {VIR_ERR_AGENT_UNRESPONSIVE, "is not connected", ERR_UNSUPPORTED},
    {VIR_ERR_AGENT_UNRESPONSIVE, NULL, ERR_TIMEOUT},
    {VIR_ERR_AGENT_UNSYNCED, NULL, ERR_TIMEOUT},
    {VIR_ERR_INVALID_ARG, NULL, ERR_INVALID},
    {VIR_ERR_XML_ERROR, NULL, ERR_INVALID},
    {VIR_ERR_XML_DETAIL, NULL, ERR_INVALID},
    {VIR_ERR_XML_INVALID_SCHEMA, NULL, ERR_INVALID},
    {VIR_ERR_NO_CONNECT, NULL, ERR_HOST_DOWN},
    {VIR_ERR_INVALID_CONN, NULL, ERR_HOST_DOWN},
};

static void say_nothing(void *data, virErrorPtr error)
{
}

void libvirt_error_silence(void)
{
    virSetErrorFunc(NULL, say_nothing);
}

static bool fits(const Meaning *meaning, const virError *error)
{
    return (meaning->code == VIR_ERR_OK || meaning->code == error->code) &&
           (!meaning->text || (error->message && strstr(error->message, meaning->text)));
}

static ErrorCode code_of(const virError *error)
{
    if (error->code == VIR_ERR_SYSTEM_ERROR && (error->int1 == ENOSPC || error->int1 == EDQUOT))
        return ERR_NO_SPACE;
    for (size_t i = 0; i < G_N_ELEMENTS(meanings); i++)
        if (fits(&meanings[i], error))
            return meanings[i].ours;
    return ERR_IO;
}

bool libvirt_error_set(GError **error, virConnectPtr connection, const char *format, ...)
{
    /* Asking the connection below would overwrite the thread's error. */
    virErrorPtr last = virSaveLastError();
    bool lost = connection && virConnectIsAlive(connection) != 1;
    ErrorCode code = lost ? ERR_HOST_DOWN : last ? code_of(last) : ERR_IO;
    va_list args;

    va_start(args, format);
    g_autofree char *what = g_strdup_vprintf(format, args);
    va_end(args);
    /* On one line: libvirt quotes what a guest's agent says. */
    error_set(error, code, "%s: %s%s", what, lost ? "the connection to libvirt was lost: " : "",
              last && last->message ? last->message : "libvirt gives no reason");
    if (last)
        virFreeError(last);
    return false;
}
