/* What failed though libvirt can be reached is tried again, after 1, 2, 4 … 30 s: no event may ever
 * come that says it is time. One task waits for all of it; there is none while nothing has
 * failed. */
#include "run/engine-priv.h"

#define LONGEST_MS 30000

static bool is_due(const Retry *retry, int64_t now)
{
    return retry->at && retry->at <= now;
}

static void start_vm_locked(EngineVm *vm)
{
    vm->retry.at = 0;
    if (vm->unopened)
        host_queue_open_locked(vm);
    else
        refresh_soon_locked(vm);
}

/* Start what is due; the time at which the next is, 0 if there is none. */
static int64_t start_due_locked(Engine *engine)
{
    int64_t now = g_get_monotonic_time();
    int64_t next = G_MAXINT64;
    GHashTableIter iter;
    gpointer value;

    if (is_due(&engine->retry, now)) {
        engine->retry.at = 0;
        host_list_locked(engine, false);
    }
    if (engine->retry.at)
        next = engine->retry.at;
    g_hash_table_iter_init(&iter, engine->vms);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        EngineVm *vm = value;
        if (vm->present && is_due(&vm->retry, now))
            start_vm_locked(vm);
        if (vm->present && vm->retry.at)
            next = MIN(next, vm->retry.at);
    }
    return next == G_MAXINT64 ? 0 : next;
}

static void wait_and_start(Engine *engine, EngineVm *vm, Work *work)
{
    int64_t next = 0;

    g_mutex_lock(&engine->lock);
    while (!engine->stopping && (next = start_due_locked(engine)))
        g_cond_wait_until(&engine->changed, &engine->lock, next);
    engine->retrying = false;
    g_mutex_unlock(&engine->lock);
}

bool retry_later_locked(Engine *engine, Retry *retry)
{
    uint64_t wait = MIN((uint64_t)engine->retry_ms << MIN(retry->failures, 16), LONGEST_MS);

    retry->at = g_get_monotonic_time() + (int64_t)wait * G_TIME_SPAN_MILLISECOND;
    if (!engine->retrying && !engine->stopping) {
        engine->retrying = true;
        engine_push_locked(engine, wait_and_start, NULL, NULL);
    }
    g_cond_broadcast(&engine->changed);
    return retry->failures++ == 0;
}

void retry_not_locked(Retry *retry)
{
    *retry = (Retry){0};
}

/* Whether a merge that could not go on does so now is seen in a moment: if not, it is no news. */
void retry_well_locked(EngineVm *vm)
{
    if (merge_running_locked(vm))
        vm->retry.at = 0;
    else
        retry_not_locked(&vm->retry);
}

bool retry_is_to_open(EngineVm *vm)
{
    g_mutex_lock(&vm->engine->lock);
    bool unopened = vm->unopened != NULL;
    g_mutex_unlock(&vm->engine->lock);
    return unopened;
}

void retry_unusable(EngineVm *vm, const GError *error)
{
    g_autofree char *problem = vm_problem(vm->vm);

    if (problem && !retry_is_to_open(vm))
        host_open_again(vm, error);
}

void retry_left(EngineVm *vm, const GError *failure)
{
    ErrorCode code = error_is(failure, ERR_HOST_DOWN) ? ERR_HOST_DOWN : ERR_IO;
    g_autofree char *left = vm_left(vm->vm);
    g_autoptr(GError) error = left ? g_error_new_literal(VMSNAPFS_ERROR, (int)code, left) : NULL;

    if (error && !retry_is_to_open(vm))
        host_open_again(vm, error);
}
