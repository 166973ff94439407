/* The state file: running, paused, shutoff, off. Whatever libvirt answers, the VM's state decides:
 * it is asked again after each call, and again with each event while a guest shuts down. */
#include "run/engine-priv.h"

#include "run/observe.h"
#include "run/vm-start.h"

#include <string.h>

static bool is_interrupted(EngineVm *vm, Work *work)
{
    g_mutex_lock(&vm->engine->lock);
    bool stopping = vm->engine->stopping;
    g_mutex_unlock(&vm->engine->lock);
    return stopping || g_atomic_int_get(&work->interrupted);
}

static bool refuse(GError **error, ErrorCode code, EngineVm *vm, const char *why)
{
    g_autofree char *name = engine_vm_name(vm);

    g_set_error(error, VMSNAPFS_ERROR, (int)code, "VM %s %s", name, why);
    return false;
}

static bool change_to_running(EngineVm *vm, Work *work, DomainState state, GError **error)
{
    Hypervisor *hv = vm->engine->world.hv;

    switch (state) {
    case DOMAIN_RUNNING:
        return true;
    case DOMAIN_PAUSED:
        return hv->ops->resume(hv, vm->uuid, error);
    case DOMAIN_OFF:
        return vm_start(vm->vm, work->request->operation, error);
    case DOMAIN_OTHER:
        return refuse(error, ERR_BUSY, vm, "is neither running nor off; wait, or write off first");
    }
    return false;
}

static bool change_to_paused(EngineVm *vm, Work *work, DomainState state, GError **error)
{
    Hypervisor *hv = vm->engine->world.hv;

    switch (state) {
    case DOMAIN_RUNNING:
        return hv->ops->suspend(hv, vm->uuid, error);
    case DOMAIN_PAUSED:
        return true;
    case DOMAIN_OFF:
        return refuse(error, ERR_UNSUPPORTED, vm, "is off and cannot be paused; start it first");
    case DOMAIN_OTHER:
        return refuse(error, ERR_BUSY, vm, "is neither running nor off; wait, or write off first");
    }
    return false;
}

static bool change_to_shutoff(EngineVm *vm, Work *work, DomainState state, GError **error)
{
    Hypervisor *hv = vm->engine->world.hv;

    switch (state) {
    case DOMAIN_RUNNING:
    case DOMAIN_OTHER:
        return hv->ops->shutdown(hv, vm->uuid, error);
    case DOMAIN_PAUSED:
        return refuse(error, ERR_BUSY, vm,
                      "is paused, its guest cannot shut down; write running first, or off");
    case DOMAIN_OFF:
        return true;
    }
    return false;
}

static bool change_to_off(EngineVm *vm, Work *work, DomainState state, GError **error)
{
    Hypervisor *hv = vm->engine->world.hv;

    return state == DOMAIN_OFF || hv->ops->destroy(hv, vm->uuid, error);
}

typedef struct {
    const char *word;
    DomainState goal;
    bool (*change)(EngineVm *vm, Work *work, DomainState state, GError **error);
    bool waits; /* the guest takes part */
} PowerState;

static const PowerState power_states[] = {
    {"running", DOMAIN_RUNNING, change_to_running, false},
    {"paused", DOMAIN_PAUSED, change_to_paused, false},
    {"shutoff", DOMAIN_OFF, change_to_shutoff, true},
    {"off", DOMAIN_OFF, change_to_off, false},
};

static const PowerState *find_state(const char *word)
{
    for (gsize i = 0; i < G_N_ELEMENTS(power_states); i++)
        if (g_strcmp0(power_states[i].word, word) == 0)
            return &power_states[i];
    return NULL;
}

/* A domain that is gone once it is off was transient: that is as off as it gets. */
static bool is_reached(EngineVm *vm, const PowerState *wanted, GError **error)
{
    g_autoptr(GError) cause = NULL;
    DomainState state = DOMAIN_OTHER;

    if (observe_state(&vm->engine->world, vm->uuid, &state, &cause))
        return state == wanted->goal;
    if (error_is(cause, ERR_NOT_FOUND) && wanted->goal == DOMAIN_OFF)
        return true;
    g_propagate_error(error, g_steal_pointer(&cause));
    return false;
}

static bool stop_waiting(EngineVm *vm, Work *work, bool late, GError **error)
{
    g_autofree char *name = engine_vm_name(vm);
    bool interrupted = is_interrupted(vm, work);

    if (interrupted)
        g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED,
                    "VM %s was asked to shut down and has not done so yet; the caller was "
                    "interrupted",
                    name);
    else if (late)
        g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT,
                    "VM %s did not shut down within %u seconds; its guest ignores the request, "
                    "write off to pull the plug",
                    name, vm->engine->shutdown_wait_ms / 1000);
    return interrupted || late;
}

static bool wait_for(EngineVm *vm, Work *work, const PowerState *wanted, GError **error)
{
    Engine *engine = vm->engine;
    int64_t deadline = g_get_monotonic_time() + engine->shutdown_wait_ms * G_TIME_SPAN_MILLISECOND;
    uint64_t seen = 0;
    bool late = false;

    for (;;) {
        g_autoptr(GError) cause = NULL;

        g_mutex_lock(&engine->lock);
        seen = vm->event;
        g_mutex_unlock(&engine->lock);
        if (is_reached(vm, wanted, &cause))
            return true;
        if (cause) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        if (stop_waiting(vm, work, late, error))
            return false;
        g_mutex_lock(&engine->lock);
        while (vm->event == seen && !late)
            late = !g_cond_wait_until(&vm->changed, &engine->lock, deadline);
        g_mutex_unlock(&engine->lock);
    }
}

bool power_run(EngineVm *vm, Work *work, GError **error)
{
    const PowerState *wanted = find_state(work->request->text);
    DomainState state = DOMAIN_OTHER;
    g_autoptr(GError) failure = NULL;

    if (!wanted) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INVALID,
                    "\"%s\" is no state; write running, paused, shutoff or off",
                    work->request->text ? work->request->text : "");
        return false;
    }
    if (!observe_state(&vm->engine->world, vm->uuid, &state, error))
        return false;
    if (!wanted->change(vm, work, state, &failure)) {
        if (is_reached(vm, wanted, NULL))
            return true;
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    return !wanted->waits || wait_for(vm, work, wanted, error);
}
