/* The rings behind `errors`: the last lines per VM and for the host, and the log line of each
 * operation, which carries the same number. */
#include "run/engine-priv.h"

#include "model/names.h"

#include <string.h>

#define RING_LINES 256

typedef struct {
    GQueue lines; /* char *, oldest first */
    uint64_t sequence;
} Ring;

struct Errors {
    GMutex lock;
    uint64_t sequence;
    Ring host;
    GHashTable *vms; /* uuid → Ring */
};

static const char *const errno_names[] = {
    [ERR_EXISTS] = "EEXIST",     [ERR_NOT_FOUND] = "ENOENT", [ERR_NAME_TOO_LONG] = "ENAMETOOLONG",
    [ERR_INVALID] = "EINVAL",    [ERR_FORBIDDEN] = "EPERM",  [ERR_ACCESS] = "EACCES",
    [ERR_READ_ONLY] = "EROFS",   [ERR_BUSY] = "EBUSY",       [ERR_QUOTA] = "EDQUOT",
    [ERR_DEPTH] = "EMLINK",      [ERR_NO_SPACE] = "ENOSPC",  [ERR_UNSUPPORTED] = "EOPNOTSUPP",
    [ERR_TIMEOUT] = "ETIMEDOUT", [ERR_DRIFT] = "EUCLEAN",    [ERR_HOST_DOWN] = "EHOSTDOWN",
    [ERR_INTERRUPTED] = "EINTR", [ERR_IO] = "EIO",
};

const char *errors_name(const GError *error)
{
    return errno_names[error_code(error)];
}

static void ring_free(Ring *ring)
{
    g_queue_clear_full(&ring->lines, g_free);
    g_free(ring);
}

Errors *errors_new(void)
{
    Errors *errors = g_new0(Errors, 1);

    g_mutex_init(&errors->lock);
    g_queue_init(&errors->host.lines);
    errors->vms = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)ring_free);
    return errors;
}

void errors_free(Errors *errors)
{
    if (!errors)
        return;
    g_queue_clear_full(&errors->host.lines, g_free);
    g_hash_table_unref(errors->vms);
    g_mutex_clear(&errors->lock);
    g_free(errors);
}

static void ring_add(Ring *ring, uint64_t sequence, const char *line)
{
    g_queue_push_tail(&ring->lines, g_strdup(line));
    if (ring->lines.length > RING_LINES)
        g_free(g_queue_pop_head(&ring->lines));
    ring->sequence = sequence;
}

static Ring *ring_of_vm(Errors *errors, const char *vm_uuid)
{
    Ring *ring = g_hash_table_lookup(errors->vms, vm_uuid);

    if (!ring) {
        ring = g_new0(Ring, 1);
        g_queue_init(&ring->lines);
        g_hash_table_insert(errors->vms, g_strdup(vm_uuid), ring);
    }
    return ring;
}

uint64_t errors_add(Errors *errors, const char *vm_uuid, uid_t uid, pid_t pid,
                    const char *operation, const GError *error)
{
    g_autofree char *time = time_format(g_get_real_time());
    g_autofree char *what = error_line(operation);
    g_autofree char *sentence = error_line(error ? error->message : "");

    g_mutex_lock(&errors->lock);
    uint64_t sequence = ++errors->sequence;
    if (error) {
        g_autofree char *line =
            g_strdup_printf("%" G_GUINT64_FORMAT " %s uid=%u pid=%d %s %s: %s", sequence, time,
                            (unsigned)uid, (int)pid, what, errors_name(error), sentence);
        ring_add(&errors->host, sequence, line);
        if (vm_uuid)
            ring_add(ring_of_vm(errors, vm_uuid), sequence, line);
    }
    g_mutex_unlock(&errors->lock);
    return sequence;
}

char *errors_text(Errors *errors, const char *vm_uuid)
{
    GString *text = g_string_new(NULL);

    g_mutex_lock(&errors->lock);
    Ring *ring = vm_uuid ? g_hash_table_lookup(errors->vms, vm_uuid) : &errors->host;
    for (GList *l = ring ? ring->lines.head : NULL; l; l = l->next)
        g_string_append_printf(text, "%s\n", (char *)l->data);
    g_mutex_unlock(&errors->lock);
    return g_string_free(text, FALSE);
}

uint64_t errors_sequence(Errors *errors, const char *vm_uuid)
{
    g_mutex_lock(&errors->lock);
    Ring *ring = vm_uuid ? g_hash_table_lookup(errors->vms, vm_uuid) : &errors->host;
    uint64_t sequence = ring ? ring->sequence : 0;
    g_mutex_unlock(&errors->lock);
    return sequence;
}

static void log_operation(uint64_t sequence, const char *operation, const GError *error,
                          int64_t since)
{
    g_autofree char *text =
        g_strdup_printf("%" G_GUINT64_FORMAT " %s %s%s%s  %" G_GINT64_FORMAT " ms", sequence,
                        operation, error ? errors_name(error) : "ok", error ? ": " : "",
                        error ? error->message : "", (g_get_monotonic_time() - since) / 1000);
    g_autofree char *line = error_line(text);

    g_log_structured("vmsnapfs", error ? G_LOG_LEVEL_WARNING : G_LOG_LEVEL_MESSAGE, "MESSAGE", "%s",
                     line);
}

void errors_operation(Engine *engine, EngineVm *vm, uid_t uid, pid_t pid, const char *operation,
                      const GError *error, int64_t since)
{
    uint64_t sequence =
        errors_add(engine->errors, vm ? vm->uuid : NULL, uid, pid, operation, error);

    log_operation(sequence, operation, error, since);
    if (!error)
        return;

    engine->stats.errors++;
    g_autoptr(VmView) view = vm ? engine_vm_view(vm) : NULL;
    g_autofree char *number = g_strdup_printf("%" G_GUINT64_FORMAT, sequence);
    engine_emit(engine, CHANGE_ERRORS, vm ? vm->uuid : NULL,
                event_make("error", view, "sequence", number, "operation", operation, "errno",
                           errors_name(error), "message", error->message, NULL));
}
