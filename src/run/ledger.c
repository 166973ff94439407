#include "run/ledger.h"

#include "run/room.h"

void ledger_complain(Vm *vm, const char *what, const GError *error)
{
    g_autofree char *name = vm_name(vm);

    g_message("VM %s: %s: %s", name, what, error ? error->message : "unknown");
}

/* ---- the catalog ---- */

/* @text (may be NULL) is taken: what the file says. */
static void swap_locked(Vm *vm, Catalog *catalog, GBytes *text)
{
    catalog_free(vm->catalog);
    vm->catalog = catalog;
    vm_apply_config_locked(vm);
    g_clear_pointer(&vm->text, g_bytes_unref);
    vm->text = text;
}

/* Whether the world goes on: a lost connection or a stop says nothing about the catalog. */
static bool error_is_passing(const GError *error)
{
    return error_is(error, ERR_HOST_DOWN) || error_is(error, ERR_INTERRUPTED);
}

/* @cause is taken. */
static bool refuse_locked(Vm *vm, GError *cause, GError **error)
{
    if (error_is_passing(cause)) {
        g_propagate_error(error, cause);
        return false;
    }
    g_free(vm->problem);
    vm->problem = g_strdup_printf(
        "the catalog of VM %s in %s cannot be used, so its snapshots are read-only: %s", vm->name,
        vm->home, cause->message);
    g_set_error_literal(error, VMSNAPFS_ERROR, ERR_READ_ONLY, vm->problem);
    g_error_free(cause);
    return false;
}

/* What catalog.yaml says now; NULL if it cannot be read: the loader tells why. */
static GBytes *read_text(const Vm *vm)
{
    g_autofree char *directory = store_directory(vm->home, vm->uuid);
    g_autofree char *path = g_build_filename(directory, "catalog.yaml", NULL);
    gsize length;
    char *text = vm->world->files->ops->read(vm->world->files, path, &length, NULL);

    return text ? g_bytes_new_take(text, length) : NULL;
}

/* Most operations find the file as the last one left it, and need not parse it again. */
static bool is_unchanged(const Vm *vm, GBytes *text)
{
    return text && vm->text && !vm->problem && g_bytes_equal(text, vm->text);
}

static bool read_catalog_locked(Vm *vm, GError **error)
{
    g_autoptr(GBytes) text = read_text(vm);
    GError *cause = NULL;
    Catalog *catalog;

    if (is_unchanged(vm, text))
        return true;
    catalog = store_load_catalog(vm->world->files, vm->home, vm->uuid, &cause);
    if (cause)
        return refuse_locked(vm, cause, error);
    if (catalog) {
        swap_locked(vm, catalog, g_steal_pointer(&text));
        return true;
    }
    if (vm->catalog->generation == 0)
        return true;
    g_set_error(&cause, VMSNAPFS_ERROR, ERR_NOT_FOUND,
                "it was there (generation %" G_GUINT64_FORMAT ") and is gone; put the file back",
                vm->catalog->generation);
    return refuse_locked(vm, cause, error);
}

static bool load_locked(Vm *vm, GError **error)
{
    if (vm->home && !read_catalog_locked(vm, error))
        return false;
    g_clear_pointer(&vm->problem, g_free);
    vm->loaded = true;
    return true;
}

bool ledger_load(Vm *vm, GError **error)
{
    g_mutex_lock(&vm->lock);
    bool loaded = load_locked(vm, error);
    g_mutex_unlock(&vm->lock);
    return loaded;
}

/* An error of the replacement does not mean that it did not happen: the file decides. */
static bool saved_all_the_same(Vm *vm, const Catalog *wanted)
{
    g_autoptr(Catalog) there = store_load_catalog(vm->world->files, vm->home, vm->uuid, NULL);

    return there && there->generation == vm->catalog->generation + 1 &&
           catalog_equal(there, wanted);
}

/* A full store is where people remove snapshots. So what makes room, and what says that something
 * has happened already, may use the room that is kept for that; new words of people may not. */
static bool may_spend(const Step *step)
{
    return step->kind != STEP_RECORD_RENAME && step->kind != STEP_RECORD_DESCRIBE &&
           step->kind != STEP_RECORD_POLICY;
}

static bool spend_locked(Vm *vm, bool allowed, GError **cause)
{
    if (!allowed || !error_is(*cause, ERR_NO_SPACE) ||
        !store_spend_reserve(vm->world->files, vm->home, vm->uuid))
        return false;
    g_clear_error(cause);
    return true;
}

static bool save_locked(Vm *vm, Catalog *next, bool spend, GError **error)
{
    Files *files = vm->world->files;
    g_autoptr(GError) cause = NULL;

    if (store_save_catalog(files, vm->home, next, vm->text, &cause) ||
        (spend_locked(vm, spend, &cause) &&
         store_save_catalog(files, vm->home, next, vm->text, &cause))) {
        store_keep_reserve(files, vm->home, vm->uuid);
        return true;
    }
    if (saved_all_the_same(vm, next)) {
        next->generation = vm->catalog->generation + 1;
        return true;
    }
    g_propagate_prefixed_error(error, g_steal_pointer(&cause),
                               "The catalog of VM %s could not be replaced: ", vm->name);
    return false;
}

bool ledger_record_locked(Vm *vm, const Step *step, GError **error)
{
    g_autoptr(Catalog) next = NULL;

    if (vm->problem) {
        g_set_error_literal(error, VMSNAPFS_ERROR, ERR_READ_ONLY, vm->problem);
        return false;
    }
    g_assert(vm->home);
    next = catalog_copy(vm->catalog);
    g_free(next->name);
    next->name = g_strdup(vm->name);
    if (!step_apply(step, next, error)) {
        g_prefix_error(error, "The step %s does not fit the catalog of VM %s: ",
                       step_kind_name(step->kind), vm->name);
        return false;
    }
    if (!save_locked(vm, next, may_spend(step), error))
        return false;
    swap_locked(vm, g_steal_pointer(&next), read_text(vm));
    return true;
}

bool ledger_record(Vm *vm, const Step *step, GError **error)
{
    g_mutex_lock(&vm->lock);
    bool recorded = ledger_record_locked(vm, step, error);
    g_mutex_unlock(&vm->lock);
    return recorded;
}

static bool note_name_locked(Vm *vm, GError **error)
{
    g_autoptr(Catalog) next = NULL;

    if (!vm->home || vm->catalog->generation == 0 || g_strcmp0(vm->catalog->name, vm->name) == 0)
        return true;
    next = catalog_copy(vm->catalog);
    g_free(next->name);
    next->name = g_strdup(vm->name);
    if (!save_locked(vm, next, false, error))
        return false;
    swap_locked(vm, g_steal_pointer(&next), read_text(vm));
    return true;
}

void ledger_note_name(Vm *vm)
{
    g_autoptr(GError) cause = NULL;

    g_mutex_lock(&vm->lock);
    bool noted = note_name_locked(vm, &cause);
    g_mutex_unlock(&vm->lock);
    if (!noted)
        ledger_complain(vm, "its new name could not be written into its catalog", cause);
}

/* ---- home and lock ---- */

static void unlock_locked(Vm *vm)
{
    if (vm->store_lock)
        vm->world->files->ops->unlock(vm->world->files, g_steal_pointer(&vm->store_lock));
}

/* By another program, since we had the lock; a journal may be that of one that has died. */
static bool was_written_by_others(const Vm *vm)
{
    Files *files = vm->world->files;
    g_autofree char *directory = store_directory(vm->home, vm->uuid);
    g_autofree char *journal = g_build_filename(directory, "journal.yaml", NULL);
    g_autoptr(GBytes) text = vm->text ? read_text(vm) : NULL;

    return (vm->text && !is_unchanged(vm, text)) || files->ops->exists(files, journal);
}

static bool lock_locked(Vm *vm, GError **error)
{
    if (!vm->home || vm->store_lock)
        return true;
    vm->store_lock = store_lock(vm->world->files, vm->home, vm->uuid, error);
    if (vm->store_lock && (!vm->settled || was_written_by_others(vm)))
        vm->settled = store_settle(vm->world->files, vm->home, vm->uuid, error);
    if (!vm->settled)
        unlock_locked(vm);
    return vm->store_lock != NULL;
}

bool ledger_lock(Vm *vm, GError **error)
{
    g_mutex_lock(&vm->lock);
    bool locked = lock_locked(vm, error);
    g_mutex_unlock(&vm->lock);
    return locked;
}

void ledger_unlock(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    unlock_locked(vm);
    g_mutex_unlock(&vm->lock);
}

/* Between looking for a home and taking its lock another host may have made the first snapshot. */
static bool settle_locked(Vm *vm, GError **error)
{
    g_autofree char *directory = store_directory(vm->home, vm->uuid);
    g_autoptr(Journal) journal = NULL;
    GError *cause = NULL;

    if (!vm->world->files->ops->make_directory(vm->world->files, directory, error) ||
        !lock_locked(vm, error) || !load_locked(vm, error))
        return false;
    journal = store_load_journal(vm->world->files, vm->home, vm->uuid, &cause);
    if (cause)
        return refuse_locked(vm, cause, error);
    if (!journal && vm->catalog->generation == 0)
        return true;
    g_set_error(error, VMSNAPFS_ERROR, ERR_BUSY,
                "Another host began to keep snapshots of VM %s in %s at this moment; try again",
                vm->name, vm->home);
    return false;
}

bool ledger_settle_home(Vm *vm, const char *home, GError **error)
{
    g_mutex_lock(&vm->lock);
    if (vm->home) {
        g_mutex_unlock(&vm->lock);
        return true;
    }
    vm->home = g_strdup(home);
    bool settled = settle_locked(vm, error);
    /* A home that could not be made is none: the next operation looks again. */
    if (!settled && vm->catalog->generation == 0 && !vm->store_lock)
        g_clear_pointer(&vm->home, g_free);
    g_mutex_unlock(&vm->lock);
    return settled;
}

void ledger_forget(Vm *vm)
{
    g_mutex_lock(&vm->lock);
    swap_locked(vm, catalog_new(vm->uuid, vm->name), NULL);
    g_clear_pointer(&vm->home, g_free);
    g_clear_pointer(&vm->problem, g_free);
    vm->loaded = false;
    vm->settled = false;
    g_mutex_unlock(&vm->lock);
}

/* ---- the journal ---- */

static bool save_journal_locked(Operation *op, GError **error)
{
    Vm *vm = op->vm;

    return store_save_journal(vm->world->files, vm->home, vm->uuid, op->journal, error);
}

bool ledger_open_journal(Operation *op, Plan *plan, GError **error)
{
    Vm *vm = op->vm;
    g_autoptr(GError) cause = NULL;

    g_mutex_lock(&vm->lock);
    g_clear_pointer(&op->journal, journal_free);
    op->journal = journal_new(plan, op->name);
    bool saved = save_journal_locked(op, &cause) ||
                 (spend_locked(vm, plan->commit == 0, &cause) && save_journal_locked(op, &cause));
    g_mutex_unlock(&vm->lock);
    room_tell(vm, &cause);
    if (!saved)
        g_propagate_prefixed_error(error, g_steal_pointer(&cause),
                                   "The journal of VM %s could not be written: ", op->vm_name);
    return saved;
}

void ledger_note_done(Operation *op, guint step)
{
    g_mutex_lock(&op->vm->lock);
    if (op->journal)
        g_array_index(op->journal->done, gboolean, step) = TRUE;
    g_mutex_unlock(&op->vm->lock);
}

static bool find_step(const Operation *op, StepKind kind, guint *out_index)
{
    const GPtrArray *steps = op->journal ? op->journal->plan->steps : NULL;

    for (guint i = 0; steps && i < steps->len; i++)
        if (((Step *)steps->pdata[i])->kind == kind) {
            *out_index = i;
            return true;
        }
    return false;
}

void ledger_note_kind_done(Operation *op, StepKind kind)
{
    guint index;

    if (find_step(op, kind, &index))
        ledger_note_done(op, index);
}

void ledger_note_value(Operation *op, StepKind kind, const char *prefix, const char *key,
                       const char *value)
{
    g_autofree char *whole = g_strconcat(prefix, "_", key, NULL);
    guint index;

    g_mutex_lock(&op->vm->lock);
    if (find_step(op, kind, &index))
        journal_set(op->journal, index, whole, value);
    g_mutex_unlock(&op->vm->lock);
}

bool ledger_mark_done(Operation *op, guint step, GError **error)
{
    Vm *vm = op->vm;

    if (!op->journal)
        return true;
    g_mutex_lock(&vm->lock);
    g_array_index(op->journal->done, gboolean, step) = TRUE;
    bool saved = save_journal_locked(op, error);
    g_mutex_unlock(&vm->lock);
    return saved;
}

bool ledger_clear_journal(Operation *op, GError **error)
{
    Vm *vm = op->vm;

    g_mutex_lock(&vm->lock);
    bool cleared = store_clear_journal(vm->world->files, vm->home, vm->uuid, error);
    if (cleared) {
        g_clear_pointer(&op->journal, journal_free);
        g_clear_pointer(&vm->left, g_free);
        if (vm->catalog->generation > 0)
            store_keep_reserve(vm->world->files, vm->home, vm->uuid);
    }
    g_mutex_unlock(&vm->lock);
    return cleared;
}

Journal *ledger_load_journal(Vm *vm, GError **error)
{
    g_autoptr(Journal) journal = NULL;
    GError *cause = NULL;

    g_mutex_lock(&vm->lock);
    if (vm->home)
        journal = store_load_journal(vm->world->files, vm->home, vm->uuid, &cause);
    if (cause)
        refuse_locked(vm, cause, error);
    else if (!journal)
        g_clear_pointer(&vm->left, g_free);
    g_mutex_unlock(&vm->lock);
    return g_steal_pointer(&journal);
}
