#include "engine-bench-calls.h"

#include <string.h>

static Bench *watched;
static HvOps hv_ops;
static ImageOps image_ops;
static FilesOps files_ops, files_watched;
static GMutex lock;
static GString *calls;
static const char *last;
static GHashTable *broken; /* word → Trouble */

typedef struct {
    unsigned times;
    bool happens;
} Trouble;

/* ---- noting and failing ---- */

static bool is_broken(const char *word, bool *out_happens)
{
    g_mutex_lock(&lock);
    Trouble *trouble = g_hash_table_lookup(broken, word);
    bool fails = trouble && trouble->times > 0;
    if (fails) {
        trouble->times--;
        *out_happens = trouble->happens;
    }
    g_mutex_unlock(&lock);
    return fails;
}

static void note(const char *word)
{
    g_mutex_lock(&lock);
    if (g_strcmp0(last, word) != 0)
        g_string_append_printf(calls, "%s%s", calls->len ? " " : "", word);
    last = word;
    g_mutex_unlock(&lock);
}

static bool fail_call(const char *word, GError **error)
{
    g_clear_error(error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_IO, "the call %s is broken", word);
    return false;
}

/* @call happens unless it is to fail before that. */
#define WATCHED(word, call)                                                                        \
    bool happens = false, fails = is_broken(word, &happens);                                       \
    note(word);                                                                                    \
    if (fails && !happens)                                                                         \
        return fail_call(word, error);                                                             \
    bool done = (call);                                                                            \
    return fails ? fail_call(word, error) : done

void bench_break_call(const char *word, unsigned times, bool happens)
{
    Trouble trouble = {times, happens};

    g_mutex_lock(&lock);
    g_hash_table_insert(broken, (char *)word, g_memdup2(&trouble, sizeof trouble));
    g_mutex_unlock(&lock);
}

char *bench_calls(void)
{
    g_mutex_lock(&lock);
    char *text = g_strdup(calls->str);
    g_string_truncate(calls, 0);
    last = NULL;
    g_mutex_unlock(&lock);
    return text;
}

/* ---- the guest ---- */

static bool freeze(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    WATCHED("freeze", hv_ops.freeze(hv, uuid, out_count, error));
}

static bool thaw(Hypervisor *hv, const char *uuid, unsigned *out_count, GError **error)
{
    WATCHED("thaw", hv_ops.thaw(hv, uuid, out_count, error));
}

static bool frozen(Hypervisor *hv, const char *uuid, unsigned seconds, bool *out_frozen,
                   GError **error)
{
    WATCHED("frozen", hv_ops.frozen(hv, uuid, seconds, out_frozen, error));
}

static bool suspend(Hypervisor *hv, const char *uuid, GError **error)
{
    WATCHED("suspend", hv_ops.suspend(hv, uuid, error));
}

static bool resume(Hypervisor *hv, const char *uuid, GError **error)
{
    WATCHED("resume", hv_ops.resume(hv, uuid, error));
}

static bool snapshot(Hypervisor *hv, const char *uuid, const GPtrArray *switches,
                     const GPtrArray *excluded, GError **error)
{
    WATCHED("snapshot", hv_ops.snapshot(hv, uuid, switches, excluded, error));
}

/* ---- files ---- */

static bool is_read_broken(void)
{
    bool happens;

    return simhost_state(watched->host, WEB) == DOMAIN_PAUSED && is_broken("read", &happens);
}

static GBytes *read_state(Images *images, const char *path, GError **error)
{
    if (!is_read_broken())
        return image_ops.read_state(images, path, error);
    fail_call("read", error);
    return NULL;
}

static GPtrArray *read_state_directory(Images *images, const char *path, GError **error)
{
    if (!is_read_broken())
        return image_ops.read_state_directory(images, path, error);
    fail_call("read", error);
    return NULL;
}

static bool put_vars(Files *files, const char *path, const char *content, gsize length,
                     GError **error)
{
    WATCHED("vars", files_ops.put(files, path, content, length, error));
}

static bool put_tpm(Files *files, const char *path, const char *content, gsize length,
                    GError **error)
{
    WATCHED("tpm", files_ops.put(files, path, content, length, error));
}

static bool put(Files *files, const char *path, const char *content, gsize length, GError **error)
{
    return strstr(path, "/vars/") ? put_vars(files, path, content, length, error)
                                  : put_tpm(files, path, content, length, error);
}

static bool sync_file(Files *files, const char *path, GError **error)
{
    WATCHED("sync", files_ops.sync(files, path, error));
}

static bool replace(Files *files, const char *path, const char *content, gssize length,
                    GError **error)
{
    WATCHED("write", files_ops.replace(files, path, content, length, error));
}

/* ---- life ---- */

void bench_watch(Bench *bench)
{
    watched = bench;
    calls = g_string_new(NULL);
    last = NULL;
    broken = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    hv_ops = bench->hv_ops;
    bench->hv_ops.freeze = freeze;
    bench->hv_ops.thaw = thaw;
    bench->hv_ops.frozen = frozen;
    bench->hv_ops.suspend = suspend;
    bench->hv_ops.resume = resume;
    bench->hv_ops.snapshot = snapshot;
    image_ops = bench->image_ops;
    bench->image_ops.read_state = read_state;
    bench->image_ops.read_state_directory = read_state_directory;
    files_ops = files_watched = *bench->files->ops;
    files_watched.put = put;
    files_watched.sync = sync_file;
    files_watched.replace = replace;
    bench->files->ops = &files_watched;
}

void bench_unwatch(void)
{
    g_string_free(calls, TRUE);
    g_hash_table_unref(broken);
}
