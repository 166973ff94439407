/* The configuration in force, and how a new one reaches the VMs. */
#include "run/engine-priv.h"

#include "base/str.h"

#include <unistd.h>

static Config *config_in_force(Engine *engine)
{
    g_mutex_lock(&engine->lock);
    Config *config = config_ref(engine->config);
    g_mutex_unlock(&engine->lock);
    return config;
}

/* Until what the VM has is what is in force: two of these may run at the same time. */
static void run_configure(Engine *engine, EngineVm *vm, Work *work)
{
    bool wanted, same = false;

    while (!same) {
        g_autoptr(Config) config = config_in_force(engine);
        vm_configure(vm->vm, config);
        g_mutex_lock(&engine->lock);
        same = engine->config == config;
        wanted = vm->opened && vm->present && !engine->stopping;
        g_mutex_unlock(&engine->lock);
    }
    if (wanted)
        refresh_now(vm, false);
}

static void configure_vms_locked(Engine *engine)
{
    GHashTableIter iter;
    gpointer vm;

    g_hash_table_iter_init(&iter, engine->vms);
    while (!engine->stopping && g_hash_table_iter_next(&iter, NULL, &vm))
        engine_push_locked(engine, run_configure, vm, NULL);
}

static void tell(Engine *engine, const char *path, const GError *error, int64_t since)
{
    g_autofree char *operation = g_strdup_printf("configure %s", path);

    errors_operation(engine, NULL, getuid(), getpid(), operation, error, since);
    engine_emit(engine, CHANGE_VMS, NULL,
                event_make("configuration", NULL, "path", path, "message",
                           error ? error->message : "", NULL));
}

void engine_configure(Engine *engine, const Config *config, const char *problem)
{
    int64_t since = g_get_monotonic_time();

    g_mutex_lock(&engine->lock);
    config_unref(engine->config);
    engine->config = config_ref(config);
    str_set(&engine->config_problem, problem);
    configure_vms_locked(engine);
    engine_publish_locked(engine);
    bool runs = engine->pool;
    g_mutex_unlock(&engine->lock);
    g_autoptr(GError) error =
        *problem ? g_error_new_literal(VMSNAPFS_ERROR, ERR_BUSY, problem) : NULL;
    if (runs)
        tell(engine, config->path, error, since);
}

void engine_configure_failed(Engine *engine, const char *path, const GError *error)
{
    g_mutex_lock(&engine->lock);
    g_free(engine->config_problem);
    engine->config_problem =
        g_strdup_printf("%s; what was in force before stays in force", error->message);
    engine_publish_locked(engine);
    g_mutex_unlock(&engine->lock);
    tell(engine, path, error, g_get_monotonic_time());
}
