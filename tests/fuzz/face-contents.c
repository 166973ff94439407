/* What snapshots hold: noted when they are seen first, and the same as long as they are ready. */
#include "face.h"
#include "fuzz.h"
#include "hv/fake.h"
#include "model/simhost.h"
#include "run/engine-priv.h"

#define SETTLE_US (G_USEC_PER_SEC / 2) /* a job that stands still is not waited for */

static char *sum_of(SimHost *host, const char *path)
{
    g_autoptr(GArray) content = simhost_image_content(host, path);

    return content ? g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)content->data,
                                                 content->len * sizeof(guint64))
                   : NULL;
}

typedef void (*Visit)(GHashTable *contents, const char *key, char *sum /* taken */);

static void visit_snapshots(SimHost *host, const VmView *vm, GHashTable *contents, Visit visit)
{
    for (guint i = 0; i < vm->snapshots->len; i++) {
        const SnapshotView *snapshot = vm->snapshots->pdata[i];

        for (guint j = 0; snapshot->state == SNAPSHOT_READY && j < snapshot->disks->len; j++) {
            const LayerView *layer = snapshot->disks->pdata[j];
            g_autofree char *key =
                g_strdup_printf("%s of %s (%s)", layer->target, snapshot->id, vm->uuid);

            visit(contents, key, sum_of(host, layer->file));
        }
    }
}

static void note(GHashTable *contents, const char *key, char *sum)
{
    if (sum && !g_hash_table_contains(contents, key))
        g_hash_table_insert(contents, g_strdup(key), sum);
    else
        g_free(sum);
}

static void check(GHashTable *contents, const char *key, char *sum)
{
    const char *noted = g_hash_table_lookup(contents, key);

    fuzz_check(sum, "%s has no file", key);
    fuzz_check(!noted || g_str_equal(sum, noted), "%s holds something else than it did", key);
    g_free(sum);
}

static bool rests(const VmView *vm)
{
    for (guint i = 0; i < vm->jobs->len; i++)
        if (engine_job_state(vm->jobs->pdata[i]) == JOB_RUNNING)
            return false;
    return true;
}

void face_note_contents(Engine *engine, GHashTable *contents)
{
    g_autoptr(HostView) view = engine_view(engine);

    for (guint i = 0; i < view->vms->len; i++)
        visit_snapshots(hv_fake_host(engine->world.hv), view->vms->pdata[i], contents, note);
}

static VmView *view_now(Engine *engine, const char *uuid)
{
    g_autoptr(HostView) host = engine_view(engine);
    const VmView *vm = host_view_of_uuid(host, uuid);

    return vm ? vm_view_ref(vm) : NULL;
}

/* The newest view of the VM, when its jobs are done; NULL if one stands still. A job may have ended
 * since a view was taken: what it did is in the next one. */
static VmView *view_at_rest(Engine *engine, const char *uuid)
{
    int64_t deadline = g_get_monotonic_time() + SETTLE_US;

    do {
        g_autoptr(VmView) before = view_now(engine, uuid);
        bool resting = before && rests(before);
        g_autoptr(VmView) after = resting ? view_now(engine, uuid) : NULL;

        if (after && rests(after) && after->generation == before->generation)
            return g_steal_pointer(&after);
        g_usleep(1000);
    } while (g_get_monotonic_time() < deadline);
    return NULL;
}

void face_check_contents(Engine *engine, GHashTable *contents)
{
    g_autoptr(HostView) view = engine_view(engine);

    for (guint i = 0; i < view->vms->len; i++) {
        const VmView *vm = view->vms->pdata[i];
        g_autoptr(VmView) last = view_at_rest(engine, vm->uuid);

        if (last)
            visit_snapshots(hv_fake_host(engine->world.hv), last, contents, check);
    }
}
