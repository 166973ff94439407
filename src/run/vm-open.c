#include "base/str.h"
#include "model/names.h"
#include "run/hold.h"
#include "run/keep.h"
#include "run/ledger.h"
#include "run/locate.h"
#include "run/observe.h"
#include "run/recover.h"

#define LOOK_AGAIN 3 /* the VM was started or stopped between two looks */

/* ---- one VM ---- */

Vm *vm_new(const World *world, const char *uuid, const char *name)
{
    Vm *vm = g_new0(Vm, 1);

    vm->world = world;
    vm->uuid = g_strdup(uuid);
    vm->name = g_strdup(name);
    vm->catalog = catalog_new(uuid, name);
    vm->config = config_new();
    g_mutex_init(&vm->turn);
    g_mutex_init(&vm->definition);
    g_mutex_init(&vm->lock);
    return vm;
}

void vm_free(Vm *vm)
{
    if (!vm)
        return;
    ledger_unlock(vm);
    g_mutex_clear(&vm->turn);
    g_mutex_clear(&vm->definition);
    g_mutex_clear(&vm->lock);
    catalog_free(vm->catalog);
    config_unref(vm->config);
    g_free(vm->uuid);
    g_free(vm->name);
    g_free(vm->home);
    g_clear_pointer(&vm->text, g_bytes_unref);
    g_free(vm->problem);
    g_free(vm->left);
    g_free(vm);
}

Catalog *vm_catalog(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    Catalog *catalog = catalog_copy(vm->catalog);
    g_mutex_unlock(&vm->lock);
    return catalog;
}

char *vm_home(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    char *home = g_strdup(vm->home);
    g_mutex_unlock(&vm->lock);
    return home;
}

char *vm_name(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    char *name = g_strdup(vm->name);
    g_mutex_unlock(&vm->lock);
    return name;
}

char *vm_problem(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    char *problem = g_strdup(vm->problem);
    g_mutex_unlock(&vm->lock);
    return problem;
}

char *vm_left(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    char *left = g_strdup(vm->left);
    g_mutex_unlock(&vm->lock);
    return left;
}

void vm_learn_name(Vm *vm, const char *name)
{
    g_mutex_lock(&vm->lock);
    if (name && g_strcmp0(vm->name, name) != 0) {
        str_set(&vm->name, name);
        vm_apply_config_locked(vm);
    }
    g_mutex_unlock(&vm->lock);
}

/* ---- configuration ---- */

void vm_apply_config_locked(Vm *vm)
{
    g_clear_pointer(&vm->catalog->defaults, g_hash_table_unref);
    vm->catalog->defaults = config_policy(vm->config, vm->uuid, vm->name);
}

void vm_configure(Vm *vm, const Config *config)
{
    g_mutex_lock(&vm->lock);
    config_unref(vm->config);
    vm->config = config_ref(config);
    vm_apply_config_locked(vm);
    g_mutex_unlock(&vm->lock);
}

Config *vm_config(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    Config *config = config_ref(vm->config);
    g_mutex_unlock(&vm->lock);
    return config;
}

/* ---- looking ---- */

Observation *vm_observe(Vm *vm, GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(Observation) seen = observe_domain(vm->world, vm->uuid, &name, error);
    g_autoptr(Catalog) catalog = NULL;

    if (!seen)
        return NULL;
    vm_learn_name(vm, name);
    catalog = vm_catalog(vm);
    if (!observe_files(vm->world, vm->uuid, catalog, seen, error))
        return NULL;
    return g_steal_pointer(&seen);
}

/* ---- an operation ---- */

/* Where another host has the lock, or the storage is read-only, the catalog can be read all the
 * same. */
static bool begin_locked(Operation *op, GError **error)
{
    Vm *vm = op->vm;

    if (!locate_home(vm, error))
        return false;
    if (ledger_lock(vm, error))
        return ledger_load(vm, error) && recover_open_journal(op, error);
    ledger_load(vm, NULL);
    return false;
}

bool operation_begin(Operation *op, Vm *vm, const char *name, const VmHooks *hooks, GError **error)
{
    *op = (Operation){.vm = vm,
                      .hooks = hooks,
                      .vm_name = vm_name(vm),
                      .name = name,
                      .begun = g_get_monotonic_time(),
                      .guard = guard_new(vm->world, hooks ? hooks->answer_by : 0)};
    g_mutex_lock(&vm->turn);
    if (begin_locked(op, error))
        return true;
    operation_end(op);
    return false;
}

/* A journal that is open when its operation ends: there is something to be done that nobody need
 * ask for. With that of a merge its job goes on. */
static void note_left(Operation *op)
{
    Vm *vm = op->vm;

    if (!op->journal || op->journal->plan->kind == PLAN_MERGE)
        return;
    g_mutex_lock(&vm->lock);
    g_free(vm->left);
    vm->left = op->suspension.state == HOLD_LOST
                   ? g_strdup(op->suspension.warning)
                   : g_strdup_printf("An interrupted operation (%s) of VM %s is to be brought to "
                                     "its end",
                                     op->name, op->vm_name);
    g_mutex_unlock(&vm->lock);
}

void operation_end(Operation *op)
{
    if (!op->vm)
        return;
    g_clear_pointer(&op->guard, guard_free);
    note_left(op);
    ledger_unlock(op->vm);
    g_clear_pointer(&op->journal, journal_free);
    g_clear_pointer(&op->seen, observation_free);
    g_clear_pointer(&op->vm_name, g_free);
    hold_clear(op);
    keep_clear(&op->kept);
    g_mutex_unlock(&op->vm->turn);
    op->vm = NULL;
}

bool operation_runs(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    bool loaded = vm->loaded && vm->home;
    g_mutex_unlock(&vm->lock);
    if (!loaded || !g_mutex_trylock(&vm->turn))
        return loaded;
    g_mutex_unlock(&vm->turn);
    return false;
}

/* ---- looking ---- */

static bool hold_disk(Operation *op, const DomainDisk *disk, GError **error)
{
    const World *world = op->vm->world;

    if (!disk->path || g_strcmp0(disk->type, "file") != 0 || domain_disk_excluded(disk))
        return true;
    ImageFacts *facts = world->images->ops->inspect(world->images, disk->path);
    bool exists = facts->exists;
    image_facts_free(facts);
    /* A file that is missing is the planner's to refuse. */
    return !exists || guard_hold(op->guard, disk->path, error);
}

/* Locks that a look took for a VM that turns out to run are let go. *out_off: whether it was off at
 * this look. */
static bool hold_actives(Operation *op, bool *out_off, GError **error)
{
    g_autoptr(Observation) first = observe_domain(op->vm->world, op->vm->uuid, NULL, error);

    if (!first)
        return false;
    *out_off = first->state == DOMAIN_OFF && !first->managed_save;
    if (!*out_off)
        guard_release_all(op->guard);
    for (guint i = 0; *out_off && first->inactive && i < first->inactive->disks->len; i++)
        if (!hold_disk(op, first->inactive->disks->pdata[i], error))
            return false;
    return true;
}

/* @path is below the newest file of a disk; those may be read by many, and are not locked. To have
 * had the lock for a moment is to know that who wrote to it has ended. */
static bool await_unwritten(Operation *op, const char *path, bool *out_steady, GError **error)
{
    const ImageFacts *file = observation_file(op->seen, path);

    if (!file || !file->written)
        return true;
    *out_steady = false;
    bool ended = guard_hold(op->guard, path, error);
    guard_release(op->guard, path);
    return ended;
}

/* A QEMU that libvirt forgot after it had pivoted has only the base of its merge open, while
 * libvirt calls the VM off, on the file that was merged. */
static bool check_below(Operation *op, bool *out_steady, GError **error)
{
    const GPtrArray *disks = op->seen->inactive ? op->seen->inactive->disks : NULL;

    for (guint i = 0; disks && i < disks->len; i++) {
        const DomainDisk *disk = disks->pdata[i];
        bool ours = disk->path && !domain_disk_excluded(disk);
        g_autoptr(GPtrArray) chain = ours ? observation_chain(op->seen, disk->path) : NULL;

        for (guint j = 1; chain && j < chain->len; j++)
            if (!await_unwritten(op, chain->pdata[j], out_steady, error))
                return false;
    }
    return true;
}

/* The locks come first, then the look that counts: what is seen under them stays so. */
static bool look_once(Operation *op, bool *out_steady, GError **error)
{
    bool off = false;

    if (!hold_actives(op, &off, error))
        return false;
    g_clear_pointer(&op->seen, observation_free);
    op->seen = vm_observe(op->vm, error);
    *out_steady = op->seen && observation_is_off(op->seen) == off;
    return op->seen && (!off || !*out_steady || check_below(op, out_steady, error));
}

/* A layer that cannot be locked: was the VM started in between, or does somebody else read the
 * file? */
static bool was_started(Operation *op)
{
    g_autoptr(Observation) now = observe_domain(op->vm->world, op->vm->uuid, NULL, NULL);

    return now && now->state != DOMAIN_OFF;
}

bool operation_look(Operation *op, GError **error)
{
    for (unsigned tries = 0; tries < LOOK_AGAIN; tries++) {
        g_autoptr(GError) cause = NULL;
        bool steady = false;

        if (look_once(op, &steady, &cause) && steady)
            return true;
        if (cause && (!error_is(cause, ERR_BUSY) || !was_started(op))) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
    }
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "VM %s is being started and stopped; try again when it rests", op->vm_name);
    return false;
}

bool operation_attach(Operation *op, GError **error)
{
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    g_autoptr(Plan) plan = plan_attach(catalog, op->seen);

    for (guint i = 0; plan && i < plan->steps->len; i++)
        if (!ledger_record(op->vm, plan->steps->pdata[i], error))
            return false;
    return true;
}

/* ---- hooks ---- */

bool operation_interrupted(const Operation *op)
{
    return op->hooks && op->hooks->interrupted && op->hooks->interrupted(op->hooks->data);
}

bool operation_is_late(const Operation *op, GError **error)
{
    if (!op->hooks || !op->hooks->answer_by || g_get_monotonic_time() < op->hooks->answer_by)
        return false;
    g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT,
                "VM %s was not changed: it took too long to prepare that, and whoever looks at its "
                "directory waits meanwhile; try again when its host and storage are less busy",
                op->vm_name);
    return true;
}

bool operation_stopped(const Operation *op, GError **error)
{
    const VmHooks *hooks = op->hooks;

    if (hooks && hooks->stop && hooks->stop(hooks->data)) {
        g_set_error(error, VMSNAPFS_ERROR, ERR_INTERRUPTED,
                    "The merge on VM %s was stopped as asked", op->vm_name);
        return true;
    }
    if (op->deadline == 0 || world_now(op->vm->world) < op->deadline)
        return false;
    g_set_error(error, VMSNAPFS_ERROR, ERR_TIMEOUT,
                "The merge on VM %s took longer than policy/merge_timeout allows; raise it and "
                "remove the snapshot again",
                op->vm_name);
    return true;
}

void operation_wait(const Operation *op)
{
    unsigned milliseconds = op->vm->world->job_poll_ms;

    if (op->hooks && op->hooks->wait)
        op->hooks->wait(milliseconds, op->hooks->data);
    else
        g_usleep(1000UL * milliseconds);
}

uint64_t operation_bandwidth(const Operation *op)
{
    uint64_t bytes = 0;

    if (op->hooks && op->hooks->bandwidth)
        return op->hooks->bandwidth(op->hooks->data);
    g_autoptr(Catalog) catalog = vm_catalog(op->vm);
    return size_parse(catalog_policy(catalog, "bandwidth"), &bytes, NULL) ? bytes : 0;
}

void operation_limited(const Operation *op, const char *target, uint64_t bandwidth)
{
    if (op->hooks && op->hooks->limited)
        op->hooks->limited(target, bandwidth, op->hooks->data);
}

void operation_progress(const Operation *op, const char *target, uint64_t done, uint64_t total,
                        bool finished)
{
    if (op->hooks && op->hooks->progress)
        op->hooks->progress(target, done, total, finished, op->hooks->data);
}

/* ---- opening ---- */

/* It may have been started while nobody looked. A VM of which nothing was ever written down is left
 * so. */
static void note_vars(Operation *op)
{
    g_autofree char *home = vm_home(op->vm);

    if (home && !op->seen)
        op->seen = vm_observe(op->vm, NULL);
    if (home && op->seen)
        start_note(op);
}

static bool open_now(Vm *vm, const VmHooks *hooks, GError **error)
{
    Operation op;

    if (!operation_begin(&op, vm, "open", hooks, error))
        return false;
    g_autoptr(Catalog) catalog = vm_catalog(vm);
    bool opened = catalog->disks->len == 0 ||
                  ((op.seen = vm_observe(vm, error)) != NULL && operation_attach(&op, error));
    if (opened)
        note_vars(&op);
    operation_end(&op);
    return opened;
}

/* While an operation has the turn the VM is open. */
static bool open_unless_busy(Vm *vm, const VmHooks *hooks, GError **error)
{
    g_mutex_lock(&vm->lock);
    bool loaded = vm->loaded;
    g_mutex_unlock(&vm->lock);
    if (loaded) {
        if (!g_mutex_trylock(&vm->turn))
            return true;
        g_mutex_unlock(&vm->turn);
    }
    return open_now(vm, hooks, error);
}

bool vm_open(Vm *vm, GError **error)
{
    return open_unless_busy(vm, NULL, error);
}

bool vm_open_at_once(Vm *vm, GError **error)
{
    const VmHooks hooks = {.answer_by = g_get_monotonic_time()};

    return open_unless_busy(vm, &hooks, error);
}
