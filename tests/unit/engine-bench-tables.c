/* The tables of a bench: those of the fakes, and before them the troubles that a test asks for. One
 * bench at a time, since a table's functions get no other pointer than the table. */
#include "engine-bench.h"

static Bench *the_bench;
static const HvOps *fake_hv;
static const ImageOps *fake_images;

/* ---- the hypervisor ---- */

static bool is_now(char *const *which, const char *uuid)
{
    g_mutex_lock(&the_bench->lock);
    bool same = g_strcmp0(*which, uuid) == 0;
    g_mutex_unlock(&the_bench->lock);
    return same;
}

static GPtrArray *list(Hypervisor *hv, GError **error)
{
    GPtrArray *list = fake_hv->list(hv, error);

    for (guint i = list ? list->len : 0; i-- > 0;)
        if (is_now(&the_bench->hidden_vm, ((HvDomain *)list->pdata[i])->uuid))
            g_ptr_array_remove_index(list, i);
    return list;
}

static void garble(char **xml)
{
    if (*xml)
        g_free(*xml), *xml = g_strdup("<domain");
}

static bool inspect(Hypervisor *hv, const char *uuid, HvDomain **out_domain, char **out_live,
                    char **out_inactive, char **out_foreign_job, unsigned *out_snapshots,
                    GError **error)
{
    if (is_now(&the_bench->hidden_vm, uuid)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_NOT_FOUND, "no such domain");
        return false;
    }
    if (!fake_hv->inspect(hv, uuid, out_domain, out_live, out_inactive, out_foreign_job,
                          out_snapshots, error))
        return false;
    if (is_now(&the_bench->garbled_vm, uuid)) {
        garble(out_live);
        garble(out_inactive);
    }
    return true;
}

static void set_vm(Bench *bench, char **which, const char *uuid)
{
    g_mutex_lock(&bench->lock);
    g_free(*which);
    *which = g_strdup(uuid);
    g_mutex_unlock(&bench->lock);
}

void bench_hide(Bench *bench, const char *uuid)
{
    g_autofree char *about = g_strdup(uuid ? uuid : bench->hidden_vm);

    set_vm(bench, &bench->hidden_vm, uuid);
    host_event(HV_EVENT_DOMAIN, about, NULL, bench->engine);
}

void bench_garble(Bench *bench, const char *uuid)
{
    set_vm(bench, &bench->garbled_vm, uuid);
}

/* ---- image files ---- */

static bool is_busy(const char *path)
{
    g_mutex_lock(&the_bench->lock);
    bool busy = g_hash_table_contains(the_bench->busy, path);
    g_mutex_unlock(&the_bench->lock);
    return busy;
}

static ImageLock *lock(Images *images, const char *path, unsigned wait_ms, GError **error)
{
    if (!is_busy(path))
        return fake_images->lock(images, path, wait_ms, error);
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY, "%s is in use by another program", path);
    return NULL;
}

void bench_set_busy(Bench *bench, const char *path, bool busy)
{
    g_mutex_lock(&bench->lock);
    if (busy)
        g_hash_table_add(bench->busy, g_strdup(path));
    else
        g_hash_table_remove(bench->busy, path);
    g_mutex_unlock(&bench->lock);
}

/* ---- life ---- */

void bench_wrap_tables(Bench *bench)
{
    the_bench = bench;
    fake_hv = bench->hv->ops;
    fake_images = bench->images->ops;
    bench->busy = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bench->hv_ops = *fake_hv;
    bench->hv_ops.list = list;
    bench->hv_ops.inspect = inspect;
    bench->hv->ops = &bench->hv_ops;
    bench->image_ops = *fake_images;
    bench->image_ops.lock = lock;
    bench->images->ops = &bench->image_ops;
}

void bench_unwrap_tables(Bench *bench)
{
    g_free(bench->hidden_vm);
    g_free(bench->garbled_vm);
    g_hash_table_unref(bench->busy);
}
